//! `/v1/users/{user}/subscription` and `/v1/plans`: handlers for apps.

use actix_web::web::{self, Data, ServiceConfig};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

use super::actions::{
    CancelSubscription, ChangeSubscription, ListPlans, ReadSubscription, ResumeSubscription,
    StartSubscription,
};
use super::commands::{self, Counter, When};
use super::queries;
use super::view::{ChangedView, EntitlementsView, OfferItems, OfferView, SubscriptionView};
use crate::access::action::Mutating;
use crate::access::gate::Gate;
use crate::access::grant::{Granted, OnTie};
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{NAME_RULE, Name};
use crate::modules::PurseRef;
use crate::modules::asked::{Purpose, purpose, repeatable, told};
use crate::store::{Done, Store};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/users/{user}/subscription")
                .route(web::get().to(read))
                .route(web::post().to(start)),
        )
        .service(
            web::resource("/v1/users/{user}/subscription/entitlements")
                .route(web::get().to(entitlements)),
        )
        .service(
            web::resource("/v1/users/{user}/subscription/change").route(web::post().to(change)),
        )
        .service(
            web::resource("/v1/users/{user}/subscription/cancel").route(web::post().to(cancel)),
        )
        .service(
            web::resource("/v1/users/{user}/subscription/resume").route(web::post().to(resume)),
        )
        .service(web::resource("/v1/plans").route(web::get().to(plans)));
}

#[derive(OpenApi)]
#[openapi(paths(read, entitlements, start, change, cancel, resume, plans))]
pub struct Paper;

/// Which plan is to be had.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "premium")]
    plan: String,
}

/// Which plan is to be had instead, and from when on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "premium")]
    plan: String,
    /// `period_end`, unless sent.
    #[serde(default)]
    when: Option<WhenBody>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeWhen)]
pub enum WhenBody {
    /// What was not used of the old plan comes back, the rest of the period is paid for under the new
    /// one: two entries of the wallet, prorated by seconds.
    Now,
    PeriodEnd,
}

/// Read the subscription. Its status is computed from the times, whatever was stored last.
#[utoipa::path(get, path = "/v1/users/{user}/subscription", operation_id = "read_subscription", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadSubscription>()))),
    params(("user" = String, Path)), responses((status = 200, body = SubscriptionView)))]
async fn read(call: Call<ReadSubscription>, gate: Data<Gate>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let contract = queries::contract(call.grant.target())?;
    let view = SubscriptionView::of(contract.as_ref(), call.grant.now());
    Ok(Answer::ok(&view)?.seen(gate.seen_of(&call.grant, &[])))
}

/// Ask what the person may use now: one feature, or all of them.
#[utoipa::path(get, path = "/v1/users/{user}/subscription/entitlements", operation_id = "read_entitlements", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadSubscription>()))),
    params(("user" = String, Path), ("feature" = Option<String>, Query, min_length = 1, max_length = 64)),
    responses((status = 200, body = EntitlementsView)))]
async fn entitlements(call: Call<ReadSubscription>, gate: Data<Gate>) -> Result<Answer, Problem> {
    call.query.only(&["feature"])?;
    let fits = |text: &str| (1..=64).contains(&text.chars().count()).then(|| text.to_owned());
    let feature = call.query.parsed("feature", "1 to 64 characters", fits)?;
    let contract = queries::contract(call.grant.target())?;
    let view = EntitlementsView::of(contract.as_ref(), call.grant.now(), feature.as_deref());
    Ok(Answer::ok(&view)?.seen(gate.seen_of(&call.grant, &[])))
}

/// Start a subscription to a plan that the app sells. Its price is taken from the wallet at once,
/// unless it begins with a trial; each person has one trial.
#[utoipa::path(post, path = "/v1/users/{user}/subscription", operation_id = "start_subscription", tag = "apps",
    extensions(("x-needs" = json!(needs::<StartSubscription>()))), request_body = StartBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = ChangedView, description = "What would happen (`dry_run`)"), (status = 201, body = ChangedView)))]
async fn start(
    call: Call<StartSubscription, Json<StartBody>>,
    (store, gate, purse): (Data<Store>, Data<Gate>, Data<PurseRef>),
) -> Result<Answer, Problem> {
    let purpose = purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let plan = plan(&call.body.0.plan)?;
    let counter = Counter { store: &store, purse: **purse, purpose };
    let done = commands::start(&grant, counter, plan).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Change the plan, at once or at the end of the period.
#[utoipa::path(post, path = "/v1/users/{user}/subscription/change", operation_id = "change_subscription", tag = "apps",
    extensions(("x-needs" = json!(needs::<ChangeSubscription>()))), request_body = ChangeBody,
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = ChangedView, description = "What would happen (`dry_run`)"), (status = 201, body = ChangedView)))]
async fn change(
    call: Call<ChangeSubscription, Json<ChangeBody>>,
    (store, gate, purse): (Data<Store>, Data<Gate>, Data<PurseRef>),
) -> Result<Answer, Problem> {
    let purpose = purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let (plan, when) = (plan(&call.body.0.plan)?, when(call.body.0.when));
    let counter = Counter { store: &store, purse: **purse, purpose };
    let done = commands::change(&grant, counter, plan, when).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Cancel at the end of the period; what is past due ends at once.
#[utoipa::path(post, path = "/v1/users/{user}/subscription/cancel", operation_id = "cancel_subscription", tag = "apps",
    extensions(("x-needs" = json!(needs::<CancelSubscription>()))),
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = ChangedView, description = "What would happen (`dry_run`)"), (status = 201, body = ChangedView)))]
async fn cancel(
    call: Call<CancelSubscription>,
    (store, gate, purse): (Data<Store>, Data<Gate>, Data<PurseRef>),
) -> Result<Answer, Problem> {
    let purpose = purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let counter = Counter { store: &store, purse: **purse, purpose };
    let done = commands::cancel(&grant, counter).await?;
    answer(&grant, &gate, purpose, &done)
}

/// Take a cancellation back, while the period lasts.
#[utoipa::path(post, path = "/v1/users/{user}/subscription/resume", operation_id = "resume_subscription", tag = "apps",
    extensions(("x-needs" = json!(needs::<ResumeSubscription>()))),
    params(("user" = String, Path), ("Idempotency-Key" = String, Header), ("dry_run" = Option<bool>, Query)),
    responses((status = 200, body = ChangedView, description = "What would happen (`dry_run`)"), (status = 201, body = ChangedView)))]
async fn resume(
    call: Call<ResumeSubscription>,
    (store, gate, purse): (Data<Store>, Data<Gate>, Data<PurseRef>),
) -> Result<Answer, Problem> {
    let purpose = purpose(&call.query)?;
    let grant = repeatable(call.grant, call.repeatable, &call.preconditions, purpose)?;
    let counter = Counter { store: &store, purse: **purse, purpose };
    let done = commands::resume(&grant, counter).await?;
    answer(&grant, &gate, purpose, &done)
}

/// List the plans that the app sells.
#[utoipa::path(get, path = "/v1/plans", operation_id = "list_offers", tag = "apps",
    extensions(("x-needs" = json!(needs::<ListPlans>()))),
    responses((status = 200, body = OfferItems)))]
async fn plans(call: Call<ListPlans>, store: Data<Store>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let offers = queries::offers(&call.grant, &store).await?;
    Ok(Answer::ok(&OfferItems { items: offers.iter().map(OfferView::of).collect() })?)
}

fn answer<A: Mutating<Target = OnTie>>(
    grant: &Granted<A>,
    gate: &Gate,
    purpose: Purpose,
    done: &Done<ChangedView>,
) -> Result<Answer, Problem> {
    let seen = gate.seen_after(grant.target().user, done);
    Ok(told(purpose, done)?.seen(seen))
}

fn plan(text: &str) -> Result<Name, Fault> {
    Name::parse(text).ok_or_else(|| Fault::invalid("/plan", "not_accepted", NAME_RULE))
}

fn when(sent: Option<WhenBody>) -> When {
    match sent {
        Some(WhenBody::Now) => When::Now,
        Some(WhenBody::PeriodEnd) | None => When::PeriodEnd,
    }
}
