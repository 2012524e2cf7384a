//! Counting, up to a bound: a count of everything would take as long as there is much.

use bson::Document;

use super::client::Store;
use super::trouble;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;

impl Store {
    /// How many records there are, and `max` where there are at least so many.
    pub async fn count(
        &self,
        pass: &Pass,
        collection: &'static str,
        filter: Document,
        max: u64,
    ) -> Result<u64, Fault> {
        let collection = self.inner().database.collection::<Document>(collection);
        let count = async move { collection.count_documents(filter).limit(max).await };
        let deadline = tokio::time::Instant::from_std(pass.deadline());
        let counted = self.spawn(async move { tokio::time::timeout_at(deadline, count).await });
        match counted.await? {
            Ok(counted) => counted.map_err(|error| trouble::fault(&error)),
            Err(_) => Err(trouble::unavailable().because("a count did not end in time")),
        }
    }
}
