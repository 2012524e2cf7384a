//! `/v1/users/{user}/referrals`: handlers for apps.

use actix_web::web::{self, Data, ServiceConfig};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

use super::actions::{MakeCode, ReadReferrals, RedeemCode};
use super::commands::{self, Redemption};
use super::model::{CUSTOM_RULE, Code};
use super::record::Member;
use super::view::{CodeView, RedeemedView, ReferralsView};
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::checks::Checks;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{NAME_RULE, Name};
use crate::kernel::text;
use crate::modules::asked::{Purpose, repeatable};
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/users/{user}/referrals").route(web::get().to(read)))
        .service(web::resource("/v1/users/{user}/referrals/code").route(web::post().to(code)))
        .service(web::resource("/v1/users/{user}/referrals/redeem").route(web::post().to(redeem)));
}

#[derive(OpenApi)]
#[openapi(paths(read, code, redeem))]
pub struct Paper;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReferralCodeBody)]
pub struct CodeBody {
    /// One of the person's choice, theirs for good; a random one, unless sent.
    #[schema(
        max_length = 20,
        pattern = "^-*([0-9A-TV-Za-tv-z]-*){4,20}$",
        example = "JOHNS-FRIENDS"
    )]
    #[serde(default)]
    code: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemBody {
    /// In capitals or not; what looks alike is taken for alike.
    #[schema(max_length = 20, pattern = "^-*([0-9A-TV-Za-tv-z]-*){4,20}$", example = "7K3M9QXZ")]
    code: String,
    /// `standard`, unless sent.
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "standard")]
    #[serde(default)]
    programme: Option<String>,
    /// What tells the person's device from others; only compared, never kept as it is.
    #[schema(min_length = 1, max_length = 200, example = "ios-4f1c")]
    #[serde(default)]
    device: Option<String>,
}

const STANDARD: &str = "standard";
const DEVICE_CHARACTERS_MAX: usize = 200;

/// Read a person's code, how many came by it, and whether they came by somebody's.
#[utoipa::path(get, path = "/v1/users/{user}/referrals", operation_id = "read_referrals", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadReferrals>()))),
    params(("user" = String, Path)), responses((status = 200, body = ReferralsView)))]
async fn read(call: Call<ReadReferrals>, gate: Data<Gate>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let member = call.grant.target().records.user.record::<Member>()?;
    let view = ReferralsView::of(member.referrals());
    Ok(Answer::ok(&view)?.seen(gate.seen_of(&call.grant, &[])))
}

/// Get the person's code: made when it is first asked for, or one of their choice. Codes that they had
/// before still count.
#[utoipa::path(post, path = "/v1/users/{user}/referrals/code", operation_id = "make_referral_code", tag = "apps",
    extensions(("x-needs" = json!(needs::<MakeCode>()))), request_body = CodeBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 201, body = CodeView)))]
async fn code(
    call: Call<MakeCode, Json<CodeBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, Purpose::ForGood)?;
    let custom = call.body.0.code.as_deref().map(parsed).transpose()?;
    let done = commands::code(&grant, &store, custom).await?;
    let seen = gate.seen_after(grant.target().user, &done);
    Ok(Answer::created(&done.answer)?.replayed(done.replayed).seen(seen))
}

/// Redeem somebody's code, once, within 30 days of the registration. The reward comes when its event
/// has.
#[utoipa::path(post, path = "/v1/users/{user}/referrals/redeem", operation_id = "redeem_referral_code", tag = "apps",
    extensions(("x-needs" = json!(needs::<RedeemCode>()))), request_body = RedeemBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 201, body = RedeemedView)))]
async fn redeem(
    call: Call<RedeemCode, Json<RedeemBody>>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, Purpose::ForGood)?;
    let done = commands::redeem(&grant, &store, redemption(&call.body.0)?).await?;
    let seen = gate.seen_after(grant.target().user, &done);
    Ok(Answer::created(&done.answer)?.replayed(done.replayed).seen(seen))
}

fn parsed(text: &str) -> Result<Code, Fault> {
    Code::parse(text).ok_or_else(|| Fault::invalid("/code", "not_accepted", CUSTOM_RULE))
}

fn redemption(body: &RedeemBody) -> Result<Redemption, Fault> {
    let mut checks = Checks::default();
    let programme = Name::parse(body.programme.as_deref().unwrap_or(STANDARD));
    if programme.is_none() {
        checks.add("/programme", "not_accepted", NAME_RULE);
    }
    let device = body.device.as_deref();
    let device = device.map(|device| {
        checks.parsed("/device", device, |device| text::line(device, DEVICE_CHARACTERS_MAX))
    });
    let programme = checks.or(programme)?;
    let programme =
        programme.ok_or_else(|| Fault::invalid("/programme", "not_accepted", NAME_RULE))?;
    Ok(Redemption { code: parsed(&body.code)?, programme, device })
}
