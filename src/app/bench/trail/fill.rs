//! Writing the story, by the raw driver in large batches: entries, their leaves in the order of time,
//! and in the end the records.

use bson::{Document, RawDocumentBuf};
use mongodb::Database;
use mongodb::options::{Acknowledgment, WriteConcern};
use serde::Serialize;
use tokio::task::JoinSet;

use super::story::Story;
use crate::app::progress::Progress;
use crate::audit::tree::Frontier;
use crate::store::{LEAVES, Leaf};
use crate::trail::seal::leaves_of;

const BATCH: usize = 5_000;
/// Batches under way.
const AT_ONCE: usize = 3;

type Inserts = JoinSet<Result<(), String>>;

/// All of it; the last `unsealed` entries get no leaf.
pub async fn fill(
    database: &Database,
    story: Story,
    entries: usize,
    unsealed: usize,
) -> Result<(), String> {
    let mut progress = Progress::new(u64::try_from(entries).unwrap_or(0), "entries");
    let (mut writing, mut done) = (Writing { story, tree: Frontier::empty() }, 0);
    let mut inserts = Inserts::new();
    while done < entries {
        let (count, sealed) =
            (BATCH.min(entries - done), entries - unsealed - done.min(entries - unsealed));
        let told = tokio::task::spawn_blocking(move || writing.go_on(count, sealed.min(count)));
        let (went_on, told, leaves) = told.await.map_err(|_| "the story broke off")??;
        writing = went_on;
        start(&mut inserts, database, "user_audit_logs", told).await?;
        start(&mut inserts, database, LEAVES, leaves).await?;
        done += count;
        progress.add(u64::try_from(count).unwrap_or(0));
    }
    progress.end();
    let (mut users, mut keys) = (Vec::new(), Vec::new());
    for (user, key) in writing.story.records() {
        users.push(user);
        keys.push(key);
        if users.len() == BATCH {
            flush(&mut inserts, database, &mut users, &mut keys).await?;
        }
    }
    flush(&mut inserts, database, &mut users, &mut keys).await?;
    while let Some(done) = inserts.join_next().await {
        done.map_err(|_| "an insert panicked")??;
    }
    Ok(())
}

struct Writing {
    story: Story,
    tree: Frontier,
}

impl Writing {
    fn go_on(
        mut self,
        count: usize,
        sealed: usize,
    ) -> Result<(Self, Vec<Document>, Vec<Leaf>), String> {
        let told = self.story.go_on(count)?;
        let entries: Result<Vec<_>, _> =
            told[..sealed].iter().map(RawDocumentBuf::try_from).collect();
        let entries = entries.map_err(|_| "an entry of the story is no BSON")?;
        let leaves = leaves_of(&mut self.tree, &entries);
        let leaves = leaves.map_err(|fault| fault.to_string())?;
        Ok((self, told, leaves))
    }
}

async fn flush(
    inserts: &mut Inserts,
    database: &Database,
    users: &mut Vec<Document>,
    keys: &mut Vec<Document>,
) -> Result<(), String> {
    start(inserts, database, "users", std::mem::take(users)).await?;
    start(inserts, database, "user_keys", std::mem::take(keys)).await
}

async fn start<T>(
    inserts: &mut Inserts,
    database: &Database,
    collection: &str,
    documents: Vec<T>,
) -> Result<(), String>
where
    T: Serialize + Send + Sync + 'static,
{
    if documents.is_empty() {
        return Ok(());
    }
    if inserts.len() >= AT_ONCE
        && let Some(done) = inserts.join_next().await
    {
        done.map_err(|_| "an insert panicked")??;
    }
    let records = database.collection::<T>(collection);
    let name = collection.to_owned();
    inserts.spawn(async move {
        #[expect(clippy::disallowed_methods, reason = "what is measured begins after it")]
        let insert = records.insert_many(&documents);
        let here = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
        let inserted = insert.ordered(false).write_concern(here).await;
        inserted.map(drop).map_err(|error| format!("{name} takes no records: {}", error.kind))
    });
    Ok(())
}
