//! `trail_leaves`: entries of the trail in the one order in which they are sealed, and the change
//! stream that they are taken from. Insert-only.
//!
//! One process at a time appends: it holds a lease in `meta` whose *term* grows with each holder. Every
//! batch is a transaction that finds its term still there, so nobody appends who has lost the lease
//! without knowing; that numbers and entries are unique is what makes sure of it besides.

use bson::{Binary, Document, RawDocumentBuf, doc, oid::ObjectId, spec::BinarySubtype};
use mongodb::ClientSession;
use mongodb::options::{Acknowledgment, ReadConcern, ReturnDocument, WriteConcern};
use serde::{Deserialize, Serialize};

use super::client::Store;
use super::node::META;
use super::trouble::{self, Trouble};
use crate::kernel::fault::Fault;
use crate::kernel::time::Timestamp;

pub const LEAVES: &str = "trail_leaves";
const ENTRIES: &str = "user_audit_logs";
const LEASE: &str = "sequencer";
/// How long the server may wait for entries before it answers that there are none.
const AWAIT_MS: i64 = 200;
/// Of a transaction, and of a batch from the stream.
pub const BATCH: i64 = 1000;
const HISTORY_LOST: &[i32] = &[280, 286];

/// One entry's place. With it stand the nodes of the tree that end there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leaf {
    /// Its number, from 0, without gaps.
    #[serde(rename = "_id")]
    pub number: i64,
    pub entry_id: ObjectId,
    pub subject: String,
    pub seq: i64,
    pub leaf_hash: Binary,
    /// The roots of the whole subtrees of 2, 4, 8 … leaves that end here.
    pub nodes: Vec<Binary>,
    /// Where the stream goes on behind it; with the last of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Document>,
}

/// Whose turn it is to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term(i64);

/// The trail as it grows.
pub struct Stream {
    session: ClientSession,
    cursor: i64,
    /// What came with the opening.
    first: Vec<RawDocumentBuf>,
    position: Document,
}

/// What has been added to the trail, and where the stream goes on.
pub struct News {
    pub entries: Vec<RawDocumentBuf>,
    pub position: Document,
}

/// Why a stream cannot be opened or read.
pub enum Lost {
    /// What follows that position is no longer in the server's log.
    History,
    Fault(Fault),
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub fn hash(bytes: [u8; 32]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

impl Store {
    /// Takes the lease, or goes on with it: the term, while it is this process's turn.
    pub async fn lead(&self, now: Timestamp, until: Timestamp) -> Result<Option<Term>, Fault> {
        let node = self.node().id().to_owned();
        let meta = self.inner().database.collection::<Document>(META);
        let free =
            doc! { "_id": LEASE, "$or": [{ "holder": &node }, { "until": { "$lte": now } }] };
        let renew = vec![doc! { "$set": {
            "term": { "$cond": [
                { "$eq": ["$holder", &node] },
                { "$ifNull": ["$term", 0_i64] },
                { "$add": [{ "$ifNull": ["$term", 0_i64] }, 1_i64] },
            ] },
            "holder": &node,
            "until": until,
        } }];
        let taken = async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "whose turn it is, is no record of anybody"
            )]
            let take = meta.find_one_and_update(free, renew);
            take.upsert(true).return_document(ReturnDocument::After).await
        };
        match self.spawn(taken).await? {
            Ok(lease) => Ok(lease.and_then(|it| it.get_i64("term").ok()).map(Term)),
            // It is there, and somebody else's.
            Err(error) if trouble::of(&error) == Trouble::Duplicate => Ok(None),
            Err(error) => Err(trouble::fault(&error)),
        }
    }

    /// Appends leaves, all or none; `false` where it is somebody else's turn.
    pub async fn append(&self, term: Term, leaves: Vec<Leaf>) -> Result<bool, Fault> {
        let database = self.inner().database.clone();
        let appended = async move {
            let mut session = database.client().start_session().await?;
            let majority =
                WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
            let begun = session.start_transaction().read_concern(ReadConcern::snapshot());
            begun.write_concern(majority).await?;
            let guard = doc! { "update": META, "updates": [{
                "q": { "_id": LEASE, "term": term.0 }, "u": { "$inc": { "batches": 1_i64 } },
            }] };
            let guarded = database.run_command(guard).session(&mut session).await?;
            if guarded.get_i32("n").ok() != Some(1) {
                session.abort_transaction().await?;
                return Ok(false);
            }
            let records = database.collection::<Leaf>(LEAVES);
            #[expect(clippy::disallowed_methods, reason = "leaves are only appended")]
            let insert = records.insert_many(&leaves);
            insert.session(&mut session).await?;
            commit(&mut session).await.map(|()| true)
        };
        match self.spawn(appended).await? {
            Ok(appended) => Ok(appended),
            // Somebody else has appended meanwhile.
            Err(error) if is_elsewhere(&trouble::of(&error)) => Ok(false),
            Err(error) => Err(trouble::fault(&error)),
        }
    }

    /// Adds a record to an insert-only collection; `false` where one with its id is there already.
    pub async fn keep_once<T>(&self, collection: &'static str, record: T) -> Result<bool, Fault>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let records = self.inner().database.collection::<T>(collection);
        let kept = async move {
            #[expect(clippy::disallowed_methods, reason = "what is sealed is no record of anybody")]
            let insert = records.insert_one(record);
            insert.await
        };
        match self.spawn(kept).await? {
            Ok(_) => Ok(true),
            Err(error) if trouble::of(&error) == Trouble::Duplicate => Ok(false),
            Err(error) => Err(trouble::fault(&error)),
        }
    }

    /// Opens the stream of what is added to the trail: behind a position, or from now on.
    pub async fn stream(&self, after: Option<Document>) -> Result<Stream, Lost> {
        let database = self.inner().database.clone();
        let opened = async move {
            let mut session = database.client().start_session().await?;
            let stage = after.map_or(doc! {}, |after| doc! { "resumeAfter": after });
            let pipeline = vec![
                doc! { "$changeStream": stage },
                doc! { "$match": { "operationType": "insert" } },
                doc! { "$project": { "fullDocument": 1 } },
            ];
            let open = doc! { "aggregate": ENTRIES, "pipeline": pipeline,
            "cursor": { "batchSize": i32::try_from(BATCH).unwrap_or(1000) } };
            let answer = database.run_command(open).session(&mut session).await?;
            Ok((session, answer))
        };
        let opened = self.spawn(opened).await?;
        let (session, answer) = opened.map_err(|error| lost(&error))?;
        let batch = Batch::of(&answer, "firstBatch").ok_or_else(broken)?;
        let Batch { cursor, entries: first, position } = batch;
        let position = position.ok_or_else(broken)?;
        Ok(Stream { session, cursor, first, position })
    }

    /// What has been added since; nothing, where nothing was for a moment.
    pub async fn news(&self, mut stream: Stream) -> Result<(Stream, News), Lost> {
        if !stream.first.is_empty() {
            let (entries, position) = (std::mem::take(&mut stream.first), stream.position.clone());
            return Ok((stream, News { entries, position }));
        }
        let database = self.inner().database.clone();
        let more = doc! { "getMore": stream.cursor, "collection": ENTRIES,
        "batchSize": BATCH, "maxTimeMS": AWAIT_MS };
        let asked = async move {
            let answer = database.run_command(more).session(&mut stream.session).await;
            (stream, answer)
        };
        let (mut stream, answer) = self.spawn(asked).await?;
        let answer = answer.map_err(|error| lost(&error))?;
        let batch = Batch::of(&answer, "nextBatch").ok_or_else(broken)?;
        if batch.cursor == 0 {
            return Err(Lost::History);
        }
        if let Some(position) = batch.position {
            stream.position = position;
        }
        let position = stream.position.clone();
        Ok((stream, News { entries: batch.entries, position }))
    }
}

/// In doubt it is repeated a few times; what then is still unknown shows when the last leaf is read.
async fn commit(session: &mut ClientSession) -> Result<(), mongodb::error::Error> {
    for _ in 0..3 {
        match session.commit_transaction().await {
            Err(error) if trouble::of_commit(&error) == Trouble::InDoubt => {}
            committed => return committed,
        }
    }
    session.commit_transaction().await
}

struct Batch {
    cursor: i64,
    entries: Vec<RawDocumentBuf>,
    position: Option<Document>,
}

impl Batch {
    fn of(answer: &Document, field: &str) -> Option<Self> {
        let cursor = answer.get_document("cursor").ok()?;
        let events = cursor.get_array(field).ok()?.iter().filter_map(|event| event.as_document());
        let entries: Option<Vec<_>> = events
            .map(|event| RawDocumentBuf::try_from(event.get_document("fullDocument").ok()?).ok())
            .collect();
        let position = cursor.get_document("postBatchResumeToken").ok().cloned();
        Some(Self { cursor: cursor.get_i64("id").ok()?, entries: entries?, position })
    }
}

fn lost(error: &mongodb::error::Error) -> Lost {
    let code = match error.kind.as_ref() {
        mongodb::error::ErrorKind::Command(error) => error.code,
        _ => 0,
    };
    if HISTORY_LOST.contains(&code) { Lost::History } else { trouble::fault(error).into() }
}

fn broken() -> Lost {
    Fault::internal("a change stream answered something else").into()
}

fn is_elsewhere(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Duplicate | Trouble::Conflict | Trouble::Transient(_))
}
