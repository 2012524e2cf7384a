//! Time as a value: UTC with milliseconds, which is also exactly what MongoDB stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};

pub use bson::DateTime as Timestamp;

/// Where "now" comes from. Read once per request: one request has one timestamp.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Stepped(Arc<AtomicI64>),
}

impl Clock {
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until somebody steps it.
    pub fn stepped(start: Timestamp) -> Self {
        Self(Source::Stepped(Arc::new(AtomicI64::new(start.timestamp_millis()))))
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
            Source::System => Timestamp::from_millis(Utc::now().timestamp_millis()),
            Source::Stepped(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a stepped clock; a system clock cannot be moved.
    pub fn step(&self, millis: i64) {
        if let Source::Stepped(now) = &self.0 {
            now.fetch_add(millis, Ordering::SeqCst);
        }
    }
}

/// `2026-11-22T16:40:08.000Z`, always with milliseconds.
pub fn rfc3339(at: Timestamp) -> String {
    DateTime::<Utc>::from_timestamp_millis(at.timestamp_millis()).map_or_else(
        || "out of range".to_owned(),
        |at| at.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

/// Any RFC 3339 moment, with any offset; finer than a millisecond is cut off.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp::from_millis(at.timestamp_millis()))
}

/// `at` moved by `millis`, stopping at the ends of time instead of wrapping round.
pub fn plus(at: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(at.timestamp_millis().saturating_add(millis))
}

pub const SECOND_MS: i64 = 1000;
pub const DAY_MS: i64 = 24 * 60 * 60 * SECOND_MS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_with_any_offset() {
        let at = parse_rfc3339("2026-11-22T17:40:08.5+01:00").expect("valid");
        assert_eq!(rfc3339(at), "2026-11-22T16:40:08.500Z");
        assert_eq!(rfc3339(Timestamp::from_millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn a_stepped_clock_moves_only_when_it_is_stepped() {
        let clock = Clock::stepped(Timestamp::from_millis(5));
        clock.clone().step(10);
        assert_eq!(clock.now(), Timestamp::from_millis(15));
    }
}
