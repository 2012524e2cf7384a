//! The door: who asks, and may they.
//!
//! A request becomes a [`principal::Head`]; the [`gate::Gate`] turns it into a [`grant::Granted`] of
//! one action, or a fault. A grant cannot be made elsewhere, and it already holds what it was
//! checked for: the target. Commands read the subject from it, so that checking one person and
//! acting on another cannot be written.
//!
//! The rules ([`rule`]) look at documents, not at types, because they are applied twice: at the
//! door, and again inside the transaction to what the write path has loaded there.
//!
//! What the door refuses is told to whoever watches ([`watch`]), and nobody waits for that; what is read
//! of the trail is answered only once it stands there.
//!
//! Records come from memory where a copy counts ([`crate::store::Snapshot`]), and a grant carries those
//! it was made from. Every request with a valid key spends of its caller's limits ([`limiter`]).
//!
//! Invariants: unknown, malformed, expired and revoked keys get the same 401; what a caller may not
//! see is a 404; effective permissions are the connection's within the app's ceiling.
//!
//! To add an action: a unit type in its slice's `actions.rs` that implements [`action::Action`].

pub mod action;
pub mod address;
pub mod anonymous;
pub mod attempts;
pub mod cursor;
mod fields;
pub mod figures;
pub mod gate;
mod governed;
pub mod grant;
pub mod key;
pub mod last_used;
pub mod limiter;
pub mod limits;
mod meter;
pub mod permission;
pub mod principal;
mod resolve;
pub mod rule;
mod seen;
mod standing;
pub mod watch;
