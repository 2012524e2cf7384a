//! The database: the only room that names the MongoDB client.
//!
//! *Reading* takes a [`Pass`](crate::audit::warrant::Pass), *writing* a
//! [`Warrant`](crate::audit::warrant::Warrant). A write is a *unit*: a pure function over the records
//! it asks for ([`work::Work`]), applied inside one transaction together with its trail entries and
//! its idempotency record. Units wait in one *lane* per process, which takes what is queued into one
//! transaction (`lane`: group commit, splitting, setting aside; `write`: the transaction itself).
//! What changed is computed, never told: no change, no entry, and no entry without a change.
//!
//! All work runs on the store's own runtime, so a request that goes away never cancels a driver's
//! future. A driver's error never leaves this room as text, because it quotes documents.
//!
//! Invariants: a unit has at most one effect; a record's `revision` is its newest `seq`; every
//! queue, batch and cache here has a bound.
//!
//! To add a collection: a `Kind` in its slice, a validator in `schemas/`, its indexes in `indexes`.

mod aside;
mod batch;
mod client;
mod company;
mod copies;
mod count;
mod doctor;
mod draft;
mod dues;
mod figures;
mod indexes;
mod keycheck;
mod keys;
mod lane;
mod lease;
mod leaves;
mod load;
mod memory;
mod migrations;
mod node;
mod post;
mod posting;
mod presumption;
mod read;
mod record;
mod rewrap;
mod roles;
mod settle;
mod touch;
mod transaction;
mod trouble;
mod turn;
mod unit;
mod walk;
mod watch;
mod way;
mod work;
mod write;

pub use client::{Hints, Parts, Store};
pub use company::Leased;
pub use copies::Snapshot;
pub use dues::DUES;
pub use figures::Figures;
pub use keys::UserKey;
pub use lease::{Take, Taken};
pub use leaves::{BATCH, LEAVES, Leaf, Lost, News, Stream, Term, hash};
pub use migrations::Plan;
pub use read::Query;
pub use record::{Key, Kind, NO_VOLATILE, Record, RecordId, Root};
pub use rewrap::{Tally, Unopened};
pub use roles::{INSERT_ONLY, MIGRATION, SERVICE, advice, role_command};
pub use touch::Touch;
pub use walk::{Path, Walk};
pub use way::Way;
pub use work::{Done, Sealed, Stop, Work, Written};
