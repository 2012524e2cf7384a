//! `trail_leaves`: entries of the trail in the one order in which they are sealed, and the change
//! stream that they are taken from. Insert-only.
//!
//! One process at a time appends: it holds a lease in `meta` whose *term* grows with each holder. Every
//! batch is a transaction that finds its term still there, so nobody appends who has lost the lease
//! without knowing; that numbers and entries are unique is what makes sure of it besides.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bson::{Binary, Document, RawDocumentBuf, doc, oid::ObjectId, spec::BinarySubtype};
use mongodb::ClientSession;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ResumeToken;
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
/// How long the server may wait for entries before it answers that there are none. Who asks comes
/// again: what has come meanwhile is cheaper in one answer than each transaction in its own.
const AWAIT: Duration = Duration::from_millis(1);
/// Of a transaction, and of a batch from the stream.
pub const BATCH: usize = 1000;
/// Entries that are decoded before others have their turn on this thread.
const AT_A_STRETCH: usize = 32;
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

/// The trail as it grows. The lock only says that nobody shares it: the driver's is not `Sync`.
pub struct Stream(Mutex<ChangeStream<Added>>);

#[derive(Deserialize)]
struct Added {
    #[serde(rename = "fullDocument")]
    entry: RawDocumentBuf,
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
        let entries = self.inner().database.collection::<Document>(ENTRIES);
        let after = after.map(|after| bson::deserialize_from_document(after).map_err(|_| broken()));
        let after: Option<ResumeToken> = after.transpose()?;
        let opened = async move {
            let added = [
                doc! { "$match": { "operationType": "insert" } },
                doc! { "$project": { "fullDocument": 1 } },
            ];
            let batch = u32::try_from(BATCH).unwrap_or(1000);
            let stream = entries.watch().pipeline(added).max_await_time(AWAIT).batch_size(batch);
            match after {
                Some(after) => stream.resume_after(after).await,
                None => stream.await,
            }
        };
        let opened = self.spawn(opened).await?;
        Ok(Stream(Mutex::new(opened.map_err(|error| lost(&error))?.with_type())))
    }

    /// What has been added since, up to a batch of it.
    pub async fn news(&self, stream: Stream) -> Result<(Stream, News), Lost> {
        let asked = async move {
            let mut stream = stream.0.into_inner().unwrap_or_else(PoisonError::into_inner);
            let mut entries = Vec::new();
            while entries.len() < BATCH {
                let Some(Added { entry }) = stream.next_if_any().await? else { break };
                entries.push(entry);
                // What has come already is decoded without waiting, and others wait meanwhile.
                if entries.len().is_multiple_of(AT_A_STRETCH) {
                    tokio::task::yield_now().await;
                }
            }
            Ok((stream, entries))
        };
        let (stream, entries) = self.spawn(asked).await?.map_err(|error| lost(&error))?;
        if !stream.is_alive() {
            return Err(Lost::History);
        }
        let position = stream.resume_token().ok_or_else(broken)?;
        let position = bson::serialize_to_document(&position).map_err(|_| broken())?;
        Ok((Stream(Mutex::new(stream)), News { entries, position }))
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
