//! How often one address may ask without showing a key that is in use.
//!
//! One budget for each IPv4 address and each IPv6 /64, which is what one customer of a provider has.
//! Budgets that are full again are forgotten; should very many addresses come within a minute, new
//! ones share the budget of their wider network, so that memory stays bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::governed::Ticks;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::time::Clock;

/// Beyond it, addresses are told apart by wider networks only.
const BUDGETS_MAX: usize = 100_000;
/// How many requests are counted between two times of forgetting.
const SPENT_PER_SWEEP: u64 = 4_096;

type Limiter = RateLimiter<IpAddr, DashMapStateStore<IpAddr>, Ticks, StateInformationMiddleware>;

/// Cheap to clone; clones share the budgets.
#[derive(Clone)]
pub struct Anonymous(Arc<Budgets>);

struct Budgets {
    limiter: Limiter,
    clock: Ticks,
    /// Until when an address has nothing left; the limiter cannot be asked without spending.
    empty: Mutex<HashMap<IpAddr, Duration>>,
    refill: Duration,
    counted: AtomicU64,
    bound: usize,
}

impl Anonymous {
    pub fn new(per_minute: NonZeroU32, clock: Clock) -> Self {
        Self::bounded(per_minute, clock, BUDGETS_MAX)
    }

    fn bounded(per_minute: NonZeroU32, clock: Clock, bound: usize) -> Self {
        let (quota, clock) = (Quota::per_minute(per_minute), Ticks(clock));
        let limiter = RateLimiter::dashmap_with_clock(quota, clock.clone()).with_middleware();
        Self(Arc::new(Budgets {
            limiter,
            clock,
            empty: Mutex::default(),
            refill: quota.replenish_interval(),
            counted: AtomicU64::new(0),
            bound,
        }))
    }

    /// Takes one request from the budget of an address, or says how long to wait. What comes from
    /// nowhere, such as a test without a socket, has no budget.
    pub fn spend(&self, address: Option<IpAddr>) -> Result<(), Fault> {
        let Some(key) = address.map(|address| self.key(address)) else { return Ok(()) };
        self.sweep();
        let (now, budgets) = (self.0.clock.now(), &self.0);
        match budgets.limiter.check_key(&key) {
            Ok(left) if left.remaining_burst_capacity() > 0 => Ok(()),
            Ok(_) => {
                self.mark(key, now + budgets.refill);
                Ok(())
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(now);
                self.mark(key, now + wait);
                Err(Fault::of(Code::RateLimited).retry_after(seconds(wait)))
            }
        }
    }

    /// The seconds until an address may ask again, if it may not now. Takes nothing.
    pub fn is_spent(&self, address: Option<IpAddr>) -> Option<u32> {
        let empty = self.0.empty.lock().unwrap_or_else(PoisonError::into_inner);
        if empty.is_empty() {
            return None;
        }
        let until = *empty.get(&self.key(address?))?;
        let wait = until.checked_sub(self.0.clock.now())?;
        (!wait.is_zero()).then(|| seconds(wait))
    }

    fn mark(&self, key: IpAddr, until: Duration) {
        self.0.empty.lock().unwrap_or_else(PoisonError::into_inner).insert(key, until);
    }

    fn key(&self, address: IpAddr) -> IpAddr {
        let crowded = self.0.limiter.len() >= self.0.bound;
        match (address.to_canonical(), crowded) {
            (IpAddr::V4(address), false) => address.into(),
            (IpAddr::V4(address), true) => {
                let [a, b, ..] = address.octets();
                Ipv4Addr::new(a, b, 0, 0).into()
            }
            (IpAddr::V6(address), crowded) => {
                let bits = if crowded { 32 } else { 64 };
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits))).into()
            }
        }
    }

    fn sweep(&self) {
        let counted = self.0.counted.fetch_add(1, Ordering::Relaxed);
        if !(counted + 1).is_multiple_of(SPENT_PER_SWEEP) {
            return;
        }
        self.0.limiter.retain_recent();
        let now = self.0.clock.now();
        let mut empty = self.0.empty.lock().unwrap_or_else(PoisonError::into_inner);
        empty.retain(|_, until| *until > now);
    }
}

/// Rounded up: who waits that long is let in.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::time::Timestamp;

    fn limited(per_minute: u32) -> (Anonymous, Clock) {
        let clock = Clock::stepped(Timestamp::from_millis(1_800_000_000_000));
        let per_minute = NonZeroU32::new(per_minute).expect("positive");
        (Anonymous::new(per_minute, clock.clone()), clock)
    }

    fn from(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_that_has_spent_its_budget_waits_and_others_do_not() {
        let (anonymous, clock) = limited(3);
        let (mine, other) = (Some(from("192.0.2.1")), Some(from("192.0.2.2")));
        for _ in 0..2 {
            assert!(anonymous.spend(mine).is_ok());
            assert_eq!(anonymous.is_spent(mine), None);
        }
        assert!(anonymous.spend(mine).is_ok());
        assert_eq!(anonymous.is_spent(mine), Some(20));

        let refused = anonymous.spend(mine).expect_err("spent");
        assert_eq!((refused.code(), refused.retry_after_seconds()), (Code::RateLimited, Some(20)));
        assert!(anonymous.spend(other).is_ok() && anonymous.is_spent(other).is_none());

        clock.step(20_000);
        assert_eq!(anonymous.is_spent(mine), None);
        assert!(anonymous.spend(mine).is_ok());
        assert!(anonymous.spend(mine).is_err());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address_and_a_mapped_one_is_ipv4() {
        let (anonymous, _) = limited(1);
        assert!(anonymous.spend(Some(from("2001:db8:0:1::1"))).is_ok());
        assert!(anonymous.spend(Some(from("2001:db8:0:1:ffff::2"))).is_err());
        assert!(anonymous.spend(Some(from("2001:db8:0:2::1"))).is_ok());
        assert!(anonymous.spend(Some(from("::ffff:192.0.2.1"))).is_ok());
        assert!(anonymous.spend(Some(from("192.0.2.1"))).is_err());
        assert!(anonymous.spend(None).is_ok() && anonymous.is_spent(None).is_none());
    }

    #[test]
    fn however_many_addresses_come_memory_is_bounded_and_freed() {
        let clock = Clock::stepped(Timestamp::from_millis(0));
        let anonymous = Anonymous::bounded(NonZeroU32::MIN, clock.clone(), 100);
        for number in 0..10_000_u32 {
            let _ = anonymous.spend(Some(Ipv4Addr::from_bits(0x0A00_0000 + number).into()));
        }
        assert!(anonymous.0.limiter.len() <= 101, "{}", anonymous.0.limiter.len());

        clock.step(120_000);
        for _ in 0..SPENT_PER_SWEEP {
            let _ = anonymous.spend(Some(from("192.0.2.1")));
        }
        assert!(anonymous.0.limiter.len() <= 2);
        assert!(anonymous.0.empty.lock().expect("whole").len() <= 2);
    }

    proptest! {
        #[test]
        fn no_more_than_the_budget_is_ever_let_in(steps in prop::collection::vec(0_i64..5_000, 1..200)) {
            let (anonymous, clock) = limited(30);
            let (mine, mut admitted, mut passed) = (Some(from("192.0.2.1")), 0_i64, 0_i64);
            for step in steps {
                clock.step(step);
                passed += step;
                admitted += i64::from(anonymous.spend(mine).is_ok());
                prop_assert!(admitted <= 30 + passed / 2_000);
            }
        }
    }
}
