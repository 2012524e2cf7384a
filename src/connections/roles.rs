//! Roles: what the user may do inside the app. Purser keeps them; the app gives them their meaning.
//!
//! A role that an admin has taken from the app gives nothing, though connections still name it: it
//! counts again if the app gets it back, and goes with the next assignment.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::actions::{AssignRoles, CheckAccess, ReadRoles};
use super::commands::{Desk, hints};
use super::view::connection_etag;
use crate::access::action::Action;
use crate::access::grant::{Granted, OnUser};
use crate::apps::{self, App, Role};
use crate::http::call::Preconditions;
use crate::http::checks::Checks;
use crate::http::query::Parameters;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{NAME_RULE, Name};
use crate::kernel::text;
use crate::users::Connection;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolesBody {
    /// All roles from now on; none takes every role away.
    #[schema(example = json!(["admin"]))]
    roles: Vec<String>,
}

/// What an app calls something that its users may do.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 100, example = "orders:read")]
struct RoleWord(String);

/// The roles of a person in the app.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RolesView {
    roles: Vec<String>,
    /// Roles that the person still holds and the app has no more: they give nothing.
    removed: Vec<String>,
    /// The roles that the app has.
    available: Vec<RoleView>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct RoleView {
    name: String,
    /// The app's own words for what its users may do.
    #[schema(value_type = Vec<RoleWord>)]
    permissions: Vec<String>,
    /// Whether a new connection gets it unless the registration names roles.
    default: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AccessView {
    allowed: bool,
    /// The person's roles.
    roles: Vec<String>,
    because: String,
}

/// With the entity tag of the connection, for the next assignment.
pub type Tagged = (RolesView, String);

pub fn roles(body: &RolesBody) -> Result<Vec<Name>, Fault> {
    let mut checks = Checks::default();
    checks.each("/roles", &body.roles, |role| Name::parse(role).is_some(), NAME_RULE);
    let roles = body.roles.iter().filter_map(|role| Name::parse(role)).collect();
    checks.or(roles)
}

const PERMISSION_CHARACTERS_MAX: usize = 100;

/// The permission that is asked about, of the app's own making.
pub fn permission(query: &Parameters) -> Result<String, Fault> {
    query.only(&["permission"])?;
    let accepted = "a permission of the app's roles, 1 to 100 characters";
    let parse = |text: &str| text::line(text, PERMISSION_CHARACTERS_MAX).ok();
    let permission = query.parsed("permission", accepted, parse)?;
    permission.ok_or_else(|| Fault::invalid("permission", "required", accepted))
}

pub async fn read(grant: &Granted<ReadRoles>, desk: &Desk) -> Result<Tagged, Fault> {
    let (connection, app) = load(grant, desk).await?;
    Ok((view(&connection, &app), connection_etag(&connection, desk.store.keyring())))
}

/// The roles are these from now on.
pub async fn assign(
    grant: &Granted<AssignRoles>,
    desk: &Desk,
    roles: Vec<Name>,
    preconditions: Preconditions,
) -> Result<Tagged, Fault> {
    let (target, keyring) = (grant.target().clone(), desk.store.keyring().clone());
    let unit = desk.store.unit(grant.warrant(), hints(&target), move |work| {
        let before = work.get(&Connection::by_id(target.connection))?;
        let app = work.get(&App::by_id(&target.app))?;
        preconditions.check(|| connection_etag(&before, &keyring))?;
        let mut after = before.clone();
        after.roles = known(&app, "/roles", &roles)?;
        work.revise(&before, &after)?;
        Ok((view(&after, &app), connection_etag(&after, &keyring)))
    });
    Ok(unit.await?.answer)
}

/// Whether a role of the person gives this permission.
pub async fn access(
    grant: &Granted<CheckAccess>,
    desk: &Desk,
    permission: &str,
) -> Result<AccessView, Fault> {
    let (connection, app) = load(grant, desk).await?;
    let gives = |role: &&Role| role.permissions.iter().any(|given| given == permission);
    let giving = app.roles.iter().filter(|role| holds(&connection, role)).find(gives);
    let because = match giving {
        Some(role) => format!("role {}", role.name),
        None if app.roles.iter().any(|role| gives(&role)) => {
            format!("no role of this person gives {permission}")
        }
        None => format!("no role of this app gives {permission}"),
    };
    Ok(AccessView { allowed: giving.is_some(), roles: view(&connection, &app).roles, because })
}

async fn load<A: Action<Target = OnUser>>(
    grant: &Granted<A>,
    desk: &Desk,
) -> Result<(Connection, App), Fault> {
    let (target, pass) = (grant.target(), grant.pass());
    let connection = desk.store.find(&pass, &Connection::by_id(target.connection)).await?;
    let connection = connection.ok_or_else(|| Fault::of(Code::NotFound))?;
    Ok((connection, apps::find(&pass, &desk.store, &target.app).await?))
}

/// The roles by name, all of them roles of the app.
pub fn known(app: &App, place: &str, roles: &[Name]) -> Result<Vec<String>, Fault> {
    match roles.iter().position(|role| app.role(role).is_none()) {
        None => Ok(roles.iter().map(Name::to_string).collect()),
        Some(at) => {
            let known: Vec<_> = app.roles.iter().map(|role| role.name.as_str()).collect();
            let accepted = format!("a role of this app: {}", known.join(", "));
            Err(Fault::invalid(format!("{place}/{at}"), "unknown_role", accepted))
        }
    }
}

fn holds(connection: &Connection, role: &Role) -> bool {
    connection.roles.iter().any(|held| held == role.name.as_str())
}

fn view(connection: &Connection, app: &App) -> RolesView {
    let is_known = |held: &String| app.roles.iter().any(|role| role.name.as_str() == held);
    let (roles, removed) = connection.roles.iter().cloned().partition(is_known);
    let available = app.roles.iter().map(|role| RoleView {
        name: role.name.to_string(),
        permissions: role.permissions.clone(),
        default: role.default,
    });
    RolesView { roles, removed, available: available.collect() }
}
