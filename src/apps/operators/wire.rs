//! What `/v1/admin/operators` accepts.

use serde::Deserialize;
use utoipa::ToSchema;

use super::commands::{NewOperator, OperatorChange};
use super::model::{DAYS_MAX, OperatorRole};
use crate::http::checks::Checks;
use crate::http::json::Patch;
use crate::kernel::fault::Fault;
use crate::kernel::text;
use crate::kernel::time::parse_rfc3339;

/// An operator to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorBody {
    /// Who it is: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, example = "Ada, on call")]
    name: String,
    role: OperatorRole,
    /// Whether it sees personal values in the trail.
    #[serde(default)]
    auditor_pii: bool,
    /// How long the key lives: 1 to 90 days.
    #[schema(minimum = 1, maximum = 90, example = 30)]
    days: i64,
    /// Addresses and networks that the key may be used from; everywhere, unless sent.
    #[schema(max_items = 100, example = json!(["203.0.113.7", "2001:db8::/32"]))]
    #[serde(default)]
    allowed_ips: Vec<String>,
}

/// A merge patch of an operator; nothing of it can be removed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorPatch {
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    #[serde(default)]
    name: Patch<String>,
    #[schema(value_type = OperatorRole)]
    #[serde(default)]
    role: Patch<OperatorRole>,
    #[schema(value_type = bool)]
    #[serde(default)]
    auditor_pii: Patch<bool>,
    /// RFC 3339, to come, at most 90 days after the key was created.
    #[schema(value_type = String)]
    #[serde(default)]
    expires_at: Patch<String>,
    #[schema(value_type = Vec<String>, max_items = 100)]
    #[serde(default)]
    allowed_ips: Patch<Vec<String>>,
}

const NAME_CHARACTERS_MAX: usize = 100;

pub fn new_operator(body: &OperatorBody) -> Result<NewOperator, Fault> {
    let mut errors = Checks::default();
    let days = u16::try_from(body.days).ok().filter(|days| (1..=DAYS_MAX).contains(days));
    if days.is_none() {
        errors.add("/days", "not_accepted", format!("1 to {DAYS_MAX}"));
    }
    let new = NewOperator {
        name: errors.operator_name(&body.name),
        role: body.role,
        auditor_pii: body.auditor_pii,
        days: days.unwrap_or(1),
        allowed_ips: errors.networks("/allowed_ips", &body.allowed_ips),
    };
    errors.or(new)
}

pub fn operator_change(body: OperatorPatch) -> Result<OperatorChange, Fault> {
    let mut errors = Checks::default();
    let change = OperatorChange {
        name: errors.kept("/name", body.name).map(|name| errors.operator_name(&name)),
        role: errors.kept("/role", body.role),
        auditor_pii: errors.kept("/auditor_pii", body.auditor_pii),
        expires_at: errors.kept("/expires_at", body.expires_at).and_then(|text| {
            let at = parse_rfc3339(&text);
            if at.is_none() {
                errors.add("/expires_at", "not_accepted", "an RFC 3339 time to come");
            }
            at
        }),
        allowed_ips: errors
            .kept("/allowed_ips", body.allowed_ips)
            .map(|networks| errors.networks("/allowed_ips", &networks)),
    };
    errors.or(change)
}

impl Checks {
    fn operator_name(&mut self, name: &str) -> String {
        self.parsed("/name", name, |name| text::line(name, NAME_CHARACTERS_MAX))
    }
}
