//! `trail_snapshots`: what a person's entries had come to at some of them. Derived, never proof.
//!
//! They are made in the order of the leaves, which have no gaps: whoever makes them keeps the number of
//! the first leaf that it has not looked at, so what was sealed while nobody did is not forgotten.

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::replay::{Moment, Until};
use crate::audit::state::{Part, State};
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::EntryId;
use crate::kernel::time::Timestamp;
use crate::store::{LEAVES, Query, Store};

pub const SNAPSHOTS: &str = "trail_snapshots";

/// Whoever makes them has this post.
const POST: &str = "snapshots";
/// Leaves that are looked through at once.
const LEAVES_AT_ONCE: i64 = 50_000;
const DUE_MAX: usize = 100;
/// Of people only: nobody else's record is asked for.
const PEOPLE: &str = "user:";
/// A document of the database has 16 MiB at most; a record that comes near is no longer one.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// One as it is stored, at the entry whose id it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    #[serde(rename = "_id")]
    entry_id: EntryId,
    subject: String,
    seq: i64,
    timestamp: Timestamp,
    parts: Vec<Part>,
}

impl From<Snapshot> for Moment {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot { entry_id, seq, timestamp, parts, .. } = snapshot;
        Self { entry_id, seq, timestamp, state: State::of(parts) }
    }
}

impl Snapshot {
    fn of(subject: &str, moment: &Moment) -> Self {
        let Moment { entry_id, seq, timestamp, state } = moment;
        Self {
            entry_id: *entry_id,
            subject: subject.to_owned(),
            seq: *seq,
            timestamp: *timestamp,
            parts: state.parts(),
        }
    }

    pub fn subject(&self) -> &str {
        &self.subject
    }

    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// Whether the entries come to this there.
    pub fn is_of(&self, moment: &Moment) -> bool {
        *self == Self::of(&self.subject, moment)
    }

    /// The newest one that is not too late.
    pub async fn before(
        pass: &Pass,
        store: &Store,
        subject: &str,
        until: Until,
    ) -> Result<Option<Self>, Fault> {
        let mut filter = doc! { "subject": subject };
        match until {
            Until::Time(time) => filter.insert("timestamp", doc! { "$lte": time }),
            Until::Number(number) => filter.insert("seq", doc! { "$lte": number }),
        };
        let newest = Query::of(SNAPSHOTS, filter).sort(doc! { "timestamp": -1, "seq": -1 });
        Ok(store.list(pass, newest.limit(1)).await?.pop())
    }
}

/// Where a snapshot belongs: a leaf.
#[derive(Debug, Deserialize)]
pub struct Place {
    #[serde(rename = "_id")]
    leaf: i64,
    entry_id: EntryId,
    subject: String,
    seq: i64,
}

/// What is to be made next.
pub struct Due {
    pub places: Vec<Place>,
    /// Whether there is nothing behind it.
    pub is_all: bool,
    every: i64,
    /// The first leaf behind it.
    reached: i64,
}

/// Every so many entries of a person. Whoever asks for another number than the last one begins anew:
/// what is there is left as it is.
pub async fn due(pass: &Pass, store: &Store, every: i64) -> Result<Due, Fault> {
    #[derive(Deserialize)]
    struct Number {
        #[serde(rename = "_id")]
        leaf: i64,
    }
    let come = store.post_progress(pass, POST).await?;
    let number = |name| come.get_i64(name).unwrap_or(0);
    let begin = if number("every") == every { number("leaf") } else { 0 };
    let newest = Query::of(LEAVES, doc! {}).sort(doc! { "_id": -1 }).only(doc! { "_id": 1 });
    let newest: Option<Number> = store.list(pass, newest.limit(1)).await?.pop();
    let size = newest.map_or(0, |newest| newest.leaf + 1);
    let end = size.min(begin.saturating_add(LEAVES_AT_ONCE));
    let filter = doc! { "_id": { "$gte": begin, "$lt": end }, "seq": { "$mod": [every, 0_i64] } };
    let query = Query::of(LEAVES, filter)
        .sort(doc! { "_id": 1 })
        .limit(DUE_MAX)
        .only(doc! { "entry_id": 1, "subject": 1, "seq": 1 });
    let mut places: Vec<Place> = store.list(pass, query).await?;
    let reached = match places.last() {
        Some(last) if places.len() == DUE_MAX => last.leaf + 1,
        _ => end.max(begin),
    };
    places.retain(|place| place.subject.starts_with(PEOPLE));
    Ok(Due { places, is_all: reached >= size, every, reached })
}

impl Due {
    /// Everything of it was made, or cannot be.
    pub async fn is_done(&self, store: &Store) -> Result<(), Fault> {
        let come: Document = doc! { "every": self.every, "leaf": self.reached };
        store.keep_post_progress(POST, come).await
    }
}

/// What has become of one.
#[derive(Debug, PartialEq, Eq)]
pub enum Made {
    Now,
    Before,
    /// And never will be; why not.
    Not(&'static str),
}

pub async fn make(pass: &Pass, store: &Store, place: &Place) -> Result<Made, Fault> {
    let known = Query::of(SNAPSHOTS, doc! { "_id": place.entry_id.0 }).only(doc! { "_id": 1 });
    let known: Vec<Document> = store.list(pass, known.limit(1)).await?;
    if !known.is_empty() {
        return Ok(Made::Before);
    }
    let moment = match Moment::of(pass, store, &place.subject, Until::Number(place.seq)).await {
        Ok(Some(moment)) if moment.entry_id == place.entry_id => moment,
        Ok(_) => return Ok(Made::Not("its entry is missing")),
        Err(fault) if fault.code() == Code::Internal => {
            return Ok(Made::Not("the entries do not fit each other"));
        }
        Err(fault) => return Err(fault),
    };
    let snapshot = Snapshot::of(&place.subject, &moment);
    let bytes = bson::serialize_to_vec(&snapshot).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > BYTES_MAX {
        return Ok(Made::Not("it is too large"));
    }
    let is_new = store.keep_once(SNAPSHOTS, snapshot).await?;
    Ok(if is_new { Made::Now } else { Made::Before })
}
