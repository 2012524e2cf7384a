//! `/v1/admin/apps`, and `/v1/app` for the app itself: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use utoipa::OpenApi;

use super::actions::{ChangeApp, IssueAppKey, ReadApps, ReadItself, RegisterApp, RevokeAppKey};
use super::commands::{self, Extent};
use super::queries;
use super::view::{AppPage, AppView, IssuedView, OwnAppView, issued, own_view, view};
use super::wire::{self, AppBody, AppPatch, KeyBody};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, Name};
use crate::store::Store;

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
        )
        .service(web::resource("/v1/app").route(web::get().to(read_itself)));
}

#[derive(OpenApi)]
#[openapi(paths(register, list, read, change, issue_key, revoke_key, read_itself))]
pub struct Paper;

/// Register an app.
#[utoipa::path(post, path = "/v1/admin/apps", operation_id = "register_app", tag = "admins",
    extensions(("x-needs" = json!(needs::<RegisterApp>()))),
    request_body = AppBody, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = IssuedView, description = "Registered, with its first key", headers(("ETag" = String)))))]
async fn register(
    call: Call<RegisterApp, Json<AppBody>>,
    store: Data<Store>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let done = commands::register(&grant, &store, wire::new_app(call.body.0)?).await?;
    let tag = done.answer.revision.to_string();
    Ok(Answer::created(&issued(&done.answer))?.etag(tag).replayed(done.replayed))
}

/// List the apps.
#[utoipa::path(get, path = "/v1/admin/apps", operation_id = "list_apps", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadApps>()))),
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

/// Read an app.
#[utoipa::path(get, path = "/v1/admin/apps/{app}", operation_id = "read_app", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadApps>()))), params(("app" = String, Path)),
    responses((status = 200, body = AppView, headers(("ETag" = String)))))]
async fn read(
    call: Call<ReadApps>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let app = queries::one(&call.grant, &store, &app_id(&path)?).await?;
    Ok(Answer::ok(&view(&app))?.etag(app.revision.to_string()))
}

/// Change the settings of an app (merge patch).
#[utoipa::path(patch, path = "/v1/admin/apps/{app}", operation_id = "change_app", tag = "admins",
    extensions(("x-needs" = json!(needs::<ChangeApp>()))), request_body = AppPatch,
    params(("app" = String, Path), ("If-Match" = String, Header, description = "The ETag of the last answer")),
    responses((status = 200, body = AppView)))]
async fn change(
    call: Call<ChangeApp, Json<AppPatch>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let preconditions = call.preconditions.required()?;
    let change = wire::app_change(call.body.0)?;
    let done = commands::change(&call.grant, &store, app_id(&path)?, change, preconditions).await?;
    Ok(Answer::ok(&view(&done.answer))?.etag(done.answer.revision.to_string()))
}

/// Issue a further key of an app, in the place of another or beside it.
#[utoipa::path(post, path = "/v1/admin/apps/{app}/keys", operation_id = "issue_app_key", tag = "admins",
    extensions(("x-needs" = json!(needs::<IssueAppKey>()))), request_body = KeyBody,
    params(("app" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = IssuedView, headers(("ETag" = String)))))]
async fn issue_key(
    call: Call<IssueAppKey, Json<KeyBody>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let new = wire::new_key(call.body.0, grant.now())?;
    let done = commands::issue_key(&grant, &store, app_id(&path)?, new).await?;
    let tag = done.answer.revision.to_string();
    Ok(Answer::created(&issued(&done.answer))?.etag(tag).replayed(done.replayed))
}

/// Revoke a key of an app.
#[utoipa::path(delete, path = "/v1/admin/apps/{app}/keys/{key}", operation_id = "revoke_app_key", tag = "admins",
    params(("app" = String, Path), ("key" = String, Path, description = "The key's id"),
        ("revoke_connection_keys" = Option<bool>, Query, description = "End every connection key of the app too; the app has them made anew with `POST …/connection/key`")),
    extensions(("x-needs" = json!(needs::<RevokeAppKey>()))),
    responses((status = 204, description = "Refused from now on")))]
async fn revoke_key(
    call: Call<RevokeAppKey>,
    store: Data<Store>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    call.query.only(&["revoke_connection_keys"])?;
    let too =
        call.query.parsed("revoke_connection_keys", "`true` or `false`", |t| t.parse().ok())?;
    let extent = if too == Some(true) { Extent::ConnectionKeysToo } else { Extent::TheKey };
    let (app, key) = path.into_inner();
    commands::revoke_key(&call.grant, &store, app_id(&app)?, key, extent).await?;
    Ok(Answer::no_content())
}

/// Read the calling app's own settings, keys and use.
#[utoipa::path(get, path = "/v1/app", operation_id = "read_own_app", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadItself>()))),
    responses((status = 200, body = OwnAppView)))]
async fn read_itself(call: Call<ReadItself>, store: Data<Store>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let (app, active_connections) = queries::itself(&call.grant, &store).await?;
    Ok(Answer::ok(&own_view(&app, active_connections))?)
}

/// An id that can be none is answered like one that does not exist.
fn app_id(text: &str) -> Result<AppId, Fault> {
    Name::parse(text).ok_or_else(|| Fault::of(Code::NotFound))
}
