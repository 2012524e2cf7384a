//! From the records and entries of a batch to the commands that write them. Pure but for the
//! nonces of sealing, which are fresh in each attempt.

use std::collections::{BTreeMap, HashMap};

use bson::raw::{CStr, RawArrayBuf, cstr};
use bson::{Bson, RawDocument, RawDocumentBuf, rawdoc};

use super::batch::{Batch, Note, Posted};
use super::dues;
use super::record::{Locator, REVISION};
use crate::audit::actor::Subject;
use crate::audit::bytes;
use crate::audit::entry::Entry;
use crate::audit::seal::{self, Sensitivity};
use crate::audit::warrant::Warrant;
use crate::crypto::envelope::DataKey;
use crate::kernel::chance::Chance;
use crate::kernel::ids::{EntryId, UserId};

/// One command of the transaction. Each of its statements must touch one document.
pub(super) struct Posting {
    pub collection: &'static str,
    verb: Verb,
    pub statements: Vec<RawDocumentBuf>,
    /// The record, where the command is about one alone.
    pub record: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Update,
    Delete,
    Insert,
}

impl Verb {
    /// Its own name, and that of its statements.
    fn names(self) -> (&'static CStr, &'static CStr) {
        match self {
            Self::Update => (cstr!("update"), cstr!("updates")),
            Self::Delete => (cstr!("delete"), cstr!("deletes")),
            Self::Insert => (cstr!("insert"), cstr!("documents")),
        }
    }
}

impl Posting {
    fn new(collection: &'static str, verb: Verb, statements: Vec<RawDocumentBuf>) -> Option<Self> {
        let some = !statements.is_empty();
        some.then_some(Self { collection, verb, statements, record: None })
    }

    pub fn command(&self) -> RawDocumentBuf {
        let (verb, field) = self.verb.names();
        let mut statements = RawArrayBuf::new();
        for statement in &self.statements {
            statements.push(statement);
        }
        let mut command = RawDocumentBuf::new();
        command.append(verb, self.collection);
        command.append(field, &statements);
        command.append(cstr!("ordered"), true);
        command
    }

    pub fn count(&self) -> i64 {
        i64::try_from(self.statements.len()).unwrap_or(i64::MAX)
    }

    /// The same updates as a command each, so that the one that fails says which record is held.
    pub fn one_by_one(self) -> Vec<Self> {
        if self.verb != Verb::Update {
            return vec![self];
        }
        let Self { collection, verb, statements, .. } = self;
        let one = |statement: RawDocumentBuf| {
            let id = statement.get_document("q").ok()?.get("_id").ok()??;
            let id = Bson::try_from(id).ok()?;
            let record = Some(Locator::id(collection, id).name());
            Some(Self { collection, verb, statements: vec![statement], record })
        };
        statements.into_iter().filter_map(one).collect()
    }
}

type Statements = BTreeMap<&'static str, Vec<RawDocumentBuf>>;

/// What becomes of records that were there: a command for each collection and kind of write. A record
/// that carries a revision is guarded by the one it was loaded with.
pub(super) fn changes(batch: &Batch) -> Result<Vec<Posting>, String> {
    let (mut updates, mut deletes) = (Statements::new(), Statements::new());
    for slot in batch.slots().filter(|slot| slot.is_changed()) {
        let Some(before) = slot.initial() else { continue };
        let Some(after) = slot.current() else {
            let delete = rawdoc! { "q": guard(before)?, "limit": 1 };
            deletes.entry(slot.collection).or_default().push(delete);
            continue;
        };
        if let Some(update) = bytes::update(before, after).map_err(no_bson)? {
            let update = rawdoc! { "q": guard(before)?, "u": update };
            updates.entry(slot.collection).or_default().push(update);
        }
    }
    Ok(postings(Verb::Update, updates).chain(postings(Verb::Delete, deletes)).collect())
}

/// The marks that have moved with their records.
pub(super) fn marks(batch: &Batch) -> Option<Posting> {
    let moved = batch.slots().filter(|slot| slot.is_changed()).filter_map(dues::statement);
    Posting::new(dues::DUES, Verb::Update, moved.collect())
}

/// Records that were not there.
pub(super) fn creations(batch: &Batch) -> Vec<Posting> {
    let mut inserts = Statements::new();
    for slot in batch.slots().filter(|slot| slot.initial().is_none()) {
        if let Some(new) = slot.current() {
            inserts.entry(slot.collection).or_default().push(new.to_owned());
        }
    }
    postings(Verb::Insert, inserts).collect()
}

fn postings(verb: Verb, by_collection: Statements) -> impl Iterator<Item = Posting> {
    by_collection.into_iter().filter_map(move |(name, all)| Posting::new(name, verb, all))
}

fn no_bson(_: bson::error::Error) -> String {
    "a record that is no BSON".to_owned()
}

fn guard(before: &RawDocument) -> Result<RawDocumentBuf, String> {
    let mut filter = RawDocumentBuf::new();
    for name in [cstr!("_id"), REVISION] {
        if let Some(value) = before.get(name).map_err(no_bson)? {
            filter.append(name, value);
        }
    }
    Ok(filter)
}

pub(super) fn insert(collection: &'static str, documents: Vec<RawDocumentBuf>) -> Option<Posting> {
    Posting::new(collection, Verb::Insert, documents)
}

/// The user whose data key an entry needs, if it needs one.
pub(super) fn needs_key(posted: &Posted) -> Option<UserId> {
    let personal = |change: &seal::Classified| change.sensitivity == Sensitivity::Personal;
    match posted.draft.subject {
        Subject::User(id) if posted.draft.changes.iter().any(personal) => Some(id),
        _ => None,
    }
}

/// A note as its record keeps it.
pub(super) fn sealed(note: &Note, key: &DataKey, chance: &Chance) -> Result<String, String> {
    let plain = note.plain.to_vec().map_err(|_| "a note that is no BSON")?;
    Ok(key.seal_value(chance, &note.id, note.field, &plain))
}

pub(super) fn entry(
    posted: &Posted,
    id: EntryId,
    warrant: &Warrant,
    keys: &HashMap<UserId, DataKey>,
    chance: &Chance,
) -> Result<RawDocumentBuf, String> {
    let subject = &posted.draft.subject;
    let user = if let Subject::User(id) = subject { Some(*id) } else { None };
    let key = user.as_ref().and_then(|id| keys.get(id));
    let entry = Entry {
        id,
        user_id: user.or(warrant.user_id),
        app_id: warrant.app_id.clone(),
        action: warrant.action.to_owned(),
        module: warrant.module.clone().into_owned(),
        changes: seal::seal(&posted.draft.changes, key, id, chance)?,
        timestamp: posted.timestamp,
        ip_address: warrant.ip_address.clone(),
        subject: subject.to_string(),
        seq: posted.seq,
        actor: warrant.actor.clone(),
        connection_id: warrant.connection_id,
        request_id: warrant.request_id.clone(),
        asserted_by: warrant.asserted_by.clone(),
        paths: posted.draft.changes.iter().map(|change| change.change.path.clone()).collect(),
        reference: posted.reference.clone(),
        outcome: warrant.outcome,
    };
    bson::serialize_to_raw_document_buf(&entry).map_err(|_| "an entry cannot be encoded".to_owned())
}
