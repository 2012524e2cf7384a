//! Apps as admins see them: without their keys' material.

use serde::Serialize;
use utoipa::ToSchema;

use super::commands::Issued;
use super::model::{App, AppKey, AppStatus, Role, Trust};
use super::wire::{IssuanceBody, LimitsBody, RoleBody, shared_fields};
use crate::kernel::time::rfc3339;

/// An app, without its keys' material.
#[derive(Serialize, ToSchema)]
pub struct AppView {
    app_id: String,
    name: String,
    description: String,
    status: AppStatus,
    trust: Trust,
    permissions: Vec<String>,
    default_permissions: Vec<String>,
    /// `null` is everything.
    #[schema(schema_with = shared_fields, required = true)]
    visible_fields: Option<Vec<String>>,
    may_issue: IssuanceBody,
    roles: Vec<RoleBody>,
    /// What each of its connections starts with.
    rate_limits: LimitsBody,
    /// What the app may ask in all, through all its keys.
    total_rate_limits: LimitsBody,
    allowed_ips: Vec<String>,
    reveal_keys: bool,
    keys: Vec<KeyView>,
    /// When all connection keys were ended at once; those made since then count.
    connection_keys_revoked_at: Option<String>,
    created_at: String,
    updated_at: String,
    #[schema(minimum = 1)]
    revision: i64,
}

#[derive(Serialize, ToSchema)]
pub struct KeyView {
    #[schema(pattern = "^[0-9A-Za-z]{12}$", example = "0aB1cD2eF3gH")]
    id: String,
    hint: String,
    created_at: String,
    #[schema(required = true)]
    expires_at: Option<String>,
    #[schema(required = true)]
    revoked_at: Option<String>,
    #[schema(required = true)]
    last_used_at: Option<String>,
}

/// An app as it sees itself: what admins see of it without their own bookkeeping.
#[derive(Serialize, ToSchema)]
pub struct OwnAppView {
    app_id: String,
    name: String,
    description: String,
    status: AppStatus,
    trust: Trust,
    /// The ceiling of what its connections may hold.
    permissions: Vec<String>,
    default_permissions: Vec<String>,
    /// What of the shared part it sees, as paths; `null` is everything.
    visible_fields: Option<Vec<String>>,
    may_issue: IssuanceBody,
    roles: Vec<RoleBody>,
    /// What each of its connections starts with.
    rate_limits: LimitsBody,
    /// What the app may ask in all, through all its keys.
    total_rate_limits: LimitsBody,
    allowed_ips: Vec<String>,
    reveal_keys: bool,
    /// Connection keys from before then are refused.
    #[schema(required = true)]
    connection_keys_revoked_at: Option<String>,
    keys: Vec<KeyView>,
    created_at: String,
    updated_at: String,
    r#use: UseView,
}

/// How much of it is in use; what is left of the limits is in the `RateLimit` header.
#[derive(Serialize, ToSchema)]
struct UseView {
    /// Counted up to 10,000: that number means so many or more.
    #[schema(example = 42)]
    active_connections: u64,
}

#[derive(Serialize, ToSchema)]
pub struct IssuedView {
    app: AppView,
    /// Shown this once.
    key: String,
}

#[derive(Serialize, ToSchema)]
pub struct AppPage {
    #[schema(max_items = 200)]
    pub items: Vec<AppView>,
    /// `null` on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

pub fn issued(issued: &Issued) -> IssuedView {
    IssuedView {
        app: AppView { revision: issued.revision, ..view(&issued.app) },
        key: issued.key().to_owned(),
    }
}

pub fn view(app: &App) -> AppView {
    let App { may_issue, rate_limits, total_rate_limits, .. } = app;
    let role = |role: &Role| RoleBody {
        name: role.name.to_string(),
        permissions: role.permissions.clone(),
        default: role.default,
    };
    AppView {
        app_id: app.id.to_string(),
        name: app.name.clone(),
        description: app.description.clone(),
        status: app.status,
        trust: app.trust,
        permissions: app.permissions.clone(),
        default_permissions: app.default_permissions.clone(),
        visible_fields: app.visible_fields.clone(),
        may_issue: IssuanceBody {
            categories: may_issue.categories.clone(),
            per_day: may_issue.per_day,
        },
        roles: app.roles.iter().map(role).collect(),
        rate_limits: LimitsBody::from(*rate_limits),
        total_rate_limits: LimitsBody::from(*total_rate_limits),
        allowed_ips: app.allowed_ips.clone(),
        reveal_keys: app.reveal_keys,
        keys: app.keys.iter().map(key_view).collect(),
        connection_keys_revoked_at: app.connection_keys_revoked_at.map(rfc3339),
        created_at: rfc3339(app.created_at),
        updated_at: rfc3339(app.updated_at),
        revision: app.revision,
    }
}

pub fn own_view(app: &App, active_connections: u64) -> OwnAppView {
    let seen = view(app);
    OwnAppView {
        app_id: seen.app_id,
        name: seen.name,
        description: seen.description,
        status: seen.status,
        trust: seen.trust,
        permissions: seen.permissions,
        default_permissions: seen.default_permissions,
        visible_fields: seen.visible_fields,
        may_issue: seen.may_issue,
        roles: seen.roles,
        rate_limits: seen.rate_limits,
        total_rate_limits: seen.total_rate_limits,
        allowed_ips: seen.allowed_ips,
        reveal_keys: seen.reveal_keys,
        connection_keys_revoked_at: seen.connection_keys_revoked_at,
        keys: seen.keys,
        created_at: seen.created_at,
        updated_at: seen.updated_at,
        r#use: UseView { active_connections },
    }
}

fn key_view(key: &AppKey) -> KeyView {
    KeyView {
        id: key.id.clone(),
        hint: key.hint.clone(),
        created_at: rfc3339(key.created_at),
        expires_at: key.expires_at.map(rfc3339),
        revoked_at: key.revoked_at.map(rfc3339),
        last_used_at: key.last_used_at.map(rfc3339),
    }
}
