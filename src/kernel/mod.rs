//! Words: the values every other room speaks with. No I/O, no framework, nothing of ours below.
//!
//! Ids are typed, so a connection cannot be passed where a user is meant. Time and chance are
//! values that `app` makes once and hands down: with a fixed clock and a seeded chance the whole
//! service is repeatable. A [`fault::Fault`] is the only error that crosses rooms; its codes are
//! one table.
//!
//! To add a word: one small file with a type that can only be made valid, and its tests.

pub mod chance;
pub mod credits;
pub mod email;
pub mod fault;
pub mod free;
pub mod ids;
pub mod page;
pub mod phone;
pub mod quota;
pub mod secret;
pub mod text;
pub mod time;
