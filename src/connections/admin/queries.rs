//! Reading connections as an admin.

use bson::{Document, doc};

use super::actions::ReadConnections;
use super::commands::Seen;
use super::view::tie;
use crate::access::grant::Granted;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, ConnectionId, UserId};
use crate::kernel::page::{Limit, Page};
use crate::store::{Query, Record, Store};
use crate::users::{Connection, User};

#[derive(Default)]
pub struct Filter {
    pub user: Option<UserId>,
    pub app: Option<AppId>,
    pub status: Option<&'static str>,
}

/// In the order in which they were made.
pub async fn list(
    grant: &Granted<ReadConnections>,
    store: &Store,
    filter: &Filter,
    limit: Limit,
    after: Option<ConnectionId>,
) -> Result<Page<Connection, ConnectionId>, Fault> {
    let query = Query::of(Connection::KIND.collection, condition(filter, after));
    let query = query.sort(doc! { "_id": 1 }).limit(limit.rows() + 1);
    let rows = store.list(&grant.pass(), query).await?;
    Ok(Page::cut(rows, limit, |connection: &Connection| connection.id))
}

fn condition(filter: &Filter, after: Option<ConnectionId>) -> Document {
    let mut condition = Document::new();
    if let Some(user) = filter.user {
        condition.insert("user_id", user.0);
    }
    if let Some(app) = &filter.app {
        condition.insert("app_id", app.as_str());
    }
    if let Some(status) = filter.status {
        condition.insert("connection_status", status);
    }
    if let Some(after) = after {
        condition.insert("_id", doc! { "$gt": after.0 });
    }
    condition
}

/// The revision is read first: if something changes in between, it is too old for what is shown,
/// and a change that was made with it is refused.
pub async fn one(
    grant: &Granted<ReadConnections>,
    store: &Store,
    id: ConnectionId,
) -> Result<Seen, Fault> {
    let (pass, not_found) = (grant.pass(), || Fault::of(Code::NotFound));
    let there = store.find(&pass, &Connection::by_id(id)).await?.ok_or_else(not_found)?;
    let user = store.find(&pass, &User::by_id(there.user_id)).await?.ok_or_else(not_found)?;
    let connection = store.find(&pass, &Connection::by_id(id)).await?.ok_or_else(not_found)?;
    Ok(Seen { tie: tie(&connection), revision: user.revision })
}
