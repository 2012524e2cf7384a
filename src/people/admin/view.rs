//! People as admins see them: what all apps share, and never a password, a key, or what one app
//! keeps of them.

use bson::Bson;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::queries::Found;
use crate::audit::actor::Actor;
use crate::audit::entry::{Line, Outcome};
use crate::connections::{TieView, tie};
use crate::kernel::fault::Fault;
use crate::kernel::free;
use crate::kernel::ids::Name;
use crate::kernel::time::rfc3339;
use crate::users::{Audit, Identity, IdentityKind, User, UserStatus};

/// A person in short.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct PersonItem {
    id: String,
    account_number: String,
    email: Option<String>,
    username: Option<String>,
    #[schema(value_type = String, example = "active")]
    status: UserStatus,
    /// Why an admin has set the status. No app sees it.
    status_reason: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    created_at: String,
    updated_at: String,
    last_login: Option<String>,
}

/// One person's page.
#[derive(Serialize, ToSchema)]
pub struct PersonView {
    id: String,
    account_number: String,
    customer_id: String,
    email: Option<String>,
    username: Option<String>,
    #[schema(value_type = String, example = "active")]
    status: UserStatus,
    /// Why an admin has set the status. No app sees it.
    status_reason: Option<String>,
    has_password: bool,
    /// An admin has set the password: the person must choose another at the next sign-in.
    password_must_change: bool,
    created_at: String,
    updated_at: String,
    /// The last time that everything that is kept of the person was exported.
    exported_at: Option<String>,
    profile: ProfileView,
    #[schema(value_type = Object)]
    preferences: Value,
    /// The data of each module, by its name.
    #[schema(value_type = Object)]
    modules: Value,
    audit: AuditView,
    identities: Vec<IdentityView>,
    /// The first 200; the others are in `/v1/admin/connections?user_id=`.
    connections: Vec<TieView>,
    /// The newest 20 entries of the trail, without values.
    recent: Vec<LineView>,
    /// Where the rest of the trail is.
    trail: String,
    revision: i64,
}

#[derive(Serialize, ToSchema)]
struct ProfileView {
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    timezone: Option<String>,
    language: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct AuditView {
    last_login: Option<String>,
    login_count: i64,
    password_changed_at: Option<String>,
    profile_updated_at: Option<String>,
}

/// What identifies a person.
#[derive(Serialize, ToSchema)]
struct IdentityView {
    #[schema(value_type = String, example = "email")]
    kind: IdentityKind,
    value: String,
    /// The id of an app, or `operator:<id>`.
    vouched_by: String,
    created_at: String,
}

/// An entry of the trail without its values.
#[derive(Serialize, ToSchema)]
#[schema(as = PersonLineView)]
struct LineView {
    id: String,
    action: String,
    module: String,
    app_id: Option<String>,
    #[schema(value_type = Object)]
    actor: Actor,
    timestamp: String,
    paths: Vec<String>,
    #[schema(value_type = String, example = "done")]
    outcome: Outcome,
}

#[derive(Serialize, ToSchema)]
pub struct PersonPage {
    pub items: Vec<PersonItem>,
    pub next_cursor: Option<String>,
}

pub fn item(user: &User) -> PersonItem {
    PersonItem {
        id: user.id.to_string(),
        account_number: user.account_number.as_str().to_owned(),
        email: user.email.clone(),
        username: user.username.clone(),
        status: user.status,
        status_reason: user.status_reason.clone(),
        first_name: user.profile.first_name.clone(),
        last_name: user.profile.last_name.clone(),
        created_at: rfc3339(user.created_at),
        updated_at: rfc3339(user.updated_at),
        last_login: user.audit.last_login.map(rfc3339),
    }
}

pub fn page(found: &Found) -> PersonView {
    let Found { user, identities, connections, recent } = found;
    let User { profile, preferences, .. } = user.clone();
    PersonView {
        id: user.id.to_string(),
        account_number: user.account_number.as_str().to_owned(),
        customer_id: user.customer_id.to_string(),
        email: user.email.clone(),
        username: user.username.clone(),
        status: user.status,
        status_reason: user.status_reason.clone(),
        has_password: user.password.is_some(),
        password_must_change: user.password_must_change,
        created_at: rfc3339(user.created_at),
        updated_at: rfc3339(user.updated_at),
        exported_at: user.exported_at.map(rfc3339),
        profile: ProfileView {
            first_name: profile.first_name,
            last_name: profile.last_name,
            phone: profile.phone,
            timezone: profile.timezone,
            language: profile.language,
        },
        preferences: serde_json::json!({
            "notifications": preferences.notifications,
            "privacy": preferences.privacy,
        }),
        modules: free::to_json(&Bson::Document(user.modules.clone())),
        audit: audit(&user.audit),
        identities: identities.iter().map(identity).collect(),
        connections: connections.iter().map(tie).collect(),
        recent: recent.iter().map(line).collect(),
        trail: format!("/v1/audit/logs?user_id={}", user.id),
        revision: user.revision,
    }
}

/// The record and what identifies the person, for a document that has the rest apart. What addresses
/// and devices are recognised by is nobody's to have.
pub fn whole(user: &User, identities: &[Identity]) -> Result<Value, Fault> {
    let (connections, recent) = (Vec::new(), Vec::new());
    let found = Found { user: user.clone(), identities: identities.to_vec(), connections, recent };
    let mut page = serde_json::to_value(page(&found))
        .map_err(|_| Fault::internal("a person's page is no JSON"))?;
    if let Some(fields) = page.as_object_mut() {
        fields.retain(|name, _| !["connections", "recent", "trail"].contains(&name.as_str()));
    }
    let recent = page.pointer_mut("/modules/referrals/recent").and_then(Value::as_array_mut);
    for place in recent.into_iter().flatten().filter_map(Value::as_object_mut) {
        place.retain(|name, _| !["address", "device"].contains(&name.as_str()));
    }
    Ok(page)
}

fn audit(audit: &Audit) -> AuditView {
    AuditView {
        last_login: audit.last_login.map(rfc3339),
        login_count: audit.login_count,
        password_changed_at: audit.password_changed_at.map(rfc3339),
        profile_updated_at: audit.profile_updated_at.map(rfc3339),
    }
}

fn identity(identity: &Identity) -> IdentityView {
    IdentityView {
        kind: identity.kind,
        value: identity.value.clone(),
        vouched_by: identity.vouched_by.to_string(),
        created_at: rfc3339(identity.created_at),
    }
}

fn line(line: &Line) -> LineView {
    LineView {
        id: line.id.to_string(),
        action: line.action.clone(),
        module: line.module.clone(),
        app_id: line.app_id.as_ref().map(Name::to_string),
        actor: line.actor.clone(),
        timestamp: rfc3339(line.timestamp),
        paths: line.paths.clone(),
        outcome: line.outcome,
    }
}
