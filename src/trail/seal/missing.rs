//! Which entries have no leaf: both are walked through in the order of subject and number, side by
//! side. Both walks are answered from an index alone: there may be millions, and none of them missing.

use bson::{RawDocument, doc};
use serde::Deserialize;

use crate::audit::entry::Entry;
use crate::kernel::fault::Fault;
use crate::store::{LEAVES, Path, Store, Walk};

/// The place of an entry in its subject's history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Mark {
    pub subject: String,
    pub seq: i64,
}

impl Mark {
    /// That of an entry as it is stored.
    pub fn of(entry: &RawDocument) -> Result<Self, Fault> {
        let broken = |_| Fault::internal("an entry of the trail has no place in a history");
        let subject = entry.get_str("subject").map_err(broken)?.to_owned();
        Ok(Self { subject, seq: entry.get_i64("seq").map_err(broken)? })
    }
}

pub struct Missing {
    entries: Marks,
    leaves: Marks,
    leaf: Option<Mark>,
}

const BATCH: u32 = 2000;

impl Missing {
    pub fn look(store: &Store) -> Self {
        let marks = |collection| {
            let sort = doc! { "subject": 1, "seq": 1 };
            let only = doc! { "subject": 1, "seq": 1, "_id": 0 };
            Marks::of(store.walk(Path { collection, filter: doc! {}, sort, only, batch: BATCH }))
        };
        Self { entries: marks(Entry::COLLECTION), leaves: marks(LEAVES), leaf: None }
    }

    /// The next `max` of them; fewer only at the end.
    pub async fn next(&mut self, max: usize) -> Result<Vec<Mark>, Fault> {
        let mut missing = Vec::new();
        while missing.len() < max {
            let Some(entry) = self.entries.next().await? else { break };
            if !self.has_leaf(&entry).await? {
                missing.push(entry);
            }
        }
        Ok(missing)
    }

    async fn has_leaf(&mut self, entry: &Mark) -> Result<bool, Fault> {
        loop {
            if self.leaf.is_none() {
                self.leaf = self.leaves.next().await?;
            }
            let Some(leaf) = &self.leaf else { return Ok(false) };
            let place = leaf.cmp(entry);
            if place.is_gt() {
                return Ok(false);
            }
            let found = place.is_eq();
            self.leaf = None;
            if found {
                return Ok(true);
            }
        }
    }
}

struct Marks {
    walk: Walk<Mark>,
    read: std::vec::IntoIter<Mark>,
}

impl Marks {
    fn of(walk: Walk<Mark>) -> Self {
        Self { walk, read: Vec::new().into_iter() }
    }

    async fn next(&mut self) -> Result<Option<Mark>, Fault> {
        loop {
            if let Some(mark) = self.read.next() {
                return Ok(Some(mark));
            }
            match self.walk.next().await? {
                Some(batch) => self.read = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
