//! `operators`: who administers Purser, and who reads its trail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::ids::OperatorId;
use crate::kernel::time::{self, DAY_MS, Timestamp};
use crate::store::{Key, Kind, Record, Root};

/// An operator key lives this long at most.
pub const DAYS_MAX: u16 = 90;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    #[serde(rename = "_id")]
    pub id: OperatorId,
    pub name: String,
    pub role: OperatorRole,
    /// Whether this operator may see personal values in the trail.
    pub auditor_pii: bool,
    pub status: OperatorStatus,
    pub key_id: String,
    pub key_mac: String,
    pub key_hint: String,
    pub key_created_at: Timestamp,
    #[serde(default)]
    pub key_last_used_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    /// Addresses and networks that the key may be used from; everywhere, where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_ips: Vec<String>,
    /// Admins who were taken away while this one remained. Written so that two who rely on each
    /// other collide, and only one of them goes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remained: i64,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing)]
    pub revision: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    Admin,
    Auditor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperatorStatus {
    Active,
    Revoked,
}

impl Record for Operator {
    const KIND: &'static Kind = &Kind {
        collection: "operators",
        root: Root::Own,
        subject: |it| it.get_object_id("_id").ok().map(|id| Subject::Operator(OperatorId(id))),
        place: |_| Some(String::new()),
        sensitivity: |path| match path {
            "key_mac" => Sensitivity::Secret,
            _ => Sensitivity::Plain,
        },
        volatile: |path| path == "key_last_used_at",
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Operator {
    pub fn by_id(id: OperatorId) -> Key<Self> {
        Key::id(id.0)
    }

    /// Whether it is an admin whose key works.
    pub fn administers(&self, now: Timestamp) -> bool {
        let active = self.status == OperatorStatus::Active && self.expires_at > now;
        active && self.role == OperatorRole::Admin
    }

    /// The end of the longest life that its key may have.
    pub fn latest_end(&self) -> Timestamp {
        time::plus(self.key_created_at, i64::from(DAYS_MAX) * DAY_MS)
    }
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, name, role, status, key_hint, expires_at, .. } = self;
        let pii = if self.auditor_pii { "sees personal values" } else { "" };
        let until = time::rfc3339(*expires_at);
        write!(f, "{id}  {role:?}  {status:?}  {key_hint}  until {until}  {name}  {pii}")
    }
}
