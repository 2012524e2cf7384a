//! The one lane through which every write of this process goes.
//!
//! What is queued is taken into one transaction (group commit). Two transactions may be under way at
//! once, as long as they name different records: while one waits for the database, the other is
//! worked on here. What names a record that is under way waits for it, in its turn.
//!
//! Callers that were answered together come back together. Who takes what is there at once, takes those
//! that waited meanwhile, and the others wait in their turn: all transactions stay half as large as
//! they could be, and each costs the same. So after a transaction the lane waits for those that it has
//! answered, for a small part of the time that the transaction took (`Crowd`). Correctness never
//! depends on the lane; only speed does.

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mongodb::ClientSession;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::aside::Aside;
use super::client::Inner;
use super::settle::settle;
use super::transaction::abort;
use super::unit::Operation;

/// Transactions under way at one time.
const COMMITTERS: usize = 2;
/// Sessions that the lane needs.
pub(super) const SESSIONS: usize = COMMITTERS + super::aside::SEATS;
/// Fewer units than this are neither shared out among idle committers nor sent beside a transaction
/// that is under way: each has its price, and what arrives meanwhile goes with them.
const WORTH_SHARING: usize = 16;
/// A transaction that takes longer than this holds nobody up.
const PATIENCE: Duration = Duration::from_millis(25);
/// The part of a transaction's time that those are waited for whom it has answered, and the most of it.
const LINGER_PART: u32 = 4;
const LINGER_MAX: Duration = Duration::from_millis(4);

pub(super) type Queued = Box<dyn Operation>;

pub(super) struct Lane {
    store: Arc<Inner>,
    idle: Vec<ClientSession>,
    under_way: JoinSet<Landed>,
    /// Records of the transactions under way.
    busy: HashSet<String>,
    /// Taken from the queue, in its order.
    waiting: VecDeque<Queued>,
    /// When the last transaction was sent.
    sent: Instant,
    crowd: Crowd,
    aside: Arc<Aside>,
}

/// A committer that is free again, and what it had.
struct Landed {
    session: ClientSession,
    names: HashSet<String>,
    units: usize,
    took: Duration,
}

/// How many callers there seem to be, and until when they are waited for.
struct Crowd {
    size: usize,
    until: Instant,
}

impl Crowd {
    /// Whether more than these `waiting` are about to come.
    fn is_coming(&self, waiting: usize) -> bool {
        waiting < self.size && Instant::now() < self.until
    }
}

impl Lane {
    /// `sessions` are `SESSIONS` of them.
    pub fn new(store: Arc<Inner>, mut sessions: Vec<ClientSession>) -> Self {
        let idle = sessions.split_off(sessions.len().saturating_sub(COMMITTERS));
        Self {
            store,
            idle,
            under_way: JoinSet::new(),
            busy: HashSet::new(),
            waiting: VecDeque::new(),
            sent: Instant::now(),
            crowd: Crowd { size: 0, until: Instant::now() },
            aside: Arc::new(Aside::new(sessions)),
        }
    }

    /// Works until the queue is closed and empty, and everything taken from it has been answered.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        // What is beyond stays in the queue, whose being full is told to the callers.
        let waiting_max = COMMITTERS * self.store.bounds.operations;
        let mut open = true;
        loop {
            while self.waiting.len() < waiting_max {
                let Ok(unit) = queue.try_recv() else { break };
                self.waiting.push_back(unit);
            }
            self.dispatch();
            let waiting = i64::try_from(self.waiting.len()).unwrap_or(i64::MAX);
            self.store.figures.waiting.set(waiting);
            let more = self.more_is_due().filter(|_| !self.waiting.is_empty());
            let until = more.unwrap_or(self.sent);
            tokio::select! {
                () = tokio::time::sleep_until(until.into()), if more.is_some() => {}
                Some(landed) = self.under_way.join_next() => self.land(landed.ok()),
                unit = queue.recv(), if open && self.waiting.len() < waiting_max => match unit {
                    Some(unit) => self.waiting.push_back(unit),
                    None => open = false,
                },
                else => break,
            }
        }
        self.aside.finished().await;
    }

    /// Until when it is better to wait: for the transaction under way, than to send a few units beside
    /// it; for those who were just answered, than to go without them.
    fn more_is_due(&self) -> Option<Instant> {
        let waiting = self.waiting.len();
        let until = self.sent + PATIENCE;
        if self.idle.is_empty() {
            None
        } else if self.under_way.is_empty() {
            self.crowd.is_coming(waiting).then_some(self.crowd.until)
        } else {
            (waiting < WORTH_SHARING && Instant::now() < until).then_some(until)
        }
    }

    fn dispatch(&mut self) {
        while !self.idle.is_empty() && self.more_is_due().is_none() {
            let mut units = self.take();
            if self.idle.len() > 1 {
                self.give_back(&mut units);
            }
            if units.is_empty() {
                return;
            }
            let Some(mut session) = self.idle.pop() else { return };
            let names = names(&units);
            self.busy.extend(names.iter().cloned());
            self.sent = Instant::now();
            let (sent, count) = (self.sent, units.len());
            let (store, aside) = (Arc::clone(&self.store), Arc::clone(&self.aside));
            self.under_way.spawn(async move {
                let settled = settle(&store, &aside, &mut session, units);
                // The units of a panic are lost, and told so; the committer and the records are not.
                if AssertUnwindSafe(settled).catch_unwind().await.is_err() {
                    tracing::error!("a committer panicked");
                    abort(&mut session).await;
                }
                Landed { session, names, units: count, took: sent.elapsed() }
            });
        }
    }

    fn land(&mut self, landed: Option<Landed>) {
        let Some(Landed { session, names, units, took }) = landed else {
            tracing::error!("a committer was lost; writing goes on with fewer");
            return;
        };
        self.idle.push(session);
        let linger = (took / LINGER_PART).min(LINGER_MAX);
        self.crowd = Crowd { size: units + self.waiting.len(), until: Instant::now() + linger };
        for name in &names {
            self.busy.remove(name);
        }
    }

    /// What waits and may go now, up to the bounds; what waits for a blocked record goes aside.
    fn take(&mut self) -> Vec<Queued> {
        let (mut units, mut bytes) = (Vec::new(), 0);
        let mut kept = VecDeque::new();
        // Whoever stays holds its records for itself, so that nobody overtakes on them.
        let mut held: HashSet<String> = HashSet::new();
        while let Some(unit) = self.waiting.pop_front() {
            let taken = |name: &String| self.busy.contains(name) || held.contains(name);
            let full =
                units.len() >= self.store.bounds.operations || bytes >= self.store.bounds.bytes;
            if self.aside.blocks(unit.as_ref()) {
                Aside::take(&self.aside, &self.store, unit);
            } else if full || unit.names().iter().any(taken) {
                held.extend(unit.names().iter().cloned());
                kept.push_back(unit);
            } else {
                bytes += unit.weight();
                units.push(unit);
            }
        }
        self.waiting = kept;
        units
    }

    /// Leaves half of the units for the other committer, unless they name the same records.
    fn give_back(&mut self, units: &mut Vec<Queued>) {
        if units.len() < WORTH_SHARING {
            return;
        }
        let second = units.split_off(units.len() / 2);
        let first = names(units);
        let (same, other): (Vec<_>, Vec<_>) =
            second.into_iter().partition(|unit| unit.names().iter().any(|n| first.contains(n)));
        units.extend(same);
        for unit in other.into_iter().rev() {
            self.waiting.push_front(unit);
        }
    }
}

fn names(units: &[Queued]) -> HashSet<String> {
    units.iter().flat_map(|unit| unit.names().iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_were_answered_are_waited_for_until_they_are_there_or_their_time_is_over() {
        let crowd = Crowd { size: 3, until: Instant::now() + Duration::from_secs(3600) };
        assert!(crowd.is_coming(0) && crowd.is_coming(2) && !crowd.is_coming(3));
        assert!(!Crowd { until: Instant::now(), ..crowd }.is_coming(2));
    }
}
