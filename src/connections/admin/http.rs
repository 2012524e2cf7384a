//! `/v1/admin/connections`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::actions::{ChangeConnection, ReadConnections};
use super::queries::Filter;
use super::view::{TieView, tie};
use super::wire::{self, TiePatch};
use super::{commands, queries};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{ConnectionId, NAME_RULE, Name};
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/admin/connections").route(web::get().to(list))).service(
        web::resource("/v1/admin/connections/{connection}")
            .route(web::get().to(read))
            .route(web::patch().to(change)),
    );
}

#[derive(OpenApi)]
#[openapi(paths(list, read, change))]
pub struct Paper;

#[derive(Serialize, ToSchema)]
struct TiePage {
    items: Vec<TieView>,
    next_cursor: Option<String>,
}

/// List connections, without what apps keep in them.
#[utoipa::path(get, path = "/v1/admin/connections", operation_id = "list_connections",
    tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadConnections>()))),
    params(("user_id" = Option<String>, Query), ("app_id" = Option<String>, Query),
        ("status" = Option<String>, Query, pattern = "^(active|inactive|suspended|revoked)$", example = "active"),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = TiePage)))]
async fn list(
    call: Call<ReadConnections>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let filter = filter(&call.query)?;
    let (scope, route) = (call.grant.scope(), "/v1/admin/connections");
    let list = List { scope, route, filter: call.query.filter() };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = queries::list(&call.grant, &store, &filter, call.query.limit()?, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&TiePage { items: page.items.iter().map(tie).collect(), next_cursor })?)
}

/// Read a connection, without what its app keeps in it.
#[utoipa::path(get, path = "/v1/admin/connections/{connection}",
    operation_id = "read_connection_as_admin", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadConnections>()))),
    params(("connection" = String, Path)),
    responses((status = 200, body = TieView)))]
async fn read(
    call: Call<ReadConnections>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let seen = queries::one(&call.grant, &store, connection_id(&path)?).await?;
    Ok(Answer::ok(&seen.tie)?.etag(seen.revision.to_string()))
}

/// Change, suspend, reactivate or revoke a connection (merge patch).
#[utoipa::path(patch, path = "/v1/admin/connections/{connection}",
    operation_id = "change_connection", tag = "admins",
    extensions(("x-needs" = json!(needs::<ChangeConnection>()))), request_body = TiePatch,
    params(("connection" = String, Path),
        ("If-Match" = String, Header, description = "The ETag of the last answer: the person's revision")),
    responses((status = 200, body = TieView)))]
async fn change(
    call: Call<ChangeConnection, Json<TiePatch>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let preconditions = call.preconditions.required()?;
    let (id, change) = (connection_id(&path)?, wire::tie_change(call.body.0)?);
    let seen = commands::change(&call.grant, &store, id, change, preconditions).await?;
    Ok(Answer::ok(&seen.tie)?.etag(seen.revision.to_string()))
}

fn filter(query: &Parameters) -> Result<Filter, Fault> {
    query.only(&["user_id", "app_id", "status", "limit", "cursor"])?;
    Ok(Filter {
        user: query.parsed("user_id", "24 hexadecimal digits", |text| text.parse().ok())?,
        app: query.parsed("app_id", NAME_RULE, Name::parse)?,
        status: query.parsed(
            "status",
            "`active`, `inactive`, `suspended` or `revoked`",
            |text| ["active", "inactive", "suspended", "revoked"].into_iter().find(|s| *s == text),
        )?,
    })
}

/// An id that can be none is answered like one that does not exist.
fn connection_id(text: &str) -> Result<ConnectionId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}
