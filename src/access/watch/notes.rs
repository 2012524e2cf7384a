//! Counting in memory, so that nobody waits for an entry, and nobody can flood the trail.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::{Event, Sighting};
use crate::access::figures::Figures;
use crate::audit::actor::Whose;
use crate::kernel::time::{self, SECOND_MS, Timestamp};

/// Holders and minutes of one kind; what comes beyond is counted in the figures alone.
const KEPT: usize = 4096;
/// Addresses that are told apart; so many stand for "so many or more".
const ADDRESSES_MAX: usize = 64;
const MINUTE_MS: i64 = 60 * SECOND_MS;
/// Requests that came in a minute may be answered after it.
const GRACE_MS: i64 = 10 * SECOND_MS;

/// What is counted on this node and not yet written.
pub struct Watch {
    notes: Mutex<[Notes; Event::ALL.len()]>,
    woken: Notify,
    closed: AtomicBool,
    figures: Figures,
}

type Notes = HashMap<(Whose, i64), Counted>;

/// Of one minute.
#[derive(Default)]
struct Counted {
    first: Option<Tally>,
    rest: Option<Tally>,
}

/// Occurrences that become one entry.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// What is true of all of them.
    pub sighting: Sighting,
    pub count: i64,
    pub addresses: HashSet<IpAddr>,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Of the last one: a word from the code.
    pub reason: Option<&'static str>,
}

/// What is to be written.
pub(super) struct Noted {
    pub event: Event,
    pub minute: i64,
    pub is_first: bool,
    pub tally: Tally,
}

/// Which of it.
#[derive(Debug, Clone, Copy)]
pub enum Due {
    /// Firsts, and what was counted in minutes that are over.
    By(Timestamp),
    /// As Purser stops.
    Everything,
}

impl Watch {
    pub fn new(figures: Figures) -> Self {
        let (notes, woken, closed) = (Mutex::default(), Notify::new(), AtomicBool::new(false));
        Self { notes, woken, closed, figures }
    }

    pub fn note(&self, event: Event, sighting: Sighting, reason: Option<&'static str>) {
        self.figures.seen(event.name());
        let key = (sighting.whose.clone(), minute(sighting.at));
        let tally = Tally::of(sighting, reason);
        let mut notes = self.lock();
        let notes = &mut notes[event as usize];
        let has_room = notes.len() < KEPT;
        match notes.entry(key) {
            Entry::Occupied(mut counted) => Tally::add(&mut counted.get_mut().rest, tally),
            Entry::Vacant(place) if has_room => {
                place.insert(Counted { first: Some(tally), rest: None });
                self.woken.notify_one();
            }
            Entry::Vacant(_) => self.figures.lost(1),
        }
    }

    /// Returns when there is a first to be written, or nothing more will come.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Ends the worker, between two times of writing.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.woken.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn take(&self, due: Due) -> Vec<Noted> {
        let (mut firsts, mut rests) = (Vec::new(), Vec::new());
        let mut notes = self.lock();
        for (event, notes) in Event::ALL.into_iter().zip(notes.iter_mut()) {
            notes.retain(|(_, minute), counted| {
                let noted = |is_first, tally| Noted { event, minute: *minute, is_first, tally };
                firsts.extend(counted.first.take().map(|tally| noted(true, tally)));
                let is_over = match due {
                    Due::By(now) => *minute < self::minute(time::plus(now, -GRACE_MS)),
                    Due::Everything => true,
                };
                if is_over {
                    rests.extend(counted.rest.take().map(|tally| noted(false, tally)));
                }
                !is_over
            });
        }
        firsts.append(&mut rests);
        firsts.sort_by_key(|noted| (noted.minute, !noted.is_first));
        firsts
    }

    /// What could not be written waits for the next time.
    pub(super) fn give_back(&self, noted: Noted) {
        let Noted { event, minute, is_first, tally } = noted;
        let mut notes = self.lock();
        let notes = &mut notes[event as usize];
        let key = (tally.sighting.whose.clone(), minute);
        if notes.len() >= KEPT && !notes.contains_key(&key) {
            return self.figures.lost(tally.count);
        }
        let counted = notes.entry(key).or_default();
        Tally::add(if is_first { &mut counted.first } else { &mut counted.rest }, tally);
    }

    /// What will never be written.
    pub(super) fn give_up(&self, noted: &Noted) {
        self.figures.lost(noted.tally.count);
    }

    fn lock(&self) -> MutexGuard<'_, [Notes; Event::ALL.len()]> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn of(sighting: Sighting, reason: Option<&'static str>) -> Self {
        let (since, until) = (sighting.at, sighting.at);
        let addresses = sighting.address.into_iter().collect();
        Self { sighting, count: 1, addresses, since, until, reason }
    }

    fn add(sum: &mut Option<Self>, other: Self) {
        let Some(sum) = sum else {
            *sum = Some(other);
            return;
        };
        sum.sighting.in_common(&other.sighting);
        sum.count += other.count;
        let room = ADDRESSES_MAX.saturating_sub(sum.addresses.len());
        let new: Vec<_> = other.addresses.difference(&sum.addresses).take(room).copied().collect();
        sum.addresses.extend(new);
        sum.since = sum.since.min(other.since);
        sum.until = sum.until.max(other.until);
        sum.reason = other.reason;
    }
}

fn minute(at: Timestamp) -> i64 {
    at.timestamp_millis().div_euclid(MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::actor::Actor;
    use crate::kernel::ids::Name;
    use proptest::prelude::*;

    fn seen(holder: u32, millis: i64, address: u8) -> Sighting {
        let app = Name::parse(&format!("app_{holder}")).expect("a name");
        Sighting {
            whose: Whose::App(app.clone()),
            actor: Actor::app(&app),
            user_id: None,
            app_id: Some(app),
            connection_id: None,
            address: Some(IpAddr::from([192, 0, 2, address])),
            ip_address: Some(format!("192.0.2.{address}")),
            asserted_by: None,
            request_id: None,
            at: Timestamp::from_millis(millis),
        }
    }

    fn counts(noted: &[Noted]) -> Vec<i64> {
        noted.iter().map(|noted| noted.tally.count).collect()
    }

    #[test]
    fn the_first_of_a_minute_is_due_at_once_and_the_rest_when_it_is_over() {
        let watch = Watch::new(Figures::default());
        for at in 0..10_u8 {
            watch.note(Event::KeyRefused, seen(1, 1000 * i64::from(at), at % 3), Some("why"));
        }
        let by = |millis| Due::By(Timestamp::from_millis(millis));
        assert_eq!(counts(&watch.take(by(59_999))), [1]);
        assert!(watch.take(by(69_999)).is_empty());
        let rest = watch.take(by(70_000));
        assert_eq!(counts(&rest), [9]);
        let tally = &rest[0].tally;
        assert_eq!((tally.addresses.len(), tally.since.timestamp_millis()), (3, 1000));
        assert_eq!(tally.sighting.ip_address, None, "they came from several");
        assert!(watch.take(Due::Everything).is_empty());
    }

    #[test]
    fn a_flood_of_holders_or_addresses_is_bounded_and_what_is_beyond_is_counted() {
        let figures = Figures::default();
        let watch = Watch::new(figures.clone());
        for holder in 0..5000 {
            watch.note(Event::LimitTripped, seen(holder, 0, 1), None);
        }
        watch.note(Event::KeyRefused, seen(1, 0, 1), None);
        for address in 0..=255 {
            watch.note(Event::KeyRefused, seen(1, 0, address), None);
        }
        let noted = watch.take(Due::Everything);
        assert_eq!(noted.len(), KEPT + 2);
        assert_eq!(noted.last().map(|noted| noted.tally.addresses.len()), Some(ADDRESSES_MAX));
        assert_eq!(figures.unwritten.get(), 5000 - u64::try_from(KEPT).expect("few"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_counted_twice_whatever_fails(
            steps in prop::collection::vec((0_u32..4, 0_i64..30_000, any::<bool>(), any::<bool>()), 1..100),
        ) {
            let watch = Watch::new(Figures::default());
            let (mut now, mut noted_in_all, mut written) = (0, 0, Vec::new());
            for (holder, pause, takes, fails) in steps {
                now += pause;
                watch.note(Event::SignInFailed, seen(holder, now, 1), None);
                noted_in_all += 1;
                if takes {
                    for noted in watch.take(Due::By(Timestamp::from_millis(now))) {
                        if fails { watch.give_back(noted) } else { written.push(noted) }
                    }
                }
            }
            written.extend(watch.take(Due::Everything));
            prop_assert_eq!(counts(&written).iter().sum::<i64>(), noted_in_all);
            let mut entries: HashMap<_, usize> = HashMap::new();
            for noted in &written {
                let key = (noted.tally.sighting.whose.clone(), noted.minute);
                *entries.entry(key).or_default() += 1;
            }
            prop_assert!(entries.values().all(|entries| *entries <= 2));
        }
    }
}
