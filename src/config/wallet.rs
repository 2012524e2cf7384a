//! `[wallet]`: what this node does for wallets besides requests.

use super::section::Section;

#[derive(Debug, Clone)]
pub struct Wallet {
    /// 0: not by this node.
    pub expiry_seconds: u64,
}

impl Wallet {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { expiry_seconds: section.number("expiry_seconds", 0..=3600) }
    }
}
