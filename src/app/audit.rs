//! `purser audit`: what an auditor runs.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use bson::{Document, RawDocumentBuf, doc};
use clap::Subcommand;

use super::build::{Purser, job};
use super::progress::Progress;
use crate::access::grant::Granted;
use crate::access::watch::Watched;
use crate::apps::{App, Operator};
use crate::audit::bundle::{self, Writer};
use crate::audit::checkpoint::{Checkpoint, Note};
use crate::audit::entry::Entry;
use crate::audit::leaf;
use crate::connections::Registration;
use crate::crypto::signature::{PublicKey, SigningKey};
use crate::kernel::fault::Fault;
use crate::kernel::ids::EntryId;
use crate::modules::referrals::{Case, CodeOf, Programme};
use crate::modules::registry::Registered;
use crate::modules::registry::jobs::Job;
use crate::modules::subscription::Plan;
use crate::store::{Kind, LEAVES, Leaf, Query, Record, UserKey};
use crate::trail::SealTrail;
use crate::trail::seal::{Stored, inclusion_in};
use crate::trail::verify::{Kept, Report, Task, verify};
use crate::users::{Account, Connection, Customer, Identity, User};

#[derive(Subcommand)]
pub enum Audit {
    /// Verify the whole trail: leaves, checkpoints, numbers, records, ledger. The exit status is 0
    /// only where nothing speaks against it.
    Verify {
        /// A checkpoint that was kept elsewhere: without one nobody but this database vouches for it.
        #[arg(long)]
        checkpoint: Option<PathBuf>,
        /// Look at leaves from this number on; a checkpoint of that size must vouch for the others.
        #[arg(long, default_value_t = 0)]
        since: u64,
        /// The report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Verify an exported bundle against a public key. Needs no database.
    VerifyBundle {
        file: PathBuf,
        /// As `purser audit key` prints it.
        #[arg(long, value_parser = public_key)]
        key: Box<PublicKey>,
    },
    /// Export the sealed entries with their proofs, up to the newest checkpoint.
    Export {
        file: PathBuf,
        /// From this leaf on.
        #[arg(long, default_value_t = 0)]
        since: u64,
    },
    /// The public key that checkpoints are verified with. To be kept elsewhere.
    Key,
}

/// All kinds of records that have a history.
const KINDS: &[&Kind] = &[
    User::KIND,
    Connection::KIND,
    Identity::KIND,
    UserKey::KIND,
    Customer::KIND,
    Account::KIND,
    App::KIND,
    Operator::KIND,
    Watched::KIND,
    Registered::KIND,
    Registration::KIND,
    Job::KIND,
    Plan::KIND,
    Programme::KIND,
    CodeOf::KIND,
    Case::KIND,
];

fn public_key(text: &str) -> Result<Box<PublicKey>, &'static str> {
    text.parse().map(Box::new)
}

pub fn signing_key(text: &str) -> Result<Option<SigningKey>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    SigningKey::parse(text).map(Some).map_err(|why| format!("trail.signing_key: {why}"))
}

/// What needs no database, done; `None` where one is needed.
pub fn without_database(command: &Audit) -> Option<Result<(), String>> {
    match command {
        Audit::VerifyBundle { file, key } => Some(verify_bundle(file, key)),
        _ => None,
    }
}

pub async fn run(purser: &Purser, command: Audit) -> Result<(), String> {
    match command {
        Audit::Verify { checkpoint, since, json } => {
            verify_trail(purser, checkpoint.as_deref(), since, json).await
        }
        Audit::VerifyBundle { file, key } => verify_bundle(&file, &key),
        Audit::Export { file, since } => export(purser, &file, since).await,
        Audit::Key => {
            let key = purser.checkpoints.public_key();
            let key = key.ok_or("there is no trail.signing_key: nothing is signed")?;
            println!("{key}");
            Ok(())
        }
    }
}

fn grant(purser: &Purser) -> Granted<SealTrail> {
    purser.gate.itself::<SealTrail>(job("audit"), purser.context())
}

fn kept(file: &Path, key: Option<&PublicKey>) -> Result<Checkpoint, String> {
    let told = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| told(&error))?;
    let note = Note::parse(&text).map_err(|why| told(&why))?;
    let key = key.ok_or("there is no trail.signing_key to verify the checkpoint with")?;
    let checkpoint = note.verify(std::slice::from_ref(key)).map_err(|why| told(&why))?;
    Ok(checkpoint.clone())
}

async fn verify_trail(
    purser: &Purser,
    checkpoint: Option<&Path>,
    since: u64,
    as_json: bool,
) -> Result<(), String> {
    let key = purser.checkpoints.public_key();
    let kept = checkpoint.map(|file| kept(file, key)).transpose()?;
    let pass = || grant(purser).pass();
    let total = purser.store.estimate(&pass(), LEAVES).await.map_err(|it| it.to_string())?;
    let total = u64::try_from(total).unwrap_or(0);
    let mut progress = Progress::new(total, "leaves");
    let mut task = Task {
        store: &purser.store,
        pass: &pass,
        kinds: KINDS,
        key,
        kept: kept.as_ref(),
        since,
        progress: &mut |done| progress.come_to(done, total.max(done)),
    };
    let report = verify(&mut task).await.map_err(|fault| fault.to_string())?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&report).expect("a report is JSON"));
    } else {
        tell(&report, kept.as_ref(), checkpoint);
    }
    if report.is_well() { Ok(()) } else { Err(format!("{} findings", report.found)) }
}

fn tell(report: &Report, kept: Option<&Checkpoint>, file: Option<&Path>) {
    let Report { leaves, unsealed, checkpoints, subjects, ledger_lines, .. } = report;
    println!("{leaves} entries are what was sealed; {unsealed} came since and are not sealed yet");
    println!("the tree agrees with {checkpoints} checkpoints");
    println!("{subjects} subjects have no gaps, and are what their entries come to");
    println!("{ledger_lines} lines of the ledger have their entry");
    let when = kept.and_then(Checkpoint::time).map(crate::kernel::time::rfc3339);
    let (when, file) = (when.unwrap_or_default(), file.map(Path::display));
    match (&report.kept, file) {
        (Kept::Agrees { size }, Some(file)) => {
            println!("agrees with the checkpoint of {size} entries of {when}, kept at {file}");
        }
        (Kept::Disagrees { size }, Some(file)) => {
            println!("DISAGREES with the checkpoint of {size} entries of {when}, kept at {file}");
        }
        _ => println!("own copy only: nobody but this database vouches for it"),
    }
    for finding in &report.findings {
        let place = [&finding.entry_id, &finding.subject].into_iter().flatten();
        let place: Vec<_> = place.map(String::as_str).collect();
        println!("{}: {} {}", finding.code, finding.detail, place.join(" "));
    }
}

fn verify_bundle(file: &Path, key: &PublicKey) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", file.display());
    let reader = BufReader::new(File::open(file).map_err(told)?);
    let report = |problem: bundle::Problem| println!("{problem}");
    let verdict = bundle::verify(reader, std::slice::from_ref(key), report).map_err(told)?;
    let Some(checkpoint) = &verdict.checkpoint else {
        return Err("its checkpoint cannot be believed, so nothing was checked".to_owned());
    };
    let size = checkpoint.head().size;
    println!(
        "{} entries are in the trail of {size} that {} has signed",
        verdict.proved,
        key.name()
    );
    if verdict.is_sound() { Ok(()) } else { Err(format!("{} problems", verdict.problems)) }
}

const EXPORTED_TOGETHER: u64 = 500;

async fn export(purser: &Purser, file: &Path, since: u64) -> Result<(), String> {
    let told = |fault: Fault| fault.to_string();
    let newest = Stored::newest(&grant(purser).pass(), &purser.store).await.map_err(told)?;
    let newest = newest.ok_or("nothing is sealed yet: there is no checkpoint")?;
    let (mut writer, first) = Writer::begin(newest.text()).map_err(|why| why.to_string())?;
    let io = |error: std::io::Error| format!("{}: {error}", file.display());
    let mut output = BufWriter::new(File::create(file).map_err(io)?);
    output.write_all(first.as_bytes()).map_err(io)?;
    let mut progress = Progress::new(newest.size().saturating_sub(since), "entries");
    for start in (since..newest.size()).step_by(usize::try_from(EXPORTED_TOGETHER).unwrap_or(1)) {
        let end = newest.size().min(start + EXPORTED_TOGETHER);
        for line in lines(purser, &mut writer, &newest, start..end).await? {
            output.write_all(line.as_bytes()).map_err(io)?;
        }
        progress.add(end - start);
    }
    output.write_all(writer.end().as_bytes()).map_err(io)?;
    output.flush().map_err(io)?;
    progress.end();
    Ok(())
}

/// The lines of some leaves.
async fn lines(
    purser: &Purser,
    writer: &mut Writer,
    checkpoint: &Stored,
    range: std::ops::Range<u64>,
) -> Result<Vec<String>, String> {
    let told = |fault: Fault| fault.to_string();
    let number = |leaf: u64| i64::try_from(leaf).unwrap_or(i64::MAX);
    let pass = grant(purser).pass();
    let between = doc! { "$gte": number(range.start), "$lt": number(range.end) };
    let query = Query::of(LEAVES, doc! { "_id": between }).sort(doc! { "_id": 1 });
    let leaves: Vec<Leaf> = purser.store.list(&pass, query).await.map_err(told)?;
    let ids: Vec<_> = leaves.iter().map(|leaf| leaf.entry_id).collect();
    let query = Query::of(Entry::COLLECTION, doc! { "_id": { "$in": ids } });
    let entries: Vec<RawDocumentBuf> = purser.store.list(&pass, query).await.map_err(told)?;
    let mut lines = Vec::new();
    for leaf in leaves {
        let entry = entries.iter().find(|it| it.get_object_id("_id").ok() == Some(leaf.entry_id));
        let entry = entry.and_then(|raw| Document::try_from(raw.as_ref()).ok());
        let missing =
            || format!("entry {} of leaf {} is missing", EntryId(leaf.entry_id), leaf.number);
        let canonical = leaf::canonical(&entry.ok_or_else(missing)?);
        let number = u64::try_from(leaf.number).unwrap_or(0);
        let path = inclusion_in(&pass, &purser.store, number, checkpoint.size()).await;
        lines.push(writer.entry(number, &canonical, &path.map_err(told)?)?);
    }
    Ok(lines)
}
