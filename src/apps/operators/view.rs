//! Operators as admins see them: without their keys' material.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::commands::Added;
use super::model::{Operator, OperatorRole, OperatorStatus};
use crate::kernel::time::rfc3339;

/// An operator, without its key's material.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    id: String,
    name: String,
    role: OperatorRole,
    /// Whether it sees personal values in the trail.
    auditor_pii: bool,
    status: OperatorStatus,
    key_hint: String,
    key_created_at: String,
    key_last_used_at: Option<String>,
    expires_at: String,
    /// Addresses and networks that the key may be used from; everywhere, where it is empty.
    allowed_ips: Vec<String>,
    created_at: String,
    pub revision: i64,
}

#[derive(Serialize, ToSchema)]
pub struct AddedOperatorView<'a> {
    operator: &'a OperatorView,
    /// Shown this once.
    key: &'a str,
}

#[derive(Serialize, ToSchema)]
pub struct OperatorPage {
    pub items: Vec<OperatorView>,
    pub next_cursor: Option<String>,
}

pub fn added(added: &Added) -> AddedOperatorView<'_> {
    AddedOperatorView { operator: &added.operator, key: added.key() }
}

pub fn view(operator: &Operator) -> OperatorView {
    OperatorView {
        id: operator.id.to_string(),
        name: operator.name.clone(),
        role: operator.role,
        auditor_pii: operator.auditor_pii,
        status: operator.status,
        key_hint: operator.key_hint.clone(),
        key_created_at: rfc3339(operator.key_created_at),
        key_last_used_at: operator.key_last_used_at.map(rfc3339),
        expires_at: rfc3339(operator.expires_at),
        allowed_ips: operator.allowed_ips.clone(),
        created_at: rfc3339(operator.created_at),
        revision: operator.revision,
    }
}
