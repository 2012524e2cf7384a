//! Reading operators.

use bson::{Document, doc};

use super::actions::{ListOperators, ReadOperators};
use super::model::Operator;
use crate::access::grant::Granted;
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::OperatorId;
use crate::kernel::page::{Limit, Page};
use crate::store::{Query, Record, Store};

/// All operators, the newest first: at most a thousand.
pub async fn list_all(
    grant: &Granted<ListOperators>,
    store: &Store,
) -> Result<Vec<Operator>, Fault> {
    let query = Query::of(Operator::KIND.collection, doc! {}).sort(doc! { "_id": -1 });
    store.list(&grant.pass(), query).await
}

/// In the order in which they were made, from the one after `after`.
pub async fn list(
    grant: &Granted<ReadOperators>,
    store: &Store,
    limit: Limit,
    after: Option<OperatorId>,
) -> Result<Page<Operator, OperatorId>, Fault> {
    let filter = after.map_or_else(Document::new, |after| doc! { "_id": { "$gt": after.0 } });
    let query = Query::of(Operator::KIND.collection, filter).sort(doc! { "_id": 1 });
    let rows = store.list(&grant.pass(), query.limit(limit.rows() + 1)).await?;
    Ok(Page::cut(rows, limit, |operator: &Operator| operator.id))
}

pub async fn one(
    grant: &Granted<ReadOperators>,
    store: &Store,
    id: OperatorId,
) -> Result<Operator, Fault> {
    let operator = store.find(&grant.pass(), &Operator::by_id(id)).await?;
    operator.ok_or_else(|| Fault::of(Code::NotFound))
}

/// Who may remain when `but` goes: the caller, or those whose keys live longest. Only a choice of
/// whom to look at: the unit decides.
pub async fn other_admins(
    pass: &Pass,
    store: &Store,
    caller: OperatorId,
    but: OperatorId,
) -> Result<Vec<OperatorId>, Fault> {
    const LOOKED_AT: usize = 5;
    if caller != but {
        return Ok(vec![caller]);
    }
    let filter = doc! { "role": "admin", "status": "active", "_id": { "$ne": but.0 } };
    let query = Query::of(Operator::KIND.collection, filter).sort(doc! { "expires_at": -1 });
    let others: Vec<Operator> = store.list(pass, query.limit(LOOKED_AT)).await?;
    Ok(others.into_iter().map(|operator| operator.id).collect())
}
