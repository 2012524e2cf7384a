//! Verifying: what an auditor can be sure of, and what speaks against it.
//!
//! `leaves` compares every leaf with its entry and the tree with every checkpoint; `subjects` looks for
//! gaps in each subject's numbers and replays its entries up to the record as it stands; `ledger`
//! looks for the entry of each line of the wallet ledger; `snapshots` compares those with the entries, and
//! nothing else is done with them. Whoever can write to the database can make
//! all of that agree again, but not with a checkpoint that is kept elsewhere: without one, the report
//! says so.
//!
//! Everything is read a batch at a time. What is written meanwhile is no finding: records that have
//! moved on are looked at again.

mod leaves;
mod ledger;
mod replay;
mod snapshots;
mod subjects;

use serde::Serialize;

pub use replay::without_nothing;

use crate::audit::checkpoint::Checkpoint;
use crate::audit::warrant::Pass;
use crate::crypto::signature::PublicKey;
use crate::kernel::fault::Fault;
use crate::store::{Kind, Store};

/// Findings that are told one by one.
pub const FINDINGS_MAX: usize = 100;

/// What to verify, and with what.
pub struct Task<'a> {
    pub store: &'a Store,
    /// Leave to read, anew for each batch.
    pub pass: &'a (dyn Fn() -> Pass + Sync),
    /// All kinds of records that have a history.
    pub kinds: &'static [&'static Kind],
    pub key: Option<&'a PublicKey>,
    /// One that somebody else has kept.
    pub kept: Option<&'a Checkpoint>,
    /// The first leaf to look at, where a checkpoint vouches for those before it.
    pub since: u64,
    pub progress: &'a mut (dyn FnMut(u64) + Send),
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Leaves that were compared with their entries.
    pub leaves: u64,
    /// Entries that have no leaf yet: they came lately.
    pub unsealed: u64,
    /// Checkpoints that the tree agrees with.
    pub checkpoints: u64,
    /// Subjects whose entries were replayed up to their record.
    pub subjects: u64,
    /// Lines of the wallet ledger that have their entry.
    pub ledger_lines: u64,
    /// Snapshots that are what the entries before them come to.
    pub snapshots: u64,
    /// Whether the tree agrees with a checkpoint that was kept elsewhere.
    pub kept: Kept,
    pub findings: Vec<Finding>,
    /// All of them, also those that are not told.
    pub found: u64,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "witness")]
pub enum Kept {
    /// Nobody but this database vouches for it.
    #[default]
    OwnCopyOnly,
    Agrees {
        size: u64,
    },
    Disagrees {
        size: u64,
    },
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable word: `entry_changed`, `entry_missing`, …
    pub code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub detail: String,
}

impl Finding {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, leaf: None, entry_id: None, subject: None, detail: detail.into() }
    }

    fn at(self, leaf: u64) -> Self {
        Self { leaf: Some(leaf), ..self }
    }

    fn of(self, entry: &impl ToString) -> Self {
        Self { entry_id: Some(entry.to_string()), ..self }
    }

    fn about(self, subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), ..self }
    }
}

impl Report {
    fn add(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    pub fn is_well(&self) -> bool {
        self.found == 0
    }
}

pub async fn verify(task: &mut Task<'_>) -> Result<Report, Fault> {
    let mut report = Report::default();
    leaves::verify(task, &mut report).await?;
    subjects::verify(task, &mut report).await?;
    ledger::verify(task, &mut report).await?;
    snapshots::verify(task, &mut report).await?;
    Ok(report)
}
