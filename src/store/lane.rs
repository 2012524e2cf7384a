//! The one lane through which every write of this process goes.
//!
//! What is queued is taken into one transaction, without lingering (group commit). An attempt that
//! fails as a whole is repeated once and then halved until the culprit stands alone; the culprit is
//! *set aside*: tried again by itself, on a session of its own, until its deadline, so that one
//! blocked record never holds up the others. Units that name a record somebody is waiting for go
//! aside at once. Correctness never depends on the lane; only speed does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mongodb::ClientSession;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;

use super::client::Inner;
use super::trouble::{Trouble, unavailable};
use super::unit::Operation;
use super::write;
use crate::kernel::fault::{Code, Fault};

/// Sessions for what is set aside; more than this many blocked records wait for each other.
pub(super) const SEATS: usize = 8;
/// Units set aside at one time; beyond it they are refused.
const ASIDE_MAX: usize = 1024;
/// How often a unique value may turn up as taken before that is the answer.
const DUPLICATE_TRIES: u32 = 4;
const BACKOFF_FIRST: Duration = Duration::from_millis(4);
const BACKOFF_MAX: Duration = Duration::from_millis(250);

pub(super) type Queued = Box<dyn Operation>;

pub(super) struct Lane {
    store: Arc<Inner>,
    session: ClientSession,
    aside: Arc<Aside>,
    tasks: JoinSet<()>,
}

struct Aside {
    seats: Vec<AsyncMutex<ClientSession>>,
    next: AtomicUsize,
    /// Records that somebody aside is waiting for, and how many are.
    blocked: Mutex<HashMap<String, usize>>,
    waiting: AtomicUsize,
}

impl Lane {
    pub fn new(store: Arc<Inner>, session: ClientSession, seats: Vec<ClientSession>) -> Self {
        let aside = Aside {
            seats: seats.into_iter().map(AsyncMutex::new).collect(),
            next: AtomicUsize::new(0),
            blocked: Mutex::default(),
            waiting: AtomicUsize::new(0),
        };
        Self { store, session, aside: Arc::new(aside), tasks: JoinSet::new() }
    }

    /// Works until the queue is closed and empty, and what was set aside has been answered.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        while let Some(first) = queue.recv().await {
            let units = self.take(first, &mut queue);
            self.settle(units).await;
            while self.tasks.try_join_next().is_some() {}
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// What is queued now, up to the bound; what waits for a blocked record goes aside.
    fn take(&mut self, first: Queued, queue: &mut mpsc::Receiver<Queued>) -> Vec<Queued> {
        let mut units = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(unit) = next {
            if self.aside.blocks(unit.as_ref()) {
                self.set_aside(unit);
            } else {
                bytes += unit.weight();
                units.push(unit);
            }
            let full =
                units.len() >= self.store.bounds.operations || bytes >= self.store.bounds.bytes;
            next = if full { None } else { queue.try_recv().ok() };
        }
        units
    }

    /// Brings every unit to an answer, or aside.
    async fn settle(&mut self, units: Vec<Queued>) {
        let mut groups = vec![(units, Attempts::default())];
        while let Some((units, attempts)) = groups.pop() {
            let mut units = without_the_late(units);
            let Some(deadline) = units.iter().map(|unit| unit.warrant().deadline).max() else {
                continue;
            };
            let outcome =
                write::attempt(&self.store, &mut self.session, &mut units, deadline).await;
            let Err(trouble) = outcome else {
                units.into_iter().for_each(Operation::finish);
                continue;
            };
            tracing::debug!(?trouble, units = units.len(), "an attempt failed");
            match attempts.next(&trouble, units.len()) {
                Next::Again { pause, attempts } => {
                    tokio::time::sleep(pause).await;
                    groups.push((units, attempts));
                }
                Next::Halve => {
                    let second = units.split_off(units.len() / 2);
                    groups.push((second, Attempts::halved()));
                    groups.push((units, Attempts::halved()));
                }
                Next::SetAside => units.into_iter().for_each(|unit| self.set_aside(unit)),
                Next::GiveUp(code) => give_up(units, code, &trouble),
            }
        }
    }

    fn set_aside(&mut self, mut unit: Queued) {
        if self.aside.waiting.load(Ordering::Relaxed) >= ASIDE_MAX {
            unit.deny(Fault::of(Code::Overloaded).retry_after(1));
            unit.finish();
            return;
        }
        let (store, aside) = (Arc::clone(&self.store), Arc::clone(&self.aside));
        let waiting = aside.enter(unit.as_ref());
        self.tasks.spawn(async move {
            aside.work_on(&store, unit).await;
            aside.leave(&waiting);
        });
    }
}

/// How often a group of units was tried, and what comes next.
#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    conflicts: u32,
    transients: u32,
}

enum Next {
    Again { pause: Duration, attempts: Attempts },
    Halve,
    SetAside,
    GiveUp(Code),
}

impl Attempts {
    /// A half of a group that has failed twice is halved at its first failure.
    fn halved() -> Self {
        Self { conflicts: 1, transients: 0 }
    }

    fn next(self, trouble: &Trouble, units: usize) -> Next {
        match trouble {
            Trouble::InDoubt => Next::GiveUp(Code::OutcomeUnknown),
            Trouble::Transient(_) => Next::Again {
                pause: backoff(self.transients),
                attempts: Self { transients: self.transients + 1, ..self },
            },
            // Once more as it is: mostly another node has just changed a record.
            Trouble::Conflict | Trouble::Duplicate if self.conflicts == 0 => {
                Next::Again { pause: Duration::ZERO, attempts: Self { conflicts: 1, ..self } }
            }
            _ if units > 1 => Next::Halve,
            Trouble::Conflict => Next::SetAside,
            Trouble::Duplicate if self.conflicts < DUPLICATE_TRIES => Next::Again {
                pause: BACKOFF_FIRST,
                attempts: Self { conflicts: self.conflicts + 1, ..self },
            },
            Trouble::Duplicate => Next::GiveUp(Code::AlreadyExists),
            Trouble::Rejected(_) | Trouble::Broken(_) => Next::GiveUp(Code::Internal),
        }
    }
}

impl Aside {
    async fn work_on(&self, store: &Inner, unit: Queued) {
        let seat = self.next.fetch_add(1, Ordering::Relaxed) % self.seats.len();
        let mut session = self.seats[seat].lock().await;
        let mut units = vec![unit];
        let mut tries = 0;
        loop {
            units = without_the_late(units);
            let Some(deadline) = units.first().map(|unit| unit.warrant().deadline) else { return };
            match write::attempt(store, &mut session, &mut units, deadline).await {
                Ok(()) => return units.into_iter().for_each(Operation::finish),
                Err(Trouble::Conflict | Trouble::Transient(_)) => {}
                Err(Trouble::Duplicate) if tries < DUPLICATE_TRIES => {}
                Err(Trouble::Duplicate) => {
                    return give_up(units, Code::AlreadyExists, &Trouble::Duplicate);
                }
                Err(Trouble::InDoubt) => {
                    return give_up(units, Code::OutcomeUnknown, &Trouble::InDoubt);
                }
                Err(trouble) => return give_up(units, Code::Internal, &trouble),
            }
            tokio::time::sleep(jittered(backoff(tries), store)).await;
            tries += 1;
        }
    }

    fn blocks(&self, unit: &dyn Operation) -> bool {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        !blocked.is_empty() && unit.hints().iter().any(|hint| blocked.contains_key(&hint.name()))
    }

    fn enter(&self, unit: &dyn Operation) -> Vec<String> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let names: Vec<_> = unit.hints().iter().map(super::record::Locator::name).collect();
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &names {
            *blocked.entry(name.clone()).or_default() += 1;
        }
        names
    }

    fn leave(&self, names: &[String]) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if let Some(count) = blocked.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    blocked.remove(name);
                }
            }
        }
    }
}

/// Units whose deadline has passed before anything of them was committed are answered so.
fn without_the_late(units: Vec<Queued>) -> Vec<Queued> {
    let now = Instant::now();
    let (late, live): (Vec<_>, Vec<_>) =
        units.into_iter().partition(|unit| unit.warrant().deadline <= now || unit.abandoned());
    for mut unit in late {
        unit.deny(unavailable().because("the deadline passed before the unit could be committed"));
        unit.finish();
    }
    live
}

fn give_up(units: Vec<Queued>, code: Code, trouble: &Trouble) {
    for mut unit in units {
        let fault = Fault::of(code).because(format!("{trouble:?}"));
        unit.deny(if code == Code::OutcomeUnknown { fault.retry_after(1) } else { fault });
        unit.finish();
    }
}

fn backoff(tries: u32) -> Duration {
    (BACKOFF_FIRST * 2_u32.saturating_pow(tries.min(8))).min(BACKOFF_MAX)
}

fn jittered(pause: Duration, store: &Inner) -> Duration {
    let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(micros / 2 + store.chance.below(micros / 2 + 1))
}
