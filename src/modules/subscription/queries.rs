//! Reading: a subscription, and the plans that are on sale.

use bson::doc;
use serde_json::Value;

use super::actions::{ListPlans, ReadPlans};
use super::model::Contract;
use super::plan::Plan;
use super::record::Subscriber;
use super::view::SubscriptionView;
use crate::access::grant::{Granted, OnUser};
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{Name, UserId};
use crate::kernel::page::{Limit, Page};
use crate::kernel::time::Timestamp;
use crate::store::{Query, Record, Store};

/// What the grant has found: nothing more is asked of the database.
pub fn contract(target: &OnUser) -> Result<Option<Contract>, Fault> {
    Ok(target.records.user.record::<Subscriber>()?.subscription().contract())
}

/// Whose references the bills have.
pub const SCOPE: &str = "module:subscription";

/// As the person's apps see it; `null` where there never was one.
pub async fn of_person(
    pass: &Pass,
    store: &Store,
    user: UserId,
    at: Timestamp,
) -> Result<Value, Fault> {
    let found = store.find(pass, &Subscriber::by_id(user)).await?;
    let found = found.ok_or_else(|| Fault::of(Code::NotFound))?;
    let contract = found.subscription().contract();
    let shown = serde_json::to_value(SubscriptionView::of(contract.as_ref(), at));
    let mut shown = shown.map_err(|_| Fault::internal("a subscription is no JSON"))?;
    Ok(shown["subscription"].take())
}

/// What the calling app may sell.
pub async fn offers(grant: &Granted<ListPlans>, store: &Store) -> Result<Vec<Plan>, Fault> {
    let filter = doc! { "apps": grant.target().app.as_str(), "status": "active" };
    let query = Query::of(Plan::KIND.collection, filter).sort(doc! { "_id": 1 }).limit(OFFERS_MAX);
    store.list(&grant.pass(), query).await
}

const OFFERS_MAX: usize = 1000;

pub async fn one(grant: &Granted<ReadPlans>, store: &Store, id: &Name) -> Result<Plan, Fault> {
    let plan = store.find(&grant.pass(), &Plan::by_id(id)).await?;
    plan.ok_or_else(|| Fault::of(Code::NotFound))
}

/// By name, from the one after `after`.
pub async fn list(
    grant: &Granted<ReadPlans>,
    store: &Store,
    limit: Limit,
    after: Option<String>,
) -> Result<Page<Plan, String>, Fault> {
    let filter = doc! { "_id": { "$gt": after.unwrap_or_default() } };
    let query = Query::of(Plan::KIND.collection, filter).sort(doc! { "_id": 1 });
    let rows = store.list(&grant.pass(), query.limit(limit.rows() + 1)).await?;
    Ok(Page::cut(rows, limit, |plan: &Plan| plan.id.to_string()))
}
