//! `purser audit export`: what `GET /v1/audit/export` answers, into a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::audit::grant;
use super::build::Purser;
use super::progress::Progress;
use crate::http::query::Parameters;
use crate::kernel::fault::Fault;
use crate::store::LEAVES;
use crate::trail::export::{Export, Format, Leave, Reader, Wanted};

#[derive(Args)]
pub struct Options {
    file: PathBuf,
    #[arg(long, value_enum, default_value_t = As::Bundle)]
    format: As,
    /// Only entries that these find, as in the query string of `GET /v1/audit/logs`:
    /// `user_id=…&from=2026-01-01T00:00:00Z`.
    #[arg(long, default_value = "")]
    filter: String,
    /// Of a bundle: from this leaf on.
    #[arg(long, default_value_t = 0)]
    since: u64,
    /// Show personal values instead of masking them. A bundle holds them as they are stored: sealed.
    #[arg(long)]
    personal_values: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum As {
    /// Entries as they are stored, each with its proof, by leaf.
    Bundle,
    /// A line of JSON for each, the newest first.
    Ndjson,
    /// For spreadsheets, the newest first.
    Csv,
}

pub async fn run(purser: &Purser, options: &Options) -> Result<(), String> {
    let told = |fault: Fault| fault.to_string();
    let wanted = options.wanted().map_err(told)?;
    let is_filtered = !options.filter.is_empty();
    let mut progress = Progress::new(total(purser, options.since).await, "entries");
    let export = Export::begin(reader(purser, options.personal_values), wanted).await;
    let mut export = export.map_err(told)?;
    let io = |error: io::Error| format!("{}: {error}", options.file.display());
    let mut output = BufWriter::new(File::create(&options.file).map_err(io)?);
    let mut entries = 0;
    while let Some(piece) = export.next().await.map_err(told)? {
        output.write_all(&piece.bytes).map_err(io)?;
        entries += piece.entries;
        progress.add(piece.entries);
    }
    output.flush().map_err(io)?;
    if is_filtered {
        progress.come_to(entries, entries);
    }
    progress.end();
    Ok(())
}

impl Options {
    fn wanted(&self) -> Result<Wanted, Fault> {
        let query = Parameters::read(&self.filter)?;
        let wanted = Wanted::read(&query)?;
        let format = match self.format {
            As::Bundle => Format::Bundle,
            As::Ndjson => Format::Ndjson,
            As::Csv => Format::Csv,
        };
        Ok(Wanted { format, since: self.since, ..wanted })
    }
}

/// Of all entries: what a filter finds is known in the end.
async fn total(purser: &Purser, since: u64) -> u64 {
    let leaves = purser.store.estimate(&grant(purser).pass(), LEAVES).await.unwrap_or(0);
    u64::try_from(leaves).unwrap_or(0).saturating_sub(since)
}

fn reader(purser: &Purser, sees_personal_values: bool) -> Reader {
    let itself = purser.clone();
    let leave: Leave = Box::new(move || {
        let pass = grant(&itself).pass();
        Box::pin(async move { Ok(pass) })
    });
    Reader { store: purser.store.clone(), leave, sees_personal_values }
}
