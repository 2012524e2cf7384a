//! Credits: whole units. An amount is at least one, and no more than JSON's readers can hold.

use serde::{Deserialize, Serialize};

/// 2^53 − 1: beyond it readers of JSON that know only doubles would round. No balance grows beyond
/// it either, so sums of amounts stay far from the end of an `i64`.
pub const CREDITS_MAX: i64 = 9_007_199_254_740_991;

/// What a caller is told about an amount that is none.
pub const CREDITS_RULE: &str = "whole credits as a JSON integer from 1 to 9007199254740991, \
    without quotes and without a decimal point: 100, not 100.0";

/// An amount that can be moved: 1 to [`CREDITS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Credits(i64);

impl Credits {
    pub const LEAST: Self = Self(1);

    pub fn new(amount: i64) -> Option<Self> {
        (1..=CREDITS_MAX).contains(&amount).then_some(Self(amount))
    }

    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Credits {
    type Error = &'static str;
    fn try_from(amount: i64) -> Result<Self, Self::Error> {
        Self::new(amount).ok_or(CREDITS_RULE)
    }
}

impl From<Credits> for i64 {
    fn from(credits: Credits) -> Self {
        credits.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_at_least_one_and_fits_every_reader_of_json() {
        assert_eq!(CREDITS_MAX, (1 << 53) - 1);
        for good in [1, CREDITS_MAX] {
            assert_eq!(Credits::new(good).map(Credits::get), Some(good));
        }
        for wrong in [0, -1, CREDITS_MAX + 1, i64::MIN, i64::MAX] {
            assert_eq!(Credits::new(wrong), None, "{wrong}");
        }
    }
}
