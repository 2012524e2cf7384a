//! The work itself: page after page of people, each page at most so fast.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures_util::StreamExt;
use serde::Deserialize;

use super::actions::WorkOnJob;
use super::person::{Outcome, Someone};
use super::record::{Job, JobKind, JobStatus, Progress, Reason, SAMPLES_MAX, Sample};
use super::survey::Row;
use crate::access::grant::Granted;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{ConnectionId, JobId, UserId};
use crate::kernel::time::{self, SECOND_MS, Timestamp};
use crate::modules::registry::custom::Custom;
use crate::modules::registry::queries;
use crate::store::{Hints, Query, Record, Store};

/// People that are looked at together, at most, and changed at once. A page is never more than may be
/// done in half a second, so that a job that is told to stop does.
const PAGE: usize = 500;
const AT_ONCE: usize = 64;
/// Longer than a page takes; after that another node takes the job up.
const TURN_MS: i64 = 10 * SECOND_MS;
const OPEN: &[&str] = &["queued", "running"];

/// A node's turn at one job.
pub struct Shift {
    pub id: JobId,
    term: i64,
    custom: Option<Arc<Custom>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do, not before this time has passed.
    More(Duration),
    /// It is over, or no longer this node's.
    Over,
}

/// Takes a turn at a job that waits for one: at `wanted`, or at the oldest.
pub async fn claim(
    grant: &Granted<WorkOnJob>,
    store: &Store,
    wanted: Option<JobId>,
) -> Result<Option<Shift>, Fault> {
    #[derive(Deserialize)]
    struct Waiting {
        #[serde(rename = "_id")]
        id: JobId,
    }
    let mut waiting = doc! { "status": { "$in": OPEN.to_vec() } };
    if let Some(id) = wanted {
        waiting.insert("_id", id.0);
    }
    let query = Query::of(Job::KIND.collection, waiting).sort(doc! { "_id": 1 });
    let waiting: Vec<Waiting> = store.list(&grant.pass(), query.limit(20)).await?;
    for Waiting { id } in waiting {
        let now = grant.now();
        let turn = store.take_turn(&Job::by_id(id), OPEN, now, time::plus(now, TURN_MS)).await?;
        if let Some(term) = turn {
            return Ok(Some(Shift { id, term, custom: None }));
        }
    }
    Ok(None)
}

/// One page.
pub async fn step(
    grant: &Granted<WorkOnJob>,
    store: &Store,
    shift: &mut Shift,
) -> Result<Step, Fault> {
    let began = Instant::now();
    let Some(mut job) = shift.job(grant, store).await? else { return Ok(Step::Over) };
    let custom = match shift.custom(grant, store, &job).await {
        Ok(custom) => custom,
        Err(fault) if fault.code() == Code::NotFound => {
            return turn_to(grant, store, &job, JobStatus::Failed).await;
        }
        Err(fault) => return Err(fault),
    };
    if job.status == JobStatus::Queued {
        turn_to(grant, store, &job, JobStatus::Running).await?;
        job.progress.total = store.estimate(&grant.pass(), "users").await?;
        job.progress.started_at.get_or_insert(grant.now());
    }
    let round = Round { grant, store, job: &job, custom: &custom };
    let page = round.page().await?;
    let (people, outcomes) = (page.rows.len(), round.outcomes(page.rows.clone()).await?);
    let mut progress = job.progress.clone();
    let changed = note(&mut progress, &page, outcomes);
    let rest = rest(people, job.per_second, began.elapsed());
    let worked = (began.elapsed() + rest).as_millis();
    progress.worked_ms += i64::try_from(worked).unwrap_or(0);
    if !shift.keep(store, grant.now(), &progress).await? {
        return Ok(Step::Over);
    }
    if page.kind == PageKind::Stragglers && !changed {
        return turn_to(grant, store, &job, JobStatus::Done).await;
    }
    Ok(Step::More(rest))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageKind {
    Next,
    /// After the last page: who was registered, or changed by an older version, behind its back.
    Stragglers,
}

struct Page {
    kind: PageKind,
    rows: Vec<Row>,
}

impl Shift {
    /// While there is something to do, and it is this node's turn.
    async fn job(&self, grant: &Granted<WorkOnJob>, store: &Store) -> Result<Option<Job>, Fault> {
        let job = store.find(&grant.pass(), &Job::by_id(self.id)).await?;
        let own = |job: &Job| job.lease.is_some_and(|lease| lease.term == self.term);
        Ok(job.filter(|job| OPEN.contains(&job.status.as_str()) && own(job)))
    }

    /// The module as it is now; compiled once for each of its changes.
    async fn custom(
        &mut self,
        grant: &Granted<WorkOnJob>,
        store: &Store,
        job: &Job,
    ) -> Result<Arc<Custom>, Fault> {
        let line = queries::find(&grant.pass(), store, &job.module_name).await?;
        if job.kind == JobKind::Backfill && !line.is_open() {
            return Err(Fault::of(Code::NotFound));
        }
        let same = self.custom.take().filter(|known| known.line.revision == line.revision);
        let custom = match (same, &job.version) {
            (Some(known), _) => known,
            (None, None) => Arc::new(Custom::of(line)?),
            (None, Some(version)) => {
                let published = line.published(version).cloned();
                let published = published.ok_or_else(|| Fault::of(Code::NotFound))?;
                let now = line.updated_at;
                Arc::new(Custom::of(line.with_active(&published, now))?)
            }
        };
        self.custom = Some(Arc::clone(&custom));
        Ok(custom)
    }

    async fn keep(
        &self,
        store: &Store,
        now: Timestamp,
        progress: &Progress,
    ) -> Result<bool, Fault> {
        let progress = bson::serialize_to_document(progress);
        let progress = progress.map_err(|_| Fault::internal("progress cannot be encoded"))?;
        let until = time::plus(now, TURN_MS);
        store.keep_turn(&Job::by_id(self.id), self.term, until, progress).await
    }
}

/// What one page is worked off with.
struct Round<'a> {
    grant: &'a Granted<WorkOnJob>,
    store: &'a Store,
    job: &'a Job,
    custom: &'a Arc<Custom>,
}

impl Round<'_> {
    fn name(&self) -> &str {
        self.custom.line.module_name.as_str()
    }

    async fn page(&self) -> Result<Page, Fault> {
        let after = self.job.progress.after;
        let next = after.map_or(doc! {}, |after| doc! { "_id": { "$gt": after.0 } });
        let rows = self.rows(next).await?;
        if !rows.is_empty() {
            return Ok(Page { kind: PageKind::Next, rows });
        }
        let rows = match self.job.kind {
            JobKind::Check => Vec::new(),
            JobKind::Backfill => {
                let version = format!("modules.{}._v", self.name());
                let behind = doc! { "$ne": self.custom.line.version.as_str() };
                let there = doc! { "$nin": ["merged", "erased"] };
                self.rows(doc! { version: behind, "status": there }).await?
            }
        };
        Ok(Page { kind: PageKind::Stragglers, rows })
    }

    async fn rows(&self, filter: Document) -> Result<Vec<Row>, Fault> {
        let only = doc! { format!("modules.{}", self.name()): 1 };
        let page = usize::try_from(self.job.per_second / 2).unwrap_or(PAGE).clamp(1, PAGE);
        let query = Query::of("users", filter).sort(doc! { "_id": 1 }).only(only).limit(page);
        self.store.list(&self.grant.pass(), query).await
    }

    async fn outcomes(&self, rows: Vec<Row>) -> Result<Vec<(UserId, Outcome)>, Fault> {
        match self.job.kind {
            JobKind::Check => {
                Ok(rows.iter().map(|row| (row.user, row.checked(self.custom))).collect())
            }
            JobKind::Backfill => self.given(rows).await,
        }
    }

    /// Only who lacks something costs a unit.
    async fn given(&self, rows: Vec<Row>) -> Result<Vec<(UserId, Outcome)>, Fault> {
        let mut ties = self.lacking(&rows).await?;
        let is_current =
            |row: &Row| row.stored(self.name()).is_some_and(|it| self.custom.is_current(it));
        let someone = |row: Row| {
            let theirs = ties.remove(&row.user).unwrap_or_default();
            (!is_current(&row) || !theirs.is_empty())
                .then_some(Someone { user: row.user, ties: theirs })
        };
        let people: Vec<_> = rows.into_iter().filter_map(someone).collect();
        let given = people.into_iter().map(|someone| self.one(someone));
        let given: Vec<_> =
            futures_util::stream::iter(given).buffer_unordered(AT_ONCE).collect().await;
        given.into_iter().collect()
    }

    async fn one(&self, someone: Someone) -> Result<(UserId, Outcome), Fault> {
        let (user, hints) = (someone.user, someone.hints(self.custom));
        let (custom, job) = (Arc::clone(self.custom), self.job.clone());
        let warrant = self.grant.concerning(&job.module_name).warrant();
        let give = move |work: &mut crate::store::Work| someone.give(work, &custom, &job);
        Ok((user, self.store.unit(warrant, hints, give).await?.answer))
    }

    /// Connections of these people that lack the permission, of the apps that are to have it.
    async fn lacking(&self, rows: &[Row]) -> Result<HashMap<UserId, Vec<ConnectionId>>, Fault> {
        #[derive(Deserialize)]
        struct Tie {
            #[serde(rename = "_id")]
            id: ConnectionId,
            user_id: UserId,
        }
        let mut lacking: HashMap<UserId, Vec<ConnectionId>> = HashMap::new();
        let users: Vec<_> = rows.iter().map(|row| row.user.0).collect();
        for app in &self.job.apps {
            let filter = doc! {
                "user_id": { "$in": &users },
                "app_id": app.as_str(),
                "connection_status": "active",
                "permissions": { "$ne": &self.custom.line.permission },
            };
            let query = Query::of("user_apps", filter).only(doc! { "_id": 1, "user_id": 1 });
            let ties: Vec<Tie> = self.store.list(&self.grant.pass(), query).await?;
            for tie in ties {
                lacking.entry(tie.user_id).or_default().push(tie.id);
            }
        }
        Ok(lacking)
    }
}

/// Counts a page; whether anybody was changed.
fn note(progress: &mut Progress, page: &Page, outcomes: Vec<(UserId, Outcome)>) -> bool {
    let mut changed = 0;
    for (user, outcome) in outcomes {
        match outcome {
            Outcome::Same => {}
            Outcome::Changed => changed += 1,
            // A straggler that fails has failed before.
            Outcome::Failed(_) if page.kind == PageKind::Stragglers => {}
            Outcome::Failed(reasons) => progress.fail(user, reasons),
        }
    }
    progress.changed += changed;
    if page.kind == PageKind::Next {
        progress.seen += i64::try_from(page.rows.len()).unwrap_or(0);
        progress.total = progress.total.max(progress.seen);
        progress.after = page.rows.last().map(|row| row.user);
    }
    changed > 0
}

impl Progress {
    fn fail(&mut self, user: UserId, reasons: Vec<Reason>) {
        self.failed += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(Sample { user_id: user.0, reasons });
        }
    }
}

/// What is left of the time that so many people may take at least.
fn rest(people: usize, per_second: i64, took: Duration) -> Duration {
    let people = u64::try_from(people).unwrap_or(0);
    let per_second = u64::try_from(per_second).unwrap_or(1).max(1);
    Duration::from_millis(people * 1000 / per_second).saturating_sub(took)
}

/// The job's own change of state; there is nothing more to do where it has another one by now.
async fn turn_to(
    grant: &Granted<WorkOnJob>,
    store: &Store,
    job: &Job,
    status: JobStatus,
) -> Result<Step, Fault> {
    let (now, id) = (grant.now(), job.id);
    let warrant = grant.concerning(&job.module_name).warrant();
    let unit = store.unit(warrant, Hints::none().and(&Job::by_id(id)), move |work| {
        let before = work.get(&Job::by_id(id))?;
        let mut after = before.clone();
        if OPEN.contains(&before.status.as_str()) {
            after.status = status;
            after.ended_at = (!status.is_open()).then_some(now);
        }
        work.revise(&before, &after)
    });
    unit.await.map(|_| Step::Over)
}
