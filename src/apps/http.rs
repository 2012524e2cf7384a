//! `/v1/admin/apps`: wire types and handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::actions::{ChangeApp, IssueAppKey, ReadApps, RegisterApp, RevokeAppKey};
use super::commands::{self, AppChange, Issued, NewApp};
use super::model::{App, AppKey, AppStatus, Issuance, Role, Trust};
use super::queries;
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::access::permission::is_permission;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::checks::Checks;
use crate::http::json::Patch;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, NAME_RULE, Name};
use crate::kernel::text;
use crate::kernel::time::{self, rfc3339};
use crate::store::Store;
use crate::users::RateLimits;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/admin/apps")
                .route(web::post().to(register))
                .route(web::get().to(list)),
        )
        .service(
            web::resource("/v1/admin/apps/{app}")
                .route(web::get().to(read))
                .route(web::patch().to(change)),
        )
        .service(web::resource("/v1/admin/apps/{app}/keys").route(web::post().to(issue_key)))
        .service(
            web::resource("/v1/admin/apps/{app}/keys/{key}").route(web::delete().to(revoke_key)),
        );
}

#[derive(OpenApi)]
#[openapi(paths(register, list, read, change, issue_key, revoke_key))]
pub struct Paper;

/// An app to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppBody {
    /// `[a-z0-9_]{3,64}`, for good.
    #[schema(example = "external_app_001")]
    app_id: String,
    #[schema(example = "External Application")]
    name: String,
    #[serde(default)]
    description: String,
    trust: Trust,
    /// The ceiling of what its connections may hold.
    #[schema(example = json!(["read", "write", "wallet_access"]))]
    permissions: Vec<String>,
    /// What a connection holds unless the registration says otherwise; the ceiling, unless sent.
    default_permissions: Option<Vec<String>>,
    /// What of the shared part the app sees, as paths; `null` is everything.
    visible_fields: Option<Vec<String>>,
    #[serde(default)]
    may_issue: IssuanceBody,
    #[serde(default)]
    roles: Vec<RoleBody>,
    #[serde(default)]
    rate_limits: LimitsBody,
}

/// What changes of an app; absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AppPatch {
    name: Option<String>,
    description: Option<String>,
    status: Option<AppStatus>,
    trust: Option<Trust>,
    permissions: Option<Vec<String>>,
    default_permissions: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    visible_fields: Patch<Vec<String>>,
    may_issue: Option<IssuanceBody>,
    roles: Option<Vec<RoleBody>>,
    rate_limits: Option<LimitsBody>,
}

/// Which credits the app may create.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct IssuanceBody {
    categories: Vec<String>,
    /// Whole credits a day.
    per_day: i64,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleBody {
    name: String,
    #[serde(default)]
    permissions: Vec<String>,
    /// Whether a new connection gets it unless the registration names roles.
    #[serde(default)]
    default: bool,
}

/// What each connection starts with.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LimitsBody {
    requests_per_minute: i64,
    requests_per_hour: i64,
}

impl Default for LimitsBody {
    fn default() -> Self {
        let RateLimits { requests_per_minute, requests_per_hour } = RateLimits::default();
        Self { requests_per_minute, requests_per_hour }
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    /// RFC 3339; never, unless sent.
    expires_at: Option<String>,
}

/// An app, without its keys' material.
#[derive(Serialize, ToSchema)]
struct AppView {
    app_id: String,
    name: String,
    description: String,
    status: AppStatus,
    trust: Trust,
    permissions: Vec<String>,
    default_permissions: Vec<String>,
    visible_fields: Option<Vec<String>>,
    may_issue: IssuanceBody,
    roles: Vec<RoleBody>,
    rate_limits: LimitsBody,
    keys: Vec<KeyView>,
    created_at: String,
    updated_at: String,
    revision: i64,
}

#[derive(Serialize, ToSchema)]
struct KeyView {
    id: String,
    hint: String,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct IssuedView {
    app: AppView,
    /// Shown this once.
    key: String,
}

#[derive(Serialize, ToSchema)]
struct AppPage {
    items: Vec<AppView>,
    next_cursor: Option<String>,
}

#[utoipa::path(post, path = "/v1/admin/apps", tag = "admins", request_body = AppBody,
    responses((status = 201, body = IssuedView, description = "Registered, with its first key")))]
async fn register(
    call: Call<RegisterApp, Json<AppBody>>,
    store: Data<Store>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let done = commands::register(&grant, &store, new_app(call.body.0)?).await?;
    Ok(Answer::created(&issued(&done.answer))?.replayed(done.replayed))
}

#[utoipa::path(get, path = "/v1/admin/apps", tag = "admins",
    params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = AppPage)))]
async fn list(
    call: Call<ReadApps>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["limit", "cursor"])?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/admin/apps", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = queries::list(&call.grant, &store, call.query.limit()?, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&AppPage { items: page.items.iter().map(view).collect(), next_cursor })?)
}

#[utoipa::path(get, path = "/v1/admin/apps/{app}", tag = "admins", params(("app" = String, Path)),
    responses((status = 200, body = AppView)))]
async fn read(
    call: Call<ReadApps>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let app = queries::one(&call.grant, &store, &app_id(&path)?).await?;
    Ok(Answer::ok(&view(&app))?.etag(app.revision.to_string()))
}

#[utoipa::path(patch, path = "/v1/admin/apps/{app}", tag = "admins", request_body = AppPatch,
    params(("app" = String, Path), ("If-Match" = String, Header, description = "The ETag of the last answer")),
    responses((status = 200, body = AppView)))]
async fn change(
    call: Call<ChangeApp, Json<AppPatch>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let preconditions = call.preconditions.required()?;
    let change = app_change(call.body.0)?;
    let done = commands::change(&call.grant, &store, app_id(&path)?, change, preconditions).await?;
    Ok(Answer::ok(&view(&done.answer))?.etag(done.answer.revision.to_string()))
}

#[utoipa::path(post, path = "/v1/admin/apps/{app}/keys", tag = "admins", request_body = KeyBody,
    params(("app" = String, Path)), responses((status = 201, body = IssuedView)))]
async fn issue_key(
    call: Call<IssueAppKey, Json<KeyBody>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let expires_at = call.body.0.expires_at.map(|text| {
        let at = time::parse_rfc3339(&text).filter(|at| *at > grant.now());
        at.ok_or_else(|| Fault::invalid("/expires_at", "not_accepted", "an RFC 3339 time to come"))
    });
    let expires_at = expires_at.transpose()?;
    let done = commands::issue_key(&grant, &store, app_id(&path)?, expires_at).await?;
    Ok(Answer::created(&issued(&done.answer))?.replayed(done.replayed))
}

#[utoipa::path(delete, path = "/v1/admin/apps/{app}/keys/{key}", tag = "admins",
    params(("app" = String, Path), ("key" = String, Path, description = "The key's id")),
    responses((status = 204, description = "Refused from now on")))]
async fn revoke_key(
    call: Call<RevokeAppKey>,
    store: Data<Store>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    let (app, key) = path.into_inner();
    commands::revoke_key(&call.grant, &store, app_id(&app)?, key).await?;
    Ok(Answer::no_content())
}

/// An id that can be none is answered like one that does not exist.
fn app_id(text: &str) -> Result<AppId, Fault> {
    Name::parse(text).ok_or_else(|| Fault::of(Code::NotFound))
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
        rate_limits: errors.limits(&body.rate_limits),
        id: id.unwrap_or_else(|| Name::parse("none").expect("four letters")),
    };
    errors.or(new)
}

fn app_change(body: AppPatch) -> Result<AppChange, Fault> {
    let mut errors = Checks::default();
    let change = AppChange {
        name: body.name.map(|name| errors.line("/name", &name, 100)),
        description: body.description.map(|text| errors.optional_line("/description", &text, 500)),
        status: body.status,
        trust: body.trust,
        permissions: body.permissions.map(|held| errors.permissions("/permissions", held)),
        default_permissions: body
            .default_permissions
            .map(|held| errors.permissions("/default_permissions", held)),
        visible_fields: match body.visible_fields {
            Patch::Keep => None,
            Patch::Clear => Some(None),
            Patch::Set(fields) => Some(Some(errors.fields("/visible_fields", fields))),
        },
        may_issue: body.may_issue.map(|issuance| errors.issuance(issuance)),
        roles: body.roles.map(|roles| errors.roles(roles)),
        rate_limits: body.rate_limits.map(|limits| errors.limits(&limits)),
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
const LIMIT_MAX: i64 = 1_000_000;

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
        let accepted = format!("one of {}", CATEGORIES.join(", "));
        self.each(
            "/may_issue/categories",
            &body.categories,
            |c| CATEGORIES.contains(&c),
            &accepted,
        );
        if body.per_day < 0 {
            self.add("/may_issue/per_day", "not_accepted", "0 or more whole credits");
        }
        Issuance { categories: body.categories, per_day: body.per_day }
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

    fn limits(&mut self, body: &LimitsBody) -> RateLimits {
        let LimitsBody { requests_per_minute, requests_per_hour } = *body;
        for (name, limit) in
            [("requests_per_minute", requests_per_minute), ("requests_per_hour", requests_per_hour)]
        {
            if !(1..=LIMIT_MAX).contains(&limit) {
                self.add(
                    &format!("/rate_limits/{name}"),
                    "not_accepted",
                    format!("1 to {LIMIT_MAX}"),
                );
            }
        }
        RateLimits { requests_per_minute, requests_per_hour }
    }
}

fn issued(issued: &Issued) -> IssuedView {
    IssuedView {
        app: AppView { revision: issued.revision, ..view(&issued.app) },
        key: issued.key().to_owned(),
    }
}

fn view(app: &App) -> AppView {
    let App { may_issue, rate_limits, .. } = app;
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
        rate_limits: LimitsBody {
            requests_per_minute: rate_limits.requests_per_minute,
            requests_per_hour: rate_limits.requests_per_hour,
        },
        keys: app.keys.iter().map(key_view).collect(),
        created_at: rfc3339(app.created_at),
        updated_at: rfc3339(app.updated_at),
        revision: app.revision,
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
