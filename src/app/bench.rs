//! `purser bench`: what this machine can do, as ratios of interleaved rounds.

use clap::Subcommand;

use super::build::Purser;

#[derive(Subcommand)]
pub enum Bench {
    /// Audited profile changes through the write path, against a transaction each by the raw driver.
    Write,
}

pub async fn run(_purser: &Purser, _bench: Bench) -> Result<(), String> {
    Err("not there yet".to_owned())
}
