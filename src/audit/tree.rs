//! The Merkle tree of RFC 6962 over the leaves of the trail, kept so that a database can hold it.
//!
//! A *node* is a perfect subtree: (level, index) covers the 2^level leaves from index·2^level on.
//! It is finished with its last leaf and never changes after that, so it is kept with that leaf:
//! the record of leaf n holds the hashes of the nodes that end at n, by level. Records are only
//! ever inserted, about two hashes for each leaf. The *frontier* is what must be known to append:
//! the roots of the perfect subtrees that a tree of that size consists of.
//!
//! Nothing here reads: a [`Plan`] says which nodes it needs, and makes hashes out of theirs.
//!
//! `ct-merkle` was looked at and does not fit: it numbers the nodes of *one* tree, the unfinished
//! ones at its right edge among them, whose hashes change with each leaf and cannot be inserted
//! once; its own tree keeps every leaf in memory.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const HASH_BYTES: usize = 32;
const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// SHA-256. As a text it is standard base64 with padding, as everywhere in C2SP.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// `None` when they are not 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = STANDARD.decode(text).ok();
        bytes.and_then(|bytes| Self::from_slice(&bytes)).ok_or("must be the base64 of 32 bytes")
    }
}

/// The prefixes keep a node from passing for a leaf, and a leaf for a node.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update(LEAF).chain_update(bytes).finalize().into())
}

pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let both = Sha256::new().chain_update(NODE).chain_update(left.0).chain_update(right.0);
    Hash(both.finalize().into())
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// A perfect subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    pub level: u32,
    pub index: u64,
}

impl Node {
    /// The leaf it ends with, in whose record its hash stands at the place `level`.
    pub fn last_leaf(self) -> u64 {
        // In this order: (index + 1) << level is 2^64 for the last node there can be.
        (self.index << self.level) + ((1 << self.level) - 1)
    }

    /// The place of its hash in that record.
    pub fn place(self) -> usize {
        usize::try_from(self.level).expect("below 64")
    }
}

/// All that must be known of a tree to append to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Left to right, so the largest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    pub fn empty() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// From the hashes of [`peaks`]; `None` when there are more or fewer of them.
    pub fn from_peaks(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        (hashes.len() == peaks(size).len()).then_some(Self { size, peaks: hashes })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The hashes to keep with this leaf: its own, then those of the larger nodes that end with it.
    #[must_use = "whoever appends must keep the nodes"]
    pub fn append(&mut self, leaf: Hash) -> Vec<Hash> {
        let mut nodes = vec![leaf];
        let mut last = leaf;
        // One bits at the end of a size are subtrees that wait for exactly this leaf.
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each one bit of the size");
            last = node_hash(left, last);
            nodes.push(last);
        }
        self.peaks.push(last);
        self.size += 1;
        nodes
    }

    pub fn root(&self) -> Hash {
        fold(&self.peaks).unwrap_or_else(empty_root)
    }
}

/// The nodes that a tree of `size` leaves consists of, left to right: what [`Frontier::from_peaks`]
/// and [`root_from`] need.
pub fn peaks(size: u64) -> Vec<Node> {
    cover(0, size)
}

/// The root of the tree of `size` leaves, from the hashes of its [`peaks`].
pub fn root_from(size: u64, hashes: Vec<Hash>) -> Option<Hash> {
    Frontier::from_peaks(size, hashes).map(|frontier| frontier.root())
}

/// Which nodes a proof needs. Each of its hashes is made of one node, or of several where the
/// subtree is at the unfinished edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan(Vec<Vec<Node>>);

impl Plan {
    /// That leaf `leaf` is in the tree of `size`: `PATH` of RFC 6962. `None` when it is not.
    pub fn inclusion(leaf: u64, size: u64) -> Option<Self> {
        let (mut start, mut end) = (0, size);
        let mut beside = Vec::new();
        if leaf >= size {
            return None;
        }
        while end - start > 1 {
            let middle = start + split(end - start);
            if leaf < middle {
                beside.push(cover(middle, end));
                end = middle;
            } else {
                beside.push(cover(start, middle));
                start = middle;
            }
        }
        beside.reverse();
        Some(Self(beside))
    }

    /// That the tree of `new` begins with all of the tree of `old`: `PROOF` of RFC 6962. From an
    /// empty tree there is nothing to prove, so the proof is empty. `None` when `old` is larger.
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        let (mut start, mut end) = (0, new);
        let mut beside = Vec::new();
        if old > new {
            return None;
        }
        while old > 0 && end > old {
            let middle = start + split(end - start);
            if old <= middle {
                beside.push(cover(middle, end));
                end = middle;
            } else {
                beside.push(cover(start, middle));
                start = middle;
            }
        }
        // The whole old tree is known to whoever verifies; a part of it is not.
        if start > 0 {
            beside.push(cover(start, end));
        }
        beside.reverse();
        Some(Self(beside))
    }

    /// What to fetch.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.0.iter().flatten().copied()
    }

    /// The proof, from the hashes of [`Self::nodes`] in their order; `None` when there are more or
    /// fewer of them.
    pub fn proof(&self, hashes: &[Hash]) -> Option<Vec<Hash>> {
        let mut rest = hashes;
        let mut proof = Vec::with_capacity(self.0.len());
        for nodes in &self.0 {
            let (these, others) = rest.split_at_checked(nodes.len())?;
            proof.push(fold(these)?);
            rest = others;
        }
        rest.is_empty().then_some(proof)
    }
}

/// The largest power of two below `count`, where RFC 6962 divides a tree of more than one leaf.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The leaves from `start` to before `end` as perfect subtrees, left to right. `start` is where a
/// subtree that large begins, so they become smaller.
fn cover(mut start: u64, end: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    while start < end {
        let level = (end - start).ilog2();
        nodes.push(Node { level, index: start >> level });
        start += 1 << level;
    }
    nodes
}

/// One hash from those of adjacent subtrees: the smaller ones at the right are joined first.
fn fold(hashes: &[Hash]) -> Option<Hash> {
    let (last, before) = hashes.split_last()?;
    Some(before.iter().rfold(*last, |right, left| node_hash(*left, right)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples::{Kept, at};
    use crate::kernel::text::hex;
    use proptest::prelude::*;

    /// RFC 6962, section 2.1, as it is written there.
    fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(naive_split(leaves.len()));
                node_hash(naive_root(left), naive_root(right))
            }
        }
    }

    fn naive_path(leaf: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let k = naive_split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut path, beside) = if leaf < k {
            (naive_path(leaf, left), right)
        } else {
            (naive_path(leaf - k, right), left)
        };
        path.push(naive_root(beside));
        path
    }

    fn naive_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if whole { Vec::new() } else { vec![naive_root(leaves)] };
        }
        let k = naive_split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, beside) = if old <= k {
            (naive_subproof(old, left, whole), right)
        } else {
            (naive_subproof(old - k, right, false), left)
        };
        proof.push(naive_root(beside));
        proof
    }

    fn naive_split(count: usize) -> usize {
        let mut k = 1;
        while k * 2 < count {
            k *= 2;
        }
        k
    }

    /// The leaves of the reference tests of Certificate Transparency.
    fn reference() -> Kept {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        Kept::from_leaves(leaves.into_iter().map(leaf_hash))
    }

    #[test]
    fn the_roots_of_the_reference_tests_of_certificate_transparency_are_given() {
        let roots: Vec<_> = reference().roots.iter().map(|root| hex(&root.0)).collect();
        assert_eq!(
            roots,
            [
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ]
        );
    }

    #[test]
    fn the_proofs_of_the_reference_tests_of_certificate_transparency_are_given() {
        let kept = reference();
        let hexes = |proof: Vec<Hash>| proof.iter().map(|h| hex(&h.0)).collect::<Vec<_>>();
        assert_eq!(
            hexes(kept.inclusion(0, 8)),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            hexes(kept.consistency(6, 8)),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }

    #[test]
    fn a_node_is_kept_with_its_last_leaf() {
        let kept = Kept::of(64);
        for (leaf, record) in (0_u64..).zip(&kept.records) {
            assert_eq!(record.len(), leaf.trailing_ones() as usize + 1);
            for (level, hash) in (0_u32..).zip(record) {
                let node = Node { level, index: leaf >> level };
                assert_eq!(node.last_leaf(), leaf);
                let (start, end) = (at(leaf + 1 - (1 << level)), at(leaf + 1));
                assert_eq!(*hash, naive_root(&kept.leaves[start..end]));
            }
        }
        assert_eq!(Node { level: 63, index: 1 }.last_leaf(), u64::MAX);
    }

    #[test]
    fn roots_and_frontiers_are_made_from_what_is_kept_for_every_size() {
        let kept = Kept::of(600);
        for size in 0..=600_u64 {
            let root = naive_root(&kept.leaves[..at(size)]);
            assert_eq!(kept.roots[at(size)], root);
            assert_eq!(root_from(size, kept.fetch(peaks(size))), Some(root));
        }
        let mut frontier = Frontier::from_peaks(517, kept.fetch(peaks(517))).unwrap();
        assert_eq!(frontier.append(kept.leaves[517]), kept.records[517]);
        assert_eq!((frontier.size(), frontier.root()), (518, kept.roots[518]));
    }

    #[test]
    fn proofs_are_those_of_the_rfc_for_every_pair_of_small_sizes() {
        let kept = Kept::of(70);
        for size in 1..=70_usize {
            let leaves = &kept.leaves[..size];
            for n in 0..size {
                assert_eq!(kept.inclusion(n as u64, size as u64), naive_path(n, leaves));
                let proof = kept.consistency(n as u64 + 1, size as u64);
                assert_eq!(proof, naive_subproof(n + 1, leaves, true), "{n} {size}");
            }
            assert!(kept.consistency(0, size as u64).is_empty());
        }
    }

    #[test]
    fn there_is_no_plan_for_what_cannot_be_proved_and_no_proof_from_the_wrong_hashes() {
        assert_eq!(Plan::inclusion(7, 7), None);
        assert_eq!(Plan::inclusion(0, 0), None);
        assert_eq!(Plan::consistency(8, 7), None);
        let plan = Plan::inclusion(3, 7).unwrap();
        assert_eq!(plan.nodes().count(), 4);
        for count in [0, 3, 5] {
            assert_eq!(plan.proof(&vec![empty_root(); count]), None);
        }
        assert_eq!(Frontier::from_peaks(7, vec![empty_root(); 2]), None);
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let last = u64::MAX;
        assert_eq!(peaks(last).len(), 64);
        assert!(Plan::inclusion(last - 1, last).unwrap().nodes().count() <= 64);
        assert!(Plan::consistency(last - 1, last).unwrap().nodes().count() <= 128);
        assert!(Plan::consistency(1, last).unwrap().0.len() <= 64);
    }

    proptest! {
        #[test]
        fn proofs_are_those_of_the_rfc(size in 1_usize..600, which: prop::sample::Index) {
            let kept = Kept::of(600);
            let leaves = &kept.leaves[..size];
            let n = which.index(size);
            prop_assert_eq!(kept.inclusion(n as u64, size as u64), naive_path(n, leaves));
            let proof = kept.consistency(n as u64 + 1, size as u64);
            prop_assert_eq!(proof, naive_subproof(n + 1, leaves, true));
        }

        #[test]
        fn hashes_are_read_as_they_are_written(bytes: [u8; 32]) {
            prop_assert_eq!(Hash(bytes).to_string().parse(), Ok(Hash(bytes)));
        }
    }
}
