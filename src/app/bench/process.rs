//! What a process has used, as Linux counts it.

use std::time::Duration;

use bson::{Bson, doc};
use mongodb::Database;

/// `/proc` counts in these on every Linux.
const TICKS_PER_SECOND: u64 = 100;

#[derive(Debug, Clone, Copy)]
pub struct Process(u32);

impl Process {
    pub fn of(id: u32) -> Self {
        Self(id)
    }

    pub fn this() -> Self {
        Self(std::process::id())
    }

    /// The database's, if it runs here: another machine has its own numbers.
    pub async fn of_mongod(database: &Database) -> Option<Self> {
        let admin = database.client().database("admin");
        let status = admin.run_command(doc! { "serverStatus": 1 }).await.ok()?;
        let id = match status.get("pid")? {
            Bson::Int64(id) => u32::try_from(*id).ok()?,
            Bson::Int32(id) => u32::try_from(*id).ok()?,
            _ => return None,
        };
        let here = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        let there = status.get_str("host").ok()?.split(':').next()?;
        let found = Self(id);
        let is_mongod = found.file("comm").trim().starts_with("mongod");
        (there == here.trim() && is_mongod).then_some(found)
    }

    /// The processor time that it has used.
    pub fn cpu(self) -> Duration {
        let stat = self.file("stat");
        let after_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = after_name.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    /// Its resident memory, in KiB.
    pub fn resident_kib(self) -> Option<u64> {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }

    fn file(self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap_or_default()
    }
}
