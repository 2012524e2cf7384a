//! Leave to read and to write, as things that cannot be made up.
//!
//! `store` opens only with a [`Pass`] and writes only with a [`Warrant`]. Both are issued in
//! `access/gate.rs` alone (the architecture test sees to it), after the checks. A warrant also
//! carries everything about the caller that the trail must say.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bson::{Bson, RawDocument};

use super::actor::Actor;
use super::entry::Outcome;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{AppId, ConnectionId, EntryId, UserId};
use crate::kernel::time::Timestamp;

/// Leave to read, until `deadline`.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    deadline: Instant,
}

impl Pass {
    pub(crate) fn issue(deadline: Instant) -> Self {
        Self { deadline }
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

/// A condition that was true at the door and must still be true inside the transaction, checked
/// against the document as the write path has loaded it.
#[derive(Clone)]
pub struct Proviso {
    pub collection: &'static str,
    pub id: Bson,
    pub holds: Rule,
}

pub type Rule = Arc<dyn Fn(Option<&RawDocument>) -> Result<(), Fault> + Send + Sync>;

/// The Idempotency-Key of a request, as the write path needs it.
#[derive(Clone)]
pub struct Idempotency {
    /// As it was sent.
    pub key: String,
    /// MAC of scope and key: the `_id` of the stored answer.
    pub id: String,
    /// MAC of method, route, path parameters and canonical body.
    pub fingerprint: String,
}

/// Leave to write one unit, and what its entries say about the caller.
#[derive(Clone)]
pub struct Warrant {
    terms: Terms,
}

#[derive(Clone)]
pub struct Terms {
    pub action: &'static str,
    pub module: Cow<'static, str>,
    pub actor: Actor,
    /// Whom it concerns, where the subject is not the person.
    pub user_id: Option<UserId>,
    pub app_id: Option<AppId>,
    pub connection_id: Option<ConnectionId>,
    pub request_id: Option<String>,
    pub ip_address: Option<String>,
    pub asserted_by: Option<AppId>,
    pub outcome: Outcome,
    pub now: Timestamp,
    pub deadline: Instant,
    pub provisos: Vec<Proviso>,
    pub idempotency: Option<Idempotency>,
    pub receipts: Receipts,
}

/// Which entries a request has left, for whoever answers it. Clones are of the same list.
#[derive(Debug, Clone, Default)]
pub struct Receipts(Arc<Mutex<Vec<EntryId>>>);

impl Receipts {
    pub fn add(&self, entries: impl Iterator<Item = EntryId>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
    }

    pub fn entries(&self) -> Vec<EntryId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Warrant {
    pub(crate) fn issue(terms: Terms) -> Self {
        Self { terms }
    }

    /// The same without its Idempotency-Key: for what leaves nothing to be repeated.
    #[must_use]
    pub fn unrepeatable(mut self) -> Self {
        self.terms.idempotency = None;
        self
    }
}

impl std::ops::Deref for Warrant {
    type Target = Terms;
    fn deref(&self) -> &Terms {
        &self.terms
    }
}
