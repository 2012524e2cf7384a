//! What is done to everybody: putting a module's data where none is, bringing what is there to the
//! version in use, giving its permission to connections (*backfill*); and looking, without a change,
//! whether everybody's data would fit a version (*check*).
//!
//! A job goes through all people in the order of their ids, a page at a time (`step`), and writes
//! down how far it has come. Each person is a unit of their own, which does nothing that was done
//! before: so a job can be stopped at any moment, killed, taken up by another node, or even worked
//! on by two, and every person has one entry in the trail or none.

mod actions;
mod commands;
mod http;
mod person;
mod record;
mod step;
mod survey;
mod view;

pub use actions::{WRITING, WorkOnJob};
pub use commands::{Wanted, start};
pub use http::{Paper, routes};
pub use person::current;
pub use record::{Job, JobKind, JobStatus};
pub use step::{Shift, Step, claim, step};
pub use survey::Survey;
pub use view::{JobView, SampleView};
