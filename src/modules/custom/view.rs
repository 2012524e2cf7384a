//! What apps see of modules.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::crypto::keyring::Keyring;
use crate::kernel::text::hex;
use crate::kernel::time::rfc3339;
use crate::modules::registry::{Open, Status};
use crate::users::{BUILT_IN, User};

/// A module that this app can use for this person.
#[derive(Serialize, ToSchema)]
pub struct UserModuleView {
    #[schema(example = "loyalty")]
    module_name: String,
    display_name: String,
    description: String,
    #[schema(example = "1.0.0")]
    version: String,
    /// Whether it changes by operations of its own, not by `PATCH …/modules/{module}`.
    built_in: bool,
    /// Whether it is enabled for this person; `null` where there is nothing to enable yet.
    #[schema(required = true)]
    enabled: Option<bool>,
    /// Since when it is on its way out.
    #[schema(required = true)]
    deprecated_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct UserModuleItems {
    #[schema(max_items = 203)]
    pub items: Vec<UserModuleView>,
}

pub fn view(open: &Open, user: &User) -> UserModuleView {
    let (line, name) = (open.line(), open.line().module_name.as_str());
    let data = open.module().view(user.modules.get_document(name).ok());
    UserModuleView {
        module_name: name.to_owned(),
        display_name: line.display_name.clone(),
        description: line.description.clone(),
        version: line.version.clone(),
        built_in: BUILT_IN.contains(&name),
        enabled: data.and_then(|data| data.get("enabled")?.as_bool()),
        deprecated_at: (line.status == Status::Deprecated)
            .then(|| line.deprecated_at.map(rfc3339))
            .flatten(),
    }
}

/// Keyed, so that it says nothing to whoever cannot see the data.
pub fn etag(data: &Value, keyring: &Keyring) -> String {
    hex(&keyring.mac_bytes("etag", &[data.to_string().as_bytes()])[..16])
}
