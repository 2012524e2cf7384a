//! `/v1/admin/modules`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use utoipa::OpenApi;

use super::actions::{
    ActivateVersion, ChangeModule, DeleteModule, PublishVersion, ReadModules, RegisterModule,
};
use super::record::Registered;
use super::rehearsal::{RehearsalView, would_publish};
use super::view::{ModulePage, ModuleView, VersionItems, VersionView, version, versions, view};
use super::wire::{self, ModuleBody, ModulePatch, VersionBody};
use super::{commands, queries};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::{Call, Deep, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::Name;
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/admin/modules")
                .route(web::post().to(register))
                .route(web::get().to(list)),
        )
        .service(
            web::resource("/v1/admin/modules/{module}")
                .route(web::get().to(read))
                .route(web::patch().to(change))
                .route(web::delete().to(delete)),
        )
        .service(
            web::resource("/v1/admin/modules/{module}/versions")
                .route(web::post().to(publish))
                .route(web::get().to(list_versions)),
        )
        .service(
            web::resource("/v1/admin/modules/{module}/versions/{version}/activate")
                .route(web::post().to(activate)),
        );
}

#[derive(OpenApi)]
#[openapi(paths(register, list, read, change, delete, publish, list_versions, activate))]
pub struct Paper;

/// Register a module: from now on apps can be given its permission and use it.
#[utoipa::path(post, path = "/v1/admin/modules", operation_id = "register_module", tag = "admins",
    extensions(("x-needs" = json!(needs::<RegisterModule>()))), request_body = ModuleBody,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = ModuleView, headers(("ETag" = String)))))]
async fn register(
    call: Call<RegisterModule, Deep<ModuleBody>>,
    store: Data<Store>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    let done = commands::register(&grant, &store, wire::new_module(call.body.0)?).await?;
    Ok(Answer::created(&view(&done.answer))?.etag(tag(&done.answer)).replayed(done.replayed))
}

/// List the modules.
#[utoipa::path(get, path = "/v1/admin/modules", operation_id = "list_modules", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadModules>()))),
    params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = ModulePage)))]
async fn list(
    call: Call<ReadModules>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["limit", "cursor"])?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/admin/modules", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = queries::list(&call.grant.pass(), &store, call.query.limit()?, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&ModulePage { items: page.items.iter().map(view).collect(), next_cursor })?)
}

/// Read a module.
#[utoipa::path(get, path = "/v1/admin/modules/{module}", operation_id = "read_module", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadModules>()))), params(("module" = String, Path)),
    responses((status = 200, body = ModuleView, headers(("ETag" = String)))))]
async fn read(
    call: Call<ReadModules>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let line = queries::one(&call.grant, &store, &name(&path)?).await?;
    Ok(Answer::ok(&view(&line))?.etag(tag(&line)))
}

/// Change the texts or the status of a module (merge patch).
#[utoipa::path(patch, path = "/v1/admin/modules/{module}", operation_id = "change_module", tag = "admins",
    extensions(("x-needs" = json!(needs::<ChangeModule>()))), request_body = ModulePatch,
    params(("module" = String, Path), ("If-Match" = String, Header, description = "The ETag of the last answer")),
    responses((status = 200, body = ModuleView, headers(("ETag" = String)))))]
async fn change(
    call: Call<ChangeModule, Json<ModulePatch>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let preconditions = call.preconditions.required()?;
    let (name, change) = (name(&path)?, wire::change(call.body.0)?);
    let done = commands::change(&call.grant, &store, name, change, preconditions).await?;
    Ok(Answer::ok(&view(&done.answer))?.etag(tag(&done.answer)))
}

/// Delete a module that nothing uses.
#[utoipa::path(delete, path = "/v1/admin/modules/{module}", operation_id = "delete_module", tag = "admins",
    extensions(("x-needs" = json!(needs::<DeleteModule>()))), params(("module" = String, Path)),
    responses((status = 204)))]
async fn delete(
    call: Call<DeleteModule>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    commands::delete(&call.grant, &store, name(&path)?).await?;
    Ok(Answer::no_content())
}

/// Publish a new version of a module's schema; with `dry_run=true`, only say whether it could be.
#[utoipa::path(post, path = "/v1/admin/modules/{module}/versions", operation_id = "publish_module_version", tag = "admins",
    extensions(("x-needs" = json!(needs::<PublishVersion>()))), request_body = VersionBody,
    params(("module" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = RehearsalView, description = "It could be published (`dry_run`)"), (status = 201, body = VersionView)))]
async fn publish(
    call: Call<PublishVersion, Deep<VersionBody>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&["dry_run"])?;
    let (name, (new, activate)) = (name(&path)?, wire::new_version(&call.body.0)?);
    if call.query.dry_run()? {
        return Ok(Answer::ok(&would_publish(&call.grant, &store, &name, &new).await?)?);
    }
    let grant = call.grant.repeatable(call.repeatable);
    let done = commands::publish(&grant, &store, name, new, activate).await?;
    let published = done.answer.published()?;
    Ok(Answer::created(&version(&done.answer.line, published))?.replayed(done.replayed))
}

/// List the versions of a module.
#[utoipa::path(get, path = "/v1/admin/modules/{module}/versions", operation_id = "list_module_versions", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadModules>()))), params(("module" = String, Path)),
    responses((status = 200, body = VersionItems)))]
async fn list_versions(
    call: Call<ReadModules>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let line = queries::one(&call.grant, &store, &name(&path)?).await?;
    Ok(Answer::ok(&versions(&line))?)
}

/// Make a version that of new data; older data is read as if it were of it, and rewritten by a
/// backfill.
#[utoipa::path(post, path = "/v1/admin/modules/{module}/versions/{version}/activate", operation_id = "activate_module_version", tag = "admins",
    extensions(("x-needs" = json!(needs::<ActivateVersion>()))),
    params(("module" = String, Path), ("version" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = ModuleView, description = "Active, now or before")))]
async fn activate(
    call: Call<ActivateVersion>,
    store: Data<Store>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    let (module, version) = path.into_inner();
    let done = commands::activate(&grant, &store, name(&module)?, version).await?;
    Ok(Answer::ok(&view(&done.answer))?.etag(tag(&done.answer)).replayed(done.replayed))
}

fn tag(line: &Registered) -> String {
    line.revision.to_string()
}

/// A name that can be none is answered like one that does not exist.
fn name(text: &str) -> Result<Name, Fault> {
    Name::parse(text).ok_or_else(|| Fault::of(Code::NotFound))
}
