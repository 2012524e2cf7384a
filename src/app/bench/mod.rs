//! `purser bench`: what this machine can do, as ratios of interleaved rounds. Absolute figures are
//! shown, but only ratios taken in one run mean anything.
//!
//! `write`, `wallet` and `read` compare Purser with what the raw driver does, `idle` weighs a Purser,
//! `renewals` watches its worker, `trail` reads and verifies a long one, `as-of` asks for a long past.
//! What is measured over HTTP runs in processes of its own (`servers`), each started from this binary;
//! the load (`load`, `wallet::over_http`) comes from one thread of this process.
//!
//! A bench works in a database of its own (`<database>_bench`), which it makes and drops. To add a
//! bench: a file, a line in `Bench`, and what must be reached as a constant in that file.

mod as_of;
mod idle;
mod load;
mod process;
mod read;
mod renewals;
mod servers;
mod socket;
mod steady;
mod trail;
mod wallet;
mod write;

use std::path::Path;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Document, doc};
use clap::Subcommand;
use futures_util::TryStreamExt;
use mongodb::{Client, Database};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::build::Purser;
use super::bulk;
use super::seed::{self, Variables};
use crate::access::principal::Head;
use crate::apps::OperatorRole;
use crate::kernel::fault::Fault;

#[derive(Subcommand)]
pub enum Bench {
    /// Audited profile changes of random users: the write path against a transaction for each
    /// change by the raw driver, which writes the same documents and indexes.
    Write(write::Scale),
    /// Audited debits: over HTTP and by the write path, against a transaction for each debit by the
    /// raw driver, which writes the same documents and indexes; for random users, 1,000, and one.
    Wallet(wallet::Scale),
    /// One person over HTTP, uncached and from warm caches: Purser against a bare handler that does
    /// the same two finds, and against one that answers a constant.
    Read(read::Scale),
    /// The memory of a Purser at rest, and with many idle connections and people read.
    Idle(idle::Scale),
    /// Subscriptions that are all due in one second: how fast they are billed, and what readers feel.
    Renewals(renewals::Scale),
    /// Reading and debiting over HTTP, against another service that answers the same requests
    /// (`scripts/bench_sample` starts it).
    Sample(wallet::sample::Scale),
    /// What readers feel while credits are debited half as fast as it goes.
    Beside(wallet::beside::Scale),
    /// A trail of millions: pages at any depth, bytes of an entry, catching up, verifying.
    Trail(trail::Scale),
    /// What the record of a person with a long life was like at many moments, by all entries and from
    /// snapshots, and the life of single fields.
    AsOf(as_of::Scale),
    /// One of the servers that the others measure.
    #[command(hide = true)]
    Serve(servers::Options),
}

/// To be called outside of any runtime. `file` is the configuration's, for the servers.
pub fn run(
    purser: &Purser,
    runtime: &Runtime,
    bench: &Bench,
    file: Option<&Path>,
) -> Result<(), String> {
    if let Bench::Serve(options) = bench {
        return servers::serve(purser, options);
    }
    if cfg!(debug_assertions) {
        println!("this is a debug build: its figures mean nothing");
    }
    runtime.block_on(async {
        let database = raw(purser).await?;
        let failed = |_| "the bench's database cannot be dropped".to_owned();
        database.drop().await.map_err(failed)?;
        purser.migrate().await?;
        let measured = match bench {
            Bench::Write(scale) => {
                write::run(purser, &database, scale).await.map_err(|fault| fault.to_string())
            }
            Bench::Wallet(scale) => wallet::run(purser, &database, scale, file).await,
            Bench::Read(scale) => read::run(purser, &database, scale, file).await,
            Bench::Renewals(scale) => renewals::run(purser, &database, scale, file).await,
            Bench::Beside(scale) => wallet::beside::run(purser, &database, scale, file).await,
            Bench::Sample(scale) => wallet::sample::run(purser, &database, scale, file).await,
            Bench::Trail(scale) => trail::run(purser, &database, scale, file).await,
            Bench::AsOf(scale) => as_of::run(purser, &database, scale, file).await,
            Bench::Idle(scale) => idle::run(purser, &database, *scale, file).await,
            Bench::Serve(_) => Ok(()),
        };
        database.drop().await.map_err(failed)?;
        measured
    })
}

/// The bench's database by the driver itself.
async fn raw(purser: &Purser) -> Result<Database, String> {
    let uri = purser.config.store.uri.expose();
    let client = Client::with_uri_str(uri).await.map_err(|_| "the raw driver does not connect")?;
    Ok(client.database(&purser.config.store.database))
}

/// Registered people, and the key of their app.
struct People {
    ids: Vec<String>,
    key: String,
}

/// Else the first servers would seal what registering has left, while they are measured.
async fn sealed(purser: &Purser) -> Result<(), String> {
    let sealed = purser.seal_trail().await;
    sealed.map(drop).map_err(|fault| format!("the trail was not sealed: {}", fault.code().name()))
}

async fn people(purser: &Purser, database: &Database, count: u32) -> Result<People, String> {
    people_of(purser, database, count, bulk::app()).await
}

/// `app` is what `bulk::app` is, and may be allowed more.
async fn people_of(
    purser: &Purser,
    database: &Database,
    count: u32,
    app: Value,
) -> Result<People, String> {
    println!("registering {count} people ...");
    let key = registered(purser, count, app).await.map_err(|fault| fault.to_string())?;
    let ties = database.collection::<Document>("user_apps");
    let found = ties.find(doc! {}).projection(doc! { "user_id": 1, "_id": 0 }).await;
    let unread = |_| "the people cannot be read";
    let rows: Vec<Document> = found.map_err(unread)?.try_collect().await.map_err(unread)?;
    let id = |row: &Document| row.get_object_id("user_id").ok().map(ObjectId::to_hex);
    Ok(People { ids: rows.iter().filter_map(id).collect(), key })
}

async fn registered(purser: &Purser, count: u32, app: Value) -> Result<String, Fault> {
    let mut variables = Variables::new();
    seed::operator(purser, &mut variables, "PURSER_ADMIN_KEY", OperatorRole::Admin).await?;
    seed::app(purser, &mut variables, bulk::APP_KEY, app).await?;
    bulk::load(purser, &mut variables, count).await?;
    let key = variables.remove(bulk::APP_KEY);
    key.ok_or_else(|| Fault::internal("seeding has told no key"))
}

/// A request that lasts for the whole bench.
fn head(purser: &Purser, key: &str, user: Option<&str>) -> Head {
    let mut context = purser.context();
    context.deadline = Instant::now() + Duration::from_secs(3600);
    let (credential, user) = (Some(key.to_owned()), user.map(str::to_owned));
    Head { credential, user, module: None, peer: None, client: None, seen: None, context }
}

/// Scattered, and the same for all sides.
fn pick(turn: usize, among: usize) -> usize {
    turn.wrapping_mul(2_654_435_761) % among
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
