//! `purser keys rotate`: everything sealed under the newest master key, so that the older ones can
//! go. Online, and safe to end and to repeat.

use std::collections::BTreeMap;

use clap::Subcommand;

use super::build::Purser;
use super::progress::Progress;
use crate::store::{Tally, Unopened};

#[derive(Subcommand)]
pub enum Keys {
    /// Put everything that is sealed under the newest master key, the first of
    /// `crypto.master_keys`; after that the older ones can be removed. Online, and safe to repeat.
    Rotate {
        /// Only say how much is sealed under which key.
        #[arg(long, alias = "dry-run")]
        plan: bool,
    },
}

/// Others write meanwhile; what they bring back from an older envelope is found by the next pass.
const PASSES_MAX: usize = 5;

pub async fn run(purser: &Purser, command: Keys) -> Result<(), String> {
    let Keys::Rotate { plan } = command;
    let before = purser.store.sealed().await?;
    if plan {
        print!("{}", table(&before, newest(purser)));
        return Ok(());
    }
    check_nodes(purser).await?;
    let sealed = rewrap(purser, before).await?;
    // Whoever has come meanwhile and seals under an older key has brought its note back into use.
    check_nodes(purser).await?;
    let forgotten = purser.store.forget_older_master_keys().await?;
    print!("{}", table(&sealed, newest(purser)));
    println!("nothing is left under an older key");
    for id in forgotten {
        println!("`{id}` can be removed from crypto.master_keys");
    }
    Ok(())
}

async fn rewrap(
    purser: &Purser,
    mut sealed: BTreeMap<String, Tally>,
) -> Result<BTreeMap<String, Tally>, String> {
    let mut progress = Progress::new(older(&sealed), "values rewrapped");
    for _ in 0..PASSES_MAX {
        let unopened = purser.store.rewrap(|count| progress.add(count)).await?;
        sealed = purser.store.sealed().await?;
        if unopened.count > 0 {
            progress.end();
            return Err(refusal(&unopened));
        }
        if older(&sealed) == 0 {
            progress.end();
            return Ok(sealed);
        }
    }
    progress.end();
    let table = table(&sealed, newest(purser));
    Err(format!(
        "somebody keeps sealing under an older key; which process is it?\n{table}Nothing is lost: \
         repeat once all of them have the newest key in front of crypto.master_keys."
    ))
}

async fn check_nodes(purser: &Purser) -> Result<(), String> {
    let others = purser.store.nodes_sealing_otherwise().await.map_err(|fault| fault.to_string())?;
    if others.is_empty() {
        return Ok(());
    }
    let newest = newest(purser);
    let told: Vec<_> = others
        .iter()
        .map(|(node, key)| match key {
            Some(key) => format!("  {node} seals under `{key}`"),
            None => format!("  {node} does not say what it seals under: it is an older Purser"),
        })
        .collect();
    Err(format!(
        "not every running process seals under `{newest}`:\n{}\nRestart them with `{newest}` in front \
         of crypto.master_keys, then repeat.",
        told.join("\n")
    ))
}

fn refusal(unopened: &Unopened) -> String {
    let Unopened { count, told } = unopened;
    let further = match usize::try_from(*count).unwrap_or(usize::MAX) - told.len() {
        0 => String::new(),
        more => format!("  and {more} more\n"),
    };
    format!(
        "{count} values do not open; everything else is rewrapped:\n  {}\n{further}Put the keys that \
         they name back into crypto.master_keys, behind the newest, and repeat; the older keys stay \
         in use until then.",
        told.join("\n  ")
    )
}

fn newest(purser: &Purser) -> &str {
    purser.store.keyring().newest_master_id()
}

fn older(sealed: &BTreeMap<String, Tally>) -> u64 {
    sealed.values().flat_map(|tally| tally.older.values()).sum()
}

fn table(sealed: &BTreeMap<String, Tally>, newest: &str) -> String {
    let head = format!("under {newest}");
    let row = |place: &str, count: &str, older: &str| format!("{place:<28}{count:>16}  {older}\n");
    let mut table = row("sealed", &head, "under older keys");
    for (place, tally) in sealed {
        let by_key = tally.older.iter().map(|(key, count)| format!("{key}: {count}"));
        let by_key: Vec<_> = by_key.collect();
        let older = if by_key.is_empty() { "0".to_owned() } else { by_key.join(", ") };
        table.push_str(&row(place, &tally.newest.to_string(), &older));
    }
    table
}
