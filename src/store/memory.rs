//! Records as the last transactions of this process have left or found them.
//!
//! Who was just written is mostly written again soon, by whoever waits in the lane. So the first attempt
//! takes the user, and the connections that its provisos are about, as they were left. That nobody has
//! changed them since is proven by the write itself, which is guarded by the user's revision: every
//! change of a connection moves it too. Who is not written is read before anything counts. Apps and
//! others that provisos are about are taken as they were found, while the transaction reads whether
//! they still have that revision. What turns out otherwise fails the attempt, and the next ones read.
//!
//! But for the user, only provisos see what is remembered: fields that change without the revision (a
//! key that was sealed anew) must not be copied from here. A user who was changed without their revision,
//! by hand, is forgotten once this process has heard of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bson::oid::ObjectId;
use bson::{Bson, RawDocument, RawDocumentBuf};

use super::presumption::Presumption;
use super::record::{By, Locator, REVISION};
use crate::kernel::ids::UserId;

pub(super) const USERS: &str = "users";
pub(super) const CONNECTIONS: &str = "user_apps";
/// A full memory starts anew: simpler than to remember what was used when.
const BYTES_MAX: usize = 16 << 20;
const TIES_MAX: usize = 8;
const RECORDS_MAX: usize = 1000;

/// A user, and connections of theirs as they were at its revision.
pub(super) struct Person {
    pub user: RawDocumentBuf,
    pub ties: Vec<(ObjectId, RawDocumentBuf)>,
}

impl Person {
    pub fn revision(&self) -> Option<i64> {
        self.user.get_i64(REVISION).ok()
    }

    /// Takes over what an earlier memory of the same revision knows besides.
    pub fn inherit(&mut self, ties: impl Iterator<Item = (ObjectId, RawDocumentBuf)>) {
        for (id, tie) in ties {
            if self.ties.len() < TIES_MAX && self.ties.iter().all(|(known, _)| *known != id) {
                self.ties.push((id, tie));
            }
        }
    }

    fn bytes(&self) -> usize {
        let ties = self.ties.iter().map(|(_, tie)| tie.as_bytes().len());
        self.user.as_bytes().len() + ties.sum::<usize>()
    }
}

/// The user whom a locator is about.
pub(super) fn user_of(locator: &Locator) -> Option<ObjectId> {
    match (locator.collection, &locator.by) {
        (USERS, By::Id(Bson::ObjectId(id))) => Some(*id),
        _ => None,
    }
}

/// Whose connection it is.
pub(super) fn owner(tie: &RawDocument) -> Option<ObjectId> {
    tie.get_object_id("user_id").ok()
}

/// What a transaction leaves to be remembered.
#[derive(Default)]
pub(super) struct Left {
    pub people: Vec<(ObjectId, Person)>,
    /// What provisos were about and is no part of a person, by its name.
    pub records: HashMap<String, RawDocumentBuf>,
}

#[derive(Default)]
pub(super) struct Memory {
    /// Grows when somebody is erased, or may be otherwise than their revision says.
    doubts: AtomicU64,
    people: Mutex<People>,
    records: Mutex<HashMap<String, RawDocumentBuf>>,
    /// Lost for a while when somebody else writes the same people.
    pub trust: Presumption,
}

#[derive(Default)]
struct People {
    all: HashMap<ObjectId, Arc<Person>>,
    bytes: usize,
}

impl Memory {
    pub fn recall(&self, user: &ObjectId) -> Option<Arc<Person>> {
        self.people().all.get(user).cloned()
    }

    pub fn record(&self, name: &str) -> Option<RawDocumentBuf> {
        self.records().get(name).cloned()
    }

    pub fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    /// Unless there is a new doubt: what was left may have been made of what is not so.
    pub fn keep(&self, left: Left, doubts: u64) {
        let mut people = self.people();
        if self.doubts() != doubts {
            return left.people.iter().for_each(|(user, _)| people.remove(user));
        }
        left.people.into_iter().for_each(|(user, person)| people.put(user, person));
        if !left.records.is_empty() {
            let mut records = self.records();
            if records.len() > RECORDS_MAX {
                records.clear();
            }
            records.extend(left.records);
        }
    }

    /// They were erased, or changed without their revision: what is being made of them now is not kept.
    pub fn doubt(&self, user: UserId) {
        let mut people = self.people();
        self.doubts.fetch_add(1, Ordering::AcqRel);
        people.remove(&user.0);
    }

    pub fn forget_all(&self) {
        let mut people = self.people();
        self.doubts.fetch_add(1, Ordering::AcqRel);
        *people = People::default();
        self.records().clear();
    }

    pub fn forget_records(&self) {
        self.records().clear();
    }

    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self) -> MutexGuard<'_, HashMap<String, RawDocumentBuf>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl People {
    fn remove(&mut self, user: &ObjectId) {
        if let Some(old) = self.all.remove(user) {
            self.bytes -= old.bytes();
        }
    }

    fn put(&mut self, user: ObjectId, person: Person) {
        let bytes = person.bytes();
        if self.bytes + bytes > BYTES_MAX {
            *self = Self::default();
        }
        self.bytes += bytes;
        if let Some(old) = self.all.insert(user, Arc::new(person)) {
            self.bytes -= old.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn person(revision: i64, padding: usize) -> Person {
        let user = rawdoc! { "revision": revision, "padding": "x".repeat(padding) };
        Person { user, ties: Vec::new() }
    }

    fn left(byte: u8, person: Person) -> Left {
        Left { people: vec![(id(byte), person)], ..Left::default() }
    }

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes([byte; 12])
    }

    #[test]
    fn the_last_state_counts_until_it_is_forgotten() {
        let memory = Memory::default();
        memory.keep(left(1, person(1, 0)), 0);
        memory.keep(left(1, person(2, 0)), 0);
        assert_eq!(memory.recall(&id(1)).and_then(|person| person.revision()), Some(2));
        assert!(memory.recall(&id(2)).is_none());
        memory.doubt(UserId(id(1)));
        assert!(memory.recall(&id(1)).is_none());
        assert_eq!(memory.people().bytes, 0);
    }

    #[test]
    fn what_was_made_of_somebody_before_they_were_changed_by_hand_is_not_kept() {
        let memory = Memory::default();
        memory.keep(left(1, person(1, 0)), memory.doubts());
        let before = memory.doubts();
        memory.doubt(UserId(id(1)));
        assert!(memory.recall(&id(1)).is_none());
        memory.keep(left(1, person(2, 0)), before);
        assert!(memory.recall(&id(1)).is_none(), "it was made of what was before");
        memory.keep(left(1, person(3, 0)), memory.doubts());
        assert!(memory.recall(&id(1)).is_some());
        memory.forget_all();
        assert!(memory.recall(&id(1)).is_none() && memory.people().bytes == 0);
    }

    #[test]
    fn a_memory_that_is_full_starts_anew() {
        let memory = Memory::default();
        for byte in 0..3 {
            memory.keep(left(byte, person(1, BYTES_MAX / 2)), 0);
        }
        assert!(memory.recall(&id(1)).is_none() && memory.recall(&id(2)).is_some());
        assert!(memory.people().bytes <= BYTES_MAX);
    }

    #[test]
    fn a_connection_that_is_known_better_is_not_taken_over() {
        let mut person = person(1, 0);
        person.ties.push((id(1), rawdoc! { "status": "new" }));
        let old = [(id(1), rawdoc! { "status": "old" }), (id(2), rawdoc! { "status": "other" })];
        person.inherit(old.into_iter());
        let status = |at: usize| person.ties[at].1.get_str("status").ok();
        assert_eq!((status(0), status(1), person.ties.len()), (Some("new"), Some("other"), 2));
    }
}
