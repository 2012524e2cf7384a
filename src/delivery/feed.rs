//! Where an app stands in the feed, and what it is answered there.

use std::collections::HashMap;

use bson::doc;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::actions::ReadChanges;
use super::model::{Head, Person, Shown, WALLET};
use super::scan::{self, Scan};
use crate::access::grant::Granted;
use crate::apps::App;
use crate::audit::warrant::Pass;
use crate::config;
use crate::connections::Desk;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, ConnectionId, UserId};
use crate::kernel::page::Limit;
use crate::kernel::time::{DAY_MS, Timestamp};
use crate::store::{Query, Record, Store};
use crate::users::{Booking, Connection, Lines};

/// What the feed works with.
#[derive(Clone)]
pub struct Feed {
    pub desk: Desk,
    /// The wallet's ledger.
    pub lines: Lines,
    pub bounds: config::Delivery,
}

/// What a cursor of the feed holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The first leaf that has not been looked at.
    pub next: i64,
    /// When this was answered, in milliseconds.
    given: i64,
    /// How far behind `next` the leaves of the page before are that showed something: one for each
    /// person. Whoever sends this has read that page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    read: Vec<i64>,
}

/// One item, and the lines of the ledger that were written with it, where they are wanted.
pub struct Item {
    pub entry: Head,
    pub shown: Shown,
    pub lines: Option<Vec<Value>>,
}

pub struct Changes {
    pub items: Vec<Item>,
    pub people: HashMap<UserId, Person>,
    pub position: Position,
    /// Whether there is more to be had at once.
    pub more: bool,
}

impl Position {
    pub fn at(next: i64, now: Timestamp) -> Self {
        Self { next, given: now.timestamp_millis(), read: Vec::new() }
    }

    /// Whether the feed still goes on from here, where it has come to `end`.
    fn in_time(&self, bounds: &config::Delivery, end: i64, now: Timestamp) -> Result<(), Fault> {
        let age = now.timestamp_millis().saturating_sub(self.given);
        let behind = end.saturating_sub(self.next);
        if age <= bounds.feed_days * DAY_MS && behind <= bounds.feed_leaves {
            return Ok(());
        }
        Err(Fault::of(Code::CursorExpired))
    }
}

/// What has come behind a position; without one nothing, and where the feed stands now.
pub async fn changes(
    grant: &Granted<ReadChanges>,
    feed: &Feed,
    after: Option<Position>,
    limit: Limit,
) -> Result<Changes, Fault> {
    let (pass, now) = (grant.pass(), grant.now());
    let end = scan::end(&pass, &feed.desk.store).await?;
    let after = after.unwrap_or_else(|| Position::at(end, now));
    after.in_time(&feed.bounds, end, now)?;
    let app: App = grant.target().record.record()?;
    let mut scan = Scan::new(&pass, &feed.desk, &app, limit).await?;
    let next = scan.run(after.next, end).await?;
    let mut position = Position::at(next, now);
    position.read = scan.newest_of_each().map(|leaf| next - leaf).collect();
    let (found, people) = scan.found();
    let mut items: Vec<Item> =
        found.into_iter().map(|(entry, shown)| Item { entry, shown, lines: None }).collect();
    add_lines(&pass, feed, &app.id, &people, &mut items).await?;
    Ok(Changes { items, people, position, more: next < end })
}

/// To what is told of wallets, what the ledger says of it, for whom that is.
async fn add_lines(
    pass: &Pass,
    feed: &Feed,
    app: &AppId,
    people: &HashMap<UserId, Person>,
    items: &mut [Item],
) -> Result<(), Fault> {
    let booking = |item: &Item| {
        let user = item.entry.user_id.filter(|_| item.shown.kinds.contains(WALLET))?;
        let person = people.get(&user).filter(|person| person.wants_lines)?;
        let (trail_seq, at) = (item.entry.seq, item.entry.timestamp);
        Some(Booking { user, trail_seq, at, sees_others: person.sees_others })
    };
    let wanted: Vec<Booking> = items.iter().filter_map(booking).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut lines = (feed.lines)(*pass, app.clone(), wanted).await?;
    for item in items {
        if let Some(Booking { user, trail_seq, .. }) = booking(item) {
            item.lines = Some(lines.remove(&(user, trail_seq)).unwrap_or_default());
        }
    }
    Ok(())
}

/// The connections whose changes the caller has read, as it says by asking on.
pub async fn acknowledged(
    grant: &Granted<ReadChanges>,
    store: &Store,
    position: &Position,
) -> Result<Vec<ConnectionId>, Fault> {
    #[derive(Deserialize)]
    struct Tie {
        #[serde(rename = "_id")]
        id: ConnectionId,
    }
    if position.read.is_empty() {
        return Ok(Vec::new());
    }
    let pass = grant.pass();
    let leaves: Vec<i64> = position.read.iter().map(|behind| position.next - behind).collect();
    let users = scan::users_of(&pass, store, leaves).await?;
    let tied = doc! {
        "app_id": grant.target().app.as_str(), "user_id": { "$in": users },
        "connection_status": "active",
    };
    let query = Query::of(Connection::KIND.collection, tied).only(doc! { "_id": 1 });
    let ties: Vec<Tie> = store.list(&pass, query).await?;
    Ok(ties.into_iter().map(|tie| tie.id).collect())
}
