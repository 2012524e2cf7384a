//! Sealing: every entry of the trail becomes a leaf of one Merkle tree, and what the tree has come to
//! is signed, so that nobody can change what is behind a checkpoint without its showing.
//!
//! The *sequencer* (`sequencer`) is one process at a time, by a lease. It follows the stream of new
//! entries and appends their leaves (`store::leaves`); where it cannot tell what it has missed, it
//! compares entries and leaves by subject and number (`missing`). A *checkpoint* (`checkpoints`) is
//! signed at most every few seconds and only when the tree has grown, and handed to somebody else to keep
//! (`keeper`). *Proofs* (`proofs`) are made of
//! the nodes that stand with the leaves.
//!
//! Invariants: every entry has at most one leaf, and in the end one; leaves are numbered without gaps
//! and never change; there are never two checkpoints of one size.
//!
//! How entries are written as bytes, and all formats: `docs/trail.md`.

mod checkpoints;
mod keeper;
mod many;
mod missing;
mod nodes;
mod proofs;
mod sequencer;

pub use checkpoints::{Checkpoints, Stored};
pub use keeper::{Handed, Keeper, Newest, TIMEOUT};
pub use many::inclusions;
pub use missing::Missing;
pub use nodes::{frontier, hash_of};
pub use proofs::{Inclusion, consistency, inclusion, inclusion_in};
pub use sequencer::{Sequencer, leaves_of};
