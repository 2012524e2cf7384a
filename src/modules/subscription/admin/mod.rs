//! `/v1/admin/plans`: what is on sale.
//!
//! A plan is changed for those who start or change to it later; who has it keeps it as it was. So its
//! price can be raised without a message to anybody, and its period, which bills are counted by, never
//! changes under a running subscription. A plan that nobody is to have any more is *retired*.

mod commands;
mod http;
mod wire;

pub use commands::create;
pub use http::{Paper, routes};
pub use wire::new_plan;
