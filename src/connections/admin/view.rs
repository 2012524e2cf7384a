//! A connection without what its app keeps in it, and without its key's material.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::apps::LimitsBody;
use crate::kernel::time::rfc3339;
use crate::users::{Connection, ConnectionStatus};

/// A connection as admins see it. What the app keeps of the person is nobody's but the app's.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct TieView {
    id: String,
    user_id: String,
    app_id: String,
    app_name: String,
    #[schema(value_type = String, example = "active")]
    connection_status: ConnectionStatus,
    permissions: Vec<String>,
    roles: Vec<String>,
    rate_limits: LimitsBody,
    key_hint: Option<String>,
    key_created_at: Option<String>,
    key_last_used_at: Option<String>,
    key_expires_at: Option<String>,
    /// Addresses and networks that the key may be used from; everywhere, where it is empty.
    allowed_ips: Vec<String>,
    connected_at: String,
    last_sync: Option<String>,
    /// Since when the app has let go.
    inactive_at: Option<String>,
}

pub fn tie(connection: &Connection) -> TieView {
    TieView {
        id: connection.id.to_string(),
        user_id: connection.user_id.to_string(),
        app_id: connection.app_id.to_string(),
        app_name: connection.app_name.clone(),
        connection_status: connection.connection_status,
        permissions: connection.permissions.clone(),
        roles: connection.roles.clone(),
        rate_limits: LimitsBody::from(connection.rate_limits),
        key_hint: connection.key_hint.clone(),
        key_created_at: connection.key_created_at.map(rfc3339),
        key_last_used_at: connection.key_last_used_at.map(rfc3339),
        key_expires_at: connection.key_expires_at.map(rfc3339),
        allowed_ips: connection.allowed_ips.clone(),
        connected_at: rfc3339(connection.connected_at),
        last_sync: connection.last_sync.map(rfc3339),
        inactive_at: connection.inactive_at.map(rfc3339),
    }
}
