//! Whether this process is alone on its database.
//!
//! Whoever is alone may count for itself what it has let through, and write it down later. It must
//! have written it down before anybody else counts: so a process says in its line of `meta` whether
//! it shares, and one that starts waits until every other line says so. The one that is alone hears
//! of the newcomer by the change stream, at the latest with its next sign of life. Both write before
//! they read, so one of two who do this at once sees the other.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bson::{Document, RawDocument, doc};

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
const MINUTES: i64 = 60;
const HOUR_MS: i64 = MINUTES * 60 * SECOND_MS;

/// What is taken of somebody's limit in an hour, and the last minute in which something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased {
    pub of_hour: i64,
    /// Since 1970.
    pub until_minute: i64,
}

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

    /// What is written down of this hour; `None` where it is of too many.
    pub async fn leased(&self, now: Timestamp) -> Result<Option<HashMap<String, Leased>>, Fault> {
        let hour = now.timestamp_millis().div_euclid(HOUR_MS) * HOUR_MS;
        let later = doc! { "expires_at": { "$gt": Timestamp::from_millis(hour + HOUR_MS) } };
        let leases = self.inner().database.collection::<Document>(super::lease::LEASES);
        let found = self.spawn(async move {
            let mut rows = leases.find(later).await?;
            let mut of_all = HashMap::new();
            while rows.advance().await? {
                if of_all.len() == LEASED_MAX {
                    return Ok(None);
                }
                of_all.extend(leased(rows.current(), hour / HOUR_MS));
            }
            Ok(Some(of_all))
        });
        found.await?.map_err(|error: mongodb::error::Error| trouble::fault(&error))
    }
}

/// Whose line it is, and what it says, if it is of this hour.
fn leased(row: &RawDocument, hour: i64) -> Option<(String, Leased)> {
    let (whose, of) = row.get_str("_id").ok()?.split_once('|')?;
    if of.parse() != Ok(hour) {
        return None;
    }
    let minutes = row.get_document("minutes").into_iter().flatten().filter_map(Result::ok);
    let minutes = minutes.filter_map(|(minute, _)| minute.as_str().strip_prefix('m')?.parse().ok());
    let until_minute = hour * MINUTES + minutes.max().unwrap_or(MINUTES);
    // What says nothing may be all of it.
    let of_hour = row.get_i64("hour").unwrap_or(i64::MAX);
    Some((whose.to_owned(), Leased { of_hour, until_minute }))
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
