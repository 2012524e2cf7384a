//! What `/v1/admin/modules` accepts, and the checks of it.

use bson::Document;
use semver::Version;
use serde::Deserialize;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;

use super::commands::{Change, NewModule, NewVersion, stored};
use super::custom::whole;
use super::record::Status;
use super::schema::{Migration, Schema};
use super::view::ModuleStatusView;
use crate::access::permission::is_permission;
use crate::http::checks::Checks;
use crate::http::json::Patch;
use crate::kernel::fault::{Fault, FieldError};
use crate::kernel::ids::{NAME_RULE, Name};
use crate::kernel::text;
use crate::modules::ALL;

/// A module to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModuleBody {
    /// For good.
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "loyalty")]
    module_name: String,
    #[schema(min_length = 1, max_length = 100, example = "Loyalty")]
    display_name: String,
    #[schema(max_length = 500)]
    #[serde(default)]
    description: String,
    /// `1.0.0`, unless sent.
    #[schema(value_type = String, pattern = "^(0|[1-9][0-9]{0,8})\\.(0|[1-9][0-9]{0,8})\\.(0|[1-9][0-9]{0,8})$", example = "1.0.0")]
    #[serde(default = "first")]
    version: String,
    /// In short (`{"points": "integer", "nickname": "string?", "tags": "string[]"}`; types are
    /// boolean, integer, number, string and date, `?` is optional, `[]` an array), or a JSON Schema
    /// (2020-12) of `"type": "object"`.
    #[schema(value_type = Object, example = json!({"points": "integer", "nickname": "string?"}))]
    schema: Value,
    /// What everybody starts with.
    #[schema(value_type = Object, example = json!({"points": 0}))]
    #[serde(default = "nothing")]
    defaults: Value,
    /// What apps need to see and use it; `<module_name>_access`, unless sent.
    #[schema(pattern = "^[a-z0-9_]{3,64}_access$", example = "loyalty_access")]
    permission: Option<String>,
    /// How far a person must be verified for apps to see and use it.
    #[schema(value_type = i64, minimum = 0, maximum = 9)]
    #[serde(default)]
    required_kyc_level: i64,
    /// `active`, unless sent; a `draft` is shown to no app.
    #[schema(value_type = StartView)]
    status: Option<Status>,
}

/// What a module can start as.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum StartView {
    Draft,
    Active,
}

/// A merge patch of a module; its schema changes with a new version.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModulePatch {
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    #[serde(default)]
    display_name: Patch<String>,
    #[schema(value_type = String, max_length = 500)]
    #[serde(default)]
    description: Patch<String>,
    #[schema(value_type = ModuleStatusView)]
    #[serde(default)]
    status: Patch<Status>,
    #[schema(value_type = i64, minimum = 0, maximum = 9)]
    #[serde(default)]
    required_kyc_level: Patch<i64>,
}

/// A new version of a module's schema.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionBody {
    /// Later than all others; with a higher major version where old data needs the migration.
    #[schema(
        pattern = "^(0|[1-9][0-9]{0,8})\\.(0|[1-9][0-9]{0,8})\\.(0|[1-9][0-9]{0,8})$",
        example = "1.1.0"
    )]
    version: String,
    /// As where a module is registered.
    #[schema(value_type = Object, example = json!({"points": "integer", "nickname": "string?", "tier": "string"}))]
    schema: Value,
    #[schema(value_type = Object, example = json!({"points": 0, "tier": "bronze"}))]
    #[serde(default = "nothing")]
    defaults: Value,
    /// What makes data of the version before it fit, step by step: `rename` and `copy` (`from`, `to`),
    /// `set_default` (`path`, `value`), `cast` (`path`, `to`, `otherwise`), `drop` (`path`) and
    /// `map_enum` (`path`, `values`); paths are JSON Pointers into the data.
    #[schema(value_type = Vec<Object>, max_items = 50, example = json!([]))]
    #[serde(default = "no_steps")]
    migration: Value,
    /// Whether new data is of this version from now on.
    #[serde(default)]
    activate: bool,
}

const KYC_LEVEL_MAX: i64 = 9;
const DISPLAY_NAME_MAX: usize = 100;
const DESCRIPTION_MAX: usize = 500;
const VERSION_PART_MAX: u64 = 999_999_999;
/// What the trail calls the record itself, and names that other languages trip over.
const NO_MODULES: &[&str] = &["core", "security", "__proto__", "constructor", "prototype"];
/// Fields of a body that are compared with path and key, wherever they stand.
const RESERVED: &[&str] = &["user_id", "userId", "app_id", "appId"];

fn first() -> String {
    "1.0.0".to_owned()
}

fn nothing() -> Value {
    Value::Object(Map::new())
}

fn no_steps() -> Value {
    Value::Array(Vec::new())
}

pub fn new_module(body: ModuleBody) -> Result<NewModule, Fault> {
    let mut errors = Checks::default();
    let name = Name::parse(&body.module_name);
    if name.is_none() {
        errors.add("/module_name", "not_accepted", NAME_RULE);
    } else if NO_MODULES.contains(&body.module_name.as_str()) {
        errors.add("/module_name", "reserved", "another name: this one means something else");
    }
    if let Some(permission) = &body.permission {
        errors.permission(permission);
    }
    let permission = body.permission.unwrap_or_else(|| format!("{}_access", body.module_name));
    let display_name = errors.display_name(&body.display_name);
    let description = errors.description(&body.description);
    errors.kyc_level(body.required_kyc_level);
    let status = body.status.unwrap_or(Status::Active);
    if !matches!(status, Status::Draft | Status::Active) {
        errors.add("/status", "not_accepted", "draft or active");
    }
    let version =
        errors.version(&body.version, &body.schema, &body.defaults, &Value::Array(Vec::new()));
    let required_kyc_level = body.required_kyc_level;
    let (Some(name), Some(version)) = (name, version) else { return Err(errors.refused()) };
    errors.or(NewModule {
        name,
        display_name,
        description,
        status,
        permission,
        required_kyc_level,
        version,
    })
}

pub fn change(body: ModulePatch) -> Result<Change, Fault> {
    let mut errors = Checks::default();
    let display_name = errors.kept("/display_name", body.display_name);
    let description = errors.kept("/description", body.description);
    let required_kyc_level = errors.kept("/required_kyc_level", body.required_kyc_level);
    let change = Change {
        display_name: display_name.map(|text| errors.display_name(&text)),
        description: description.map(|text| errors.description(&text)),
        status: errors.kept("/status", body.status),
        required_kyc_level: required_kyc_level.inspect(|level| errors.kyc_level(*level)),
    };
    if change.status == Some(Status::Deleted) {
        errors.add("/status", "not_accepted", "draft, active, inactive or deprecated");
    }
    errors.or(change)
}

/// The version, and whether it is to be activated at once.
pub fn new_version(body: &VersionBody) -> Result<(NewVersion, bool), Fault> {
    let mut errors = Checks::default();
    let version = errors.version(&body.version, &body.schema, &body.defaults, &body.migration);
    match version {
        Some(version) => errors.or((version, body.activate)),
        None => Err(errors.refused()),
    }
}

/// Three numbers: what comes before or beside a release is not told apart.
pub fn semver(text: &str) -> Option<Version> {
    let version = Version::parse(text).ok()?;
    let plain = version.pre.is_empty() && version.build.is_empty();
    let parts = [version.major, version.minor, version.patch];
    (plain && parts.iter().all(|part| *part <= VERSION_PART_MAX)).then_some(version)
}

impl Checks {
    fn refused(self) -> Fault {
        self.or(()).err().unwrap_or_else(|| Fault::internal("nothing was wrong"))
    }

    fn display_name(&mut self, value: &str) -> String {
        self.parsed("/display_name", value, |value| text::line(value, DISPLAY_NAME_MAX))
    }

    fn description(&mut self, value: &str) -> String {
        if value.is_empty() {
            return String::new();
        }
        self.parsed("/description", value, |value| text::line(value, DESCRIPTION_MAX))
    }

    fn kyc_level(&mut self, level: i64) {
        if !(0..=KYC_LEVEL_MAX).contains(&level) {
            self.add("/required_kyc_level", "not_accepted", format!("0 to {KYC_LEVEL_MAX}"));
        }
    }

    fn permission(&mut self, permission: &str) {
        let built_in = ALL.iter().any(|module| module.permission() == permission);
        if built_in {
            self.add("/permission", "not_accepted", "another than that of a built-in module");
        } else if !permission.ends_with("_access") || !is_permission(permission) {
            self.add("/permission", "not_accepted", "a name and `_access`: `loyalty_access`");
        }
    }

    fn version(
        &mut self,
        version: &str,
        schema: &Value,
        defaults: &Value,
        migration: &Value,
    ) -> Option<NewVersion> {
        let version = semver(version);
        if version.is_none() {
            self.add("/version", "not_accepted", "three numbers, as `1.0.0`");
        }
        let (schema, mut defaults, migration) =
            (&composed(schema), composed(defaults), &composed(migration));
        let read = self.below("/schema", Schema::parse(schema));
        if let Some(read) = &read {
            self.reserved(read);
            if let Some(defaults) = defaults.as_object_mut() {
                whole(&read.fields, defaults);
            }
            self.below("/defaults", read.check_defaults(&defaults));
        }
        let migration = self.below("/migration", Migration::parse(migration));
        let read = read?;
        Some(NewVersion {
            version: version?,
            written: written(schema, &read),
            defaults: defaults.as_object().cloned().unwrap_or_default(),
            migration: migration?,
            schema: read,
        })
    }

    fn reserved(&mut self, schema: &Schema) {
        let names = schema.fields.keys().filter(|name| RESERVED.contains(&name.as_str()));
        let detail = "another name: this one is compared with the path and the key of a request";
        let reserved: Vec<_> = names
            .map(|name| FieldError::new(format!("/schema/{name}"), "reserved", detail))
            .collect();
        self.extend(reserved);
    }

    /// What was read, with its errors where it stands in the body.
    fn below<T>(&mut self, place: &str, read: Result<T, Vec<FieldError>>) -> Option<T> {
        read.map_err(|errors| {
            let moved = |error: FieldError| FieldError {
                pointer: format!("{place}{}", error.pointer),
                ..error
            };
            self.extend(errors.into_iter().map(moved).collect());
        })
        .ok()
    }
}

/// Texts in the form in which they are stored, so that what is compared with them later is equal.
fn composed(value: &Value) -> Value {
    match value {
        Value::String(text) => text.nfc().collect::<String>().into(),
        Value::Array(items) => items.iter().map(composed).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), composed(value))).collect()
        }
        other => other.clone(),
    }
}

/// As it was written; a JSON Schema without what begins with `$`, which is no name of a field in
/// the database: its references are replaced by what they refer to.
fn written(schema: &Value, read: &Schema) -> Document {
    let is_short = schema.get("type").and_then(Value::as_str) != Some("object")
        && schema.get("$schema").is_none();
    let written = if is_short { stored(schema) } else { stored(&read.to_json()) };
    written.as_document().cloned().unwrap_or_default()
}
