//! What an admin's change makes of a connection. Pure.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::apps::{App, LimitsChange};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::Name;
use crate::users::{Connection, ConnectionStatus};

/// A checked change: what is `None` stays.
#[derive(Clone, Default)]
pub struct TieChange {
    pub permissions: Option<Vec<String>>,
    pub roles: Option<Vec<Name>>,
    pub rate_limits: LimitsChange,
    pub status: Option<SettableStatus>,
    pub allowed_ips: Option<Vec<String>>,
}

/// What an admin can set; `inactive` is the app's to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettableStatus {
    Active,
    Suspended,
    Revoked,
}

impl TieChange {
    pub fn applied_to(self, before: &Connection, app: &App) -> Result<Connection, Fault> {
        let mut after = before.clone();
        if let Some(permissions) = self.permissions {
            within_ceiling(&permissions, app)?;
            after.permissions = permissions;
        }
        if let Some(roles) = self.roles {
            known(&roles, app)?;
            after.roles = roles.iter().map(Name::to_string).collect();
        }
        after.rate_limits = self.rate_limits.applied_to(before.rate_limits);
        after.allowed_ips = self.allowed_ips.unwrap_or(after.allowed_ips);
        if let Some(status) = self.status {
            put(&mut after, status)?;
        }
        if before.connection_status == ConnectionStatus::Revoked && after != *before {
            return Err(decided("revoked", FOR_GOOD));
        }
        Ok(after)
    }
}

fn put(connection: &mut Connection, status: SettableStatus) -> Result<(), Fault> {
    use ConnectionStatus as Is;
    use SettableStatus as To;
    match (connection.connection_status, status) {
        (Is::Active, To::Active) | (Is::Suspended, To::Suspended) | (Is::Revoked, To::Revoked) => {}
        (_, To::Revoked) => connection.cut(),
        (Is::Suspended, To::Active) => connection.connection_status = Is::Active,
        (Is::Active, To::Suspended) => connection.connection_status = Is::Suspended,
        (Is::Inactive, _) => {
            let how =
                "The app takes it up again with `POST /v1/users`; an admin can only revoke it.";
            return Err(decided("inactive: the app has let it go", how));
        }
        (Is::Revoked, _) => return Err(decided("revoked", FOR_GOOD)),
    }
    Ok(())
}

const FOR_GOOD: &str = "Only the person can connect the app again.";

fn decided(status: &str, how: &str) -> Fault {
    Fault::new(Code::AlreadyResolved, format!("The connection is {status}. {how}"))
}

fn within_ceiling(permissions: &[String], app: &App) -> Result<(), Fault> {
    let Some(at) = permissions.iter().position(|held| !app.permissions.contains(held)) else {
        return Ok(());
    };
    let accepted = format!("within the app's ceiling: {}", app.permissions.join(", "));
    Err(Fault::invalid(format!("/permissions/{at}"), "beyond_ceiling", accepted))
}

fn known(roles: &[Name], app: &App) -> Result<(), Fault> {
    let Some(at) = roles.iter().position(|role| app.role(role).is_none()) else { return Ok(()) };
    let known: Vec<_> = app.roles.iter().map(|role| role.name.as_str()).collect();
    let accepted = format!("a role of this app: {}", known.join(", "));
    Err(Fault::invalid(format!("/roles/{at}"), "unknown_role", accepted))
}
