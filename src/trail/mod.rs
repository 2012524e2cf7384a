//! Reading the trail: who changed what, when, through which app, from what to what.
//!
//! The trail is written by `store`, in the transaction of the change itself; this room only reads.
//! Personal values are sealed as they are stored: an auditor sees that they changed, one who holds
//! `auditor_pii` sees the values, and nobody sees them once the user's data key is destroyed.
//!
//! `seal` gives each entry its place in a tree and signs what it comes to, `proofs` shows that to
//! auditors, `export` hands out any part of it, `past` is a person's record as it was, and `verify` is what
//! an auditor runs.
//!
//! To add a filter: `queries::Filter`, the parameter in `http`, and an index if it is to be fast.

mod actions;
pub mod export;
mod http;
pub mod past;
mod proofs;
mod queries;
pub mod seal;
pub mod verify;

pub use actions::{ReadTrail, SealTrail};
pub use http::{Paper, routes, whole};
pub use proofs::{Paper as ProofPaper, routes as proof_routes};
pub use queries::MASK;
