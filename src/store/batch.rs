//! The records of one transaction in memory: as they were loaded, and as they stand after the
//! units applied so far. Pure; `write` loads it and writes it out.

use std::collections::{HashMap, HashSet};

use bson::oid::ObjectId;
use bson::raw::CStr;
use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf};

use super::draft::{Draft, classified, moved, root_of};
use super::memory::{CONNECTIONS, Person};
use super::record::{By, Locator, REVISED_AT, REVISION, value};
use super::work::{Closed, Overlaid, Unclosed};
use crate::audit::bytes;
use crate::kernel::ids::UserId;
use crate::kernel::time::Timestamp;

#[derive(Default)]
pub(super) struct Batch {
    slots: HashMap<String, Slot>,
    /// Other ways to a slot, as far as the database was asked for them.
    aliases: HashMap<String, String>,
    /// Ways to what this pass has created.
    made: HashMap<String, String>,
    /// What was not looked for, since a unit is going to create it.
    presumed: HashMap<String, Locator>,
    /// What is taken as it was left (`memory`), until its user is written or it is read.
    recalled: HashMap<String, Recalled>,
    entries: Vec<Posted>,
    notes: Vec<Note>,
}

struct Recalled {
    locator: Locator,
    proof: Proof,
    /// What has no slot is there for provisos alone.
    record: Option<RawDocumentBuf>,
}

/// What shows that a record is still as it is recalled.
enum Proof {
    /// That the user in this slot is written, by the guard of its revision.
    Writing(String),
    /// That it is read with this revision.
    Reading(i64),
}

/// A field of a record that is sealed under its user's data key when the record is written.
pub(super) struct Note {
    /// The record's slot.
    pub name: String,
    pub user: UserId,
    pub id: ObjectId,
    pub field: &'static str,
    pub plain: Document,
}

pub(super) struct Slot {
    pub collection: &'static str,
    /// Whether the database was asked for it, or a unit of this pass has created it.
    loaded: bool,
    initial: Option<RawDocumentBuf>,
    made: Made,
}

/// What the units of this pass have made of a record.
enum Made {
    Untouched,
    Of(RawDocumentBuf),
    Nothing,
}

/// A draft with its place in the subject's history.
pub(super) struct Posted {
    pub unit: usize,
    pub draft: Draft,
    pub seq: i64,
    pub timestamp: Timestamp,
    /// What the caller calls the operation.
    pub reference: Option<String>,
}

impl Batch {
    /// Takes in what the database answered for `locators`: what it did not answer is not there.
    pub fn admit(&mut self, locators: &[Locator], found: Vec<(&'static str, RawDocumentBuf)>) {
        let mut by_name = HashMap::new();
        for (collection, stored) in found {
            let Some(id) = value(&stored, "_id") else { continue };
            let name = Locator::id(collection, id).name();
            by_name.insert(name, (collection, stored));
        }
        for locator in locators {
            if let By::Fields(fields, values) = &locator.by {
                let hit = by_name.iter().find(|(_, (collection, stored))| {
                    let has = |(f, v): (&&str, &Bson)| value(stored, f).as_ref() == Some(v);
                    *collection == locator.collection && fields.iter().zip(values).all(has)
                });
                let name = hit.map_or_else(|| locator.name(), |(name, _)| name.clone());
                self.aliases.insert(locator.name(), name);
            }
            let name = self.resolve(locator);
            self.slots.entry(name).or_insert_with(|| Slot::empty(locator.collection, true));
        }
        // What nobody has asked for was found beside the rest.
        for (name, (_, stored)) in by_name {
            if let Some(slot) = self.slots.get_mut(&name) {
                slot.initial = Some(stored);
            }
        }
    }

    /// As if the database had answered that none of them is there.
    pub fn presume<'a>(&mut self, absent: impl IntoIterator<Item = &'a Locator>) {
        for locator in absent {
            let name = locator.name();
            let slot = Slot::empty(locator.collection, true);
            self.slots.entry(name.clone()).or_insert(slot);
            self.presumed.insert(name, locator.clone());
        }
    }

    /// As if the database had answered with the person as they were left, and those of the connections
    /// that are asked for.
    pub fn recall(&mut self, user: &Locator, person: &Person, asked: &HashSet<ObjectId>) {
        let name = user.name();
        self.slots.entry(name.clone()).or_insert_with(|| Slot {
            initial: Some(person.user.clone()),
            ..Slot::empty(user.collection, true)
        });
        for (id, tie) in person.ties.iter().filter(|(id, _)| asked.contains(id)) {
            let locator = Locator::id(CONNECTIONS, (*id).into());
            let (proof, record) = (Proof::Writing(name.clone()), Some(tie.clone()));
            self.recalled.insert(locator.name(), Recalled { locator, proof, record });
        }
        let (locator, proof) = (user.clone(), Proof::Writing(name.clone()));
        self.recalled.insert(name, Recalled { locator, proof, record: None });
    }

    /// As if the database had answered with this record, for a proviso.
    pub fn recall_record(&mut self, locator: &Locator, record: RawDocumentBuf) {
        let Ok(revision) = record.get_i64(REVISION) else { return };
        let (proof, record) = (Proof::Reading(revision), Some(record));
        let recalled = Recalled { locator: locator.clone(), proof, record };
        self.recalled.insert(locator.name(), recalled);
    }

    /// What was recalled and must be read before anything counts, and with which revision.
    pub fn unconfirmed(&self) -> Vec<(Locator, i64)> {
        let reading = |recalled: &Recalled| match recalled.proof {
            Proof::Reading(revision) => Some((recalled.locator.clone(), revision)),
            Proof::Writing(_) => None,
        };
        self.recalled.values().filter_map(reading).collect()
    }

    /// As it was read, where no unit has changed it.
    pub fn read(&self, locator: &Locator) -> Option<&RawDocument> {
        self.slots.get(&self.resolve(locator)).filter(|slot| !slot.is_changed())?.initial()
    }

    /// What a proviso is about.
    pub fn on_record(&self, locator: &Locator) -> Option<&RawDocument> {
        match self.slots.get(&self.resolve(locator)) {
            Some(slot) => slot.current(),
            None => self.recalled.get(&locator.name())?.record.as_deref(),
        }
    }

    /// Whether there is something to ask a proviso of.
    pub fn is_on_record(&self, locator: &Locator) -> bool {
        self.knows(locator) || self.recalled.contains_key(&locator.name())
    }

    /// What was presumed or recalled and is not written, so that nothing would prove it: nobody knows of
    /// it any more.
    pub fn take_unproven(&mut self) -> Vec<Locator> {
        let mut unproven = self.take_absent();
        let (slots, recalled) = (&mut self.slots, &mut self.recalled);
        let stays = |it: &Recalled| match &it.proof {
            Proof::Writing(user) => slots.get(user).is_some_and(Slot::is_advanced),
            Proof::Reading(_) => true,
        };
        let doubtful: Vec<_> = recalled.extract_if(|_, it| !stays(it)).collect();
        for (name, recalled) in doubtful {
            if recalled.record.is_none() {
                slots.remove(&name);
            }
            unproven.push(recalled.locator);
        }
        unproven
    }

    fn take_absent(&mut self) -> Vec<Locator> {
        let (made, slots) = (&self.made, &mut self.slots);
        let unproven = self.presumed.extract_if(|name, _| {
            !made.contains_key(name) && slots.get(name).is_none_or(|slot| slot.current().is_none())
        });
        let unproven: Vec<_> = unproven.collect();
        for (name, _) in &unproven {
            slots.remove(name);
        }
        unproven.into_iter().map(|(_, locator)| locator).collect()
    }

    /// Back to what was loaded: units are applied from the start in every pass.
    pub fn rewind(&mut self) {
        self.entries.clear();
        self.notes.clear();
        self.made.clear();
        self.slots.retain(|_, slot| slot.loaded);
        for slot in self.slots.values_mut() {
            slot.made = Made::Untouched;
        }
    }

    pub fn knows(&self, locator: &Locator) -> bool {
        self.slots.contains_key(&self.resolve(locator))
    }

    pub fn resolve(&self, locator: &Locator) -> String {
        let name = locator.name();
        self.made.get(&name).or_else(|| self.aliases.get(&name)).cloned().unwrap_or(name)
    }

    /// Whether it was looked for, there or not.
    pub fn is_loaded(&self, name: &str) -> bool {
        self.slots.contains_key(name)
    }

    pub fn get(&self, name: &str) -> Option<&RawDocument> {
        self.slots.get(name)?.current()
    }

    /// As it was loaded, whatever the units have made of it.
    pub fn loaded(&self, locator: &Locator) -> Option<&RawDocument> {
        self.slots.get(&self.resolve(locator))?.initial()
    }

    pub fn find(&self, locator: &Locator) -> Option<&RawDocument> {
        self.slots.get(&self.resolve(locator))?.current()
    }

    /// The changes of one call as drafts, one for each subject.
    pub fn drafts(&self, overlay: &[Overlaid]) -> Result<Vec<Draft>, Unclosed> {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut missing = Vec::new();
        for Overlaid { name, kind, document } in overlay {
            for sides in moved(kind, self.get(name), document.as_deref()) {
                let classified = classified(kind, sides).map_err(|_| Unclosed::NoBson)?;
                let Some((subject, changes)) = classified else { continue };
                let Some(root) = root_of(kind, sides) else { continue };
                let name = root.name();
                let created_here = overlay.iter().any(|other| other.name == name);
                if !created_here && !self.is_loaded(&name) {
                    missing.push(root);
                    continue;
                }
                match drafts.iter_mut().find(|draft| draft.subject == subject) {
                    Some(draft) => draft.changes.extend(changes),
                    None => drafts.push(Draft { subject, root: name, changes }),
                }
            }
        }
        if missing.is_empty() { Ok(drafts) } else { Err(Unclosed::Misses(missing)) }
    }

    /// Takes in a unit that has answered: its records, and its entries with number and time.
    pub fn merge(&mut self, unit: usize, closed: Closed, now: Timestamp) {
        for Overlaid { name, kind, document } in closed.overlay {
            for alternate in document.iter().flat_map(|it| Locator::alternates(kind, it)) {
                self.made.insert(alternate.name(), name.clone());
            }
            let slot =
                self.slots.entry(name).or_insert_with(|| Slot::empty(kind.collection, false));
            slot.made = document.map_or(Made::Nothing, Made::Of);
        }
        for draft in closed.drafts {
            let (seq, timestamp) = self.advance(&draft.root, now);
            let reference = closed.reference.clone();
            self.entries.push(Posted { unit, draft, seq, timestamp, reference });
        }
        self.notes.extend(closed.notes);
    }

    /// The subject's next number, and the later of the request's time and the subject's last one,
    /// so that time and `seq` agree.
    fn advance(&mut self, root: &str, now: Timestamp) -> (i64, Timestamp) {
        let Some(slot) = self.slots.get_mut(root) else { return (1, now) };
        let Some(root) = slot.current() else { return (1, now) };
        let seq = root.get_i64(REVISION).unwrap_or(0) + 1;
        let last = root.get_datetime(REVISED_AT).unwrap_or(now);
        let at = last.max(now);
        let fields = [(REVISION, RawBsonRef::Int64(seq)), (REVISED_AT, RawBsonRef::DateTime(at))];
        let root = bytes::with(root, &fields).expect("its fields were read when it was loaded");
        slot.made = Made::Of(root);
        (seq, at)
    }

    pub fn entries(&self) -> &[Posted] {
        &self.entries
    }

    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Adds a field to what was created since it was loaded.
    pub fn fill(&mut self, name: &str, field: &str, text: &str) -> Result<(), String> {
        let slot = self.slots.get_mut(name).filter(|slot| slot.initial.is_none());
        let Some(slot) = slot else { return Ok(()) };
        let Some(record) = slot.current() else { return Ok(()) };
        let unfit = |_| format!("{field} cannot be added to the record");
        let field: &CStr = field.try_into().map_err(unfit)?;
        let record = bytes::with(record, &[(field, RawBsonRef::String(text))]).map_err(unfit)?;
        slot.made = Made::Of(record);
        Ok(())
    }

    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }
}

impl Slot {
    fn empty(collection: &'static str, loaded: bool) -> Self {
        Self { collection, loaded, initial: None, made: Made::Untouched }
    }

    pub fn initial(&self) -> Option<&RawDocument> {
        self.initial.as_deref()
    }

    pub fn current(&self) -> Option<&RawDocument> {
        match &self.made {
            Made::Untouched => self.initial(),
            Made::Of(document) => Some(document),
            Made::Nothing => None,
        }
    }

    /// That it was read with.
    pub fn revision(&self) -> Option<i64> {
        self.initial()?.get_i64(REVISION).ok()
    }

    /// Whether writing it is guarded by the revision that it was read with, and moves that.
    pub fn is_advanced(&self) -> bool {
        match &self.made {
            Made::Untouched => false,
            Made::Nothing => self.revision().is_some(),
            Made::Of(after) => {
                let after = after.get_i64(REVISION).ok();
                self.revision().is_some_and(|before| after != Some(before))
            }
        }
    }

    pub fn is_changed(&self) -> bool {
        !matches!(self.made, Made::Untouched)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bson::doc;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::audit::actor::Subject;
    use crate::audit::change::apply;
    use crate::audit::seal::Sensitivity;
    use crate::kernel::fault::{Code, Fault};
    use crate::kernel::ids::Name;
    use crate::store::posting::{self, Posting};
    use crate::store::record::{Key, Kind, NO_VOLATILE, Record, Root};
    use crate::store::work::{Stop, Work};

    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Purse {
        #[serde(rename = "_id")]
        id: String,
        coins_max: i64,
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Coin {
        #[serde(rename = "_id")]
        id: String,
        purse: String,
        face: String,
    }

    const BY_FACE: &[&str] = &["purse", "face"];

    fn subject(document: &RawDocument, field: &str) -> Option<Subject> {
        document.get_str(field).ok().and_then(Name::parse).map(Subject::Module)
    }

    impl Record for Purse {
        const KIND: &'static Kind = &Kind {
            collection: "purses",
            root: Root::Own,
            subject: |purse| subject(purse, "_id"),
            place: |_| Some(String::new()),
            sensitivity: |_| Sensitivity::Plain,
            volatile: NO_VOLATILE,
            alternates: &[],
        };

        fn key(&self) -> Key<Self> {
            Key::id(self.id.as_str())
        }
    }

    impl Record for Coin {
        const KIND: &'static Kind = &Kind {
            collection: "coins",
            root: Root::Of { collection: "purses", field: "purse" },
            subject: |coin| subject(coin, "purse"),
            place: |coin| coin.get_str("_id").ok().map(|id| format!("coins.{id}")),
            sensitivity: |_| Sensitivity::Plain,
            volatile: NO_VOLATILE,
            alternates: &[BY_FACE],
        };

        fn key(&self) -> Key<Self> {
            Key::id(self.id.as_str())
        }
    }

    fn purse(id: &str) -> Key<Purse> {
        Key::id(id)
    }

    fn coin(id: &str, purse: &str) -> Coin {
        Coin { id: id.to_owned(), purse: purse.to_owned(), face: format!("face of {id}") }
    }

    fn by_face(coin: &Coin) -> Key<Coin> {
        Key::fields(BY_FACE, vec![coin.purse.as_str().into(), coin.face.as_str().into()])
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn stored_purse(id: &str, revision: i64) -> Document {
        doc! { "_id": id, "coins_max": 0_i64, "revision": revision, "revised_at": at(100) }
    }

    fn bytes_of(document: &Document) -> RawDocumentBuf {
        document.try_into().expect("BSON")
    }

    /// With one purse, and the knowledge that there is nothing else.
    fn batch() -> Batch {
        let mut batch = Batch::default();
        let absent = coin("coin_a", "purse_a");
        let asked = [
            purse("purse_a").locator,
            purse("purse_b").locator,
            absent.key().locator,
            coin("coin_b", "").key().locator,
        ];
        batch.admit(&asked, vec![("purses", bytes_of(&stored_purse("purse_a", 4)))]);
        batch
    }

    fn postings(batch: &Batch) -> Vec<Posting> {
        let mut all = posting::changes(batch).expect("BSON");
        all.extend(posting::creations(batch));
        all
    }

    fn unit(
        batch: &mut Batch,
        now: i64,
        body: impl FnOnce(&mut Work) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut work = Work::new(batch, at(now));
        body(&mut work)?;
        let closed = work.close().map_err(|_| Stop::Missing)?;
        batch.merge(0, closed, at(now));
        Ok(())
    }

    #[test]
    fn a_unit_that_is_refused_leaves_nothing() {
        let mut batch = batch();
        let refused = unit(&mut batch, 200, |work| {
            work.create(&coin("coin_a", "purse_a"))?;
            Err(Fault::of(Code::Invalid).into())
        });
        assert!(refused.is_err() && batch.entries().is_empty());
        assert!(postings(&batch).is_empty());
    }

    #[test]
    fn what_one_unit_creates_the_next_finds_by_all_its_names() {
        let mut batch = batch();
        let new = coin("coin_a", "purse_a");
        unit(&mut batch, 200, |work| work.create(&new)).expect("created");
        unit(&mut batch, 200, |work| {
            assert!(work.find(&new.key())?.is_some() && work.find(&by_face(&new))?.is_some());
            Ok(())
        })
        .expect("found");
    }

    #[test]
    fn a_second_pass_does_not_know_what_the_first_has_created() {
        let mut batch = batch();
        let new = coin("coin_c", "purse_a");
        unit(&mut batch, 200, |work| work.create(&new)).expect("created");
        assert!(batch.knows(&by_face(&new).locator) && batch.knows(&new.key().locator));
        batch.rewind();
        assert!(!batch.knows(&by_face(&new).locator) && !batch.knows(&new.key().locator));
        assert!(batch.entries().is_empty());
    }

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes([byte; 12])
    }

    /// Somebody at revision 4 with a connection, recalled.
    fn recalled() -> (Batch, Locator, Locator) {
        let (user, tie) =
            (Locator::id("users", id(1).into()), Locator::id(CONNECTIONS, id(2).into()));
        let person = Person {
            user: bytes_of(&doc! { "_id": id(1), "revision": 4_i64, "revised_at": at(100) }),
            ties: vec![(id(2), bytes_of(&doc! { "_id": id(2), "user_id": id(1) }))],
        };
        let mut batch = Batch::default();
        batch.recall(&user, &person, &HashSet::from([id(2)]));
        (batch, user, tie)
    }

    #[test]
    fn who_is_recalled_and_not_written_must_be_read_with_all_that_is_theirs() {
        let (mut batch, user, tie) = recalled();
        assert!(batch.knows(&user) && batch.is_on_record(&tie));
        let mut unproven = batch.take_unproven();
        unproven.sort_by_key(Locator::name);
        assert_eq!(unproven, [tie.clone(), user.clone()]);
        assert!(!batch.knows(&user) && !batch.is_on_record(&tie));
    }

    #[test]
    fn who_is_recalled_is_proven_by_the_guard_of_what_is_written() {
        let (mut batch, user, tie) = recalled();
        batch.advance(&user.name(), at(200));
        assert!(batch.take_unproven().is_empty() && batch.is_on_record(&tie));
        let guards: Vec<_> = posting::changes(&batch).expect("BSON");
        let guard = guards[0].statements[0].get_document("q").expect("a guard");
        assert_eq!(Document::try_from(guard).ok(), Some(doc! { "_id": id(1), "revision": 4_i64 }));
    }

    #[test]
    fn a_connection_that_is_recalled_is_there_for_provisos_alone() {
        let (batch, _, tie) = recalled();
        assert!(!batch.knows(&tie) && batch.find(&tie).is_none());
        assert!(batch.on_record(&tie).is_some());
    }

    #[test]
    fn what_is_recalled_for_a_proviso_must_be_read_with_the_same_revision() {
        let (mut batch, app) = (Batch::default(), Locator::id("apps", "shop".into()));
        batch.recall_record(&app, bytes_of(&doc! { "_id": "shop", "revision": 7_i64 }));
        assert_eq!(batch.unconfirmed(), [(app.clone(), 7)]);
        assert!(batch.take_unproven().is_empty() && batch.on_record(&app).is_some());
    }

    #[test]
    fn a_record_is_asked_for_before_it_is_used_and_so_is_the_root_of_a_part() {
        let mut batch = batch();
        let unknown = unit(&mut batch, 200, |work| work.find(&purse("purse_x")).map(drop));
        assert!(matches!(unknown, Err(Stop::Missing)));
        let orphan = unit(&mut batch, 200, |work| work.create(&coin("coin_a", "purse_x")));
        assert!(matches!(orphan, Err(Stop::Missing)));
    }

    #[test]
    fn changes_of_a_record_and_its_parts_are_one_entry() {
        let mut batch = batch();
        unit(&mut batch, 200, |work| {
            let before = work.get(&purse("purse_a"))?;
            work.revise(&before, &Purse { coins_max: 1, ..before.clone() })?;
            work.create(&coin("coin_a", "purse_a"))
        })
        .expect("done");
        let [entry] = batch.entries() else { panic!("one entry") };
        let paths: Vec<_> = entry.draft.changes.iter().map(|it| it.change.path.as_str()).collect();
        assert_eq!((entry.seq, entry.timestamp), (5, at(200)));
        let part = ["coins.coin_a._id", "coins.coin_a.purse", "coins.coin_a.face"];
        assert_eq!(paths, [&["coins_max"][..], &part].concat());
    }

    #[test]
    fn a_part_that_changes_hands_stands_in_both_histories() {
        let mut batch = batch();
        unit(&mut batch, 200, |work| {
            work.create(&Purse { id: "purse_b".to_owned(), coins_max: 0 })?;
            work.create(&coin("coin_a", "purse_a"))
        })
        .expect("done");
        unit(&mut batch, 200, |work| {
            let before = work.get(&coin("coin_a", "purse_a").key())?;
            work.revise(&before, &coin("coin_a", "purse_b"))
        })
        .expect("moved");
        let moved = batch.entries()[2..].iter().map(|entry| {
            let sides = entry.draft.changes.iter().map(|it| &it.change);
            let gone = sides.clone().all(|change| change.old.is_some() && change.new.is_none());
            let came = sides.clone().all(|change| change.old.is_none() && change.new.is_some());
            (entry.draft.subject.to_string(), entry.seq, gone, came)
        });
        let expected = [("module:purse_a", 6, true, false), ("module:purse_b", 2, false, true)];
        let expected =
            expected.map(|(subject, seq, gone, came)| (subject.to_owned(), seq, gone, came));
        assert_eq!(moved.collect::<Vec<_>>(), expected);
    }

    /// One step of a unit: purse and coin by number.
    #[derive(Debug, Clone)]
    enum Step {
        Fill(usize, i64),
        Mint(usize, usize),
        Melt(usize),
        Refuse,
    }

    const PURSES: [&str; 2] = ["purse_a", "purse_b"];
    const COINS: [&str; 2] = ["coin_a", "coin_b"];

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..2_usize, 0..3_i64).prop_map(|(purse, max)| Step::Fill(purse, max)),
            3 => (0..2_usize, 0..2_usize).prop_map(|(purse, coin)| Step::Mint(purse, coin)),
            2 => (0..2_usize).prop_map(Step::Melt),
            1 => Just(Step::Refuse),
        ]
    }

    fn walk(work: &mut Work, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Fill(at, coins_max) => match work.find(&purse(PURSES[*at]))? {
                Some(before) => {
                    work.revise(&before, &Purse { coins_max: *coins_max, ..before.clone() })
                }
                None => work.create(&Purse { id: PURSES[*at].to_owned(), coins_max: *coins_max }),
            },
            Step::Mint(at, which) => {
                work.get(&purse(PURSES[*at]))?;
                let new = coin(COINS[*which], PURSES[*at]);
                if work.find(&new.key())?.is_none() { work.create(&new) } else { Ok(()) }
            }
            Step::Melt(which) => {
                if let Some(coin) = work.find(&coin(COINS[*which], "").key())? {
                    work.erase(&coin);
                }
                Ok(())
            }
            Step::Refuse => Err(Fault::of(Code::Invalid).into()),
        }
    }

    /// What a subject's entries make of the record that was loaded.
    fn replayed(batch: &Batch, subject: &str, initial: Document) -> Document {
        let mut record = initial;
        for entry in batch.entries().iter().filter(|entry| entry.draft.root.ends_with(subject)) {
            let changes: Vec<_> = entry.draft.changes.iter().map(|it| it.change.clone()).collect();
            apply(&mut record, &changes).expect("fits");
        }
        if let Some(Bson::Document(coins)) = record.remove("coins") {
            // A coin that was melted is left without fields.
            let is_there = |coin: &Bson| coin.as_document().is_some_and(|coin| !coin.is_empty());
            let coins: Document = coins.into_iter().filter(|(_, coin)| is_there(coin)).collect();
            if !coins.is_empty() {
                record.insert("coins", coins);
            }
        }
        record
    }

    fn as_it_stands(batch: &Batch, id: &str) -> Document {
        let Some(record) = batch.find(&purse(id).locator) else { return Document::new() };
        let mut record = Document::try_from(record).expect("BSON");
        record.remove("revision");
        record.remove("revised_at");
        let coins = COINS.iter().filter_map(|which| {
            let coin = batch.find(&coin(which, "").key().locator)?;
            let coin = Document::try_from(coin).expect("BSON");
            (coin.get_str("purse").ok() == Some(id)).then(|| ((*which).to_owned(), coin.into()))
        });
        let coins: Document = coins.map(|(name, coin): (_, Bson)| (name, coin)).collect();
        if !coins.is_empty() {
            record.insert("coins", coins);
        }
        record
    }

    proptest! {
        #[test]
        fn entries_are_numbered_without_gaps_never_run_back_and_replay_to_the_record(
            units in prop::collection::vec(
                (0..300_i64, prop::collection::vec(step(), 1..4)), 1..12,
            ),
        ) {
            let mut batch = batch();
            for (now, steps) in &units {
                let _ = unit(&mut batch, *now, |work| steps.iter().try_for_each(|s| walk(work, s)));
            }
            let mut newest: BTreeMap<String, (i64, Timestamp)> = BTreeMap::new();
            newest.insert("module:purse_a".to_owned(), (4, at(100)));
            for entry in batch.entries() {
                prop_assert!(!entry.draft.changes.is_empty());
                let last = newest.entry(entry.draft.subject.to_string()).or_insert((0, at(0)));
                prop_assert_eq!(entry.seq, last.0 + 1);
                prop_assert!(entry.timestamp >= last.1);
                *last = (entry.seq, entry.timestamp);
            }
            for id in PURSES {
                let root = batch.find(&purse(id).locator);
                let (seq, at) = newest.get(&format!("module:{id}")).copied().unwrap_or((0, at(0)));
                prop_assert_eq!(root.and_then(|root| root.get_i64(REVISION).ok()).unwrap_or(0), seq);
                if let Some(root) = root {
                    prop_assert_eq!(root.get_datetime(REVISED_AT).ok(), Some(at));
                }
                let mut initial =
                    if id == "purse_a" { stored_purse(id, 4) } else { Document::new() };
                initial.remove("revision");
                initial.remove("revised_at");
                prop_assert_eq!(replayed(&batch, id, initial), as_it_stands(&batch, id));
            }
            // Whatever the units did, the loaded record is guarded by what it was loaded with.
            for posting in postings(&batch) {
                for statement in &posting.statements {
                    let Ok(guard) = statement.get_document("q") else { continue };
                    let expected = doc! { "_id": "purse_a", "revision": 4_i64 };
                    prop_assert_eq!(Document::try_from(guard).ok(), Some(expected));
                }
            }
            batch.rewind();
            prop_assert!(batch.entries().is_empty() && postings(&batch).is_empty());
        }
    }
}
