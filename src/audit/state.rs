//! A subject's record as its entries left it, with what is sealed left sealed.
//!
//! A sealed value opens only with its own entry, path and side. So it cannot be put into a document
//! that later changes are made to; what stands of the entries is kept instead: for each path the last
//! value, and the entry that it came with. A plain value becomes part of the plain one above it. What
//! is above or below a sealed one stays beside it, until somebody who has the person's key asks for
//! the record. So a state needs no key, says no more than the entries do, and is as dead as they are
//! once the key is destroyed.
//!
//! Invariant: it depends on the entries alone, not on how often it was stored in between.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};

use super::change::{Change, apply};
use super::seal;
use crate::crypto::envelope::DataKey;
use crate::kernel::ids::EntryId;

#[derive(Debug, Clone, Default)]
pub struct State {
    /// By path; what is above something stands before it.
    parts: BTreeMap<String, (u64, Part)>,
    next: u64,
}

/// What stands at one path, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    path: String,
    /// `null` where it is gone.
    value: Bson,
    /// What a sealed value opens with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry_id: Option<EntryId>,
    /// To be taken out of the value above, which is sealed and holds it.
    #[serde(default, skip_serializing_if = "is_false")]
    is_gone: bool,
    /// The value above holds something here.
    #[serde(default, skip_serializing_if = "is_false")]
    is_above: bool,
    /// Came back after it was gone: behind what stayed.
    #[serde(default, skip_serializing_if = "is_false")]
    is_back: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_false(value: &bool) -> bool {
    !value
}

impl State {
    /// As it was stored.
    pub fn of(parts: Vec<Part>) -> Self {
        let placed = (0..).zip(parts).map(|(place, part)| (part.path.clone(), (place, part)));
        let parts: BTreeMap<_, _> = placed.collect();
        let next = parts.len() as u64;
        Self { parts, next }
    }

    /// To be stored.
    pub fn parts(&self) -> Vec<Part> {
        self.in_order().into_iter().cloned().collect()
    }

    fn in_order(&self) -> Vec<&Part> {
        let mut parts: Vec<_> = self.parts.values().collect();
        parts.sort_unstable_by_key(|(place, _)| *place);
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// Takes in an entry: its changes as they are stored.
    pub fn take(&mut self, entry: EntryId, changes: Vec<Change>) -> Result<(), String> {
        changes.into_iter().try_for_each(|change| self.change(entry, change))
    }

    fn change(&mut self, entry: EntryId, change: Change) -> Result<(), String> {
        let before = self.cut(&change.path);
        let is_above = before.as_ref().map_or(change.old.is_some(), |(_, part)| part.is_above);
        let is_sealed = change.new.as_ref().is_some_and(seal::is_sealed);
        let stands_apart = before.is_some() && !is_above;
        let comes_behind = change.old.is_none() && self.has_beside(&change.path);
        let is_apart = is_sealed || change.new.is_some() && (stands_apart || comes_behind);
        // What is gone holds nothing, and nothing can be put into it.
        let holds = |part: &Part| part.entry_id.is_none() && !part.is_gone;
        let above = self.above(&change.path).map(|part| (part.path.len(), holds(part)));
        match (above, change.new) {
            (Some((length, true)), new) if !is_apart => {
                let is_to_go = new.is_none();
                if is_to_go && !is_above {
                    return Ok(());
                }
                let change = Change { path: change.path, old: None, new };
                let fits = self.merge(length, change);
                // Gone is gone, also where it was not a part of what is above.
                if is_to_go { Ok(()) } else { fits }
            }
            (None, None) => Ok(()),
            (Some(_), None) if !is_above => Ok(()),
            (_, new) => {
                let was_gone = before.as_ref().is_some_and(|(_, part)| part.is_gone);
                let was_back = before.as_ref().is_some_and(|(_, part)| part.is_back);
                let place = before.filter(|_| change.old.is_some()).map(|(place, _)| place);
                let place = place.unwrap_or(self.next);
                self.next += 1;
                let part = Part {
                    path: change.path.clone(),
                    is_gone: new.is_none(),
                    value: new.unwrap_or(Bson::Null),
                    entry_id: is_sealed.then_some(entry),
                    is_above,
                    is_back: was_back || was_gone,
                };
                self.parts.insert(change.path, (place, part));
                Ok(())
            }
        }
    }

    /// Takes away what stands at this path and below it; what stood at it.
    fn cut(&mut self, path: &str) -> Option<(u64, Part)> {
        // "/" is the character after ".": everything that starts with the path and a dot.
        let below = format!("{path}.")..format!("{path}/");
        let below: Vec<String> = self.parts.range(below).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.parts.remove(&path);
        }
        self.parts.remove(path)
    }

    /// Whether anything in the same list or document stands apart: what comes later is behind it.
    fn has_beside(&self, path: &str) -> bool {
        let Some((parent, _)) = path.rsplit_once('.') else { return false };
        self.parts.range(format!("{parent}.")..format!("{parent}/")).next().is_some()
    }

    /// The nearest value that this path leads through.
    fn above(&self, path: &str) -> Option<&Part> {
        let ends = path.match_indices('.').map(|(end, _)| end).rev();
        let above = |end: usize| self.parts.get(&path[..end]);
        ends.filter_map(above).map(|(_, part)| part).next()
    }

    /// Into the plain value whose path has this length.
    fn merge(&mut self, length: usize, change: Change) -> Result<(), String> {
        let (above, rest) = change.path.split_at(length);
        let Some((_, part)) = self.parts.get_mut(above) else { return Ok(()) };
        let inside = Change {
            path: format!("v{rest}"),
            old: None,
            // Marked are the values of entries, not what is inside of them.
            new: change.new.map(seal::unmarked),
        };
        let mut holder = doc! { "v": std::mem::replace(&mut part.value, Bson::Null) };
        let fits = apply(&mut holder, &[inside]);
        part.value = holder.remove("v").unwrap_or(Bson::Null);
        fits.map_err(|_| misfit(&change.path))
    }

    /// The record. What is sealed is opened with `key`, and is `mask` where that does not open it:
    /// then nothing below it is known either.
    pub fn record(&self, key: Option<&DataKey>, mask: &str) -> Result<Document, String> {
        let (mut record, mut is_masked) = (Document::new(), false);
        for part in self.in_order() {
            let open =
                |entry| key.and_then(|key| seal::open(&part.value, key, entry, &part.path, "new"));
            let value = match part.entry_id {
                None => seal::unmarked(part.value.clone()),
                Some(entry) => open(entry).unwrap_or_else(|| {
                    is_masked = true;
                    mask.into()
                }),
            };
            let set = |new| Change { path: part.path.clone(), old: None, new };
            let changes = [
                (part.is_gone || part.is_back).then(|| set(None)),
                (!part.is_gone).then(|| set(Some(value))),
            ];
            let changes: Vec<Change> = changes.into_iter().flatten().collect();
            if apply(&mut record, &changes).is_err() && !is_masked {
                return Err(misfit(&part.path));
            }
        }
        Ok(record)
    }
}

fn misfit(path: &str) -> String {
    format!("{path} does not fit the record")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::change::diff;
    use crate::audit::entry::changes_of;
    use crate::audit::seal::{Classified, Sensitivity};
    use crate::kernel::chance::Chance;
    use bson::oid::ObjectId;
    use proptest::prelude::*;

    /// What is whose words, by path: everything at and below some, and some alone.
    fn sensitivity(path: &str) -> Sensitivity {
        let last = path.rsplit_once('.').map(|(_, last)| last);
        let is_words = path.starts_with('a') && last != Some("b")
            || path.starts_with('b') && last == Some("c");
        if is_words { Sensitivity::Personal } else { Sensitivity::Plain }
    }

    /// The entries of a record that became one of these after another.
    fn entries(key: &DataKey, records: &[Document]) -> Vec<(EntryId, Document)> {
        let (chance, mut before, mut entries) = (Chance::from_seed(1), Document::new(), Vec::new());
        for (number, after) in (0_u32..).zip(records) {
            let classified = |change: Change| {
                let sensitivity = sensitivity(&change.path);
                Classified { change, sensitivity }
            };
            let changes: Vec<_> = diff(&before, after).into_iter().map(classified).collect();
            let mut id = [0; 12];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let id = EntryId(ObjectId::from_bytes(id));
            entries.push((id, seal::seal(&changes, Some(key), id, &chance).expect("seals")));
            before = after.clone();
        }
        entries
    }

    fn taken(mut state: State, entries: &[(EntryId, Document)]) -> State {
        for (id, changes) in entries {
            state.take(*id, changes_of(changes)).expect("fits");
        }
        state
    }

    fn stored(state: &State) -> State {
        let stored = doc! { "parts": bson::serialize_to_bson(&state.parts()).expect("stores") };
        let bytes = stored.to_vec().expect("bytes");
        let mut read = Document::from_reader(bytes.as_slice()).expect("reads");
        let parts = read.remove("parts").expect("there");
        State::of(bson::deserialize_from_bson(parts).expect("parts"))
    }

    /// Without what is empty: that a document became empty, no entry says.
    fn pruned(value: Bson) -> Bson {
        match value {
            Bson::Document(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, pruned(value)));
                let is_empty = |value: &Bson| value.as_document().is_some_and(Document::is_empty);
                fields.filter(|(_, value)| !is_empty(value)).collect::<Document>().into()
            }
            Bson::Array(items) => Bson::Array(items.into_iter().map(pruned).collect()),
            other => other,
        }
    }

    fn record(state: &State, key: &DataKey) -> Bson {
        pruned(state.record(Some(key), "?").expect("fits").into())
    }

    fn element(id: &str, left: i64) -> Document {
        doc! { "id": id, "left": left }
    }

    #[test]
    fn elements_that_come_and_go_leave_nothing_behind_however_long_a_list_lives() {
        let key = DataKey::from_bytes([7; 32]);
        let list = |number: i64| {
            let kept = [element("first", 0), element(&format!("n{number}"), number)];
            doc! { "a": { "list": kept.to_vec() }, "c": { "list": kept.to_vec() } }
        };
        let records: Vec<_> = (0..200).map(list).collect();

        let state = taken(State::default(), &entries(&key, &records));

        assert!(state.parts().len() <= 5, "{:?}", state.parts());
        assert_eq!(record(&state, &key), records[199].clone().into());
    }

    #[test]
    fn an_element_that_was_gone_comes_back_behind_those_that_stayed() {
        let key = DataKey::from_bytes([7; 32]);
        let list = |names: &[&str]| {
            let elements: Vec<_> = names.iter().map(|name| element(name, 1)).collect();
            doc! { "a": { "list": elements } }
        };
        let records = [list(&["x", "y"]), list(&["y"]), list(&["y", "x"])];

        let state = taken(State::default(), &entries(&key, &records));

        assert_eq!(record(&state, &key), records[2].clone().into());
        assert_eq!(record(&stored(&state), &key), records[2].clone().into());
    }

    #[test]
    fn what_is_made_below_something_that_was_gone_stands_there() {
        let key = DataKey::from_bytes([7; 32]);
        let records = [
            doc! { "a": Bson::Null },
            doc! { "a": { "c": Bson::Null } },
            doc! { "a": {} },
            doc! { "a": { "c": { "b": 1 } } },
            doc! { "a": { "c": {} } },
            doc! { "a": { "c": { "b": 2, "d": 3 } } },
        ];
        let mut state = State::default();
        for (entry, after) in entries(&key, &records).iter().zip(&records) {
            state = taken(stored(&state), std::slice::from_ref(entry));
            assert_eq!(record(&state, &key), pruned(after.clone().into()));
        }
    }

    #[test]
    fn without_the_key_a_sealed_value_and_all_below_it_are_masked_and_the_rest_is_there() {
        let key = DataKey::from_bytes([7; 32]);
        let before = doc! { "a": { "x": {}, "name": "Ada" }, "plain": "s1.looks sealed" };
        let after = doc! { "a": { "x": { "toy": "engine" }, "name": "Ada" }, "plain": 7 };

        let first = taken(State::default(), &entries(&key, std::slice::from_ref(&before)));
        let second = taken(State::default(), &entries(&key, &[before, after]));

        let masked = doc! { "a": { "x": "?", "name": "?" }, "plain": "s1.looks sealed" };
        assert_eq!(first.record(None, "?"), Ok(masked));
        let masked = doc! { "a": { "x": "?", "name": "?" }, "plain": 7 };
        assert_eq!(second.record(Some(&DataKey::from_bytes([8; 32])), "?"), Ok(masked));
    }

    fn value() -> impl Strategy<Value = Bson> {
        let leaf = prop_oneof![
            Just(Bson::Null),
            (0i64..4).prop_map(Bson::Int64),
            prop_oneof!["[a-c]{0,2}", Just("s1.x".to_owned()), Just("s0.x".to_owned())]
                .prop_map(Bson::String),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Bson::Array),
                prop::collection::vec(("[a-d]", inner.clone()), 0..4)
                    .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
                prop::collection::vec(("[a-d]", inner), 0..4).prop_map(|elements| {
                    let object = |(id, b): (String, Bson)| doc! { "id": id, "b": b };
                    Bson::Array(elements.into_iter().map(|it| object(it).into()).collect())
                }),
            ]
        })
    }

    fn document() -> impl Strategy<Value = Document> {
        prop::collection::vec(("[a-c]", value()), 0..5)
            .prop_map(|fields| fields.into_iter().collect())
    }

    proptest! {
        #[test]
        fn entries_give_the_record_wherever_a_state_was_stored_in_between(
            records in prop::collection::vec(document(), 1..8), at: prop::sample::Index,
        ) {
            let key = DataKey::from_bytes([7; 32]);
            let entries = entries(&key, &records);
            let mut state = State::default();
            for (entry, after) in entries.iter().zip(&records) {
                state = taken(state, std::slice::from_ref(entry));
                prop_assert_eq!(record(&state, &key), pruned(after.clone().into()));
            }
            let (first, rest) = entries.split_at(at.index(entries.len()));
            let through = taken(stored(&taken(State::default(), first)), rest);
            prop_assert_eq!(through.parts(), state.parts());
            prop_assert!(state.record(None, "?").is_ok());
        }
    }
}
