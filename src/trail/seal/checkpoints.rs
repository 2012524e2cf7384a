//! Checkpoints: what the tree has come to, signed, one for each size.

use std::path::PathBuf;
use std::sync::Arc;

use bson::{Binary, doc};
use serde::{Deserialize, Serialize};

use super::keeper::Handed;
use super::nodes::{hash_of, number};
use crate::access::grant::Granted;
use crate::audit::checkpoint::{Checkpoint, Note};
use crate::audit::proof::Head;
use crate::audit::tree::{Frontier, Hash};
use crate::audit::warrant::Pass;
use crate::crypto::signature::{PublicKey, SigningKey};
use crate::kernel::fault::Fault;
use crate::kernel::page::{Limit, Page};
use crate::kernel::time::{self, SECOND_MS, Timestamp};
use crate::store::{Path, Query, Store, Walk, hash};
use crate::trail::actions::SealTrail;

/// Who signs, how often, and where else it is kept. Cheap to clone.
#[derive(Clone)]
pub struct Checkpoints {
    key: Option<Arc<SigningKey>>,
    every_ms: i64,
    file: Option<PathBuf>,
    handed: Handed,
}

/// One as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    #[serde(rename = "_id")]
    size: i64,
    root: Binary,
    text: String,
    created_at: Timestamp,
}

const CHECKPOINTS: &str = "trail_checkpoints";

impl Checkpoints {
    pub fn new(key: Option<SigningKey>, every_seconds: u64, file: &str) -> Self {
        let every_ms = i64::try_from(every_seconds).unwrap_or(i64::MAX).saturating_mul(SECOND_MS);
        let file = (!file.is_empty()).then(|| PathBuf::from(file));
        Self { key: key.map(Arc::new), every_ms, file, handed: Handed::default() }
    }

    /// What is on its way to somebody else.
    pub fn handed(&self) -> &Handed {
        &self.handed
    }

    /// The newest that was signed, for whoever keeps it: a process that ended may have owed it.
    pub async fn hand_over_newest(&self, pass: &Pass, store: &Store) -> Result<(), Fault> {
        if let Some(newest) = Stored::newest(pass, store).await? {
            self.handed.leave(newest.size(), newest.text());
        }
        Ok(())
    }

    /// Whose signatures count here.
    pub fn public_key(&self) -> Option<&PublicKey> {
        self.key.as_ref().map(|key| key.public())
    }

    /// Signs what the tree has come to, where it has grown and the last time is long enough ago.
    pub async fn sign(
        &self,
        grant: &Granted<SealTrail>,
        store: &Store,
        tree: &Frontier,
    ) -> Result<bool, Fault> {
        let Some(key) = &self.key else { return Ok(false) };
        let (newest, now) = (Stored::newest(&grant.pass(), store).await?, grant.now());
        let due = newest.is_none_or(|it| {
            it.size < number(tree.size()) && time::plus(it.created_at, self.every_ms) <= now
        });
        if tree.size() == 0 || !due {
            return Ok(false);
        }
        let head = Head { size: tree.size(), root: tree.root() };
        let checkpoint = Checkpoint::new(key.public().name(), head, Some(now));
        let checkpoint = checkpoint.map_err(|why| Fault::internal(why.to_string()))?;
        let stored = Stored {
            size: number(head.size),
            root: hash(head.root.0),
            text: checkpoint.sign(&[key]),
            created_at: now,
        };
        let (size, text) = (head.size, stored.text.clone());
        if !store.keep_once(CHECKPOINTS, stored).await? {
            return Ok(false);
        }
        self.push(&text);
        self.handed.leave(size, &text);
        Ok(true)
    }

    /// Where somebody else may keep it. What cannot be written there is told, and written next time.
    fn push(&self, text: &str) {
        let Some(file) = &self.file else { return };
        if let Err(error) = std::fs::write(file, text) {
            let kind = error.kind().to_string();
            tracing::warn!(cause = kind, "the checkpoint was not written to trail.checkpoint_file");
        }
    }
}

impl Stored {
    pub fn size(&self) -> u64 {
        u64::try_from(self.size).unwrap_or(0)
    }

    /// The note as it was signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn root(&self) -> Option<Hash> {
        hash_of(&self.root)
    }

    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// What it says, if it is signed with `key`, where there is one, and agrees with itself.
    pub fn opened(&self, key: Option<&PublicKey>) -> Result<Checkpoint, String> {
        let note = Note::parse(&self.text).map_err(|why| why.to_string())?;
        let checkpoint = match key {
            Some(key) => {
                note.verify(std::slice::from_ref(key)).map_err(|why| why.to_string())?.clone()
            }
            None => note.unverified().clone(),
        };
        let head = checkpoint.head();
        if number(head.size) == self.size && hash_of(&self.root) == Some(head.root) {
            Ok(checkpoint)
        } else {
            Err("its text says something else than its record".to_owned())
        }
    }

    pub async fn newest(pass: &Pass, store: &Store) -> Result<Option<Self>, Fault> {
        let query = Query::of(CHECKPOINTS, doc! {}).sort(doc! { "_id": -1 }).limit(1);
        Ok(store.list(pass, query).await?.pop())
    }

    pub async fn of_size(pass: &Pass, store: &Store, size: u64) -> Result<Option<Self>, Fault> {
        let query = Query::of(CHECKPOINTS, doc! { "_id": number(size) }).limit(1);
        Ok(store.list(pass, query).await?.pop())
    }

    /// The newest first, below the size `before`.
    pub async fn list(
        pass: &Pass,
        store: &Store,
        limit: Limit,
        before: Option<i64>,
    ) -> Result<Page<Self, i64>, Fault> {
        let filter = before.map_or(doc! {}, |before| doc! { "_id": { "$lt": before } });
        let query = Query::of(CHECKPOINTS, filter).sort(doc! { "_id": -1 });
        let rows = store.list(pass, query.limit(limit.rows() + 1)).await?;
        Ok(Page::cut(rows, limit, |stored: &Self| stored.size))
    }

    /// All from `size` on, in their order.
    pub fn walk(store: &Store, size: u64) -> Ordered {
        let path = Path {
            collection: CHECKPOINTS,
            filter: doc! { "_id": { "$gte": number(size) } },
            sort: doc! { "_id": 1 },
            only: doc! {},
            batch: 500,
        };
        Ordered { walk: store.walk(path), read: Vec::new().into_iter() }
    }
}

/// Checkpoints one after another.
pub struct Ordered {
    walk: Walk<Stored>,
    read: std::vec::IntoIter<Stored>,
}

impl Ordered {
    pub async fn next(&mut self) -> Result<Option<Stored>, Fault> {
        loop {
            if let Some(stored) = self.read.next() {
                return Ok(Some(stored));
            }
            match self.walk.next().await? {
                Some(batch) => self.read = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
