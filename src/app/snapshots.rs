//! Snapshots of people's entries as a worker: one of all nodes makes them.

use std::time::{Duration, Instant};

use super::build::{Purser, job};
use crate::access::grant::Granted;
use crate::kernel::fault::Fault;
use crate::trail::SealTrail;
use crate::trail::past::{Due, Made, due, make};

/// Between two looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longer than a round takes; after that another node goes on.
const LEASE: Duration = Duration::from_secs(60);

/// How a node goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Rests as long as it worked: nobody waits for snapshots, others wait for the database.
    Leisurely,
    Hurried,
}

pub async fn run(purser: Purser) {
    if purser.config.trail.snapshot_entries == 0 {
        return;
    }
    loop {
        if let Err(fault) = in_turn(&purser, Pace::Leisurely).await {
            let (code, cause) = (fault.code().name(), fault.cause());
            tracing::warn!(code, cause, "snapshots were not made");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Everything that is due now; how many were made.
pub async fn once(purser: &Purser) -> Result<usize, Fault> {
    in_turn(purser, Pace::Hurried).await
}

fn grant(purser: &Purser) -> Granted<SealTrail> {
    purser.gate.itself::<SealTrail>(job("snapshots"), purser.context())
}

/// While it is this node's turn.
async fn in_turn(purser: &Purser, pace: Pace) -> Result<usize, Fault> {
    let (every, mut made) = (i64::from(purser.config.trail.snapshot_entries), 0);
    while every > 0 && purser.store.hold_post("snapshots", LEASE).await? {
        let due = due(&grant(purser).pass(), &purser.store, every).await?;
        made += round(purser, &due, pace).await?;
        due.is_done(&purser.store).await?;
        if due.is_all {
            break;
        }
    }
    Ok(made)
}

async fn round(purser: &Purser, due: &Due, pace: Pace) -> Result<usize, Fault> {
    let mut made = 0;
    for place in &due.places {
        let begun = Instant::now();
        match make(&grant(purser).pass(), &purser.store, place).await? {
            Made::Now => made += 1,
            Made::Before => {}
            Made::Not(why) => tracing::warn!(why, "a snapshot cannot be made"),
        }
        if pace == Pace::Leisurely {
            tokio::time::sleep(begun.elapsed()).await;
        }
    }
    Ok(made)
}
