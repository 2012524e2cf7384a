//! The records of one transaction in memory: as they were loaded, and as they stand after the
//! units applied so far. Pure; `write` loads it and writes it out.

use std::collections::HashMap;

use bson::{Bson, Document};

use super::record::{Kind, Locator, REVISED_AT, REVISION, Root};
use super::work::{Closed, Overlaid};
use crate::audit::actor::Subject;
use crate::audit::change::{self, Change};
use crate::audit::seal::{self, Classified};
use crate::kernel::time::Timestamp;

#[derive(Default)]
pub(super) struct Batch {
    slots: HashMap<String, Slot>,
    /// Other ways to a slot, as far as the database was asked for them.
    aliases: HashMap<String, String>,
    /// Ways to what this pass has created.
    made: HashMap<String, String>,
    entries: Vec<Posted>,
}

pub(super) struct Slot {
    pub collection: &'static str,
    /// Whether the database was asked for it, or a unit of this pass has created it.
    loaded: bool,
    pub initial: Option<Document>,
    pub current: Option<Document>,
}

/// An entry that a unit has caused, before it has its number and time.
pub(super) struct Draft {
    pub subject: Subject,
    root: String,
    pub changes: Vec<Classified>,
}

/// A draft with its place in the subject's history.
pub(super) struct Posted {
    pub unit: usize,
    pub draft: Draft,
    pub seq: i64,
    pub timestamp: Timestamp,
}

impl Batch {
    /// Takes in what the database answered for `locators`: what it did not answer is not there.
    pub fn admit(&mut self, locators: &[Locator], found: Vec<(&'static str, Document)>) {
        let mut by_name = HashMap::new();
        for (collection, document) in found {
            let Some(id) = document.get("_id") else { continue };
            let name = Locator::id(collection, id.clone()).name();
            by_name.insert(name, (collection, document));
        }
        for locator in locators {
            if let super::record::By::Fields(fields, values) = &locator.by {
                let hit = by_name.iter().find(|(_, (collection, document))| {
                    *collection == locator.collection
                        && fields.iter().zip(values).all(|(f, v)| document.get(f) == Some(v))
                });
                let name = hit.map_or_else(|| locator.name(), |(name, _)| name.clone());
                self.aliases.insert(locator.name(), name);
            }
            let name = self.resolve(locator);
            self.slots.entry(name).or_insert_with(|| Slot::empty(locator.collection, true));
        }
        for (name, (collection, document)) in by_name {
            let slot = self.slots.entry(name).or_insert_with(|| Slot::empty(collection, true));
            slot.current = Some(document.clone());
            slot.initial = Some(document);
        }
    }

    /// Back to what was loaded: units are applied from the start in every pass.
    pub fn rewind(&mut self) {
        self.entries.clear();
        self.made.clear();
        self.slots.retain(|_, slot| slot.loaded);
        for slot in self.slots.values_mut() {
            slot.current.clone_from(&slot.initial);
        }
    }

    pub fn knows(&self, locator: &Locator) -> bool {
        self.slots.contains_key(&self.resolve(locator))
    }

    pub fn resolve(&self, locator: &Locator) -> String {
        let name = locator.name();
        self.made.get(&name).or_else(|| self.aliases.get(&name)).cloned().unwrap_or(name)
    }

    /// `None`: not loaded. `Some(None)`: loaded, and not there.
    pub fn get(&self, name: &str) -> Option<Option<&Document>> {
        self.slots.get(name).map(|slot| slot.current.as_ref())
    }

    /// As it was loaded, whatever the units have made of it.
    pub fn loaded(&self, locator: &Locator) -> Option<&Document> {
        self.slots.get(&self.resolve(locator))?.initial.as_ref()
    }

    pub fn find(&self, locator: &Locator) -> Option<&Document> {
        self.slots.get(&self.resolve(locator))?.current.as_ref()
    }

    /// The changes of one call as drafts, one for each subject, or the roots that must be loaded.
    pub fn drafts(&self, overlay: &[Overlaid]) -> Result<Vec<Draft>, Vec<Locator>> {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut missing = Vec::new();
        for overlaid in overlay {
            let before = self.get(&overlaid.name).flatten();
            let Some((subject, changes)) = classified(overlaid, before) else { continue };
            let Some(root) = root_of(overlaid, before) else { continue };
            let name = root.name();
            let created_here = overlay.iter().any(|other| other.name == name);
            if !created_here && self.get(&name).is_none() {
                missing.push(root);
                continue;
            }
            match drafts.iter_mut().find(|draft| draft.subject == subject) {
                Some(draft) => draft.changes.extend(changes),
                None => drafts.push(Draft { subject, root: name, changes }),
            }
        }
        if missing.is_empty() { Ok(drafts) } else { Err(missing) }
    }

    /// Takes in a unit that has answered: its records, and its entries with number and time.
    pub fn merge(&mut self, unit: usize, closed: Closed, now: Timestamp) {
        for Overlaid { name, kind, document } in closed.overlay {
            for alternate in document.iter().flat_map(|d| Locator::alternates(kind, d)) {
                self.made.insert(alternate.name(), name.clone());
            }
            let slot =
                self.slots.entry(name).or_insert_with(|| Slot::empty(kind.collection, false));
            slot.current = document;
        }
        for draft in closed.drafts {
            let (seq, timestamp) = self.advance(&draft.root, now);
            self.entries.push(Posted { unit, draft, seq, timestamp });
        }
    }

    /// The subject's next number, and the later of the request's time and the subject's last one,
    /// so that time and `seq` agree.
    fn advance(&mut self, root: &str, now: Timestamp) -> (i64, Timestamp) {
        let Some(Slot { current: Some(root), .. }) = self.slots.get_mut(root) else {
            return (1, now);
        };
        let seq = root.get_i64(REVISION).unwrap_or(0) + 1;
        let last = root.get_datetime(REVISED_AT).copied().unwrap_or(now);
        let at = last.max(now);
        root.insert(REVISION, seq);
        root.insert(REVISED_AT, at);
        (seq, at)
    }

    pub fn entries(&self) -> &[Posted] {
        &self.entries
    }

    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }
}

impl Slot {
    fn empty(collection: &'static str, loaded: bool) -> Self {
        Self { collection, loaded, initial: None, current: None }
    }
}

fn classified(
    overlaid: &Overlaid,
    before: Option<&Document>,
) -> Option<(Subject, Vec<Classified>)> {
    let Overlaid { kind, document, .. } = overlaid;
    let nothing = Document::new();
    let after = document.as_ref().unwrap_or(&nothing);
    let changes: Vec<_> = change::diff(before.unwrap_or(&nothing), after)
        .into_iter()
        .filter(|change| is_change(kind, &change.path))
        .collect();
    let owner = document.as_ref().or(before)?;
    if changes.is_empty() {
        return None;
    }
    let place = (kind.place)(owner)?;
    let classify = |change: Change| {
        let sensitivity = (kind.sensitivity)(&change.path);
        let redacted = |value: Bson| seal::redact(&change.path, value, kind.sensitivity);
        let (old, new) = (change.old.map(redacted), change.new.map(redacted));
        let path = if place.is_empty() { change.path } else { format!("{place}.{}", change.path) };
        Classified { change: Change { path, old, new }, sensitivity }
    };
    Some(((kind.subject)(owner)?, changes.into_iter().map(classify).collect()))
}

fn is_change(kind: &Kind, path: &str) -> bool {
    path != REVISION && path != REVISED_AT && !(kind.volatile)(path)
}

fn root_of(overlaid: &Overlaid, before: Option<&Document>) -> Option<Locator> {
    let document = overlaid.document.as_ref().or(before)?;
    let (collection, field) = match overlaid.kind.root {
        Root::Own => (overlaid.kind.collection, "_id"),
        Root::Of { collection, field } => (collection, field),
    };
    let id: Bson = document.get(field)?.clone();
    Some(Locator::id(collection, id))
}
