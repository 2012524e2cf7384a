//! One transaction for a handful of units: load, apply, post, commit. The driver's session and
//! every retry of a commit are in this file.
//!
//! An attempt either commits everything that was applied, or leaves no trace and says what went
//! wrong; `lane` decides who is tried again. Nothing here cannot be repeated: ids and times were
//! made before, only the nonces of sealing are fresh in each attempt.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use mongodb::ClientSession;
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};
use tokio::time::timeout_at;

use super::batch::Batch;
use super::client::Inner;
use super::copies::{Copies, RecordId};
use super::keys;
use super::load::{load, load_answers, wanted_first};
use super::posting::{self, Posting};
use super::record::Locator;
use super::trouble::{self, Trouble};
use super::unit::{Earlier, Operation};
use super::work::{Work, Written};
use crate::audit::entry::Entry;
use crate::crypto::envelope::DataKey;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::kernel::time::{self, DAY_MS};

pub(super) const IDEMPOTENCY: &str = "idempotency";
const IDEMPOTENCY_KEPT_MS: i64 = 7 * DAY_MS;
/// How often units may ask for further records before they are taken for broken.
const PASSES_MAX: usize = 8;
/// For the last look at a commit in doubt, within the time that the caller still waits: a driver
/// that has just lost its server asks for it again after half a second at the earliest.
const RECONCILE_WITHIN: Duration = Duration::from_millis(1500);
const COMMIT_RETRY_PAUSE: Duration = Duration::from_millis(20);

pub(super) type Units = [Box<dyn Operation>];

/// How the records' updates are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Updates {
    /// One command for each collection: the fast way; a conflict does not say where it is.
    Together,
    /// A command for each record: slower, and a conflict names the record.
    OneByOne,
}

/// Applies `units` and commits. After `Ok` every unit holds its answer.
pub(super) async fn attempt(
    store: &Inner,
    session: &mut ClientSession,
    units: &mut Units,
    deadline: Instant,
    updates: Updates,
) -> Result<(), Trouble> {
    let deadline = tokio::time::Instant::from_std(deadline);
    start(session).await?;
    let prepared = match timeout_at(deadline, prepare(store, session, units, updates)).await {
        Ok(prepared) => prepared,
        Err(_) => Err(Trouble::Transient("the database did not answer in time".to_owned())),
    };
    match prepared {
        // What was read may not have reached a majority yet, and an earlier answer that was found there
        // must not be given before it has: the commit waits for that.
        Ok(Prepared::Nothing) => commit(store, session, None, deadline).await,
        Ok(Prepared::Written(proof)) => {
            let committed = commit(store, session, Some(&proof), deadline).await;
            // Before anybody is answered; a commit in doubt may have happened.
            for (collection, id) in proof.changed {
                store.copies.forget(collection, id);
            }
            committed
        }
        Err(trouble) => {
            abort(session).await;
            Err(trouble)
        }
    }
}

async fn start(session: &mut ClientSession) -> Result<(), Trouble> {
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    session
        .start_transaction()
        .read_concern(ReadConcern::snapshot())
        .write_concern(majority)
        .await
        .map_err(|error| trouble::of(&error))
}

/// Best effort, and bounded: the server drops what is left open after its lifetime limit.
pub(super) async fn abort(session: &mut ClientSession) {
    let _ = tokio::time::timeout(Duration::from_secs(1), session.abort_transaction()).await;
}

enum Prepared {
    Nothing,
    /// A document whose presence proves that the transaction was committed.
    Written(Proof),
}

struct Proof {
    collection: &'static str,
    id: Bson,
    /// What of the records that are copied was changed.
    changed: Vec<(&'static str, RecordId)>,
}

async fn prepare(
    store: &Inner,
    session: &mut ClientSession,
    units: &mut Units,
    updates: Updates,
) -> Result<Prepared, Trouble> {
    let mut batch = Batch::default();
    let known = load_answers(store, session, units).await?;
    load(store, session, &mut batch, wanted_first(units)).await?;
    for pass in 0.. {
        let missing = apply_all(store, &mut batch, units, &known);
        if missing.is_empty() {
            break;
        }
        if pass == PASSES_MAX {
            units.iter_mut().filter(|unit| !unit.answered()).for_each(|unit| {
                unit.refuse(Fault::internal("a unit asks for records without end"));
            });
            break;
        }
        // What this pass has created is not there: it must not hide what the database holds.
        batch.rewind();
        load(store, session, &mut batch, missing).await?;
    }
    let keys = data_keys(store, session, &mut batch).await?;
    seal_notes(store, &mut batch, &keys)?;
    let entries = entries(store, &batch, units, &keys)?;
    post(store, session, &batch, entries, units, updates).await
}

/// One pass over all units, in order, from the loaded state; returns what some of them miss.
fn apply_all(
    store: &Inner,
    batch: &mut Batch,
    units: &mut Units,
    known: &HashMap<String, Document>,
) -> Vec<Locator> {
    batch.rewind();
    let mut missing = Vec::new();
    for (index, unit) in units.iter_mut().enumerate() {
        unit.reset();
        if let Some(fault) = broken_proviso(batch, unit.as_ref()) {
            unit.deny(fault);
            continue;
        }
        let key = unit.warrant().idempotency.clone();
        if let Some(answer) = key.as_ref().and_then(|key| known.get(&key.id)) {
            let key = key.as_ref().expect("the answer was looked up by it");
            unit.replay(Earlier { store, key, record: answer });
            continue;
        }
        let now = unit.warrant().now;
        let mut work = Work::new(batch, now);
        let answered = unit.apply(&mut work);
        let asked_for = work.take_missing();
        if !asked_for.is_empty() {
            missing.extend(asked_for);
        } else if answered && !unit.is_rehearsal() {
            match work.close() {
                Ok(closed) if closed.is_unaccounted() => {
                    unit.deny(Fault::internal("a line of a ledger without a change"));
                }
                Ok(closed) => batch.merge(index, closed, now),
                Err(roots) => {
                    unit.reset();
                    missing.extend(roots);
                }
            }
        }
    }
    missing
}

fn broken_proviso(batch: &Batch, unit: &dyn Operation) -> Option<Fault> {
    unit.warrant().provisos.iter().find_map(|proviso| {
        let document = batch.find(&Locator::id(proviso.collection, proviso.id.clone()));
        (proviso.holds)(document).err()
    })
}

/// The data keys of the users whose entries hold personal values: cached, in the batch (a user
/// created here), or read now.
async fn data_keys(
    store: &Inner,
    session: &mut ClientSession,
    batch: &mut Batch,
) -> Result<HashMap<UserId, DataKey>, Trouble> {
    let noted = batch.notes().iter().map(|note| note.user);
    let users: Vec<UserId> =
        batch.entries().iter().filter_map(posting::needs_key).chain(noted).collect();
    let mut keys = HashMap::new();
    let mut unread = Vec::new();
    for user in users {
        if let Some(key) = store.cached_key(&user) {
            keys.insert(user, key);
        } else if !unread.contains(&user) {
            unread.push(user);
        }
    }
    let locator = |user: &UserId| Locator::id("user_keys", user.0.into());
    load(store, session, batch, unread.iter().map(locator).collect()).await?;
    for user in unread {
        let loaded = batch.loaded(&locator(&user));
        let Some(record) = batch.find(&locator(&user)).or(loaded) else { continue };
        let key = keys::unwrap(record, &store.keyring).map_err(Trouble::Broken)?;
        // A key that is created in this transaction is cached only once it is committed.
        if loaded.is_some() {
            store.cache_key(user, key.clone());
        }
        keys.insert(user, key);
    }
    Ok(keys)
}

/// A person whose data key is gone keeps no notes.
fn seal_notes(
    store: &Inner,
    batch: &mut Batch,
    keys: &HashMap<UserId, DataKey>,
) -> Result<(), Trouble> {
    let mut sealed = Vec::new();
    for note in batch.notes() {
        let Some(key) = keys.get(&note.user) else { continue };
        let value = posting::sealed(note, key, &store.chance).map_err(Trouble::Rejected)?;
        sealed.push((note.name.clone(), note.field, value));
    }
    for (name, field, value) in sealed {
        if let Some(record) = batch.created_mut(&name) {
            record.insert(field, value);
        }
    }
    Ok(())
}

fn entries(
    store: &Inner,
    batch: &Batch,
    units: &mut Units,
    keys: &HashMap<UserId, DataKey>,
) -> Result<Vec<Document>, Trouble> {
    let mut nth = vec![0; units.len()];
    let mut entries = Vec::with_capacity(batch.entries().len());
    for posted in batch.entries() {
        let unit = &mut units[posted.unit];
        let id = unit.entry_id(nth[posted.unit], &store.chance);
        nth[posted.unit] += 1;
        unit.wrote(Written { entry: id, subject: posted.draft.subject.clone(), seq: posted.seq });
        let entry = posting::entry(posted, id, unit.warrant(), keys, &store.chance);
        entries.push(entry.map_err(Trouble::Rejected)?);
    }
    Ok(entries)
}

async fn post(
    store: &Inner,
    session: &mut ClientSession,
    batch: &Batch,
    entries: Vec<Document>,
    units: &Units,
    updates: Updates,
) -> Result<Prepared, Trouble> {
    let answers = answers(store, units)?;
    let proof = match (entries.first(), answers.first()) {
        (Some(entry), _) => proof(Entry::COLLECTION, entry, batch),
        (None, Some(answer)) => proof(IDEMPOTENCY, answer, batch),
        (None, None) => return Ok(Prepared::Nothing),
    };
    let mut postings = posting::records(batch);
    if updates == Updates::OneByOne {
        postings = postings.into_iter().flat_map(Posting::one_by_one).collect();
    }
    postings.extend(posting::insert(Entry::COLLECTION, entries));
    postings.extend(posting::insert(IDEMPOTENCY, answers));
    for posting in postings {
        run(store, session, posting).await?;
    }
    Ok(Prepared::Written(proof))
}

fn proof(collection: &'static str, document: &Document, batch: &Batch) -> Proof {
    let changed = batch.slots().filter(|slot| slot.is_changed()).filter_map(|slot| {
        let collection = Copies::keeps(slot.collection)?;
        let document = slot.current().or(slot.initial())?;
        Some((collection, RecordId::of(document.get("_id")?)?))
    });
    let id = document.get("_id").cloned().unwrap_or(Bson::Null);
    Proof { collection, id, changed: changed.collect() }
}

/// The answers that must be remembered, sealed.
fn answers(store: &Inner, units: &Units) -> Result<Vec<Document>, Trouble> {
    let mut answers = Vec::new();
    for unit in units {
        let warrant = unit.warrant();
        let Some(key) = &warrant.idempotency else { continue };
        let Some(answer) = unit.answer_to_remember().map_err(Trouble::Rejected)? else { continue };
        answers.push(doc! {
            "_id": &key.id,
            "fingerprint": &key.fingerprint,
            "answer": store.seal_answer(&key.id, &answer),
            "created_at": warrant.now,
            "expires_at": time::plus(warrant.now, IDEMPOTENCY_KEPT_MS),
        });
    }
    Ok(answers)
}

async fn run(store: &Inner, session: &mut ClientSession, posting: Posting) -> Result<(), Trouble> {
    let Posting { collection, command, count, record } = posting;
    let named = |trouble| match (trouble, &record) {
        (Trouble::Conflict, Some(record)) => Trouble::Held(record.clone()),
        (trouble, _) => trouble,
    };
    let reply = store.database.run_command(command).session(session).await;
    let reply = reply.map_err(|error| named(trouble::of(&error)))?;
    if let Some(trouble) = trouble::of_write_errors(collection, &reply) {
        return Err(named(trouble));
    }
    let n = reply.get_i32("n").map(i64::from).or_else(|_| reply.get_i64("n")).unwrap_or(0);
    // A guard that missed: somebody changed the record after this transaction had read it.
    if n == count { Ok(()) } else { Err(named(Trouble::Conflict)) }
}

async fn commit(
    store: &Inner,
    session: &mut ClientSession,
    proof: Option<&Proof>,
    deadline: tokio::time::Instant,
) -> Result<(), Trouble> {
    loop {
        let trouble = match timeout_at(deadline, session.commit_transaction()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => trouble::of_commit(&error),
            Err(_) => return reconcile(store, proof).await,
        };
        if trouble != Trouble::InDoubt {
            return Err(trouble);
        }
        if tokio::time::Instant::now() >= deadline {
            return reconcile(store, proof).await;
        }
        tokio::time::sleep(COMMIT_RETRY_PAUSE).await;
    }
}

/// The last resort for a commit in doubt: what a majority knows of it. Absence proves nothing, the
/// commit may still arrive.
async fn reconcile(store: &Inner, proof: Option<&Proof>) -> Result<(), Trouble> {
    let Some(proof) = proof else { return Err(Trouble::InDoubt) };
    let collection = store.database.collection::<Document>(proof.collection);
    let look = collection.find_one(doc! { "_id": &proof.id }).read_concern(ReadConcern::majority());
    match tokio::time::timeout(RECONCILE_WITHIN, look.into_future()).await {
        Ok(Ok(Some(_))) => Ok(()),
        _ => Err(Trouble::InDoubt),
    }
}
