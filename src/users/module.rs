//! What an embedded module is to the user record.

use bson::Document;
use serde_json::Value;

use crate::kernel::time::Timestamp;

/// A part of the user record at `modules.<name>`. Its state changes only through operations of its
/// own; the record itself only gives it a place, and an app that holds `permission` a view of it.
pub trait Module: Send + Sync {
    fn name(&self) -> &'static str;
    /// What an app needs to see and use it: `<name>_access`.
    fn permission(&self) -> &'static str;
    /// Its description, schema and defaults, as `schemas/modules/<name>.json` has them.
    fn schema(&self) -> &'static str;
    /// The data of a person who has just been registered.
    fn defaults(&self, now: Timestamp) -> Document;
    /// What an app with the permission sees of it.
    fn view(&self, data: &Document) -> Value;
}

/// The modules of this process, in the order in which they are shown.
pub type Modules = &'static [&'static dyn Module];
