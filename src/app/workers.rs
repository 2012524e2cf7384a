//! What runs beside the requests: the sign of life of this process, the last uses of keys, credits
//! whose time is over.

use std::time::{Duration, Instant};

use bson::doc;
use tokio::task::JoinSet;

use super::build::{PURSE, Purser, job};
use crate::access::grant::Granted;
use crate::access::last_used::Used;
use crate::access::watch::Due;
use crate::apps::{App, Operator};
use crate::kernel::fault::Fault;
use crate::kernel::ids::JobId;
use crate::modules::registry::jobs::{self, Step};
use crate::modules::subscription::{self, Pace, Whom};
use crate::modules::{referrals, wallet};
use crate::store::{Key, Touch};
use crate::users::Connection;

const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Beats between two flushes: one a minute.
const BEATS_PER_FLUSH: u32 = 12;

pub async fn run(purser: Purser) {
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    let mut beats = 0_u32;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = purser.store.somebody() => {
                keep_company(&purser).await;
                continue;
            }
        }
        beats = beats.wrapping_add(1);
        let beaten = purser.store.beat().await;
        keep_company(&purser).await;
        let flushed = if beats.is_multiple_of(BEATS_PER_FLUSH) {
            flush_last_used(&purser).await
        } else {
            Ok(())
        };
        if let Err(fault) = beaten.and(flushed) {
            tracing::warn!(code = fault.code().name(), cause = fault.cause(), "a worker failed");
        }
    }
}

/// Does `work` again and again, if the configuration wants this node to; what fails is told, and tried
/// the next time.
async fn every<F>(seconds: u64, failed: &'static str, work: impl Fn() -> F)
where
    F: Future<Output = Result<(), Fault>>,
{
    if seconds == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(fault) = work().await {
            tracing::warn!(code = fault.code().name(), cause = fault.cause(), "{failed}");
        }
    }
}

/// Books what has ended by time, unless another node does.
pub async fn run_expiry(purser: Purser) {
    let seconds = purser.config.wallet.expiry_seconds;
    every(seconds, "credits that ended were not booked", || expire_credits(&purser)).await;
}

/// Rewards referrals as they are earned.
pub async fn run_rewards(purser: Purser) {
    let seconds = purser.config.referrals.reward_seconds;
    let failed = "referrals that are earned were not rewarded";
    every(seconds, failed, || reward_referrals(&purser)).await;
}

/// Bills subscriptions whose period is over, unless another node does.
pub async fn run_renewals(purser: Purser) {
    let seconds = purser.config.subscription.renewal_seconds;
    every(seconds, "subscriptions that are due were not billed", || renew_in_turn(&purser)).await;
}

/// Jobs of one node at a time: a slow one holds up no other.
const JOBS: usize = 4;

/// Works on jobs as they come.
pub async fn run_jobs(purser: Purser) {
    let seconds = purser.config.jobs.poll_seconds;
    if seconds == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    loop {
        ticks.tick().await;
        while running.try_join_next().is_some() {}
        if running.len() < JOBS {
            let purser = purser.clone();
            running.spawn(async move {
                if let Err(fault) = work_on_a_job(&purser, None).await {
                    let (code, cause) = (fault.code().name(), fault.cause());
                    tracing::warn!(code, cause, "a job was left");
                }
            });
        }
    }
}

/// Rewards every referral that is earned.
pub async fn reward_referrals(purser: &Purser) -> Result<(), Fault> {
    let itself =
        || purser.gate.itself::<referrals::RewardReferral>(job("rewards"), purser.context());
    let (store, figures) = (&purser.store, &purser.rewards);
    for _ in 0..ROUNDS_MAX {
        let grant = itself();
        referrals::survey(&grant.pass(), store, figures, grant.now()).await?;
        if !referrals::reward(&grant, store, PURSE, figures).await? {
            break;
        }
    }
    let grant = itself();
    referrals::survey(&grant.pass(), store, figures, grant.now()).await
}

/// How long a node has renewals to itself after it last said so: then another takes them up.
const RENEWALS_LEASE: Duration = Duration::from_secs(15);

/// Between two counts of who waits, of which there may be many.
const SURVEY_EVERY: Duration = Duration::from_secs(5);

/// Rounds for as long as it is this node's turn. Once a second it says that it still is, and looks at
/// those who owe.
async fn renew_in_turn(purser: &Purser) -> Result<(), Fault> {
    let mut surveyed = Instant::now();
    while purser.store.hold_post("renewals", RENEWALS_LEASE).await? {
        renewal_round(purser, Whom::Solvent).await?;
        let second = Instant::now();
        while second.elapsed() < Duration::from_secs(1) {
            if !renewal_round(purser, Whom::Due(pace(purser))).await?.more {
                return survey_renewals(purser).await;
            }
        }
        if surveyed.elapsed() >= SURVEY_EVERY {
            survey_renewals(purser).await?;
            surveyed = Instant::now();
        }
    }
    Ok(())
}

fn pace(purser: &Purser) -> Pace {
    let settings = &purser.config.subscription;
    Pace { handful: settings.renewals_at_once, per_second: settings.renewals_per_second }
}

/// Bills every subscription that is due.
pub async fn renew_subscriptions(purser: &Purser) -> Result<(), Fault> {
    renewal_round(purser, Whom::Solvent).await?;
    while renewal_round(purser, Whom::Due(pace(purser))).await?.more {}
    survey_renewals(purser).await
}

async fn renewal_round(purser: &Purser, whom: Whom) -> Result<subscription::Round, Fault> {
    let grant = renewing(purser);
    subscription::renew(&grant, &purser.store, PURSE, &purser.renewals, whom).await
}

async fn survey_renewals(purser: &Purser) -> Result<(), Fault> {
    let grant = renewing(purser);
    subscription::survey(&grant.pass(), &purser.store, &purser.renewals, grant.now()).await
}

fn renewing(purser: &Purser) -> Granted<subscription::RenewSubscription> {
    purser.gate.itself(job("renewals"), purser.context())
}

/// Takes a turn at a job, if one waits, and goes on to its end; whether there was one.
pub async fn work_on_a_job(purser: &Purser, wanted: Option<JobId>) -> Result<bool, Fault> {
    let grant = || purser.gate.itself::<jobs::WorkOnJob>(job("jobs"), purser.context());
    let Some(mut shift) = jobs::claim(&grant(), &purser.store, wanted).await? else {
        return Ok(false);
    };
    while let Step::More(rest) = jobs::step(&grant(), &purser.store, &mut shift).await? {
        tokio::time::sleep(rest).await;
    }
    Ok(true)
}

async fn keep_company(purser: &Purser) {
    if let Err(fault) = purser.gate.limiter().keep_company(purser.clock.now()).await {
        tracing::warn!(cause = fault.cause(), "whether this node is alone is not known");
    }
}

/// Rounds of one call: what is due beyond them waits for the next one.
const ROUNDS_MAX: u32 = 50;

/// Books holds and lots whose time is over, in wallets that nobody touches.
pub async fn expire_credits(purser: &Purser) -> Result<(), Fault> {
    for _ in 0..ROUNDS_MAX {
        let grant = purser.gate.itself::<wallet::ExpireCredits>(job("expiry"), purser.context());
        if !wallet::expire(&grant, &purser.store).await? {
            break;
        }
    }
    Ok(())
}

/// Writes security events: firsts as they come, the rest when its minute is over. Ends when the watch is
/// closed, never in the middle of writing.
pub async fn run_watch(purser: Purser) {
    let seconds = purser.config.audit.security_seconds;
    if seconds == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !purser.gate.watch().is_closed() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = purser.gate.watch().woken() => {}
        }
        if let Err(fault) = write_seen(&purser, Due::By(purser.clock.now())).await {
            let (code, cause) = (fault.code().name(), fault.cause());
            tracing::warn!(code, cause, "security events wait to be written");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Writes security events that are due.
pub async fn write_seen(purser: &Purser, due: Due) -> Result<(), Fault> {
    purser.gate.write_seen(due, || purser.context()).await
}

/// Writes when keys were last used and apps last read, since the last time.
pub async fn flush_last_used(purser: &Purser) -> Result<(), Fault> {
    let mut touch = Touch::default();
    for (used, at) in purser.gate.last_used().take() {
        match used {
            Used::ConnectionKey(id) => touch.latest(&Connection::by_id(id), "key_last_used_at", at),
            Used::Synced(id) => touch.latest(&Connection::by_id(id), "last_sync", at),
            Used::OperatorKey(id) => {
                touch.latest(&Key::<Operator>::id(id.0), "key_last_used_at", at);
            }
            Used::AppKey { app, key_id } => {
                let filter = doc! { "_id": app.as_str(), "keys.id": key_id };
                touch.latest_where::<App>(filter, "keys.$.last_used_at", at);
            }
        }
    }
    if touch.is_empty() { Ok(()) } else { purser.store.touch(touch).await }
}
