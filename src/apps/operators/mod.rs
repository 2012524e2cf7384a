//! Operators: admins and auditors of Purser. The command line makes the first, admins make others.
//!
//! An operator is one key with a role. The key is shown once and ends after 90 days at most; a new
//! key is a new operator. A revoked operator stays for its history and never comes back.
//!
//! Invariant: over HTTP the last admin whose key works keeps role and key.

mod actions;
mod commands;
mod http;
mod model;
mod queries;
mod view;
mod wire;

pub use actions::{CreateOperator, ListOperators, RevokeOperator, WRITING};
pub use commands::{NewOperator, create, revoke};
pub use http::{Paper, routes};
pub use model::{Operator, OperatorRole};
pub use queries::list_all;
