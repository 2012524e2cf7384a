//! A person as a whole, across all that is kept of them: exported, and erased for good.
//!
//! *Erasing* takes away what is personal and keeps what must stay provable: the data key of the
//! person is destroyed, so what the trail and the ledger keep sealed can never be read again, while
//! every entry, number and hash stays as it is. Identifiers are released, connections cut.
//!
//! *Exporting* gives an admin one document with everything that is kept of the person, for the person.
//! It shows what other views mask, because it is theirs and is of use only as a whole; so each export
//! is noted in the person's trail before anything is read. It is a GET all the same: nothing that
//! anybody decides by is changed, and whoever repeats it gets the document again, and an entry more.
//!
//! Invariants: an erased person is never changed again; credits do not vanish without an entry.
//!
//! To keep something else of a person: take it away in `commands`, write it in `document`, and look
//! for it in `tests/it/erasing.rs`, which searches all collections, and `tests/it/person_export.rs`.

mod actions;
mod commands;
mod document;
mod export;
mod http;

pub use actions::WRITING;
pub use http::{Paper, routes};
