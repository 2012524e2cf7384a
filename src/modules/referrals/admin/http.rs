//! `/v1/admin/programmes` and `/v1/admin/referrals`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use utoipa::OpenApi;

use super::commands;
use super::wire::{self, ProgrammeBody, ProgrammePatch};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{Name, UserId};
use crate::modules::referrals::actions::{
    ApproveReferral, ChangeProgramme, CreateProgramme, ReadProgrammes, ReviewReferrals,
    VoidReferral,
};
use crate::modules::referrals::model::Status;
use crate::modules::referrals::view::{CaseItems, CaseView, ProgrammeItems, ProgrammeView};
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/admin/programmes")
                .route(web::post().to(create))
                .route(web::get().to(list)),
        )
        .service(
            web::resource("/v1/admin/programmes/{programme}")
                .route(web::get().to(read))
                .route(web::patch().to(change)),
        )
        .service(web::resource("/v1/admin/referrals").route(web::get().to(review)))
        .service(
            web::resource("/v1/admin/users/{user}/referral/approve").route(web::post().to(approve)),
        )
        .service(web::resource("/v1/admin/users/{user}/referral/void").route(web::post().to(void)));
}

#[derive(OpenApi)]
#[openapi(paths(create, list, read, change, review, approve, void))]
pub struct Paper;

/// Start a programme: what both sides of a referral get, and what for.
#[utoipa::path(post, path = "/v1/admin/programmes", operation_id = "create_programme", tag = "admins",
    extensions(("x-needs" = json!(needs::<CreateProgramme>()))),
    request_body = ProgrammeBody, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = ProgrammeView, headers(("ETag" = String)))))]
async fn create(
    call: Call<CreateProgramme, Json<ProgrammeBody>>,
    store: Data<Store>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let programme = wire::new_programme(&call.body.0, grant.now())?;
    let done = commands::create(&grant, &store, programme).await?;
    let (programme, revision) = &done.answer;
    Ok(Answer::created(programme)?.etag(revision.to_string()).replayed(done.replayed))
}

/// List all programmes.
#[utoipa::path(get, path = "/v1/admin/programmes", operation_id = "list_programmes", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadProgrammes>()))),
    params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = ProgrammeItems)))]
async fn list(
    call: Call<ReadProgrammes>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["limit", "cursor"])?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/admin/programmes", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = commands::programmes(&call.grant, &store, call.query.limit()?, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    let items = page.items.iter().map(ProgrammeView::of).collect();
    Ok(Answer::ok(&ProgrammeItems { items, next_cursor })?)
}

/// Read a programme.
#[utoipa::path(get, path = "/v1/admin/programmes/{programme}", operation_id = "read_programme", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadProgrammes>()))), params(("programme" = String, Path)),
    responses((status = 200, body = ProgrammeView, headers(("ETag" = String)))))]
async fn read(
    call: Call<ReadProgrammes>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let programme = commands::one(&call.grant, &store, &name(&path)?).await?;
    Ok(Answer::ok(&ProgrammeView::of(&programme))?.etag(programme.revision.to_string()))
}

/// Change a programme (merge patch) for codes that are redeemed later.
#[utoipa::path(patch, path = "/v1/admin/programmes/{programme}", operation_id = "change_programme", tag = "admins",
    extensions(("x-needs" = json!(needs::<ChangeProgramme>()))), request_body = ProgrammePatch,
    params(("programme" = String, Path), ("If-Match" = String, Header, description = "The ETag of the last answer")),
    responses((status = 200, body = ProgrammeView)))]
async fn change(
    call: Call<ChangeProgramme, Json<ProgrammePatch>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let preconditions = call.preconditions.required()?;
    let (id, change) = (name(&path)?, wire::programme_change(&call.body.0)?);
    let done = commands::change(&call.grant, &store, id, change, preconditions).await?;
    let (programme, revision) = &done.answer;
    Ok(Answer::ok(programme)?.etag(revision.to_string()))
}

/// List referrals: what waits, what is flagged, what was refused and why.
#[utoipa::path(get, path = "/v1/admin/referrals", operation_id = "list_referrals", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReviewReferrals>()))),
    params(("status" = Option<Status>, Query), ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = CaseItems)))]
async fn review(
    call: Call<ReviewReferrals>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["status", "limit", "cursor"])?;
    let status = call.query.parsed("status", STATUSES, status)?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/admin/referrals", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let asked = (call.query.limit()?, after);
    let page = commands::cases(&call.grant, &store, status, asked).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&CaseItems {
        items: page.items.iter().map(CaseView::of).collect(),
        next_cursor,
    })?)
}

/// Approve a person's flagged referral: it is rewarded when its event has come.
#[utoipa::path(post, path = "/v1/admin/users/{user}/referral/approve", operation_id = "approve_referral", tag = "admins",
    extensions(("x-needs" = json!(needs::<ApproveReferral>()))),
    params(("user" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = CaseView)))]
async fn approve(
    call: Call<ApproveReferral>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    let done = commands::approve(&grant, &store, user(&path)?).await?;
    Ok(Answer::ok(&done.answer)?.replayed(done.replayed))
}

/// Void a person's referral that was not rewarded yet.
#[utoipa::path(post, path = "/v1/admin/users/{user}/referral/void", operation_id = "void_referral", tag = "admins",
    extensions(("x-needs" = json!(needs::<VoidReferral>()))),
    params(("user" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = CaseView)))]
async fn void(
    call: Call<VoidReferral>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    let done = commands::void(&grant, &store, user(&path)?).await?;
    Ok(Answer::ok(&done.answer)?.replayed(done.replayed))
}

const STATUSES: &str = "pending, flagged, rewarded, void, capped or refused";

fn status(text: &str) -> Option<Status> {
    Status::ALL.into_iter().find(|status| status.as_str() == text)
}

/// A name or id that can be none is answered like one that does not exist.
fn name(text: &str) -> Result<Name, Fault> {
    Name::parse(text).ok_or_else(|| Fault::of(Code::NotFound))
}

fn user(text: &str) -> Result<UserId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}
