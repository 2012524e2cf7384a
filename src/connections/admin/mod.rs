//! Ties as admins look after them: who is connected where, with which permissions, roles and limits.
//!
//! What an app keeps of a person stands in the same record and is shown to nobody but that app:
//! `view` leaves it out, names and versions included. An admin *suspends* a connection and makes it
//! active again, or *revokes* it on the person's behalf; what the app has let go, and what is
//! revoked, no admin brings back.
//!
//! To add a setting: `change` (what it does), `wire` (what is accepted), `view`.

mod actions;
mod change;
mod commands;
mod http;
mod queries;
mod view;
mod wire;

pub use actions::WRITING;
pub use http::{Paper, routes};
pub use view::{TieView, tie};
