//! One transaction for a handful of units: load, apply, post, commit. The driver's session and
//! every retry of a commit are in this file.
//!
//! An attempt either commits everything that was applied, or leaves no trace and says what went
//! wrong; `lane` decides who is tried again. Nothing here cannot be repeated: ids and times were
//! made before, only the nonces of sealing are fresh in each attempt.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::ClientSession;
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};
use tokio::time::timeout_at;

use super::batch::Batch;
use super::client::Inner;
use super::keys;
use super::load::{load, load_answers, wanted_first};
use super::post::{Posts, Prepared, Proof, breathe, post};
use super::posting;
use super::presumption::Keys;
use super::record::Locator;
use super::trouble::{self, Trouble};
use super::unit::{Earlier, Operation};
use super::work::{Unclosed, Work};
use crate::crypto::envelope::DataKey;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;

pub(super) const IDEMPOTENCY: &str = "idempotency";
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

/// What is thought of records that the units are going to create (`presumption`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    Presumed,
    LookedFor,
}

/// How an attempt goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    pub updates: Updates,
    pub absence: Absence,
}

impl Manner {
    /// For a unit by itself, of which something is known to be in its way.
    pub const WARY: Self = Self { updates: Updates::Together, absence: Absence::LookedFor };
}

/// Applies `units` and commits. After `Ok` every unit holds its answer.
pub(super) async fn attempt(
    store: &Inner,
    session: &mut ClientSession,
    units: &mut Units,
    deadline: Instant,
    manner: Manner,
) -> Result<(), Trouble> {
    let deadline = tokio::time::Instant::from_std(deadline);
    start(session).await?;
    let prepared = match timeout_at(deadline, prepare(store, session, units, manner)).await {
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

async fn prepare(
    store: &Inner,
    session: &mut ClientSession,
    units: &mut Units,
    manner: Manner,
) -> Result<Prepared, Trouble> {
    let mut batch = Batch::default();
    let mut keys = Keys::of(units);
    let mut known = HashMap::new();
    match manner.absence {
        Absence::Presumed => batch.presume(units.iter().flat_map(|unit| &unit.hints().creates)),
        Absence::LookedFor => known = load_answers(store, session, &keys.take_all()).await?,
    }
    load(store, session, &mut batch, wanted_first(units)).await?;
    for pass in 0.. {
        let mut missing = apply_all(store, &mut batch, units, &known).await;
        if missing.is_empty() {
            missing = batch.take_unproven();
            let doubtful = keys.take_unproven(units);
            if missing.is_empty() && doubtful.is_empty() {
                break;
            }
            known.extend(load_answers(store, session, &doubtful).await?);
        }
        if pass == PASSES_MAX {
            // What the others presume has not been proven either: the next attempt looks for it.
            if manner.absence == Absence::Presumed {
                return Err(Trouble::Duplicate);
            }
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
    post(store, session, Posts { batch, units, keys }, manner.updates).await
}

/// One pass over all units, in order, from the loaded state; returns what some of them miss.
async fn apply_all(
    store: &Inner,
    batch: &mut Batch,
    units: &mut Units,
    known: &HashMap<String, Document>,
) -> Vec<Locator> {
    batch.rewind();
    let mut missing = Vec::new();
    for (index, unit) in units.iter_mut().enumerate() {
        breathe(index).await;
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
                Err(Unclosed::Misses(roots)) => {
                    unit.reset();
                    missing.extend(roots);
                }
                Err(Unclosed::NoBson) => {
                    unit.deny(Fault::internal("a record that is no BSON"));
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
