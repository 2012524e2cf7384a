//! Reading apps.

use bson::doc;

use super::actions::{ReadApps, ReadItself};
use super::model::App;
use crate::access::grant::Granted;
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::AppId;
use crate::kernel::page::{Limit, Page};
use crate::store::{Query, Record, Store};

/// The calling app's own settings, for other slices.
pub async fn find(pass: &Pass, store: &Store, id: &AppId) -> Result<App, Fault> {
    let app = store.find(pass, &App::by_id(id)).await?;
    app.ok_or_else(|| Fault::of(Code::NotFound))
}

pub async fn one(grant: &Granted<ReadApps>, store: &Store, id: &AppId) -> Result<App, Fault> {
    find(&grant.pass(), store, id).await
}

/// Beyond it an app's active connections are not counted.
pub const COUNTED_MAX: u64 = 10_000;

/// The calling app, and how many active connections it has: `COUNTED_MAX` where there are more.
pub async fn itself(grant: &Granted<ReadItself>, store: &Store) -> Result<(App, u64), Fault> {
    let (pass, id) = (grant.pass(), &grant.target().app);
    let app = find(&pass, store, id).await?;
    let active = doc! { "app_id": id.as_str(), "connection_status": "active" };
    Ok((app, store.count(&pass, CONNECTIONS, active, COUNTED_MAX).await?))
}

/// By name, because the room that keeps them stands above this one.
const CONNECTIONS: &str = "user_apps";

/// In the order of their ids, from the one after `after`.
pub async fn list(
    grant: &Granted<ReadApps>,
    store: &Store,
    limit: Limit,
    after: Option<String>,
) -> Result<Page<App, String>, Fault> {
    let filter = doc! { "_id": { "$gt": after.unwrap_or_default() } };
    let query = Query::of(App::KIND.collection, filter).sort(doc! { "_id": 1 });
    let rows = store.list(&grant.pass(), query.limit(limit.rows() + 1)).await?;
    Ok(Page::cut(rows, limit, |app: &App| app.id.to_string()))
}
