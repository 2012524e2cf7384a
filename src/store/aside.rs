//! Units whose records somebody else holds: each is tried again by itself, on a session apart from
//! the lane's, until its deadline. Units that name a record somebody is waiting for come here at
//! once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::ClientSession;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::client::Inner;
use super::lane::Queued;
use super::settle::{DUPLICATE_TRIES, backoff, give_up, jittered, without_the_late};
use super::trouble::Trouble;
use super::unit::Operation;
use super::write::{self, Manner};
use crate::kernel::fault::{Code, Fault};

/// Sessions for what is set aside; more than this many blocked records wait for each other.
pub(super) const SEATS: usize = 8;
/// Units set aside at one time; beyond it they are refused.
const ASIDE_MAX: usize = 1024;

pub(super) struct Aside {
    seats: Vec<AsyncMutex<ClientSession>>,
    /// Records that somebody aside is waiting for, and how many are.
    blocked: Mutex<HashMap<String, usize>>,
    waiting: AtomicUsize,
    left: Notify,
}

impl Aside {
    pub fn new(seats: Vec<ClientSession>) -> Self {
        Self {
            seats: seats.into_iter().map(AsyncMutex::new).collect(),
            blocked: Mutex::default(),
            waiting: AtomicUsize::new(0),
            left: Notify::new(),
        }
    }

    pub fn take(aside: &Arc<Self>, store: &Arc<Inner>, mut unit: Queued) {
        if aside.waiting.load(Ordering::SeqCst) >= ASIDE_MAX {
            unit.deny(Fault::of(Code::Overloaded).retry_after(1));
            unit.finish();
            return;
        }
        store.figures.aside.inc();
        let (store, aside) = (Arc::clone(store), Arc::clone(aside));
        let names = aside.enter(unit.as_ref());
        tokio::spawn(async move {
            aside.work_on(&store, unit).await;
            aside.leave(&names);
        });
    }

    /// Until nobody is waiting here any more.
    pub async fn finished(&self) {
        loop {
            let left = self.left.notified();
            if self.waiting.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }

    async fn work_on(&self, store: &Inner, unit: Queued) {
        let mut session = self.seats[self.seat(unit.as_ref())].lock().await;
        let mut units = vec![unit];
        let mut tries = 0;
        loop {
            units = without_the_late(units);
            let Some(deadline) = units.first().map(|unit| unit.warrant().deadline) else { return };
            match write::attempt(store, &mut session, &mut units, deadline, Manner::WARY).await {
                Ok(()) => return units.into_iter().for_each(Operation::finish),
                Err(Trouble::Conflict | Trouble::Held(_) | Trouble::Transient(_)) => {}
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

    /// Units for the same record have the same seat: they would only be in each other's way.
    fn seat(&self, unit: &dyn Operation) -> usize {
        let mut hasher = DefaultHasher::new();
        unit.names().first().hash(&mut hasher);
        let seats = u64::try_from(self.seats.len()).unwrap_or(1);
        usize::try_from(hasher.finish() % seats).unwrap_or(0)
    }

    pub fn blocks(&self, unit: &dyn Operation) -> bool {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        !blocked.is_empty() && unit.names().iter().any(|name| blocked.contains_key(name))
    }

    fn enter(&self, unit: &dyn Operation) -> Vec<String> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let names = unit.names().to_vec();
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &names {
            *blocked.entry(name.clone()).or_default() += 1;
        }
        names
    }

    fn leave(&self, names: &[String]) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if let Some(count) = blocked.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    blocked.remove(name);
                }
            }
        }
        drop(blocked);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.left.notify_waiters();
    }
}
