//! The view: what one app sees of one person. One function for the API and whatever comes after it.

use bson::Document;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::keys::PreviousKeyView;
use super::shape::{AppSpecificView, SharedView};
use crate::access::permission::READ;
use crate::apps::App;
use crate::crypto::keyring::Keyring;
use crate::kernel::free;
use crate::kernel::text::hex;
use crate::kernel::time::{Timestamp, rfc3339};
use crate::users::{Connection, Module, Modules, User};

/// One person as one app sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct View {
    /// What all apps share of the person, as far as this app may see it.
    #[schema(value_type = SharedView)]
    pub shared: Value,
    /// What this app keeps of the person. No other app sees it.
    #[schema(value_type = AppSpecificView)]
    pub app_specific: Value,
}

pub fn view(user: &User, connection: &Connection, app: &App, modules: &Modules) -> View {
    let holds = |permission: &str| {
        let held = |list: &[String]| list.iter().any(|one| one == permission);
        held(&connection.permissions) && held(&app.permissions)
    };
    let mut shared = if holds(READ) { shared(user, app) } else { Map::new() };
    shared.insert("id".to_owned(), user.id.to_string().into());
    let open =
        |module: &&dyn Module| holds(module.permission()) && user.kyc_level >= module.kyc_level();
    let modules = modules.iter().filter(open).filter_map(|module| {
        let shown = module.view(user.modules.get_document(module.name()).ok())?;
        Some((module.name().to_owned(), shown))
    });
    shared.insert("modules".to_owned(), Value::Object(modules.collect()));
    View { shared: Value::Object(shared), app_specific: app_specific(connection) }
}

/// The shared part, path by path, as far as the app's visible fields go.
fn shared(user: &User, app: &App) -> Map<String, Value> {
    let visible = |path: &str| app.sees(path);
    let group = |name: &str, fields: Vec<(&str, Value)>| {
        let seen = fields.into_iter().filter(|(field, _)| visible(&format!("{name}.{field}")));
        Value::Object(seen.map(|(field, value)| (field.to_owned(), value)).collect())
    };
    let (profile, preferences) = (&user.profile, &user.preferences);
    let fields = [
        ("account_number", json!(user.account_number.as_str())),
        ("email", json!(user.email)),
        ("username", json!(user.username)),
        ("status", json!(user.status)),
        ("created_at", json!(rfc3339(user.created_at))),
        ("updated_at", json!(rfc3339(user.updated_at))),
    ];
    let mut shared: Map<String, Value> = fields
        .into_iter()
        .filter(|(name, _)| visible(name))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let profile = vec![
        ("first_name", json!(profile.first_name)),
        ("last_name", json!(profile.last_name)),
        ("phone", json!(profile.phone)),
        ("timezone", json!(profile.timezone)),
        ("language", json!(profile.language)),
    ];
    let preferences = vec![
        ("notifications", json!(preferences.notifications)),
        ("privacy", json!(preferences.privacy)),
    ];
    for (name, fields) in [("profile", profile), ("preferences", preferences)] {
        let group = group(name, fields);
        if group.as_object().is_some_and(|fields| !fields.is_empty()) {
            shared.insert(name.to_owned(), group);
        }
    }
    shared
}

/// The connection without its key's material.
pub fn app_specific(connection: &Connection) -> Value {
    let Connection { app_profile, sync_settings, rate_limits, .. } = connection;
    let time = |at: Option<Timestamp>| at.map(rfc3339);
    let object = |document: &Option<Document>| {
        document.as_ref().map(|document| free::to_json(&document.clone().into()))
    };
    json!({
        "user_id": connection.user_id.to_string(),
        "app_id": connection.app_id.as_str(),
        "app_name": connection.app_name,
        "app_version": connection.app_version,
        "app_username": connection.app_username,
        "app_display_name": connection.app_display_name,
        "app_profile": {
            "nickname": app_profile.nickname,
            "avatar_url": app_profile.avatar_url,
            "preferences": object(&app_profile.preferences),
            "custom_fields": object(&app_profile.custom_fields),
        },
        "connection_id": connection.id.to_string(),
        "connection_status": connection.connection_status,
        "permissions": connection.permissions,
        "roles": connection.roles,
        "key_hint": connection.key_hint,
        "key_created_at": time(connection.key_created_at),
        "key_expires_at": time(connection.key_expires_at),
        "previous_key": connection.previous_key.as_ref().map(PreviousKeyView::from),
        "allowed_ips": connection.allowed_ips,
        "sync_frequency": connection.sync_frequency.as_str(),
        "sync_settings": {
            "wallet_updates": sync_settings.wallet_updates,
            "profile_updates": sync_settings.profile_updates,
            "transaction_history": sync_settings.transaction_history,
        },
        "connected_at": rfc3339(connection.connected_at),
        "last_sync": time(connection.last_sync),
        "rate_limits": {
            "requests_per_minute": rate_limits.requests_per_minute,
            "requests_per_hour": rate_limits.requests_per_hour,
        },
    })
}

/// Everything that is kept in a connection, for the person themself.
pub fn kept(connection: &Connection) -> Value {
    let mut kept = app_specific(connection);
    let times = [
        ("key_last_used_at", connection.key_last_used_at),
        ("key_revealed_at", connection.key_revealed_at),
        ("inactive_at", connection.inactive_at),
    ];
    for (name, at) in times {
        kept[name] = at.map(rfc3339).into();
    }
    kept
}

/// The entity tag of a view: keyed, so that it says nothing of what the app cannot see, and
/// without what changes by being read.
pub fn etag(view: &View, keyring: &Keyring) -> String {
    let mut app_specific = view.app_specific.clone();
    if let Some(fields) = app_specific.as_object_mut() {
        fields.remove("last_sync");
    }
    tag(&[&view.shared, &app_specific], keyring)
}

/// As `etag`, of the app's own side alone.
pub fn connection_etag(connection: &Connection, keyring: &Keyring) -> String {
    let unread = Connection { last_sync: None, ..connection.clone() };
    tag(&[&app_specific(&unread)], keyring)
}

fn tag(parts: &[&Value], keyring: &Keyring) -> String {
    let texts: Vec<Vec<u8>> = parts.iter().map(|part| part.to_string().into_bytes()).collect();
    let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    hex(&keyring.mac_bytes("etag", &texts)[..16])
}
