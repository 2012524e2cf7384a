//! `/v1/admin/jobs`, and what begins one: handlers.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::actions::{CancelJob, PauseJob, ReadJobs, ResumeJob, StartJob};
use super::commands::{self, Wanted};
use super::record::{Job, JobKind};
use super::view::JobView;
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::checks::Checks;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, JobId, NAME_RULE, Name};
use crate::store::{Done, Store};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/v1/admin/modules/{module}/backfill").route(web::post().to(backfill)),
        )
        .service(
            web::resource("/v1/admin/modules/{module}/versions/{version}/check")
                .route(web::post().to(check)),
        )
        .service(web::resource("/v1/admin/jobs").route(web::get().to(list)))
        .service(web::resource("/v1/admin/jobs/{job}").route(web::get().to(read)))
        .service(web::resource("/v1/admin/jobs/{job}/pause").route(web::post().to(pause)))
        .service(web::resource("/v1/admin/jobs/{job}/resume").route(web::post().to(resume)))
        .service(web::resource("/v1/admin/jobs/{job}/cancel").route(web::post().to(cancel)));
}

#[derive(OpenApi)]
#[openapi(paths(backfill, check, list, read, pause, resume, cancel))]
pub struct Paper;

/// How a module is given to everybody.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackfillBody {
    /// First-party apps whose connections get the module's permission besides.
    #[schema(value_type = Vec<String>, max_items = 10, example = json!(["external_app_001"]))]
    #[serde(default)]
    apps: Vec<String>,
    /// At most so many people a second; 2,500, unless sent.
    #[schema(value_type = i64, minimum = 1, maximum = 10_000, example = 2500)]
    #[serde(default = "per_second")]
    per_second: i64,
}

#[derive(Serialize, ToSchema)]
pub struct JobPage {
    #[schema(max_items = 200)]
    items: Vec<JobView>,
    /// `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

const PER_SECOND_MAX: i64 = 10_000;
const APPS_MAX: usize = 10;

fn per_second() -> i64 {
    2500
}

impl BackfillBody {
    fn wanted(self, module: Name) -> Result<Wanted, Fault> {
        let mut checks = Checks::default();
        checks.each("/apps", &self.apps, |app| Name::parse(app).is_some(), NAME_RULE);
        if self.apps.len() > APPS_MAX {
            checks.add("/apps", "too_many", format!("at most {APPS_MAX} apps"));
        }
        if !(1..=PER_SECOND_MAX).contains(&self.per_second) {
            checks.add("/per_second", "not_accepted", format!("1 to {PER_SECOND_MAX}"));
        }
        let apps: Vec<AppId> = self.apps.iter().filter_map(|app| Name::parse(app)).collect();
        let (kind, per_second) = (JobKind::Backfill, self.per_second);
        checks.or(Wanted { kind, module, version: None, apps, per_second })
    }
}

/// Give a module to everybody: data where there is none, the version in use where it is older, and
/// the permission to connections of the named apps. Answers at once; the job goes on.
#[utoipa::path(post, path = "/v1/admin/modules/{module}/backfill", operation_id = "backfill_module", tag = "admins",
    extensions(("x-needs" = json!(needs::<StartJob>()))), request_body = BackfillBody,
    params(("module" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = JobView)))]
async fn backfill(
    call: Call<StartJob, Json<BackfillBody>>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    let wanted = call.body.0.wanted(name(&path)?)?;
    Ok(begun(&commands::start(&grant, &store, wanted).await?)?)
}

/// Hold everybody's data against a version, without a change: how many would not fit, and why.
#[utoipa::path(post, path = "/v1/admin/modules/{module}/versions/{version}/check", operation_id = "check_module_version", tag = "admins",
    extensions(("x-needs" = json!(needs::<StartJob>()))),
    params(("module" = String, Path), ("version" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = JobView)))]
async fn check(
    call: Call<StartJob>,
    store: Data<Store>,
    path: Path<(String, String)>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    let (kind, module, version) = (JobKind::Check, name(&path.0)?, Some(path.1.clone()));
    let wanted = Wanted { kind, module, version, apps: Vec::new(), per_second: PER_SECOND_MAX };
    Ok(begun(&commands::start(&grant, &store, wanted).await?)?)
}

fn begun(done: &Done<Job>) -> Result<Answer, Fault> {
    Ok(Answer::accepted(&JobView::of(&done.answer))?.replayed(done.replayed))
}

/// List jobs, the newest first.
#[utoipa::path(get, path = "/v1/admin/jobs", operation_id = "list_jobs", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadJobs>()))),
    params(("module" = Option<String>, Query), ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = JobPage)))]
async fn list(
    call: Call<ReadJobs>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["module", "limit", "cursor"])?;
    let module = call.query.parsed("module", NAME_RULE, Name::parse)?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/admin/jobs", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let limit = call.query.limit()?;
    let page = commands::list(&call.grant, &store, module.as_ref(), limit, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&JobPage { items: page.items.iter().map(JobView::of).collect(), next_cursor })?)
}

/// Read how far a job has come.
#[utoipa::path(get, path = "/v1/admin/jobs/{job}", operation_id = "read_job", tag = "admins",
    extensions(("x-needs" = json!(needs::<ReadJobs>()))), params(("job" = String, Path)),
    responses((status = 200, body = JobView)))]
async fn read(
    call: Call<ReadJobs>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    Ok(Answer::ok(&JobView::of(&commands::find(&call.grant, &store, job(&path)?).await?))?)
}

/// Pause a job; what it did stays.
#[utoipa::path(post, path = "/v1/admin/jobs/{job}/pause", operation_id = "pause_job", tag = "admins",
    extensions(("x-needs" = json!(needs::<PauseJob>()))),
    params(("job" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = JobView, description = "Paused, now or before")))]
async fn pause(
    call: Call<PauseJob>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    Ok(told(&commands::pause(&grant, &store, job(&path)?).await?)?)
}

/// Let a paused job go on.
#[utoipa::path(post, path = "/v1/admin/jobs/{job}/resume", operation_id = "resume_job", tag = "admins",
    extensions(("x-needs" = json!(needs::<ResumeJob>()))),
    params(("job" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = JobView, description = "Waits for its turn, now or before")))]
async fn resume(
    call: Call<ResumeJob>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    Ok(told(&commands::resume(&grant, &store, job(&path)?).await?)?)
}

/// End a job; what it did stays.
#[utoipa::path(post, path = "/v1/admin/jobs/{job}/cancel", operation_id = "cancel_job", tag = "admins",
    extensions(("x-needs" = json!(needs::<CancelJob>()))),
    params(("job" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = JobView, description = "Canceled, now or before")))]
async fn cancel(
    call: Call<CancelJob>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let grant = call.grant.repeatable(call.repeatable);
    Ok(told(&commands::cancel(&grant, &store, job(&path)?).await?)?)
}

fn told(done: &Done<Job>) -> Result<Answer, Fault> {
    Ok(Answer::ok(&JobView::of(&done.answer))?.replayed(done.replayed))
}

/// A name or id that can be none is answered like one that does not exist.
fn name(text: &str) -> Result<Name, Fault> {
    Name::parse(text).ok_or_else(|| Fault::of(Code::NotFound))
}

fn job(text: &str) -> Result<JobId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}
