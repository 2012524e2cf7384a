//! How often a connection may ask.

use serde::{Deserialize, Serialize};

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
