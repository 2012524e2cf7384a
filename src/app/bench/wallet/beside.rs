//! What readers feel while the wallets of random people are debited over HTTP, half as fast as that
//! goes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mongodb::Database;

use super::bank::Bank;
use super::slice::{Numbers, Slice};
use super::{WARM_UP, WARM_UP_CLIENTS, caught_up, ledger, over_http};
use crate::app::bench::load::runtime;
use crate::app::bench::servers::{Options, Server, Settings, What};
use crate::app::bench::steady::{Readers, Reading, p99};
use crate::app::bench::{People, median};
use crate::app::build::Purser;
use crate::config::Level;

#[derive(Args)]
pub struct Scale {
    /// People to choose from.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Clients who debit.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Readers of people.
    #[arg(long, default_value_t = 4)]
    readers: usize,
    /// Milliseconds between an answer and a reader's next question.
    #[arg(long, default_value_t = 10)]
    pause_ms: u64,
    /// Rounds of reading alone and beside debits; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each part of a round.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// Of the readers' p99 alone.
const FACTOR_WANTED: f64 = 3.0;

pub async fn run(
    purser: &Purser,
    database: &Database,
    scale: &Scale,
    file: Option<&Path>,
) -> Result<(), String> {
    let bank = Bank::open(purser, database, scale.users).await?;
    // Else this Purser would go on listening to what the server changes.
    purser.store.drain().await;
    let wallets = bank.wallets();
    let people = Arc::new(People { ids: wallets.ids.to_vec(), key: wallets.key.to_string() });
    let settings = Settings { node: "bench", level: Level::Warn, more: Vec::new() };
    let server = Server::start(&Options { what: What::Purser, bytes: 0 }, &settings, file)?;
    let (lasts, among) = (Duration::from_secs(scale.seconds), bank.holders.len());
    let numbers = Arc::new(Numbers::default());
    let pause = Duration::from_millis(scale.pause_ms);
    let readers = Readers { count: scale.readers, pause };
    let debits = async |slice: Slice| {
        let (wallets, address) = (wallets.clone(), server.address);
        let load = move || runtime()?.block_on(over_http::load(&slice, address, &wallets));
        let done = tokio::task::spawn_blocking(load).await;
        done.unwrap_or_else(|_| Err("the clients panicked".to_owned()))
    };
    let slice = Slice::new(scale.clients, lasts, among, &numbers);
    debits(Slice::new(WARM_UP_CLIENTS, WARM_UP, among, &numbers).in_turn()).await?;
    let most = debits(slice.clone()).await?.per_second;
    let mut factors = Vec::new();
    for round in 1..=scale.rounds {
        caught_up(database).await?;
        let reading = Reading::begin(server.address, &people, readers);
        tokio::time::sleep(lasts).await;
        let alone = p99(reading.end().await?);
        let reading = Reading::begin(server.address, &people, readers);
        let done = debits(slice.clone().at_a_pace(most / 2.0)).await?;
        let beside = p99(reading.end().await?);
        let factor = beside.as_secs_f64() / alone.as_secs_f64();
        println!(
            "round {round}: p99 of {} readers {:.2} ms beside {:.0} debits/s of at most {most:.0}, {:.2} ms alone: {factor:.2} times",
            scale.readers,
            beside.as_secs_f64() * 1_000.0,
            done.per_second,
            alone.as_secs_f64() * 1_000.0,
        );
        factors.push(factor);
    }
    ledger::check(database, numbers.done()).await?;
    let factor = median(factors);
    println!("median {factor:.2} times (wanted at most {FACTOR_WANTED})");
    let reached = factor <= FACTOR_WANTED;
    if reached { Ok(()) } else { Err("it was not reached".to_owned()) }
}
