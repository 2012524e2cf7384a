//! `/v1/audit/logs`, and `/v1/app/audit` for an app itself: wire types and handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{OpenApi, ToSchema};

use super::actions::{ReadOwnTrail, ReadTrail};
use super::queries::{self, Filter};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::audit::actor::{Actor, ActorKind};
use crate::audit::entry::{Entry, Line, Outcome};
use crate::crypto::envelope::DataKey;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::free;
use crate::kernel::ids::{EntryId, NAME_RULE, Name};
use crate::kernel::time::{parse_rfc3339, rfc3339};
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/audit/logs").route(web::get().to(list)))
        .service(web::resource("/v1/audit/logs/{entry}").route(web::get().to(one)))
        .service(web::resource("/v1/audit/leaves").route(web::get().to(sealed)))
        .service(web::resource("/v1/app/audit").route(web::get().to(own)));
}

#[derive(OpenApi)]
#[openapi(paths(list, one, sealed, own))]
pub struct Paper;

/// One line of the trail. Personal values are `[masked]` unless the operator may see them.
#[derive(Serialize, ToSchema)]
pub struct EntryView {
    id: String,
    #[schema(required = true)]
    user_id: Option<String>,
    #[schema(required = true)]
    app_id: Option<String>,
    action: String,
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "core")]
    module: String,
    /// Dotted path → `{old, new}`; a side that was not there is left out.
    #[schema(value_type = BTreeMap<String, SidesView>, example = json!({"profile.first_name": {"old": "John", "new": "Johnny"}}))]
    changes: Map<String, Value>,
    timestamp: String,
    #[schema(required = true)]
    ip_address: Option<String>,
    subject: String,
    /// Gapless for each subject, from 1.
    #[schema(minimum = 1)]
    seq: i64,
    #[schema(value_type = ActorView)]
    actor: Actor,
    #[schema(required = true)]
    connection_id: Option<String>,
    #[schema(required = true)]
    request_id: Option<String>,
    /// The app that told the person's address; `null` where it is the peer's.
    #[schema(required = true)]
    asserted_by: Option<String>,
    #[schema(required = true)]
    reference: Option<String>,
    #[schema(value_type = OutcomeView)]
    outcome: Outcome,
}

/// What stood there and what stands there now; a secret shows as `secret`.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct SidesView {
    #[schema(required = false)]
    old: Value,
    #[schema(required = false)]
    new: Value,
}

/// Who did it. `id` is the app's, user's or operator's id, or the name of a job.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct ActorView {
    kind: ActorKindView,
    #[schema(min_length = 1, example = "external_app_001")]
    id: String,
    #[schema(required = false, value_type = String)]
    on_behalf_of: Option<String>,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ActorKindView {
    App,
    User,
    Operator,
    System,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OutcomeView {
    Done,
    Refused,
}

#[derive(Serialize, ToSchema)]
pub(super) struct EntryPage {
    #[schema(max_items = 200)]
    pub items: Vec<EntryView>,
    /// `null` on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What an app has done, to whom: an entry without its values.
#[derive(Serialize, ToSchema)]
struct OwnEntryView {
    id: String,
    user_id: Option<String>,
    action: String,
    module: String,
    timestamp: String,
    /// What was changed; the values are not shown.
    paths: Vec<String>,
    /// The connection through which; `null` where the app has made it with the entry.
    connection_id: Option<String>,
    request_id: Option<String>,
    #[schema(value_type = Object)]
    actor: Actor,
    #[schema(value_type = String)]
    outcome: Outcome,
}

#[derive(Serialize, ToSchema)]
struct OwnEntryPage {
    items: Vec<OwnEntryView>,
    next_cursor: Option<String>,
}

/// List entries of the trail, the newest first.
#[utoipa::path(get, path = "/v1/audit/logs", operation_id = "list_entries", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    params(("user_id" = Option<String>, Query), ("app_id" = Option<String>, Query),
        ("subject" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}:[A-Za-z0-9_.-]{1,128}$", description = "`user:<id>`, `app:<id>`, `module:<name>`, …"),
        ("actor" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$", description = "Id of the app, user or operator"),
        ("action" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$"), ("module" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$"),
        ("path" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$", description = "This path or one below it"),
        ("ip" = Option<String>, Query, pattern = "^[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?$", description = "An address, or a prefix as it is stored"), ("outcome" = Option<OutcomeView>, Query),
        ("reference" = Option<String>, Query, min_length = 1, max_length = 255, description = "What the caller called the operation"),
        ("request_id" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,64}$", description = "`X-Request-Id` of its request"),
        ("from" = Option<String>, Query, format = DateTime, description = "RFC 3339, included"),
        ("to" = Option<String>, Query, format = DateTime, description = "RFC 3339, not included"),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = EntryPage)))]
async fn list(
    call: Call<ReadTrail>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let filter = filter(&call.query, ["limit", "cursor"])?;
    let list =
        List { scope: call.grant.scope(), route: "/v1/audit/logs", filter: call.query.filter() };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = queries::list(&call.grant, &store, &filter, call.query.limit()?, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&EntryPage { items: page.items.iter().map(view).collect(), next_cursor })?)
}

/// Read one entry of the trail.
#[utoipa::path(get, path = "/v1/audit/logs/{entry}", operation_id = "read_entry", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    params(("entry" = String, Path)), responses((status = 200, body = EntryView)))]
async fn one(
    call: Call<ReadTrail>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let id: EntryId = path.parse().map_err(|_| Fault::of(Code::NotFound))?;
    let entry = queries::one(&call.grant, &store, id).await?;
    Ok(Answer::ok(&view(&entry))?)
}

/// An entry and its place in the sealed tree.
#[derive(Serialize, ToSchema)]
struct SealedView {
    /// From 0, without gaps.
    #[schema(minimum = 0)]
    leaf: i64,
    entry: EntryView,
}

#[derive(Serialize, ToSchema)]
struct SealedItems {
    #[schema(max_items = 200)]
    items: Vec<SealedView>,
    /// Where the next request goes on, now or once there is more.
    #[schema(minimum = 0)]
    next: i64,
}

/// Read entries in the order in which they were sealed: nothing is skipped, nothing comes twice.
#[utoipa::path(get, path = "/v1/audit/leaves", operation_id = "list_leaves", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    params(("from" = Option<i64>, Query, minimum = 0, description = "The first leaf; 0, unless sent"),
        ("limit" = Option<u16>, Query)),
    responses((status = 200, body = SealedItems)))]
async fn sealed(call: Call<ReadTrail>, store: Data<Store>) -> Result<Answer, Problem> {
    call.query.only(&["from", "limit"])?;
    let parse = |text: &str| text.parse().ok().filter(|from: &i64| *from >= 0);
    let from = call.query.parsed("from", "the number of a leaf", parse)?.unwrap_or(0);
    let found = queries::sealed(&call.grant, &store, from, call.query.limit()?).await?;
    let next = found.last().map_or(from, |(leaf, _)| leaf + 1);
    let items = found.iter().map(|(leaf, it)| SealedView { leaf: *leaf, entry: view(it) });
    Ok(Answer::ok(&SealedItems { items: items.collect(), next })?)
}

/// List what the calling app has done itself, the newest first, without values.
#[utoipa::path(get, path = "/v1/app/audit", operation_id = "list_own_entries", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadOwnTrail>()))),
    params(("user_id" = Option<String>, Query),
        ("action" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$"),
        ("from" = Option<String>, Query, description = "RFC 3339, included"),
        ("to" = Option<String>, Query, description = "RFC 3339, not included"),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = OwnEntryPage)))]
async fn own(
    call: Call<ReadOwnTrail>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["user_id", "action", "from", "to", "limit", "cursor"])?;
    let (scope, route) = (call.grant.scope(), "/v1/app/audit");
    let list = List { scope, route, filter: call.query.filter() };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let (filter, limit) = (asked(&call.query)?, call.query.limit()?);
    let page = queries::own(&call.grant, &store, filter, limit, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&OwnEntryPage { items: page.items.iter().map(own_view).collect(), next_cursor })?)
}

const WORD: &str = "1 to 128 characters of a-z, 0-9, _, . and -";

/// By what entries are found, whether they are listed or exported.
const FILTERS: [&str; 13] = [
    "user_id",
    "app_id",
    "subject",
    "actor",
    "action",
    "module",
    "path",
    "ip",
    "outcome",
    "reference",
    "request_id",
    "from",
    "to",
];

/// The filter of a query that may hold these besides.
pub fn filter(query: &Parameters, besides: [&str; 2]) -> Result<Filter, Fault> {
    query.only(&[&FILTERS[..], &besides].concat())?;
    asked(query)
}

/// What of a filter is sent; which of it may be, the caller has said.
fn asked(query: &Parameters) -> Result<Filter, Fault> {
    let time = "an RFC 3339 time, such as 2026-11-22T00:00:00Z";
    let id = "24 hexadecimal digits";
    Ok(Filter {
        through: None,
        user_id: query.parsed("user_id", id, |text| text.parse().ok())?,
        app_id: query.parsed("app_id", NAME_RULE, Name::parse)?,
        subject: query.parsed("subject", SUBJECT, subject)?,
        actor: query.parsed("actor", WORD, word)?,
        action: query.parsed("action", WORD, word)?,
        module: query.parsed("module", WORD, word)?,
        path: query.parsed("path", WORD, word)?,
        ip: query.parsed("ip", "an IP address, or a prefix as it is stored", address)?,
        outcome: query.parsed("outcome", "`done` or `refused`", |text| {
            ["done", "refused"].into_iter().find(|outcome| *outcome == text)
        })?,
        reference: query.parsed("reference", "1 to 255 characters", |text| {
            (1..=255).contains(&text.chars().count()).then(|| text.to_owned())
        })?,
        request_id: query.parsed("request_id", WORD, word)?,
        from: query.parsed("from", time, parse_rfc3339)?,
        to: query.parsed("to", time, parse_rfc3339)?,
    })
}

const SUBJECT: &str = "a subject such as user:<id>, app:<id>, module:<name>, operator:<id>";

fn subject(text: &str) -> Option<String> {
    let (kind, id) = text.split_once(':')?;
    (word(kind).is_some() && word(id).is_some()).then(|| text.to_owned())
}

fn word(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    ((1..=128).contains(&text.len()) && text.chars().all(allowed)).then(|| text.to_owned())
}

fn address(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/');
    ((2..=64).contains(&text.len()) && text.chars().all(allowed)).then(|| text.to_owned())
}

fn own_view(line: &Line) -> OwnEntryView {
    OwnEntryView {
        id: line.id.to_string(),
        user_id: line.user_id.map(|id| id.to_string()),
        action: line.action.clone(),
        module: line.module.clone(),
        timestamp: rfc3339(line.timestamp),
        paths: line.paths.clone(),
        connection_id: line.connection_id.map(|id| id.to_string()),
        request_id: line.request_id.clone(),
        actor: line.actor.clone(),
        outcome: line.outcome,
    }
}

/// For the person whose entry it is: opened, and without where an operator was.
pub fn whole(mut entry: Entry, key: Option<&DataKey>) -> impl Serialize + use<> {
    queries::open(&mut entry, key);
    if entry.actor.kind == ActorKind::Operator {
        entry.ip_address = None;
    }
    view(&entry)
}

pub fn view(entry: &Entry) -> EntryView {
    let changes = entry.changes.iter().map(|(path, sides)| (path.clone(), free::to_json(sides)));
    EntryView {
        id: entry.id.to_string(),
        user_id: entry.user_id.map(|id| id.to_string()),
        app_id: entry.app_id.as_ref().map(Name::to_string),
        action: entry.action.clone(),
        module: entry.module.clone(),
        changes: changes.collect(),
        timestamp: rfc3339(entry.timestamp),
        ip_address: entry.ip_address.clone(),
        subject: entry.subject.clone(),
        seq: entry.seq,
        actor: entry.actor.clone(),
        connection_id: entry.connection_id.map(|id| id.to_string()),
        request_id: entry.request_id.clone(),
        asserted_by: entry.asserted_by.as_ref().map(Name::to_string),
        reference: entry.reference.clone(),
        outcome: entry.outcome,
    }
}
