//! Reading people as an admin.

use bson::{Document, doc};

use super::actions::ReadPeople;
use crate::access::grant::Granted;
use crate::audit::actor::Subject;
use crate::audit::entry::{Entry, Line};
use crate::audit::warrant::Pass;
use crate::kernel::email::Email;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AccountNumber, UserId};
use crate::kernel::page::{Limit, Page};
use crate::kernel::phone::Phone;
use crate::store::{Query, Record, Store};
use crate::users::{Connection, Identity, User};

/// Whom an admin looks for.
pub enum Search {
    All,
    Email(Email),
    Phone(Phone),
    /// Not unique.
    Username(String),
    AccountNumber(AccountNumber),
    Id(UserId),
}

/// One person, with what belongs to them.
pub struct Found {
    pub user: User,
    pub identities: Vec<Identity>,
    pub connections: Vec<Connection>,
    /// The newest entries of their trail.
    pub recent: Vec<Line>,
}

const IDENTITIES_MAX: usize = 50;
/// On one page; the rest is in the list of connections.
const CONNECTIONS_MAX: usize = 200;
const RECENT: usize = 20;

/// In the order in which they were registered.
pub async fn list(
    grant: &Granted<ReadPeople>,
    store: &Store,
    search: Search,
    status: Option<&'static str>,
    limit: Limit,
    after: Option<UserId>,
) -> Result<Page<User, UserId>, Fault> {
    let pass = grant.pass();
    let mut filter = after.map_or_else(Document::new, |after| doc! { "_id": { "$gt": after.0 } });
    if let Some(status) = status {
        filter.insert("status", status);
    }
    let identity = match search {
        Search::All => None,
        Search::Id(id) => {
            filter.insert("_id", id.0);
            None
        }
        Search::Username(name) => {
            filter.insert("username", name);
            None
        }
        Search::AccountNumber(number) => {
            filter.insert("account_number", number.as_str());
            None
        }
        Search::Email(email) => Some(Identity::of_email(&email)),
        Search::Phone(phone) => Some(Identity::of_phone(&phone)),
    };
    if let Some(key) = identity {
        let Some(identity) = store.find(&pass, &key).await? else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        filter.insert("_id", identity.user_id.0);
    }
    let query = Query::of(User::KIND.collection, filter).sort(doc! { "_id": 1 });
    let rows = store.list(&pass, query.limit(limit.rows() + 1)).await?;
    Ok(Page::cut(rows, limit, |user: &User| user.id))
}

/// The person is read first: if something changes in between, the revision is too old for what is
/// shown, and a change that was made with it is refused.
pub async fn one(grant: &Granted<ReadPeople>, store: &Store, id: UserId) -> Result<Found, Fault> {
    let pass = grant.pass();
    let user = store.find(&pass, &User::by_id(id)).await?;
    let user = user.ok_or_else(|| Fault::of(Code::NotFound))?;
    let of = |collection, rows| {
        Query::of(collection, doc! { "user_id": id.0 }).sort(doc! { "_id": 1 }).limit(rows)
    };
    // Changes of the record: what only happened to the person has a history of its own.
    let newest = Query::of(Entry::COLLECTION, doc! { "subject": Subject::User(id).to_string() })
        .sort(doc! { "seq": -1 })
        .limit(RECENT)
        .only(Line::projection());
    Ok(Found {
        user,
        identities: store.list(&pass, of(Identity::KIND.collection, IDENTITIES_MAX)).await?,
        connections: store.list(&pass, of(Connection::KIND.collection, CONNECTIONS_MAX)).await?,
        recent: store.list(&pass, newest).await?,
    })
}

/// The names of what identifies the person besides the e-mail address.
pub async fn other_identities(
    pass: &Pass,
    store: &Store,
    user: UserId,
) -> Result<Vec<String>, Fault> {
    let filter = doc! { "user_id": user.0, "kind": { "$ne": "email" } };
    let query = Query::of(Identity::KIND.collection, filter).limit(IDENTITIES_MAX);
    let others: Vec<Identity> = store.list(pass, query).await?;
    Ok(others.into_iter().map(|identity| identity.name).collect())
}
