//! Snapshots against the entries that they were made of. They prove nothing; but what a record was like
//! would be answered wrongly with one that is not what it should be.

use bson::doc;

use super::{Finding, Report, Task};
use crate::kernel::fault::{Code, Fault};
use crate::store::Path;
use crate::trail::past::{Moment, SNAPSHOTS, Snapshot, Until};

/// They are as large as records.
const BATCH: u32 = 50;

/// A subject's entries, as far as its snapshots have come.
#[derive(Default)]
struct Replay {
    subject: String,
    moment: Option<Moment>,
}

pub async fn verify(task: &mut Task<'_>, report: &mut Report) -> Result<(), Fault> {
    let mut walk = task.store.walk::<Snapshot>(Path {
        collection: SNAPSHOTS,
        filter: doc! {},
        // The index backwards: each subject's in the order of its entries.
        sort: doc! { "subject": -1, "timestamp": 1, "seq": 1 },
        only: doc! {},
        batch: BATCH,
    });
    let mut replay = Replay::default();
    while let Some(batch) = walk.next().await? {
        for snapshot in batch {
            if replay.subject != snapshot.subject() {
                replay = Replay { subject: snapshot.subject().to_owned(), moment: None };
            }
            if replay.come_to(task, &snapshot).await? {
                report.snapshots += 1;
            } else {
                let detail =
                    format!("the one of number {} is not what the entries come to", snapshot.seq());
                report.add(Finding::new("snapshot_differs", detail).about(snapshot.subject()));
            }
        }
    }
    Ok(())
}

impl Replay {
    /// Whether the snapshot is what the entries come to there.
    async fn come_to(&mut self, task: &Task<'_>, snapshot: &Snapshot) -> Result<bool, Fault> {
        let (from, until) = (self.moment.take(), Until::Number(snapshot.seq()));
        let pass = (task.pass)();
        match Moment::go_on(&pass, task.store, &self.subject, from, until).await {
            Ok(moment) => self.moment = moment,
            // What is wrong with the entries, `subjects` has found.
            Err(fault) if fault.code() == Code::Internal => return Ok(false),
            Err(fault) => return Err(fault),
        }
        Ok(self.moment.as_ref().is_some_and(|moment| snapshot.is_of(moment)))
    }
}
