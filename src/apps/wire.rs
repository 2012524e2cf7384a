//! What `/v1/admin/apps` accepts and answers, and the checks of what is accepted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, SchemaType, Type};

use super::commands::{AppChange, LimitsChange, NewApp, NewKey, Replaced};
use super::model::{AppStatus, Issuance, Role, Trust};
use crate::access::limits::RateLimits;
use crate::access::permission::is_permission;
use crate::http::checks::Checks;
use crate::http::json::Patch;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{NAME_RULE, Name};
use crate::kernel::text;
use crate::kernel::time::Timestamp;

/// An app to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppBody {
    /// `[a-z0-9_]{3,64}`, for good.
    #[schema(example = "external_app_001")]
    app_id: String,
    #[schema(example = "External Application", min_length = 1, max_length = 100)]
    name: String,
    #[schema(max_length = 500)]
    #[serde(default)]
    description: String,
    trust: Trust,
    /// The ceiling of what its connections may hold.
    #[schema(example = json!(["read", "write", "wallet_access"]))]
    permissions: Vec<String>,
    /// What a connection holds unless the registration says otherwise; the ceiling, unless sent.
    default_permissions: Option<Vec<String>>,
    /// What of the shared part the app sees, as paths; `null` is everything.
    #[schema(schema_with = shared_fields, required = false)]
    visible_fields: Option<Vec<String>>,
    #[serde(default)]
    may_issue: IssuanceBody,
    #[schema(max_items = 50)]
    #[serde(default)]
    roles: Vec<RoleBody>,
    /// What each of its connections starts with.
    #[serde(default)]
    rate_limits: LimitsBody,
    /// What the app may ask in all, through all its keys; 60,000 a minute, 1,000,000 an hour.
    total_rate_limits: Option<LimitsBody>,
    /// Addresses and networks that app keys may be used from; everywhere, unless sent.
    #[schema(max_items = 100, example = json!(["203.0.113.7", "2001:db8::/32"]))]
    #[serde(default)]
    allowed_ips: Vec<String>,
    /// Whether connection keys of this app may be revealed again.
    #[serde(default)]
    reveal_keys: bool,
}

/// A merge patch of an app; of its settings, only `visible_fields` can be removed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppPatch {
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    #[serde(default)]
    name: Patch<String>,
    #[schema(value_type = String, max_length = 500)]
    #[serde(default)]
    description: Patch<String>,
    #[schema(value_type = AppStatus)]
    #[serde(default)]
    status: Patch<AppStatus>,
    #[schema(value_type = Trust)]
    #[serde(default)]
    trust: Patch<Trust>,
    #[schema(value_type = Vec<String>)]
    #[serde(default)]
    permissions: Patch<Vec<String>>,
    #[schema(value_type = Vec<String>)]
    #[serde(default)]
    default_permissions: Patch<Vec<String>>,
    #[schema(schema_with = shared_fields)]
    #[serde(default)]
    visible_fields: Patch<Vec<String>>,
    #[schema(value_type = IssuancePatch)]
    #[serde(default)]
    may_issue: Patch<IssuancePatch>,
    #[schema(value_type = Vec<RoleBody>, max_items = 50)]
    #[serde(default)]
    roles: Patch<Vec<RoleBody>>,
    #[schema(value_type = LimitsPatch)]
    #[serde(default)]
    rate_limits: Patch<LimitsPatch>,
    #[schema(value_type = LimitsPatch)]
    #[serde(default)]
    total_rate_limits: Patch<LimitsPatch>,
    #[schema(value_type = Vec<String>, max_items = 100)]
    #[serde(default)]
    allowed_ips: Patch<Vec<String>>,
    #[schema(value_type = bool)]
    #[serde(default)]
    reveal_keys: Patch<bool>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuancePatch {
    #[schema(schema_with = categories)]
    #[serde(default)]
    categories: Patch<Vec<String>>,
    #[schema(value_type = i64, minimum = 0)]
    #[serde(default)]
    per_day: Patch<i64>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsPatch {
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000_000)]
    #[serde(default)]
    requests_per_minute: Patch<i64>,
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000_000)]
    #[serde(default)]
    requests_per_hour: Patch<i64>,
}

/// Which credits the app may create.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuanceBody {
    #[schema(schema_with = categories)]
    pub categories: Vec<String>,
    /// Whole credits a day.
    #[schema(minimum = 0, example = 1_000_000)]
    pub per_day: i64,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleBody {
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "member")]
    pub name: String,
    /// The app's own words, for `GET /v1/users/{user}/access`.
    #[schema(value_type = Vec<RolePermission>, example = json!(["orders:read"]))]
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Whether a new connection gets it unless the registration names roles.
    #[serde(default)]
    pub default: bool,
}

/// Requests in each minute and hour (UTC).
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsBody {
    #[schema(minimum = 1, maximum = 1_000_000_000, example = 100)]
    pub requests_per_minute: i64,
    #[schema(minimum = 1, maximum = 1_000_000_000, example = 1000)]
    pub requests_per_hour: i64,
}

impl Default for LimitsBody {
    fn default() -> Self {
        RateLimits::default().into()
    }
}

impl From<RateLimits> for LimitsBody {
    fn from(limits: RateLimits) -> Self {
        let RateLimits { requests_per_minute, requests_per_hour } = limits;
        Self { requests_per_minute, requests_per_hour }
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// RFC 3339, and to come; never, unless sent.
    #[schema(example = "2099-01-01T00:00:00Z")]
    expires_at: Option<String>,
    /// The id of a key that ends when the overlap is over.
    #[schema(pattern = "^[0-9A-Za-z]{12}$", example = "0aB1cD2eF3gH")]
    replaces: Option<String>,
    /// How long the replaced key still counts: 0 to 604,800 seconds; 3,600, unless sent.
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_seconds: Option<i64>,
}

pub fn new_key(body: KeyBody, now: Timestamp) -> Result<NewKey, Fault> {
    let mut errors = Checks::default();
    if body.replaces.is_none() && body.overlap_seconds.is_some() {
        errors.add("/replaces", "required", "the id of the key that the overlap is for");
    }
    let until = errors.overlap("/overlap_seconds", body.overlap_seconds, now);
    let new = NewKey {
        expires_at: errors.time_to_come("/expires_at", body.expires_at.as_deref(), now),
        replaces: body.replaces.map(|id| Replaced { id, until }),
    };
    errors.or(new)
}

/// What an app calls something that its users may do.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 100, example = "orders:read")]
struct RolePermission(String);

/// Paths of the shared part; `null` is everything.
pub fn shared_fields() -> Array {
    let types = SchemaType::Array(vec![Type::Array, Type::Null]);
    words(SHARED_FIELDS).schema_type(types).build()
}

fn categories() -> Array {
    words(CATEGORIES).build()
}

fn words(words: &[&'static str]) -> ArrayBuilder {
    let one = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.to_vec()));
    ArrayBuilder::new().items(one).unique_items(true)
}

pub fn new_app(body: AppBody) -> Result<NewApp, Fault> {
    let mut errors = Checks::default();
    let id = Name::parse(&body.app_id);
    if id.is_none() {
        errors.add("/app_id", "not_accepted", NAME_RULE);
    }
    let permissions = errors.permissions("/permissions", body.permissions);
    let default_permissions = body.default_permissions.map_or_else(
        || permissions.clone(),
        |held| errors.permissions("/default_permissions", held),
    );
    let visible = body.visible_fields.map(|fields| errors.fields("/visible_fields", fields));
    let new = NewApp {
        name: errors.line("/name", &body.name, 100),
        description: errors.optional_line("/description", &body.description, 500),
        trust: body.trust,
        permissions,
        default_permissions,
        visible_fields: visible.or_else(|| body.trust.visible_by_default()),
        may_issue: errors.issuance(body.may_issue),
        roles: errors.roles(body.roles),
        rate_limits: errors.limits("/rate_limits", &body.rate_limits),
        total_rate_limits: body.total_rate_limits.map_or_else(RateLimits::of_an_app, |total| {
            errors.limits("/total_rate_limits", &total)
        }),
        allowed_ips: errors.networks("/allowed_ips", &body.allowed_ips),
        reveal_keys: body.reveal_keys,
        id: id.unwrap_or_else(|| Name::parse("none").expect("four letters")),
    };
    errors.or(new)
}

pub fn app_change(body: AppPatch) -> Result<AppChange, Fault> {
    let mut errors = Checks::default();
    let may_issue = errors.kept("/may_issue", body.may_issue).unwrap_or_default();
    let change = AppChange {
        name: errors.kept("/name", body.name).map(|name| errors.line("/name", &name, 100)),
        description: errors
            .kept("/description", body.description)
            .map(|text| errors.optional_line("/description", &text, 500)),
        status: errors.kept("/status", body.status),
        trust: errors.kept("/trust", body.trust),
        permissions: errors
            .kept("/permissions", body.permissions)
            .map(|held| errors.permissions("/permissions", held)),
        default_permissions: errors
            .kept("/default_permissions", body.default_permissions)
            .map(|held| errors.permissions("/default_permissions", held)),
        visible_fields: body.visible_fields.map(|fields| errors.fields("/visible_fields", fields)),
        categories: errors
            .kept("/may_issue/categories", may_issue.categories)
            .map(|categories| errors.categories(categories)),
        per_day: errors
            .kept("/may_issue/per_day", may_issue.per_day)
            .map(|credits| errors.per_day(credits)),
        roles: errors.kept("/roles", body.roles).map(|roles| errors.roles(roles)),
        rate_limits: errors.limits_change("/rate_limits", body.rate_limits),
        total_rate_limits: errors.limits_change("/total_rate_limits", body.total_rate_limits),
        allowed_ips: errors
            .kept("/allowed_ips", body.allowed_ips)
            .map(|networks| errors.networks("/allowed_ips", &networks)),
        reveal_keys: errors.kept("/reveal_keys", body.reveal_keys),
    };
    errors.or(change)
}

/// Fields that the shared part has, as `visible_fields` may name them.
const SHARED_FIELDS: &[&str] = &[
    "account_number",
    "email",
    "username",
    "status",
    "created_at",
    "updated_at",
    "profile",
    "profile.first_name",
    "profile.last_name",
    "profile.phone",
    "profile.timezone",
    "profile.language",
    "preferences",
    "preferences.notifications",
    "preferences.privacy",
];
const CATEGORIES: &[&str] = &["paid", "promo", "plan", "referral", "adjustment"];
const ROLES_MAX: usize = 50;

impl Checks {
    fn line(&mut self, pointer: &str, value: &str, characters_max: usize) -> String {
        self.parsed(pointer, value, |value| text::line(value, characters_max))
    }

    fn optional_line(&mut self, pointer: &str, value: &str, characters_max: usize) -> String {
        if value.is_empty() { String::new() } else { self.line(pointer, value, characters_max) }
    }

    fn permissions(&mut self, pointer: &str, permissions: Vec<String>) -> Vec<String> {
        self.each(pointer, &permissions, is_permission, "`read`, `write` or `<module>_access`");
        permissions
    }

    fn fields(&mut self, pointer: &str, fields: Vec<String>) -> Vec<String> {
        let accepted = format!("one of {}", SHARED_FIELDS.join(", "));
        self.each(pointer, &fields, |field| SHARED_FIELDS.contains(&field), &accepted);
        fields
    }

    fn issuance(&mut self, body: IssuanceBody) -> Issuance {
        let IssuanceBody { categories, per_day } = body;
        Issuance { categories: self.categories(categories), per_day: self.per_day(per_day) }
    }

    fn categories(&mut self, categories: Vec<String>) -> Vec<String> {
        let accepted = format!("one of {}", CATEGORIES.join(", "));
        let known = |category: &str| CATEGORIES.contains(&category);
        self.each("/may_issue/categories", &categories, known, &accepted);
        categories
    }

    fn per_day(&mut self, credits: i64) -> i64 {
        if credits < 0 {
            self.add("/may_issue/per_day", "not_accepted", "0 or more whole credits");
        }
        credits
    }

    fn roles(&mut self, bodies: Vec<RoleBody>) -> Vec<Role> {
        if bodies.len() > ROLES_MAX {
            self.add("/roles", "too_many", format!("at most {ROLES_MAX} roles"));
        }
        let mut roles: Vec<Role> = Vec::new();
        for (at, RoleBody { name, permissions, default }) in bodies.into_iter().enumerate() {
            let pointer = format!("/roles/{at}/name");
            let Some(name) = Name::parse(&name) else {
                self.add(&pointer, "not_accepted", NAME_RULE);
                continue;
            };
            if roles.iter().any(|role| role.name == name) {
                self.add(&pointer, "repeated", "named once already");
            }
            let pointer = format!("/roles/{at}/permissions");
            self.each(
                &pointer,
                &permissions,
                |p| text::line(p, 100).is_ok(),
                "1 to 100 characters",
            );
            roles.push(Role { name, permissions, default });
        }
        roles
    }

    fn limits(&mut self, pointer: &str, body: &LimitsBody) -> RateLimits {
        RateLimits {
            requests_per_minute: self
                .rate(&format!("{pointer}/requests_per_minute"), body.requests_per_minute),
            requests_per_hour: self
                .rate(&format!("{pointer}/requests_per_hour"), body.requests_per_hour),
        }
    }

    pub fn limits_change(&mut self, pointer: &str, patch: Patch<LimitsPatch>) -> LimitsChange {
        let patch = self.kept(pointer, patch).unwrap_or_default();
        let mut rate = |name: &str, patch: Patch<i64>| {
            let pointer = format!("{pointer}/{name}");
            self.kept(&pointer, patch).map(|rate| self.rate(&pointer, rate))
        };
        LimitsChange {
            requests_per_minute: rate("requests_per_minute", patch.requests_per_minute),
            requests_per_hour: rate("requests_per_hour", patch.requests_per_hour),
        }
    }
}
