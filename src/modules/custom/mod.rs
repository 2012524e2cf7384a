//! What apps keep of people in registered modules, and which modules an app can use at all.
//!
//! Data is read as data of the version in use and changed by merge patches; whether a module is
//! *enabled* for one person is an admin's to say. Whoever lacks a module's permission cannot tell that
//! there is one. Built-in modules are shown here too, and changed by their own operations only.
//!
//! Invariant: what is written is valid in the version that the transaction has found in use.

mod actions;
mod commands;
mod http;
mod view;

use bson::Document;
use serde::{Deserialize, Serialize};

use crate::kernel::ids::UserId;
use crate::store::{Key, Kind, Record};
use crate::users::{User, UserStatus};

pub use actions::WRITING;
pub use http::{Paper, admin_routes, routes};

/// The part of the user record that this slice changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    #[serde(rename = "_id")]
    id: UserId,
    pub status: UserStatus,
    pub modules: Document,
}

impl Record for Holder {
    const KIND: &'static Kind = User::KIND;

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Holder {
    pub fn by_id(id: UserId) -> Key<Self> {
        Key::id(id.0)
    }
}
