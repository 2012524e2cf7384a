//! The sequencer as a worker: one of all nodes seals the trail.

use std::time::Duration;

use super::build::{Purser, job};
use crate::access::grant::Granted;
use crate::config::trail::Sequencer as Wanted;
use crate::kernel::fault::{Code, Fault};
use crate::store::BATCH;
use crate::trail::SealTrail;
use crate::trail::seal::{Keeper, Newest, Sequencer, TIMEOUT};

/// Between two looks whether it is this node's turn.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub async fn run(purser: Purser) {
    if purser.config.trail.sequencer == Wanted::Off {
        return;
    }
    loop {
        if let Err(fault) = turn(&purser).await {
            let (code, cause) = (fault.code().name(), fault.cause());
            tracing::warn!(code, cause, "the trail was not sealed");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn grant(purser: &Purser) -> Granted<SealTrail> {
    purser.gate.itself::<SealTrail>(job("sequencer"), purser.context())
}

/// What is written in such a while is sealed together: a transaction for what each of many small ones
/// has brought would cost as much as they do.
const GATHER: Duration = Duration::from_millis(250);

/// While it is this node's.
async fn turn(purser: &Purser) -> Result<(), Fault> {
    let Some(mut sequencer) = Sequencer::begin(&grant(purser), &purser.store).await? else {
        return Ok(());
    };
    purser.checkpoints.hand_over_newest(&grant(purser).pass(), &purser.store).await?;
    while let Some(sealed) = sequencer.step(&grant(purser)).await? {
        sequencer.sign(&grant(purser), &purser.checkpoints).await?;
        if sealed < BATCH {
            tokio::time::sleep(GATHER).await;
        }
    }
    Ok(())
}

/// Between two attempts to hand over the same checkpoint.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Hands each newest checkpoint to whoever keeps it, on a thread of its own.
pub async fn run_keeper(purser: Purser) {
    let trail = &purser.config.trail;
    if trail.checkpoint_url.is_empty() {
        return;
    }
    let keeper = Keeper::new(&trail.checkpoint_url, &trail.checkpoint_url_token, TIMEOUT);
    let handed = purser.checkpoints.handed();
    let mut left = handed.left();
    loop {
        let newest = left.borrow_and_update().clone();
        let taken = match newest {
            None => true,
            Some(newest) => hand_over(&purser, &keeper, newest).await,
        };
        if taken {
            if left.changed().await.is_err() {
                return;
            }
        } else {
            // The next one, or the same once more.
            let _ = tokio::time::timeout(TRY_AGAIN_AFTER, left.changed()).await;
        }
    }
}

async fn hand_over(purser: &Purser, keeper: &Keeper, newest: Newest) -> bool {
    let (keeper, handed, size) = (keeper.clone(), purser.checkpoints.handed(), newest.size);
    let sent = tokio::task::spawn_blocking(move || keeper.hand_over(&newest.note)).await;
    match sent.unwrap_or_else(|_| Err("handing it over panicked".to_owned())) {
        Ok(()) => {
            handed.succeeded(size, purser.clock.now());
            tracing::debug!(size, "a checkpoint was handed to trail.checkpoint_url");
            true
        }
        Err(cause) => {
            handed.failed();
            tracing::warn!(size, cause, "a checkpoint was not handed to trail.checkpoint_url");
            false
        }
    }
}

/// Everything that is there now; how many leaves there are.
pub async fn once(purser: &Purser) -> Result<u64, Fault> {
    let begun = Sequencer::begin(&grant(purser), &purser.store).await?;
    let elsewhere = || Fault::of(Code::WrongState);
    let mut sequencer = begun.ok_or_else(elsewhere)?;
    sequencer.catch_up(&grant(purser)).await?.ok_or_else(elsewhere)?;
    sequencer.sign(&grant(purser), &purser.checkpoints).await?;
    Ok(sequencer.size())
}
