//! `[audit]`: how much of a person the trail remembers, and when it says what only happened.

use super::section::Section;

#[derive(Debug, Clone)]
pub struct Audit {
    pub ip_address: IpDetail,
    /// 0: only when Purser stops.
    pub security_seconds: u64,
}

/// How much of a network address an entry keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpDetail {
    Full,
    Prefix,
    None,
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            ip_address: section.choice(
                "ip_address",
                &[("full", IpDetail::Full), ("prefix", IpDetail::Prefix), ("none", IpDetail::None)],
            ),
            security_seconds: section.number("security_seconds", 0..=60),
        }
    }
}
