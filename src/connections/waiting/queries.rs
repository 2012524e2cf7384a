//! Reading: how a registration stands, for its app; what there is to decide, for admins.

use std::collections::HashMap;

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::actions::{ReadRegistration, ReadRegistrations};
use super::record::Registration;
use crate::access::action::Action;
use crate::access::grant::{Granted, OnPlatform};
use crate::connections::request::Request;
use crate::crypto::token::ApiKey;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, RegistrationId, UserId};
use crate::kernel::page::{Limit, Page};
use crate::kernel::time::Timestamp;
use crate::store::{Hints, Query, Record, Stop, Store, Work};
use crate::users::{Connection, Identifier, Identity};

/// A registration as its app reads it.
#[derive(Serialize, Deserialize)]
pub struct Stand {
    pub registration: Registration,
    /// The connection's key, once.
    pub key: Option<String>,
}

/// A registration as an admin decides it.
pub struct Case {
    pub registration: Registration,
    /// `None` where it does not open: a key of the keyring is missing.
    pub request: Option<Request>,
    /// Whose the identifiers are now.
    pub owners: Vec<UserId>,
}

/// Which registrations an admin asks for.
#[derive(Default)]
pub struct Filter {
    pub status: Option<Shown>,
    pub app_id: Option<AppId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Pending,
    Expired,
    Active,
    Declined,
}

impl Shown {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "pending" => Some(Self::Pending),
            "expired" => Some(Self::Expired),
            "active" => Some(Self::Active),
            "declined" => Some(Self::Declined),
            _ => None,
        }
    }
}

/// Leaves an entry only where a key is handed over.
pub async fn read(
    grant: &Granted<ReadRegistration>,
    store: &Store,
    id: RegistrationId,
) -> Result<Stand, Fault> {
    let app = grant.target().app.clone();
    let found = store.find(&grant.pass(), &Registration::by_id(id)).await?;
    let registration = own(found, &app)?;
    if registration.sealed_key.is_none() {
        return Ok(Stand { registration, key: None });
    }
    let (hints, inner) = (Hints::none().and(&Registration::by_id(id)), store.clone());
    let unit = store.unit(grant.warrant(), hints, move |work| hand_over(work, id, &app, &inner));
    Ok(unit.await?.answer)
}

fn own(found: Option<Registration>, app: &AppId) -> Result<Registration, Fault> {
    found.filter(|it| it.app_id == *app).ok_or_else(|| Fault::of(Code::NotFound))
}

/// The key leaves the record; it is shown only while it is still the connection's own.
fn hand_over(
    work: &mut Work,
    id: RegistrationId,
    app: &AppId,
    store: &Store,
) -> Result<Stand, Stop> {
    let before = own(work.find(&Registration::by_id(id))?, app)?;
    let Some(sealed) = &before.sealed_key else {
        return Ok(Stand { registration: before, key: None });
    };
    let text = before.key_text(sealed, store.keyring())?;
    let connection = match before.connection_id {
        Some(connection) => work.find(&Connection::by_id(connection))?,
        None => None,
    };
    let key_id = ApiKey::parse(&text).map(|key| key.id().to_owned());
    let current = connection.is_some_and(|it| it.key_id.is_some() && it.key_id == key_id);
    let after = Registration { sealed_key: None, ..before.clone() };
    work.revise(&before, &after)?;
    Ok(Stand { registration: after, key: current.then_some(text) })
}

/// In the order in which they were first asked for, from the one after `after`.
pub async fn list(
    grant: &Granted<ReadRegistrations>,
    store: &Store,
    filter: &Filter,
    limit: Limit,
    after: Option<RegistrationId>,
) -> Result<Page<Case, RegistrationId>, Fault> {
    let condition = condition(filter, grant.now(), after);
    let query = Query::of(Registration::KIND.collection, condition).sort(doc! { "_id": 1 });
    let rows = store.list(&grant.pass(), query.limit(limit.rows() + 1)).await?;
    let page = Page::cut(rows, limit, |registration: &Registration| registration.id);
    Ok(Page { items: cases(grant, store, page.items).await?, next: page.next })
}

fn condition(filter: &Filter, now: Timestamp, after: Option<RegistrationId>) -> Document {
    let mut condition = match filter.status {
        None => doc! {},
        Some(Shown::Active) => doc! { "status": "active" },
        Some(Shown::Declined) => doc! { "status": "declined" },
        Some(Shown::Pending) => doc! { "status": "pending", "expires_at": { "$gt": now } },
        Some(Shown::Expired) => doc! { "status": "pending", "expires_at": { "$lte": now } },
    };
    if let Some(app) = &filter.app_id {
        condition.insert("app_id", app.as_str());
    }
    if let Some(after) = after {
        condition.insert("_id", doc! { "$gt": after.0 });
    }
    condition
}

pub async fn one(
    grant: &Granted<ReadRegistrations>,
    store: &Store,
    id: RegistrationId,
) -> Result<Case, Fault> {
    let found = store.find(&grant.pass(), &Registration::by_id(id)).await?;
    case(grant, store, found.ok_or_else(|| Fault::of(Code::NotFound))?).await
}

pub async fn case<A: Action<Target = OnPlatform>>(
    grant: &Granted<A>,
    store: &Store,
    registration: Registration,
) -> Result<Case, Fault> {
    let case = cases(grant, store, vec![registration]).await?.pop();
    case.ok_or_else(|| Fault::internal("a case was lost"))
}

/// Opens what the apps have sent, and looks its identifiers up: all of a page at once.
async fn cases<A: Action<Target = OnPlatform>>(
    grant: &Granted<A>,
    store: &Store,
    registrations: Vec<Registration>,
) -> Result<Vec<Case>, Fault> {
    let opened = registrations.into_iter().map(|registration| {
        // One request that does not open must not hide the rest of a page.
        let request = registration.request(store.keyring()).inspect_err(|fault| {
            let (id, cause) = (registration.id, fault.cause());
            tracing::warn!(registration = %id, cause, "a request stays sealed");
        });
        (registration, request.ok())
    });
    let opened: Vec<_> = opened.collect();
    let requests = opened.iter().filter_map(|(_, request)| request.as_ref());
    let names = requests.flat_map(|request| &request.identifiers).map(Identifier::name);
    let names: Vec<String> = names.collect();
    let query = Query::of(Identity::KIND.collection, doc! { "_id": { "$in": names } });
    let known: Vec<Identity> = store.list(&grant.pass(), query).await?;
    let known: HashMap<_, _> = known.into_iter().map(|it| (it.name, it.user_id)).collect();
    let case = |(registration, request): (Registration, Option<Request>)| {
        let identifiers = request.iter().flat_map(|request| &request.identifiers);
        let mut owners: Vec<UserId> =
            identifiers.filter_map(|it| known.get(&it.name()).copied()).collect();
        owners.dedup();
        Case { registration, request, owners }
    };
    Ok(opened.into_iter().map(case).collect())
}
