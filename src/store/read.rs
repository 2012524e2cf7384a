//! Reading, with a pass and before its deadline.

use bson::Document;
use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;

use super::client::Store;
use super::record::{Key, Record};
use super::trouble;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;

/// A question to one collection. The filter is built from typed values by the slices; a client's
/// keys never become keys of it.
pub struct Query {
    collection: &'static str,
    filter: Document,
    sort: Option<Document>,
    limit: usize,
    projection: Option<Document>,
}

/// Rows that one query may answer; a page needs one more than it shows.
const ROWS_MAX: usize = 1001;

impl Query {
    pub fn of(collection: &'static str, filter: Document) -> Self {
        Self { collection, filter, sort: None, limit: ROWS_MAX, projection: None }
    }

    #[must_use]
    pub fn sort(self, sort: Document) -> Self {
        Self { sort: Some(sort), ..self }
    }

    #[must_use]
    pub fn limit(self, rows: usize) -> Self {
        Self { limit: rows.clamp(1, ROWS_MAX), ..self }
    }

    #[must_use]
    pub fn only(self, projection: Document) -> Self {
        Self { projection: Some(projection), ..self }
    }
}

impl Store {
    pub async fn find<R: Record>(&self, pass: &Pass, key: &Key<R>) -> Result<Option<R>, Fault> {
        let filter = key.locator.filter();
        Ok(self.list(pass, Query::of(R::KIND.collection, filter).limit(1)).await?.pop())
    }

    /// The rows as `T`: a record, or a struct with the few fields that are needed.
    pub async fn list<T>(&self, pass: &Pass, query: Query) -> Result<Vec<T>, Fault>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let collection = self.inner().database.collection::<T>(query.collection);
        let rows = async move {
            let mut find = collection.find(query.filter);
            find = find.limit(i64::try_from(query.limit).unwrap_or(i64::MAX));
            if let Some(sort) = query.sort {
                find = find.sort(sort);
            }
            if let Some(projection) = query.projection {
                find = find.projection(projection);
            }
            find.await?.try_collect::<Vec<T>>().await
        };
        let deadline = tokio::time::Instant::from_std(pass.deadline());
        let rows = self.spawn(async move { tokio::time::timeout_at(deadline, rows).await }).await?;
        match rows {
            Ok(rows) => rows.map_err(|error| trouble::fault(&error)),
            Err(_) => Err(trouble::unavailable().because("a query did not end in time")),
        }
    }
}
