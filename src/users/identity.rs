//! `identities`: what identifies a person. Uniqueness lives in `_id`, so it survives sharding.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::email::Email;
use crate::kernel::ids::{AppId, IdentityId, Name, OperatorId, UserId};
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
    pub vouched_by: Voucher,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    Email,
    Phone,
}

/// Who says that the person can be reached there: stored as the app's id, or `operator:<id>`. A
/// name has no colon, so one cannot pass for the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Voucher {
    App(AppId),
    Operator(OperatorId),
}

const OPERATOR: &str = "operator:";

impl fmt::Display for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(app) => app.fmt(f),
            Self::Operator(operator) => write!(f, "{OPERATOR}{operator}"),
        }
    }
}

impl From<Voucher> for String {
    fn from(voucher: Voucher) -> Self {
        voucher.to_string()
    }
}

impl TryFrom<String> for Voucher {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let voucher = match text.strip_prefix(OPERATOR) {
            Some(operator) => operator.parse().ok().map(Self::Operator),
            None => Name::parse(&text).map(Self::App),
        };
        voucher.ok_or("neither an app nor an operator")
    }
}

/// An e-mail address or phone number in its stored form, whoever it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifier {
    pub kind: IdentityKind,
    pub value: String,
}

impl Identifier {
    pub fn email(email: &Email) -> Self {
        Self { kind: IdentityKind::Email, value: email.as_str().to_owned() }
    }

    pub fn phone(phone: &Phone) -> Self {
        Self { kind: IdentityKind::Phone, value: phone.as_str().to_owned() }
    }

    /// As `identities` names it.
    pub fn name(&self) -> String {
        match self.kind {
            IdentityKind::Email => format!("email:{}", self.value),
            IdentityKind::Phone => format!("phone:{}", self.value),
        }
    }

    pub fn key(&self) -> Key<Identity> {
        Key::id(self.name())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_reads_back_as_what_it_was_written_from() {
        for text in ["external_app_001", "operator:0123456789abcdef01234567"] {
            let voucher = Voucher::try_from(text.to_owned()).expect("a voucher");
            assert_eq!(String::from(voucher), text);
        }
        for text in ["", "operator:", "operator:shop", "user:0123456789abcdef01234567"] {
            assert!(Voucher::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
