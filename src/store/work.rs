//! What a unit's pure function sees: the records as they stand in the transaction, and a way to
//! change them. It may be called several times; only the last call counts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bson::oid::ObjectId;
use bson::{Document, RawDocumentBuf};

use super::batch::{Batch, Draft, Note};
use super::record::{Key, Kind, Locator, Record, Root};
use crate::audit::actor::Subject;
use crate::audit::change;
use crate::audit::warrant::Warrant;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{EntryId, UserId};
use crate::kernel::time::Timestamp;

/// Why a pure function ends without an answer.
#[derive(Debug)]
pub enum Stop {
    /// The request is refused; nothing of this unit is kept.
    Refused(Fault),
    /// A record was asked for that is not loaded yet: the function is called again with it.
    Missing,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

/// What a unit answered, and whether that was an earlier answer to the same Idempotency-Key.
#[derive(Debug)]
pub struct Done<A> {
    pub answer: A,
    pub replayed: bool,
    /// The entries that it left; none where nothing changed, or where an earlier answer was given.
    pub written: Vec<Written>,
}

/// An entry of the trail, and its place in its subject's history.
#[derive(Debug, Clone)]
pub struct Written {
    pub entry: EntryId,
    pub subject: Subject,
    pub seq: i64,
}

impl<A> Done<A> {
    /// The same, with another answer.
    pub fn map<B>(self, f: impl FnOnce(A) -> B) -> Done<B> {
        let Self { answer, replayed, written } = self;
        Done { answer: f(answer), replayed, written }
    }
}

/// One call's view of the batch. Changes go to an overlay and reach the batch only if the
/// function answers.
pub struct Work<'a> {
    batch: &'a Batch,
    now: Timestamp,
    overlay: Vec<Overlaid>,
    missing: Vec<Locator>,
    notes: Vec<Note>,
    reference: Option<String>,
}

/// What of a new record is kept sealed under the data key of `user`: destroying that key erases it.
pub struct Sealed {
    pub user: UserId,
    /// The record's own id: the seal is bound to it.
    pub id: ObjectId,
    pub field: &'static str,
    pub plain: Document,
}

pub(super) struct Overlaid {
    pub name: String,
    pub kind: &'static Kind,
    pub document: Option<Document>,
}

impl<'a> Work<'a> {
    pub(super) fn new(batch: &'a Batch, now: Timestamp) -> Self {
        let (overlay, missing, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self { batch, now, overlay, missing, notes, reference: None }
    }

    /// The request's time: the same in every attempt.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn find<R: Record>(&mut self, key: &Key<R>) -> Result<Option<R>, Stop> {
        let name = self.alias(&key.locator).unwrap_or_else(|| self.batch.resolve(&key.locator));
        let untouched = self.overlay.iter().all(|overlaid| overlaid.name != name);
        if let Some(raw) = self.batch.raw(&name).filter(|_| untouched) {
            let record = bson::deserialize_from_slice(raw.as_bytes());
            return record.map(Some).map_err(|_| undecodable(R::KIND).into());
        }
        let Some(document) = self.document(&key.locator)? else { return Ok(None) };
        decode(R::KIND, document).map(Some).map_err(Stop::Refused)
    }

    /// As `find`; what is not there is a 404.
    pub fn get<R: Record>(&mut self, key: &Key<R>) -> Result<R, Stop> {
        self.find(key)?.ok_or_else(|| Fault::of(Code::NotFound).into())
    }

    pub fn create<R: Record>(&mut self, record: &R) -> Result<(), Stop> {
        // By its bytes: the way straight to a `Document` writes every id out and reads it again.
        let document = Document::try_from(&encode(record)?);
        let mut document = document.map_err(|_| unencodable(R::KIND))?;
        if matches!(R::KIND.root, super::record::Root::Own) {
            document.insert(super::record::REVISION, 0_i64);
            document.insert(super::record::REVISED_AT, self.now);
        }
        self.put(record.key().locator.name(), R::KIND, Some(document));
        Ok(())
    }

    /// As `create`; `sealed` is added to the record when it is written.
    pub fn create_with<R: Record>(&mut self, record: &R, sealed: Sealed) -> Result<(), Stop> {
        self.create(record)?;
        let Sealed { user, id, field, plain } = sealed;
        let name = record.key().locator.name();
        self.notes.push(Note { name, user, id, field, plain });
        Ok(())
    }

    /// What the caller calls this operation: its entries say so.
    pub fn refer_to(&mut self, reference: &str) {
        self.reference = Some(reference.to_owned());
    }

    /// Writes what differs between the two; what this type does not know of the stored document
    /// stays as it is.
    pub fn revise<R: Record>(&mut self, before: &R, after: &R) -> Result<(), Stop> {
        let changes = change::diff_bytes(&encode(before)?, &encode(after)?);
        let changes = changes.map_err(|_| unencodable(R::KIND))?;
        if changes.is_empty() {
            return Ok(());
        }
        let locator = before.key().locator;
        let Some(mut document) = self.document(&locator)?.cloned() else {
            return Err(Fault::of(Code::NotFound).into());
        };
        change::apply(&mut document, &changes).map_err(Fault::internal)?;
        self.put(self.batch.resolve(&locator), R::KIND, Some(document));
        Ok(())
    }

    pub fn erase<R: Record>(&mut self, record: &R) {
        self.put(self.batch.resolve(&record.key().locator), R::KIND, None);
    }

    fn document(&mut self, locator: &Locator) -> Result<Option<&Document>, Stop> {
        let name = self.alias(locator).unwrap_or_else(|| self.batch.resolve(locator));
        if let Some(at) = self.overlay.iter().position(|overlaid| overlaid.name == name) {
            return Ok(self.overlay[at].document.as_ref());
        }
        if self.batch.is_loaded(&name) {
            return Ok(self.batch.get(&name));
        }
        self.missing.push(locator.clone());
        Err(Stop::Missing)
    }

    /// What this call has created can be found by its alternates too.
    fn alias(&self, locator: &Locator) -> Option<String> {
        let answers_to = |overlaid: &&Overlaid| {
            let alternates =
                overlaid.document.as_ref().map(|d| Locator::alternates(overlaid.kind, d));
            alternates.is_some_and(|alternates| alternates.contains(locator))
        };
        self.overlay.iter().find(answers_to).map(|overlaid| overlaid.name.clone())
    }

    fn put(&mut self, name: String, kind: &'static Kind, document: Option<Document>) {
        match self.overlay.iter_mut().find(|overlaid| overlaid.name == name) {
            Some(overlaid) => overlaid.document = document,
            None => self.overlay.push(Overlaid { name, kind, document }),
        }
    }

    pub(super) fn take_missing(&mut self) -> Vec<Locator> {
        std::mem::take(&mut self.missing)
    }

    /// What this call changed, by subject; `Missing` where a subject's root is not loaded.
    pub(super) fn close(mut self) -> Result<Closed, Vec<Locator>> {
        match self.batch.drafts(&self.overlay) {
            Ok(drafts) => {
                let Self { overlay, notes, reference, .. } = self;
                Ok(Closed { overlay, drafts, notes, reference })
            }
            Err(missing) => {
                self.missing.extend(missing);
                Err(self.missing)
            }
        }
    }
}

impl Closed {
    /// Lines of a ledger without the change that they are about would leave no entry.
    pub fn is_unaccounted(&self) -> bool {
        let beside = |overlaid: &Overlaid| matches!(overlaid.kind.root, Root::None);
        self.drafts.is_empty() && self.overlay.iter().any(beside)
    }
}

pub(super) struct Closed {
    pub overlay: Vec<Overlaid>,
    pub drafts: Vec<Draft>,
    pub notes: Vec<Note>,
    pub reference: Option<String>,
}

/// Calls `body`; a panic in it is this unit's failure alone, never the lane's.
pub(super) fn call<A>(
    body: &mut (impl FnMut(&mut Work) -> Result<A, Stop> + ?Sized),
    work: &mut Work,
    warrant: &Warrant,
) -> Result<A, Stop> {
    catch_unwind(AssertUnwindSafe(|| body(work))).unwrap_or_else(|_| {
        Err(Fault::internal(format!("{} panicked in its pure function", warrant.action)).into())
    })
}

pub(super) fn encode<R: Record>(record: &R) -> Result<RawDocumentBuf, Fault> {
    bson::serialize_to_raw_document_buf(record).map_err(|_| unencodable(R::KIND))
}

fn unencodable(kind: &Kind) -> Fault {
    Fault::internal(format!("a record of {} cannot be encoded", kind.collection))
}

/// By its bytes: serde takes a document apart only by value, and a clone costs more.
pub(super) fn decode<R: Record>(kind: &Kind, document: &Document) -> Result<R, Fault> {
    let bytes = document.to_vec().map_err(|_| undecodable(kind))?;
    bson::deserialize_from_slice(&bytes).map_err(|_| undecodable(kind))
}

fn undecodable(kind: &Kind) -> Fault {
    Fault::internal(format!("a record of {} cannot be decoded", kind.collection))
}
