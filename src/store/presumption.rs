//! That what is going to be created is not there yet.
//!
//! It nearly always is not, and a unique index forbids a second one: so the first attempt does not look
//! for the records that its units create, nor for earlier answers to their Idempotency-Keys. What
//! relies on an absence without proving it by creating the record is looked up before anything is
//! written. A value that turns out to be taken fails the attempt, and the next ones look.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::write::Units;

/// So long nothing is presumed after it was wrong: somebody is repeating what they did.
const DOUBT: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Presumption(Mutex<Option<Instant>>);

impl Presumption {
    pub fn holds(&self) -> bool {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_none_or(|failed| failed.elapsed() >= DOUBT)
    }

    pub fn failed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// The Idempotency-Keys of units that nobody has looked for yet.
pub(super) struct Keys(HashSet<String>);

impl Keys {
    pub fn of(units: &Units) -> Self {
        let keys = units.iter().filter_map(|unit| unit.warrant().idempotency.as_ref());
        Self(keys.map(|key| key.id.clone()).collect())
    }

    pub fn take_all(&mut self) -> Vec<String> {
        self.0.drain().collect()
    }

    /// Those whose answer is not going to be remembered: only what is proves that there was none.
    pub fn take_unproven(&mut self, units: &Units) -> Vec<String> {
        let unproven = units.iter().filter(|unit| !unit.remembers());
        let keys = unproven.filter_map(|unit| unit.warrant().idempotency.as_ref());
        keys.filter_map(|key| self.0.take(&key.id)).collect()
    }
}
