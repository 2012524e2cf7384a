//! `[referrals]`: what this node does for referrals besides requests.

use super::section::Section;

#[derive(Debug, Clone)]
pub struct Referrals {
    /// 0: not by this node.
    pub reward_seconds: u64,
}

impl Referrals {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { reward_seconds: section.number("reward_seconds", 0..=3600) }
    }
}
