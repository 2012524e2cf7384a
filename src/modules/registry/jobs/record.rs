//! `jobs`: what is to be done, and how far it has come.

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::ids::{AppId, JobId, Name, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, Record, Root};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    #[serde(rename = "_id")]
    pub id: JobId,
    pub kind: JobKind,
    pub module_name: Name,
    /// What a check holds data against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whose connections get the module's permission.
    #[serde(default)]
    pub apps: Vec<AppId>,
    pub per_second: i64,
    pub status: JobStatus,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    pub progress: Progress,
    #[serde(default, skip_serializing)]
    pub lease: Option<Lease>,
    #[serde(default, skip_serializing)]
    pub revision: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Everybody gets the module, in the version in use.
    Backfill,
    /// Everybody's data is held against a version; nothing is changed.
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    Queued,
    Running,
    Paused,
    Canceled,
    Done,
    /// The module cannot be used any more.
    Failed,
}

impl JobStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Canceled => "canceled",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Paused)
    }
}

/// How far it has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Roughly how many people there are.
    #[serde(default)]
    pub total: i64,
    #[serde(default)]
    pub seen: i64,
    /// People whose record it has changed: at least so many, where it was taken up again.
    #[serde(default)]
    pub changed: i64,
    #[serde(default)]
    pub failed: i64,
    /// The last person of the last page.
    #[serde(default)]
    pub after: Option<UserId>,
    /// The first of those that failed.
    #[serde(default)]
    pub samples: Vec<Sample>,
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub worked_ms: i64,
}

/// Of those whose data does not fit, so many are shown.
pub const SAMPLES_MAX: usize = 20;

/// Why one person's data does not fit: places and reasons, no values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub user_id: ObjectId,
    pub reasons: Vec<Reason>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// A JSON Pointer into the module's data.
    pub pointer: String,
    pub code: String,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub term: i64,
    pub until: Timestamp,
}

impl Record for Job {
    const KIND: &'static Kind = &Kind {
        collection: "jobs",
        root: Root::Own,
        subject: |job| job.get_object_id("_id").ok().map(|id| Subject::Job(JobId(id))),
        place: |_| Some(String::new()),
        sensitivity: |_| Sensitivity::Plain,
        volatile: |path| ["progress", "lease"].contains(&path.split('.').next().unwrap_or(path)),
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Job {
    pub fn by_id(id: JobId) -> Key<Self> {
        Key::id(id.0)
    }
}
