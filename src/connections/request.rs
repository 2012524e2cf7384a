//! A request to register a person: what an app claims, and what it asks for.
//!
//! *Vouched* for are the identifiers that a first-party app lists in `verified`; others are only
//! *claimed*, and wait. A phone number beside an e-mail address is contact data unless the app
//! vouches for it, so a claim is always of one identifier.

use serde::{Deserialize, Serialize};

use super::change::{ConnectionChange, PreferencesChange, ProfileChange};
use super::wire::Verified;
use crate::apps::{App, Trust};
use crate::http::checks::Checks;
use crate::http::json::Patch;
use crate::kernel::email::Email;
use crate::kernel::fault::Fault;
use crate::kernel::ids::Name;
use crate::kernel::phone::Phone;
use crate::kernel::secret::Secret;
use crate::users::Identifier;

/// A checked request as it was sent.
pub struct Person {
    pub request: Request,
    pub password: Option<Secret<String>>,
    pub standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Vouched,
    Claimed,
}

/// What is kept of it while it waits, sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub identifiers: Vec<Identifier>,
    pub username: Option<String>,
    /// Its hash.
    pub password: Option<String>,
    pub profile: ProfileChange,
    pub preferences: PreferencesChange,
    pub connection: ConnectionChange,
    /// `None`: the app's defaults.
    pub permissions: Option<Vec<String>>,
    pub roles: Option<Vec<Name>>,
}

impl Person {
    /// What only a first-party app may send.
    pub fn suits(&self, app: &App) -> Result<(), Fault> {
        suits(self.standing, self.password.is_some(), app)
    }
}

pub fn suits(standing: Standing, with_password: bool, app: &App) -> Result<(), Fault> {
    if app.trust == Trust::FirstParty {
        return Ok(());
    }
    let mut checks = Checks::default();
    if standing == Standing::Vouched {
        let accepted = "only a first-party app vouches for people: leave `verified` out, and the \
                        registration waits for an admin";
        checks.add("/verified", "not_first_party", accepted);
    }
    if with_password {
        let accepted = "only a first-party app sends passwords: leave `password` out";
        checks.add("/password", "not_first_party", accepted);
    }
    checks.or(())
}

/// The identifiers of a request. `phone` is the profile's, already in its stored form.
pub fn identifiers(
    checks: &mut Checks,
    email: Option<&str>,
    phone: &Patch<String>,
    verified: &[Verified],
) -> (Vec<Identifier>, Standing) {
    let standing = if verified.is_empty() { Standing::Claimed } else { Standing::Vouched };
    let identifiers = match standing {
        Standing::Vouched => vouched(checks, email, phone, verified),
        Standing::Claimed => claimed(checks, email, phone),
    };
    (identifiers, standing)
}

fn vouched(
    checks: &mut Checks,
    email: Option<&str>,
    phone: &Patch<String>,
    verified: &[Verified],
) -> Vec<Identifier> {
    let missing = "listed in `verified`, so it must be there";
    let email = match (email, verified.contains(&Verified::Email)) {
        (Some(email), true) => checked_email(checks, email),
        (Some(_), false) => {
            let accepted = "list `email` in `verified`, or leave `email` out";
            checks.add("/verified", "not_vouched", accepted);
            None
        }
        (None, true) => {
            checks.add("/email", "required", missing);
            None
        }
        (None, false) => None,
    };
    let by_phone = verified.contains(&Verified::Phone);
    if by_phone && !is_sent(phone) {
        checks.add("/profile/phone", "required", missing);
    }
    email.into_iter().chain(number(phone).filter(|_| by_phone)).collect()
}

fn claimed(checks: &mut Checks, email: Option<&str>, phone: &Patch<String>) -> Vec<Identifier> {
    let claim = match email {
        Some(email) => checked_email(checks, email),
        None => number(phone),
    };
    if email.is_none() && !is_sent(phone) {
        checks.add("/email", "required", "an e-mail address, or a phone number in `profile.phone`");
    }
    claim.into_iter().collect()
}

fn checked_email(checks: &mut Checks, email: &str) -> Option<Identifier> {
    let parsed = Email::parse(email);
    let parsed = parsed.map_err(|accepted| checks.add("/email", "not_accepted", accepted));
    parsed.ok().map(|email| Identifier::email(&email))
}

/// What is no number has been told already.
fn number(phone: &Patch<String>) -> Option<Identifier> {
    let Patch::Set(phone) = phone else { return None };
    Phone::parse(phone).ok().map(|phone| Identifier::phone(&phone))
}

fn is_sent(phone: &Patch<String>) -> bool {
    matches!(phone, Patch::Set(_))
}
