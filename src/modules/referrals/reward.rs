//! Rewarding referrals that are earned. What earns one is a line of the ledger, which never changes:
//! so it may be looked for outside of the unit, and stays true in it. The unit decides the rest.

use bson::{Document, doc};
use futures_util::StreamExt;
use serde::Deserialize;

use super::actions::RewardReferral;
use super::commands::decided;
use super::model::{self, Event, Status};
use super::record::{Case, LOOK_AT, Member, Referrals, Rewards};
use crate::access::grant::Granted;
use crate::audit::warrant::{Pass, Warrant};
use crate::kernel::chance::Series;
use crate::kernel::credits::Credits;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::time::{self, DAY_MS, SECOND_MS, Timestamp};
use crate::modules::backlog::{BACKLOG_MAX, Backlog};
use crate::modules::{Bill, Gift, GiftCategory, PurseRef};
use crate::store::{Hints, Query, Record, Stop, Store, Touch, Work};
use crate::users::UserStatus;

/// Referrals that are looked at in a round, and at once.
const CASES: usize = 200;
const AT_ONCE: usize = 32;
/// One without its event is looked at again after this.
const LOOK_AGAIN_MS: i64 = 60 * SECOND_MS;

/// One round: those that were looked at the longest ago. Whether there may be more. Two nodes that do
/// it at once are in nobody's way: the second finds nothing to reward.
pub async fn reward(
    grant: &Granted<RewardReferral>,
    store: &Store,
    purse: PurseRef,
    figures: &Backlog,
) -> Result<bool, Fault> {
    let query = Query::of(Case::KIND.collection, due(grant.now())).sort(doc! { LOOK_AT: 1 });
    let cases: Vec<Case> = store.list(&grant.pass(), query.limit(CASES)).await?;
    let found = cases.len();
    let looked = cases.into_iter().map(|case| async move {
        let key = case.key();
        (key, one(grant, store, purse, case).await)
    });
    let looked: Vec<_> =
        futures_util::stream::iter(looked).buffer_unordered(AT_ONCE).collect().await;
    let (mut touch, mut failed) = (Touch::default(), None);
    for (key, outcome) in looked {
        let outcome = outcome.unwrap_or_else(|fault| {
            failed = Some(fault);
            Outcome::Waits
        });
        match outcome {
            Outcome::Waits => {
                touch.latest(&key, LOOK_AT, time::plus(grant.now(), LOOK_AGAIN_MS));
            }
            Outcome::Decided(status) => figures.count(status.as_str()),
        }
    }
    if !touch.is_empty() {
        store.touch(touch).await?;
    }
    // One that cannot be done holds up none of the others: it is looked at again with those that wait.
    failed.map_or(Ok(found == CASES), Err)
}

fn due(now: Timestamp) -> Document {
    doc! { "status": Status::Pending.as_str(), LOOK_AT: { "$not": { "$gt": now } } }
}

/// Looks how many are to be looked at, and for how long the first of them has been.
pub async fn survey(
    pass: &Pass,
    store: &Store,
    figures: &Backlog,
    now: Timestamp,
) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct First {
        created_at: Timestamp,
        #[serde(default)]
        look_at: Option<Timestamp>,
    }
    let collection = Case::KIND.collection;
    let waiting = store.count(pass, collection, due(now), BACKLOG_MAX).await?;
    let first = Query::of(collection, due(now)).sort(doc! { LOOK_AT: 1 }).limit(1);
    let first: Vec<First> =
        store.list(pass, first.only(doc! { "created_at": 1, LOOK_AT: 1 })).await?;
    figures.wait(waiting, first.first().map(|it| it.look_at.unwrap_or(it.created_at)), now);
    Ok(())
}

enum Outcome {
    /// For its event, or for room in a wallet.
    Waits,
    Decided(Status),
}

async fn one(
    grant: &Granted<RewardReferral>,
    store: &Store,
    purse: PurseRef,
    case: Case,
) -> Result<Outcome, Fault> {
    if !has_happened(grant, store, purse, &case).await? {
        return Ok(Outcome::Waits);
    }
    let warrant = grant.warrant();
    let ids = [(); 2].map(|()| Series::new(store.chance(), grant.now()));
    let hints = Hints::none()
        .and(&case.key())
        .and(&Member::by_id(case.user_id))
        .and(&Member::by_id(case.referrer_id));
    let (id, of) = (case.key(), warrant.clone());
    let unit = store.unit(warrant, hints, move |work| {
        let case = work.get(&id)?;
        if case.status == Status::Pending {
            settle(work, &case, purse, &of, &ids)?;
        }
        Ok(work.get(&id)?.status)
    });
    match unit.await {
        Ok(done) => Ok(Outcome::Decided(done.answer)),
        // A wallet that has no room for it may have some later.
        Err(fault) if has_no_room(&fault) => Ok(Outcome::Waits),
        Err(fault) => Err(fault),
    }
}

fn has_no_room(fault: &Fault) -> bool {
    matches!(fault.code(), Code::WalletFull | Code::ModuleDisabled | Code::Invalid)
}

async fn has_happened(
    grant: &Granted<RewardReferral>,
    store: &Store,
    purse: PurseRef,
    case: &Case,
) -> Result<bool, Fault> {
    #[derive(Deserialize)]
    struct Line {}
    let by = match case.terms.event {
        Event::Registered => return Ok(true),
        Event::FirstDebit => None,
        Event::SubscriptionPaid => Some("subscription"),
    };
    let query = purse.spent(case.user_id, case.created_at, by).only(doc! { "_id": 1 }).limit(1);
    Ok(!store.list::<Line>(&grant.pass(), query).await?.is_empty())
}

/// Both sides, once for ever: the references see to that, whatever else goes wrong.
fn settle(
    work: &mut Work,
    case: &Case,
    purse: PurseRef,
    warrant: &Warrant,
    ids: &[Series; 2],
) -> Result<(), Stop> {
    let (referee, referrer) = (there(work, case.user_id)?, there(work, case.referrer_id)?);
    let (Some(referee), Some(referrer)) = (referee, referrer) else {
        return work.revise(case, &decided(case, Status::Void, work.now()));
    };
    let at = referrer.moment(work.now());
    let Some(rewards) = within_caps(&referrer, case, at) else {
        return work.revise(case, &decided(case, Status::Capped, work.now()));
    };
    let sides = [
        (&referee, "referee", case.terms.referee_credits),
        (&referrer, "referrer", case.terms.referrer_credits),
    ];
    for ((member, side, amount), ids) in sides.into_iter().zip(ids) {
        let Some(amount) = Credits::new(amount) else { continue };
        let bill = Bill {
            warrant: warrant.clone(),
            amount,
            module: "referrals",
            app: None,
            reference: format!("ref:{}:{side}", case.user_id),
            description: None,
            ids: ids.clone(),
        };
        let effective_at = member.moment(work.now());
        let days = case.terms.credits_days;
        let expires_at = days.map(|days| time::plus(effective_at, days.saturating_mul(DAY_MS)));
        let gift = Gift { category: GiftCategory::Referral, effective_at, expires_at };
        purse.give(work, member.id, &bill, gift)?;
    }
    let after = Referrals { rewarded: true, ..referee.referrals().clone() };
    work.revise(&referee, &referee.with(after))?;
    let before = referrer.referrals();
    let referrals_count = before.referrals_count + 1;
    let after = Referrals { referrals_count, rewards: Some(rewards), ..before.clone() };
    work.revise(&referrer, &referrer.with(after))?;
    work.revise(case, &decided(case, Status::Rewarded, work.now()))
}

fn there(work: &mut Work, user: crate::kernel::ids::UserId) -> Result<Option<Member>, Stop> {
    let gone = |it: &Member| matches!(it.status, UserStatus::Merged | UserStatus::Erased);
    Ok(work.find(&Member::by_id(user))?.filter(|it| !gone(it)))
}

/// The referrer's rewards of this day with this one, unless there were enough.
fn within_caps(referrer: &Member, case: &Case, at: Timestamp) -> Option<Rewards> {
    let (before, day) = (referrer.referrals(), model::day(at));
    let today = before.rewards.as_ref().filter(|it| it.day == day).map_or(0, |it| it.count);
    let room = before.referrals_count < case.terms.in_all_max && today < case.terms.per_day_max;
    room.then_some(Rewards { day, count: today + 1 })
}
