//! The sequencer as a worker: one of all nodes seals the trail.

use std::time::Duration;

use super::build::{Purser, job};
use crate::access::grant::Granted;
use crate::config::trail::Sequencer as Wanted;
use crate::kernel::fault::{Code, Fault};
use crate::store::BATCH;
use crate::trail::SealTrail;
use crate::trail::seal::Sequencer;

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
    while let Some(sealed) = sequencer.step(&grant(purser)).await? {
        sequencer.sign(&grant(purser), &purser.checkpoints).await?;
        if sealed < BATCH {
            tokio::time::sleep(GATHER).await;
        }
    }
    Ok(())
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
