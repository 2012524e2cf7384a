//! What goes through all of a trail: catching up, exporting, verifying.

use std::time::{Duration, Instant};

use super::rate;
use crate::access::grant::Granted;
use crate::app::audit::KINDS;
use crate::app::build::{Purser, job};
use crate::crypto::signature::SigningKey;
use crate::kernel::fault::Fault;
use crate::trail::SealTrail;
use crate::trail::export::{Export, Format, Leave, Reader, Wanted};
use crate::trail::seal::{Checkpoints, Sequencer};
use crate::trail::verify::{Task, verify};

const CATCH_UP_WANTED: f64 = 5_000.0;
/// Whatever signs here signs nothing else.
const SIGNING_KEY: &str = "bench/trail:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Of an export.
const EXPORTED: u64 = 200_000;

fn grant(purser: &Purser) -> Granted<SealTrail> {
    purser.gate.itself::<SealTrail>(job("sequencer"), purser.context())
}

/// What has no leaf gets one; then once more, where there is nothing to do but to look.
pub async fn catch_up(purser: &Purser, unsealed: usize) -> Result<bool, String> {
    let told = |fault: Fault| fault.to_string();
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

pub async fn verified(purser: &Purser, since: u64, entries: usize) -> Result<(), String> {
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

/// The first of an export, by the same code that answers it over HTTP.
pub async fn exported(purser: &Purser, format: Format) -> Result<(), String> {
    let told = |fault: Fault| fault.to_string();
    let itself = purser.clone();
    let leave: Leave = Box::new(move || {
        let pass = grant(&itself).pass();
        Box::pin(async move { Ok(pass) })
    });
    let reader = Reader { store: purser.store.clone(), leave, sees_personal_values: false };
    let begun = Instant::now();
    let mut export = Export::begin(reader, Wanted::everything(format)).await.map_err(told)?;
    let (mut entries, mut bytes) = (0, 0);
    while entries < EXPORTED
        && let Some(piece) = export.next().await.map_err(told)?
    {
        entries += piece.entries;
        bytes += piece.bytes.len();
    }
    let lasted = begun.elapsed();
    let count = usize::try_from(entries).unwrap_or(0);
    println!(
        "exported {entries} entries as {format:?}: {:.0}/s, {} bytes each",
        rate(count, lasted),
        bytes / count.max(1)
    );
    Ok(())
}
