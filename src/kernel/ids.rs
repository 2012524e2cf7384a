//! Typed ids, and the names that apps, modules and roles carry.

use std::fmt;
use std::str::FromStr;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use super::chance::Chance;
use super::time::Timestamp;

macro_rules! object_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub ObjectId);

        impl $name {
            pub fn new(chance: &Chance, now: Timestamp) -> Self {
                Self(chance.object_id(now))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.to_hex())
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                ObjectId::parse_str(text).map(Self).map_err(|_| NotAnId)
            }
        }
    )*};
}

object_ids! {
    /// One person's record.
    UserId,
    /// The tie between one user and one app.
    ConnectionId,
    /// One line of the trail.
    EntryId,
    /// An admin or auditor of Purser.
    OperatorId,
    /// The legal entity a user acts for.
    CustomerId,
    /// A proven e-mail address or phone number.
    IdentityId,
    /// A request to connect a person that waits.
    RegistrationId,
    /// An entry of the module registry.
    ModuleId,
    /// Something that Purser does for long, to many people.
    JobId,
    /// One line of the wallet ledger. A hold carries the id of its entry.
    LedgerId,
    /// Credits that arrived together.
    LotId,
}

/// The text is not 24 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 24 hexadecimal digits")
    }
}

impl std::error::Error for NotAnId {}

/// Name of an app, a module or a role: `[a-z0-9_]{3,64}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

/// What a caller is told about a name that is none.
pub const NAME_RULE: &str = "3 to 64 characters of a-z, 0-9 and _";

impl Name {
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (3..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An app's id, chosen by the admin who registers it: `external_app_001`.
pub type AppId = Name;

/// Twelve random digits and two check digits (ISO 7064 MOD 97-10). Never reused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountNumber(String);

impl AccountNumber {
    pub fn random(chance: &Chance) -> Self {
        Self::from_body(chance.below(1_000_000_000_000))
    }

    fn from_body(body: u64) -> Self {
        let check = 98 - (body * 100) % 97;
        Self(format!("{body:012}{check:02}"))
    }

    /// The number as typed by a person, with spaces or hyphens; `None` when a digit is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = digits.parse::<u64>().ok()?;
        (number % 97 == 1).then_some(Self(digits))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_lower_case_and_of_bounded_length() {
        assert!(Name::parse("external_app_001").is_some());
        for wrong in ["ab", "Shop", "a b c", "a.b.c", "$where", "", &"x".repeat(65)] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_id_is_24_hexadecimal_digits_and_nothing_else() {
        assert!("0123456789abcdef01234567".parse::<UserId>().is_ok());
        assert!("0123456789abcdef0123456".parse::<UserId>().is_err());
        assert!("zzzz56789abcdef012345678".parse::<UserId>().is_err());
    }

    proptest! {
        #[test]
        fn one_wrong_digit_is_always_noticed(body in 0u64..1_000_000_000_000, at in 0usize..14, by in 1u8..10) {
            let number = AccountNumber::from_body(body);
            prop_assert_eq!(AccountNumber::parse(number.as_str()), Some(number.clone()));
            let mut digits = number.as_str().as_bytes().to_vec();
            digits[at] = b'0' + (digits[at] - b'0' + by) % 10;
            let typo = String::from_utf8(digits).expect("digits");
            prop_assert_eq!(AccountNumber::parse(&typo), None);
        }
    }
}
