//! One transaction for a handful of units: load, apply, post, commit.
//!
//! An attempt either commits everything that was applied, or leaves no trace and says what went
//! wrong; `lane` decides who is tried again. Nothing here cannot be repeated: ids and times were
//! made before, only the nonces of sealing are fresh in each attempt.

use std::collections::HashMap;
use std::time::Instant;

use bson::{Document, RawDocument};
use mongodb::ClientSession;
use tokio::time::timeout_at;

use super::batch::Batch;
use super::client::Inner;
use super::keys;
use super::load::{about, load, load_answers, recall, wanted_first};
use super::memory::USERS;
use super::post::{Posts, Prepared, Proof, breathe, post};
use super::posting;
use super::presumption::Keys;
use super::record::{Locator, RecordId};
use super::transaction::Transaction;
use super::trouble::Trouble;
use super::unit::{Earlier, Operation};
use super::work::{Unclosed, Work};
use crate::audit::warrant::Proviso;
use crate::crypto::envelope::DataKey;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;

pub(super) const IDEMPOTENCY: &str = "idempotency";
/// How often units may ask for further records before they are taken for broken.
const PASSES_MAX: usize = 8;

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

/// Where the people are taken from whom the units are going to change (`memory`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum People {
    Recalled,
    Read,
}

/// How an attempt goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    pub updates: Updates,
    pub absence: Absence,
    pub people: People,
}

impl Manner {
    /// For a unit by itself, of which something is known to be in its way.
    pub const WARY: Self =
        Self { updates: Updates::Together, absence: Absence::LookedFor, people: People::Read };
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
    let doubts = store.memory.doubts();
    let mut transaction = Transaction::begin(session).await?;
    let prepared = prepare(store, &mut transaction, units, manner);
    let prepared = match timeout_at(deadline, prepared).await {
        Ok(prepared) => prepared,
        Err(_) => Err(Trouble::Transient("the database did not answer in time".to_owned())),
    };
    match prepared {
        // What was read may not have reached a majority yet, and an earlier answer that was found there
        // must not be given before it has: the commit waits for that.
        Ok(Prepared::Nothing) => transaction.commit(store, None, deadline).await,
        Ok(Prepared::Written(proof)) => {
            let committed = transaction.commit(store, Some(&proof), deadline).await;
            // Before anybody is answered; a commit in doubt may have happened.
            take_in(store, *proof, committed.is_ok().then_some(doubts));
            committed
        }
        Err(trouble) => {
            transaction.abort().await;
            Err(trouble)
        }
    }
}

/// What a transaction has changed is forgotten. Where it is sure that people are as it has left them, they
/// are remembered so: if it was `committed`, and there are no more doubts than when it recalled them.
fn take_in(store: &Inner, proof: Proof, committed: Option<u64>) {
    let Proof { changed, left, .. } = proof;
    let is_sure = committed.is_some_and(|doubts| store.memory.doubts() == doubts);
    for (collection, id) in changed {
        let mut people = left.people.iter().filter(|_| is_sure && collection == USERS);
        match people.find(|(user, _)| id == RecordId::Object(*user)) {
            Some((_, person)) => store.copies.leave(collection, id, &person.user),
            None => store.forget(collection, id),
        }
    }
    if let Some(doubts) = committed {
        store.memory.keep(left, doubts);
    }
}

async fn prepare(
    store: &Inner,
    transaction: &mut Transaction<'_>,
    units: &mut Units,
    manner: Manner,
) -> Result<Prepared, Trouble> {
    let mut batch = Batch::default();
    let mut keys = Keys::of(units);
    let about = about(units);
    let mut known = HashMap::new();
    match manner.absence {
        Absence::Presumed => batch.presume(units.iter().flat_map(|unit| &unit.hints().creates)),
        Absence::LookedFor => known = load_answers(store, transaction, &keys.take_all()).await?,
    }
    if manner.people == People::Recalled {
        recall(&store.memory, units, &about, &mut batch);
    }
    let wanted = wanted_first(units, &about, &batch);
    load(store, transaction, &mut batch, wanted).await?;
    for pass in 0.. {
        let mut missing = apply_all(store, &mut batch, units, &known).await;
        if missing.is_empty() {
            missing = batch.take_unproven();
            let doubtful = keys.take_unproven(units);
            if missing.is_empty() && doubtful.is_empty() {
                break;
            }
            known.extend(load_answers(store, transaction, &doubtful).await?);
        }
        if pass == PASSES_MAX {
            // What the others presume has not been proven either: the next attempt looks for it.
            if manner.absence == Absence::Presumed {
                return Err(Trouble::Duplicate);
            }
            if manner.people == People::Recalled {
                return Err(Trouble::Conflict);
            }
            units.iter_mut().filter(|unit| !unit.answered()).for_each(|unit| {
                unit.refuse(Fault::internal("a unit asks for records without end"));
            });
            break;
        }
        // What this pass has created is not there: it must not hide what the database holds.
        batch.rewind();
        load(store, transaction, &mut batch, missing).await?;
    }
    let keys = data_keys(store, transaction, &mut batch).await?;
    post(store, transaction, Posts { batch, units, about, keys }, manner.updates).await
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
    let provisos = &unit.warrant().provisos;
    // Some are about the same record: it is looked up once.
    let mut looked_up: Vec<(usize, Option<&RawDocument>)> = Vec::with_capacity(provisos.len());
    provisos.iter().enumerate().find_map(|(at, proviso)| {
        let same = |(other, _): &&(usize, _)| {
            let other: &Proviso = &provisos[*other];
            other.collection == proviso.collection && other.id == proviso.id
        };
        let record = match looked_up.iter().find(same) {
            Some((_, record)) => *record,
            None => batch.on_record(&Locator::id(proviso.collection, proviso.id.clone())),
        };
        looked_up.push((at, record));
        (proviso.holds)(record).err()
    })
}

/// The data keys of the users whose entries hold personal values: cached, in the batch (a user
/// created here), or read now.
async fn data_keys(
    store: &Inner,
    transaction: &mut Transaction<'_>,
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
    load(store, transaction, batch, unread.iter().map(locator).collect()).await?;
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
