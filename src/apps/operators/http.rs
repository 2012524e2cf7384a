//! `/v1/admin/operators`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use utoipa::OpenApi;

use super::actions::{AddOperator, ChangeOperator, ReadOperators, RemoveOperator};
use super::view::{AddedOperatorView, OperatorPage, OperatorView, added, view};
use super::wire::{self, OperatorBody, OperatorPatch};
use super::{commands, queries};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::OperatorId;
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/admin/operators")
                .route(web::post().to(add))
                .route(web::get().to(list)),
        )
        .service(
            web::resource("/v1/admin/operators/{operator}")
                .route(web::get().to(read))
                .route(web::patch().to(change))
                .route(web::delete().to(remove)),
        );
}

#[derive(OpenApi)]
#[openapi(paths(add, list, read, change, remove))]
pub struct Paper;

/// Add an admin or auditor.
#[utoipa::path(post, path = "/v1/admin/operators", operation_id = "add_operator", tag = "admins",
    extensions(("x-needs" = json!(needs::<AddOperator>()))),
    request_body = OperatorBody, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = AddedOperatorView, description = "Added, with its key")))]
async fn add(
    call: Call<AddOperator, Json<OperatorBody>>,
    store: Data<Store>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let done = commands::add(&grant, &store, wire::new_operator(&call.body.0)?).await?;
    let tag = done.answer.operator.revision.to_string();
    Ok(Answer::created(&added(&done.answer))?.etag(tag).replayed(done.replayed))
}

/// List the operators.
#[utoipa::path(get, path = "/v1/admin/operators", operation_id = "list_operators", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadOperators>()))),
    params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = OperatorPage)))]
async fn list(
    call: Call<ReadOperators>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["limit", "cursor"])?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/admin/operators", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = queries::list(&call.grant, &store, call.query.limit()?, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&OperatorPage { items: page.items.iter().map(view).collect(), next_cursor })?)
}

/// Read an operator.
#[utoipa::path(get, path = "/v1/admin/operators/{operator}", operation_id = "read_operator",
    tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadOperators>()))), params(("operator" = String, Path)),
    responses((status = 200, body = OperatorView)))]
async fn read(
    call: Call<ReadOperators>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let operator = queries::one(&call.grant, &store, operator_id(&path)?).await?;
    Ok(Answer::ok(&view(&operator))?.etag(operator.revision.to_string()))
}

/// Change an operator (merge patch). The last admin whose key works keeps the role.
#[utoipa::path(patch, path = "/v1/admin/operators/{operator}", operation_id = "change_operator",
    tag = "admins",
    extensions(("x-needs" = json!(needs::<ChangeOperator>()))), request_body = OperatorPatch,
    params(("operator" = String, Path), ("If-Match" = String, Header, description = "The ETag of the last answer")),
    responses((status = 200, body = OperatorView)))]
async fn change(
    call: Call<ChangeOperator, Json<OperatorPatch>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let preconditions = call.preconditions.required()?;
    let (id, change) = (operator_id(&path)?, wire::operator_change(call.body.0)?);
    let operator = commands::change(&call.grant, &store, id, change, preconditions).await?;
    Ok(Answer::ok(&operator)?.etag(operator.revision.to_string()))
}

/// Revoke an operator's key. The last admin whose key works keeps it.
#[utoipa::path(delete, path = "/v1/admin/operators/{operator}", operation_id = "remove_operator",
    tag = "admins",
    extensions(("x-needs" = json!(needs::<RemoveOperator>()))), params(("operator" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "The key is refused from now on")))]
async fn remove(
    call: Call<RemoveOperator>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    commands::remove(&call.grant, &store, operator_id(&path)?, call.preconditions).await?;
    Ok(Answer::no_content())
}

/// An id that can be none is answered like one that does not exist.
fn operator_id(text: &str) -> Result<OperatorId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}
