//! A transaction of another process that holds a record.

use bson::{Document, doc};
use mongodb::{Client, ClientSession};

use super::{Purser, SERVES, uri_as};

/// Rolled back by `release`, or by the server's lifetime limit.
pub struct Lock<'a> {
    purser: &'a Purser,
    session: ClientSession,
}

impl Purser {
    /// Changes one record in a transaction and leaves that open. As the user that serves: whoever has
    /// the service's role may end the sessions of its own user, and of no other.
    #[expect(clippy::disallowed_methods, reason = "a test that goes round the API says db_")]
    pub fn db_lock(&self, collection: &str, filter: Document) -> Lock<'_> {
        let session = self.block_on(async {
            let client = Client::with_uri_str(uri_as(&self.uri, SERVES)).await.expect("a client");
            let mut session = client.start_session().await.expect("a session");
            session.start_transaction().await.expect("a transaction");
            let collection = client.database(&self.database).collection::<Document>(collection);
            let update = collection.update_one(filter, doc! { "$set": { "locked": true } });
            let updated = update.session(&mut session).await.expect("updated");
            assert_eq!(updated.matched_count, 1, "nothing to lock");
            session
        });
        Lock { purser: self, session }
    }
}

impl Lock<'_> {
    /// The session's id, as `meta` names those of a process.
    pub fn session(&self) -> Document {
        self.session.id().clone()
    }

    pub fn release(mut self) {
        let session = &mut self.session;
        let released = self.purser.block_on(async { session.abort_transaction().await });
        released.expect("it was still held");
    }

    /// Whether the server has ended it meanwhile.
    pub fn was_lost(mut self) -> bool {
        let session = &mut self.session;
        self.purser.block_on(async { session.commit_transaction().await }).is_err()
    }
}
