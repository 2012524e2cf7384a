//! A trail of millions: whether a page costs the same at any depth, what an entry takes on disk, how
//! fast the sequencer catches up, and how fast all of it is exported and verified (`whole`).
//!
//! The story (`story`) is written by the raw driver (`fill`), with the leaves that the sequencer would
//! have made; the last entries are left to the sequencer itself. Pages are read over HTTP (`pages`).

mod fill;
mod pages;
mod story;
mod whole;

use std::path::Path;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use clap::Args;
use mongodb::Database;

use super::servers::{Options, Server, Settings, What};
use crate::app::build::Purser;
use crate::app::bulk;
use crate::app::seed::{self, Variables};
use crate::apps::OperatorRole;
use crate::config::Level;
use crate::kernel::time::rfc3339;
use crate::store::LEAVES;
use crate::trail::export::Format;
use pages::{FACTOR_WANTED, Reader};
use story::{HEAVY_APP, Story};
use whole::{catch_up, exported, verified};

#[derive(Clone, Copy, Args)]
pub struct Scale {
    /// Entries of the trail.
    #[arg(long, default_value_t = 3_000_000, value_parser = clap::value_parser!(u32).range(10_000..))]
    entries: u32,
    /// How many of them the sequencer finds without a leaf.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    unsealed: u32,
}

pub async fn run(
    purser: &Purser,
    database: &Database,
    scale: &Scale,
    file: Option<&Path>,
) -> Result<(), String> {
    let entries = scale.entries as usize;
    let unsealed = (scale.unsealed as usize).min(entries / 10);
    let key = auditor(purser).await?;
    let template = database.collection::<Document>("users").find_one(doc! {}).await;
    let template = template.ok().flatten().ok_or("nobody was registered")?;
    let story = Story::new(purser, template, entries);
    let (user, (from, to)) = (story.heavy_user(), story.range());
    let begun = Instant::now();
    fill::fill(database, story, entries, unsealed).await?;
    println!("{entries} entries written, {:.0}/s", rate(entries, begun.elapsed()));
    sizes(database).await?;
    let range = format!("&from={}&to={}", rfc3339(from), rfc3339(to));
    let filters = [
        ("one user, a range", format!("&user_id={user}{range}")),
        ("one app, a range", format!("&app_id={HEAVY_APP}{range}")),
        ("everything", String::new()),
    ];
    let reached = read(&filters, entries - unsealed, &key, file).await?;
    let caught_up = catch_up(purser, unsealed).await?;
    for format in [Format::Ndjson, Format::Csv, Format::Bundle] {
        exported(purser, format).await?;
    }
    verified(purser, 0, entries).await?;
    verified(purser, u64::from(scale.entries) / 10 * 9, entries).await?;
    if reached && caught_up { Ok(()) } else { Err("not all of it was reached".to_owned()) }
}

/// An auditor's key; and one person, whom the others are made after.
async fn auditor(purser: &Purser) -> Result<String, String> {
    let told = |fault: crate::kernel::fault::Fault| fault.to_string();
    let mut variables = Variables::new();
    let name = "PURSER_AUDITOR_KEY";
    seed::operator(purser, &mut variables, "PURSER_ADMIN_KEY", OperatorRole::Admin)
        .await
        .map_err(told)?;
    seed::operator(purser, &mut variables, name, OperatorRole::Auditor).await.map_err(told)?;
    bulk::load(purser, &mut variables, 1).await.map_err(told)?;
    variables.remove(name).ok_or_else(|| "seeding has told no key".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "some millions")]
fn rate(count: usize, lasted: Duration) -> f64 {
    count as f64 / lasted.as_secs_f64()
}

/// What an entry and its leaf take: as documents, on disk, and their indexes.
async fn sizes(database: &Database) -> Result<(), String> {
    let told = |_| "the sizes cannot be read".to_owned();
    let admin = database.client().database("admin");
    admin.run_command(doc! { "fsync": 1 }).await.map_err(told)?;
    for (what, name) in [("entry", "user_audit_logs"), ("leaf", LEAVES)] {
        let stats = database.run_command(doc! { "collStats": name }).await.map_err(told)?;
        let number = |field: &str| match stats.get(field) {
            Some(bson::Bson::Int32(number)) => f64::from(*number),
            Some(bson::Bson::Int64(number)) => to_f64(*number),
            Some(bson::Bson::Double(number)) => *number,
            _ => 0.0,
        };
        let each = |field: &str| number(field) / number("count").max(1.0);
        println!(
            "bytes of an {what}: {:.0} as a document, {:.0} on disk, {:.0} of indexes",
            each("size"),
            each("storageSize"),
            each("totalIndexSize")
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some gigabytes")]
fn to_f64(number: i64) -> f64 {
    number as f64
}

/// Whether a page costs the same at any depth.
async fn read(
    filters: &[(&'static str, String)],
    leaves: usize,
    key: &str,
    file: Option<&Path>,
) -> Result<bool, String> {
    let more = vec![("PURSER__TRAIL__SEQUENCER", "off".to_owned())];
    let settings = Settings { node: "bench", level: Level::Warn, more };
    let server = Server::start(&Options { what: What::Purser, bytes: 0 }, &settings, file)?;
    let mut reader = Reader::connect(server.address, key).await?;
    let mut cases = Vec::new();
    for (name, filter) in filters {
        cases.push(reader.case(name, filter).await?);
    }
    cases.push(Reader::by_leaf("by leaf", leaves / 2));
    let measured = reader.measure(&cases).await?;
    println!("| a page of 50 | first: p50, p99 | entries before it | deep: p50, p99 | factor |");
    println!("|---|---|---|---|---|");
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    for (case, it) in cases.iter().zip(&measured) {
        println!(
            "| {} | {:.2} ms, {:.2} ms | {} | {:.2} ms, {:.2} ms | {:.2} |",
            case.name,
            millis(it.first.p50),
            millis(it.first.p99),
            it.depth,
            millis(it.deep.p50),
            millis(it.deep.p99),
            it.factor
        );
    }
    let worst = measured.iter().map(|it| it.factor).fold(0.0, f64::max);
    let reached = worst <= FACTOR_WANTED;
    let verdict = if reached { "reached" } else { "MISSED" };
    println!(
        "a deep page costs at most {worst:.2} of the first (wanted {FACTOR_WANTED}): {verdict}"
    );
    Ok(reached)
}
