//! `[subscription]`: what this node does for subscriptions besides requests.

use super::section::Section;

#[derive(Debug, Clone)]
pub struct Subscription {
    /// 0: not by this node.
    pub renewal_seconds: u64,
    pub renewals_per_second: u32,
    pub renewals_at_once: usize,
}

impl Subscription {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            renewal_seconds: section.number("renewal_seconds", 0..=3600),
            renewals_per_second: section.number("renewals_per_second", 1..=100_000),
            renewals_at_once: section.number("renewals_at_once", 1..=1000),
        }
    }
}
