//! That an entry is in the trail, and that one state of the trail is the beginning of another.

use bson::doc;

use super::checkpoints::Stored;
use super::nodes::{fetch, hash_of};
use crate::audit::tree::{Hash, Plan};
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::EntryId;
use crate::store::{LEAVES, Leaf, Query, Store};

pub struct Inclusion {
    pub leaf: u64,
    pub leaf_hash: Hash,
    pub path: Vec<Hash>,
    pub checkpoint: Stored,
}

/// Against the newest checkpoint.
pub async fn inclusion(pass: &Pass, store: &Store, entry: EntryId) -> Result<Inclusion, Fault> {
    let exists = Query::of("user_audit_logs", doc! { "_id": entry.0 }).only(doc! { "_id": 1 });
    let exists: Vec<bson::Document> = store.list(pass, exists.limit(1)).await?;
    if exists.is_empty() {
        return Err(Fault::of(Code::NotFound));
    }
    let query = Query::of(LEAVES, doc! { "entry_id": entry.0 }).limit(1);
    let leaf: Option<Leaf> = store.list(pass, query).await?.pop();
    let checkpoint = Stored::newest(pass, store).await?;
    let (Some(leaf), Some(checkpoint)) = (leaf, checkpoint) else { return Err(not_yet()) };
    let number = u64::try_from(leaf.number).unwrap_or(0);
    let path = inclusion_in(pass, store, number, checkpoint.size()).await?;
    let leaf_hash = hash_of(&leaf.leaf_hash).ok_or_else(broken)?;
    Ok(Inclusion { leaf: number, leaf_hash, path, checkpoint })
}

/// From a leaf up to the root of the tree of `size`.
pub async fn inclusion_in(
    pass: &Pass,
    store: &Store,
    leaf: u64,
    size: u64,
) -> Result<Vec<Hash>, Fault> {
    let plan = Plan::inclusion(leaf, size).ok_or_else(not_yet)?;
    plan.proof(&fetch(pass, store, plan.nodes()).await?).ok_or_else(broken)
}

/// Between two sizes of the tree, of which both have leaves.
pub async fn consistency(
    pass: &Pass,
    store: &Store,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, Fault> {
    let plan = Plan::consistency(old, new).ok_or_else(broken)?;
    plan.proof(&fetch(pass, store, plan.nodes()).await?).ok_or_else(broken)
}

fn not_yet() -> Fault {
    Fault::of(Code::NotYetSealed).retry_after(10)
}

fn broken() -> Fault {
    Fault::internal("the nodes of the tree do not make a proof")
}
