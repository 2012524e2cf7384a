//! A person's record as it was, and the life of one field, for auditors.
//!
//! Entries are never changed, so the record at a moment is what the entries until then come to
//! (`replay`, `audit::state`). A *snapshot* (`snapshots`) is what they came to at one of them, so that
//! the next reader goes on from there; one is made every few hundred entries of a person, in the order
//! of the leaves, by one node at a time. A *history* (`history`) is read from the entries alone.
//!
//! Invariants: a snapshot is derived and proves nothing, so `verify` compares it with the entries and
//! uses it for nothing else; whatever is missing or was thrown away costs time and changes no answer.
//! Sealed values stay sealed in it: without the person's key it says what the entries say.
//!
//! To make all of them anew: empty `trail_snapshots`, and remove `post:snapshots` from `meta`.

mod history;
mod http;
mod queries;
mod replay;
mod snapshots;

pub use http::{Paper, routes};
pub use replay::{Moment, Until};
pub use snapshots::{Due, Made, Place, SNAPSHOTS, Snapshot, due, make};
