//! What an embedded module is to the user record.

use std::collections::HashMap;
use std::sync::Arc;

use bson::Document;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{AppId, UserId};
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

/// What was booked with one entry of a person's trail, and how much of it may be shown.
#[derive(Debug, Clone)]
pub struct Booking {
    pub user: UserId,
    /// The number of that entry among the person's.
    pub trail_seq: i64,
    pub at: Timestamp,
    /// Whether lines of other apps are shown.
    pub sees_others: bool,
}

/// A module's ledger for whoever does not know the module: by person and number of the entry, the lines
/// as they are shown to an app.
pub type Lines = Arc<
    dyn Fn(Pass, AppId, Vec<Booking>) -> BoxFuture<'static, Result<Booked, Fault>> + Send + Sync,
>;

pub type Booked = HashMap<(UserId, i64), Vec<Value>>;

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
