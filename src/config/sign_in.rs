//! `[sign_in]`: how often somebody may try to sign in.

use super::section::Section;

#[derive(Debug, Clone)]
pub struct SignIn {
    /// For one identifier from one address.
    pub pair: Budget,
    /// For one identifier, from everywhere.
    pub identifier: Budget,
    /// From one address, for everybody.
    pub address: Budget,
}

/// So many attempts at once, and one more after each pause.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub attempts: u32,
    pub refill_seconds: u32,
}

impl SignIn {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut budget = |attempts, refill_seconds| Budget {
            attempts: section.number(attempts, 1..=100_000),
            refill_seconds: section.number(refill_seconds, 1..=86_400),
        };
        Self {
            pair: budget("attempts", "refill_seconds"),
            identifier: budget("identifier_attempts", "identifier_refill_seconds"),
            address: budget("address_attempts", "address_refill_seconds"),
        }
    }
}
