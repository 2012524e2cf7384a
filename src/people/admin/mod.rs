//! People as admins look after them: look-up, one person's page, suspension, address and password.
//!
//! An admin sees what all apps share of a person, what identifies them and where they are connected,
//! and never what one app keeps of them, a password or a key. Every change is one entry of the
//! person's trail; what comes to no change leaves none. A person who is merged or erased is not
//! changed any more.
//!
//! To add a change: an action, a command (through `commands::revise`), a handler.

mod actions;
mod commands;
mod http;
mod queries;
mod view;
mod wire;

pub use actions::WRITING;
pub use http::{Paper, routes};
pub use view::whole;
