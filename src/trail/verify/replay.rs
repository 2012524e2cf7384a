//! Replaying: a subject's entries, from the first, give its record.

use bson::{Bson, Document};

use crate::audit::change::{Change, apply};
use crate::audit::entry::Entry;
use crate::audit::seal::{self, Sensitivity};
use crate::crypto::envelope::DataKey;
use crate::store::Kind;

/// A subject's entries so far, and what they come to: however many there are, only the record is held.
/// Of an erased person, whose data key is gone, what was sealed counts as nothing: that is what must
/// stand in the record, and what was changed below it cannot be followed.
#[derive(Default)]
pub struct Replay {
    record: Document,
    /// The number of the last entry.
    pub newest: i64,
    /// The first number that is not there.
    pub gap: Option<i64>,
    wrong: Option<String>,
}

impl Replay {
    /// The next entry, by number; with its person's key, where there still is one.
    pub fn add(&mut self, entry: &Entry, key: Option<&DataKey>) {
        if entry.seq != self.newest + 1 {
            self.gap.get_or_insert(self.newest + 1);
        }
        self.newest = entry.seq;
        if self.wrong.is_some() {
            return;
        }
        let is_opaque = key.is_none() && entry.user_id.is_some();
        for change in opened(entry, key) {
            match apply(&mut self.record, std::slice::from_ref(&change)) {
                Err(why) if !is_opaque => {
                    self.wrong = Some(why);
                    return;
                }
                _ => {}
            }
        }
    }

    /// What they come to; why not, where they do not fit each other.
    pub fn record(self) -> Result<Document, String> {
        self.wrong.map_or_else(|| Ok(pruned(self.record)), Err)
    }
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
