//! `/v1/admin/users/{user}/erase` and `…/export`: the handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

use super::actions::{EraseUser, ExportUser};
use super::commands::{self, ErasedView, LeftCredits};
use super::document::{self, ExportView};
use super::export;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::checks::Checks;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::streamed::streamed;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::text;
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/admin/users/{user}/erase").route(web::post().to(erase)))
        .service(web::resource("/v1/admin/users/{user}/export").route(web::get().to(export_user)));
}

#[derive(OpenApi)]
#[openapi(paths(erase, export_user))]
pub struct Paper;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EraseBody {
    /// Why. It stays readable in the trail for ever, so nothing of the person belongs in it.
    #[schema(min_length = 1, max_length = 255, example = "Ticket 4711: asked for it")]
    reason: String,
    /// What becomes of credits that are left; `refuse`, unless sent.
    #[serde(default)]
    credits: LeftCredits,
}

const REASON_CHARACTERS_MAX: usize = 255;

/// Erase a person for good: personal fields, identifiers and data key go, connections are cut. What
/// the trail keeps sealed can never be read again, and is proved as before.
#[utoipa::path(post, path = "/v1/admin/users/{user}/erase", operation_id = "erase_user", tag = "admins",
    extensions(("x-needs" = json!(needs::<EraseUser>()))), request_body = EraseBody,
    params(("user" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = ErasedView, description = "Erased, now or before")))]
async fn erase(
    call: Call<EraseUser, Json<EraseBody>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    let user = path.parse().map_err(|_| Fault::of(Code::NotFound))?;
    let EraseBody { reason, credits } = call.body.0;
    let mut checks = Checks::default();
    let reason = checks.parsed("/reason", &reason, |it| text::line(it, REASON_CHARACTERS_MAX));
    let done = commands::erase(&grant, &store, user, credits, checks.or(reason)?).await?;
    Ok(Answer::ok(&done.answer)?.replayed(done.replayed))
}

/// Everything that is kept of a person, as one document, sent while it is read. Each export leaves an
/// entry in the person's trail. Of an erased person there is what is left, and no entry.
#[utoipa::path(get, path = "/v1/admin/users/{user}/export", operation_id = "export_user", tag = "admins",
    extensions(("x-needs" = json!(needs::<ExportUser>()))),
    params(("user" = String, Path),
        ("reason" = Option<String>, Query, min_length = 1, max_length = 255, description = "Why. It stays readable in the trail for ever, so nothing of the person belongs in it")),
    responses((status = 200, body = ExportView)))]
async fn export_user(
    call: Call<ExportUser>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&["reason"])?;
    let user = path.parse().map_err(|_| Fault::of(Code::NotFound))?;
    let line = |it: &str| text::line(it, REASON_CHARACTERS_MAX).ok();
    let reason = call.query.parsed("reason", "1 to 255 characters in one line", line)?;
    let whole = export::export(&call.grant, &store, user, reason).await?;
    let store = Store::clone(&store);
    Ok(Answer::streamed(streamed(|writer| document::write(whole, store, writer))))
}
