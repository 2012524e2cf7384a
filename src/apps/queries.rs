//! Reading apps.

use bson::doc;

use super::actions::ReadApps;
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
