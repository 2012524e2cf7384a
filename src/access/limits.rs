//! How often a connection may ask.

use serde::{Deserialize, Serialize};

/// The most that a limit can say.
pub const RATE_MAX: i64 = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimits {
    pub requests_per_minute: i64,
    pub requests_per_hour: i64,
}

/// The source document's sample.
impl Default for RateLimits {
    fn default() -> Self {
        Self { requests_per_minute: 100, requests_per_hour: 1000 }
    }
}

impl RateLimits {
    /// Of an app in all, unless an admin says otherwise.
    pub fn of_an_app() -> Self {
        Self { requests_per_minute: 60_000, requests_per_hour: 1_000_000 }
    }

    /// Of an operator, whose key may be stolen like any other.
    pub fn of_an_operator() -> Self {
        Self { requests_per_minute: 6_000, requests_per_hour: 100_000 }
    }
}
