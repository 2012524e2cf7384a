//! Reading: one view, and the app's own list of people.

use std::collections::HashMap;
use std::sync::Arc;

use bson::{Document, doc};

use super::actions::{FindUsers, ReadConnection, ReadUser};
use super::commands::Desk;
use super::shown::Made;
use super::view::{View, view};
use crate::access::grant::Granted;
use crate::apps::App;
use crate::audit::warrant::Pass;
use crate::kernel::email::Email;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{ConnectionId, UserId};
use crate::kernel::page::{Limit, Page};
use crate::kernel::phone::Phone;
use crate::store::{Query, Record};
use crate::users::{Connection, Identity, User, UserStatus};

/// Ids that one look-up may name.
pub const IDS_MAX: usize = 200;

/// Which of its people an app asks for.
pub enum Search {
    All,
    Email(Email),
    Phone(Phone),
    AppUsername(String),
    Ids(Vec<UserId>),
}

/// What a read found out is in its grant already: nothing more is asked of the database.
pub fn read_user(grant: &Granted<ReadUser>, desk: &Desk) -> Result<Arc<Made>, Fault> {
    desk.shown.view(grant.target(), &desk.shelf, desk.store.keyring())
}

pub fn read_connection(grant: &Granted<ReadConnection>) -> Result<Connection, Fault> {
    grant.target().records.connection.record()
}

/// The app's own active connections, in the order in which they were made.
pub async fn find_users(
    grant: &Granted<FindUsers>,
    desk: &Desk,
    search: Search,
    limit: Limit,
    after: Option<ConnectionId>,
) -> Result<Page<(ConnectionId, View), ConnectionId>, Fault> {
    let app: App = grant.target().record.record()?;
    let mut filter = Document::new();
    if !narrow(grant, desk, search, &mut filter).await? {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let page = page(&grant.pass(), desk, &app, filter, after, limit).await?;
    let items = page.items.into_iter().map(|(tie, view)| (tie.id, view));
    Ok(Page { items: items.collect(), next: page.next })
}

/// Everybody of an app, as `find_users` shows them.
pub async fn people(
    pass: &Pass,
    desk: &Desk,
    app: &App,
    after: Option<ConnectionId>,
    limit: Limit,
) -> Result<Page<(Connection, View), ConnectionId>, Fault> {
    page(pass, desk, app, Document::new(), after, limit).await
}

async fn page(
    pass: &Pass,
    desk: &Desk,
    app: &App,
    mut filter: Document,
    after: Option<ConnectionId>,
    limit: Limit,
) -> Result<Page<(Connection, View), ConnectionId>, Fault> {
    filter.extend(doc! { "app_id": app.id.as_str(), "connection_status": "active" });
    if let Some(after) = after {
        filter.insert("_id", doc! { "$gt": after.0 });
    }
    let query = Query::of(Connection::KIND.collection, filter).sort(doc! { "_id": 1 });
    let rows: Vec<Connection> = desk.store.list(pass, query.limit(limit.rows() + 1)).await?;
    let page = Page::cut(rows, limit, |connection| connection.id);
    let users = users(pass, desk, &page.items).await?;
    let modules = desk.modules(pass).await?;
    let seen = |connection: Connection| {
        let view = view(users.get(&connection.user_id)?, &connection, app, &modules);
        Some((connection, view))
    };
    Ok(Page { items: page.items.into_iter().filter_map(seen).collect(), next: page.next })
}

/// Adds the search to the filter; `false` where nobody can match.
async fn narrow(
    grant: &Granted<FindUsers>,
    desk: &Desk,
    search: Search,
    filter: &mut Document,
) -> Result<bool, Fault> {
    let identity = match search {
        Search::All => return Ok(true),
        Search::AppUsername(name) => {
            filter.insert("app_username", name);
            return Ok(true);
        }
        Search::Ids(ids) => {
            let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
            filter.insert("user_id", doc! { "$in": ids });
            return Ok(true);
        }
        Search::Email(email) => Identity::of_email(&email),
        Search::Phone(phone) => Identity::of_phone(&phone),
    };
    let Some(identity) = desk.store.find(&grant.pass(), &identity).await? else { return Ok(false) };
    filter.insert("user_id", identity.user_id.0);
    Ok(true)
}

/// The people behind these connections who may be used at all.
async fn users(
    pass: &Pass,
    desk: &Desk,
    connections: &[Connection],
) -> Result<HashMap<UserId, User>, Fault> {
    let ids: Vec<_> = connections.iter().map(|connection| connection.user_id.0).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let query = Query::of(User::KIND.collection, doc! { "_id": { "$in": ids } });
    let users: Vec<User> = desk.store.list(pass, query).await?;
    let usable = users.into_iter().filter(|user| user.status == UserStatus::Active);
    Ok(usable.map(|user| (user.id, user)).collect())
}
