//! Nodes of the tree, as they stand with the leaves that they end at.

use std::collections::HashMap;

use bson::{Binary, doc};

use crate::audit::tree::{Frontier, Hash, Node, peaks};
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::store::{LEAVES, Leaf, Query, Store};

/// The tree after its first `size` leaves, ready to grow.
pub async fn frontier(pass: &Pass, store: &Store, size: u64) -> Result<Frontier, Fault> {
    let hashes = fetch(pass, store, peaks(size).into_iter()).await?;
    Frontier::from_peaks(size, hashes).ok_or_else(|| broken("the nodes of a tree do not fit it"))
}

/// Their hashes, in the same order.
pub async fn fetch(
    pass: &Pass,
    store: &Store,
    nodes: impl Iterator<Item = Node>,
) -> Result<Vec<Hash>, Fault> {
    let nodes: Vec<Node> = nodes.collect();
    let numbers: Vec<i64> = nodes.iter().map(|node| number(node.last_leaf())).collect();
    let query = Query::of(LEAVES, doc! { "_id": { "$in": numbers } });
    let leaves: Vec<Leaf> = store.list(pass, query).await?;
    let leaves: HashMap<i64, Leaf> = leaves.into_iter().map(|leaf| (leaf.number, leaf)).collect();
    let hash = |node: &Node| {
        let leaf = leaves.get(&number(node.last_leaf()));
        let stored = leaf.and_then(|leaf| match node.place() {
            0 => Some(&leaf.leaf_hash),
            place => leaf.nodes.get(place - 1),
        });
        stored.and_then(hash_of).ok_or_else(|| broken("a node of the tree is missing"))
    };
    nodes.iter().map(hash).collect()
}

pub fn hash_of(stored: &Binary) -> Option<Hash> {
    Hash::from_slice(&stored.bytes)
}

pub fn number(leaf: u64) -> i64 {
    i64::try_from(leaf).unwrap_or(i64::MAX)
}

fn broken(what: &str) -> Fault {
    Fault::internal(what)
}
