//! How often somebody may try to sign in: budgets by identifier and address, by identifier alone,
//! and by address alone.
//!
//! An attempt is paid for before the password is looked at, so that many at once cannot overshoot,
//! and given back when the password was right. Where one budget is empty nothing is paid, so a lock
//! ends by itself and trying during it does not make it longer. Kept are MACs, never an identifier
//! or an address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::governed::Ticks;
use crate::config::sign_in::{Budget as Settings, SignIn};
use crate::crypto::keyring::Keyring;
use crate::kernel::ids::AppId;
use crate::kernel::time::Clock;

pub struct Attempts {
    keyring: Keyring,
    pairs: Budget,
    identifiers: Budget,
    addresses: Budget,
}

/// Who tries to sign in as whom.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    pub app: &'a AppId,
    pub identifier: &'a str,
    /// The person's address, as the app tells it. Without it the app stands in its place, and
    /// no budget by address is touched: all people of the app would share it.
    pub address: Option<IpAddr>,
}

/// What an attempt has cost.
pub struct Paid {
    pair: Mac,
    identifier: Mac,
    address: Option<Mac>,
}

type Mac = [u8; 32];

impl Attempts {
    pub fn new(config: &SignIn, clock: &Clock, keyring: Keyring) -> Self {
        Self {
            keyring,
            pairs: Budget::new(config.pair, clock),
            identifiers: Budget::new(config.identifier, clock),
            addresses: Budget::new(config.address, clock),
        }
    }

    /// Pays for one attempt; `None` where a budget is empty, and then nothing is paid.
    pub fn pay(&self, attempt: &Attempt<'_>) -> Option<Paid> {
        let paid = self.named(attempt);
        if !self.pairs.pay(&paid.pair) {
            return None;
        }
        if !self.identifiers.pay(&paid.identifier) {
            self.pairs.give_back(&paid.pair);
            return None;
        }
        if paid.address.is_some_and(|address| !self.addresses.pay(&address)) {
            self.pairs.give_back(&paid.pair);
            self.identifiers.give_back(&paid.identifier);
            return None;
        }
        Some(paid)
    }

    /// It was no guess after all.
    pub fn give_back(&self, paid: &Paid) {
        self.pairs.give_back(&paid.pair);
        self.identifiers.give_back(&paid.identifier);
        if let Some(address) = &paid.address {
            self.addresses.give_back(address);
        }
    }

    fn named(&self, attempt: &Attempt<'_>) -> Paid {
        let Attempt { app, identifier, address } = attempt;
        let mac = |kind: &str, parts: [&str; 2]| {
            let parts = [kind.as_bytes(), parts[0].as_bytes(), parts[1].as_bytes()];
            self.keyring.mac_bytes("sign_in", &parts)
        };
        let network = address.map(network);
        Paid {
            pair: match &network {
                Some(network) => mac("pair", [identifier, network]),
                None => mac("pair_by_app", [identifier, app.as_str()]),
            },
            identifier: mac("identifier", [identifier, ""]),
            address: network.map(|network| mac("address", [&network, ""])),
        }
    }
}

/// One household has a whole /64 of IPv6, so that much counts as one address.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(prefix).to_string()
        }
    }
}

struct Budget {
    limiter: RateLimiter<Mac, Book, Ticks, NoOpMiddleware<Duration>>,
    book: Book,
    /// What one attempt costs, in time.
    price: u64,
}

impl Budget {
    fn new(settings: Settings, clock: &Clock) -> Self {
        let refill = Duration::from_secs(u64::from(settings.refill_seconds.max(1)));
        let burst = NonZeroU32::new(settings.attempts).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(refill).expect("at least a second").allow_burst(burst);
        let book = Book::default();
        let price = u64::try_from(refill.as_nanos()).expect("a u32 of seconds is below 2^64 ns");
        let limiter = RateLimiter::new(quota, book.clone(), Ticks(clock.clone()));
        Self { limiter, book, price }
    }

    fn pay(&self, key: &Mac) -> bool {
        self.limiter.check_key(key).is_ok()
    }

    fn give_back(&self, key: &Mac) {
        if let Some(due) = self.book.lock().get_mut(key) {
            *due = Nanos::new(due.as_u64().saturating_sub(self.price));
        }
    }
}

/// By key, when its budget is whole again. Not the crate's own store: that one can neither give
/// back nor keep a bound.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<HashMap<Mac, Nanos>>>);

/// Keys in one book: about 6 MB.
const KEYS_MAX: usize = 65_536;

impl Book {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Mac, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Book {
    type Key = Mac;

    fn measure_and_replace<T, F, E>(&self, key: &Mac, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut dues = self.lock();
        let (outcome, due) = measure(dues.get(key).copied())?;
        if dues.len() >= KEYS_MAX && !dues.contains_key(key) {
            forget_half(&mut dues);
        }
        dues.insert(*key, due);
        Ok(outcome)
    }
}

/// Those that are whole again first, or will be soonest: whoever is locked stays so, however many
/// keys a flood brings.
fn forget_half(dues: &mut HashMap<Mac, Nanos>) {
    let mut sorted: Vec<Nanos> = dues.values().copied().collect();
    let (_, median, _) = sorted.select_nth_unstable(KEYS_MAX / 2);
    let median = *median;
    let above = dues.values().filter(|due| **due > median).count();
    let mut ties = (KEYS_MAX / 2).saturating_sub(above);
    dues.retain(|_, due| {
        let kept = *due > median || (*due == median && ties > 0);
        ties -= usize::from(kept && *due == median);
        kept
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::ids::Name;
    use crate::kernel::time::Timestamp;
    use proptest::prelude::*;

    const START_MS: i64 = 1_700_000_000_000;

    fn clock() -> Clock {
        Clock::stepped(Timestamp::from_millis(START_MS))
    }

    fn budget(attempts: u32, refill_seconds: u32) -> Settings {
        Settings { attempts, refill_seconds }
    }

    fn attempts(clock: &Clock) -> Attempts {
        let keyring = Keyring::parse(
            "m1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            "p1:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=",
        );
        let config =
            SignIn { pair: budget(3, 90), identifier: budget(5, 36), address: budget(8, 36) };
        Attempts::new(&config, clock, keyring.expect("a keyring"))
    }

    fn tried(attempts: &Attempts, identifier: &str, address: &str) -> bool {
        let app = Name::parse("shop").expect("a name");
        let address = address.parse().ok();
        attempts.pay(&Attempt { app: &app, identifier, address }).is_some()
    }

    #[test]
    fn a_lock_ends_by_itself_and_trying_does_not_make_it_longer() {
        let clock = clock();
        let attempts = attempts(&clock);
        assert!((0..3).all(|_| tried(&attempts, "ada", "192.0.2.1")));
        for _ in 0..89 {
            assert!(!tried(&attempts, "ada", "192.0.2.1"));
            clock.step(1000);
        }
        clock.step(1000);
        assert!(tried(&attempts, "ada", "192.0.2.1"));
        assert!(!tried(&attempts, "ada", "192.0.2.1"));
    }

    #[test]
    fn an_identifier_and_an_address_have_budgets_of_their_own() {
        let attempts = attempts(&clock());
        let tried = |identifier: &str, address: &str| tried(&attempts, identifier, address);
        assert!((1..=5).all(|at| tried("ada", &format!("192.0.2.{at}"))), "from everywhere");
        assert!(!tried("ada", "192.0.2.6"), "five for the identifier");
        assert!((0..8).all(|at| tried(&format!("bob{at}"), "198.51.100.1")));
        assert!(!tried("bob8", "198.51.100.1"), "eight for the address");
        assert!(tried("bob8", "198.51.100.2"), "what was refused has cost nothing");
    }

    #[test]
    fn without_an_address_people_of_one_app_do_not_share_a_budget() {
        let attempts = attempts(&clock());
        assert!((0..50).all(|at| tried(&attempts, &format!("person{at}"), "")));
        assert!((0..3).all(|_| tried(&attempts, "ada", "")) && !tried(&attempts, "ada", ""));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_does_not_open_a_lock() {
        let clock = clock();
        let budget = Budget::new(budget(2, 60), &clock);
        let locked = [255; 32];
        assert!(budget.pay(&locked) && budget.pay(&locked) && !budget.pay(&locked));
        for at in 0..u64::try_from(KEYS_MAX).expect("few") + 10 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&at.to_be_bytes());
            assert!(budget.pay(&key));
        }
        assert!(budget.book.lock().len() <= KEYS_MAX);
        assert!(!budget.pay(&locked));
    }

    proptest! {
        #[test]
        fn no_more_is_admitted_than_the_budget_holds(
            steps in prop::collection::vec((0_i64..200_000, prop::bool::weighted(0.1)), 1..200),
        ) {
            let clock = clock();
            let budget = Budget::new(budget(5, 60), &clock);
            let (mut elapsed, mut spent) = (0, 0);
            for (pause, right) in steps {
                clock.step(pause);
                elapsed += pause;
                if budget.pay(&[1; 32]) {
                    if right { budget.give_back(&[1; 32]) } else { spent += 1 }
                }
                prop_assert!(spent <= 5 + elapsed / 60_000, "{spent} in {elapsed} ms");
            }
        }
    }
}
