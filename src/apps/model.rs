//! `apps`: external applications and their keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::key::StoredKey;
use crate::access::limits::RateLimits;
use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, Name};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, Record, Root};

/// Keys that one app may have. One that is no longer in use is shown until its place is needed;
/// its history stays in the trail.
pub const KEYS_MAX: usize = 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    #[serde(rename = "_id")]
    pub id: AppId,
    pub name: String,
    pub description: String,
    pub status: AppStatus,
    pub trust: Trust,
    /// The ceiling: what its connections may hold at most.
    pub permissions: Vec<String>,
    pub default_permissions: Vec<String>,
    /// What of the shared part it sees; `None` is all of it.
    pub visible_fields: Option<Vec<String>>,
    pub may_issue: Issuance,
    pub roles: Vec<Role>,
    /// What each of its connections starts with.
    pub rate_limits: RateLimits,
    /// What the app may ask in all, through all its keys.
    #[serde(default = "RateLimits::of_an_app")]
    pub total_rate_limits: RateLimits,
    /// Addresses and networks that its app keys may be used from; everywhere, where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_ips: Vec<String>,
    /// Whether its connection keys may be revealed again.
    #[serde(default)]
    pub reveal_keys: bool,
    pub keys: Vec<AppKey>,
    /// Raised to end every connection key at once: a key counts only in the epoch it was made in.
    /// A number and not a time, because nodes' clocks differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_key_epoch: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_keys_revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing)]
    pub revision: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppStatus {
    Active,
    Suspended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    FirstParty,
    ThirdParty,
}

impl Trust {
    /// A stranger's app sees what cannot hurt unless an admin says more.
    pub fn visible_by_default(self) -> Option<Vec<String>> {
        let shown = ["username", "profile.language", "profile.timezone"].map(str::to_owned);
        (self == Self::ThirdParty).then(|| shown.to_vec())
    }
}

/// Which credits the app may create, and how many a day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuance {
    pub categories: Vec<String>,
    pub per_day: i64,
}

/// What a user may be inside the app; the app gives it its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub name: Name,
    pub permissions: Vec<String>,
    pub default: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppKey {
    pub id: String,
    pub mac: String,
    pub sealed: String,
    pub hint: String,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

impl AppKey {
    pub fn new(key: StoredKey, now: Timestamp, expires_at: Option<Timestamp>) -> Self {
        let StoredKey { sealed, id, mac, hint } = key;
        Self {
            id,
            mac,
            sealed,
            hint,
            created_at: now,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        }
    }

    pub fn in_use(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

impl Record for App {
    const KIND: &'static Kind = &Kind {
        collection: "apps",
        root: Root::Own,
        subject: |app| app.get_str("_id").ok().and_then(Name::parse).map(Subject::App),
        place: |_| Some(String::new()),
        // `keys.<id>.mac`, or `keys.mac` where the array changes as a whole.
        sensitivity: |path| match path.rsplit('.').next() {
            Some("mac" | "sealed") if path.starts_with("keys.") => Sensitivity::Secret,
            _ => Sensitivity::Plain,
        },
        volatile: |path| path.starts_with("keys.") && path.ends_with(".last_used_at"),
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(&self.id)
    }
}

impl App {
    pub fn by_id(id: &AppId) -> Key<Self> {
        Key::id(id.as_str())
    }

    /// Whether the app sees this path of the shared part: what it does not see it does not change.
    pub fn sees(&self, path: &str) -> bool {
        let covers = |field: &String| path == field || path.starts_with(&format!("{field}."));
        self.visible_fields.as_ref().is_none_or(|fields| fields.iter().any(covers))
    }

    /// Room for one more key: where there is none, the oldest that is no longer in use goes.
    pub fn make_room_for_a_key(&mut self, now: Timestamp) -> Result<(), Fault> {
        if self.keys.len() < KEYS_MAX {
            return Ok(());
        }
        let Some(ended) = self.keys.iter().position(|key| !key.in_use(now)) else {
            let detail = format!("An app has at most {KEYS_MAX} keys in use: revoke one first.");
            return Err(Fault::new(Code::AlreadyExists, detail));
        };
        self.keys.remove(ended);
        Ok(())
    }

    /// Ends every connection key that the app has been given until now.
    pub fn revoke_connection_keys(&mut self, now: Timestamp) {
        self.connection_key_epoch = Some(self.connection_key_epoch.unwrap_or(0) + 1);
        self.connection_keys_revoked_at = Some(now);
    }

    /// For each of the named roles that the app has.
    pub fn role(&self, name: &Name) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == *name)
    }

    pub fn default_roles(&self) -> Vec<String> {
        self.roles.iter().filter(|role| role.default).map(|role| role.name.to_string()).collect()
    }
}
