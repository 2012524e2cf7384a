//! Replaying: a subject's entries, from the first, give its record.

use std::collections::HashMap;

use bson::{Bson, Document};

use crate::audit::change::{Change, apply};
use crate::audit::entry::Entry;
use crate::audit::seal::{self, Sensitivity};
use crate::crypto::envelope::DataKey;
use crate::kernel::ids::UserId;
use crate::store::Kind;

/// What `entries` come to; why not, where they do not fit each other. Of an erased person, whose data
/// key is gone, what was sealed counts as nothing: that is what must stand in the record, and what was
/// changed below it cannot be followed.
pub fn replayed(entries: &[Entry], keys: &HashMap<UserId, DataKey>) -> Result<Document, String> {
    let mut record = Document::new();
    for entry in entries {
        let key = entry.user_id.and_then(|user| keys.get(&user));
        let is_opaque = key.is_none() && entry.user_id.is_some();
        for change in opened(entry, key) {
            match apply(&mut record, std::slice::from_ref(&change)) {
                Err(why) if !is_opaque => return Err(why),
                _ => {}
            }
        }
    }
    Ok(pruned(record))
}

fn opened(entry: &Entry, key: Option<&DataKey>) -> Vec<Change> {
    let open = |value: Option<Bson>, path: &str, side: &str| {
        let value = value?;
        if !seal::is_sealed(&value) {
            return Some(seal::unmarked(value));
        }
        let opened = key.and_then(|key| seal::open(&value, key, entry.id, path, side));
        Some(opened.unwrap_or(Bson::Null))
    };
    let changes = entry.read_changes().into_iter().map(|mut change| {
        change.old = open(change.old, &change.path, "old");
        change.new = open(change.new, &change.path, "new");
        change
    });
    changes.collect()
}

/// A stored document as entries name it.
pub fn shown(mut document: Document, kind: &Kind) -> Document {
    document.remove("revision");
    document.remove("revised_at");
    let fields = document.into_iter().filter(|(path, _)| !(kind.volatile)(path));
    let marked = fields.map(|(path, value)| {
        let value = match (kind.sensitivity)(&path) {
            Sensitivity::Secret => "secret".into(),
            _ => seal::redact(&path, value, kind.sensitivity),
        };
        (path, value)
    });
    marked.collect()
}

/// Puts a part at its place in the record.
pub fn put(record: &mut Document, place: &str, part: Document) {
    match place.split_once('.') {
        _ if place.is_empty() => record.extend(part),
        None => drop(record.insert(place, part)),
        Some((head, rest)) => {
            if !matches!(record.get(head), Some(Bson::Document(_))) {
                record.insert(head, Document::new());
            }
            let inner = record.get_document_mut(head).expect("made one if it was none");
            put(inner, rest, part);
        }
    }
}

/// Without what is left empty by removals, and without the volatile fields of parts.
pub fn pruned(document: Document) -> Document {
    const VOLATILE: &[&str] = &["key_last_used_at", "last_sync", "last_used_at", "look_at"];
    let kept = document.into_iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
    let kept = kept.map(|(name, value)| (name, pruned_value(value)));
    kept.filter(|(_, value)| value.as_document().is_none_or(|inner| !inner.is_empty())).collect()
}

/// Without `null` either: of an erased person that is as good as nothing.
pub fn without_nothing(document: Document) -> Document {
    let value = |value: Bson| match value {
        Bson::Document(inner) => Bson::Document(without_nothing(inner)),
        other => other,
    };
    let kept = document.into_iter().map(|(name, it)| (name, value(it)));
    let is_something =
        |it: &Bson| *it != Bson::Null && it.as_document().is_none_or(|inner| !inner.is_empty());
    kept.filter(|(_, value)| is_something(value)).collect()
}

fn pruned_value(value: Bson) -> Bson {
    match value {
        Bson::Document(inner) => Bson::Document(pruned(inner)),
        Bson::Array(inner) => Bson::Array(inner.into_iter().map(pruned_value).collect()),
        other => other,
    }
}
