//! `/v1/admin/plans`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use utoipa::OpenApi;

use super::commands;
use super::wire::{self, PlanBody, PlanPatch};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::Name;
use crate::modules::subscription::actions::{ChangePlan, CreatePlan, ReadPlans};
use crate::modules::subscription::queries;
use crate::modules::subscription::view::{PlanItems, PlanView};
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/admin/plans")
                .route(web::post().to(create))
                .route(web::get().to(list)),
        )
        .service(
            web::resource("/v1/admin/plans/{plan}")
                .route(web::get().to(read))
                .route(web::patch().to(change)),
        );
}

#[derive(OpenApi)]
#[openapi(paths(create, list, read, change))]
pub struct Paper;

/// Put a plan on sale.
#[utoipa::path(post, path = "/v1/admin/plans", operation_id = "create_plan", tag = "admins",
    extensions(("x-needs" = json!(needs::<CreatePlan>()))),
    request_body = PlanBody, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = PlanView, headers(("ETag" = String)))))]
async fn create(
    call: Call<CreatePlan, Json<PlanBody>>,
    store: Data<Store>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let plan = wire::new_plan(&call.body.0, grant.now())?;
    let done = commands::create(&grant, &store, plan).await?;
    let (plan, revision) = &done.answer;
    Ok(Answer::created(plan)?.etag(revision.to_string()).replayed(done.replayed))
}

/// List all plans.
#[utoipa::path(get, path = "/v1/admin/plans", operation_id = "list_plans", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadPlans>()))),
    params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = PlanItems)))]
async fn list(
    call: Call<ReadPlans>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["limit", "cursor"])?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/admin/plans", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = queries::list(&call.grant, &store, call.query.limit()?, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&PlanItems {
        items: page.items.iter().map(PlanView::of).collect(),
        next_cursor,
    })?)
}

/// Read a plan.
#[utoipa::path(get, path = "/v1/admin/plans/{plan}", operation_id = "read_plan", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadPlans>()))), params(("plan" = String, Path)),
    responses((status = 200, body = PlanView, headers(("ETag" = String)))))]
async fn read(
    call: Call<ReadPlans>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let plan = queries::one(&call.grant, &store, &plan_id(&path)?).await?;
    Ok(Answer::ok(&PlanView::of(&plan))?.etag(plan.revision.to_string()))
}

/// Change a plan (merge patch) for those who come to it later; who has it keeps it as it was.
#[utoipa::path(patch, path = "/v1/admin/plans/{plan}", operation_id = "change_plan", tag = "admins",
    extensions(("x-needs" = json!(needs::<ChangePlan>()))), request_body = PlanPatch,
    params(("plan" = String, Path), ("If-Match" = String, Header, description = "The ETag of the last answer")),
    responses((status = 200, body = PlanView)))]
async fn change(
    call: Call<ChangePlan, Json<PlanPatch>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let preconditions = call.preconditions.required()?;
    let (id, change) = (plan_id(&path)?, wire::plan_change(&call.body.0)?);
    let done = commands::change(&call.grant, &store, id, change, preconditions).await?;
    let (plan, revision) = &done.answer;
    Ok(Answer::ok(plan)?.etag(revision.to_string()))
}

/// A name that can be none is answered like one that does not exist.
fn plan_id(text: &str) -> Result<Name, Fault> {
    Name::parse(text).ok_or_else(|| Fault::of(Code::NotFound))
}
