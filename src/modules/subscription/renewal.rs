//! Billing periods that have ended, for people whom nobody asks about. Nothing depends on when this
//! runs: what may be used is computed from the times, and every operation does first what is due.
//!
//! Credits come by many ways that know nothing of subscriptions, so each round also looks at those
//! who owe and whose wallet holds enough by now: the fewest there are of all.

use bson::oid::ObjectId;
use bson::{Document, doc};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::actions::RenewSubscription;
use super::book::{MODULE, Open, Till};
use super::model::{Status, reference};
use super::record::Subscriber;
use crate::access::grant::Granted;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::kernel::time::Timestamp;
use crate::modules::PurseRef;
use crate::modules::backlog::{BACKLOG_MAX, Backlog};
use crate::store::{Query, Record, Store};

/// The most of those who owe that are tried in a round; others have their next attempt.
const SOLVENT_MAX: usize = 1000;
const SOLVENT_AT_ONCE: usize = 100;

/// What a round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    pub looked_at: usize,
    /// Whether there may be more that is due.
    pub more: bool,
}

/// What became of one person's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    /// Somebody else was there before, or there are no credits yet.
    Nothing,
    Paid,
    Unpaid,
    Ended,
}

/// Whom it is about, and what the next bill will be called, as it looks from outside of the unit.
#[derive(Deserialize)]
struct Due {
    #[serde(rename = "_id")]
    user: UserId,
    modules: Modules,
}

#[derive(Deserialize)]
struct Modules {
    subscription: Part,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    seq: i64,
    #[serde(default)]
    details: Option<Id>,
    #[serde(default)]
    due_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Id {
    id: ObjectId,
}

impl Due {
    fn next_bill(&self) -> Option<String> {
        let Part { seq, details, .. } = &self.modules.subscription;
        details.as_ref().map(|details| reference(details.id, seq + 1))
    }
}

const DUE_AT: &str = "modules.subscription.due_at";
const OWES: &str = "modules.subscription.owes";

/// Who is looked at in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// So many of those whose time came first, all at once.
    Due(usize),
    /// Those who owe, and whose wallet may have enough by now.
    Solvent,
}

/// One round. Two nodes that do it at once are in nobody's way: the second finds nothing to do.
pub async fn renew(
    grant: &Granted<RenewSubscription>,
    store: &Store,
    purse: PurseRef,
    figures: &Backlog,
    whom: Whom,
) -> Result<Round, Fault> {
    let people = people(grant, store, whom).await?;
    let (looked_at, more) = (people.len(), whom == Whom::Due(people.len()));
    let billed = people.into_iter().map(|due| one(grant, store, purse, due));
    let billed: Vec<_> =
        futures_util::stream::iter(billed).buffer_unordered(whom.at_once()).collect().await;
    let mut failed = None;
    let mut done = 0;
    for outcome in billed {
        match outcome {
            Ok(Outcome::Nothing) => {}
            Ok(outcome) => {
                done += 1;
                figures.count(outcome.name());
            }
            Err(fault) => failed = Some(fault),
        }
    }
    // One that cannot be done holds up none of the others, and is met again in the next round.
    match failed {
        Some(fault) if done == 0 => Err(fault),
        _ => Ok(Round { looked_at, more: more && done > 0 }),
    }
}

impl Whom {
    fn at_once(self) -> usize {
        match self {
            Self::Due(people) => people.max(1),
            Self::Solvent => SOLVENT_AT_ONCE,
        }
    }
}

fn due(now: Timestamp) -> Document {
    doc! { DUE_AT: { "$lte": now } }
}

/// Whoever owes, and whose wallet has enough: what of it can be spent, and whether the person is there,
/// the unit decides.
fn solvent() -> Document {
    let wallet = |field: &str| doc! { "$ifNull": [format!("$modules.wallet.{field}"), 0_i64] };
    let free = doc! { "$subtract": [wallet("balance"), wallet("held")] };
    doc! {
        OWES: { "$exists": true },
        "modules.wallet.frozen": { "$ne": true },
        "$expr": { "$gte": [free, format!("${OWES}")] },
    }
}

async fn people(
    grant: &Granted<RenewSubscription>,
    store: &Store,
    whom: Whom,
) -> Result<Vec<Due>, Fault> {
    let of = |filter| Query::of(Subscriber::KIND.collection, filter);
    let query = match whom {
        Whom::Due(people) => of(due(grant.now())).sort(doc! { DUE_AT: 1 }).limit(people),
        Whom::Solvent => of(solvent()).limit(SOLVENT_MAX),
    };
    let seen = doc! { "modules.subscription.seq": 1, "modules.subscription.details.id": 1 };
    store.list(&grant.pass(), query.only(seen)).await
}

async fn one(
    grant: &Granted<RenewSubscription>,
    store: &Store,
    purse: PurseRef,
    due: Due,
) -> Result<Outcome, Fault> {
    let (warrant, user) = (grant.warrant(), due.user);
    let till = Till::new(purse, warrant.clone(), user, store.chance());
    let bill: Vec<String> = due.next_bill().into_iter().collect();
    let hints = till.hints().with(purse.looks(MODULE, &bill));
    let unit = store.unit(warrant, hints, move |work| {
        let before = till.peek(work)?.contract;
        let open: Open<'_, '_, '_> = till.open(work)?;
        let (after, _) = open.close()?;
        Ok(match (before, after) {
            (before, after) if before == after => Outcome::Nothing,
            (_, Some(after)) if after.status == Status::Expired => Outcome::Ended,
            (_, Some(after)) if after.status == Status::PastDue => Outcome::Unpaid,
            _ => Outcome::Paid,
        })
    });
    Ok(unit.await?.answer)
}

/// Looks how many wait, and for how long the first of them has.
pub async fn survey(
    pass: &Pass,
    store: &Store,
    figures: &Backlog,
    now: Timestamp,
) -> Result<(), Fault> {
    let collection = Subscriber::KIND.collection;
    let backlog = store.count(pass, collection, due(now), BACKLOG_MAX).await?;
    let first = Query::of(collection, due(now)).sort(doc! { DUE_AT: 1 }).limit(1);
    let first: Vec<Due> = store.list(pass, first.only(doc! { DUE_AT: 1 })).await?;
    let since = first.first().and_then(|first| first.modules.subscription.due_at);
    figures.wait(backlog, since, now);
    Ok(())
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Paid => "paid",
            Self::Unpaid => "unpaid",
            Self::Ended => "ended",
        }
    }
}
