//! `[delivery]`: how apps are told of changes.

use super::section::Section;

#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    pub feed_days: i64,
    pub feed_leaves: i64,
}

impl Delivery {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            feed_days: section.number("feed_days", 1..=3650),
            feed_leaves: section.number("feed_leaves", 1..=1_000_000_000),
        }
    }
}
