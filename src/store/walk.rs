//! Reading a whole collection, or much of one, in constant memory: a batch at a time, in order.

use bson::Document;
use mongodb::error::Error;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::client::Store;
use super::trouble;
use crate::kernel::fault::Fault;

/// What is read and not yet taken.
const BATCHES: usize = 2;

/// What is walked through. The filter is built from typed values by the slices.
pub struct Path {
    pub collection: &'static str,
    pub filter: Document,
    pub sort: Document,
    pub only: Document,
    /// Records in a batch.
    pub batch: u32,
}

pub struct Walk<T>(mpsc::Receiver<Result<Vec<T>, Error>>);

impl Store {
    /// Dropping the walk ends it.
    pub fn walk<T>(&self, path: Path) -> Walk<T>
    where
        T: DeserializeOwned + Send + Sync + Unpin + 'static,
    {
        let (taken, walk) = mpsc::channel(BATCHES);
        let collection = self.inner().database.collection::<T>(path.collection);
        self.on_runtime(async move {
            if let Err(error) = read(&collection, path, &taken).await {
                let _ = taken.send(Err(error)).await;
            }
        });
        Walk(walk)
    }
}

impl<T> Walk<T> {
    /// `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, Fault> {
        match self.0.recv().await {
            None => Ok(None),
            Some(batch) => batch.map(Some).map_err(|error| trouble::fault(&error)),
        }
    }
}

async fn read<T>(
    collection: &mongodb::Collection<T>,
    path: Path,
    taken: &mpsc::Sender<Result<Vec<T>, Error>>,
) -> Result<(), Error>
where
    T: DeserializeOwned + Send + Sync + Unpin,
{
    let size = usize::try_from(path.batch).unwrap_or(1000);
    let found = collection.find(path.filter).sort(path.sort).projection(path.only);
    let mut cursor = found.batch_size(path.batch).allow_disk_use(true).await?;
    let mut batch = Vec::with_capacity(size);
    while cursor.advance().await? {
        batch.push(cursor.deserialize_current()?);
        if batch.len() == size {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(size));
            if taken.send(Ok(full)).await.is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        let _ = taken.send(Ok(batch)).await;
    }
    Ok(())
}
