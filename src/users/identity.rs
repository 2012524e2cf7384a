//! `identities`: what identifies a person. Uniqueness lives in `_id`, so it survives sharding.

use serde::{Deserialize, Serialize};

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::email::Email;
use crate::kernel::ids::{AppId, IdentityId, UserId};
use crate::kernel::phone::Phone;
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `email:…` or `phone:…`
    #[serde(rename = "_id")]
    pub name: String,
    /// Its name in the trail, where the address itself must not stand in a path.
    pub id: IdentityId,
    pub user_id: UserId,
    pub kind: IdentityKind,
    pub value: String,
    pub vouched_by: AppId,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    Email,
    Phone,
}

impl Record for Identity {
    const KIND: &'static Kind = &Kind {
        collection: "identities",
        root: Root::Of { collection: "users", field: "user_id" },
        subject: |identity| {
            identity.get_object_id("user_id").ok().map(|id| Subject::User(UserId(id)))
        },
        place: |identity| {
            identity.get_object_id("id").ok().map(|id| format!("identities.{}", id.to_hex()))
        },
        sensitivity: |path| match path {
            "_id" | "value" => Sensitivity::Personal,
            _ => Sensitivity::Plain,
        },
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.name.as_str())
    }
}

impl Identity {
    pub fn of_email(email: &Email) -> Key<Self> {
        Key::id(email.identity())
    }

    pub fn of_phone(phone: &Phone) -> Key<Self> {
        Key::id(phone.identity())
    }
}
