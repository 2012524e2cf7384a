//! `purser audit`: what an auditor runs.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::build::{Purser, job};
use super::export;
use super::progress::Progress;
use crate::access::grant::Granted;
use crate::access::watch::Watched;
use crate::apps::{App, Operator};
use crate::audit::bundle;
use crate::audit::checkpoint::{Checkpoint, Note};
use crate::config::trail::is_keeper;
use crate::connections::Registration;
use crate::crypto::signature::{PublicKey, SigningKey};
use crate::kernel::secret::Secret;
use crate::modules::referrals::{Case, CodeOf, Programme};
use crate::modules::registry::Registered;
use crate::modules::registry::jobs::Job;
use crate::modules::subscription::Plan;
use crate::store::{Kind, LEAVES, Record, UserKey};
use crate::trail::SealTrail;
use crate::trail::seal::{Keeper, TIMEOUT};
use crate::trail::verify::{Kept, Report, Task, verify};
use crate::users::{Account, Connection, Customer, Identity, User};

#[derive(Subcommand)]
pub enum Audit {
    /// Verify the whole trail: leaves, checkpoints, numbers, records, ledger. The exit status is 0
    /// only where nothing speaks against it.
    Verify {
        /// A checkpoint that was kept elsewhere, in a file or at an https:// address: without one nobody
        /// but this database vouches for it.
        #[arg(long, value_name = "FILE|URL")]
        checkpoint: Option<String>,
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
    /// Export entries: the sealed ones with their proofs, up to the newest checkpoint, or any as lines.
    Export(export::Options),
    /// The public key that checkpoints are verified with. To be kept elsewhere.
    Key,
}

/// All kinds of records that have a history.
pub(super) const KINDS: &[&Kind] = &[
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
        Audit::Export(options) => export::run(purser, &options).await,
        Audit::Key => {
            let key = purser.checkpoints.public_key();
            let key = key.ok_or("there is no trail.signing_key: nothing is signed")?;
            println!("{key}");
            Ok(())
        }
    }
}

pub(super) fn grant(purser: &Purser) -> Granted<SealTrail> {
    purser.gate.itself::<SealTrail>(job("audit"), purser.context())
}

async fn kept(purser: &Purser, place: &str) -> Result<Checkpoint, String> {
    let told = |why: &dyn std::fmt::Display| format!("{place}: {why}");
    let (key, is_address) = (purser.checkpoints.public_key(), place.contains("://"));
    let text = if is_address {
        at_address(purser, place).await.map_err(|why| told(&why))?
    } else {
        std::fs::read_to_string(place).map_err(|error| told(&error))?
    };
    let note = Note::parse(&text).map_err(|why| told(&why))?;
    let key = key.ok_or("there is no trail.signing_key to verify the checkpoint with")?;
    let checkpoint = note.verify(std::slice::from_ref(key)).map_err(|why| told(&why))?;
    Ok(checkpoint.clone())
}

/// The configured token goes to the configured address alone.
async fn at_address(purser: &Purser, url: &str) -> Result<String, String> {
    if !is_keeper(url) {
        return Err("an https:// address is needed, http:// on this machine alone".to_owned());
    }
    let trail = &purser.config.trail;
    let token = if url == trail.checkpoint_url {
        trail.checkpoint_url_token.clone()
    } else {
        Secret::new(String::new())
    };
    let keeper = Keeper::new(url, &token, TIMEOUT);
    let read = tokio::task::spawn_blocking(move || keeper.kept()).await;
    read.unwrap_or_else(|_| Err("reading it panicked".to_owned()))
}

async fn verify_trail(
    purser: &Purser,
    checkpoint: Option<&str>,
    since: u64,
    as_json: bool,
) -> Result<(), String> {
    let key = purser.checkpoints.public_key();
    let kept = match checkpoint {
        Some(place) => Some(kept(purser, place).await?),
        None => None,
    };
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

fn tell(report: &Report, kept: Option<&Checkpoint>, place: Option<&str>) {
    let Report { leaves, unsealed, checkpoints, subjects, ledger_lines, snapshots, .. } = report;
    println!("{leaves} entries are what was sealed; {unsealed} came since and are not sealed yet");
    println!("the tree agrees with {checkpoints} checkpoints");
    println!("{subjects} subjects have no gaps, and are what their entries come to");
    println!("{ledger_lines} lines of the ledger have their entry");
    println!("{snapshots} snapshots are what the entries before them come to");
    let when = kept.and_then(Checkpoint::time).map(crate::kernel::time::rfc3339);
    let when = when.unwrap_or_default();
    match (&report.kept, place) {
        (Kept::Agrees { size }, Some(place)) => {
            println!("agrees with the checkpoint of {size} entries of {when}, kept at {place}");
        }
        (Kept::Disagrees { size }, Some(place)) => {
            println!("DISAGREES with the checkpoint of {size} entries of {when}, kept at {place}");
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
