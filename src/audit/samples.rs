//! What the tests of this room have in common: a tree as a database would hold it, and a trail.

use bson::oid::ObjectId;
use bson::rawdoc;

use super::bundle::Writer;
use super::checkpoint::Checkpoint;
use super::leaf;
use super::proof::Head;
use super::tree::{Frontier, Hash, Node, Plan, leaf_hash};
use crate::crypto::signature::SigningKey;
use crate::kernel::secret::Secret;

pub const ORIGIN: &str = "purser.example.com/trail";

pub fn key(name: &str, byte: u8) -> SigningKey {
    SigningKey::from_seed(name, Secret::new([byte; 32])).unwrap()
}

pub fn at(place: u64) -> usize {
    usize::try_from(place).unwrap()
}

/// The records a database would hold.
pub struct Kept {
    pub leaves: Vec<Hash>,
    pub records: Vec<Vec<Hash>>,
    pub roots: Vec<Hash>,
}

impl Kept {
    pub fn of(count: u64) -> Self {
        Self::from_leaves((0..count).map(|n| leaf_hash(&n.to_be_bytes())))
    }

    pub fn from_leaves(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut frontier = Frontier::empty();
        let mut kept =
            Self { leaves: Vec::new(), records: Vec::new(), roots: vec![frontier.root()] };
        for leaf in leaves {
            kept.leaves.push(leaf);
            kept.records.push(frontier.append(leaf));
            kept.roots.push(frontier.root());
        }
        kept
    }

    pub fn fetch(&self, nodes: impl IntoIterator<Item = Node>) -> Vec<Hash> {
        let record = |node: Node| &self.records[at(node.last_leaf())];
        nodes.into_iter().map(|node| record(node)[node.place()]).collect()
    }

    pub fn inclusion(&self, leaf: u64, size: u64) -> Vec<Hash> {
        let plan = Plan::inclusion(leaf, size).unwrap();
        plan.proof(&self.fetch(plan.nodes())).unwrap()
    }

    pub fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        let plan = Plan::consistency(old, new).unwrap();
        plan.proof(&self.fetch(plan.nodes())).unwrap()
    }
}

/// A trail of `count` entries, its tree, and the key that signs.
pub struct Trail {
    pub entries: Vec<String>,
    pub kept: Kept,
    pub key: SigningKey,
}

impl Trail {
    pub fn of(count: u64) -> Self {
        let entries: Vec<_> = (0..count).map(entry).collect();
        let kept = Kept::from_leaves(entries.iter().map(|entry| leaf::hash(entry)));
        Self { entries, kept, key: key(ORIGIN, 1) }
    }

    pub fn head(&self, size: u64) -> Head {
        Head { size, root: self.kept.roots[at(size)] }
    }

    pub fn note(&self, size: u64) -> String {
        Checkpoint::new(ORIGIN, self.head(size), None).unwrap().sign(&[&self.key])
    }

    pub fn bundle(&self, size: u64, leaves: impl IntoIterator<Item = u64>) -> String {
        let (mut writer, mut text) = Writer::begin(&self.note(size)).unwrap();
        for leaf in leaves {
            let entry = &self.entries[at(leaf)];
            let proof = self.kept.inclusion(leaf, size);
            text += &writer.entry(leaf, entry, &proof).unwrap();
        }
        text + &writer.end()
    }
}

fn entry(n: u64) -> String {
    let number = i64::try_from(n).unwrap();
    let mut id = [0; 12];
    id[4..].copy_from_slice(&n.to_be_bytes());
    let entry = rawdoc! {
        "_id": ObjectId::from_bytes(id),
        "seq": number,
        "changes": { "text": { "old": "i:1 \u{1f600}\n\"\u{7f}", "new": 0.1 } },
    };
    leaf::canonical(&entry).unwrap()
}
