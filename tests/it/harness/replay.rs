//! What every test ends with: the trail, replayed from its start, must give the stored documents.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bson::{Bson, Document, RawDocumentBuf, doc};
use purser::access::watch::Watched;
use purser::apps::{App, Operator};
use purser::audit::change::apply;
use purser::audit::entry::Entry;
use purser::audit::seal::{self, Sensitivity};
use purser::connections::Registration;
use purser::crypto::envelope::{Context, DataKey};
use purser::crypto::keyring::Keyring;
use purser::kernel::ids::UserId;
use purser::modules::referrals::{Case, CodeOf, Programme};
use purser::modules::registry::Registered;
use purser::modules::registry::jobs::Job;
use purser::modules::subscription::Plan;
use purser::store::{Kind, Record, Root, UserKey};
use purser::trail::verify::without_nothing;
use purser::users::{Account, Connection, Customer, Identity, User};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::Purser;

const KINDS: &[&Kind] = &[
    User::KIND,
    Connection::KIND,
    Identity::KIND,
    UserKey::KIND,
    Customer::KIND,
    Account::KIND,
    App::KIND,
    Operator::KIND,
    Watched::KIND,
    Registered::KIND,
    Job::KIND,
    Plan::KIND,
    Programme::KIND,
    CodeOf::KIND,
    Case::KIND,
    Registration::KIND,
];

/// Every subject's entries give exactly its record, secrets and volatile fields aside; the numbers
/// have no gaps, and the record's revision is the newest.
pub fn check(purser: &Purser) {
    let keys = data_keys(purser);
    let mut by_subject: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in purser.db_find(Entry::COLLECTION, doc! {}) {
        let entry: Entry = bson::deserialize_from_document(entry).expect("an entry");
        by_subject.entry(entry.subject.clone()).or_default().push(entry);
    }
    let mut stored = stored(purser);
    for (subject, mut entries) in by_subject {
        entries.sort_by_key(|entry| entry.seq);
        let numbers: Vec<i64> = entries.iter().map(|entry| entry.seq).collect();
        let gapless: Vec<i64> = (1..).take(entries.len()).collect();
        assert_eq!(numbers, gapless, "the numbers of {subject} have gaps");
        assert!(entries.is_sorted_by_key(|entry| entry.timestamp), "{subject}: time runs back");
        let mut replayed = Document::new();
        for entry in &entries {
            assert!(!entry.changes.is_empty(), "an entry of {subject} changes nothing");
            let key = entry.user_id.and_then(|user| keys.get(&user));
            let changes: Vec<_> = opened(entry, key);
            for change in &changes {
                let applied = apply(&mut replayed, std::slice::from_ref(change));
                // Below what cannot be opened any more nothing can be followed.
                let is_opaque = key.is_none() && entry.user_id.is_some();
                assert!(applied.is_ok() || is_opaque, "{subject}: {applied:?}");
            }
        }
        let Some((revision, record)) = stored.remove(&subject) else {
            panic!("{subject} has entries and no record")
        };
        assert_eq!(usize::try_from(revision), Ok(entries.len()), "the revision of {subject}");
        let is_erased = record.get_str("status").ok() == Some("erased");
        let only_what_is = |document: Document| {
            let pruned = pruned(document);
            Bson::Document(if is_erased { without_nothing(pruned) } else { pruned })
        };
        let (replayed, record) = (only_what_is(replayed), only_what_is(record));
        assert_eq!(replayed, record, "{subject} differs from its trail");
    }
    let silent: Vec<_> = stored.keys().collect();
    assert!(silent.is_empty(), "records without entries: {silent:?}");
    nothing_is_sealed_out_of_sight(purser);
}

/// `purser keys rotate` must find whatever is stored sealed: a value that it does not know would be
/// lost with the old key.
fn nothing_is_sealed_out_of_sight(purser: &Purser) {
    let known = purser.block_on(purser.inner.store.sealed()).expect("counted");
    let known = known.values().map(|tally| tally.newest + tally.older.values().sum::<u64>());
    let names = purser.db(|database| async move { database.list_collection_names().await });
    let mut found = 0;
    for name in names.expect("collections") {
        found +=
            purser.db_find(&name, doc! {}).into_iter().map(|it| sealed_in(&it.into())).sum::<u64>();
    }
    assert_eq!(known.sum::<u64>(), found, "store/rewrap.rs does not know all that is sealed");
}

fn sealed_in(value: &Bson) -> u64 {
    match value {
        Bson::String(text) => {
            u64::from(Keyring::sealed_under(text).is_some_and(|key| key == "m1" || key == "m2"))
        }
        Bson::Document(fields) => fields.values().map(sealed_in).sum(),
        Bson::Array(elements) => elements.iter().map(sealed_in).sum(),
        _ => 0,
    }
}

fn opened(entry: &Entry, key: Option<&DataKey>) -> Vec<purser::audit::change::Change> {
    let open = |value: Option<Bson>, path: &str, side: &str| {
        let value = value?;
        if !seal::is_sealed(&value) {
            return Some(seal::unmarked(value));
        }
        // Of an erased person; whatever was sealed is gone from the record, too.
        let Some(key) = key else { return Some(Bson::Null) };
        Some(seal::open(&value, key, entry.id, path, side).expect("opens"))
    };
    let changes = entry.read_changes().into_iter();
    changes
        .map(|mut change| {
            change.old = open(change.old, &change.path, "old");
            change.new = open(change.new, &change.path, "new");
            change
        })
        .collect()
}

/// A subject's revision, and its record as its entries name it.
pub fn record(purser: &Purser, subject: &str) -> (i64, Document) {
    stored(purser).remove(subject).expect("a subject that is there")
}

/// Each subject's revision and its record as its entries name it: the parts at their places.
fn stored(purser: &Purser) -> BTreeMap<String, (i64, Document)> {
    let mut subjects: BTreeMap<String, (i64, Document)> = BTreeMap::new();
    for kind in KINDS {
        for document in purser.db_find(kind.collection, doc! {}) {
            let raw = RawDocumentBuf::try_from(&document).expect("BSON");
            let subject = (kind.subject)(&raw).expect("a subject").to_string();
            let place = (kind.place)(&raw).expect("a place");
            let (revision, record) = subjects.entry(subject).or_default();
            if matches!(kind.root, Root::Own) {
                *revision = document.get_i64("revision").expect("a revision");
            }
            let shown = shown(document, kind);
            if place.is_empty() {
                record.extend(shown);
            } else {
                put(record, &place, shown);
            }
        }
    }
    subjects
}

fn shown(mut document: Document, kind: &Kind) -> Document {
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

fn put(record: &mut Document, place: &str, document: Document) {
    match place.split_once('.') {
        None => {
            record.insert(place, document);
        }
        Some((head, rest)) => {
            if !record.contains_key(head) {
                record.insert(head, Document::new());
            }
            put(record.get_document_mut(head).expect("a document"), rest, document);
        }
    }
}

/// Without what is left empty by removals, and without the volatile fields of parts.
fn pruned(document: Document) -> Document {
    const VOLATILE: &[&str] = &["key_last_used_at", "last_sync", "last_used_at", "look_at"];
    let kept = document.into_iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
    let kept = kept.map(|(name, value)| (name, pruned_value(value)));
    kept.filter(|(_, value)| value.as_document().is_none_or(|inner| !inner.is_empty())).collect()
}

fn pruned_value(value: Bson) -> Bson {
    match value {
        Bson::Document(inner) => Bson::Document(pruned(inner)),
        Bson::Array(inner) => Bson::Array(inner.into_iter().map(pruned_value).collect()),
        other => other,
    }
}

fn data_keys(purser: &Purser) -> BTreeMap<UserId, DataKey> {
    let keys = purser.db_find("user_keys", doc! {}).into_iter();
    keys.map(|record| {
        let user = record.get_object_id("_id").expect("an id");
        let id = user.to_hex();
        let context = Context { collection: "user_keys", id: &id, field: "wrapped" };
        let wrapped = record.get_str("wrapped").expect("a key");
        let plain = purser.inner.gate.keyring().open(&context, wrapped).expect("opens");
        (UserId(user), DataKey::from_bytes(plain.try_into().expect("32 bytes")))
    })
    .collect()
}

static ERRORS: AtomicUsize = AtomicUsize::new(0);

/// A request whose id begins so is meant to break: its ERROR line is no failure of the test.
pub const MEANT_TO_BREAK: &str = "meant_to_break";

struct CountErrors;

impl<S: Subscriber> Layer<S> for CountErrors {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        // What actix-http calls an error is a client's or told elsewhere: `telemetry` turns it off, too.
        let is_own = !event.metadata().target().starts_with("actix_http");
        if *event.metadata().level() != Level::ERROR || !is_own {
            return;
        }
        let mut meant = Meant(false);
        event.record(&mut meant);
        if !meant.0 {
            ERRORS.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct Meant(bool);

impl Visit for Meant {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "request_id" {
            let id = format!("{value:?}");
            self.0 |= id.trim_matches('"').starts_with(MEANT_TO_BREAK);
        }
    }
}

/// ERROR lines of this process so far.
pub fn errors_logged() -> usize {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let lines = tracing_subscriber::fmt::layer().with_test_writer();
        let filter = tracing_subscriber::filter::LevelFilter::ERROR;
        tracing_subscriber::registry().with(CountErrors).with(lines.with_filter(filter)).init();
    });
    ERRORS.load(Ordering::SeqCst)
}
