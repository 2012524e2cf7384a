//! What `/v1/admin/connections` accepts.

use serde::Deserialize;
use utoipa::ToSchema;

use super::change::{SettableStatus, TieChange};
use crate::access::permission::is_permission;
use crate::apps::LimitsPatch;
use crate::http::checks::Checks;
use crate::http::json::Patch;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{NAME_RULE, Name};

/// A merge patch of a connection; nothing of it can be removed.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TiePatch {
    /// Within the app's ceiling.
    #[schema(value_type = Vec<String>)]
    #[serde(default)]
    permissions: Patch<Vec<String>>,
    /// Roles of the app.
    #[schema(value_type = Vec<String>)]
    #[serde(default)]
    roles: Patch<Vec<String>>,
    #[schema(value_type = LimitsPatch)]
    #[serde(default)]
    rate_limits: Patch<LimitsPatch>,
    /// `revoked` is for good, and removes what the app keeps of the person.
    #[schema(value_type = SettableStatus)]
    #[serde(default)]
    connection_status: Patch<SettableStatus>,
    /// Addresses and networks that the key may be used from; everywhere, where it is empty.
    #[schema(value_type = Vec<String>, max_items = 100)]
    #[serde(default)]
    allowed_ips: Patch<Vec<String>>,
}

pub fn tie_change(body: TiePatch) -> Result<TieChange, Fault> {
    let mut errors = Checks::default();
    let change = TieChange {
        permissions: errors.kept("/permissions", body.permissions).inspect(|held| {
            let accepted = "`read`, `write` or `<module>_access`";
            errors.each("/permissions", held, is_permission, accepted);
        }),
        roles: errors.kept("/roles", body.roles).map(|roles| {
            let fits = |role: &str| Name::parse(role).is_some();
            errors.each("/roles", &roles, fits, NAME_RULE);
            roles.iter().filter_map(|role| Name::parse(role)).collect()
        }),
        rate_limits: errors.limits_change("/rate_limits", body.rate_limits),
        status: errors.kept("/connection_status", body.connection_status),
        allowed_ips: errors
            .kept("/allowed_ips", body.allowed_ips)
            .map(|networks| errors.networks("/allowed_ips", &networks)),
    };
    errors.or(change)
}
