//! `[crypto]`: the keys that seal and verify, and what a password costs.

use crate::kernel::secret::Secret;

use super::section::Section;

const KEYS_ACCEPTED: &str = "one or more <id>:<base64 of 32 bytes>, newest first";
const LANE_KIB_MIN: u32 = 8;
const LANES_ACCEPTED: &str = "an integer from 1 to 16, at most crypto.argon2_memory_kib / 8";

#[derive(Debug, Clone)]
pub struct Crypto {
    /// Not empty; `crypto::Keyring::parse` checks the rest, and refuses published examples.
    pub master_keys: Secret<String>,
    pub peppers: Secret<String>,
    pub argon2_memory_kib: u32,
    pub argon2_passes: u32,
    pub argon2_lanes: u32,
    /// 0: half the cores, at least one.
    pub password_threads: usize,
    pub password_queue: usize,
}

impl Crypto {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let not_empty = |text: &str| !text.trim().is_empty();
        let master_keys = section.secret("master_keys", KEYS_ACCEPTED, not_empty);
        let peppers = section.secret("peppers", KEYS_ACCEPTED, not_empty);
        let argon2_memory_kib = section.number("argon2_memory_kib", 8..=1_048_576);
        let argon2_passes = section.number("argon2_passes", 1..=10);
        // Argon2 itself refuses less; here the message can name the key.
        let lanes = 1..=(argon2_memory_kib / LANE_KIB_MIN).min(16);
        Self {
            master_keys,
            peppers,
            argon2_memory_kib,
            argon2_passes,
            argon2_lanes: section.number_described("argon2_lanes", lanes, LANES_ACCEPTED),
            password_threads: section.number("password_threads", 0..=256),
            password_queue: section.number("password_queue", 1..=10_000),
        }
    }
}
