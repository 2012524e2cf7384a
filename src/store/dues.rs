//! When a worker must look at whom: a mark beside the record, written in the same transaction.
//!
//! An index of `users` on such a moment would cost more than all else that a change does: in a transaction
//! MongoDB (6.0) reads a collection's line of its catalogue anew for each of its indexes, as soon as one
//! of them is touched. This collection has one.
//!
//! To mark something else: a line in `MARKS`, its field in `schemas/dues.json`, and an index.

use bson::raw::{CStr, cstr};
use bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc, rawdoc};

use super::batch::Slot;
use super::memory::USERS;

/// A record for each person who was ever marked.
pub const DUES: &str = "dues";

struct Mark {
    collection: &'static str,
    path: &'static [&'static str],
    field: &'static CStr,
}

const MARKS: &[Mark] = &[Mark {
    collection: USERS,
    path: &["modules", "subscription", "due_at"],
    field: cstr!("subscription"),
}];

/// What has become of a record's marks, as a statement for `DUES`.
pub(super) fn statement(slot: &Slot) -> Option<RawDocumentBuf> {
    let (before, after) = (slot.initial(), slot.current());
    let id = after.or(before)?.get("_id").ok()??;
    let (mut sets, mut unsets) = (RawDocumentBuf::new(), RawDocumentBuf::new());
    for mark in MARKS.iter().filter(|mark| mark.collection == slot.collection) {
        let at = |side: Option<_>| side.and_then(|record| value_at(record, mark.path));
        match (at(before), at(after)) {
            (old, new) if old == new => {}
            (_, Some(new)) => sets.append(mark.field, new),
            (_, None) => unsets.append(mark.field, ""),
        }
    }
    let mut update = RawDocumentBuf::new();
    for (verb, fields) in [(cstr!("$set"), &sets), (cstr!("$unset"), &unsets)] {
        if !fields.is_empty() {
            update.append(verb, fields);
        }
    }
    let is_moved = !update.is_empty();
    is_moved.then(|| rawdoc! { "q": { "_id": id }, "u": update, "upsert": true })
}

/// For each mark its field, and from the records that have the moment to those that are not marked with
/// it: nothing, unless somebody wrote who does not know of marks.
pub(super) fn behind() -> impl Iterator<Item = (&'static str, Vec<Document>)> {
    MARKS.iter().map(|Mark { path, field, .. }| {
        let (field, path) = (field.as_str(), path.join("."));
        let noted = doc! { "$first": format!("$mark.{field}") };
        let stages = vec![
            doc! { "$match": { &path: { "$exists": true } } },
            doc! { "$project": { field: format!("${path}") } },
            doc! { "$lookup": {
                "from": DUES, "localField": "_id", "foreignField": "_id", "as": "mark",
            } },
            doc! { "$match": { "$expr": { "$ne": [noted, format!("${field}")] } } },
            doc! { "$project": { field: 1 } },
        ];
        (field, stages)
    })
}

fn value_at<'a>(record: &'a RawDocument, path: &[&str]) -> Option<RawBsonRef<'a>> {
    let (last, way) = path.split_last()?;
    let end = way.iter().try_fold(record, |record, field| record.get_document(field).ok())?;
    end.get(last).ok()?
}
