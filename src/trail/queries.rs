//! Pages of the trail, newest first, at the same cost at any depth.

use std::collections::HashMap;

use bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};

use super::actions::{ReadOwnTrail, ReadTrail};
use crate::access::grant::{Granted, OnApp};
use crate::access::rule;
use crate::audit::entry::{Entry, Line};
use crate::audit::seal;
use crate::audit::warrant::Pass;
use crate::crypto::envelope::DataKey;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, EntryId, UserId};
use crate::kernel::page::{Limit, Page};
use crate::kernel::time::Timestamp;
use crate::store::{LEAVES, Leaf, Query, Store};

#[derive(Default)]
pub struct Filter {
    pub user_id: Option<UserId>,
    pub app_id: Option<AppId>,
    /// `user:<id>`, `app:<id>`, …: one aggregate's own history.
    pub subject: Option<String>,
    pub actor: Option<String>,
    /// This app itself, or a user through it.
    pub through: Option<AppId>,
    pub action: Option<String>,
    pub module: Option<String>,
    /// This path, or one below it.
    pub path: Option<String>,
    pub ip: Option<String>,
    pub outcome: Option<&'static str>,
    /// What the caller called the operation, and its request.
    pub reference: Option<String>,
    pub request_id: Option<String>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

/// Where a page ends: the next one starts below it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Position {
    millis: i64,
    id: EntryId,
}

impl Position {
    pub fn of(entry: &Entry) -> Self {
        Self::at(entry.timestamp, entry.id)
    }

    pub fn at(timestamp: Timestamp, id: EntryId) -> Self {
        Self { millis: timestamp.timestamp_millis(), id }
    }
}

/// What stands where an operator may not see a personal value.
pub const MASK: &str = "[masked]";

pub async fn list(
    grant: &Granted<ReadTrail>,
    store: &Store,
    filter: &Filter,
    limit: Limit,
    after: Option<Position>,
) -> Result<Page<Entry, Position>, Fault> {
    let rows = newest(&grant.pass(), store, filter, limit.rows() + 1, after).await?;
    let page = Page::cut(rows, limit, Position::of);
    Ok(Page { items: opened(grant, store, page.items).await?, next: page.next })
}

/// The newest that come after a position, as they are stored.
pub async fn newest(
    pass: &Pass,
    store: &Store,
    filter: &Filter,
    rows: usize,
    after: Option<Position>,
) -> Result<Vec<Entry>, Fault> {
    let query = Query::of(Entry::COLLECTION, condition(filter, after))
        .sort(doc! { "timestamp": -1, "_id": -1 })
        .limit(rows);
    store.list(pass, query).await
}

/// What the calling app has done, without values: they are the person's, not the app's.
pub async fn own(
    grant: &Granted<ReadOwnTrail>,
    store: &Store,
    filter: Filter,
    limit: Limit,
    after: Option<Position>,
) -> Result<Page<Line, Position>, Fault> {
    let OnApp { app, record } = grant.target();
    let filter = Filter { through: Some(app.clone()), ..filter };
    let query = Query::of(Entry::COLLECTION, condition(&filter, after))
        .sort(doc! { "timestamp": -1, "_id": -1 })
        .limit(limit.rows() + 1)
        .only(Line::projection());
    let rows = store.list(&grant.pass(), query).await?;
    let position =
        |line: &Line| Position { millis: line.timestamp.timestamp_millis(), id: line.id };
    let mut page = Page::cut(rows, limit, position);
    let modules = store.modules(&grant.pass()).await?;
    let hears_of = |name: &str| rule::hears_of(record.raw(), modules.raw(), name);
    for line in &mut page.items {
        line.paths.retain(|path| is_own(path, app) && module_of(path).is_none_or(hears_of));
    }
    Ok(page)
}

/// Another app's place has no business in an entry of this one; if it ever stands there, it is not
/// shown.
fn is_own(path: &str, app: &AppId) -> bool {
    let Some(place) = path.strip_prefix("apps.") else { return true };
    let below = place.strip_prefix(app.as_str());
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Of a path in a module's data. What a person is registered with is of all modules, whoever registers
/// them: of those that the app may not know of it is not told.
fn module_of(path: &str) -> Option<&str> {
    path.strip_prefix("modules.")?.split('.').next()
}

/// By leaf, from `from` on: nothing is skipped and nothing comes twice, whatever is written meanwhile.
pub async fn sealed(
    grant: &Granted<ReadTrail>,
    store: &Store,
    from: i64,
    limit: Limit,
) -> Result<Vec<(i64, Entry)>, Fault> {
    let pass = grant.pass();
    let query = Query::of(LEAVES, doc! { "_id": { "$gte": from } }).sort(doc! { "_id": 1 });
    let leaves: Vec<Leaf> = store.list(&pass, query.limit(limit.rows())).await?;
    let ids: Vec<_> = leaves.iter().map(|leaf| leaf.entry_id).collect();
    let entries = store.list(&pass, Query::of(Entry::COLLECTION, doc! { "_id": { "$in": ids } }));
    let entries = opened(grant, store, entries.await?).await?;
    let mut entries: HashMap<_, _> = entries.into_iter().map(|entry| (entry.id.0, entry)).collect();
    let entry = |leaf: Leaf| Some((leaf.number, entries.remove(&leaf.entry_id)?));
    Ok(leaves.into_iter().filter_map(entry).collect())
}

pub async fn one(grant: &Granted<ReadTrail>, store: &Store, id: EntryId) -> Result<Entry, Fault> {
    let query = Query::of(Entry::COLLECTION, doc! { "_id": id.0 }).limit(1);
    let entry = store.list(&grant.pass(), query).await?;
    opened(grant, store, entry).await?.pop().ok_or_else(|| Fault::of(Code::NotFound))
}

pub fn condition(filter: &Filter, after: Option<Position>) -> Document {
    let mut condition = Document::new();
    let mut equal = |field: &str, value: Option<Bson>| {
        if let Some(value) = value {
            condition.insert(field, doc! { "$eq": value });
        }
    };
    equal("user_id", filter.user_id.map(|id| id.0.into()));
    equal("app_id", filter.app_id.as_ref().map(|id| id.as_str().into()));
    equal("subject", filter.subject.clone().map(Bson::from));
    equal("actor.id", filter.actor.clone().map(Bson::from));
    equal("action", filter.action.clone().map(Bson::from));
    equal("module", filter.module.clone().map(Bson::from));
    equal("ip_address", filter.ip.clone().map(Bson::from));
    equal("outcome", filter.outcome.map(Bson::from));
    equal("reference", filter.reference.clone().map(Bson::from));
    equal("request_id", filter.request_id.clone().map(Bson::from));
    let mut and: Vec<Document> = Vec::new();
    if let Some(app) = &filter.through {
        equal("app_id", Some(app.as_str().into()));
        let itself = doc! { "actor.kind": "app", "actor.id": app.as_str() };
        and.push(doc! { "$or": [itself, { "actor.kind": "user" }] });
        // What was only seen is not for whoever was seen: that a sign-in as somebody has failed tells
        // that there is such a person.
        let watched = doc! { "$gte": "security:", "$lt": "security;" };
        and.push(doc! { "subject": { "$not": watched } });
    }
    if let Some(path) = &filter.path {
        // "/" is the character after ".": everything that starts with the path and a dot.
        let below =
            doc! { "$elemMatch": { "$gte": format!("{path}."), "$lt": format!("{path}/") } };
        and.push(doc! { "$or": [{ "paths": path }, { "paths": below }] });
    }
    let mut time = Document::new();
    if let Some(from) = filter.from {
        time.insert("$gte", from);
    }
    if let Some(to) = filter.to {
        time.insert("$lt", to);
    }
    if !time.is_empty() {
        and.push(doc! { "timestamp": time });
    }
    if let Some(Position { millis, id }) = after {
        let at = Timestamp::from_millis(millis);
        and.push(doc! { "timestamp": { "$lte": at } });
        and.push(doc! { "$or": [{ "timestamp": { "$lt": at } }, { "_id": { "$lt": id.0 } }] });
    }
    if !and.is_empty() {
        condition.insert("$and", and);
    }
    condition
}

/// Opens or masks the personal values, as the operator may.
pub(super) async fn opened(
    grant: &Granted<ReadTrail>,
    store: &Store,
    entries: Vec<Entry>,
) -> Result<Vec<Entry>, Fault> {
    shown(&grant.pass(), store, grant.target().sees_personal_values, entries).await
}

/// Opens the personal values for who sees them, and masks them for everybody else.
pub async fn shown(
    pass: &Pass,
    store: &Store,
    sees_personal_values: bool,
    mut entries: Vec<Entry>,
) -> Result<Vec<Entry>, Fault> {
    let mut users: Vec<UserId> = entries.iter().filter_map(|entry| entry.user_id).collect();
    users.sort_unstable();
    users.dedup();
    let keys =
        if sees_personal_values { store.data_keys(pass, &users).await? } else { HashMap::new() };
    for entry in &mut entries {
        let key = entry.user_id.and_then(|id| keys.get(&id));
        open(entry, key);
    }
    Ok(entries)
}

pub(super) fn open(entry: &mut Entry, key: Option<&DataKey>) {
    let id = entry.id;
    for (path, sides) in entry.changes.iter_mut() {
        let Some(sides) = sides.as_document_mut() else { continue };
        for (side, value) in sides.iter_mut() {
            if seal::is_sealed(value) {
                let opened = key.and_then(|key| seal::open(value, key, id, path, side));
                *value = opened.unwrap_or_else(|| MASK.into());
            } else {
                *value = seal::unmarked(value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::ids::Name;

    #[test]
    fn the_place_of_an_app_whose_name_begins_alike_is_another_apps() {
        let shop = Name::parse("shop").expect("a name");
        for own in ["profile.first_name", "apps.shop.app_profile", "apps.shop", "apps_are"] {
            assert!(is_own(own, &shop), "{own}");
        }
        for foreign in ["apps.shop_two.permissions", "apps.bank.key_id", "apps."] {
            assert!(!is_own(foreign, &shop), "{foreign}");
        }
    }
}
