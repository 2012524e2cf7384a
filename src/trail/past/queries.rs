//! A person's record at a moment.

use bson::{Document, doc};
use serde::Deserialize;

use super::replay::{Moment, Until};
use crate::access::grant::Granted;
use crate::audit::actor::Subject;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{EntryId, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{LEAVES, Query, Store};
use crate::trail::actions::ReadTrail;
use crate::trail::queries::MASK;

/// The record, and the last entry that it comes of.
pub struct AsOf {
    pub entry_id: EntryId,
    pub seq: i64,
    pub timestamp: Timestamp,
    /// The entry's place in the tree, once it has one.
    pub leaf: Option<i64>,
    pub record: Document,
}

pub async fn as_of(
    grant: &Granted<ReadTrail>,
    store: &Store,
    user: UserId,
    at: Timestamp,
) -> Result<AsOf, Fault> {
    #[derive(Deserialize)]
    struct Number {
        #[serde(rename = "_id")]
        leaf: i64,
    }
    let (pass, subject) = (grant.pass(), subject(user));
    let moment = Moment::of(&pass, store, &subject, Until::Time(at)).await?;
    let Moment { entry_id, seq, timestamp, state } =
        moment.ok_or_else(|| Fault::of(Code::NotFound))?;
    let key = if grant.target().sees_personal_values {
        store.data_keys(&pass, &[user]).await?.remove(&user)
    } else {
        None
    };
    let misfit = |_| Fault::internal("a person's entries do not fit each other");
    let record = state.record(key.as_ref(), MASK).map_err(misfit)?;
    let leaf = Query::of(LEAVES, doc! { "entry_id": entry_id.0 }).only(doc! { "_id": 1 });
    let leaf: Option<Number> = store.list(&pass, leaf.limit(1)).await?.pop();
    Ok(AsOf { entry_id, seq, timestamp, leaf: leaf.map(|it| it.leaf), record })
}

/// A person's name in the trail.
pub fn subject(user: UserId) -> String {
    Subject::User(user).to_string()
}
