//! Billing periods that have ended, for people whom nobody asks about. Nothing depends on when this
//! runs: what may be used is computed from the times, and every operation does first what is due.
//!
//! Credits come by many ways that know nothing of subscriptions, so each round also looks at those
//! who owe and whose wallet holds enough by now: the fewest there are of all.

use std::time::{Duration, Instant};

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

/// The most of those who are due that are looked at in a round. Between rounds nothing is under way: with
/// fewer, the same number in a second takes a faster pace, which is felt.
const DUE_MAX: usize = 1_000;
/// The most of those who owe that are tried in a round; others have their next attempt.
const SOLVENT_MAX: usize = 1000;
const SOLVENT_AT_ONCE: usize = 100;
/// Handfuls under way at one time: where the database is slow, the next one waits.
const HANDFULS: usize = 4;

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
    /// Those whose time came first.
    Due(Pace),
    /// Those who owe, and whose wallet may have enough by now.
    Solvent,
}

/// Handfuls at regular intervals. Whoever asks for something meanwhile waits behind one handful, and
/// hundreds at once would be felt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub handful: usize,
    pub per_second: u32,
}

impl Pace {
    /// How long after the first handful that of the person with this number begins.
    fn wait(self, number: usize) -> Duration {
        let handful = self.handful.max(1);
        let before = u32::try_from(number - number % handful).unwrap_or(u32::MAX);
        Duration::from_secs(1) * before / self.per_second.max(1)
    }
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
    let (looked_at, more) = (people.len(), whom.is_more(people.len()));
    let begun = Instant::now();
    let billed = people.into_iter().enumerate().map(|(number, due)| async move {
        if let Whom::Due(pace) = whom {
            tokio::time::sleep(pace.wait(number).saturating_sub(begun.elapsed())).await;
        }
        one(grant, store, purse, due).await
    });
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
            Self::Due(pace) => pace.handful.max(1) * HANDFULS,
            Self::Solvent => SOLVENT_AT_ONCE,
        }
    }

    /// Whether there may be others, where this many were found.
    fn is_more(self, found: usize) -> bool {
        matches!(self, Self::Due(_)) && found == DUE_MAX
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
        Whom::Due(_) => of(due(grant.now())).sort(doc! { DUE_AT: 1 }).limit(DUE_MAX),
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
    let hints = till.hints().with(purse.takes(MODULE, &bill));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handfuls_begin_at_regular_intervals_and_never_faster_than_the_pace() {
        let pace = Pace { handful: 16, per_second: 1600 };
        let begins: Vec<_> = [0, 15, 16, 31, 32, 499].map(|n| pace.wait(n).as_millis()).into();
        assert_eq!(begins, [0, 0, 10, 10, 20, 310]);
        let unbounded = Pace { handful: 0, per_second: 0 };
        assert_eq!(unbounded.wait(2), Duration::from_secs(2), "a zero is taken for one");
    }
}
