//! What a caller may ask, and what of it is left: said with every answer.

/// The windows of one limit, the shorter first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    pub windows: [Allowance; 2],
}

/// One window: `minute` or `hour`, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    pub name: &'static str,
    pub limit: i64,
    pub window_seconds: i64,
    /// As far as this node knows.
    pub remaining: i64,
    pub resets_in_seconds: i64,
}
