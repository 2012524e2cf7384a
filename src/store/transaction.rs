//! The transaction of one attempt, on a session that it has for itself. Every retry of a commit is in
//! this file.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::ClientSession;
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};
use tokio::time::timeout_at;

use super::client::Inner;
use super::post::Proof;
use super::trouble::{self, Trouble};

/// For the last look at a commit in doubt, within the time that the caller still waits: a driver
/// that has just lost its server asks for it again after half a second at the earliest.
const RECONCILE_WITHIN: Duration = Duration::from_millis(1500);
const COMMIT_RETRY_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Transaction<'a> {
    session: &'a mut ClientSession,
}

impl<'a> Transaction<'a> {
    pub async fn begin(session: &'a mut ClientSession) -> Result<Self, Trouble> {
        let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        let started = session.start_transaction().read_concern(ReadConcern::snapshot());
        started.write_concern(majority).await.map_err(|error| trouble::of(&error))?;
        Ok(Self { session })
    }

    /// For a command.
    pub fn session(&mut self) -> &mut ClientSession {
        self.session
    }

    pub async fn abort(self) {
        abort(self.session).await;
    }

    pub async fn commit(
        self,
        store: &Inner,
        proof: Option<&Proof>,
        deadline: tokio::time::Instant,
    ) -> Result<(), Trouble> {
        loop {
            let trouble = match timeout_at(deadline, self.session.commit_transaction()).await {
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
}

/// Best effort, and bounded: the server drops what is left open after its lifetime limit.
pub(super) async fn abort(session: &mut ClientSession) {
    let _ = tokio::time::timeout(Duration::from_secs(1), session.abort_transaction()).await;
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
