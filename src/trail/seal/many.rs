//! Proofs of many leaves at once: what one leaf needs, its neighbours need, too.

use std::collections::{HashMap, HashSet};

use super::nodes::{fetch, hash_of};
use crate::audit::tree::{Hash, Node, Plan};
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::store::{Leaf, Store};

/// Nodes that are asked for together.
const TOGETHER: usize = 1000;

/// That each of these leaves is in the tree of `size`, in their order. What stands with the leaves
/// themselves is not read again, and nothing is read twice.
pub async fn inclusions(
    pass: &Pass,
    store: &Store,
    leaves: &[Leaf],
    size: u64,
) -> Result<Vec<Vec<Hash>>, Fault> {
    let number = |leaf: &Leaf| u64::try_from(leaf.number).unwrap_or(u64::MAX);
    let plans: Option<Vec<Plan>> =
        leaves.iter().map(|leaf| Plan::inclusion(number(leaf), size)).collect();
    let plans = plans.ok_or_else(|| Fault::internal("a leaf is not in the tree"))?;
    let mut known: HashMap<Node, Hash> = HashMap::new();
    for leaf in leaves {
        known.extend(nodes_of(leaf, number(leaf)));
    }
    let wanted: HashSet<Node> = plans.iter().flat_map(Plan::nodes).collect();
    let unread: Vec<Node> = wanted.into_iter().filter(|node| !known.contains_key(node)).collect();
    for nodes in unread.chunks(TOGETHER) {
        let hashes = fetch(pass, store, nodes.iter().copied()).await?;
        known.extend(nodes.iter().copied().zip(hashes));
    }
    let proof = |plan: &Plan| {
        let hashes: Option<Vec<Hash>> =
            plan.nodes().map(|node| known.get(&node).copied()).collect();
        plan.proof(&hashes?)
    };
    let proofs: Option<Vec<_>> = plans.iter().map(proof).collect();
    proofs.ok_or_else(|| Fault::internal("the nodes of the tree do not make a proof"))
}

/// The nodes that end at a leaf, itself the first.
fn nodes_of(leaf: &Leaf, number: u64) -> impl Iterator<Item = (Node, Hash)> {
    let hashes = std::iter::once(&leaf.leaf_hash).chain(&leaf.nodes).map_while(hash_of);
    (0..).zip(hashes).map(move |(level, hash)| {
        // The leaf is the last one of each of them.
        (Node { level, index: number >> level }, hash)
    })
}
