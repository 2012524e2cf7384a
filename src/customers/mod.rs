//! A person as a whole, across all that is kept of them: erased for good.
//!
//! *Erasing* takes away what is personal and keeps what must stay provable: the data key of the
//! person is destroyed, so what the trail and the ledger keep sealed can never be read again, while
//! every entry, number and hash stays as it is. Identifiers are released, connections cut.
//!
//! Invariants: an erased person is never changed again; credits do not vanish without an entry.
//!
//! To keep something else of a person: take it away here, and look for it in
//! `tests/it/erasing.rs`, which searches all collections.

mod actions;
mod commands;
mod http;

pub use actions::WRITING;
pub use http::{Paper, routes};
