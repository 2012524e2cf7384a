//! `/v1/users/{user}/modules`, and the admins' switch: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{OpenApi, ToSchema};

use super::actions::{ListModules, ReadModule, SwitchModule, UpdateModule};
use super::commands;
use super::view::{UserModuleItems, etag, view};
use crate::access::gate::Gate;
use crate::access::grant::OnUser;
use crate::apps::App;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::Name;
use crate::modules::registry::{Catalogue, Open};
use crate::store::Store;
use crate::users::{Connection, User};

pub fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/users/{user}/modules").route(web::get().to(list))).service(
        web::resource("/v1/users/{user}/modules/{module}")
            .route(web::get().to(read))
            .route(web::patch().to(update)),
    );
}

pub fn admin_routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/v1/admin/users/{user}/modules/{module}").route(web::put().to(switch)),
    );
}

#[derive(OpenApi)]
#[openapi(paths(list, read, update, switch))]
pub struct Paper;

/// Whether a module is enabled for one person.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SwitchBody {
    enabled: bool,
}

/// List the modules that the app can use for this person.
#[utoipa::path(get, path = "/v1/users/{user}/modules", operation_id = "list_user_modules", tag = "apps",
    extensions(("x-needs" = json!(needs::<ListModules>()))), params(("user" = String, Path)),
    responses((status = 200, body = UserModuleItems)))]
async fn list(
    call: Call<ListModules>,
    catalogue: Data<Catalogue>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let target = call.grant.target();
    let (user, usable) = (target.records.user.record::<User>()?, usable(target)?);
    let shelved = catalogue.of(&target.records.modules);
    let items = shelved.open.iter().filter(|it| usable(it, &user)).map(|it| view(it, &user));
    let items = UserModuleItems { items: items.collect() };
    Ok(Answer::ok(&items)?.seen(gate.seen_of(&call.grant, &[])))
}

/// Whether the app, by this connection, can use a module for a person.
fn usable(target: &OnUser) -> Result<impl Fn(&Open, &User) -> bool, Fault> {
    let connection: Connection = target.records.connection.record()?;
    let app: App = target.records.app.record()?;
    Ok(move |open: &Open, user: &User| {
        let module = open.module();
        let holds = |list: &[String]| list.iter().any(|held| held == module.permission());
        holds(&connection.permissions)
            && holds(&app.permissions)
            && user.kyc_level >= module.kyc_level()
    })
}

/// Read what a person has in a module.
#[utoipa::path(get, path = "/v1/users/{user}/modules/{module}", operation_id = "read_user_module", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadModule>()))),
    params(("user" = String, Path), ("module" = String, Path)),
    responses((status = 200, body = Object, description = "As the module's schema says", headers(("ETag" = String)))))]
async fn read(
    call: Call<ReadModule>,
    catalogue: Data<Catalogue>,
    gate: Data<Gate>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let open = commands::opened(call.grant.target(), &catalogue, &path.1)?;
    let data = commands::read(&call.grant, &open)?;
    let (tag, seen) = (etag(&data, gate.keyring()), gate.seen_of(&call.grant, &[]));
    if call.preconditions.not_modified(&tag) {
        return Ok(Answer::not_modified(tag).seen(seen));
    }
    Ok(Answer::ok(&data)?.etag(tag).seen(seen).deprecated(open.line().deprecated_at))
}

/// Change what a person has in a registered module (merge patch). A required field that is removed
/// is back at its default.
#[utoipa::path(patch, path = "/v1/users/{user}/modules/{module}", operation_id = "update_user_module", tag = "apps",
    extensions(("x-needs" = json!(needs::<UpdateModule>()))), request_body = Object,
    params(("user" = String, Path), ("module" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Object, description = "As the module's schema says", headers(("ETag" = String)))))]
async fn update(
    call: Call<UpdateModule, Json<Value>>,
    catalogue: Data<Catalogue>,
    store: Data<Store>,
    gate: Data<Gate>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let open = commands::opened(call.grant.target(), &catalogue, &path.1)?;
    let deprecated_at = open.line().deprecated_at;
    let Open::Custom(custom) = open else { return Err(Fault::of(Code::ModuleBuiltIn).into()) };
    let patch = patch(call.body.0)?;
    let done = commands::update(&call.grant, &store, custom, patch, call.preconditions).await?;
    let seen = gate.seen_of(&call.grant, &done.written);
    let tag = etag(&done.answer, gate.keyring());
    Ok(Answer::ok(&done.answer)?.etag(tag).seen(seen).deprecated(deprecated_at))
}

fn patch(body: Value) -> Result<Map<String, Value>, Fault> {
    match body {
        Value::Object(fields) => Ok(fields),
        _ => Err(Fault::invalid("", "wrong_type", "expected an object: a merge patch")),
    }
}

/// Enable or disable a module for one person.
#[utoipa::path(put, path = "/v1/admin/users/{user}/modules/{module}", operation_id = "switch_user_module", tag = "admins",
    extensions(("x-needs" = json!(needs::<SwitchModule>()))), request_body = SwitchBody,
    params(("user" = String, Path), ("module" = String, Path)),
    responses((status = 200, body = SwitchBody, description = "So it is, now or before")))]
async fn switch(
    call: Call<SwitchModule, Json<SwitchBody>>,
    store: Data<Store>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let user = path.0.parse().map_err(|_| Fault::of(Code::NotFound))?;
    let name = Name::parse(&path.1).ok_or_else(|| Fault::of(Code::NotFound))?;
    let done = commands::switch(&call.grant, &store, user, name, call.body.0.enabled).await?;
    Ok(Answer::ok(&SwitchBody { enabled: done.answer })?)
}
