//! Billing periods that have ended, for people whom nobody asks about. Nothing depends on when this
//! runs: what may be used is computed from the times, and every operation does first what is due.
//!
//! Credits come by many ways that know nothing of subscriptions, so each round also looks at those
//! who owe and whose wallet holds enough by now: the fewest there are of all.

use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Document, doc};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
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
use crate::store::{DUES, Query, Record, Store};

/// How long a round is meant to take. Between rounds nothing is under way.
const ROUND_SECONDS: usize = 2;
/// Those who are due are read in pages, while others are billed.
const PAGE: usize = 1_000;
/// The most of those who owe that are tried in a round; others have their next attempt.
const SOLVENT_MAX: usize = 1000;
const SOLVENT_AT_ONCE: usize = 100;
/// Handfuls under way at one time: where the database is slow, the next one waits.
const HANDFULS: usize = 6;

/// What a round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
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
}

#[derive(Deserialize)]
struct Mark {
    #[serde(rename = "_id")]
    user: UserId,
    subscription: Timestamp,
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

/// In `DUES`.
const DUE_AT: &str = "subscription";
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

    /// Whole handfuls for a round.
    fn round(self) -> usize {
        let handful = self.handful.max(1);
        let meant = usize::try_from(self.per_second).unwrap_or(usize::MAX);
        handful * (meant.saturating_mul(ROUND_SECONDS) / handful).max(1)
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
    let begun = Instant::now();
    let in_turn = async |number| {
        if let Whom::Due(pace) = whom {
            tokio::time::sleep(pace.wait(number).saturating_sub(begun.elapsed())).await;
        }
    };
    let people = in_pages(grant, store, whom);
    let billed = people.take(whom.most()).enumerate().map(|(number, due)| async move {
        let due = due?;
        in_turn(number).await;
        one(grant, store, purse, due).await
    });
    let billed: Vec<_> = billed.buffer_unordered(whom.at_once()).collect().await;
    let more = matches!(whom, Whom::Due(_)) && billed.len() == whom.most();
    if more {
        in_turn(whom.most()).await;
    }
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
        _ => Ok(Round { more: more && done > 0 }),
    }
}

impl Whom {
    fn at_once(self) -> usize {
        match self {
            Self::Due(pace) => pace.handful.max(1) * HANDFULS,
            Self::Solvent => SOLVENT_AT_ONCE,
        }
    }

    /// How many are looked at in a round.
    fn most(self) -> usize {
        match self {
            Self::Due(pace) => pace.round(),
            Self::Solvent => SOLVENT_MAX,
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

/// What of those who are looked at has not been read yet.
enum Next {
    Solvent,
    Due,
    DueAfter(Mark),
    Nobody,
}

impl Next {
    fn of(whom: Whom) -> Self {
        match whom {
            Whom::Due(_) => Self::Due,
            Whom::Solvent => Self::Solvent,
        }
    }
}

fn in_pages<'a>(
    grant: &'a Granted<RenewSubscription>,
    store: &'a Store,
    whom: Whom,
) -> BoxStream<'a, Result<Due, Fault>> {
    let pages = stream::try_unfold(Next::of(whom), |next| page(grant, store, next));
    pages.map_ok(|people| stream::iter(people.into_iter().map(Ok))).try_flatten().boxed()
}

/// A page of them, and what comes behind it.
async fn page(
    grant: &Granted<RenewSubscription>,
    store: &Store,
    next: Next,
) -> Result<Option<(Vec<Due>, Next)>, Fault> {
    let now = grant.now();
    let filter = match next {
        Next::Nobody => return Ok(None),
        Next::Solvent => {
            let query = Query::of(Subscriber::KIND.collection, solvent()).limit(SOLVENT_MAX);
            return Ok(Some((people(grant, store, query).await?, Next::Nobody)));
        }
        Next::Due => due(now),
        Next::DueAfter(Mark { user, subscription }) => doc! { "$or": [
            { DUE_AT: subscription, "_id": { "$gt": user.0 } },
            { DUE_AT: { "$gt": subscription, "$lte": now } },
        ] },
    };
    let marks = Query::of(DUES, filter).sort(doc! { DUE_AT: 1, "_id": 1 }).limit(PAGE);
    let mut marks: Vec<Mark> = store.list(&grant.pass(), marks).await?;
    let ids: Vec<_> = marks.iter().map(|mark| mark.user.0).collect();
    let behind = marks.pop().filter(|_| ids.len() == PAGE).map_or(Next::Nobody, Next::DueAfter);
    let of_marks = Query::of(Subscriber::KIND.collection, doc! { "_id": { "$in": ids } });
    Ok(Some((people(grant, store, of_marks.limit(PAGE)).await?, behind)))
}

async fn people(
    grant: &Granted<RenewSubscription>,
    store: &Store,
    query: Query,
) -> Result<Vec<Due>, Fault> {
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
    let backlog = store.count(pass, DUES, due(now), BACKLOG_MAX).await?;
    let first = Query::of(DUES, due(now)).sort(doc! { DUE_AT: 1 }).limit(1);
    let first: Vec<Mark> = store.list(pass, first).await?;
    let since = first.first().map(|first| first.subscription);
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
        assert_eq!((pace.round(), Pace { per_second: 1, ..pace }.round()), (3200, 16));
        let unbounded = Pace { handful: 0, per_second: 0 };
        assert_eq!(unbounded.wait(2), Duration::from_secs(2), "a zero is taken for one");
    }
}
