//! `/v1/users/{user}/wallet` and the name check: handlers for apps.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::actions::{
    CaptureHold, CheckName, Credit, Debit, PlaceHold, ReadWallet, Refund, ReleaseHold, Transfer,
};
use super::commands;
use super::holdings::WalletView;
use super::model::LineKind;
use super::plan::Purpose;
use super::queries::{self, Filter};
use super::statement::{self, Period, StatementView};
use super::view::{HeldView, ItemView, MovedView};
use super::wire::{
    self, CaptureBody, CreditBody, DebitBody, HoldBody, RefundBody, ReleaseBody, TransferBody,
};
use crate::access::action::Mutating;
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::access::grant::{Granted, OnTie};
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::AccountNumber;
use crate::kernel::time::{Timestamp, parse_rfc3339, rfc3339};
use crate::modules::asked::{repeatable, told};
use crate::store::{Done, Store};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/users/{user}/wallet").route(web::get().to(read)))
        .service(web::resource("/v1/users/{user}/wallet/entries").route(web::get().to(entries)))
        .service(web::resource("/v1/users/{user}/wallet/balance").route(web::get().to(balance)))
        .service(web::resource("/v1/users/{user}/wallet/statement").route(web::get().to(statement)))
        .service(web::resource("/v1/users/{user}/wallet/credits").route(web::post().to(credit)))
        .service(web::resource("/v1/users/{user}/wallet/debits").route(web::post().to(debit)))
        .service(web::resource("/v1/users/{user}/wallet/transfers").route(web::post().to(transfer)))
        .service(web::resource("/v1/users/{user}/wallet/holds").route(web::post().to(hold)))
        .service(
            web::resource("/v1/users/{user}/wallet/holds/{hold}/capture")
                .route(web::post().to(capture)),
        )
        .service(
            web::resource("/v1/users/{user}/wallet/holds/{hold}/release")
                .route(web::post().to(release)),
        )
        .service(
            web::resource("/v1/users/{user}/wallet/entries/{entry}/refund")
                .route(web::post().to(refund)),
        )
        .service(web::resource("/v1/accounts/{account_number}").route(web::get().to(name)));
}

#[derive(OpenApi)]
#[openapi(paths(
    read, entries, balance, statement, credit, debit, transfer, hold, capture, release, refund,
    name
))]
pub struct Paper;

#[derive(Serialize, ToSchema)]
pub struct EntryItems {
    #[schema(max_items = 200)]
    pub items: Vec<ItemView>,
    /// `null` on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// A balance of the past, as it was booked.
#[derive(Serialize, ToSchema)]
struct PastView {
    at: String,
    #[schema(minimum = 0)]
    balance: i64,
    #[schema(minimum = 0)]
    held: i64,
    /// The number of the newest entry then; 0 before the first.
    #[schema(minimum = 0)]
    seq: i64,
}

/// Whose account it is.
#[derive(Serialize, ToSchema)]
struct AccountView {
    account_number: String,
    /// First letters only; `null` where the person shows nothing.
    #[schema(required = true, example = "J*** D***")]
    name: Option<String>,
}

/// Read the wallet: balances, lots in the order in which they are spent, own open holds.
#[utoipa::path(get, path = "/v1/users/{user}/wallet", operation_id = "read_wallet", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadWallet>()))),
    params(("user" = String, Path)), responses((status = 200, body = WalletView)))]
async fn read(call: Call<ReadWallet>, gate: Data<Gate>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let target = call.grant.target();
    let (wallet, looker) = (queries::wallet(target)?, queries::looker(target)?);
    let view = WalletView::of(&wallet, call.grant.now(), &looker);
    Ok(Answer::ok(&view)?.seen(gate.seen_of(&call.grant, &[])))
}

/// List entries, the newest first. What other apps did is shown in short, and only where the person
/// lets their activity be seen.
#[utoipa::path(get, path = "/v1/users/{user}/wallet/entries", operation_id = "list_wallet_entries", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadWallet>()))),
    params(("user" = String, Path), ("kind" = Option<LineKind>, Query),
        ("reference" = Option<String>, Query, min_length = 1, max_length = 255),
        ("from" = Option<String>, Query, format = DateTime, description = "RFC 3339, included"),
        ("to" = Option<String>, Query, format = DateTime, description = "RFC 3339, not included"),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = EntryItems)))]
async fn entries(
    call: Call<ReadWallet>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let (filter, limit) = (filter(&call.query)?, call.query.limit()?);
    let list = list(&call.grant, &call.query);
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = queries::entries(&call.grant, &store, &filter, limit, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    let seen = gate.seen_of(&call.grant, &[]);
    Ok(Answer::ok(&EntryItems { items: page.items, next_cursor })?.seen(seen))
}

/// Read a balance of the past.
#[utoipa::path(get, path = "/v1/users/{user}/wallet/balance", operation_id = "read_balance", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadWallet>()))),
    params(("user" = String, Path),
        ("at" = String, Query, format = DateTime, description = "RFC 3339, not in the future; what was booked at this moment counts")),
    responses((status = 200, body = PastView)))]
async fn balance(
    call: Call<ReadWallet>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["at"])?;
    let at = past(&call.query, call.grant.now())?;
    let entry = queries::at(&call.grant, &store, at).await?;
    let figures = entry.map(|entry| (entry.balance_after, entry.held_after, entry.seq));
    let (balance, held, seq) = figures.unwrap_or_default();
    let seen = gate.seen_of(&call.grant, &[]);
    Ok(Answer::ok(&PastView { at: rfc3339(at), balance, held, seq })?.seen(seen))
}

/// Read a statement: all entries of a period between its two balances, as JSON or CSV.
#[utoipa::path(get, path = "/v1/users/{user}/wallet/statement", operation_id = "read_statement", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadWallet>()))),
    params(("user" = String, Path),
        ("from" = String, Query, format = DateTime, description = "RFC 3339, included"),
        ("to" = Option<String>, Query, format = DateTime, description = "RFC 3339, not included; now, unless sent"),
        ("format" = Option<String>, Query, pattern = "^(json|csv)$", example = "json", description = "`json`, unless sent")),
    responses((status = 200, description = "At most 10,000 entries", content(
        (StatementView = "application/json"), (String = "text/csv", example = json!("created_at,kind,amount,balance_change,balance,reference,description,account_number"))))))]
async fn statement(
    call: Call<ReadWallet>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let (period, as_csv) = period(&call.query, call.grant.now())?;
    let view = statement::statement(&call.grant, &store, period).await?;
    let answer = if as_csv { Answer::csv(view.csv()?) } else { Answer::ok(&view)? };
    Ok(answer.seen(gate.seen_of(&call.grant, &[])))
}

/// Issue credits: a new lot. Only where an admin lets the app (`may_issue`).
#[utoipa::path(post, path = "/v1/users/{user}/wallet/credits", operation_id = "credit_wallet", tag = "apps",
    extensions(("x-needs" = json!(needs::<Credit>()))), request_body = CreditBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn credit(
    call: Call<Credit, Json<CreditBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (issue, terms) = wire::issue(&call.body.0, purpose)?;
    let done = commands::credit(&grant, &store, issue, terms).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Take credits, in the order in which lots are spent.
#[utoipa::path(post, path = "/v1/users/{user}/wallet/debits", operation_id = "debit_wallet", tag = "apps",
    extensions(("x-needs" = json!(needs::<Debit>()))), request_body = DebitBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn debit(
    call: Call<Debit, Json<DebitBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (amount, terms) = wire::debit(&call.body.0, purpose)?;
    let done = commands::debit(&grant, &store, amount, terms).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Move credits to somebody else (first-party apps). They stay what they are: promotional credits
/// with an end arrive as such.
#[utoipa::path(post, path = "/v1/users/{user}/wallet/transfers", operation_id = "transfer_credits", tag = "apps",
    extensions(("x-needs" = json!(needs::<Transfer>()))), request_body = TransferBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn transfer(
    call: Call<Transfer, Json<TransferBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (amount, payee, terms) = wire::transfer(&call.body.0, purpose)?;
    let done = commands::transfer(&grant, &store, amount, payee, terms).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Set credits aside until they are captured or released, or their time is over.
#[utoipa::path(post, path = "/v1/users/{user}/wallet/holds", operation_id = "place_hold", tag = "apps",
    extensions(("x-needs" = json!(needs::<PlaceHold>()))), request_body = HoldBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = HeldView, description = "What would happen (`dry_run`)"), (status = 201, body = HeldView)))]
async fn hold(
    call: Call<PlaceHold, Json<HoldBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (amount, ttl_seconds, terms) = wire::hold(&call.body.0, purpose)?;
    let done = commands::hold(&grant, &store, amount, ttl_seconds, terms).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Take what a hold set aside, or a part of it; the rest is released.
#[utoipa::path(post, path = "/v1/users/{user}/wallet/holds/{hold}/capture", operation_id = "capture_hold", tag = "apps",
    extensions(("x-needs" = json!(needs::<CaptureHold>()))), request_body = CaptureBody,
    params(("user" = String, Path), ("hold" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn capture(
    call: Call<CaptureHold, Json<CaptureBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (amount, terms) = wire::capture(&call.body.0, purpose)?;
    let hold = wire::ledger_id(&path.1)?;
    let done = commands::capture(&grant, &store, hold, amount, terms).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Release what a hold set aside.
#[utoipa::path(post, path = "/v1/users/{user}/wallet/holds/{hold}/release", operation_id = "release_hold", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReleaseHold>()))), request_body = ReleaseBody,
    params(("user" = String, Path), ("hold" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn release(
    call: Call<ReleaseHold, Json<ReleaseBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (terms, hold) = (wire::release(&call.body.0, purpose)?, wire::ledger_id(&path.1)?);
    let done = commands::release(&grant, &store, hold, terms).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Put back what the app has debited or captured, or a part of it, into the same lots, the last one
/// first.
#[utoipa::path(post, path = "/v1/users/{user}/wallet/entries/{entry}/refund", operation_id = "refund_entry", tag = "apps",
    extensions(("x-needs" = json!(needs::<Refund>()))), request_body = RefundBody,
    params(("user" = String, Path), ("entry" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn refund(
    call: Call<Refund, Json<RefundBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let entry = wire::ledger_id(&path.1)?;
    let (refunding, terms) = wire::refund(&call.body.0, entry, purpose, grant.now())?;
    let done = commands::refund(&grant, &store, refunding, terms).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Ask whose account a number is, before credits are sent there (first-party apps).
#[utoipa::path(get, path = "/v1/accounts/{account_number}", operation_id = "check_account", tag = "apps",
    extensions(("x-needs" = json!(needs::<CheckName>()))),
    params(("account_number" = String, Path)),
    responses((status = 200, body = AccountView)))]
async fn name(
    call: Call<CheckName>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let number = AccountNumber::parse(&path).ok_or_else(|| Fault::of(Code::NotFound))?;
    let name = queries::name(&call.grant, &store, &number).await?;
    let account_number = number.as_str().to_owned();
    Ok(Answer::ok(&AccountView { account_number, name })?)
}

fn answer<A: Mutating<Target = OnTie>>(
    grant: &Granted<A>,
    gate: &Gate,
    purpose: Purpose,
    done: &Done<impl Serialize>,
) -> Result<Answer, Problem> {
    let seen = gate.seen_after(grant.target().user, done);
    Ok(told(purpose, done)?.seen(seen))
}

fn list<'a>(grant: &'a Granted<ReadWallet>, query: &Parameters) -> List<'a> {
    let filter = format!("{}&{}", grant.target().user, query.filter());
    List { scope: grant.scope(), route: "/v1/users/{user}/wallet/entries", filter }
}

const TIME: &str = "an RFC 3339 time, such as 2026-11-22T00:00:00Z";
const KINDS: &str =
    "credit, debit, transfer_in, transfer_out, hold, capture, release, refund, adjust or expire";

pub fn filter(query: &Parameters) -> Result<Filter, Fault> {
    query.only(&["kind", "reference", "from", "to", "limit", "cursor"])?;
    let kind = |text: &str| LineKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    let reference = |text: &str| {
        let fits = (1..=wire::REFERENCE_CHARACTERS_MAX).contains(&text.chars().count());
        fits.then(|| text.to_owned())
    };
    Ok(Filter {
        kind: query.parsed("kind", KINDS, kind)?,
        reference: query.parsed("reference", "1 to 255 characters", reference)?,
        from: query.parsed("from", TIME, parse_rfc3339)?,
        to: query.parsed("to", TIME, parse_rfc3339)?,
    })
}

fn past(query: &Parameters, now: Timestamp) -> Result<Timestamp, Fault> {
    let accepted = "an RFC 3339 time that is not in the future";
    let at = query.parsed("at", accepted, |text| parse_rfc3339(text).filter(|at| *at <= now))?;
    at.ok_or_else(|| Fault::invalid("at", "required", accepted))
}

fn period(query: &Parameters, now: Timestamp) -> Result<(Period, bool), Fault> {
    query.only(&["from", "to", "format"])?;
    let from = query.parsed("from", TIME, parse_rfc3339)?;
    let from = from.ok_or_else(|| Fault::invalid("from", "required", TIME))?;
    let to = query.parsed("to", TIME, parse_rfc3339)?;
    if to.is_none() && from > now {
        return Err(Fault::invalid("from", "not_accepted", "a time that is not in the future"));
    }
    let to = to.unwrap_or(now);
    if to < from {
        return Err(Fault::invalid("to", "not_accepted", "a time that is not before `from`"));
    }
    let as_csv = query.parsed("format", "`json` or `csv`", |text| match text {
        "json" => Some(false),
        "csv" => Some(true),
        _ => None,
    })?;
    Ok((Period { from, to }, as_csv.unwrap_or(false)))
}
