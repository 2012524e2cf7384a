//! Reading the trail: who changed what, when, through which app, from what to what.
//!
//! The trail is written by `store`, in the transaction of the change itself; this room only reads.
//! Personal values are sealed as they are stored: an auditor sees that they changed, one who holds
//! `auditor_pii` sees the values, and nobody sees them once the user's data key is destroyed.
//!
//! To add a filter: `queries::Filter`, the parameter in `http`, and an index if it is to be fast.

mod actions;
mod http;
mod queries;

pub use actions::ReadTrail;
pub use http::{Paper, routes};
