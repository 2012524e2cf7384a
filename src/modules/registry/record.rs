//! `user_modules`: one line for each module, with the field names of the source document.

use bson::{Bson, Document};
use serde::{Deserialize, Serialize};

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{ModuleId, Name};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root};

/// Modules that are registered, and versions that one of them has had: all are kept in memory.
pub const MODULES_MAX: usize = 200;
pub const VERSIONS_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    #[serde(rename = "_id")]
    pub id: ModuleId,
    pub module_name: Name,
    pub display_name: String,
    pub description: String,
    pub status: Status,
    /// The version that new data is of.
    pub version: String,
    /// Its schema, as it was written.
    pub schema: Document,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub permission: String,
    pub defaults: Document,
    #[serde(default)]
    pub required_kyc_level: i64,
    /// Since when it is no longer recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated_at: Option<Timestamp>,
    /// Of a registered module: all of them, in their order, and none of them ever changes. Of a
    /// built-in one: those before this one.
    pub versions: Vec<Published>,
    #[serde(default, skip_serializing)]
    pub revision: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not shown to any app yet.
    Draft,
    Active,
    /// Hidden from every app; what is stored stays.
    Inactive,
    /// As active, and every answer says that it is on its way out.
    Deprecated,
    /// Its name is kept, so that its history goes on where it is registered again.
    Deleted,
}

/// A version as it was published.
#[expect(clippy::struct_field_names, reason = "the name that is stored and shown")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// The version with `_` for dots: what tells the elements apart in the trail.
    #[serde(default)]
    pub id: String,
    pub version: String,
    pub schema: Document,
    #[serde(default)]
    pub defaults: Document,
    /// What makes data of the version before it fit.
    #[serde(default)]
    pub migration: Vec<Bson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
}

const BY_NAME: &[&str] = &["module_name"];

impl Record for Registered {
    const KIND: &'static Kind = &Kind {
        collection: "user_modules",
        root: Root::Own,
        subject: |it| it.get_str("module_name").ok().and_then(Name::parse).map(Subject::Module),
        place: |_| Some(String::new()),
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[BY_NAME],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.0)
    }
}

impl Registered {
    pub fn by_id(id: ModuleId) -> Key<Self> {
        Key::id(id.0)
    }

    pub fn by_name(name: &Name) -> Key<Self> {
        Key::fields(BY_NAME, vec![name.as_str().into()])
    }

    pub fn is_open(&self) -> bool {
        matches!(self.status, Status::Active | Status::Deprecated)
    }

    /// A line that there is, as far as anybody can tell.
    pub fn existing(found: Option<Self>) -> Result<Self, Fault> {
        let existing = found.filter(|line| line.status != Status::Deleted);
        existing.ok_or_else(|| Fault::of(Code::NotFound))
    }

    pub fn published(&self, version: &str) -> Option<&Published> {
        self.versions.iter().find(|published| published.version == version)
    }

    /// What is newest, whether or not it is in use.
    pub fn newest(&self) -> &str {
        self.versions.last().map_or(&self.version, |newest| &newest.version)
    }

    /// From now on, new data is of this version.
    #[must_use]
    pub fn with_active(mut self, version: &Published, now: Timestamp) -> Self {
        self.version.clone_from(&version.version);
        self.schema = version.schema.clone();
        self.defaults = version.defaults.clone();
        self.updated_at = now;
        self
    }
}

impl Published {
    pub fn id_of(version: &str) -> String {
        version.replace('.', "_")
    }
}
