//! Whether this process is alone on its database.
//!
//! Whoever is alone may count for itself what it has let through, and write it down later. It must
//! have written it down before anybody else counts: so a process says in its line of `meta` whether
//! it shares, and one that starts waits until every other line says so. The one that is alone hears
//! of the newcomer by the change stream, at the latest with its next sign of life. Both write before
//! they read, so one of two who do this at once sees the other.

use std::time::{Duration, Instant};

use bson::{Document, doc};

use super::client::Store;
use super::node::{META, Node};
use super::trouble;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::time::{SECOND_MS, Timestamp};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Whose line has not moved for so long counts nothing by itself any more (`Limiter`).
const STANDS_STILL: Duration = Duration::from_secs(12);
/// Beyond this it waits for the next hour.
const LEASED_MAX: usize = 100_000;
const HOUR_MS: i64 = 3600 * SECOND_MS;

impl Store {
    /// Waits until nobody else counts for itself.
    pub async fn join(&self) -> Result<(), Fault> {
        let node = self.node().clone();
        self.spawn(async move { wait_for_others(&node).await }).await?
    }

    /// Whether there is nobody else.
    pub async fn is_alone(&self) -> Result<bool, Fault> {
        let node = self.node().clone();
        self.spawn(async move { Ok(others(&node).await?.is_empty()) }).await?
    }

    /// Says that this process counts for itself, unless there are others; whether it may. For one
    /// that owes nothing.
    pub async fn claim(&self) -> Result<bool, Fault> {
        let node = self.node().clone();
        self.spawn(async move {
            node.write(doc! { "$set": { "shares": false } }).await?;
            if others(&node).await?.is_empty() {
                return Ok(true);
            }
            node.write(doc! { "$set": { "shares": true } }).await?;
            Ok(false)
        })
        .await?
    }

    /// Says that everything is written down.
    pub async fn share(&self) -> Result<(), Fault> {
        let node = self.node().clone();
        self.spawn(async move { node.write(doc! { "$set": { "shares": true } }).await }).await?
    }

    /// Returns when a line of another process, or the end of one, was heard of.
    pub async fn somebody(&self) {
        self.inner().somebody.notified().await;
    }

    /// Whose limits something is written down of in this hour; `None` where they are too many.
    pub async fn leased(&self, now: Timestamp) -> Result<Option<Vec<String>>, Fault> {
        let hour = now.timestamp_millis().div_euclid(HOUR_MS) * HOUR_MS;
        let later = doc! { "expires_at": { "$gt": Timestamp::from_millis(hour + HOUR_MS) } };
        let leases = self.inner().database.collection::<Document>(super::lease::LEASES);
        let found = self.spawn(async move {
            let mut rows = leases.find(later).projection(doc! { "_id": 1 }).await?;
            let mut whose = Vec::new();
            while rows.advance().await? {
                if whose.len() == LEASED_MAX {
                    return Ok(None);
                }
                let id = rows.current().get_str("_id").unwrap_or_default();
                whose.push(id.split('|').next().unwrap_or_default().to_owned());
            }
            Ok(Some(whose))
        });
        found.await?.map_err(|error: mongodb::error::Error| trouble::fault(&error))
    }
}

async fn wait_for_others(node: &Node) -> Result<(), Fault> {
    let mut moved: Vec<(String, Option<Timestamp>, Instant)> = Vec::new();
    loop {
        let waiting: Vec<Document> = others(node).await?.into_iter().filter(counts_alone).collect();
        let now = Instant::now();
        let still = waiting.iter().all(|line| {
            let id = line.get_str("_id").unwrap_or_default();
            let beat = line.get_datetime("beat_at").ok().copied();
            match moved.iter_mut().find(|(known, ..)| known == id) {
                Some((_, last, since)) if *last == beat => now - *since > STANDS_STILL,
                Some(known) => {
                    *known = (id.to_owned(), beat, now);
                    false
                }
                None => {
                    moved.push((id.to_owned(), beat, now));
                    false
                }
            }
        });
        // Nobody left to wait for.
        if still {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn counts_alone(line: &Document) -> bool {
    line.get_bool("shares").is_ok_and(|shares| !shares)
}

async fn others(node: &Node) -> Result<Vec<Document>, Fault> {
    let meta = node.database().collection::<Document>(META);
    let mut lines = meta.find(node.others()).await.map_err(|error| trouble::fault(&error))?;
    let mut found = Vec::new();
    while lines.advance().await.map_err(|error| trouble::fault(&error))? {
        let line = lines.deserialize_current();
        found.push(line.map_err(|_| Fault::of(Code::Internal).because("a node's line"))?);
    }
    Ok(found)
}
