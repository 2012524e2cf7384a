//! Reading the registry, and who uses what is in it.

use bson::{Document, doc};
use serde::Deserialize;

use super::actions::ReadModules;
use super::record::{Registered, Status};
use crate::access::grant::Granted;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::ids::Name;
use crate::kernel::page::{Limit, Page};
use crate::store::{Query, Record, Store};

pub async fn one(
    grant: &Granted<ReadModules>,
    store: &Store,
    name: &Name,
) -> Result<Registered, Fault> {
    find(&grant.pass(), store, name).await
}

pub async fn find(pass: &Pass, store: &Store, name: &Name) -> Result<Registered, Fault> {
    Registered::existing(store.find(pass, &Registered::by_name(name)).await?)
}

/// By name, from the one after `after`.
pub async fn list(
    pass: &Pass,
    store: &Store,
    limit: Limit,
    after: Option<String>,
) -> Result<Page<Registered, String>, Fault> {
    let filter = doc! { "module_name": { "$gt": after.unwrap_or_default() },
    "status": { "$ne": Status::DELETED } };
    let query = Query::of(Registered::KIND.collection, filter).sort(doc! { "module_name": 1 });
    let rows = store.list(pass, query.limit(limit.rows() + 1)).await?;
    Ok(Page::cut(rows, limit, |line: &Registered| line.module_name.to_string()))
}

pub async fn count(pass: &Pass, store: &Store) -> Result<usize, Fault> {
    #[derive(Deserialize)]
    struct Line {}
    let existing = doc! { "status": { "$ne": Status::DELETED } };
    let lines = Query::of(Registered::KIND.collection, existing).only(doc! { "_id": 1 });
    Ok(store.list::<Line>(pass, lines).await?.len())
}

/// What still uses a module, in words. Its permission counts, unless another module has the same.
pub async fn uses(pass: &Pass, store: &Store, name: &Name) -> Result<Option<String>, Fault> {
    let line = find(pass, store, name).await?;
    let data = doc! { format!("modules.{name}"): { "$exists": true } };
    if is_any(pass, store, "users", data).await? {
        return Ok(Some("People have data in it.".to_owned()));
    }
    let shared = doc! { "permission": &line.permission, "module_name": { "$ne": name.as_str() },
    "status": { "$ne": Status::DELETED } };
    if is_any(pass, store, Registered::KIND.collection, shared).await? {
        return Ok(None);
    }
    let held = doc! { "$or": [{ "permissions": &line.permission },
    { "default_permissions": &line.permission }] };
    for (collection, who) in [("apps", "An app's"), ("user_apps", "A connection's")] {
        if is_any(pass, store, collection, held.clone()).await? {
            let what = format!("{who} `permissions` hold `{}`.", line.permission);
            return Ok(Some(what));
        }
    }
    Ok(None)
}

impl Status {
    const DELETED: &str = "deleted";
}

async fn is_any(
    pass: &Pass,
    store: &Store,
    collection: &'static str,
    filter: Document,
) -> Result<bool, Fault> {
    Ok(store.count(pass, collection, filter, 1).await? > 0)
}
