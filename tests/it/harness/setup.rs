//! What comes before a Purser serves a test.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use purser::app::build;
use purser::config::Config;
use purser::kernel::chance::Chance;
use purser::kernel::time::Clock;
use tokio::runtime::Runtime;

/// As `purser migrate` does it, on a connection of its own; what was done.
pub fn migrate(config: Config, runtime: &Runtime, clock: &Clock, chance: &Chance) -> Vec<String> {
    let migrating = build::Purser::assemble(config, runtime, clock.clone(), chance.clone());
    let migrating = migrating.expect("assembles");
    let done = runtime.block_on(migrating.migrate()).expect("migrates");
    runtime.block_on(migrating.store.drain());
    done
}

/// How often a Purser was started on this database: each makes ids and keys of its own.
pub fn starts_before(uri: &str, database: &str) -> u64 {
    static STARTS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
    let mut starts = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
    let count = starts.entry(format!("{uri} {database}")).or_default();
    *count += 1;
    *count - 1
}
