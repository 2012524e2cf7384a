//! The composition root: what is made once and handed down, and the command line.
//!
//! [`build`] puts a Purser together from a configuration, a clock and a chance; `main` and the tests
//! share it. `listen` opens the sockets, `metrics` serves what the rooms count. `routes` is one page that mounts every slice. `workers` is what runs beside the
//! requests. `commands` is the command line.

mod audit;
pub mod bench;
pub mod build;
pub mod bulk;
mod commands;
mod docs;
mod export;
mod health;
mod keys;
mod listen;
mod metrics;
mod modules;
pub mod papers;
mod progress;
mod routes;
mod sealing;
pub mod seed;
mod snapshots;
mod telemetry;
mod workers;

pub use commands::run;
