//! The stored user: the record that all apps share, its connections and identities, and what an
//! embedded module is.
//!
//! One *aggregate* per user: the user document is its root and holds the `revision`; connections
//! (`apps.<app_id>.…`), identities (`identities.<id>.…`) and the data key (`data_key.…`) are its
//! parts, written in the same transaction and traced under the same `seq`. A [`Module`] is a part of
//! the user document; this room knows that modules exist, never which: `app` passes them in.
//!
//! To add a field: the struct, the validator in `schemas/`, and `sensitivity` if it is personal.

mod connection;
mod customer;
mod identity;
mod module;
mod user;

pub use connection::{
    AppProfile, Connection, ConnectionStatus, PreviousKey, SyncFrequency, SyncSettings,
};
pub use customer::{Account, Customer};
pub use identity::{Identifier, Identity, IdentityKind, Voucher};
pub use module::{BUILT_IN, Booked, Booking, Lines, Module, Modules, Shelf};
pub use user::{Audit, Notifications, Preferences, Privacy, Profile, User, UserStatus};
