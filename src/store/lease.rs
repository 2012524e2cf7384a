//! `rate_leases`: what of a limit all nodes together have taken in an hour and its minutes. Counting,
//! no record of anybody: past the trail, and gone when the hour is over.

use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use super::client::Store;
use super::trouble;
use crate::kernel::fault::Fault;
use crate::kernel::time::{self, SECOND_MS, Timestamp};

pub(super) const LEASES: &str = "rate_leases";
/// Beyond this a node helps itself to its share of the limit.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Statements in one command.
const STATEMENTS_MAX: usize = 1000;
const MINUTES: i64 = 60;
const MINUTE_MS: i64 = 60 * SECOND_MS;

/// So many of one window, of at most `limit`, after `returned` were given back.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    pub limit: i64,
    pub wanted: i64,
    pub returned: i64,
}

/// What all had taken before.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub of_minute: i64,
    pub of_hour: i64,
}

impl Store {
    /// Takes from both windows in one command; `minute` counts from 1970.
    pub async fn lease(
        &self,
        whose: &str,
        minute: i64,
        of_minute: Take,
        of_hour: Take,
    ) -> Result<Taken, Fault> {
        let (id, field, expires_at) = place(whose, minute);
        let update = vec![doc! { "$set": {
            "hour": after("$hour", of_hour),
            format!("minutes.{field}"): after(&format!("$minutes.{field}"), of_minute),
            "expires_at": expires_at,
        } }];
        let leases = self.inner().database.collection::<Document>(LEASES);
        let taken = async move {
            let take = || {
                #[expect(clippy::disallowed_methods, reason = "counting is no record of anybody")]
                let take = leases.find_one_and_update(doc! { "_id": &id }, update.clone());
                take.upsert(true).return_document(ReturnDocument::Before)
            };
            match take().await {
                // Two nodes were first at the same time; now it is there.
                Err(error) if trouble::of(&error) == trouble::Trouble::Duplicate => take().await,
                taken => taken,
            }
        };
        let timed = self.spawn(async move { tokio::time::timeout(ANSWER_WITHIN, taken).await });
        let late = |_| trouble::unavailable().because("a lease did not come in time");
        let before = timed.await?.map_err(late)?.map_err(|error| trouble::fault(&error))?;
        let before = before.unwrap_or_default();
        let minutes = before.get_document("minutes").ok();
        Ok(Taken {
            of_minute: minutes.and_then(|minutes| minutes.get_i64(&field).ok()).unwrap_or(0),
            of_hour: before.get_i64("hour").unwrap_or(0),
        })
    }

    /// Writes down what was let through before anybody was asked: whose, the minute, and how many of
    /// the minute and of the hour.
    pub async fn write_down(&self, debts: Vec<(String, i64, i64, i64)>) -> Result<(), Fault> {
        let database = self.inner().database.clone();
        let written = async move {
            for chunk in debts.chunks(STATEMENTS_MAX) {
                let update = |(whose, minute, of_minute, of_hour): &(String, i64, i64, i64)| {
                    let (id, field, expires_at) = place(whose, *minute);
                    let field = format!("minutes.{field}");
                    doc! {
                        "q": { "_id": id },
                        "u": { "$inc": { "hour": *of_hour, field: *of_minute }, "$set": { "expires_at": expires_at } },
                        "upsert": true,
                    }
                };
                let updates: Vec<Document> = chunk.iter().map(update).collect();
                database
                    .run_command(doc! { "update": LEASES, "updates": updates, "ordered": false })
                    .await?;
            }
            Ok(())
        };
        self.spawn(written).await?.map_err(|error: mongodb::error::Error| trouble::fault(&error))
    }

    /// Nodes that say that they are alive, this one included.
    pub fn nodes(&self) -> i64 {
        self.node().alive()
    }
}

/// The record of an hour, the minute's field in it, and when it may go.
fn place(whose: &str, minute: i64) -> (String, String, Timestamp) {
    let hour = minute.div_euclid(MINUTES);
    let ends = Timestamp::from_millis((hour + 1) * MINUTES * MINUTE_MS);
    let field = format!("m{}", minute.rem_euclid(MINUTES));
    (format!("{whose}|{hour}"), field, time::plus(ends, MINUTE_MS))
}

/// The same sum as the caller makes of what was taken before.
fn after(field: &str, take: Take) -> Bson {
    let before = doc! { "$max": [
        0_i64, { "$subtract": [{ "$ifNull": [field, 0_i64] }, take.returned] },
    ] };
    let left = doc! { "$subtract": [take.limit, "$$before"] };
    let granted = doc! { "$max": [0_i64, { "$min": [take.wanted, left] }] };
    doc! { "$let": {
        "vars": { "before": before },
        "in": { "$add": ["$$before", granted] },
    } }
    .into()
}
