//! Proofs about the tree, checked with nothing but hashes (RFC 9162, 2.1.3.2 and 2.1.4.2; the
//! proofs are those of RFC 6962).

use std::fmt;

use super::tree::{Hash, empty_root, node_hash};

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The leaf is not below the size, or the old size is above the new one.
    OutOfRange,
    /// A proof for this place in a tree of this size has more or fewer hashes.
    WrongLength,
    /// It leads to another root than the one it was checked against.
    OtherRoot,
    /// It leads to another root of the old tree.
    OtherOldRoot,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "there is no such place in a tree of this size",
            Self::WrongLength => "the proof has not as many hashes as this place asks for",
            Self::OtherRoot => "the proof leads to another root",
            Self::OtherOldRoot => "the proof leads to another root of the older tree",
        })
    }
}

impl std::error::Error for Refusal {}

/// A tree as a checkpoint states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
}

/// That the leaf with this hash is number `leaf` of the tree.
pub fn verify_inclusion(leaf: u64, hash: Hash, head: Head, proof: &[Hash]) -> Result<(), Refusal> {
    if leaf >= head.size {
        return Err(Refusal::OutOfRange);
    }
    let mut climb = Climb { at: leaf, last: head.size - 1 };
    let mut root = hash;
    for beside in proof {
        root = match climb.step()? {
            Side::Left => node_hash(*beside, root),
            Side::Right => node_hash(root, *beside),
        };
    }
    climb.arrived()?;
    if root == head.root { Ok(()) } else { Err(Refusal::OtherRoot) }
}

/// That the new tree begins with all the leaves of the old one, in their order.
pub fn verify_consistency(old: Head, new: Head, proof: &[Hash]) -> Result<(), Refusal> {
    if old.size > new.size {
        return Err(Refusal::OutOfRange);
    }
    if old.size == 0 || old.size == new.size {
        return verify_trivial(old, new, proof);
    }
    // A perfect old tree is a node of the new one, and its root need not be sent.
    let (first, rest) = if old.size.is_power_of_two() {
        (old.root, proof)
    } else {
        proof.split_first().map(|(first, rest)| (*first, rest)).ok_or(Refusal::WrongLength)?
    };
    let mut climb = Climb { at: old.size - 1, last: new.size - 1 };
    climb.skip_finished();
    let (mut old_root, mut new_root) = (first, first);
    for beside in rest {
        match climb.step()? {
            Side::Left => {
                old_root = node_hash(*beside, old_root);
                new_root = node_hash(*beside, new_root);
            }
            Side::Right => new_root = node_hash(new_root, *beside),
        }
    }
    climb.arrived()?;
    if old_root != old.root {
        return Err(Refusal::OtherOldRoot);
    }
    if new_root == new.root { Ok(()) } else { Err(Refusal::OtherRoot) }
}

/// Nothing to climb: every tree begins with the empty one and with itself.
fn verify_trivial(old: Head, new: Head, proof: &[Hash]) -> Result<(), Refusal> {
    if !proof.is_empty() {
        return Err(Refusal::WrongLength);
    }
    if old.size == 0 && old.root != empty_root() {
        return Err(Refusal::OtherOldRoot);
    }
    if old.size == new.size && old.root != new.root {
        return Err(Refusal::OtherRoot);
    }
    Ok(())
}

/// The way from a node up to the root: its index in its level, and that of the last node there.
struct Climb {
    at: u64,
    last: u64,
}

/// On which side of us the next hash belongs.
enum Side {
    Left,
    Right,
}

impl Climb {
    fn step(&mut self) -> Result<Side, Refusal> {
        if self.last == 0 {
            return Err(Refusal::WrongLength);
        }
        if self.at & 1 == 0 && self.at != self.last {
            self.up();
            return Ok(Side::Right);
        }
        // The last node of a level goes up unchanged until it has a neighbour, at its left.
        while self.at & 1 == 0 && self.at != 0 {
            self.up();
        }
        self.up();
        Ok(Side::Left)
    }

    /// To the largest node that ends with the same leaf.
    fn skip_finished(&mut self) {
        while self.at & 1 == 1 {
            self.up();
        }
    }

    fn up(&mut self) {
        self.at >>= 1;
        self.last >>= 1;
    }

    fn arrived(&self) -> Result<(), Refusal> {
        if self.last == 0 { Ok(()) } else { Err(Refusal::WrongLength) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples::{Kept, at};
    use proptest::prelude::*;

    fn head(kept: &Kept, size: u64) -> Head {
        Head { size, root: kept.roots[at(size)] }
    }

    fn flip(hash: Hash, bit: usize) -> Hash {
        let mut bytes = hash.0;
        bytes[bit / 8 % 32] ^= 1 << (bit % 8);
        Hash(bytes)
    }

    #[test]
    fn every_right_proof_is_accepted_for_every_pair_of_small_sizes() {
        let kept = Kept::of(70);
        for size in 1..=70 {
            for n in 0..size {
                let (leaf, now) = (kept.leaves[at(n)], head(&kept, size));
                assert_eq!(verify_inclusion(n, leaf, now, &kept.inclusion(n, size)), Ok(()));
            }
            for old in 0..=size {
                let proof = kept.consistency(old, size);
                let heads = (head(&kept, old), head(&kept, size));
                assert_eq!(verify_consistency(heads.0, heads.1, &proof), Ok(()), "{old} {size}");
            }
        }
    }

    #[test]
    fn a_proof_proves_one_leaf_at_one_place_in_one_tree() {
        let kept = Kept::of(40);
        for size in 1..=40 {
            for n in 0..size {
                let leaf = kept.leaves[at(n)];
                let proof = kept.inclusion(n, size);
                for other in (0..=size + 1).filter(|other| *other != n) {
                    let result = verify_inclusion(other, leaf, head(&kept, size), &proof);
                    assert!(result.is_err(), "leaf {n} as {other} of {size}");
                }
            }
        }
    }

    #[test]
    fn a_consistency_proof_does_not_serve_for_other_sizes() {
        let kept = Kept::of(24);
        for (old, new) in (1..24).flat_map(|new| (1..new).map(move |old| (old, new))) {
            let proof = kept.consistency(old, new);
            let (before, after) = (head(&kept, old), head(&kept, new));
            for size in 1..=24 {
                let other = head(&kept, size);
                if size != old {
                    assert!(
                        verify_consistency(other, after, &proof).is_err(),
                        "{old} {size} {new}"
                    );
                }
                if size != new {
                    assert!(
                        verify_consistency(before, other, &proof).is_err(),
                        "{old} {new} {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn from_the_empty_tree_and_to_itself_there_is_an_empty_proof_and_no_other() {
        let kept = Kept::of(3);
        let (empty, now) = (head(&kept, 0), head(&kept, 3));
        assert_eq!(verify_consistency(empty, now, &[]), Ok(()));
        assert_eq!(verify_consistency(now, now, &[]), Ok(()));
        assert_eq!(verify_consistency(now, now, &[now.root]), Err(Refusal::WrongLength));
        let lie = Head { root: now.root, ..empty };
        assert_eq!(verify_consistency(lie, now, &[]), Err(Refusal::OtherOldRoot));
        let lie = Head { root: empty.root, ..now };
        assert_eq!(verify_consistency(lie, now, &[]), Err(Refusal::OtherRoot));
        assert_eq!(verify_consistency(now, empty, &[]), Err(Refusal::OutOfRange));
        assert_eq!(verify_inclusion(0, empty.root, empty, &[]), Err(Refusal::OutOfRange));
        let two = head(&kept, 2);
        assert_eq!(verify_consistency(two, now, &[]), Err(Refusal::WrongLength));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_or_a_hash_more_or_fewer_proves_nothing(
            size in 2_u64..600,
            place: prop::sample::Index,
            which: prop::sample::Index,
            bit in 0_usize..256,
        ) {
            let kept = Kept::of(size);
            let n = place.index(at(size));
            let (leaf, now) = (kept.leaves[n], head(&kept, size));
            let n = n as u64;
            let proof = kept.inclusion(n, size);
            prop_assert_eq!(verify_inclusion(n, leaf, now, &proof), Ok(()));

            let wrong = verify_inclusion(n, flip(leaf, bit), now, &proof);
            prop_assert_eq!(wrong, Err(Refusal::OtherRoot));
            let lie = Head { root: flip(now.root, bit), ..now };
            prop_assert_eq!(verify_inclusion(n, leaf, lie, &proof), Err(Refusal::OtherRoot));
            let longer = [proof.as_slice(), &[leaf]].concat();
            let wrong = verify_inclusion(n, leaf, now, &longer);
            prop_assert_eq!(wrong, Err(Refusal::WrongLength));
            for broken in broken(&proof, which, bit) {
                prop_assert!(verify_inclusion(n, leaf, now, &broken).is_err());
            }
        }

        #[test]
        fn a_changed_consistency_proof_proves_nothing(
            new in 2_u64..600,
            place: prop::sample::Index,
            which: prop::sample::Index,
            bit in 0_usize..256,
        ) {
            let kept = Kept::of(new);
            let old = 1 + place.index(usize::try_from(new - 1).unwrap()) as u64;
            let (before, after) = (head(&kept, old), head(&kept, new));
            let proof = kept.consistency(old, new);
            prop_assert_eq!(verify_consistency(before, after, &proof), Ok(()));

            let lie = Head { root: flip(before.root, bit), ..before };
            prop_assert!(verify_consistency(lie, after, &proof).is_err());
            let lie = Head { root: flip(after.root, bit), ..after };
            prop_assert_eq!(verify_consistency(before, lie, &proof), Err(Refusal::OtherRoot));
            for broken in broken(&proof, which, bit) {
                prop_assert!(verify_consistency(before, after, &broken).is_err());
            }
        }

        #[test]
        fn no_numbers_make_a_verifier_panic(
            a: u64, b: u64, hashes in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
        ) {
            let hashes: Vec<_> = hashes.into_iter().map(Hash).collect();
            let head = |size| Head { size, root: empty_root() };
            prop_assert!(verify_inclusion(a, empty_root(), head(b), &hashes).is_err());
            prop_assert!(a == b || verify_consistency(head(a), head(b), &hashes).is_err());
        }
    }

    fn broken(proof: &[Hash], which: prop::sample::Index, bit: usize) -> Vec<Vec<Hash>> {
        let at = which.index(proof.len());
        let (mut flipped, mut longer, mut shorter) =
            (proof.to_vec(), proof.to_vec(), proof.to_vec());
        flipped[at] = flip(proof[at], bit);
        longer.insert(at, proof[at]);
        shorter.remove(at);
        vec![flipped, longer, shorter]
    }
}
