//! People as apps see them: registration, the view, the app's own side of the tie.
//!
//! *Registering* connects a person to the calling app: a person who is new gets a record, one who
//! is known only a connection. Which of the two it was does not show. What an app does not vouch for
//! waits (`waiting`). The *view* is one function of what the connection permits and what the app may
//! see (`view`); whatever shows a person to an app uses it.
//!
//! Invariants: an identifier belongs to one person; an app never learns of another app; nothing of
//! a known person but the connection is taken from a registration.
//!
//! A connection's *key* is replaced with an overlap in which the old one still counts (`keys`); its
//! *roles* say what the person may do inside the app (`roles`).
//!
//! To add a field that apps may change: `change` (what it does), `wire` (what is accepted), `view`.

mod actions;
mod admin;
mod change;
mod commands;
mod connect;
mod http;
mod keys;
mod queries;
mod registration;
mod request;
mod roles;
mod shape;
mod shown;
mod view;
mod waiting;
mod wire;

pub use actions::{FindUsers, LetGo, ReadUser, RegisterUser, UpdateUser, WRITING};
pub use admin::{
    Paper as AdminPaper, TieView, WRITING as ADMIN_WRITING, routes as admin_routes, tie,
};
pub use change::{ConnectionChange, PreferencesChange, ProfileChange, UserChange};
pub use commands::{Desk, let_go, update_user};
pub use connect::{Materials, Tied};
pub use http::{Paper, routes};
pub use queries::people;
pub use registration::{Outcome, register};
pub use request::Person;
pub use shown::Shown;
pub use view::{View, etag, view};
pub use waiting::{
    Paper as WaitingPaper, Registration, WRITING as WAITING_WRITING, activate,
    routes as waiting_routes,
};
pub use wire::{RegisterBody, person};
