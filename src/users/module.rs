//! What an embedded module is to the user record.

use std::sync::Arc;

use bson::Document;
use serde_json::Value;

use crate::kernel::time::Timestamp;
use crate::store::Snapshot;

/// A part of the user record at `modules.<name>`, built in or registered by an admin. The record only
/// gives it a place, and an app that holds `permission` a view of it.
pub trait Module: Send + Sync {
    fn name(&self) -> &str;
    /// What an app needs to see and use it: `<name>_access`.
    fn permission(&self) -> &str;
    /// How far a person must be verified for apps to see and use it.
    fn kyc_level(&self) -> i64 {
        0
    }
    /// The data of a person who has just been registered, if everybody starts with some.
    fn defaults(&self, now: Timestamp) -> Option<Document>;
    /// What an app with the permission sees of it, if there is something to see.
    fn view(&self, data: Option<&Document>) -> Option<Value>;
}

/// The modules that apps can use at one moment, in the order in which they are shown.
#[derive(Clone)]
pub struct Modules(Arc<[Arc<dyn Module>]>);

/// Makes them from the copy of the registry that a request is answered from.
pub type Shelf = Arc<dyn Fn(&Snapshot) -> Modules + Send + Sync>;

impl Modules {
    pub fn new(all: Vec<Arc<dyn Module>>) -> Self {
        Self(all.into())
    }

    pub fn iter(&self) -> impl Iterator<Item = &dyn Module> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// The names of the built-in modules. Nothing in their data is a person's own words but what ends in
/// `_reason`, so the trail shows it as it is; what apps keep in a registered module is sealed.
pub const BUILT_IN: &[&str] = &["wallet", "subscription", "referrals"];

/// Of a path below `modules.`.
pub(super) fn is_personal(path: &str) -> bool {
    let (name, field) = path.split_once('.').unwrap_or((path, ""));
    if BUILT_IN.contains(&name) {
        return field.ends_with("_reason");
    }
    !matches!(field, "enabled" | "_v")
}
