//! Apps and operators: who may use Purser at all.
//!
//! An *app* is an external product. Its `trust` says whether it may vouch for people, `permissions`
//! is the ceiling of what its connections may hold, `roles` is what its users may be. *App keys* act
//! for the app; several may be in use at once, and each can be revoked by itself. An *operator* is
//! an admin or auditor of Purser; its key expires after 90 days at most.
//!
//! To add a setting of an app: `model::App`, the validator, the types in `wire`.

mod actions;
mod commands;
mod http;
mod model;
mod operators;
mod queries;
mod view;
mod wire;

pub use actions::{IssueAppKey, ReadApps, RegisterApp, WRITING};
pub use commands::{LimitsChange, NewApp, NewKey, issue_key, register};
pub use http::{Paper, routes};
pub use model::{App, AppKey, Issuance, Role, Trust};
pub use operators::{
    CreateOperator, ListOperators, NewOperator, Operator, OperatorRole, Paper as OperatorPaper,
    RevokeOperator, WRITING as OPERATOR_WRITING, create as create_operator,
    list_all as list_operators, revoke as revoke_operator, routes as operator_routes,
};
pub use queries::find;
pub use wire::{LimitsBody, LimitsPatch, new_app};
