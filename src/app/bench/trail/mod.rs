//! A trail of millions: whether a page costs the same at any depth, what an entry takes on disk, how
//! fast the sequencer catches up, and how fast all of it is verified.
//!
//! The story (`story`) is written by the raw driver (`fill`), with the leaves that the sequencer would
//! have made; the last entries are left to the sequencer itself. Pages are read over HTTP (`pages`).

mod fill;
mod pages;
mod story;

use std::path::Path;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use clap::Args;
use mongodb::Database;

use super::servers::{Options, Server, Settings, What};
use crate::access::grant::Granted;
use crate::app::audit::KINDS;
use crate::app::build::{Purser, job};
use crate::app::bulk;
use crate::app::seed::{self, Variables};
use crate::apps::OperatorRole;
use crate::config::Level;
use crate::crypto::signature::SigningKey;
use crate::kernel::time::rfc3339;
use crate::store::LEAVES;
use crate::trail::SealTrail;
use crate::trail::seal::{Checkpoints, Sequencer};
use crate::trail::verify::{Task, verify};
use pages::{FACTOR_WANTED, Reader};
use story::{HEAVY_APP, Story};

#[derive(Clone, Copy, Args)]
pub struct Scale {
    /// Entries of the trail.
    #[arg(long, default_value_t = 3_000_000, value_parser = clap::value_parser!(u32).range(10_000..))]
    entries: u32,
    /// How many of them the sequencer finds without a leaf.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    unsealed: u32,
}

const CATCH_UP_WANTED: f64 = 5_000.0;
/// Whatever signs here signs nothing else.
const SIGNING_KEY: &str = "bench/trail:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

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

fn grant(purser: &Purser) -> Granted<SealTrail> {
    purser.gate.itself::<SealTrail>(job("sequencer"), purser.context())
}

/// What has no leaf gets one; then once more, where there is nothing to do but to look.
async fn catch_up(purser: &Purser, unsealed: usize) -> Result<bool, String> {
    let told = |fault: crate::kernel::fault::Fault| fault.to_string();
    let begun = Sequencer::begin(&grant(purser), &purser.store).await.map_err(told)?;
    let mut sequencer = begun.ok_or("somebody else seals")?;
    let mut took = [Duration::ZERO; 2];
    let mut sealed = 0;
    for took in &mut took {
        let begun = Instant::now();
        let caught = sequencer.catch_up(&grant(purser)).await.map_err(told)?;
        sealed += caught.ok_or("somebody else seals")?;
        *took = begun.elapsed();
    }
    let checkpoints = Checkpoints::new(Some(SigningKey::parse(SIGNING_KEY)?), 10, "");
    sequencer.sign(&grant(purser), &checkpoints).await.map_err(told)?;
    let [with, without] = took;
    let rate = rate(sealed, with.saturating_sub(without).max(Duration::from_millis(1)));
    println!(
        "caught up with {sealed} entries in {:.1} s, of which looking for them took {:.1} s: {rate:.0}/s (wanted {CATCH_UP_WANTED:.0})",
        with.as_secs_f64(),
        without.as_secs_f64()
    );
    Ok(sealed >= unsealed && rate >= CATCH_UP_WANTED)
}

async fn verified(purser: &Purser, since: u64, entries: usize) -> Result<(), String> {
    let key = SigningKey::parse(SIGNING_KEY)?;
    let pass = || grant(purser).pass();
    let mut task = Task {
        store: &purser.store,
        pass: &pass,
        kinds: KINDS,
        key: Some(key.public()),
        kept: None,
        since,
        progress: &mut |_| {},
    };
    let begun = Instant::now();
    let report = verify(&mut task).await.map_err(|fault| fault.to_string())?;
    let lasted = begun.elapsed();
    println!(
        "verified from leaf {since} on, {} subjects replayed, in {:.1} s: {:.0} entries/s",
        report.subjects,
        lasted.as_secs_f64(),
        rate(entries, lasted)
    );
    // Nothing has signed what stands before the last part.
    let wrong = report.findings.iter().find(|it| it.code != "not_vouched_for");
    wrong.map_or(Ok(()), |wrong| Err(format!("{}: {}", wrong.code, wrong.detail)))
}
