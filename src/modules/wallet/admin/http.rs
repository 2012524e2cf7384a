//! `/v1/admin/users/{user}/wallet`: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use utoipa::OpenApi;

use super::commands::{self, FrozenView};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::access::grant::Granted;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::UserId;
use crate::modules::asked::{repeatable, told};
use crate::modules::wallet::actions::{
    AdjustWallet, CaptureAnyHold, FreezeWallet, ReadWallets, ReleaseAnyHold, UnfreezeWallet,
};
use crate::modules::wallet::holdings::WalletView;
use crate::modules::wallet::http::{EntryItems, filter};
use crate::modules::wallet::model::LineKind;
use crate::modules::wallet::plan::Purpose;
use crate::modules::wallet::view::MovedView;
use crate::modules::wallet::wire::{self, AdjustBody, CaptureBody, ReleaseBody, WhyBody};
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/admin/users/{user}/wallet").route(web::get().to(read)))
        .service(
            web::resource("/v1/admin/users/{user}/wallet/entries").route(web::get().to(entries)),
        )
        .service(
            web::resource("/v1/admin/users/{user}/wallet/adjustments")
                .route(web::post().to(adjust)),
        )
        .service(
            web::resource("/v1/admin/users/{user}/wallet/freeze").route(web::post().to(freeze)),
        )
        .service(
            web::resource("/v1/admin/users/{user}/wallet/unfreeze").route(web::post().to(unfreeze)),
        )
        .service(
            web::resource("/v1/admin/users/{user}/wallet/holds/{hold}/capture")
                .route(web::post().to(capture)),
        )
        .service(
            web::resource("/v1/admin/users/{user}/wallet/holds/{hold}/release")
                .route(web::post().to(release)),
        );
}

#[derive(OpenApi)]
#[openapi(paths(read, entries, adjust, freeze, unfreeze, capture, release))]
pub struct Paper;

/// Read a person's wallet, with the holds of all apps.
#[utoipa::path(get, path = "/v1/admin/users/{user}/wallet", operation_id = "read_wallet_as_admin", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadWallets>()))),
    params(("user" = String, Path)), responses((status = 200, body = WalletView)))]
async fn read(
    call: Call<ReadWallets>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let wallet = commands::wallet(&call.grant, &store, user_id(&path)?).await?;
    let looker = commands::looker(&call.grant);
    Ok(Answer::ok(&WalletView::of(&wallet, call.grant.now(), &looker))?)
}

/// List all entries of a wallet, the newest first. Descriptions, metadata and reasons are shown to
/// operators who may see personal values.
#[utoipa::path(get, path = "/v1/admin/users/{user}/wallet/entries", operation_id = "list_wallet_entries_as_admin", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadWallets>()))),
    params(("user" = String, Path), ("kind" = Option<LineKind>, Query),
        ("reference" = Option<String>, Query, min_length = 1, max_length = 255),
        ("from" = Option<String>, Query, format = DateTime, description = "RFC 3339, included"),
        ("to" = Option<String>, Query, format = DateTime, description = "RFC 3339, not included"),
        ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = EntryItems)))]
async fn entries(
    call: Call<ReadWallets>,
    store: Data<Store>,
    gate: Data<Gate>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let (filter, limit, user) = (filter(&call.query)?, call.query.limit()?, user_id(&path)?);
    let list = list(&call.grant, &call.query, user);
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let asked = (&filter, limit, after);
    let page = commands::entries(&call.grant, &store, user, asked).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&EntryItems { items: page.items, next_cursor })?)
}

/// Correct a balance; the reason is kept.
#[utoipa::path(post, path = "/v1/admin/users/{user}/wallet/adjustments", operation_id = "adjust_wallet", tag = "admins",
    extensions(("x-needs" = json!(needs::<AdjustWallet>()))), request_body = AdjustBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn adjust(
    call: Call<AdjustWallet, Json<AdjustBody>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (correction, terms) = wire::adjustment(&call.body.0, purpose)?;
    let done = commands::adjust(&grant, &store, user_id(&path)?, correction, terms).await?;
    Ok(told(purpose, &done)?)
}

/// Freeze a wallet: it takes credits, refunds and adjustments, and refuses the rest.
#[utoipa::path(post, path = "/v1/admin/users/{user}/wallet/freeze", operation_id = "freeze_wallet", tag = "admins",
    extensions(("x-needs" = json!(needs::<FreezeWallet>()))), request_body = WhyBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = FrozenView, description = "Frozen, now or before")))]
async fn freeze(
    call: Call<FreezeWallet, Json<WhyBody>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, Purpose::ForGood)?;
    let (user, reason) = (user_id(&path)?, wire::why(&call.body.0)?);
    let done = commands::freeze(&grant, &store, user, reason).await?;
    Ok(Answer::ok(&done.answer)?.replayed(done.replayed))
}

/// Unfreeze a wallet.
#[utoipa::path(post, path = "/v1/admin/users/{user}/wallet/unfreeze", operation_id = "unfreeze_wallet", tag = "admins",
    extensions(("x-needs" = json!(needs::<UnfreezeWallet>()))),
    params(("user" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = FrozenView, description = "Not frozen, now or before")))]
async fn unfreeze(
    call: Call<UnfreezeWallet>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, Purpose::ForGood)?;
    let done = commands::unfreeze(&grant, &store, user_id(&path)?).await?;
    Ok(Answer::ok(&done.answer)?.replayed(done.replayed))
}

/// Capture a hold of whichever app.
#[utoipa::path(post, path = "/v1/admin/users/{user}/wallet/holds/{hold}/capture", operation_id = "capture_any_hold", tag = "admins",
    extensions(("x-needs" = json!(needs::<CaptureAnyHold>()))), request_body = CaptureBody,
    params(("user" = String, Path), ("hold" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn capture(
    call: Call<CaptureAnyHold, Json<CaptureBody>>,
    store: Data<Store>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (amount, terms) = wire::capture(&call.body.0, purpose)?;
    let (user, hold) = (user_id(&path.0)?, wire::ledger_id(&path.1)?);
    let done = commands::capture(&grant, &store, user, (hold, amount), terms).await?;
    Ok(told(purpose, &done)?)
}

/// Release a hold of whichever app.
#[utoipa::path(post, path = "/v1/admin/users/{user}/wallet/holds/{hold}/release", operation_id = "release_any_hold", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReleaseAnyHold>()))), request_body = ReleaseBody,
    params(("user" = String, Path), ("hold" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = MovedView, description = "What would happen (`dry_run`)"), (status = 201, body = MovedView)))]
async fn release(
    call: Call<ReleaseAnyHold, Json<ReleaseBody>>,
    store: Data<Store>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    let purpose = wire::purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let terms = wire::release(&call.body.0, purpose)?;
    let (user, hold) = (user_id(&path.0)?, wire::ledger_id(&path.1)?);
    let done = commands::release(&grant, &store, user, hold, terms).await?;
    Ok(told(purpose, &done)?)
}

fn list<'a>(grant: &'a Granted<ReadWallets>, query: &Parameters, user: UserId) -> List<'a> {
    let filter = format!("{user}&{}", query.filter());
    List { scope: grant.scope(), route: "/v1/admin/users/{user}/wallet/entries", filter }
}

/// An id that can be none is answered like one that does not exist.
fn user_id(text: &str) -> Result<UserId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}
