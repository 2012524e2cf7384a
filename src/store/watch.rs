//! One change stream for each process: hears of every change of the records that are copied, by
//! whichever node it was made.
//!
//! The stream is driven by hand: only so is it known up to which moment everything was heard. An
//! answer to a question that was asked at `t` holds every change that a majority had at `t`. When
//! the stream breaks, all copies are forgotten once a new one is open, and none counts until then.
//! Only names of fields are sent, and of values the revision alone: what this process has written itself
//! it knows already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use mongodb::ClientSession;
use mongodb::error::Error;

use super::client::Inner;
use super::copies::{COPIED, Copies, is_few};
use super::memory::USERS;
use super::node::{META, NODES};
use super::record::{REVISION, RecordId};
use super::trouble;
use crate::kernel::ids::UserId;

/// How long the server may wait for changes before it answers that there are none.
const AWAIT_MS: i64 = 150;
/// A server that is frozen answers nothing at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// After an answer that had changes: more of them come in the next one, which costs as much.
const GATHER: Duration = Duration::from_millis(25);
const USER_KEYS: &str = "user_keys";
const PAUSE: Duration = Duration::from_millis(200);

/// `node` is this process's own line in `meta`.
pub(super) async fn watch(store: Arc<Inner>, node: String) {
    let mut told = true;
    loop {
        let why = match follow(&store, &node, &mut told).await {
            Ok(()) => "it was ended".to_owned(),
            Err(error) => trouble::describe(&error),
        };
        // Once for each time that it worked before.
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(cause = why, "the change stream broke; reading from the database");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Follows one stream until it ends.
async fn follow(store: &Inner, node: &str, told: &mut bool) -> Result<(), Error> {
    let mut session = store.database.client().start_session().await?;
    let pipeline = pipeline(store.database.name());
    let open = doc! { "aggregate": 1, "pipeline": pipeline, "cursor": { "batchSize": 0 } };
    let opened = ask(store, &mut session, open).await?;
    let cursor = opened.get_document("cursor").ok().and_then(|c| c.get_i64("id").ok());
    let cursor = cursor.unwrap_or_default();
    // What was copied before the stream was open may have changed unheard.
    store.memory.forget_all();
    store.copies.forget_all();
    *told = false;
    loop {
        let asked = Instant::now();
        let more =
            doc! { "getMore": cursor, "collection": "$cmd.aggregate", "maxTimeMS": AWAIT_MS };
        let reply = ask(store, &mut session, more).await?;
        let reply = reply.get_document("cursor").cloned().unwrap_or_default();
        let mut has_come = false;
        for event in reply.get_array("nextBatch").into_iter().flatten() {
            has_come = true;
            let Some(event) = event.as_document() else { return Ok(()) };
            match news(event, node) {
                News::None => {}
                News::Somebody => store.somebody.notify_one(),
                News::Changed(collection, id, revision) => {
                    if is_few(collection) {
                        store.memory.forget_records();
                    }
                    store.copies.has_come_to(collection, id, revision);
                }
                News::ByHand(user) => {
                    store.memory.doubt(user);
                    store.forget(USERS, RecordId::Object(user.0));
                }
                News::Erased(user) => store.forget_key(user),
                News::TheEnd => return Ok(()),
            }
        }
        if reply.get_i64("id").unwrap_or(0) == 0 {
            return Ok(());
        }
        store.copies.heard(asked);
        if has_come {
            tokio::time::sleep(GATHER).await;
        }
    }
}

async fn ask(
    store: &Inner,
    session: &mut ClientSession,
    command: Document,
) -> Result<Document, Error> {
    let answer = store.database.run_command(command).session(session);
    match tokio::time::timeout(ANSWER_WITHIN, answer.into_future()).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::custom("no answer in time")),
    }
}

fn pipeline(database: &str) -> Vec<Bson> {
    let names = |field: &str| {
        let pairs = doc! { "$objectToArray": field };
        doc! { "$map": { "input": pairs, "in": "$$this.k" } }
    };
    // Whole, a namespace is compared as it stands in the log; by its parts with an expression for each.
    let of = |collection: &str| doc! { "db": database, "coll": collection };
    let watched: Vec<_> = COPIED.iter().chain(&[META, USER_KEYS]).map(|name| of(name)).collect();
    vec![
        doc! { "$changeStream": {} }.into(),
        // The server asks this of everything that anybody writes: one question, and `news` has the others.
        // With its database each collection is dropped, too.
        doc! { "$match": { "ns": { "$in": watched } } }.into(),
        doc! { "$project": {
            "operationType": 1, "ns.coll": 1, "documentKey": 1,
            // In `users` nothing changes without being a change: the names of its fields say no more.
            "fields": { "$cond": [
                { "$eq": ["$ns.coll", USERS] }, [], names("$updateDescription.updatedFields"),
            ] },
            "removed": "$updateDescription.removedFields",
            (REVISION.as_str()): format!("$updateDescription.updatedFields.{}", REVISION.as_str()),
        } }
        .into(),
    ]
}

/// What an event means to the process whose own line in `meta` is `node`.
#[derive(Debug, PartialEq)]
enum News {
    None,
    /// Another process has come or gone, or this one's line was taken away.
    Somebody,
    /// And the revision that it has come to, where an update says so.
    Changed(&'static str, RecordId, Option<i64>),
    /// Somebody's record was changed, and its revision was not.
    ByHand(UserId),
    /// Somebody's data key was destroyed.
    Erased(UserId),
    /// A collection or the database was dropped or renamed, or the stream says that it is over.
    TheEnd,
}

fn news(event: &Document, node: &str) -> News {
    let collection = event.get_document("ns").ok().and_then(|ns| ns.get_str("coll").ok());
    let id = event.get_document("documentKey").ok().and_then(|key| key.get("_id"));
    let (Some(collection), Some(id)) = (collection, id) else { return News::TheEnd };
    let is_gone = event.get_str("operationType").ok() == Some("delete");
    if collection == META {
        // Its own signs of life are no news.
        let of_node = id.as_str().filter(|id| id.starts_with(NODES) && (*id != node || is_gone));
        return of_node.map_or(News::None, |_| News::Somebody);
    }
    if collection == USER_KEYS {
        let erased = id.as_object_id().filter(|_| is_gone);
        return erased.map_or(News::None, |id| News::Erased(UserId(id)));
    }
    let revision = event.get_i64(REVISION).ok();
    if let (USERS, Some(id), None) = (collection, id.as_object_id(), revision)
        && event.get_str("operationType").ok() != Some("insert")
    {
        return News::ByHand(UserId(id));
    }
    match (Copies::keeps(collection), RecordId::of(id)) {
        (Some(collection), Some(id)) if !is_volatile(collection, event) => {
            News::Changed(collection, id, revision)
        }
        (Some(_), _) => News::None,
        (None, _) => News::TheEnd,
    }
}

/// An update of nothing but when a key was last used or an app last read.
fn is_volatile(collection: &str, event: &Document) -> bool {
    let names = |field| event.get_array(field).ok().filter(|names: &&Vec<Bson>| !names.is_empty());
    let Some(fields) = names("fields") else { return false };
    let volatile = |name: &str| match collection {
        "apps" => name.starts_with("keys.") && name.ends_with(".last_used_at"),
        _ => matches!(name, "key_last_used_at" | "last_sync"),
    };
    names("removed").is_none() && fields.iter().all(|name| name.as_str().is_some_and(volatile))
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;

    use super::*;

    #[test]
    fn a_process_takes_its_own_sign_of_life_for_no_news_and_the_end_of_its_line_for_some() {
        let of = |operation: &str, id: &str| {
            let event = doc! { "operationType": operation, "ns": { "coll": META },
            "documentKey": { "_id": id } };
            news(&event, "node:me")
        };
        assert_eq!(of("update", "node:me"), News::None);
        assert_eq!(of("delete", "node:me"), News::Somebody);
        assert_eq!(of("insert", "node:other"), News::Somebody);
        assert_eq!(of("update", "sequencer"), News::None);
        let changed = doc! { "operationType": "update", "ns": { "coll": "apps" },
        "documentKey": { "_id": "shop" }, "fields": ["name"] };
        let shop = RecordId::Text("shop".into());
        assert_eq!(news(&changed, "node:me"), News::Changed("apps", shop.clone(), None));
        let of_somebody = |operation: &str, revision: Option<i64>| {
            let mut event = doc! { "operationType": operation, "ns": { "coll": "users" },
            "documentKey": { "_id": ObjectId::from_bytes([1; 12]) } };
            event.extend(revision.map(|revision| ("revision".to_owned(), revision.into())));
            news(&event, "node:me")
        };
        let somebody = RecordId::Object(ObjectId::from_bytes([1; 12]));
        let by_hand = News::ByHand(UserId(ObjectId::from_bytes([1; 12])));
        let revised = News::Changed("users", somebody.clone(), Some(2));
        assert_eq!(of_somebody("update", Some(2)), revised);
        assert_eq!(of_somebody("insert", None), News::Changed("users", somebody, None));
        assert_eq!(of_somebody("update", None), by_hand);
        assert_eq!(of_somebody("replace", None), by_hand);
        assert_eq!(of_somebody("delete", None), by_hand);
        let mut further = changed.clone();
        further.insert("revision", 7_i64);
        assert_eq!(news(&further, "node:me"), News::Changed("apps", shop, Some(7)));
        assert_eq!(news(&doc! { "operationType": "dropDatabase" }, "node:me"), News::TheEnd);
    }

    #[test]
    fn only_what_is_volatile_for_its_collection_leaves_a_copy_alone() {
        let update = |fields: &[&str]| doc! { "operationType": "update", "fields": fields };
        assert!(is_volatile("user_apps", &update(&["last_sync", "key_last_used_at"])));
        assert!(is_volatile("apps", &update(&["keys.3.last_used_at"])));
        assert!(!is_volatile("user_apps", &update(&["last_sync", "connection_status"])));
        assert!(!is_volatile("users", &update(&[])));
        assert!(!is_volatile("user_apps", &doc! { "operationType": "delete" }));
        let mut removed = update(&["last_sync"]);
        removed.insert("removed", vec!["key_id"]);
        assert!(!is_volatile("user_apps", &removed));
    }
}
