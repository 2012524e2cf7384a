//! `/v1/registrations` and `/v1/admin/registrations`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

use super::actions::{
    ApproveRegistration, DeclineRegistration, ReadRegistration, ReadRegistrations,
};
use super::decisions;
use super::queries::{self, Filter, Shown};
use super::view::{self, CasePage, CaseView, RegistrationView};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::connections::commands::Desk;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::checks::Checks;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{NAME_RULE, Name, RegistrationId, UserId};
use crate::kernel::text;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/registrations/{registration}").route(web::get().to(read)))
        .service(web::resource("/v1/admin/registrations").route(web::get().to(list)))
        .service(web::resource("/v1/admin/registrations/{registration}").route(web::get().to(one)))
        .service(
            web::resource("/v1/admin/registrations/{registration}/approve")
                .route(web::post().to(approve)),
        )
        .service(
            web::resource("/v1/admin/registrations/{registration}/decline")
                .route(web::post().to(decline)),
        );
}

#[derive(OpenApi)]
#[openapi(paths(read, list, one, approve, decline))]
pub struct Paper;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ApproveBody {
    /// Whose registration it is, where the identifiers are of several people.
    user_id: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeclineBody {
    /// For other admins, at most 1000 characters; the app is not told.
    #[schema(min_length = 1, max_length = 1000, example = "Nobody of that name works here")]
    reason: Option<String>,
}

const REASON_CHARACTERS_MAX: usize = 1000;

/// Read how a registration stands.
#[utoipa::path(get, path = "/v1/registrations/{registration}", operation_id = "read_registration", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadRegistration>()))),
    params(("registration" = String, Path, description = "`registration_id` of the answer 202")),
    responses((status = 200, body = RegistrationView)))]
async fn read(
    call: Call<ReadRegistration>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let stand = queries::read(&call.grant, &desk.store, id(&path)?).await?;
    Ok(Answer::ok(&view::stand(stand, call.grant.now()))?)
}

/// List the registrations, the oldest first.
#[utoipa::path(get, path = "/v1/admin/registrations", operation_id = "list_registrations", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadRegistrations>()))),
    params(("status" = Option<String>, Query, pattern = "^(pending|active|expired|declined)$", example = "pending"),
        ("app_id" = Option<String>, Query),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = CasePage)))]
async fn list(
    call: Call<ReadRegistrations>,
    desk: Data<Desk>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let wanted = wanted(&call.query)?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/admin/registrations", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let limit = call.query.limit()?;
    let page = queries::list(&call.grant, &desk.store, &wanted, limit, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    let (keyring, now) = (desk.store.keyring(), call.grant.now());
    let items = page.items.iter().map(|case| view::case(case, keyring, now)).collect();
    Ok(Answer::ok(&CasePage { items, next_cursor })?)
}

/// Read a registration, with what is needed to decide it.
#[utoipa::path(get, path = "/v1/admin/registrations/{registration}", operation_id = "inspect_registration", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadRegistrations>()))),
    params(("registration" = String, Path)), responses((status = 200, body = CaseView)))]
async fn one(
    call: Call<ReadRegistrations>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let case = queries::one(&call.grant, &desk.store, id(&path)?).await?;
    Ok(Answer::ok(&view::case(&case, desk.store.keyring(), call.grant.now()))?)
}

/// Approve a registration: vouch for what it claims, and connect the person.
#[utoipa::path(post, path = "/v1/admin/registrations/{registration}/approve", operation_id = "approve_registration", tag = "admins",
    extensions(("x-needs" = json!(needs::<ApproveRegistration>()))),
    request_body = ApproveBody,
    params(("registration" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = CaseView, description = "Connected; the app reads the key")))]
async fn approve(
    call: Call<ApproveRegistration, Json<ApproveBody>>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let chosen = call.body.0.user_id.map(|user| user_id(&user)).transpose()?;
    let done = decisions::approve(&grant, &desk, id(&path)?, chosen).await?;
    let case = queries::case(&grant, &desk.store, done.answer).await?;
    let shown = view::case(&case, desk.store.keyring(), grant.now());
    Ok(Answer::ok(&shown)?.replayed(done.replayed))
}

/// Decline a registration.
#[utoipa::path(post, path = "/v1/admin/registrations/{registration}/decline", operation_id = "decline_registration", tag = "admins",
    extensions(("x-needs" = json!(needs::<DeclineRegistration>()))),
    request_body = DeclineBody,
    params(("registration" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = CaseView)))]
async fn decline(
    call: Call<DeclineRegistration, Json<DeclineBody>>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let note = call.body.0.reason.map(|reason| note(&reason)).transpose()?;
    let done = decisions::decline(&grant, &desk, id(&path)?, note).await?;
    let case = queries::case(&grant, &desk.store, done.answer).await?;
    let shown = view::case(&case, desk.store.keyring(), grant.now());
    Ok(Answer::ok(&shown)?.replayed(done.replayed))
}

/// An id that can be none is answered like one that does not exist.
fn id(text: &str) -> Result<RegistrationId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}

fn user_id(text: &str) -> Result<UserId, Fault> {
    let refuse = |_| Fault::invalid("/user_id", "not_accepted", "24 hexadecimal digits");
    text.parse().map_err(refuse)
}

fn note(reason: &str) -> Result<String, Fault> {
    let mut checks = Checks::default();
    let note =
        checks.parsed("/reason", reason, |text| text::multiline(text, REASON_CHARACTERS_MAX));
    checks.or(note)
}

fn wanted(query: &Parameters) -> Result<Filter, Fault> {
    query.only(&["status", "app_id", "limit", "cursor"])?;
    let status = query.parsed("status", "pending, active, expired or declined", Shown::parse)?;
    let app_id = query.parsed("app_id", NAME_RULE, Name::parse)?;
    Ok(Filter { status, app_id })
}
