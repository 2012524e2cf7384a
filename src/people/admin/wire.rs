//! What `/v1/admin/users` accepts.

use serde::Deserialize;
use utoipa::ToSchema;

use super::queries::Search;
use crate::crypto::password;
use crate::http::checks::Checks;
use crate::http::json::Patch;
use crate::http::query::Parameters;
use crate::kernel::email::Email;
use crate::kernel::fault::Fault;
use crate::kernel::ids::AccountNumber;
use crate::kernel::phone::Phone;
use crate::kernel::secret::Secret;
use crate::kernel::text;

/// Why. `{}` where there is nothing to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// 1 to 500 characters; admins see it, apps do not.
    #[schema(min_length = 1, max_length = 500, example = "Ticket 4711: reported as stolen")]
    reason: Option<String>,
}

/// The address that identifies the person from now on; `null` removes it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailBody {
    #[schema(value_type = Option<String>, required = true, example = "new@example.com")]
    #[serde(default)]
    email: Patch<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// 8 to 128 characters. The person must change it at the next sign-in.
    #[schema(
        format = "password",
        min_length = 8,
        max_length = 128,
        example = "correct horse battery staple"
    )]
    password: String,
}

const REASON_CHARACTERS_MAX: usize = 500;
const USERNAME_CHARACTERS_MAX: usize = 100;

pub fn reason(body: &ReasonBody) -> Result<Option<String>, Fault> {
    let mut checks = Checks::default();
    let line = |text: &str| text::line(text, REASON_CHARACTERS_MAX);
    let reason = body.reason.as_ref().map(|text| checks.parsed("/reason", text, line));
    checks.or(reason)
}

pub fn email(body: EmailBody) -> Result<Option<Email>, Fault> {
    let refuse = |accepted| Fault::invalid("/email", "not_accepted", accepted);
    match body.email {
        Patch::Keep => Err(Fault::invalid("/email", "required", "an e-mail address, or null")),
        Patch::Clear => Ok(None),
        Patch::Set(text) => Email::parse(&text).map(Some).map_err(refuse),
    }
}

pub fn password(body: &PasswordBody) -> Result<Secret<String>, Fault> {
    let refuse = |accepted| Fault::invalid("/password", "not_accepted", accepted);
    password::check_policy(&body.password).map_err(refuse)
}

/// One way of looking at a time, with a status or without.
pub fn search(query: &Parameters) -> Result<(Search, Option<&'static str>), Fault> {
    let ways = ["email", "phone", "username", "account_number", "id"];
    query.only(&[&ways[..], &["status", "limit", "cursor"]].concat())?;
    let status = "`active`, `inactive`, `suspended`, `merged` or `erased`";
    let status = query.parsed("status", status, |text| {
        let known = ["active", "inactive", "suspended", "merged", "erased"];
        known.into_iter().find(|status| *status == text)
    })?;
    let phone = "an international number, its + sent as %2B";
    let number = "14 digits, of which the last two check the others";
    let asked = [
        query.parsed("email", "an e-mail address", |text| {
            Email::parse(text).ok().map(Search::Email)
        })?,
        query.parsed("phone", phone, |text| Phone::parse(text).ok().map(Search::Phone))?,
        query.parsed("username", "1 to 100 characters", |name| {
            text::line(name, USERNAME_CHARACTERS_MAX).ok().map(Search::Username)
        })?,
        query.parsed("account_number", number, |text| {
            AccountNumber::parse(text).map(Search::AccountNumber)
        })?,
        query.parsed("id", "24 hexadecimal digits", |text| text.parse().ok().map(Search::Id))?,
    ];
    let mut asked = asked.into_iter().flatten();
    let search = asked.next().unwrap_or(Search::All);
    if asked.next().is_some() {
        let accepted = format!("one of {} at a time", ways.join(", "));
        return Err(Fault::invalid("query", "not_accepted", accepted));
    }
    Ok((search, status))
}
