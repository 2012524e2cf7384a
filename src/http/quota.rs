//! `RateLimit-Policy` and `RateLimit`: what a caller may ask, and what of it is left.

use std::fmt::Write as _;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::kernel::quota::Quota;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

pub fn insert(headers: &mut HeaderMap, quota: &Quota) {
    let (mut policy, mut left) = (String::with_capacity(64), String::with_capacity(64));
    for window in &quota.windows {
        let separator = if policy.is_empty() { "" } else { ", " };
        let (name, limit, seconds) = (window.name, window.limit, window.window_seconds);
        let (remaining, resets) = (window.remaining, window.resets_in_seconds);
        write!(policy, "{separator}\"{name}\";q={limit};w={seconds}").expect("a String takes all");
        write!(left, "{separator}\"{name}\";r={remaining};t={resets}").expect("a String takes all");
    }
    for (name, text) in [(POLICY, policy), (LEFT, left)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}
