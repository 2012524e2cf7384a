//! What a line of the trail *is*: pure values, no I/O.
//!
//! An *entry* says who ([`actor`]) changed which paths of which *subject* ([`entry`]), from what to
//! what ([`change`]). A subject is one aggregate with one gapless `seq`: `user:<id>` covers the user
//! document, its connections (`apps.<app_id>.…`), its identities and its data key. Personal values
//! are sealed under the user's own data key ([`seal`]), secrets never enter. A [`warrant`] is what
//! the gate hands out and the store demands: without one nothing can be written.
//!
//! What a subject's entries come to is a [`state`]. An entry's canonical bytes ([`leaf`]) are a leaf of one Merkle tree ([`tree`], [`proof`]), which
//! [`checkpoint`]s sign; a [`bundle`] carries entries with their proofs.
//!
//! Invariants: `apply(diff(a, b), a) == b`; replaying a subject's entries gives its record.
//!
//! To make a field personal or secret: the record's `sensitivity` says so, nothing here changes.

pub mod actor;
pub mod bundle;
pub mod bytes;
pub mod change;
pub mod checkpoint;
pub mod entry;
pub mod leaf;
pub mod proof;
#[cfg(test)]
mod samples;
pub mod seal;
pub mod state;
pub mod tree;
pub mod warrant;
