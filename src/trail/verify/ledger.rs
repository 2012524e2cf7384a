//! Every line of the wallet ledger was written with an entry of the trail.

use std::collections::HashSet;

use bson::doc;
use bson::oid::ObjectId;
use serde::Deserialize;

use super::{Finding, Report, Task};
use crate::audit::entry::Entry;
use crate::kernel::fault::Fault;
use crate::store::{Path, Query};

const BATCH: u32 = 500;
const LEDGER: &str = "wallet_entries";

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id")]
    id: ObjectId,
    user_id: ObjectId,
    trail_seq: i64,
}

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Place {
    subject: String,
    seq: i64,
}

pub async fn verify(task: &mut Task<'_>, report: &mut Report) -> Result<(), Fault> {
    let mut lines = task.store.walk::<Line>(Path {
        collection: LEDGER,
        filter: doc! {},
        sort: doc! { "_id": 1 },
        only: doc! { "user_id": 1, "trail_seq": 1 },
        batch: BATCH,
    });
    while let Some(batch) = lines.next().await? {
        let place = |line: &Line| Place {
            subject: format!("user:{}", line.user_id.to_hex()),
            seq: line.trail_seq,
        };
        let wanted: Vec<_> = batch
            .iter()
            .map(|line| doc! { "subject": place(line).subject, "seq": line.trail_seq })
            .collect();
        let query = Query::of(Entry::COLLECTION, doc! { "$or": wanted });
        let query = query.only(doc! { "subject": 1, "seq": 1 });
        let found: Vec<Place> = task.store.list(&(task.pass)(), query).await?;
        let found: HashSet<Place> = found.into_iter().collect();
        for line in &batch {
            if found.contains(&place(line)) {
                report.ledger_lines += 1;
            } else {
                let detail = format!("line {} of the ledger has no entry", line.id.to_hex());
                report
                    .add(Finding::new("ledger_without_entry", detail).about(&place(line).subject));
            }
        }
    }
    Ok(())
}
