//! Who works on what takes long, and how far it has come: `lease` and `progress` of a record, which
//! are volatile. A turn ends when its time is over or somebody else has a later one; its number tells
//! whoever still believes to have it.

use bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::client::Store;
use super::node::META;
use super::read::Query;
use super::record::{Key, Record};
use super::trouble;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::time::{self, Timestamp};

impl Store {
    /// Takes a turn at the record, unless somebody has one: its number. `open` are the statuses in
    /// which there is something to do.
    pub async fn take_turn<R: Record>(
        &self,
        key: &Key<R>,
        open: &[&str],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<i64>, Fault> {
        debug_assert!((R::KIND.volatile)("lease.term"), "not a volatile field");
        let mut filter = key.locator.filter();
        filter.insert("status", doc! { "$in": open.to_vec() });
        filter.insert(
            "$or",
            vec![doc! { "lease": { "$exists": false } }, doc! { "lease.until": { "$lte": now } }],
        );
        let update = doc! { "$set": { "lease.until": until }, "$inc": { "lease.term": 1_i64 } };
        let records = self.inner().database.collection::<Document>(R::KIND.collection);
        let taken = async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "whose turn it is, is no change of anybody"
            )]
            let take = records.find_one_and_update(filter, update);
            take.return_document(ReturnDocument::After).await
        };
        let taken = self.spawn(taken).await?.map_err(|error| trouble::fault(&error))?;
        let term = |record: Document| record.get_document("lease").ok()?.get_i64("term").ok();
        Ok(taken.and_then(term))
    }

    /// Writes down how far it has come, and goes on until `until`; `false` where the turn is over.
    pub async fn keep_turn<R: Record>(
        &self,
        key: &Key<R>,
        term: i64,
        until: Timestamp,
        progress: Document,
    ) -> Result<bool, Fault> {
        let mut filter = key.locator.filter();
        filter.insert("lease.term", term);
        let update = doc! { "$set": { "lease.until": until, "progress": progress } };
        let records = self.inner().database.collection::<Document>(R::KIND.collection);
        let kept = async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "how far it has come is no change of anybody"
            )]
            let kept = records.update_one(filter, update);
            kept.await
        };
        let kept = self.spawn(kept).await?.map_err(|error| trouble::fault(&error))?;
        Ok(kept.matched_count == 1)
    }

    /// Takes a post that one node has at a time, or keeps it; `false` where another node has it. It is
    /// nobody's again where it was not kept. Nothing may depend on it: clocks differ.
    pub async fn hold_post(&self, post: &str, hold: std::time::Duration) -> Result<bool, Fault> {
        let (node, now) = (self.node().id().to_owned(), self.node().now());
        let until = time::plus(now, i64::try_from(hold.as_millis()).unwrap_or(i64::MAX));
        let free = vec![doc! { "node": &node }, doc! { "until": { "$lte": now } }];
        let filter = doc! { "_id": format!("post:{post}"), "$or": free };
        let update = doc! { "$set": { "node": node, "until": until } };
        let posts = self.inner().database.collection::<Document>(META);
        let held = async move {
            #[expect(clippy::disallowed_methods, reason = "who has a post is no change of anybody")]
            let held = posts.update_one(filter, update);
            held.upsert(true).await
        };
        match self.spawn(held).await? {
            Ok(_) => Ok(true),
            // It is there, and another's.
            Err(error) if trouble::of(&error) == trouble::Trouble::Duplicate => Ok(false),
            Err(error) => Err(trouble::fault(&error)),
        }
    }

    /// How far whoever has the post had come, as it was kept last.
    pub async fn post_progress(&self, pass: &Pass, post: &str) -> Result<Document, Fault> {
        let query = Query::of(META, doc! { "_id": format!("post:{post}") }).limit(1);
        let line: Option<Document> = self.list(pass, query).await?.pop();
        let progress = line.and_then(|line| line.get_document("progress").cloned().ok());
        Ok(progress.unwrap_or_default())
    }

    /// Keeps how far this node has come, while it has the post.
    pub async fn keep_post_progress(&self, post: &str, progress: Document) -> Result<(), Fault> {
        let mine = doc! { "_id": format!("post:{post}"), "node": self.node().id() };
        let update = doc! { "$set": { "progress": progress } };
        let posts = self.inner().database.collection::<Document>(META);
        let kept = async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "how far it has come is no change of anybody"
            )]
            let kept = posts.update_one(mine, update);
            kept.await
        };
        self.spawn(kept).await?.map(|_| ()).map_err(|error| trouble::fault(&error))
    }

    /// Roughly how many records a collection has.
    pub async fn estimate(&self, pass: &Pass, collection: &'static str) -> Result<i64, Fault> {
        let records = self.inner().database.collection::<Document>(collection);
        let estimate = async move { records.estimated_document_count().await };
        let deadline = tokio::time::Instant::from_std(pass.deadline());
        let estimate = self.spawn(async move { tokio::time::timeout_at(deadline, estimate).await });
        match estimate.await? {
            Ok(count) => {
                let count = count.map_err(|error| trouble::fault(&error))?;
                Ok(i64::try_from(count).unwrap_or(i64::MAX))
            }
            Err(_) => Err(trouble::unavailable().because("an estimate did not come in time")),
        }
    }
}
