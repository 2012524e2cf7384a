//! A unit on one person's wallet: what the operations have in common.

use super::book::{Author, Booked, Slip, book};
use super::entry::Note;
use super::model::{LineKind, Operation};
use super::record::Holder;
use super::view::MovedView;
use crate::access::action::Mutating;
use crate::access::grant::{Granted, OnTie};
use crate::audit::warrant::Warrant;
use crate::kernel::chance::Series;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::modules::asked;
use crate::store::{Done, Hints, Stop, Store, Work};

pub use crate::modules::asked::Purpose;

/// What every operation says besides its own.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// What a later operation must not be called again; the Idempotency-Key, unless sent.
    pub reference: Option<String>,
    pub note: Note,
    pub purpose: Purpose,
}

pub type Moved = Result<Done<MovedView>, Fault>;

/// A unit on one person's wallet that is about to be sent.
pub(super) struct Plan {
    store: Store,
    warrant: Warrant,
    user: UserId,
    slip: Slip,
    hints: Hints,
    purpose: Purpose,
}

impl Plan {
    pub fn new<A: Mutating<Target = OnTie>>(
        grant: &Granted<A>,
        store: &Store,
        terms: &Terms,
        kinds: &[LineKind],
    ) -> Self {
        let (warrant, user) = (grant.warrant(), grant.target().user);
        let slip = slip(&warrant, store, terms);
        let hints = Hints::none().and(&Holder::by_id(user)).with(slip.hints(kinds));
        Self { store: store.clone(), warrant, user, slip, hints, purpose: terms.purpose }
    }

    pub fn hinting(mut self, hints: Hints) -> Self {
        self.hints = self.hints.with(hints);
        self
    }

    /// Another slip for the same operation, with ids of its own.
    pub fn slip<A: Mutating<Target = OnTie>>(&self, grant: &Granted<A>, store: &Store) -> Slip {
        Slip { ids: Series::new(store.chance(), grant.now()), ..self.slip.clone() }
    }

    /// One operation, and what `besides` demands. Its reference comes first: what has happened already
    /// is answered so, whatever else would stand in its way now.
    pub async fn run(
        self,
        operation: Operation,
        besides: impl Fn(&mut Work) -> Result<(), Stop> + Send + Sync + 'static,
    ) -> Moved {
        let user = self.user;
        let done = self.unit(move |work, slip| {
            let booked = book(work, user, slip, &operation)?;
            besides(work)?;
            Ok(booked)
        });
        done.await
    }

    pub async fn unit(
        self,
        body: impl Fn(&mut Work, &Slip) -> Result<Booked, Stop> + Send + Sync + 'static,
    ) -> Moved {
        let Self { store, warrant, slip, hints, purpose, .. } = self;
        carried_out(&store, warrant, hints, purpose, move |work| body(work, &slip)).await
    }
}

pub(super) fn slip(warrant: &Warrant, store: &Store, terms: &Terms) -> Slip {
    let key = warrant.idempotency.as_ref().map(|idempotency| idempotency.key.clone());
    Slip {
        author: Author::of(warrant),
        reference: terms.reference.clone().or(key.filter(|_| terms.purpose == Purpose::ForGood)),
        note: terms.note.clone(),
        parent: None,
        counterpart: None,
        ids: Series::new(store.chance(), warrant.now),
    }
}

/// Sends the unit for good, or only to see what it would come to.
pub(super) async fn carried_out(
    store: &Store,
    warrant: Warrant,
    hints: Hints,
    purpose: Purpose,
    body: impl Fn(&mut Work) -> Result<Booked, Stop> + Send + Sync + 'static,
) -> Moved {
    let body = move |work: &mut Work| Ok(MovedView::of(&body(work)?, purpose));
    asked::carried_out(store, warrant, hints, purpose, body).await
}
