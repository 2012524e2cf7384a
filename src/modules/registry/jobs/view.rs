//! Jobs as admins see them.

use serde::Serialize;
use utoipa::ToSchema;

use super::record::{Job, JobKind, JobStatus, Progress, Reason, Sample};
use crate::kernel::time::{SECOND_MS, Timestamp, rfc3339};

#[derive(Serialize, ToSchema)]
pub struct JobView {
    pub id: String,
    kind: JobKind,
    module_name: String,
    /// What a check holds data against.
    #[schema(required = true)]
    version: Option<String>,
    /// Whose connections get the permission.
    apps: Vec<String>,
    /// At most so many people.
    #[schema(minimum = 1)]
    per_second: i64,
    pub status: JobStatus,
    created_at: String,
    #[schema(required = true)]
    started_at: Option<String>,
    #[schema(required = true)]
    ended_at: Option<String>,
    /// Roughly how many people there are.
    #[schema(minimum = 0)]
    pub total: i64,
    /// How many it has come past.
    #[schema(minimum = 0)]
    pub seen: i64,
    /// Whose record it has changed.
    #[schema(minimum = 0)]
    pub changed: i64,
    /// Whose data does not fit; it stays as it is.
    #[schema(minimum = 0)]
    pub failed: i64,
    /// The first of them.
    #[schema(max_items = 20)]
    pub samples: Vec<SampleView>,
    /// When it will be over, as far as can be told.
    #[schema(required = true, minimum = 0)]
    pub eta_seconds: Option<i64>,
}

/// Where one person's data does not fit, and why; values are not shown.
#[derive(Serialize, ToSchema)]
pub struct SampleView {
    pub user_id: String,
    pub reasons: Vec<Reason>,
}

impl SampleView {
    pub fn of(sample: &Sample) -> Self {
        Self { user_id: sample.user_id.to_hex(), reasons: sample.reasons.clone() }
    }
}

impl JobView {
    pub fn of(job: &Job) -> Self {
        let time = |at: Option<Timestamp>| at.map(rfc3339);
        let Progress { total, seen, changed, failed, samples, started_at, .. } = &job.progress;
        Self {
            id: job.id.to_string(),
            kind: job.kind,
            module_name: job.module_name.to_string(),
            version: job.version.clone(),
            apps: job.apps.iter().map(ToString::to_string).collect(),
            per_second: job.per_second,
            status: job.status,
            created_at: rfc3339(job.created_at),
            started_at: time(*started_at),
            ended_at: time(job.ended_at),
            total: *total,
            seen: *seen,
            changed: *changed,
            failed: *failed,
            samples: samples.iter().map(SampleView::of).collect(),
            eta_seconds: eta(job),
        }
    }
}

/// By the speed so far.
fn eta(job: &Job) -> Option<i64> {
    let Progress { total, seen, worked_ms, .. } = job.progress;
    let left = (total - seen).max(0);
    (job.status.is_open() && seen > 0)
        .then(|| {
            (i128::from(left) * i128::from(worked_ms) / i128::from(seen)) / i128::from(SECOND_MS)
        })
        .and_then(|seconds| i64::try_from(seconds).ok())
}
