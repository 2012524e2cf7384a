//! This process among several: a record in `meta` with the sessions it uses, so that whoever comes
//! after a `kill -9` can end the transactions that are still open under them. Until somebody does,
//! their records are locked for the server's `transactionLifetimeLimitSeconds`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::{ClientSession, Database};

use super::trouble;
use crate::kernel::fault::Fault;
use crate::kernel::time::{self, Clock};

pub(super) const META: &str = "meta";
/// How the ids of nodes begin there.
pub(super) const NODES: &str = "node:";
/// A node that has said nothing for so long is dead.
const SILENCE_MS: i64 = 30 * time::SECOND_MS;

#[derive(Clone)]
pub(super) struct Node {
    database: Database,
    id: Arc<str>,
    sessions: Arc<[Document]>,
    /// The id of the master key that this process seals with.
    sealing_with: Arc<str>,
    clock: Clock,
    alive: Arc<AtomicI64>,
}

impl Node {
    pub fn new(
        database: &Database,
        name: &str,
        sessions: &[ClientSession],
        sealing_with: &str,
        clock: Clock,
    ) -> Self {
        Self {
            database: database.clone(),
            id: format!("{NODES}{name}").into(),
            sessions: sessions.iter().map(|session| session.id().clone()).collect(),
            sealing_with: sealing_with.into(),
            clock,
            alive: Arc::new(AtomicI64::new(1)),
        }
    }

    pub fn now(&self) -> time::Timestamp {
        self.clock.now()
    }

    pub async fn take_over(&self) -> Result<(), Fault> {
        let orphaned = self.orphaned().await?;
        if !orphaned.is_empty() {
            let kill = doc! { "killSessions": orphaned };
            self.database.run_command(kill).await.map_err(|error| trouble::fault(&error))?;
        }
        self.write(
            doc! { "$set": { "sessions": self.sessions.to_vec(), "started_at": self.clock.now(), "shares": true } },
        )
        .await
    }

    pub async fn beat(&self) -> Result<(), Fault> {
        self.write(Document::new()).await?;
        let meta = self.database.collection::<Document>(META);
        let silent_since = time::plus(self.clock.now(), -SILENCE_MS);
        let alive = doc! { "_id": every_node(), "beat_at": { "$gte": silent_since } };
        let alive = meta.count_documents(alive).await.map_err(|error| trouble::fault(&error))?;
        self.alive.store(i64::try_from(alive).unwrap_or(1).max(1), Ordering::Relaxed);
        Ok(())
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Every other process that is alive.
    pub fn others(&self) -> Document {
        let silent_since = time::plus(self.clock.now(), -SILENCE_MS);
        let ids = doc! { "$gte": "node:", "$lt": "node;", "$ne": &*self.id };
        doc! { "_id": ids, "beat_at": { "$gte": silent_since } }
    }

    /// Nodes that had said so lately, when this one said so last.
    pub fn alive(&self) -> i64 {
        self.alive.load(Ordering::Relaxed)
    }

    pub async fn sign_off(&self) -> Result<(), Fault> {
        let meta = self.database.collection::<Document>(META);
        let mine = doc! { "_id": &*self.id, "sessions": self.sessions.to_vec() };
        #[expect(clippy::disallowed_methods, reason = "a node's own line is no record of anybody")]
        meta.delete_one(mine).await.map_err(|error| trouble::fault(&error))?;
        Ok(())
    }

    /// Sessions of an earlier process of this name, and of nodes that are silent; their lines go.
    async fn orphaned(&self) -> Result<Vec<Bson>, Fault> {
        let silent_since = time::plus(self.clock.now(), -SILENCE_MS);
        let dead = doc! { "$or": [
            { "_id": &*self.id },
            { "_id": every_node(), "beat_at": { "$lt": silent_since } },
        ] };
        let meta = self.database.collection::<Document>(META);
        let mut nodes = meta.find(dead).await.map_err(|error| trouble::fault(&error))?;
        let mut sessions = Vec::new();
        while nodes.advance().await.map_err(|error| trouble::fault(&error))? {
            let node = nodes.deserialize_current().map_err(|error| trouble::fault(&error))?;
            sessions.extend(node.get_array("sessions").cloned().unwrap_or_default());
            let id = node.get_str("_id").unwrap_or_default();
            tracing::info!(node = id, "ending what a dead process left open");
            #[expect(clippy::disallowed_methods, reason = "a node's line is no record of anybody")]
            meta.delete_one(doc! { "_id": id }).await.map_err(|error| trouble::fault(&error))?;
        }
        Ok(sessions)
    }

    /// Processes that are alive and seal under another master key than this one, with that key.
    pub async fn sealing_otherwise(&self) -> Result<Vec<(String, Option<String>)>, Fault> {
        let silent_since = time::plus(self.clock.now(), -SILENCE_MS);
        let otherwise = doc! {
            "_id": every_node(), "beat_at": { "$gte": silent_since },
            "sealing_with": { "$ne": &*self.sealing_with },
        };
        let meta = self.database.collection::<Document>(META);
        let found = async { meta.find(otherwise).await?.try_collect::<Vec<Document>>().await };
        let found = found.await.map_err(|error| trouble::fault(&error))?;
        let told = |node: Document| {
            let name = node.get_str("_id").unwrap_or_default().trim_start_matches(NODES);
            (name.to_owned(), node.get_str("sealing_with").ok().map(str::to_owned))
        };
        Ok(found.into_iter().map(told).collect())
    }

    pub async fn write(&self, mut update: Document) -> Result<(), Fault> {
        let mut set = update.get_document("$set").cloned().unwrap_or_default();
        set.insert("beat_at", self.clock.now());
        set.insert("sealing_with", &*self.sealing_with);
        update.insert("$set", set);
        let meta = self.database.collection::<Document>(META);
        #[expect(clippy::disallowed_methods, reason = "a node's own line is no record of anybody")]
        meta.update_one(doc! { "_id": &*self.id }, update)
            .upsert(true)
            .await
            .map_err(|error| trouble::fault(&error))?;
        Ok(())
    }
}

fn every_node() -> Document {
    doc! { "$gte": "node:", "$lt": "node;" }
}
