//! Fields that change without being a change of the record: when a key was last used, when an app
//! last read. Written past the trail, only forward in time, and only where the record's kind says
//! that the field is volatile.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

use super::client::Store;
use super::record::{Key, Record};
use super::trouble;
use crate::kernel::fault::Fault;
use crate::kernel::time::Timestamp;

/// Times at which something was last used, to be written together.
#[derive(Default)]
pub struct Touch {
    statements: BTreeMap<&'static str, Vec<Bson>>,
}

/// Statements in one command.
const STATEMENTS_MAX: usize = 1000;

impl Touch {
    /// `path` of the record is at least `at`. A path that is not volatile is a mistake in the
    /// calling code and is not written.
    pub fn latest<R: Record>(&mut self, key: &Key<R>, path: &str, at: Timestamp) {
        self.latest_where::<R>(key.locator.filter(), path, at);
    }

    /// As `latest`, for the element of an array that `filter` matches (`keys.$.last_used_at`).
    pub fn latest_where<R: Record>(&mut self, filter: Document, path: &str, at: Timestamp) {
        if !(R::KIND.volatile)(path) {
            tracing::error!(collection = R::KIND.collection, path, "not a volatile field");
            return;
        }
        let statement = doc! { "q": filter, "u": { "$max": { path: at } } };
        self.statements.entry(R::KIND.collection).or_default().push(statement.into());
    }

    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }
}

impl Store {
    pub async fn touch(&self, touch: Touch) -> Result<(), Fault> {
        let database = self.inner().database.clone();
        let written = async move {
            for (collection, statements) in touch.statements {
                for updates in statements.chunks(STATEMENTS_MAX) {
                    let command = doc! { "update": collection, "updates": updates.to_vec(), "ordered": false };
                    database.run_command(command).await?;
                }
            }
            Ok(())
        };
        self.spawn(written).await?.map_err(|error| trouble::fault(&error))
    }
}
