//! Subscriptions that are all due in the same second: how fast a Purser with its standing limit bills
//! them, and what whoever reads meanwhile feels (`steady`).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use clap::Args;
use mongodb::Database;

use super::servers::{Options, Server, Settings, What};
use super::steady::{PAUSE, Readers, Reading, p99};
use super::{people, sealed};
use crate::app::build::Purser;
use crate::config::Level;
use crate::kernel::time::{self, DAY_MS, SECOND_MS, Timestamp};
use crate::store::DUES;

#[derive(Clone, Copy, Args)]
pub struct Scale {
    /// People, each with a subscription.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// How many the server bills in a second at most; else as configured.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    per_second: Option<u32>,
    /// In handfuls of how many; else as configured.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    at_once: Option<u32>,
    /// Readers; each asks a hundred times a second.
    #[arg(long, default_value_t = 4)]
    readers: usize,
    /// Seconds of reading before anything is due.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

const PER_SECOND_WANTED: f64 = 1_500.0;
/// Of the readers' p99 alone.
const FACTOR_WANTED: f64 = 3.0;
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LEAD_MS: i64 = 4 * SECOND_MS;
const PATIENCE: Duration = Duration::from_secs(120);
const PRICE: i64 = 10;
const BALANCE: i64 = 1_000;

pub async fn run(
    purser: &Purser,
    database: &Database,
    scale: &Scale,
    file: Option<&Path>,
) -> Result<(), String> {
    let people = Arc::new(people(purser, database, scale.users).await?);
    sealed(purser).await?;
    let mut more = vec![
        ("PURSER__SUBSCRIPTION__RENEWAL_SECONDS", "1".to_owned()),
        ("PURSER__WALLET__EXPIRY_SECONDS", "0".to_owned()),
    ];
    let given = |name, value: Option<u32>| value.map(|value| (name, value.to_string()));
    more.extend(given("PURSER__SUBSCRIPTION__RENEWALS_PER_SECOND", scale.per_second));
    more.extend(given("PURSER__SUBSCRIPTION__RENEWALS_AT_ONCE", scale.at_once));
    let settings = Settings { node: "bench", level: Level::Warn, more };
    let server = Server::start(&Options { what: What::Purser, bytes: 0 }, &settings, file)?;
    let readers = Readers { count: scale.readers, pause: PAUSE };
    let warm = Reading::begin(server.address, &people, readers);
    tokio::time::sleep(Duration::from_secs(2)).await;
    warm.end().await?;
    let alone = Reading::begin(server.address, &people, readers);
    tokio::time::sleep(Duration::from_secs(scale.seconds)).await;
    let alone = p99(alone.end().await?);
    let due = time::plus(purser.clock.now(), LEAD_MS);
    subscribe(database, due).await?;
    let wait = due.timestamp_millis() - purser.clock.now().timestamp_millis();
    tokio::time::sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
    let meanwhile = Reading::begin(server.address, &people, readers);
    let lasted = drained(database, scale.users).await?;
    let meanwhile = p99(meanwhile.end().await?);
    check(database, scale.users).await?;
    let rate = f64::from(scale.users) / lasted.as_secs_f64();
    let factor = meanwhile.as_secs_f64() / alone.as_secs_f64();
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "{} subscriptions due in one second: {rate:.0}/s (wanted {PER_SECOND_WANTED:.0}), each billed once",
        scale.users
    );
    println!(
        "  p99 of {} steady readers {:.2} ms, alone {:.2} ms: {factor:.2} times (wanted less than {FACTOR_WANTED})",
        scale.readers,
        millis(meanwhile),
        millis(alone),
    );
    let reached = rate >= PER_SECOND_WANTED && factor < FACTOR_WANTED;
    if reached { Ok(()) } else { Err("not all of it was reached".to_owned()) }
}

/// Everybody pays for a plan whose period ends at this moment.
async fn subscribe(database: &Database, due: Timestamp) -> Result<(), String> {
    let start = time::plus(due, -30 * DAY_MS);
    let lot = doc! {
        "id": "$_id", "amount": BALANCE, "remaining": BALANCE, "category": "paid",
        "priority": 100_i64, "effective_at": start, "source": "$_id",
    };
    let subscription = doc! {
        "enabled": true, "plan": "bench", "expires_at": due, "status": "active",
        "current_period": { "start": start, "end": due }, "cancel_at_period_end": false,
        "seq": 1_i64, "price": PRICE, "pending_change": null, "due_at": due,
        "details": {
            "id": "$_id", "period": { "unit": "day", "count": 30_i64 }, "credits": 0_i64,
            "features": [], "anchor": "2026-01-01T00:00:00.000", "steps": 1_i64,
            "changes": 0_i64, "granted": false,
        },
    };
    let paid = doc! { "$set": {
        "modules.wallet.balance": BALANCE, "modules.wallet.lots": [lot],
        "modules.subscription": subscription,
    } };
    let users = database.collection::<Document>("users");
    #[expect(clippy::disallowed_methods, reason = "what is measured begins after it")]
    let subscribed = users.update_many(doc! {}, vec![paid]).await;
    let failed = |error: mongodb::error::Error| format!("nobody is subscribed: {}", error.kind);
    subscribed.map_err(failed)?;
    let mark = doc! { "$project": { "subscription": "$modules.subscription.due_at" } };
    let marked = users.aggregate([mark, doc! { "$merge": { "into": DUES } }]).await;
    marked.map(drop).map_err(failed)
}

/// How long it took from the first one that was billed until as many were as there are. Asks for what the
/// server knows without looking: whoever looks for who is still due passes all those who no longer are,
/// and the readers feel it.
async fn drained(database: &Database, users: u32) -> Result<Duration, String> {
    let bills = database.collection::<Document>("wallet_entries");
    let (asked, mut begun) = (Instant::now(), None);
    while asked.elapsed() < PATIENCE {
        let billed = bills.estimated_document_count().await;
        let billed = billed.map_err(|_| "wallet_entries cannot be counted")?;
        if billed > 0 {
            let begun: &mut Instant = begun.get_or_insert_with(Instant::now);
            if billed >= users.into() {
                return Ok(begun.elapsed().max(LOOK_EVERY));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err("not everybody was billed in time".to_owned())
}

/// One debit for each, and each balance less by it.
async fn check(database: &Database, users: u32) -> Result<(), String> {
    let count = |collection: &'static str, filter: Document| async move {
        let counted = database.collection::<Document>(collection).count_documents(filter).await;
        counted.map_err(|_| format!("{collection} cannot be counted"))
    };
    let debits = count("wallet_entries", doc! { "kind": "debit" }).await?;
    let paid = count("users", doc! { "modules.wallet.balance": BALANCE - PRICE }).await?;
    if (debits, paid) == (users.into(), users.into()) {
        return Ok(());
    }
    Err(format!("{debits} debits and {paid} who have paid once, of {users}"))
}
