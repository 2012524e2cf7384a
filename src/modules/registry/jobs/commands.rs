//! Beginning, pausing and ending jobs, for admins.

use bson::doc;

use super::actions::{CancelJob, PauseJob, ReadJobs, ResumeJob};
use super::record::{Job, JobKind, JobStatus, Progress};
use crate::access::action::Mutating;
use crate::access::grant::{Granted, OnPlatform};
use crate::apps::{self, Trust};
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, JobId, Name};
use crate::kernel::page::{Limit, Page};
use crate::kernel::time::Timestamp;
use crate::modules::registry::custom::Custom;
use crate::modules::registry::queries;
use crate::modules::registry::record::Registered;
use crate::store::{Done, Hints, Query, Record, Store};

/// A job that is to begin.
pub struct Wanted {
    pub kind: JobKind,
    pub module: Name,
    pub version: Option<String>,
    pub apps: Vec<AppId>,
    pub per_second: i64,
}

/// By an admin, or by the command line.
pub async fn start<A: Mutating>(
    grant: &Granted<A>,
    store: &Store,
    wanted: Wanted,
) -> Result<Done<Job>, Fault> {
    let grant = grant.concerning(&wanted.module);
    let (pass, warrant, now) = (&grant.pass(), grant.warrant(), grant.now());
    let line = queries::find(pass, store, &wanted.module).await?;
    wanted.suits(&line)?;
    for (at, app) in wanted.apps.iter().enumerate() {
        may_hold(pass, store, &line, app, at).await?;
    }
    let job = wanted.job(JobId::new(store.chance(), now), now);
    let hints = Hints::none().and(&job.key()).look(&Registered::by_id(line.id));
    let name = wanted.module.clone();
    let open = match wanted.kind {
        JobKind::Backfill => running(pass, store, &name).await?,
        JobKind::Check => None,
    };
    store
        .unit(warrant, hints, move |work| {
            Registered::existing(work.find(&Registered::by_id(line.id))?)?;
            if let Some(other) = open {
                let detail = format!("Job {other} of `{name}` is not over: wait, or cancel it.");
                return Err(Fault::new(Code::WrongState, detail).into());
            }
            work.create(&job)?;
            Ok(job.clone())
        })
        .await
}

impl Wanted {
    fn suits(&self, line: &Registered) -> Result<(), Fault> {
        if crate::modules::ALL.iter().any(|one| one.name() == line.module_name.as_str()) {
            return Err(Fault::of(Code::ModuleBuiltIn));
        }
        if let Some(version) = &self.version {
            let known = line.published(version);
            return known.map(|_| ()).ok_or_else(|| Fault::of(Code::NotFound));
        }
        if !line.is_open() {
            let detail = "Nobody could see it: set the module's status to `active` first.";
            return Err(Fault::new(Code::WrongState, detail));
        }
        if Custom::of(line.clone())?.read(None).is_none() {
            let detail = "Its defaults do not make a whole document: publish a version whose \
                          `defaults` name every required field.";
            return Err(Fault::new(Code::WrongState, detail));
        }
        Ok(())
    }

    fn job(&self, id: JobId, now: Timestamp) -> Job {
        Job {
            id,
            kind: self.kind,
            module_name: self.module.clone(),
            version: self.version.clone(),
            apps: self.apps.clone(),
            per_second: self.per_second,
            status: JobStatus::Queued,
            created_at: now,
            ended_at: None,
            progress: Progress::default(),
            lease: None,
            revision: 1,
        }
    }
}

/// Connections of a third-party app get a permission from their person, not from an admin.
async fn may_hold(
    pass: &Pass,
    store: &Store,
    line: &Registered,
    app: &AppId,
    at: usize,
) -> Result<(), Fault> {
    let refused = |code, detail: String| Err(Fault::invalid(format!("/apps/{at}"), code, detail));
    let Ok(app) = apps::find(pass, store, app).await else {
        return refused("unknown", "the id of a registered app".to_owned());
    };
    if app.trust != Trust::FirstParty {
        let detail = "a first-party app: the people of a third-party app decide themselves";
        return refused("not_first_party", detail.to_owned());
    }
    if !app.permissions.contains(&line.permission) {
        let detail = format!("an app whose `permissions` hold `{}`", line.permission);
        return refused("beyond_ceiling", detail);
    }
    Ok(())
}

async fn running(pass: &Pass, store: &Store, module: &Name) -> Result<Option<JobId>, Fault> {
    let open = doc! { "module_name": module.as_str(), "kind": "backfill",
    "status": { "$in": ["queued", "running", "paused"] } };
    let open: Vec<Job> = store.list(pass, Query::of(Job::KIND.collection, open).limit(1)).await?;
    Ok(open.first().map(|job| job.id))
}

pub async fn pause(
    grant: &Granted<PauseJob>,
    store: &Store,
    id: JobId,
) -> Result<Done<Job>, Fault> {
    let open = [JobStatus::Queued, JobStatus::Running];
    turn(grant, store, id, &open, JobStatus::Paused).await
}

pub async fn resume(
    grant: &Granted<ResumeJob>,
    store: &Store,
    id: JobId,
) -> Result<Done<Job>, Fault> {
    turn(grant, store, id, &[JobStatus::Paused], JobStatus::Queued).await
}

pub async fn cancel(
    grant: &Granted<CancelJob>,
    store: &Store,
    id: JobId,
) -> Result<Done<Job>, Fault> {
    let open = [JobStatus::Queued, JobStatus::Running, JobStatus::Paused];
    turn(grant, store, id, &open, JobStatus::Canceled).await
}

/// From one of `from` to `to`; again is no change.
async fn turn<A: Mutating<Target = OnPlatform>>(
    grant: &Granted<A>,
    store: &Store,
    id: JobId,
    from: &[JobStatus],
    to: JobStatus,
) -> Result<Done<Job>, Fault> {
    let (from, now) = (from.to_vec(), grant.now());
    let job = store.find(&grant.pass(), &Job::by_id(id)).await?;
    let job = job.ok_or_else(|| Fault::of(Code::NotFound))?;
    let grant = grant.concerning(&job.module_name);
    let unit = store.unit(grant.warrant(), Hints::none().and(&Job::by_id(id)), move |work| {
        let before = work.get(&Job::by_id(id))?;
        if before.status == to {
            return Ok(before);
        }
        if !from.contains(&before.status) {
            let detail = format!("The job is {}.", before.status.as_str());
            return Err(Fault::new(Code::WrongState, detail).into());
        }
        let mut after = before.clone();
        after.status = to;
        after.ended_at = (!to.is_open()).then_some(now);
        work.revise(&before, &after)?;
        Ok(after)
    });
    unit.await
}

pub async fn find(grant: &Granted<ReadJobs>, store: &Store, id: JobId) -> Result<Job, Fault> {
    let job = store.find(&grant.pass(), &Job::by_id(id)).await?;
    job.ok_or_else(|| Fault::of(Code::NotFound))
}

/// The newest first.
pub async fn list(
    grant: &Granted<ReadJobs>,
    store: &Store,
    module: Option<&Name>,
    limit: Limit,
    after: Option<JobId>,
) -> Result<Page<Job, JobId>, Fault> {
    let mut filter = doc! {};
    if let Some(module) = module {
        filter.insert("module_name", module.as_str());
    }
    if let Some(after) = after {
        filter.insert("_id", doc! { "$lt": after.0 });
    }
    let query = Query::of(Job::KIND.collection, filter).sort(doc! { "_id": -1 });
    let rows = store.list(&grant.pass(), query.limit(limit.rows() + 1)).await?;
    Ok(Page::cut(rows, limit, |job: &Job| job.id))
}
