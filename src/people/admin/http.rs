//! `/v1/admin/users`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use utoipa::OpenApi;

use super::actions::{ChangeEmail, ReactivateUser, ReadPeople, SetPassword, SuspendUser};
use super::commands::{self, Changed};
use super::queries;
use super::view::{self, PersonItem, PersonPage, PersonView};
use super::wire::{self, EmailBody, PasswordBody, ReasonBody};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::connections::Desk;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::UserId;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/admin/users").route(web::get().to(list)))
        .service(web::resource("/v1/admin/users/{user}").route(web::get().to(read)))
        .service(web::resource("/v1/admin/users/{user}/suspend").route(web::post().to(suspend)))
        .service(
            web::resource("/v1/admin/users/{user}/reactivate").route(web::post().to(reactivate)),
        )
        .service(web::resource("/v1/admin/users/{user}/email").route(web::put().to(change_email)))
        .service(
            web::resource("/v1/admin/users/{user}/password").route(web::put().to(set_password)),
        );
}

#[derive(OpenApi)]
#[openapi(paths(list, read, suspend, reactivate, change_email, set_password))]
pub struct Paper;

/// List people, or look somebody up: one way of looking at a time.
#[utoipa::path(get, path = "/v1/admin/users", operation_id = "list_people", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadPeople>()))),
    params(("email" = Option<String>, Query), ("phone" = Option<String>, Query),
        ("username" = Option<String>, Query, min_length = 1, max_length = 100, description = "Not unique"),
        ("account_number" = Option<String>, Query), ("id" = Option<String>, Query),
        ("status" = Option<String>, Query, pattern = "^(active|inactive|suspended|merged|erased)$", example = "active", description = "With any of the others, or alone"),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = PersonPage)))]
async fn list(
    call: Call<ReadPeople>,
    desk: Data<Desk>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let (search, status) = wire::search(&call.query)?;
    let (scope, route) = (call.grant.scope(), "/v1/admin/users");
    let list = List { scope, route, filter: call.query.filter() };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let limit = call.query.limit()?;
    let page = queries::list(&call.grant, &desk.store, search, status, limit, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    let items = page.items.iter().map(view::item).collect();
    Ok(Answer::ok(&PersonPage { items, next_cursor })?)
}

/// Read one person's page: the shared record, identities, connections and the newest entries.
#[utoipa::path(get, path = "/v1/admin/users/{user}", operation_id = "read_person", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadPeople>()))),
    params(("user" = String, Path)), responses((status = 200, body = PersonView)))]
async fn read(
    call: Call<ReadPeople>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let found = queries::one(&call.grant, &desk.store, user_id(&path)?).await?;
    Ok(Answer::ok(&view::page(&found))?.etag(found.user.revision.to_string()))
}

/// Suspend a person at every app. `If-Match` is honoured when sent.
#[utoipa::path(post, path = "/v1/admin/users/{user}/suspend", operation_id = "suspend_user",
    tag = "admins",
    extensions(("x-needs" = json!(needs::<SuspendUser>()))), request_body = ReasonBody,
    params(("user" = String, Path), ("If-Match" = Option<String>, Header),
        ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = PersonItem, description = "Suspended, now or before")))]
async fn suspend(
    call: Call<SuspendUser, Json<ReasonBody>>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let (user, reason) = (user_id(&path)?, wire::reason(&call.body.0)?);
    let done = commands::suspend(&grant, &desk, user, reason, call.preconditions).await?;
    Ok(shown(&done.answer)?.replayed(done.replayed))
}

/// Make a suspended or inactive person active again. `If-Match` is honoured when sent.
#[utoipa::path(post, path = "/v1/admin/users/{user}/reactivate",
    operation_id = "reactivate_user", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReactivateUser>()))), request_body = ReasonBody,
    params(("user" = String, Path), ("If-Match" = Option<String>, Header),
        ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = PersonItem, description = "Active, now or before")))]
async fn reactivate(
    call: Call<ReactivateUser, Json<ReasonBody>>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let (user, reason) = (user_id(&path)?, wire::reason(&call.body.0)?);
    let done = commands::reactivate(&grant, &desk, user, reason, call.preconditions).await?;
    Ok(shown(&done.answer)?.replayed(done.replayed))
}

/// Set, replace or remove the address that identifies a person. `If-Match` is honoured when sent.
#[utoipa::path(put, path = "/v1/admin/users/{user}/email", operation_id = "change_email",
    tag = "admins",
    extensions(("x-needs" = json!(needs::<ChangeEmail>()))), request_body = EmailBody,
    params(("user" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = PersonItem)))]
async fn change_email(
    call: Call<ChangeEmail, Json<EmailBody>>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let (user, email) = (user_id(&path)?, wire::email(call.body.0)?);
    let changed = commands::change_email(&call.grant, &desk, user, email, call.preconditions);
    Ok(shown(&changed.await?)?)
}

/// Set a password, which the person must change. `If-Match` is honoured when sent.
#[utoipa::path(put, path = "/v1/admin/users/{user}/password", operation_id = "set_password",
    tag = "admins",
    extensions(("x-needs" = json!(needs::<SetPassword>()))), request_body = PasswordBody,
    params(("user" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Set; the person must change it")))]
async fn set_password(
    call: Call<SetPassword, Json<PasswordBody>>,
    desk: Data<Desk>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let (user, password) = (user_id(&path)?, wire::password(&call.body.0)?);
    let set = commands::set_password(&call.grant, &desk, user, password, call.preconditions);
    Ok(Answer::no_content().etag(set.await?.to_string()))
}

fn shown(changed: &Changed) -> Result<Answer, Fault> {
    Ok(Answer::ok(&changed.person)?.etag(changed.revision.to_string()))
}

/// An id that can be none is answered like one that does not exist.
fn user_id(text: &str) -> Result<UserId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}
