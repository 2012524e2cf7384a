//! HTTP: the only room where a fault meets a status code.
//!
//! A handler takes one [`call::Call`]: the grant, the body, the query and the preconditions of a
//! request, read in that order, so that nobody without a grant makes Purser read a body. It answers
//! an [`answer::Answer`] or a fault. The [`boundary`] wraps everything: it gives each request its
//! id, turns faults and actix's own errors into `application/problem+json`, and logs once.
//!
//! [`edge`] is what the boundary is configured with, [`peer`] finds out where a request comes from,
//! [`figures`] counts.
//!
//! Invariants: no body beyond 64 KiB or 8 levels is read, none is
//! waited for longer than its deadline; no key is accepted in a query string; an
//! error never repeats a value that a client has sent.

pub mod answer;
pub mod anybody;
pub mod boundary;
pub mod call;
pub mod checks;
pub mod client;
pub mod edge;
pub mod figures;
mod incoming;
pub mod json;
pub mod openapi;
pub mod peer;
pub mod pieces;
pub mod problem;
pub mod query;
mod quota;
pub mod streamed;
mod strict;
