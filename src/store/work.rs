//! What a unit's pure function sees: the records as they stand in the transaction, and a way to
//! change them. It may be called several times; only the last call counts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bson::oid::ObjectId;
use bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf};

use super::batch::{Batch, Note};
use super::draft::Draft;
use super::record::{Key, Kind, Locator, REVISED_AT, REVISION, Record, Root};
use crate::audit::actor::Subject;
use crate::audit::bytes;
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
    /// The answer, and the rest of it.
    pub fn split(self) -> (A, Done<()>) {
        let Self { answer, replayed, written } = self;
        (answer, Done { answer: (), replayed, written })
    }

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
    pub document: Option<RawDocumentBuf>,
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
        let Some(record) = self.document(&key.locator)? else { return Ok(None) };
        let record = bson::deserialize_from_slice(record.as_bytes());
        record.map(Some).map_err(|_| undecodable(R::KIND).into())
    }

    /// As `find`; what is not there is a 404.
    pub fn get<R: Record>(&mut self, key: &Key<R>) -> Result<R, Stop> {
        self.find(key)?.ok_or_else(|| Fault::of(Code::NotFound).into())
    }

    pub fn create<R: Record>(&mut self, record: &R) -> Result<(), Stop> {
        let mut document = encode(record)?;
        if matches!(R::KIND.root, Root::Own) {
            let fields =
                [(REVISION, RawBsonRef::Int64(0)), (REVISED_AT, RawBsonRef::DateTime(self.now))];
            document = bytes::with(&document, &fields).map_err(|_| unencodable(R::KIND))?;
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
        let locator = before.key().locator;
        let (before, after) = (encode(before)?, encode(after)?);
        if before == after {
            return Ok(());
        }
        let Some(document) = self.document(&locator)? else {
            return Err(Fault::of(Code::NotFound).into());
        };
        let revised = bytes::revise(document, &before, &after).map_err(Fault::internal)?;
        self.put(self.batch.resolve(&locator), R::KIND, Some(revised));
        Ok(())
    }

    pub fn erase<R: Record>(&mut self, record: &R) {
        self.put(self.batch.resolve(&record.key().locator), R::KIND, None);
    }

    fn document(&mut self, locator: &Locator) -> Result<Option<&RawDocument>, Stop> {
        let name = self.alias(locator).unwrap_or_else(|| self.batch.resolve(locator));
        if let Some(at) = self.overlay.iter().position(|overlaid| overlaid.name == name) {
            return Ok(self.overlay[at].document.as_deref());
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

    fn put(&mut self, name: String, kind: &'static Kind, document: Option<RawDocumentBuf>) {
        match self.overlay.iter_mut().find(|overlaid| overlaid.name == name) {
            Some(overlaid) => overlaid.document = document,
            None => self.overlay.push(Overlaid { name, kind, document }),
        }
    }

    pub(super) fn take_missing(&mut self) -> Vec<Locator> {
        std::mem::take(&mut self.missing)
    }

    /// What this call changed, by subject.
    pub(super) fn close(self) -> Result<Closed, Unclosed> {
        let drafts = self.batch.drafts(&self.overlay)?;
        let Self { overlay, notes, reference, .. } = self;
        Ok(Closed { overlay, drafts, notes, reference })
    }
}

impl Closed {
    /// Lines of a ledger without the change that they are about would leave no entry.
    pub fn is_unaccounted(&self) -> bool {
        let beside = |overlaid: &Overlaid| matches!(overlaid.kind.root, Root::None);
        self.drafts.is_empty() && self.overlay.iter().any(beside)
    }
}

/// Why the changes of a call cannot be told yet, or not at all.
#[derive(Debug)]
pub(super) enum Unclosed {
    /// Roots of subjects that are not loaded.
    Misses(Vec<Locator>),
    NoBson,
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

fn undecodable(kind: &Kind) -> Fault {
    Fault::internal(format!("a record of {} cannot be decoded", kind.collection))
}
