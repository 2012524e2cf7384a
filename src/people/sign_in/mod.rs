//! Signing in: a first-party app asks whether a password is a person's own.
//!
//! Unknown people, people without a password, wrong passwords and too many attempts get one answer,
//! after the same reads and the same hashing. What a person or connection lacks besides is told
//! only to whoever has sent the right password. A person who is not connected yet is, where the app
//! has a registration waiting that claims the identifier they signed in with.
//!
//! Invariants: no more guesses than the budgets hold, however many at once; a hash is replaced only
//! by a stronger one of the same password.

mod actions;
mod command;
mod http;

pub use actions::WRITING;
pub use http::{Paper, routes};
