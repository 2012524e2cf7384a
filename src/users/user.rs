//! `users`: one record per person. Field names and places are those of the source document.

use bson::Document;
use serde::{Deserialize, Serialize};

use super::module::is_personal;
use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AccountNumber, CustomerId, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    #[serde(rename = "_id")]
    pub id: UserId,
    /// Only once proven or vouched for, and then also in `identities`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub username: Option<String>,
    /// An Argon2id PHC string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// An admin has set the password: the person must choose another at the next sign-in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub password_must_change: bool,
    pub status: UserStatus,
    /// Why an admin has set the status; shown to admins only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    pub created_at: Timestamp,
    /// Moves with the shared part only.
    pub updated_at: Timestamp,
    pub profile: Profile,
    pub preferences: Preferences,
    pub modules: Document,
    pub audit: Audit,
    /// How far the person is verified.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kyc_level: i64,
    pub customer_id: CustomerId,
    pub account_number: AccountNumber,
    /// The last time that an admin was given everything that is kept of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_at: Option<Timestamp>,
    #[serde(default, skip_serializing)]
    pub revision: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    Active,
    Inactive,
    Suspended,
    Merged,
    Erased,
}

/// A contact value here is contact data; what identifies a person stands in `identities`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferences {
    pub notifications: Notifications,
    pub privacy: Privacy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifications {
    pub email: bool,
    pub sms: bool,
    pub push: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    pub profile_visible: bool,
    pub activity_visible: bool,
}

/// The source document's sample: mail and push are welcome, text messages are not.
impl Default for Notifications {
    fn default() -> Self {
        Self { email: true, sms: false, push: true }
    }
}

impl Default for Privacy {
    fn default() -> Self {
        Self { profile_visible: true, activity_visible: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub last_login: Option<Timestamp>,
    pub login_count: i64,
    pub password_changed_at: Option<Timestamp>,
    pub profile_updated_at: Option<Timestamp>,
}

impl Record for User {
    const KIND: &'static Kind = &Kind {
        collection: "users",
        root: Root::Own,
        subject: |user| user.get_object_id("_id").ok().map(|id| Subject::User(UserId(id))),
        place: |_| Some(String::new()),
        sensitivity: |path| match path {
            "password" => Sensitivity::Secret,
            "email" | "username" | "status_reason" => Sensitivity::Personal,
            _ if path == "profile" || path.starts_with("profile.") => Sensitivity::Personal,
            _ => match path.strip_prefix("modules.") {
                Some(inside) if is_personal(inside) => Sensitivity::Personal,
                _ => Sensitivity::Plain,
            },
        },
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_zero(level: &i64) -> bool {
    *level == 0
}

impl User {
    /// The same codes as at the door, for a person who is found there by other means.
    pub fn usable(&self) -> Result<(), Fault> {
        match self.status {
            UserStatus::Active => Ok(()),
            UserStatus::Suspended => Err(Fault::of(Code::UserSuspended)),
            UserStatus::Inactive => Err(Fault::of(Code::UserInactive)),
            UserStatus::Merged | UserStatus::Erased => Err(Fault::of(Code::NotFound)),
        }
    }

    pub fn by_id(id: UserId) -> Key<Self> {
        Key::id(id.0)
    }
}
