//! How often everybody may ask: the meters of this node, and the stock that the nodes share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::figures::{Figures, Limit};
use super::limits::RateLimits;
use super::meter::{Meter, Order, Say, Slice, Unasked};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::quota::Quota;
use crate::kernel::time::{SECOND_MS, Timestamp};
use crate::store::{Leased, Store, Take};

/// Callers whose meters are kept; one that is dropped loses what it has taken, and what it owes.
const METERS_MAX: u64 = 200_000;
const IDLE: Duration = Duration::from_secs(3700);
/// How often a request may find that others were faster.
const TURNS_MAX: usize = 64;

#[derive(Clone)]
pub struct Limiter {
    store: Store,
    meters: Cache<Arc<str>, Arc<Slot>>,
    figures: Figures,
    alone: Arc<Alone>,
}

/// Since when this node is alone on its database, if it is.
struct Alone {
    started: Instant,
    /// The first hour of which nobody else can have taken anything; `SHARED`: it is not alone.
    from_hour: AtomicI64,
    /// Milliseconds since `started`: when that was known last.
    known_at: AtomicU64,
    /// What was taken of whose limits before, in which hour.
    taken: RwLock<(i64, HashMap<String, Leased>)>,
}

const SHARED: i64 = i64::MAX;
/// How many of a window may be spent before the stock is asked, by whoever is alone.
const UNASKED: i64 = 7;
/// A node that could not say for so long that it is alive is not sure of being alone.
const SURE_FOR: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Slot {
    meter: Mutex<Meter>,
    /// One asks the stock at a time, the others wait for what it gets.
    asking: tokio::sync::Mutex<()>,
}

/// Whose limit, and what it is.
pub struct Limited {
    pub whose: Arc<str>,
    pub limits: RateLimits,
}

enum Turn {
    Spent(Quota),
    Refused(usize),
    Asks(usize),
}

impl Limiter {
    pub fn new(store: Store, figures: Figures) -> Self {
        let meters = Cache::builder().max_capacity(METERS_MAX).time_to_idle(IDLE).build();
        let alone = Alone {
            started: Instant::now(),
            from_hour: AtomicI64::new(SHARED),
            known_at: AtomicU64::new(0),
            taken: RwLock::default(),
        };
        Self { store, meters, figures, alone: Arc::new(alone) }
    }

    /// One request of all of these, or of none; what is left of the first.
    pub async fn spend(&self, limited: &[Limited], now: Timestamp) -> Result<Quota, Fault> {
        let slot = |one: &Limited| self.meters.get_with(Arc::clone(&one.whose), Arc::default);
        let slots: Vec<Arc<Slot>> = limited.iter().map(slot).collect();
        for _ in 0..TURNS_MAX {
            match self.turn(limited, &slots, now) {
                Turn::Spent(quota) => {
                    self.figures.admitted.inc();
                    return Ok(quota);
                }
                Turn::Refused(which) => {
                    return Err(self.refuse(&limited[which].whose, &slots[which], now));
                }
                Turn::Asks(which) => {
                    if self.ask(&limited[which], &slots[which], now).await.is_err() {
                        return self.on_credit(limited, &slots, now);
                    }
                }
            }
        }
        Err(Fault::of(Code::Overloaded).retry_after(1))
    }

    async fn ask(&self, limited: &Limited, slot: &Slot, now: Timestamp) -> Result<(), Fault> {
        let _turn = slot.asking.lock().await;
        let said = {
            let mut meter = lock(&slot.meter);
            meter.ask(limited.limits, now, self.alone.unasked(&limited.whose, now))
        };
        // Somebody else has asked meanwhile.
        let Say::Ask(order) = said else { return Ok(()) };
        let Order { minute, of_minute, of_hour } = order;
        self.figures.leases.inc();
        let leased = self.store.lease(&limited.whose, minute, take(of_minute), take(of_hour));
        let taken = leased.await?;
        let got = (of_minute.of(taken.of_minute), of_hour.of(taken.of_hour));
        lock(&slot.meter).receive(order, got.0, got.1);
        Ok(())
    }

    /// The stock is out of reach.
    fn on_credit(
        &self,
        limited: &[Limited],
        slots: &[Arc<Slot>],
        now: Timestamp,
    ) -> Result<Quota, Fault> {
        let nodes = self.store.nodes();
        self.figures.on_credit.inc();
        for (limited, slot) in limited.iter().zip(slots) {
            if !lock(&slot.meter).on_credit(nodes) {
                return Err(self.refuse(&limited.whose, slot, now));
            }
        }
        Ok(slots.first().map_or_else(|| Meter::default().quota(now), |s| lock(&s.meter).quota(now)))
    }

    fn refuse(&self, whose: &str, slot: &Slot, now: Timestamp) -> Fault {
        let meter = lock(&slot.meter);
        let by = match (whose.starts_with("app:"), meter.is_hour_over()) {
            (true, _) => Limit::App,
            (false, true) => Limit::Hour,
            (false, false) => Limit::Minute,
        };
        self.figures.limited(by);
        let wait = u32::try_from(meter.wait_seconds(now)).unwrap_or(1).max(1);
        Fault::of(Code::RateLimited).retry_after(wait).quota(meter.quota(now))
    }
}

impl Limiter {
    /// Locks all, asks all, and spends of all or of none. Whoever comes second is locked second.
    fn turn(&self, limited: &[Limited], slots: &[Arc<Slot>], now: Timestamp) -> Turn {
        let mut meters: Vec<MutexGuard<'_, Meter>> = slots.iter().map(|s| lock(&s.meter)).collect();
        let mut asks = None;
        for (which, (meter, limited)) in meters.iter_mut().zip(limited).enumerate() {
            // Asked once they are locked: what is spent on trust is there to be settled. While an order is
            // under way nothing is: what it brings was not known when this node found itself alone.
            let unasked = match slots[which].asking.try_lock() {
                Ok(_) => self.alone.unasked(&limited.whose, now),
                Err(_) => Unasked::default(),
            };
            match meter.ask(limited.limits, now, unasked) {
                Say::Yes => {}
                Say::No => return Turn::Refused(which),
                Say::Ask(_) => asks = Some(which),
            }
        }
        if let Some(which) = asks {
            return Turn::Asks(which);
        }
        for meter in &mut meters {
            meter.spend();
        }
        meters.first().map_or_else(
            || Turn::Spent(Meter::default().quota(now)),
            |meter| Turn::Spent(meter.quota(now)),
        )
    }

    /// Finds out whether this node is alone, as long as it runs; to be repeated after each return.
    pub async fn keep_company(&self, now: Timestamp) -> Result<(), Fault> {
        let asked = self.alone.started.elapsed();
        let is_alone = self.store.is_alone().await?;
        if self.alone.is_alone() {
            if !is_alone {
                return self.share().await;
            }
            self.alone.is_known_at(asked);
        } else if is_alone {
            let taken = self.store.leased(now).await?;
            if self.store.claim().await? {
                self.alone.begins(hour(now), taken);
            }
        }
        Ok(())
    }

    /// Whether it counts for itself.
    pub fn is_alone(&self) -> bool {
        self.alone.is_alone()
    }

    /// Counts with others from now on: what was let through by itself is written down first.
    pub async fn share(&self) -> Result<(), Fault> {
        self.alone.ends();
        let settle = |(whose, slot): (Arc<Arc<str>>, Arc<Slot>)| {
            let (minute, of_minute, of_hour) = lock(&slot.meter).settle()?;
            Some((whose.to_string(), minute, of_minute, of_hour))
        };
        let debts: Vec<_> = self.meters.iter().filter_map(settle).collect();
        if let Err(fault) = self.store.write_down(debts.clone()).await {
            // Until they are, others wait: the line still says that this node does not share.
            for (whose, minute, of_minute, of_hour) in debts {
                if let Some(slot) = self.meters.get(whose.as_str()) {
                    lock(&slot.meter).owe(minute, of_minute, of_hour);
                }
            }
            self.alone.from_hour.store(SHARED - 1, Ordering::Release);
            return Err(fault);
        }
        self.store.share().await
    }
}

impl Alone {
    fn unasked(&self, whose: &str, now: Timestamp) -> Unasked {
        let known = Duration::from_millis(self.known_at.load(Ordering::Relaxed));
        let is_sure = self.started.elapsed() < known + SURE_FOR;
        if !is_sure || hour(now) < self.from_hour.load(Ordering::Acquire) {
            return Unasked::default();
        }
        let all = Unasked { of_minute: UNASKED, of_hour: UNASKED, taken_of_hour: 0 };
        let taken = self.taken.read().unwrap_or_else(PoisonError::into_inner);
        let Some(leased) = taken.1.get(whose).filter(|_| taken.0 == hour(now)) else { return all };
        // Nobody else is there to take anything in the minutes after that.
        let of_minute = if minute(now) > leased.until_minute { UNASKED } else { 0 };
        Unasked { of_minute, taken_of_hour: leased.of_hour, ..all }
    }

    fn is_alone(&self) -> bool {
        self.from_hour.load(Ordering::Acquire) != SHARED
    }

    /// Where it is not known of whom something was taken, with the next hour.
    fn begins(&self, hour: i64, taken: Option<HashMap<String, Leased>>) {
        let hour = hour + i64::from(taken.is_none());
        let taken = taken.unwrap_or_default();
        *self.taken.write().unwrap_or_else(PoisonError::into_inner) = (hour, taken);
        self.is_known_at(self.started.elapsed());
        self.from_hour.store(hour, Ordering::Release);
    }

    fn is_known_at(&self, moment: Duration) {
        let millis = u64::try_from(moment.as_millis()).unwrap_or(u64::MAX);
        self.known_at.store(millis, Ordering::Relaxed);
    }

    fn ends(&self) {
        self.from_hour.store(SHARED, Ordering::Release);
    }
}

fn hour(now: Timestamp) -> i64 {
    now.timestamp_millis().div_euclid(3600 * SECOND_MS)
}

fn minute(now: Timestamp) -> i64 {
    now.timestamp_millis().div_euclid(60 * SECOND_MS)
}

fn take(slice: Slice) -> Take {
    Take { limit: slice.limit, wanted: slice.wanted, returned: slice.returned }
}

fn lock(meter: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}
