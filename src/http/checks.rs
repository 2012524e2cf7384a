//! Collects what is wrong with a body, so that all of it is told at once.

use serde_json::Value;

use super::json::Patch;
use crate::access::address::Network;
use crate::access::limits::RATE_MAX;
use crate::kernel::credits::{CREDITS_RULE, Credits};
use crate::kernel::fault::{Fault, FieldError};
use crate::kernel::time::{self, Timestamp};

#[derive(Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    pub fn add(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail.into()));
    }

    pub fn extend(&mut self, errors: Vec<FieldError>) {
        self.0.extend(errors);
    }

    /// The value, unless something was wrong.
    pub fn or<T>(self, value: T) -> Result<T, Fault> {
        if self.0.is_empty() { Ok(value) } else { Err(Fault::invalid_fields(self.0)) }
    }

    /// What `parse` makes of the value; a default stands in where it refuses, and is never used.
    pub fn parsed<T: Default>(
        &mut self,
        pointer: &str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> T {
        parse(value).unwrap_or_else(|accepted| {
            self.add(pointer, "not_accepted", accepted);
            T::default()
        })
    }

    /// Each element must fit, and stand there once.
    pub fn each(
        &mut self,
        pointer: &str,
        list: &[String],
        fits: impl Fn(&str) -> bool,
        accepted: &str,
    ) {
        for (at, element) in list.iter().enumerate() {
            let pointer = format!("{pointer}/{at}");
            if !fits(element) {
                self.add(&pointer, "not_accepted", accepted);
            } else if list[..at].contains(element) {
                self.add(&pointer, "repeated", "named once already");
            }
        }
    }

    /// What a patch sets of a field that can be changed, but not removed.
    pub fn kept<T>(&mut self, pointer: &str, patch: Patch<T>) -> Option<T> {
        match patch {
            Patch::Keep => None,
            Patch::Set(value) => Some(value),
            Patch::Clear => {
                self.add(pointer, "required", "can be changed, but not removed");
                None
            }
        }
    }

    /// A moment (RFC 3339) at which something is to end.
    pub fn time_to_come(
        &mut self,
        pointer: &str,
        text: Option<&str>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let at = time::parse_rfc3339(text?).filter(|at| *at > now);
        if at.is_none() {
            self.add(pointer, "not_accepted", "an RFC 3339 time to come");
        }
        at
    }

    /// Until when a replaced key still counts.
    pub fn overlap(&mut self, pointer: &str, seconds: Option<i64>, now: Timestamp) -> Timestamp {
        let seconds = seconds.unwrap_or(OVERLAP_SECONDS);
        if !(0..=OVERLAP_SECONDS_MAX).contains(&seconds) {
            self.add(pointer, "not_accepted", format!("0 to {OVERLAP_SECONDS_MAX} seconds"));
        }
        time::plus(now, seconds.saturating_mul(time::SECOND_MS))
    }

    /// Credits to be moved; the least amount stands in where they are none, and is never used.
    pub fn credits(&mut self, pointer: &str, amount: &Value) -> Credits {
        let (code, amount) = match amount.as_i64() {
            Some(amount) => ("out_of_range", Credits::new(amount)),
            None if amount.as_u64().is_some() => ("out_of_range", None),
            None if amount.is_f64() => ("not_whole", None),
            None => ("wrong_type", None),
        };
        amount.unwrap_or_else(|| {
            self.add(pointer, code, CREDITS_RULE);
            Credits::LEAST
        })
    }

    /// A whole number.
    pub fn number(&mut self, pointer: &str, value: i64, least: i64, most: i64) -> i64 {
        if !(least..=most).contains(&value) {
            self.add(pointer, "out_of_range", format!("an integer from {least} to {most}"));
        }
        value
    }

    /// Elements of a list.
    pub fn at_most(&mut self, pointer: &str, count: usize, most: usize) {
        if count > most {
            self.add(pointer, "too_many", format!("at most {most}"));
        }
    }

    /// Requests in a window.
    pub fn rate(&mut self, pointer: &str, rate: i64) -> i64 {
        if !(1..=RATE_MAX).contains(&rate) {
            self.add(pointer, "not_accepted", format!("1 to {RATE_MAX}"));
        }
        rate
    }

    /// Addresses and networks (`allowed_ips`), in the form in which they are kept.
    pub fn networks(&mut self, pointer: &str, networks: &[String]) -> Vec<String> {
        if networks.len() > NETWORKS_MAX {
            self.add(pointer, "too_many", format!("at most {NETWORKS_MAX} addresses and networks"));
        }
        let known = |text: &str| Network::parse(text).is_some();
        self.each(pointer, networks, known, "an IP address or a network, as `192.0.2.0/24`");
        networks.iter().filter_map(|text| Network::parse(text)).map(|net| net.to_string()).collect()
    }
}

const NETWORKS_MAX: usize = 100;
/// Long enough to hand a new key to every machine, short enough to be over on the same day.
const OVERLAP_SECONDS: i64 = 3600;
const OVERLAP_SECONDS_MAX: i64 = 7 * 24 * 3600;
