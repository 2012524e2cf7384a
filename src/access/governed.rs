//! Purser's clock as the `governor` crate wants it: budgets refill in the time that tests step.

use std::time::Duration;

use governor::clock;

use crate::kernel::time::Clock;

#[derive(Clone)]
pub struct Ticks(pub Clock);

impl clock::Clock for Ticks {
    type Instant = Duration;

    /// Since 1970; a clock that was set to before that stands at 1970.
    fn now(&self) -> Duration {
        let millis = self.0.now().timestamp_millis();
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }
}
