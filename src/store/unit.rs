//! A unit on its way through the lane: what it may do, its pure function, its answer.

use std::any::Any;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bson::Document;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::client::{Hints, Inner};
use super::record::Locator;
use super::work::{self, Done, Stop, Work, Written};
use crate::audit::warrant::{Idempotency, Warrant};
use crate::kernel::chance::Chance;
use crate::kernel::fault::{Class, Code, Fault};
use crate::kernel::ids::EntryId;

/// A unit without its types, so that the lane can hold units of all kinds.
pub(super) trait Operation: Send + Sync {
    fn warrant(&self) -> &Warrant;
    fn hints(&self) -> &Hints;
    /// What it is going to change, as names, made once.
    fn names(&self) -> &[String];
    /// Forgets what the last pass answered.
    fn reset(&mut self);
    /// Calls the pure function; whether it answered.
    fn apply(&mut self, work: &mut Work) -> bool;
    fn answered(&self) -> bool;
    fn refuse(&mut self, fault: Fault);
    /// As `refuse`, but it is not the pure function's answer and never remembered.
    fn deny(&mut self, fault: Fault);
    fn replay(&mut self, earlier: Earlier<'_>);
    /// Whether there must be an idempotency record.
    fn remembers(&self) -> bool;
    /// What it must hold, if there must be one.
    fn answer_to_remember(&self) -> Result<Option<Vec<u8>>, String>;
    /// The id of this unit's `nth` entry: the same in every attempt.
    fn entry_id(&mut self, nth: usize, chance: &Chance) -> EntryId;
    /// An entry that the transaction holds for it.
    fn wrote(&mut self, written: Written);
    /// Tells the caller.
    fn finish(self: Box<Self>);
    /// Roughly how much it adds to a transaction, in bytes.
    fn weight(&self) -> usize;
    /// Whether what it does is only looked at, and never kept.
    fn is_rehearsal(&self) -> bool;
    /// Whether nobody waits for the answer any more.
    fn abandoned(&self) -> bool;
}

/// An average record; a body of 64 KiB is rare, and 128 of them still fit a transaction.
const WEIGHT_BYTES: usize = 2048;

/// The stored answer to the same Idempotency-Key.
pub(super) struct Earlier<'a> {
    pub store: &'a Inner,
    pub key: &'a Idempotency,
    pub record: &'a Document,
}

#[derive(Serialize, Deserialize)]
enum Remembered<A> {
    Answer(A),
    Refusal(Fault),
}

pub(super) struct Unit<A, F> {
    pub warrant: Warrant,
    pub hints: Hints,
    names: Vec<String>,
    pub body: F,
    pub reply: oneshot::Sender<Result<Done<A>, Fault>>,
    mode: Mode,
    /// Held while the unit lives: an equal Idempotency-Key is answered 409 meanwhile.
    pub running: Option<Running>,
    state: State<A>,
    entry_ids: Vec<EntryId>,
    written: Vec<Written>,
}

enum State<A> {
    Open,
    Answered(A),
    /// By the pure function: remembered under an Idempotency-Key where its class says so.
    Refused(Fault),
    Denied(Fault),
    Replayed(Result<A, Fault>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    ForGood,
    /// Its answer is that of the records as they are; nothing is written.
    Rehearsal,
}

impl<A, F> Unit<A, F> {
    pub fn new(
        mode: Mode,
        warrant: Warrant,
        hints: Hints,
        body: F,
        reply: oneshot::Sender<Result<Done<A>, Fault>>,
        running: Option<Running>,
    ) -> Self {
        let names = hints.changes.iter().map(Locator::name).collect();
        Self {
            warrant,
            hints,
            names,
            body,
            reply,
            mode,
            running,
            state: State::Open,
            entry_ids: Vec::new(),
            written: Vec::new(),
        }
    }
}

impl<A, F> Operation for Unit<A, F>
where
    A: Serialize + DeserializeOwned + Send + Sync + Any,
    F: FnMut(&mut Work) -> Result<A, Stop> + Send + Sync,
{
    fn warrant(&self) -> &Warrant {
        &self.warrant
    }

    fn hints(&self) -> &Hints {
        &self.hints
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn reset(&mut self) {
        self.state = State::Open;
        self.written.clear();
    }

    fn apply(&mut self, work: &mut Work) -> bool {
        match work::call(&mut self.body, work, &self.warrant) {
            Ok(answer) => self.state = State::Answered(answer),
            Err(Stop::Refused(fault)) => self.state = State::Refused(fault),
            Err(Stop::Missing) => {}
        }
        matches!(self.state, State::Answered(_))
    }

    fn answered(&self) -> bool {
        !matches!(self.state, State::Open)
    }

    fn refuse(&mut self, fault: Fault) {
        self.state = State::Refused(fault);
    }

    fn deny(&mut self, fault: Fault) {
        self.state = State::Denied(fault);
    }

    fn replay(&mut self, earlier: Earlier<'_>) {
        let result = recall(&earlier).and_then(|remembered| match remembered {
            Remembered::Answer(answer) => Ok(answer),
            Remembered::Refusal(fault) => Err(fault.replayed()),
        });
        self.state = State::Replayed(result);
    }

    fn remembers(&self) -> bool {
        match &self.state {
            State::Answered(_) => true,
            State::Refused(fault) => is_final(fault),
            State::Open | State::Denied(_) | State::Replayed(_) => false,
        }
    }

    fn answer_to_remember(&self) -> Result<Option<Vec<u8>>, String> {
        if !self.remembers() {
            return Ok(None);
        }
        let bytes = match &self.state {
            State::Answered(answer) => serde_json::to_vec(&Remembered::Answer(answer)),
            State::Refused(fault) => serde_json::to_vec(&Remembered::<&A>::Refusal(copy(fault))),
            _ => return Ok(None),
        };
        bytes.map(Some).map_err(|_| "an answer cannot be encoded".to_owned())
    }

    fn entry_id(&mut self, nth: usize, chance: &Chance) -> EntryId {
        while self.entry_ids.len() <= nth {
            self.entry_ids.push(EntryId::new(chance, self.warrant.now));
        }
        self.entry_ids[nth]
    }

    fn wrote(&mut self, written: Written) {
        self.written.push(written);
    }

    fn finish(self: Box<Self>) {
        let Self { state, reply, running, written, warrant, .. } = *self;
        let result = match state {
            State::Answered(answer) => {
                warrant.receipts.add(written.iter().map(|written| written.entry));
                Ok(Done { answer, replayed: false, written })
            }
            State::Replayed(Ok(answer)) => Ok(Done { answer, replayed: true, written: Vec::new() }),
            State::Refused(fault) | State::Denied(fault) | State::Replayed(Err(fault)) => {
                Err(fault)
            }
            State::Open => Err(Fault::internal("a unit was finished without an answer")),
        };
        drop(running);
        // A caller that has gone away does not read its answer.
        let _ = reply.send(result);
    }

    fn weight(&self) -> usize {
        WEIGHT_BYTES * (1 + self.hints.changes.len())
    }

    fn is_rehearsal(&self) -> bool {
        self.mode == Mode::Rehearsal
    }

    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

fn recall<A: DeserializeOwned>(earlier: &Earlier<'_>) -> Result<Remembered<A>, Fault> {
    let Earlier { store, key, record } = earlier;
    if record.get_str("fingerprint").ok() != Some(key.fingerprint.as_str()) {
        return Err(Fault::of(Code::IdempotencyKeyReused));
    }
    let bytes = store.open_answer(&key.id, record.get_str("answer").unwrap_or_default())?;
    serde_json::from_slice(&bytes).map_err(|_| Fault::internal("a stored answer cannot be read"))
}

/// Refusals that are an answer to the operation itself, and stay true when it is repeated.
fn is_final(fault: &Fault) -> bool {
    matches!(
        fault.code().class(),
        Class::InsufficientFunds | Class::NotFound | Class::Conflict | Class::Invalid
    )
}

fn copy(fault: &Fault) -> Fault {
    let copy = Fault::new(fault.code(), fault.detail().to_owned());
    let copy = copy.with_errors(fault.errors().to_vec());
    match fault.facts() {
        Some(facts) => copy.with_facts(facts.clone()),
        None => copy,
    }
}

/// The idempotency keys that are being worked on in this process.
#[derive(Clone, Default)]
pub(super) struct InProgress(Arc<Mutex<HashSet<String>>>);

pub(super) struct Running {
    all: InProgress,
    id: String,
}

impl InProgress {
    /// `None` when an operation with this key is running already.
    pub fn enter(&self, id: &str) -> Option<Running> {
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        entered.then(|| Running { all: self.clone(), id: id.to_owned() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_busy_while_its_unit_lives() {
        let keys = InProgress::default();
        let running = keys.enter("key").expect("free");
        assert!(keys.enter("key").is_none());
        assert!(keys.enter("another").is_some());
        drop(running);
        assert!(keys.enter("key").is_some());
    }

    #[test]
    fn only_a_refusal_that_stays_true_is_remembered() {
        let remembered = |code| is_final(&Fault::of(code));
        for code in [Code::NotFound, Code::AlreadyExists, Code::Invalid] {
            assert!(remembered(code), "{}", code.name());
        }
        for code in [
            Code::MalformedRequest,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::RevisionMismatch,
            Code::Internal,
            Code::Overloaded,
            Code::StoreUnavailable,
            Code::OutcomeUnknown,
        ] {
            assert!(!remembered(code), "{}", code.name());
        }
    }

    #[test]
    fn a_remembered_refusal_says_what_the_first_one_said() {
        let first = Fault::invalid("/amount", "not_accepted", "a whole number").because("a cause");
        let stored = serde_json::to_vec(&Remembered::<()>::Refusal(copy(&first))).expect("JSON");
        let again = serde_json::from_slice(&stored).expect("the same type");
        let Remembered::<()>::Refusal(again) = again else { panic!("a refusal") };
        assert_eq!((again.code(), again.detail()), (first.code(), first.detail()));
        assert_eq!(again.errors(), first.errors());
        assert_eq!(again.cause(), None);
    }
}
