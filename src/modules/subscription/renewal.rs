//! Billing periods that have ended, for people whom nobody asks about. Nothing depends on when this
//! runs: what may be used is computed from the times, and every operation does first what is due.
//!
//! Credits come by many ways that know nothing of subscriptions, so each round also looks at those
//! who owe and whose wallet holds enough by now: the fewest there are of all.

use bson::{Document, doc};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::actions::RenewSubscription;
use super::book::{Open, Till};
use super::model::Status;
use super::record::Subscriber;
use crate::access::grant::Granted;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::kernel::time::Timestamp;
use crate::modules::PurseRef;
use crate::modules::backlog::{BACKLOG_MAX, Backlog};
use crate::store::{Query, Record, Store};

/// People that are looked for at a time, and billed at once.
pub const PAGE: usize = 500;
const AT_ONCE: usize = 256;

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

#[derive(Deserialize)]
struct Due {
    #[serde(rename = "_id")]
    user: UserId,
}

const DUE_AT: &str = "modules.subscription.due_at";
const OWES: &str = "modules.subscription.owes";

/// One round: those whose time came first, and those who owe and can pay. Two nodes that do it at once
/// are in nobody's way: the second finds nothing to do.
pub async fn renew(
    grant: &Granted<RenewSubscription>,
    store: &Store,
    purse: PurseRef,
    figures: &Backlog,
) -> Result<Round, Fault> {
    let due = Query::of(Subscriber::KIND.collection, due(grant.now())).sort(doc! { DUE_AT: 1 });
    let due = people(grant, store, due).await?;
    let more = due.len() == PAGE;
    let mut all = due;
    for user in people(grant, store, Query::of(Subscriber::KIND.collection, solvent())).await? {
        if !all.contains(&user) {
            all.push(user);
        }
    }
    let looked_at = all.len();
    let billed = all.into_iter().map(|user| one(grant, store, purse, user));
    let billed: Vec<_> =
        futures_util::stream::iter(billed).buffer_unordered(AT_ONCE).collect().await;
    let mut failed = None;
    let (mut done, mut nothing) = (0, 0);
    for outcome in billed {
        match outcome {
            Ok(Outcome::Nothing) => nothing += 1,
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
        _ => Ok(Round { looked_at, more: more && done + nothing > 0 && done > 0 }),
    }
}

fn due(now: Timestamp) -> Document {
    doc! { DUE_AT: { "$lte": now } }
}

/// Whoever owes, and whose wallet has enough: what of it can be spent, the unit decides.
fn solvent() -> Document {
    let wallet = |field: &str| doc! { "$ifNull": [format!("$modules.wallet.{field}"), 0_i64] };
    let free = doc! { "$subtract": [wallet("balance"), wallet("held")] };
    doc! {
        OWES: { "$exists": true },
        "modules.wallet.frozen": { "$ne": true },
        "status": "active",
        "$expr": { "$gte": [free, format!("${OWES}")] },
    }
}

async fn people(
    grant: &Granted<RenewSubscription>,
    store: &Store,
    query: Query,
) -> Result<Vec<UserId>, Fault> {
    let rows: Vec<Due> =
        store.list(&grant.pass(), query.only(doc! { "_id": 1 }).limit(PAGE)).await?;
    Ok(rows.into_iter().map(|due| due.user).collect())
}

async fn one(
    grant: &Granted<RenewSubscription>,
    store: &Store,
    purse: PurseRef,
    user: UserId,
) -> Result<Outcome, Fault> {
    let warrant = grant.warrant();
    let till = Till::new(purse, warrant.clone(), user, store.chance());
    let hints = till.hints();
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
    #[derive(Deserialize)]
    struct First {
        modules: Modules,
    }
    #[derive(Deserialize)]
    struct Modules {
        subscription: Part,
    }
    #[derive(Deserialize)]
    struct Part {
        due_at: Timestamp,
    }
    let collection = Subscriber::KIND.collection;
    let backlog = store.count(pass, collection, due(now), BACKLOG_MAX).await?;
    let first = Query::of(collection, due(now)).sort(doc! { DUE_AT: 1 }).limit(1);
    let first: Vec<First> = store.list(pass, first.only(doc! { DUE_AT: 1 })).await?;
    let since = first.first().map(|first| first.modules.subscription.due_at);
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
