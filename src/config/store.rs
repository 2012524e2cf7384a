//! `[store]`: which database, and the bounds of everything that waits for it.

use crate::kernel::secret::Secret;

use super::section::Section;

/// `MongoDB` allows 63 bytes; what is left over is for the suffixes that tests and tools append.
const DATABASE_CHARACTERS_MAX: usize = 38;

#[derive(Debug, Clone)]
pub struct Store {
    pub uri: Secret<String>,
    pub database: String,
    pub pool_max: u32,
    /// Never more than `pool_max`.
    pub pool_min: u32,
    pub connect_timeout_ms: u64,
    pub selection_timeout_ms: u64,
    /// 0: one per core.
    pub threads: usize,
    pub batch_operations: usize,
    pub batch_bytes: usize,
    pub queue: usize,
    /// Users, and as many connections; 0: none.
    pub copies: u64,
    pub command_times: CommandTimes,
}

/// The driver copies every command and reply for those who want to know how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandTimes {
    On,
    Off,
}

impl Store {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let uri = section.secret("uri", URI_ACCEPTED, is_standard_uri);
        let database = section.text("database", "1 to 38 of a-z 0-9 _", is_database);
        let pool_max = section.number("pool_max", 4..=1_000);
        let pool_min = "an integer from 0 to store.pool_max";
        Self {
            uri,
            database,
            pool_max,
            pool_min: section.number_described("pool_min", 0..=pool_max, pool_min),
            connect_timeout_ms: section.number("connect_timeout_ms", 100..=60_000),
            selection_timeout_ms: section.number("selection_timeout_ms", 100..=60_000),
            threads: section.number("threads", 0..=64),
            batch_operations: section.number("batch_operations", 1..=1_000),
            batch_bytes: section.number("batch_bytes", 65_536..=8_388_608),
            queue: section.number("queue", 1..=100_000),
            copies: section.number("copies", 0..=10_000_000),
            command_times: section
                .choice("command_times", &[("on", CommandTimes::On), ("off", CommandTimes::Off)]),
        }
    }
}

/// `mongodb+srv://` would need a DNS resolver inside the driver, and start-up would depend on it.
const URI_ACCEPTED: &str = "the standard connection string mongodb://… \
    (not mongodb+srv://: write out its hosts in the standard connection string instead)";

fn is_standard_uri(text: &str) -> bool {
    text.strip_prefix("mongodb://").is_some_and(|hosts| !hosts.is_empty())
}

fn is_database(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=DATABASE_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}
