//! A registration as its app and as admins see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::queries::{Case, Stand};
use super::record::Reason;
use crate::crypto::keyring::Keyring;
use crate::http::json::Patch;
use crate::kernel::ids::Name;
use crate::kernel::time::{Timestamp, rfc3339};
use crate::users::IdentityKind;

/// How a registration stands.
#[derive(Serialize, ToSchema)]
pub struct RegistrationView {
    registration_id: String,
    /// `pending`, `active`, `expired` or `declined`.
    status: &'static str,
    created_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<String>,
    /// Shown at the first read after it became active, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_key: Option<String>,
}

/// A registration with what an admin needs to decide it.
#[derive(Serialize, ToSchema)]
pub struct CaseView {
    registration_id: String,
    app_id: String,
    /// `pending`, `active`, `expired` or `declined`.
    status: &'static str,
    reason: Reason,
    /// What the app claims; approving vouches for it.
    identifiers: Vec<IdentifierView>,
    /// Whose these identifiers are now: nobody's, one person's, or several people's.
    user_ids: Vec<String>,
    username: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    app_username: Option<String>,
    app_display_name: Option<String>,
    /// As asked for; `null` stands for the app's defaults.
    permissions: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    created_at: String,
    expires_at: String,
    decided_at: Option<String>,
    /// Who was connected.
    user_id: Option<String>,
    connection_id: Option<String>,
    /// Why it was declined, as the admin wrote it.
    decline_reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct IdentifierView {
    /// `email` or `phone`.
    kind: &'static str,
    value: String,
}

#[derive(Serialize, ToSchema)]
pub struct CasePage {
    pub items: Vec<CaseView>,
    pub next_cursor: Option<String>,
}

pub fn stand(stand: Stand, now: Timestamp) -> RegistrationView {
    let Stand { registration, key } = stand;
    RegistrationView {
        registration_id: registration.id.to_string(),
        status: registration.shown_status(now),
        created_at: rfc3339(registration.created_at),
        expires_at: rfc3339(registration.expires_at),
        user_id: registration.user_id.map(|id| id.to_string()),
        connection_id: registration.connection_id.map(|id| id.to_string()),
        connection_key: key,
    }
}

pub fn case(case: &Case, keyring: &Keyring, now: Timestamp) -> CaseView {
    let Case { registration, request, owners } = case;
    let request = request.as_ref();
    let identifiers = request.iter().flat_map(|request| &request.identifiers);
    let identifiers = identifiers.map(|identifier| IdentifierView {
        kind: match identifier.kind {
            IdentityKind::Email => "email",
            IdentityKind::Phone => "phone",
        },
        value: identifier.value.clone(),
    });
    CaseView {
        registration_id: registration.id.to_string(),
        app_id: registration.app_id.to_string(),
        status: registration.shown_status(now),
        reason: registration.reason,
        identifiers: identifiers.collect(),
        user_ids: owners.iter().map(ToString::to_string).collect(),
        username: request.and_then(|it| it.username.clone()),
        first_name: request.and_then(|it| set(&it.profile.first_name)),
        last_name: request.and_then(|it| set(&it.profile.last_name)),
        app_username: request.and_then(|it| set(&it.connection.app_username)),
        app_display_name: request.and_then(|it| set(&it.connection.app_display_name)),
        permissions: request.and_then(|it| it.permissions.clone()),
        roles: request.and_then(|it| it.roles.as_ref()).map(|roles| texts(roles)),
        created_at: rfc3339(registration.created_at),
        expires_at: rfc3339(registration.expires_at),
        decided_at: registration.decided_at.map(rfc3339),
        user_id: registration.user_id.map(|id| id.to_string()),
        connection_id: registration.connection_id.map(|id| id.to_string()),
        decline_reason: registration.note(keyring),
    }
}

fn set(patch: &Patch<String>) -> Option<String> {
    let mut value = None;
    patch.apply(&mut value);
    value
}

fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::to_string).collect()
}
