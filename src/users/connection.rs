//! `user_apps`: the tie between one user and one app, with what the app keeps of the person.

use bson::Document;
use serde::{Deserialize, Serialize};

use crate::access::key::StoredKey;
use crate::access::limits::RateLimits;
use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::ids::{AppId, ConnectionId, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, Record, Root};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    #[serde(rename = "_id")]
    pub id: ConnectionId,
    pub user_id: UserId,
    pub app_id: AppId,
    pub app_name: String,
    pub app_version: Option<String>,
    pub app_username: Option<String>,
    pub app_display_name: Option<String>,
    pub app_profile: AppProfile,
    pub connection_status: ConnectionStatus,
    pub permissions: Vec<String>,
    pub roles: Vec<String>,
    /// Ciphertext of the connection key, to reveal it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// What the key is recognised by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_mac: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_last_used_at: Option<Timestamp>,
    /// From then on the key is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expires_at: Option<Timestamp>,
    /// The last time that the key was shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_revealed_at: Option<Timestamp>,
    /// The app's `connection_key_epoch` when the key was made: keys of an earlier one are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_epoch: Option<i64>,
    /// The key before this one, while it still counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_key: Option<PreviousKey>,
    /// Addresses and networks that the key may be used from; everywhere, where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_ips: Vec<String>,
    pub sync_frequency: SyncFrequency,
    pub connected_at: Timestamp,
    #[serde(default)]
    pub last_sync: Option<Timestamp>,
    pub sync_settings: SyncSettings,
    pub rate_limits: RateLimits,
    /// Since when the app has let go; the data is kept for 30 days from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive_at: Option<Timestamp>,
}

/// A key that was replaced and is still accepted until `expires_at`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousKey {
    pub key_id: String,
    pub key_mac: String,
    pub key_hint: String,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionStatus {
    Active,
    /// The app let go.
    Inactive,
    Suspended,
    /// The person cut it.
    Revoked,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AppProfile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Document>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_fields: Option<Document>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncFrequency {
    #[default]
    Realtime,
    Batch,
    Manual,
}

impl SyncFrequency {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Batch => "batch",
            Self::Manual => "manual",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSettings {
    pub wallet_updates: bool,
    pub profile_updates: bool,
    pub transaction_history: bool,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self { wallet_updates: true, profile_updates: true, transaction_history: true }
    }
}

const BY_TIE: &[&str] = &["user_id", "app_id"];

impl Record for Connection {
    const KIND: &'static Kind = &Kind {
        collection: "user_apps",
        root: Root::Of { collection: "users", field: "user_id" },
        subject: |tie| tie.get_object_id("user_id").ok().map(|id| Subject::User(UserId(id))),
        place: |tie| tie.get_str("app_id").ok().map(|app| format!("apps.{app}")),
        sensitivity: |path| match path {
            "api_key" | "key_mac" | "previous_key.key_mac" => Sensitivity::Secret,
            "app_username" | "app_display_name" => Sensitivity::Personal,
            _ if path == "app_profile" || path.starts_with("app_profile.") => Sensitivity::Personal,
            _ => Sensitivity::Plain,
        },
        volatile: |path| matches!(path, "key_last_used_at" | "last_sync"),
        alternates: &[BY_TIE],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Connection {
    pub const COLLECTION: &'static str = Self::KIND.collection;

    pub fn by_id(id: ConnectionId) -> Key<Self> {
        Key::id(id.0)
    }

    /// The key in use from now on; the one before is no longer recognised. `epoch` is the app's
    /// `connection_key_epoch`.
    pub fn set_key(&mut self, key: StoredKey, now: Timestamp, epoch: Option<i64>) {
        self.api_key = Some(key.sealed);
        self.key_id = Some(key.id);
        self.key_mac = Some(key.mac);
        self.key_hint = Some(key.hint);
        self.key_created_at = Some(now);
        self.key_epoch = epoch;
        self.key_last_used_at = None;
        self.key_expires_at = None;
        self.key_revealed_at = None;
        self.previous_key = None;
    }

    pub fn drop_key(&mut self) {
        self.api_key = None;
        self.key_id = None;
        self.key_mac = None;
        self.key_hint = None;
        self.key_created_at = None;
        self.key_epoch = None;
        self.key_last_used_at = None;
        self.key_expires_at = None;
        self.key_revealed_at = None;
        self.previous_key = None;
    }

    /// The person cuts the tie: what the app kept of them goes, and so does the key.
    pub fn cut(&mut self) {
        self.connection_status = ConnectionStatus::Revoked;
        self.inactive_at = None;
        self.app_username = None;
        self.app_display_name = None;
        self.app_version = None;
        self.app_profile = AppProfile::default();
        self.roles = Vec::new();
        self.sync_frequency = SyncFrequency::default();
        self.sync_settings = SyncSettings::default();
        self.drop_key();
    }

    pub fn between(user: UserId, app: &AppId) -> Key<Self> {
        Key::fields(BY_TIE, vec![user.0.into(), app.as_str().into()])
    }
}
