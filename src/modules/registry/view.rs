//! The registry as admins see it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::record::{Published, Registered, Status};
use crate::kernel::free;
use crate::kernel::time::rfc3339;
use crate::modules::ALL;

/// A module, with the schema of its active version.
#[derive(Serialize, ToSchema)]
pub struct ModuleView {
    #[schema(example = "loyalty")]
    module_name: String,
    display_name: String,
    description: String,
    #[schema(value_type = ModuleStatusView)]
    status: Status,
    /// Whether it comes with Purser; then it changes only with it.
    built_in: bool,
    /// The version that new data is of.
    #[schema(example = "1.0.0")]
    version: String,
    /// The newest version, active or not.
    #[schema(example = "1.0.0")]
    newest_version: String,
    #[schema(value_type = Object)]
    schema: Value,
    #[schema(value_type = Object)]
    defaults: Value,
    #[schema(example = "loyalty_access")]
    permission: String,
    #[schema(minimum = 0)]
    required_kyc_level: i64,
    #[schema(required = true)]
    deprecated_at: Option<String>,
    created_at: String,
    updated_at: String,
    #[schema(minimum = 1)]
    revision: i64,
}

/// What a module can be to apps.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ModuleStatusView {
    /// Not shown to any app yet.
    Draft,
    Active,
    /// Hidden from every app; what is stored stays.
    Inactive,
    /// As active, and every answer says that it is on its way out.
    Deprecated,
}

#[derive(Serialize, ToSchema)]
pub struct ModulePage {
    #[schema(max_items = 200)]
    pub items: Vec<ModuleView>,
    /// `null` on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// A version of a module; it never changes.
#[derive(Serialize, ToSchema)]
pub struct VersionView {
    #[schema(example = "1.0.0")]
    version: String,
    /// Whether new data is of it.
    active: bool,
    #[schema(value_type = Object)]
    schema: Value,
    #[schema(value_type = Object)]
    defaults: Value,
    #[schema(value_type = Vec<Object>)]
    migration: Value,
    #[schema(required = true)]
    published_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct VersionItems {
    /// The oldest first.
    #[schema(max_items = 33)]
    pub items: Vec<VersionView>,
}

pub fn view(line: &Registered) -> ModuleView {
    ModuleView {
        module_name: line.module_name.to_string(),
        display_name: line.display_name.clone(),
        description: line.description.clone(),
        status: line.status,
        built_in: is_built_in(line),
        version: line.version.clone(),
        newest_version: if is_built_in(line) { &line.version } else { line.newest() }.to_owned(),
        schema: free::to_json(&line.schema.clone().into()),
        defaults: free::to_json(&line.defaults.clone().into()),
        permission: line.permission.clone(),
        required_kyc_level: line.required_kyc_level,
        deprecated_at: line.deprecated_at.map(rfc3339),
        created_at: rfc3339(line.created_at),
        updated_at: rfc3339(line.updated_at),
        revision: line.revision,
    }
}

pub fn is_built_in(line: &Registered) -> bool {
    ALL.iter().any(|module| module.name() == line.module_name.as_str())
}

pub fn version(line: &Registered, published: &Published) -> VersionView {
    VersionView {
        version: published.version.clone(),
        active: published.version == line.version,
        schema: free::to_json(&published.schema.clone().into()),
        defaults: free::to_json(&published.defaults.clone().into()),
        migration: published.migration.iter().map(free::to_json).collect(),
        published_at: published.published_at.map(rfc3339),
    }
}

pub fn versions(line: &Registered) -> VersionItems {
    let mut items: Vec<_> = line.versions.iter().map(|it| version(line, it)).collect();
    if is_built_in(line) {
        let current = Published {
            id: String::new(),
            version: line.version.clone(),
            schema: line.schema.clone(),
            defaults: line.defaults.clone(),
            migration: Vec::new(),
            published_at: Some(line.updated_at),
        };
        items.push(version(line, &current));
    }
    VersionItems { items }
}
