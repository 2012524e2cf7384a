//! `[trail]`: how the trail is sealed.

use super::section::Section;
use crate::kernel::secret::Secret;

const KEY_ACCEPTED: &str = "empty, or <name>:<base64 of 32 bytes>";

#[derive(Debug, Clone)]
pub struct Trail {
    pub sequencer: Sequencer,
    /// Empty: nothing is signed.
    pub signing_key: Secret<String>,
    pub checkpoint_seconds: u64,
    /// Empty: nowhere.
    pub checkpoint_file: String,
    /// 0: none are made.
    pub snapshot_entries: u32,
}

/// Whether this node may seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequencer {
    On,
    Off,
}

impl Trail {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            sequencer: section
                .choice("sequencer", &[("on", Sequencer::On), ("off", Sequencer::Off)]),
            signing_key: section.secret("signing_key", KEY_ACCEPTED, |_| true),
            checkpoint_seconds: section.number("checkpoint_seconds", 1..=3600),
            checkpoint_file: section.text("checkpoint_file", "empty, or a path", |_| true),
            snapshot_entries: section.number("snapshot_entries", 0..=1_000_000),
        }
    }
}
