//! The registry: which modules there are, what data in them looks like, and how that changes.
//!
//! A *line* (`record`) is one module, with a *status* and its *versions*; a version is a schema with
//! its defaults and, where it breaks what was before, a *migration*. Versions never change and come
//! in the order of their numbers; one of them is *active*: new data is of it, and older data is read
//! as if it were (`custom`). `schema` knows what a schema is and what breaks one; `catalogue` keeps
//! what is registered ready for use; `jobs` carry it to everybody.
//!
//! Invariants: whatever was valid in one version is valid in each later one, once it is read as such;
//! a registered module is used and changed by nobody who lacks its permission; built-in modules are
//! lines like all others, but change only with Purser itself.
//!
//! To add a kind of step to migrations: `schema::migration`, what it does to data and to a schema.

mod actions;
mod built_in;
mod catalogue;
mod commands;
mod custom;
mod file;
mod http;
pub mod jobs;
mod queries;
mod record;
mod rehearsal;
pub mod schema;
mod view;
mod wire;

pub use actions::{LoadModule, RegisterBuiltIn, WRITING};
pub use built_in::register;
pub use catalogue::{Catalogue, Open, Shelved};
pub use custom::Custom;
pub use file::{Loaded, ModuleFile, Prospect};
pub use http::{Paper, routes};
pub use jobs::current;
pub use queries::{find, list};
pub use record::{Registered, Status};
pub use view::{versions, view};
