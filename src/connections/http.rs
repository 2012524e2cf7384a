//! `/v1/users`: handlers.

use actix_web::web::{self, Data, ServiceConfig};
use serde::Serialize;
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};

use super::actions::{
    AssignRoles, CheckAccess, FindUsers, LetGo, ReadConnection, ReadRoles, ReadUser, RegisterUser,
    RevealKey, RotateKey, UpdateConnection, UpdateUser,
};
use super::commands::{self, Desk};
use super::keys::{self, RevealedView, RotateBody, RotatedView};
use super::queries::{self, IDS_MAX, Search};
use super::registration::{self, Outcome};
use super::roles::{self, AccessView, RolesBody, RolesView};
use super::shape::AppSpecificView;
use super::view::{View, app_specific, connection_etag, etag};
use super::waiting::Status;
use super::wire::{self, ConnectionPatch, RegisterBody, UserPatch};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::access::last_used::Used;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::kernel::email::Email;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{ConnectionId, RegistrationId, UserId};
use crate::kernel::phone::Phone;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/users").route(web::post().to(register)).route(web::get().to(find)),
        )
        .service(
            web::resource("/v1/users/{user}")
                .route(web::get().to(read_user))
                .route(web::patch().to(update_user)),
        )
        .service(
            web::resource("/v1/users/{user}/connection")
                .route(web::get().to(read_connection))
                .route(web::patch().to(update_connection))
                .route(web::delete().to(let_go)),
        )
        .service(web::resource("/v1/users/{user}/connection/key").route(web::post().to(rotate_key)))
        .service(
            web::resource("/v1/users/{user}/connection/key/reveal")
                .route(web::post().to(reveal_key)),
        )
        .service(
            web::resource("/v1/users/{user}/roles")
                .route(web::get().to(read_roles))
                .route(web::put().to(assign_roles)),
        )
        .service(web::resource("/v1/users/{user}/access").route(web::get().to(check_access)));
}

#[derive(OpenApi)]
#[openapi(paths(
    register,
    find,
    read_user,
    update_user,
    read_connection,
    update_connection,
    let_go,
    rotate_key,
    reveal_key,
    read_roles,
    assign_roles,
    check_access
))]
pub struct Paper;

/// A person is connected.
#[derive(Serialize, ToSchema)]
struct RegisteredView {
    user_id: String,
    #[schema(pattern = "^active$", example = "active")]
    connection_status: &'static str,
    /// Shown this once; absent where the connection was there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connection_key: Option<String>,
    user: View,
}

#[derive(Serialize, ToSchema)]
struct WaitingView {
    registration_id: String,
    #[schema(pattern = "^pending$", example = "pending")]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
struct UserPage {
    #[schema(max_items = 200)]
    items: Vec<View>,
    /// `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ConnectionView {
    #[schema(value_type = AppSpecificView)]
    app_specific: Value,
}

/// Connect a person to the calling app.
#[utoipa::path(post, path = "/v1/users", operation_id = "register_user", tag = "apps",
    extensions(("x-needs" = json!(needs::<RegisterUser>()))), request_body = RegisterBody,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 200, body = RegisteredView, description = "Was connected already; no key"),
        (status = 201, body = RegisteredView, description = "Connected, with a key of its own", headers(("ETag" = String))),
        (status = 202, body = WaitingView, description = "Waits for the person or an admin")))]
async fn register(
    call: Call<RegisterUser, Json<RegisterBody>>,
    desk: Data<Desk>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let person = wire::person(call.body.0)?;
    let (outcome, done) = registration::register(&grant, &desk, person).await?.split();
    let answer = match outcome {
        Outcome::Connected { user_id, key, view } => {
            let tag = etag(&view, desk.store.keyring());
            let seen = gate.seen_after(user_id, &done);
            Answer::created(&registered(user_id, Some(key), view))?.etag(tag).seen(seen)
        }
        Outcome::Known { user_id, view } => Answer::ok(&registered(user_id, None, view))?,
        Outcome::Waiting { registration_id: id, status } => Answer::accepted(&waiting(id, status))?,
    };
    Ok(answer.replayed(done.replayed))
}

/// List or look up the app's own people.
#[utoipa::path(get, path = "/v1/users", operation_id = "find_users", tag = "apps",
    extensions(("x-needs" = json!(needs::<FindUsers>()))),
    params(("email" = Option<String>, Query), ("phone" = Option<String>, Query, description = "International; its + is sent as %2B"),
        ("app_username" = Option<String>, Query),
        ("ids" = Option<String>, Query, description = "1 to 200 ids, with commas"),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = UserPage)))]
async fn find(
    call: Call<FindUsers>,
    desk: Data<Desk>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let search = search(&call.query)?;
    let list = List { scope: call.grant.scope(), route: "/v1/users", filter: call.query.filter() };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let limit = call.query.limit()?;
    let page = queries::find_users(&call.grant, &desk, search, limit, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    let now = call.grant.now();
    let seen = |(connection, view): (ConnectionId, View)| {
        gate.last_used().note(Used::Synced(connection), now);
        view
    };
    Ok(Answer::ok(&UserPage { items: page.items.into_iter().map(seen).collect(), next_cursor })?)
}

/// Read the app's view of a person.
#[utoipa::path(get, path = "/v1/users/{user}", operation_id = "read_user", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadUser>()))),
    params(("user" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = View)))]
async fn read_user(
    call: Call<ReadUser>,
    desk: Data<Desk>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let made = queries::read_user(&call.grant, &desk)?;
    gate.last_used().note(Used::Synced(call.grant.target().connection), call.grant.now());
    let seen = gate.seen_of(&call.grant, &[]);
    if call.preconditions.not_modified(&made.etag) {
        return Ok(Answer::not_modified(made.etag.clone()).seen(seen));
    }
    Ok(Answer::made(made.body.clone()).etag(made.etag.clone()).seen(seen))
}

/// Change the shared part of a person (merge patch).
#[utoipa::path(patch, path = "/v1/users/{user}", operation_id = "update_user", tag = "apps",
    extensions(("x-needs" = json!(needs::<UpdateUser>()))), request_body = UserPatch,
    params(("user" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = View)))]
async fn update_user(
    call: Call<UpdateUser, Json<UserPatch>>,
    desk: Data<Desk>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let change = wire::user_change(call.body.0)?;
    let done = commands::update_user(&call.grant, &desk, change, call.preconditions).await?;
    let tag = etag(&done.answer, desk.store.keyring());
    let seen = gate.seen_of(&call.grant, &done.written);
    Ok(Answer::ok(&done.answer)?.etag(tag).seen(seen))
}

/// Read the app's own side of the tie.
#[utoipa::path(get, path = "/v1/users/{user}/connection", operation_id = "read_connection", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadConnection>()))),
    params(("user" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = ConnectionView)))]
async fn read_connection(call: Call<ReadConnection>, gate: Data<Gate>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let connection = queries::read_connection(&call.grant)?;
    let tag = connection_etag(&connection, gate.keyring());
    let seen = gate.seen_of(&call.grant, &[]);
    if call.preconditions.not_modified(&tag) {
        return Ok(Answer::not_modified(tag).seen(seen));
    }
    let body = ConnectionView { app_specific: app_specific(&connection) };
    Ok(Answer::ok(&body)?.etag(tag).seen(seen))
}

/// Change the app's own side of the tie (merge patch).
#[utoipa::path(patch, path = "/v1/users/{user}/connection", operation_id = "update_connection", tag = "apps",
    extensions(("x-needs" = json!(needs::<UpdateConnection>()))),
    request_body = ConnectionPatch,
    params(("user" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = ConnectionView)))]
async fn update_connection(
    call: Call<UpdateConnection, Json<ConnectionPatch>>,
    desk: Data<Desk>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let change = wire::connection_change(call.body.0)?;
    let updated = commands::update_connection(&call.grant, &desk, change, call.preconditions);
    let done = updated.await?;
    let tag = connection_etag(&done.answer, desk.store.keyring());
    let body = ConnectionView { app_specific: app_specific(&done.answer) };
    Ok(Answer::ok(&body)?.etag(tag).seen(gate.seen_of(&call.grant, &done.written)))
}

/// Let a person go; the data is kept for 30 days.
#[utoipa::path(delete, path = "/v1/users/{user}/connection", operation_id = "let_go", tag = "apps",
    extensions(("x-needs" = json!(needs::<LetGo>()))),
    params(("user" = String, Path)),
    responses((status = 204, description = "Let go: the connection key stops working at once")))]
async fn let_go(call: Call<LetGo>, desk: Data<Desk>) -> Result<Answer, Problem> {
    commands::let_go(&call.grant, &desk).await?;
    Ok(Answer::no_content())
}

/// Replace the connection key; the old one counts for an overlap.
#[utoipa::path(post, path = "/v1/users/{user}/connection/key", operation_id = "rotate_connection_key", tag = "apps",
    extensions(("x-needs" = json!(needs::<RotateKey>()))),
    request_body = RotateBody,
    params(("user" = String, Path, description = "The user's id"), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = RotatedView, description = "The new key; only the app key may ask")))]
async fn rotate_key(
    call: Call<RotateKey, Json<RotateBody>>,
    desk: Data<Desk>,
) -> Result<Answer, Problem> {
    let grant = call.grant.repeatable(call.repeatable);
    let rotation = keys::rotation(&call.body.0, grant.now())?;
    let done = keys::rotate(&grant, &desk, rotation).await?;
    Ok(Answer::created(&done.answer)?.replayed(done.replayed))
}

/// Show the connection key again, where an admin allows it (`reveal_keys`).
///
/// An Idempotency-Key is not honoured: each time is an event of its own, and no second copy of the
/// key is kept.
#[utoipa::path(post, path = "/v1/users/{user}/connection/key/reveal", operation_id = "reveal_connection_key", tag = "apps",
    extensions(("x-needs" = json!(needs::<RevealKey>()))),
    params(("user" = String, Path, description = "The user's id")),
    responses((status = 200, body = RevealedView, description = "The key in use; only the app key may ask")))]
async fn reveal_key(call: Call<RevealKey>, desk: Data<Desk>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Ok(Answer::ok(&keys::reveal(&call.grant, &desk).await?)?)
}

/// Read the person's roles in the app.
#[utoipa::path(get, path = "/v1/users/{user}/roles", operation_id = "read_roles", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadRoles>()))),
    params(("user" = String, Path)), responses((status = 200, body = RolesView)))]
async fn read_roles(call: Call<ReadRoles>, desk: Data<Desk>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let (view, tag) = roles::read(&call.grant, &desk).await?;
    Ok(Answer::ok(&view)?.etag(tag))
}

/// Assign the person's roles in the app, in place of those before.
#[utoipa::path(put, path = "/v1/users/{user}/roles", operation_id = "assign_roles", tag = "apps",
    extensions(("x-needs" = json!(needs::<AssignRoles>()))), request_body = RolesBody,
    params(("user" = String, Path, description = "The user's id"), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = RolesView, description = "Assigned; only the app key may ask")))]
async fn assign_roles(
    call: Call<AssignRoles, Json<RolesBody>>,
    desk: Data<Desk>,
) -> Result<Answer, Problem> {
    let roles = roles::roles(&call.body.0)?;
    let (view, tag) = roles::assign(&call.grant, &desk, roles, call.preconditions).await?;
    Ok(Answer::ok(&view)?.etag(tag))
}

/// Ask whether the person's roles give a permission.
#[utoipa::path(get, path = "/v1/users/{user}/access", operation_id = "check_access", tag = "apps",
    extensions(("x-needs" = json!(needs::<CheckAccess>()))),
    params(("user" = String, Path),
        ("permission" = String, Query, min_length = 1, max_length = 100, description = "As the app's roles name it: `invoices:write`")),
    responses((status = 200, body = AccessView)))]
async fn check_access(call: Call<CheckAccess>, desk: Data<Desk>) -> Result<Answer, Problem> {
    let permission = roles::permission(&call.query)?;
    Ok(Answer::ok(&roles::access(&call.grant, &desk, &permission).await?)?)
}

fn registered(user_id: UserId, connection_key: Option<String>, user: View) -> RegisteredView {
    RegisteredView {
        user_id: user_id.to_string(),
        connection_status: "active",
        connection_key,
        user,
    }
}

fn waiting(id: RegistrationId, status: Status) -> WaitingView {
    WaitingView { registration_id: id.to_string(), status: status.as_str() }
}

/// One way of looking at a time.
fn search(query: &Parameters) -> Result<Search, Fault> {
    query.only(&["email", "phone", "app_username", "ids", "limit", "cursor"])?;
    let email = query.parsed("email", "an e-mail address", |text| Email::parse(text).ok())?;
    let phone = query.parsed("phone", "an international number, its + sent as %2B", |text| {
        Phone::parse(text).ok()
    })?;
    let app_username = query.text("app_username").map(str::to_owned);
    let ids = query.parsed("ids", "1 to 200 ids of 24 hexadecimal digits, with commas", ids)?;
    let asked = [
        email.map(Search::Email),
        phone.map(Search::Phone),
        app_username.map(Search::AppUsername),
        ids.map(Search::Ids),
    ];
    let mut asked = asked.into_iter().flatten();
    match (asked.next(), asked.next()) {
        (None, _) => Ok(Search::All),
        (Some(search), None) => Ok(search),
        (Some(_), Some(_)) => {
            let accepted = "one of email, phone, app_username and ids at a time";
            Err(Fault::invalid("query", "not_accepted", accepted))
        }
    }
}

fn ids(text: &str) -> Option<Vec<UserId>> {
    let ids: Option<Vec<UserId>> = text.split(',').map(|id| id.trim().parse().ok()).collect();
    ids.filter(|ids| (1..=IDS_MAX).contains(&ids.len()))
}
