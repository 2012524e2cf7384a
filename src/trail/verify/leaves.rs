//! Leaves against entries, and the tree against checkpoints.

use std::collections::HashMap;

use bson::oid::ObjectId;
use bson::{RawDocumentBuf, doc};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Finding, Kept, Report, Task};
use crate::audit::entry::Entry;
use crate::audit::leaf;
use crate::audit::proof::Head;
use crate::audit::tree::{Frontier, Hash};
use crate::kernel::fault::Fault;
use crate::store::{LEAVES, Leaf, Path, Query, Walk};
use crate::trail::seal::{Missing, Stored, frontier, hash_of};

const BATCH: u32 = 1000;
/// Of a batch, hashed by one thread.
const PART: usize = 250;

pub async fn verify(task: &mut Task<'_>, report: &mut Report) -> Result<(), Fault> {
    let mut tree = frontier(&(task.pass)(), task.store, task.since).await?;
    let mut stored = Stored::walk(task.store, task.since);
    let mut next = stored.next().await?;
    let start = i64::try_from(task.since).unwrap_or(i64::MAX);
    let mut leaves = task.store.walk::<Leaf>(Path {
        collection: LEAVES,
        filter: doc! { "_id": { "$gte": start } },
        sort: doc! { "_id": 1 },
        only: doc! { "position": 0 },
        batch: BATCH,
    });
    if task.since > 0 {
        vouched(task, &tree, report).await?;
    }
    // While one batch is hashed, the next one is read.
    let mut hashing = looked_at(task, &mut leaves).await?;
    while let Some(looked) = hashing.take() {
        hashing = looked_at(task, &mut leaves).await?;
        for look in looked.await_all().await? {
            if tree.size() != u64::try_from(look.leaf.number).unwrap_or(u64::MAX) {
                let detail = format!("leaf {} comes after leaf {}", look.leaf.number, tree.size());
                report.add(Finding::new("leaf_missing", detail).at(tree.size()));
                return Ok(());
            }
            one(&mut tree, &look, report);
            while let Some(checkpoint) = next.take_if(|it| it.size() <= tree.size()) {
                compare(task, &tree, &checkpoint, report);
                next = stored.next().await?;
            }
            kept(task, &tree, report);
        }
        (task.progress)(tree.size());
    }
    if let Some(beyond) = next {
        let detail =
            format!("a checkpoint is of {} entries, and there are {}", beyond.size(), tree.size());
        report.add(Finding::new("entries_missing", detail).at(tree.size()));
    }
    if let Some(checkpoint) = task.kept.filter(|it| it.head().size > tree.size()) {
        let (size, there) = (checkpoint.head().size, tree.size());
        report.kept = Kept::Disagrees { size };
        let detail = format!("the kept checkpoint is of {size} entries, and there are {there}");
        report.add(Finding::new("entries_missing", detail).at(tree.size()));
    }
    let mut missing = Missing::look(task.store);
    loop {
        let found = missing.next(1000).await?.len();
        report.unsealed += u64::try_from(found).unwrap_or(0);
        if found == 0 {
            return Ok(());
        }
    }
}

/// What stands before the first leaf that is looked at must be what was signed.
async fn vouched(task: &Task<'_>, tree: &Frontier, report: &mut Report) -> Result<(), Fault> {
    let stored = Stored::of_size(&(task.pass)(), task.store, task.since).await?;
    let signed = stored.is_some_and(|stored| {
        stored.opened(task.key).is_ok_and(|checkpoint| checkpoint.head().root == tree.root())
    });
    let kept = task.kept.is_some_and(|it| it.head() == head(tree));
    if !signed && !kept {
        let detail = format!("no checkpoint of {} entries vouches for what is before", task.since);
        report.add(Finding::new("not_vouched_for", detail).at(task.since));
    }
    Ok(())
}

async fn entries(
    task: &Task<'_>,
    leaves: &[Leaf],
) -> Result<HashMap<ObjectId, RawDocumentBuf>, Fault> {
    let ids: Vec<_> = leaves.iter().map(|leaf| leaf.entry_id).collect();
    let query = Query::of(Entry::COLLECTION, doc! { "_id": { "$in": ids } });
    let found: Vec<RawDocumentBuf> = task.store.list(&(task.pass)(), query).await?;
    let keyed =
        found.into_iter().filter_map(|entry| Some((entry.get_object_id("_id").ok()?, entry)));
    Ok(keyed.collect())
}

/// A leaf, and what its entry really is.
struct Look {
    leaf: Leaf,
    /// `None` where it is not there, or cannot be read.
    entry: Option<Named>,
}

struct Named {
    hash: Hash,
    /// Whether the leaf names the same subject and number.
    is_same: bool,
}

/// A batch that is being hashed.
struct Hashing(Vec<JoinHandle<Vec<Look>>>);

impl Hashing {
    async fn await_all(self) -> Result<Vec<Look>, Fault> {
        let mut all = Vec::new();
        for part in self.0 {
            all.extend(part.await.map_err(|_| Fault::internal("hashing panicked"))?);
        }
        Ok(all)
    }
}

/// The next leaves with their entries, which other threads hash.
async fn looked_at(task: &Task<'_>, leaves: &mut Walk<Leaf>) -> Result<Option<Hashing>, Fault> {
    let Some(mut batch) = leaves.next().await? else { return Ok(None) };
    let mut entries = entries(task, &batch).await?;
    let mut parts = Vec::new();
    while !batch.is_empty() {
        let rest = batch.split_off(batch.len().min(PART));
        let pairs: Vec<_> = std::mem::replace(&mut batch, rest)
            .into_iter()
            .map(|leaf| {
                let entry = entries.remove(&leaf.entry_id);
                (leaf, entry)
            })
            .collect();
        let look = |(leaf, raw): (Leaf, Option<RawDocumentBuf>)| Look::of(leaf, raw.as_ref());
        parts.push(spawn_blocking(move || pairs.into_iter().map(look).collect()));
    }
    Ok(Some(Hashing(parts)))
}

impl Look {
    fn of(leaf: Leaf, raw: Option<&RawDocumentBuf>) -> Self {
        let named = |entry: &RawDocumentBuf| {
            Some(Named {
                hash: leaf::hash(&leaf::canonical(entry).ok()?),
                is_same: entry.get_str("subject").ok() == Some(&leaf.subject)
                    && entry.get_i64("seq").ok() == Some(leaf.seq),
            })
        };
        let entry = raw.and_then(named);
        Self { leaf, entry }
    }
}

/// The tree grows by what the entry says, not by what the leaf says of it.
fn one(tree: &mut Frontier, Look { leaf, entry }: &Look, report: &mut Report) {
    let number = tree.size();
    let about = |finding: Finding| finding.at(number).of(&leaf.entry_id).about(&leaf.subject);
    let said = hash_of(&leaf.leaf_hash);
    let Some(Named { hash, is_same }) = entry else {
        report.add(about(Finding::new("entry_missing", "the leaf's entry is not there")));
        let _ = tree.append(said.unwrap_or(Hash([0; 32])));
        return;
    };
    if said == Some(*hash) {
        report.leaves += 1;
    } else {
        let detail = "the entry is not what was sealed: its hash differs";
        report.add(about(Finding::new("entry_changed", detail)));
    }
    if !is_same {
        report.add(about(Finding::new("leaf_changed", "the leaf names another subject or number")));
    }
    let _ = tree.append(*hash);
}

fn compare(task: &Task<'_>, tree: &Frontier, stored: &Stored, report: &mut Report) {
    match stored.opened(task.key) {
        Ok(checkpoint) if checkpoint.head() == head(tree) => {
            report.checkpoints += 1;
        }
        Ok(_) => {
            let detail = format!("the tree of {} entries is not what was signed", tree.size());
            report.add(Finding::new("root_differs", detail).at(tree.size()));
        }
        Err(why) => {
            let detail = format!("the checkpoint of {} entries: {why}", stored.size());
            report.add(Finding::new("checkpoint_invalid", detail).at(stored.size()));
        }
    }
}

fn kept(task: &Task<'_>, tree: &Frontier, report: &mut Report) {
    let Some(checkpoint) = task.kept.filter(|it| it.head().size == tree.size()) else { return };
    let size = tree.size();
    if checkpoint.head() == head(tree) {
        report.kept = Kept::Agrees { size };
        return;
    }
    report.kept = Kept::Disagrees { size };
    let detail = format!("the first {} entries are not those of the kept checkpoint", tree.size());
    report.add(Finding::new("kept_checkpoint_differs", detail).at(tree.size()));
}

fn head(tree: &Frontier) -> Head {
    Head { size: tree.size(), root: tree.root() }
}
