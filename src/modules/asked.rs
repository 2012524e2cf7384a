//! How operations that move credits are asked for: for good and under an Idempotency-Key, or only to
//! see what they would come to. The same for every module.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::action::Mutating;
use crate::access::grant::Granted;
use crate::access::principal::Repeatable;
use crate::audit::warrant::Warrant;
use crate::http::answer::Answer;
use crate::http::call::Preconditions;
use crate::http::query::Parameters;
use crate::kernel::fault::Fault;
use crate::store::{Done, Hints, Stop, Store, Work};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    #[default]
    ForGood,
    /// `dry_run=true`: only what would happen.
    Rehearsal,
}

/// Whether it is only asked what would happen.
pub fn purpose(query: &Parameters) -> Result<Purpose, Fault> {
    query.only(&["dry_run"])?;
    Ok(if query.dry_run()? { Purpose::Rehearsal } else { Purpose::ForGood })
}

/// Credits never move without an Idempotency-Key; who only asks needs none.
pub fn repeatable<A: Mutating>(
    grant: Granted<A>,
    repeatable: Repeatable,
    preconditions: &Preconditions,
    purpose: Purpose,
) -> Result<Granted<A>, Fault> {
    preconditions.none()?;
    match purpose {
        Purpose::ForGood => Ok(grant.repeatable(repeatable.required()?)),
        Purpose::Rehearsal => Ok(grant),
    }
}

/// 201 for what was done, 200 for what was only asked.
pub fn told(purpose: Purpose, done: &Done<impl Serialize>) -> Result<Answer, Fault> {
    match purpose {
        Purpose::ForGood => Ok(Answer::created(&done.answer)?.replayed(done.replayed)),
        Purpose::Rehearsal => Answer::ok(&done.answer),
    }
}

/// Sends the unit for good, or only to see what it would come to.
pub async fn carried_out<A, F>(
    store: &Store,
    warrant: Warrant,
    hints: Hints,
    purpose: Purpose,
    body: F,
) -> Result<Done<A>, Fault>
where
    A: Serialize + DeserializeOwned + Send + Sync + 'static,
    F: FnMut(&mut Work) -> Result<A, Stop> + Send + Sync + 'static,
{
    match purpose {
        Purpose::ForGood => store.unit(warrant, hints, body).await,
        Purpose::Rehearsal => store.rehearse(warrant, hints, body).await,
    }
}
