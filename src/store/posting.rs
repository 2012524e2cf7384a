//! From the records and entries of a batch to the commands that write them. Pure but for the
//! nonces of sealing, which are fresh in each attempt.

use std::collections::{BTreeMap, HashMap};

use bson::{Bson, Document, doc};

use super::batch::{Batch, Note, Posted};
use super::record::{Locator, REVISION};
use crate::audit::actor::Subject;
use crate::audit::change;
use crate::audit::entry::Entry;
use crate::audit::seal::{self, Sensitivity};
use crate::audit::warrant::Warrant;
use crate::crypto::envelope::DataKey;
use crate::kernel::chance::Chance;
use crate::kernel::ids::{EntryId, UserId};

/// One command of the transaction, and how many documents it must touch.
pub(super) struct Posting {
    pub collection: &'static str,
    pub command: Document,
    pub count: i64,
    /// The record, where the command is about one alone.
    pub record: Option<String>,
}

impl Posting {
    /// The same updates as a command each, so that the one that fails says which record is held.
    pub fn one_by_one(self) -> Vec<Self> {
        let Ok(updates) = self.command.get_array("updates") else { return vec![self] };
        let collection = self.collection;
        let one = |statement: &Bson| {
            let id = statement.as_document()?.get_document("q").ok()?.get("_id")?.clone();
            let command = doc! { "update": collection, "updates": [statement.clone()] };
            let record = Some(Locator::id(collection, id).name());
            Some(Self { collection, command, count: 1, record })
        };
        updates.iter().filter_map(one).collect()
    }
}

#[derive(Default)]
struct Writes {
    updates: Vec<Bson>,
    inserts: Vec<Bson>,
    deletes: Vec<Bson>,
}

/// The records' part: one command for each collection and kind of write. A record that carries a
/// revision is guarded by the one it was loaded with.
pub(super) fn records(batch: &Batch) -> Vec<Posting> {
    let mut by_collection: BTreeMap<&'static str, Writes> = BTreeMap::new();
    for slot in batch.slots().filter(|slot| slot.is_changed()) {
        let writes = by_collection.entry(slot.collection).or_default();
        match (slot.initial(), slot.current()) {
            (Some(before), Some(after)) => {
                let update = change::update(before, after);
                if !update.is_empty() {
                    writes.updates.push(doc! { "q": guard(before), "u": update }.into());
                }
            }
            (None, Some(new)) => writes.inserts.push(new.clone().into()),
            (Some(old), None) => writes.deletes.push(doc! { "q": guard(old), "limit": 1 }.into()),
            (None, None) => {}
        }
    }
    by_collection
        .into_iter()
        .flat_map(|(collection, writes)| commands(collection, writes))
        .collect()
}

fn guard(before: &Document) -> Document {
    let mut filter = doc! { "_id": before.get("_id").cloned().unwrap_or(Bson::Null) };
    if let Some(revision) = before.get(REVISION) {
        filter.insert(REVISION, revision.clone());
    }
    filter
}

fn commands(collection: &'static str, writes: Writes) -> Vec<Posting> {
    let parts = [
        ("update", "updates", writes.updates),
        ("delete", "deletes", writes.deletes),
        ("insert", "documents", writes.inserts),
    ];
    parts
        .into_iter()
        .filter(|(_, _, statements)| !statements.is_empty())
        .map(|(verb, field, statements)| Posting {
            collection,
            count: i64::try_from(statements.len()).unwrap_or(i64::MAX),
            command: doc! { verb: collection, field: statements, "ordered": true },
            record: None,
        })
        .collect()
}

pub(super) fn insert(collection: &'static str, documents: Vec<Document>) -> Option<Posting> {
    let inserts = documents.into_iter().map(Bson::Document).collect();
    commands(collection, Writes { inserts, ..Writes::default() }).pop()
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
pub(super) fn sealed(note: &Note, key: &DataKey, chance: &Chance) -> Result<Bson, String> {
    let plain = note.plain.to_vec().map_err(|_| "a note that is no BSON")?;
    Ok(Bson::String(key.seal_value(chance, &note.id, note.field, &plain)))
}

pub(super) fn entry(
    posted: &Posted,
    id: EntryId,
    warrant: &Warrant,
    keys: &HashMap<UserId, DataKey>,
    chance: &Chance,
) -> Result<Document, String> {
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
    bson::serialize_to_document(&entry).map_err(|_| "an entry cannot be encoded".to_owned())
}
