//! `[jobs]`: what this node does for many people at a time.

use super::section::Section;

#[derive(Debug, Clone)]
pub struct Jobs {
    /// 0: not by this node.
    pub poll_seconds: u64,
}

impl Jobs {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { poll_seconds: section.number("poll_seconds", 0..=3600) }
    }
}
