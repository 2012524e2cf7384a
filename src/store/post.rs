//! Writing inside a transaction: what comes next is made while the database works on what was sent.
//! Records, then lines and new records, then entries of the trail, then answers to be given again.

use std::collections::HashMap;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, rawdoc};
use tokio::sync::mpsc;
use tokio::task::yield_now;

use super::batch::{Batch, Slot};
use super::client::Inner;
use super::copies::{Copies, is_few};
use super::lane::Queued;
use super::load::confirm;
use super::memory::{CONNECTIONS, Left, Person, USERS, owner};
use super::posting::{self, Posting};
use super::record::{By, Locator, RecordId, value};
use super::transaction::Transaction;
use super::trouble::{self, Trouble};
use super::work::Written;
use super::write::{IDEMPOTENCY, Units, Updates};
use crate::audit::entry::Entry;
use crate::crypto::envelope::DataKey;
use crate::kernel::ids::UserId;
use crate::kernel::time::{self, DAY_MS};

const IDEMPOTENCY_KEPT_MS: i64 = 7 * DAY_MS;
/// After so many others have their turn: the task that sends, and whoever reads.
const AT_A_STRETCH: usize = 4;

pub(super) enum Prepared {
    Nothing,
    /// A document whose presence proves that the transaction was committed.
    Written(Box<Proof>),
}

pub(super) struct Proof {
    pub collection: &'static str,
    pub id: Bson,
    /// What of the records that are copied was changed.
    pub changed: Vec<(&'static str, RecordId)>,
    /// As what it leaves the people that it has written, and what it has read besides.
    pub left: Left,
}

/// What the units have made of the records, and what it takes to write it down.
pub(super) struct Posts<'a> {
    pub batch: Batch,
    pub units: &'a mut Units,
    /// What their provisos are about.
    pub about: Vec<Locator>,
    pub keys: HashMap<UserId, DataKey>,
}

type Outbox = mpsc::UnboundedSender<Posting>;

pub(super) async fn post(
    store: &Inner,
    transaction: &mut Transaction<'_>,
    mut posts: Posts<'_>,
    updates: Updates,
) -> Result<Prepared, Trouble> {
    if posts.are_none() {
        confirm(store, &posts.batch.unconfirmed()).await?;
        return Ok(Prepared::Nothing);
    }
    let recalled = posts.batch.unconfirmed();
    let (outbox, mut made) = mpsc::unbounded_channel();
    let send = async {
        while let Some(posting) = made.recv().await {
            run(store, transaction, posting).await?;
        }
        Ok(())
    };
    // All to their end: a command that is under way must not be dropped.
    let make = posts.make(store, updates, outbox);
    let (sent, confirmed, proof) = tokio::join!(send, confirm(store, &recalled), make);
    let proof = sent.and(confirmed).and(proof)?;
    Ok(Prepared::Written(Box::new(proof)))
}

impl Posts<'_> {
    /// Neither an entry nor an answer: so no record has changed.
    fn are_none(&self) -> bool {
        let answers = |unit: &Queued| unit.warrant().idempotency.is_some() && unit.remembers();
        self.batch.entries().is_empty() && !self.units.iter().any(answers)
    }

    /// All postings, in their order. Nobody is there to take them once one has failed.
    async fn make(
        &mut self,
        store: &Inner,
        updates: Updates,
        outbox: Outbox,
    ) -> Result<Proof, Trouble> {
        let put = |posting| drop(outbox.send(posting));
        let changes = posting::changes(&self.batch).map_err(Trouble::Rejected)?;
        let changes = changes.into_iter();
        match updates {
            Updates::Together => changes.for_each(put),
            Updates::OneByOne => changes.flat_map(Posting::one_by_one).for_each(put),
        }
        posting::marks(&self.batch).into_iter().for_each(put);
        self.seal_notes(store).await?;
        posting::creations(&self.batch).into_iter().for_each(put);
        let entries = self.entries(store).await?;
        let first = entries.first().and_then(id_of).map(|id| (Entry::COLLECTION, id));
        posting::insert(Entry::COLLECTION, entries).into_iter().for_each(put);
        let answers = self.answers(store).await?;
        let answer = || answers.first().and_then(id_of).map(|id| (IDEMPOTENCY, id));
        let first = first.or_else(answer);
        posting::insert(IDEMPOTENCY, answers).into_iter().for_each(put);
        let (collection, id) = first.unwrap_or((Entry::COLLECTION, Bson::Null));
        Ok(Proof { collection, id, changed: self.changed(), left: self.left(store) })
    }

    /// A person whose data key is gone keeps no notes.
    async fn seal_notes(&mut self, store: &Inner) -> Result<(), Trouble> {
        let mut sealed = Vec::new();
        for (at, note) in self.batch.notes().iter().enumerate() {
            breathe(at).await;
            let Some(key) = self.keys.get(&note.user) else { continue };
            let value = posting::sealed(note, key, &store.chance).map_err(Trouble::Rejected)?;
            sealed.push((note.name.clone(), note.field, value));
        }
        for (name, field, value) in sealed {
            self.batch.fill(&name, field, &value).map_err(Trouble::Rejected)?;
        }
        Ok(())
    }

    async fn entries(&mut self, store: &Inner) -> Result<Vec<RawDocumentBuf>, Trouble> {
        let mut nth = vec![0; self.units.len()];
        let mut entries = Vec::with_capacity(self.batch.entries().len());
        for (at, posted) in self.batch.entries().iter().enumerate() {
            breathe(at).await;
            let unit = &mut self.units[posted.unit];
            let id = unit.entry_id(nth[posted.unit], &store.chance);
            nth[posted.unit] += 1;
            let (subject, seq) = (posted.draft.subject.clone(), posted.seq);
            unit.wrote(Written { entry: id, subject, seq });
            let entry = posting::entry(posted, id, unit.warrant(), &self.keys, &store.chance);
            entries.push(entry.map_err(Trouble::Rejected)?);
        }
        Ok(entries)
    }

    /// The answers that must be remembered, sealed.
    async fn answers(&self, store: &Inner) -> Result<Vec<RawDocumentBuf>, Trouble> {
        let mut answers = Vec::new();
        for (at, unit) in self.units.iter().enumerate() {
            breathe(at).await;
            let warrant = unit.warrant();
            let Some(key) = &warrant.idempotency else { continue };
            let answer = unit.answer_to_remember().map_err(Trouble::Rejected)?;
            let Some(answer) = answer else { continue };
            answers.push(rawdoc! {
                "_id": key.id.as_str(),
                "fingerprint": key.fingerprint.as_str(),
                "answer": store.seal_answer(&key.id, &answer),
                "created_at": warrant.now,
                "expires_at": time::plus(warrant.now, IDEMPOTENCY_KEPT_MS),
            });
        }
        Ok(answers)
    }

    fn left(&self, store: &Inner) -> Left {
        let mut ties: HashMap<ObjectId, Vec<(ObjectId, RawDocumentBuf)>> = HashMap::new();
        let mut records = HashMap::new();
        for locator in &self.about {
            if is_few(locator.collection)
                && let Some(record) = self.batch.read(locator)
            {
                records.entry(locator.name()).or_insert_with(|| record.to_owned());
            }
            let By::Id(Bson::ObjectId(id)) = &locator.by else { continue };
            let tie = self.batch.on_record(locator).filter(|_| locator.collection == CONNECTIONS);
            let Some((tie, owner)) = tie.and_then(|tie| Some((tie, owner(tie)?))) else { continue };
            let ties = ties.entry(owner).or_default();
            if ties.iter().all(|(known, _)| known != id) {
                ties.push((*id, tie.to_owned()));
            }
        }
        let written = self.batch.slots().filter(|it| it.collection == USERS && it.is_advanced());
        let person = |slot: &Slot| {
            let user = slot.current()?.to_owned();
            let id = user.get_object_id("_id").ok()?;
            let mut person = Person { user, ties: ties.remove(&id).unwrap_or_default() };
            let before = store.memory.recall(&id);
            let before = before.filter(|it| it.revision() == slot.revision());
            let unwritten = |(id, _): &&(ObjectId, RawDocumentBuf)| {
                !self.batch.knows(&Locator::id(CONNECTIONS, (*id).into()))
            };
            person.inherit(before.iter().flat_map(|it| &it.ties).filter(unwritten).cloned());
            Some((id, person))
        };
        Left { people: written.filter_map(person).collect(), records }
    }

    fn changed(&self) -> Vec<(&'static str, RecordId)> {
        let changed = self.batch.slots().filter(|slot| slot.is_changed()).filter_map(|slot| {
            let collection = Copies::keeps(slot.collection)?;
            let document = slot.current().or(slot.initial())?;
            Some((collection, RecordId::of(&value(document, "_id")?)?))
        });
        changed.collect()
    }
}

/// In a long row: whoever works through it without a pause keeps everybody's answers from being read.
pub(super) async fn breathe(at: usize) {
    if at.is_multiple_of(AT_A_STRETCH) {
        yield_now().await;
    }
}

fn id_of(document: &RawDocumentBuf) -> Option<Bson> {
    value(document, "_id")
}

async fn run(
    store: &Inner,
    transaction: &mut Transaction<'_>,
    posting: Posting,
) -> Result<(), Trouble> {
    let named = |trouble| match (trouble, &posting.record) {
        (Trouble::Conflict, Some(record)) => Trouble::Held(record.clone()),
        (trouble, _) => trouble,
    };
    let session = transaction.session();
    let reply = store.database.run_raw_command(posting.command()).session(session).await;
    let reply: Document = reply.map_err(|error| named(trouble::of(&error)))?;
    if let Some(trouble) = trouble::of_write_errors(posting.collection, &reply) {
        return Err(named(trouble));
    }
    let n = reply.get_i32("n").map(i64::from).or_else(|_| reply.get_i64("n")).unwrap_or(0);
    // A guard that missed: somebody changed the record after this transaction had read it.
    if n == posting.count() { Ok(()) } else { Err(named(Trouble::Conflict)) }
}
