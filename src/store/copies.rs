//! Copies of records in memory, for the door and for reading: who asks and about whom is read on
//! every request, and changes rarely.
//!
//! A copy counts only while this process hears of changes (`watch`); otherwise the database is read.
//! What this process writes itself is forgotten before anybody is answered; people, whose revision says
//! how new they are, are held as they were left. A record that was read while it changed is not kept:
//! every change has a number, each place knows that of its last one, and a copy is put there only if
//! that change was before the read.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bson::raw::cstr;
use bson::{RawArrayBuf, RawDocument, RawDocumentBuf, doc};
use moka::sync::Cache;

use super::client::Store;
use super::figures::CopyFigures;
use super::read::Query;
use super::record::{REVISION, Record, RecordId};
use super::way::Way;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;

/// The collections of which copies are kept.
pub(super) const COPIED: [&str; 5] = ["apps", "operators", "user_apps", "user_modules", "users"];
/// Of modules, of which there are few and which are looked through, one copy holds them all.
const MODULES: &str = "user_modules";
const ALL_OF_THEM: &str = "*";
/// How long a copy counts after the change stream has answered last.
const TRUSTED: Duration = Duration::from_millis(750);
/// A key that nobody has is looked up once in this time.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
const UNKNOWN_MAX: u64 = 10_000;
/// Apps and operators are few; this only bounds them.
const FEW: u64 = 10_000;
const PLACES: usize = 1024;

/// A record as the database held it, in the database's own form: small, and quick to look into.
#[derive(Clone)]
pub struct Snapshot(Arc<Copied>);

struct Copied {
    raw: RawDocumentBuf,
    /// The owner's revision that this copy is at least as new as.
    as_of: AtomicI64,
}

impl Snapshot {
    fn new(raw: RawDocumentBuf) -> Self {
        let as_of = raw.get_i64(REVISION).unwrap_or(0);
        Self(Arc::new(Copied { raw, as_of: AtomicI64::new(as_of) }))
    }

    pub fn raw(&self) -> &RawDocument {
        &self.0.raw
    }

    pub fn record<R: Record>(&self) -> Result<R, Fault> {
        bson::deserialize_from_slice(self.0.raw.as_bytes()).map_err(|_| {
            Fault::internal(format!("a record of {} cannot be decoded", R::KIND.collection))
        })
    }

    /// Of a root record.
    pub fn revision(&self) -> i64 {
        self.0.raw.get_i64(REVISION).unwrap_or(0)
    }

    /// Whether it is the very same copy: what was made of it then still holds.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn id(&self) -> Option<RecordId> {
        RecordId::of(&self.0.raw.get("_id").ok()??.try_into().ok()?)
    }
}

type Held = (&'static str, RecordId);
type Hasher = BuildHasherDefault<DefaultHasher>;

pub(super) struct Copies {
    people: Cache<Held, Snapshot>,
    few: Cache<Held, Snapshot>,
    ways: Cache<Way, RecordId>,
    unknown: Cache<Way, ()>,
    people_max: u64,
    /// When what belongs there was changed last, by whomever: what was read before that is not kept.
    places: Box<[Mutex<u64>]>,
    changes: AtomicU64,
    hasher: Hasher,
    /// Grows when everything is forgotten.
    era: AtomicU64,
    started: Instant,
    /// Milliseconds since `started`: up to then this process has heard of every change. 0: never.
    heard_until: AtomicU64,
    pub figures: CopyFigures,
}

/// What had happened before a read.
#[derive(Clone, Copy)]
pub(super) struct Before {
    era: u64,
    changes: u64,
}

impl Copies {
    /// With room for `people` users, and as many connections.
    pub fn new(people: u64) -> Self {
        Self {
            people: Cache::new(2 * people),
            few: Cache::new(FEW),
            ways: Cache::new(2 * people + FEW),
            unknown: Cache::builder().max_capacity(UNKNOWN_MAX).time_to_live(UNKNOWN_FOR).build(),
            people_max: people,
            places: (0..PLACES).map(|_| Mutex::default()).collect(),
            changes: AtomicU64::new(0),
            hasher: Hasher::default(),
            era: AtomicU64::new(0),
            started: Instant::now(),
            heard_until: AtomicU64::new(0),
            figures: CopyFigures::default(),
        }
    }

    fn shelf(&self, collection: &str) -> &Cache<Held, Snapshot> {
        if is_few(collection) { &self.few } else { &self.people }
    }

    fn place(&self, held: &Held) -> MutexGuard<'_, u64> {
        let hash = usize::try_from(self.hasher.hash_one(held) % PLACES as u64).unwrap_or(0);
        lock(&self.places[hash])
    }

    /// The collection's own name, where copies of it are kept.
    pub fn keeps(collection: &str) -> Option<&'static str> {
        COPIED.into_iter().find(|kept| *kept == collection)
    }

    /// Every change up to `moment` has been heard of.
    pub fn heard(&self, moment: Instant) {
        let since = moment.saturating_duration_since(self.started).as_millis();
        self.heard_until.store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Ordering::Release);
    }

    fn is_trusted(&self) -> bool {
        Instant::now().checked_sub(TRUSTED).is_some_and(|moment| self.has_heard(moment))
    }

    /// Whether every change up to `moment` has been heard of.
    fn has_heard(&self, moment: Instant) -> bool {
        let heard = self.heard_until.load(Ordering::Acquire);
        heard != 0 && moment <= self.started + Duration::from_millis(heard)
    }

    pub fn forget(&self, collection: &'static str, id: RecordId) {
        let held = place_of(collection, id);
        let mut place = self.place(&held);
        self.evict(&held, &mut place);
    }

    /// As `forget`, unless the copy is at least as new as what the record has come to.
    pub fn has_come_to(&self, collection: &'static str, id: RecordId, revision: Option<i64>) {
        let held = place_of(collection, id);
        let mut place = self.place(&held);
        let copy = revision.and_then(|_| self.shelf(collection).get(&held));
        if copy.is_none_or(|copy| Some(copy.revision()) < revision) {
            self.evict(&held, &mut place);
        } else {
            // Whatever is being read now may be older than the copy.
            *place = self.next_change();
        }
    }

    /// This process has written it: who is held as they were before is held as they were left. Who is
    /// not held is not asked for.
    pub fn leave(&self, collection: &'static str, id: RecordId, raw: &RawDocument) {
        let held = place_of(collection, id);
        let mut place = self.place(&held);
        let Some(copy) = self.shelf(collection).get(&held) else {
            return self.evict(&held, &mut place);
        };
        *place = self.next_change();
        let left = Snapshot::new(raw.to_owned());
        if copy.revision() < left.revision() {
            self.shelf(collection).insert(held, left);
        }
    }

    fn evict(&self, held: &Held, place: &mut u64) {
        *place = self.next_change();
        self.shelf(held.0).invalidate(held);
        self.figures.evictions.inc();
    }

    fn is_still(&self, era: u64) -> bool {
        self.era.load(Ordering::Acquire) == era
    }

    fn next_change(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub fn forget_all(&self) {
        self.era.fetch_add(1, Ordering::AcqRel);
        // Whoever has seen the era before puts its copy there before all are thrown away.
        self.places.iter().for_each(|place| drop(lock(place)));
        self.people.invalidate_all();
        self.few.invalidate_all();
        self.unknown.invalidate_all();
    }

    pub fn before(&self) -> Before {
        let era = self.era.load(Ordering::Acquire);
        Before { era, changes: self.changes.load(Ordering::Acquire) }
    }

    fn keep(&self, held: Held, before: Before, snapshot: &Snapshot) {
        if self.people_max == 0 && !is_few(held.0) {
            return;
        }
        let place = self.place(&held);
        if *place <= before.changes && self.is_still(before.era) {
            self.shelf(held.0).insert(held, snapshot.clone());
        }
    }

    fn copy(&self, held: &Held) -> Option<Snapshot> {
        let found = if self.is_trusted() { self.shelf(held.0).get(held) } else { None };
        let count = if found.is_some() { &self.figures.hits } else { &self.figures.misses };
        count.inc();
        found
    }
}

fn lock(place: &Mutex<u64>) -> MutexGuard<'_, u64> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there are few of them; they are roots, all of them.
pub(super) fn is_few(collection: &str) -> bool {
    matches!(collection, "apps" | "operators" | MODULES)
}

fn place_of(collection: &'static str, id: RecordId) -> Held {
    if collection == MODULES { all_modules() } else { (collection, id) }
}

fn all_modules() -> Held {
    (MODULES, RecordId::Text(ALL_OF_THEM.into()))
}

impl Store {
    /// A record by its `_id`, from memory where that counts.
    pub async fn snapshot(
        &self,
        pass: &Pass,
        collection: &'static str,
        id: RecordId,
    ) -> Result<Option<Snapshot>, Fault> {
        let held = (collection, id);
        match self.inner().copies.copy(&held) {
            Some(snapshot) => Ok(Some(snapshot)),
            None => self.fresh(pass, held).await,
        }
    }

    /// As the database has it now; the copy is replaced.
    async fn fresh(&self, pass: &Pass, held: Held) -> Result<Option<Snapshot>, Fault> {
        let copies = &self.inner().copies;
        let before = copies.before();
        let query = Query::of(held.0, doc! { "_id": held.1.to_bson() }).limit(1);
        let found: Option<RawDocumentBuf> = self.list(pass, query).await?.pop();
        let snapshot = found.map(Snapshot::new);
        if let Some(snapshot) = &snapshot {
            copies.keep(held, before, snapshot);
        }
        Ok(snapshot)
    }

    /// All modules that are registered, as one record: `{"modules": [...]}`, by name.
    pub async fn modules(&self, pass: &Pass) -> Result<Snapshot, Fault> {
        let copies = &self.inner().copies;
        let held = all_modules();
        if let Some(snapshot) = copies.copy(&held) {
            return Ok(snapshot);
        }
        let before = copies.before();
        let query = Query::of(MODULES, doc! {}).sort(doc! { "module_name": 1 });
        let found: Vec<RawDocumentBuf> = self.list(pass, query).await?;
        let all: RawArrayBuf = found.into_iter().collect();
        let mut raw = RawDocumentBuf::new();
        raw.append(cstr!("modules"), all);
        let snapshot = Snapshot::new(raw);
        copies.keep(held, before, &snapshot);
        Ok(snapshot)
    }

    /// Whether this way was found before: the database may still have to be asked for the record.
    pub fn knows(&self, way: &Way) -> bool {
        self.inner().copies.ways.contains_key(way)
    }

    /// A record by another way. A way that was found is remembered, and checked at each use.
    pub async fn snapshot_by(&self, pass: &Pass, way: Way) -> Result<Option<Snapshot>, Fault> {
        let copies = &self.inner().copies;
        if let Some(id) = copies.ways.get(&way) {
            let found = self.snapshot(pass, way.collection(), id).await?;
            if let Some(snapshot) = found.filter(|snapshot| way.leads_to(snapshot.raw())) {
                return Ok(Some(snapshot));
            }
            copies.ways.invalidate(&way);
        }
        if way.is_key() && copies.is_trusted() && copies.unknown.contains_key(&way) {
            return Ok(None);
        }
        let before = copies.before();
        let query = Query::of(way.collection(), way.filter()).limit(1);
        let found: Option<RawDocumentBuf> = self.list(pass, query).await?.pop();
        let found = found.map(Snapshot::new);
        match found.as_ref().and_then(Snapshot::id).zip(found.as_ref()) {
            Some((id, snapshot)) => {
                copies.keep((way.collection(), id.clone()), before, snapshot);
                copies.ways.insert(way, id);
            }
            None if way.is_key() => copies.unknown.insert(way, ()),
            None => {}
        }
        Ok(found)
    }

    /// A user and one of its connections, neither older than `revision` of the user.
    pub async fn at_least(
        &self,
        pass: &Pass,
        user: UserId,
        connection: Snapshot,
        revision: i64,
    ) -> Result<(Option<Snapshot>, Option<Snapshot>), Fault> {
        let held: Held = ("users", RecordId::Object(user.0));
        let mut found = self.snapshot(pass, held.0, held.1.clone()).await?;
        if found.as_ref().is_some_and(|user| user.revision() < revision) {
            found = self.fresh(pass, held).await?;
        }
        if connection.0.as_of.load(Ordering::Acquire) >= revision {
            return Ok((found, Some(connection)));
        }
        let Some(id) = connection.id() else { return Ok((found, None)) };
        let again = self.fresh(pass, ("user_apps", id)).await?;
        // It was read after the user was, so it is at least as new.
        if let (Some(again), Some(user)) = (&again, &found) {
            again.0.as_of.store(user.revision(), Ordering::Release);
        }
        Ok((found, again))
    }

    pub fn copy_figures(&self) -> &CopyFigures {
        &self.inner().copies.figures
    }

    /// Whether this process knows of every change up to `moment`, by whomever.
    pub fn has_heard(&self, moment: Instant) -> bool {
        self.inner().copies.has_heard(moment)
    }
}

#[cfg(test)]
mod tests {
    use bson::Document;
    use bson::oid::ObjectId;

    use super::*;

    fn snapshot(revision: i64) -> Snapshot {
        let document = doc! { "_id": ObjectId::from_bytes([1; 12]), "revision": revision };
        Snapshot::new(RawDocumentBuf::try_from(&document).expect("bytes"))
    }

    fn held() -> Held {
        ("users", RecordId::Object(ObjectId::from_bytes([1; 12])))
    }

    #[test]
    fn a_copy_counts_only_while_changes_are_heard_of() {
        let copies = Copies::new(10);
        copies.keep(held(), copies.before(), &snapshot(1));
        assert!(copies.copy(&held()).is_none(), "nothing was heard of yet");
        copies.heard(Instant::now());
        assert!(copies.copy(&held()).is_some());
        let long_ago = Copies::new(10);
        let started = long_ago.started.checked_sub(2 * TRUSTED).expect("the machine is older");
        let long_ago = Copies { started, ..long_ago };
        long_ago.keep(held(), long_ago.before(), &snapshot(1));
        long_ago.heard(started + TRUSTED / 2);
        assert!(long_ago.copy(&held()).is_none(), "too long ago");
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let copies = Copies::new(10);
        copies.heard(Instant::now());
        let before = copies.before();
        copies.forget(held().0, held().1);
        copies.keep(held(), before, &snapshot(1));
        assert!(copies.copy(&held()).is_none());
        let before = copies.before();
        copies.forget_all();
        copies.keep(held(), before, &snapshot(1));
        assert!(copies.copy(&held()).is_none());
        copies.keep(held(), copies.before(), &snapshot(2));
        assert_eq!(copies.copy(&held()).map(|copy| copy.revision()), Some(2));
    }

    fn leave(copies: &Copies, revision: i64) {
        copies.leave(held().0, held().1, snapshot(revision).raw());
    }

    fn revision(copies: &Copies) -> Option<i64> {
        copies.copy(&held()).map(|copy| copy.revision())
    }

    #[test]
    fn who_is_held_is_held_as_this_process_has_left_them_and_hearing_of_that_changes_nothing() {
        let copies = Copies::new(10);
        copies.heard(Instant::now());
        leave(&copies, 2);
        assert_eq!(revision(&copies), None, "nobody has asked for them");
        copies.keep(held(), copies.before(), &snapshot(1));
        let reading = copies.before();
        leave(&copies, 2);
        copies.keep(held(), reading, &snapshot(1));
        assert_eq!(revision(&copies), Some(2), "what was being read meanwhile is older");
        let reading = copies.before();
        copies.has_come_to(held().0, held().1, Some(2));
        copies.keep(held(), reading, &snapshot(1));
        assert_eq!(revision(&copies), Some(2), "what was being read may be older");
        copies.has_come_to(held().0, held().1, Some(3));
        assert_eq!(revision(&copies), None, "somebody else has written them");
        copies.keep(held(), copies.before(), &snapshot(3));
        copies.has_come_to(held().0, held().1, None);
        assert_eq!(revision(&copies), None, "nobody knows what they have come to");
    }

    #[test]
    fn whom_somebody_else_has_changed_since_is_not_held_as_this_process_has_left_them() {
        let copies = Copies::new(10);
        copies.heard(Instant::now());
        copies.keep(held(), copies.before(), &snapshot(1));
        let reading = copies.before();
        copies.has_come_to(held().0, held().1, Some(3));
        leave(&copies, 2);
        copies.keep(held(), reading, &snapshot(1));
        assert_eq!(revision(&copies), None, "a change came between");
        copies.keep(held(), copies.before(), &snapshot(3));
        leave(&copies, 2);
        assert_eq!(revision(&copies), Some(3), "it was read later");
    }

    #[test]
    fn a_way_that_leads_elsewhere_is_noticed() {
        let way = Way::ConnectionKey("old".into());
        let raw = |document: Document| RawDocumentBuf::try_from(&document).expect("bytes");
        assert!(way.leads_to(&raw(doc! { "key_id": "old" })));
        assert!(way.leads_to(&raw(doc! { "key_id": "new", "previous_key": { "key_id": "old" } })));
        assert!(!way.leads_to(&raw(doc! { "key_id": "new" })));
        let way = Way::AppKey("a".into());
        assert!(way.leads_to(&raw(doc! { "keys": [{ "id": "b" }, { "id": "a" }] })));
        assert!(!way.leads_to(&raw(doc! { "keys": [] })));
    }
}
