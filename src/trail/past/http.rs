//! `/v1/audit/users/{user}/as-of` and `/history`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{OpenApi, ToSchema};

use super::history::history;
use super::queries::{AsOf, as_of};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::free;
use crate::kernel::ids::UserId;
use crate::kernel::time::{Timestamp, parse_rfc3339, rfc3339};
use crate::store::Store;
use crate::trail::actions::ReadTrail;
use crate::trail::http::{EntryPage, view};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/audit/users/{user}/as-of").route(web::get().to(then)))
        .service(web::resource("/v1/audit/users/{user}/history").route(web::get().to(life)));
}

#[derive(OpenApi)]
#[openapi(paths(then, life))]
pub struct Paper;

/// A person's record as it was. Personal values are `[masked]` unless the operator may see them, a
/// secret shows as `secret`, and what apps keep of the person stands below `apps`.
#[derive(Serialize, ToSchema)]
struct AsOfView {
    user_id: String,
    /// The moment that was asked for.
    at: String,
    /// The last entry until then: its number, time and id.
    #[schema(minimum = 1)]
    seq: i64,
    timestamp: String,
    entry_id: String,
    /// Its leaf in the sealed tree; `null` while it has none.
    #[schema(required = true, minimum = 0)]
    leaf: Option<i64>,
    #[schema(required = true, example = "active")]
    status: Option<String>,
    #[schema(value_type = Object)]
    record: Map<String, Value>,
}

/// Read a person's record as it was at a moment, by its entries.
#[utoipa::path(get, path = "/v1/audit/users/{user}/as-of", operation_id = "read_user_as_of", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    params(("user" = String, Path),
        ("at" = String, Query, format = DateTime, description = "RFC 3339; an entry of this very moment counts")),
    responses((status = 200, body = AsOfView)))]
async fn then(
    call: Call<ReadTrail>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&["at"])?;
    let (user, at) = (user_id(&path)?, moment(&call.query)?);
    let found = as_of(&call.grant, &store, user, at).await?;
    Ok(Answer::ok(&as_of_view(user, at, &found))?)
}

/// List the changes of one field of a person's record, the newest first. A page may be short, or empty:
/// each request goes through a part of the entries, and `next_cursor` on to the next.
#[utoipa::path(get, path = "/v1/audit/users/{user}/history", operation_id = "list_field_history", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    params(("user" = String, Path),
        ("path" = String, Query, min_length = 1, max_length = 255, example = "profile.phone", description = "This path, and what is below it; where something above it changed as a whole, what that came to here"),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = EntryPage)))]
async fn life(
    call: Call<ReadTrail>,
    store: Data<Store>,
    gate: Data<Gate>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&["path", "limit", "cursor"])?;
    let (user, limit) = (user_id(&path)?, call.query.limit()?);
    let (field, route) = (field(&call.query)?, "/v1/audit/users/{user}/history");
    let filter = format!("{user}?{}", call.query.filter());
    let list = List { scope: call.grant.scope(), route, filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = history(&call.grant, &store, user, &field, limit, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&EntryPage { items: page.items.iter().map(view).collect(), next_cursor })?)
}

fn user_id(text: &str) -> Result<UserId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}

const MOMENT: &str = "an RFC 3339 time, such as 2026-11-22T00:00:00Z";

fn moment(query: &Parameters) -> Result<Timestamp, Fault> {
    let at = query.parsed("at", MOMENT, parse_rfc3339)?;
    at.ok_or_else(|| Fault::invalid("at", "required", MOMENT))
}

const FIELD: &str = "a path of 1 to 255 characters, such as profile.phone";

fn field(query: &Parameters) -> Result<String, Fault> {
    let fits = |text: &str| (1..=255).contains(&text.chars().count()).then(|| text.to_owned());
    let field = query.parsed("path", FIELD, fits)?;
    field.ok_or_else(|| Fault::invalid("path", "required", FIELD))
}

fn as_of_view(user: UserId, at: Timestamp, found: &AsOf) -> AsOfView {
    let fields = found.record.iter().map(|(name, value)| (name.clone(), free::to_json(value)));
    AsOfView {
        user_id: user.to_string(),
        at: rfc3339(at),
        seq: found.seq,
        timestamp: rfc3339(found.timestamp),
        entry_id: found.entry_id.to_string(),
        leaf: found.leaf,
        status: found.record.get_str("status").ok().map(str::to_owned),
        record: fields.collect(),
    }
}
