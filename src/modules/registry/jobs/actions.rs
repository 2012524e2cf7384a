//! What can be done with jobs.

use crate::access::grant::{OnItself, OnPlatform};
use crate::access::permission::Permission::{Admin, Itself};
use crate::actions;

actions! {
    StartJob "job_queued" Admin => OnPlatform, writes, "An admin has a module given to everybody, or everybody's data checked.";
    ReadJobs "jobs_read" Admin => OnPlatform, reads, "An admin reads how far jobs have come.";
    PauseJob "job_paused" Admin => OnPlatform, writes, "An admin pauses a job.";
    ResumeJob "job_resumed" Admin => OnPlatform, writes, "An admin lets a paused job go on.";
    CancelJob "job_canceled" Admin => OnPlatform, writes, "An admin ends a job; what it did stays.";
    WorkOnJob "job_worked_on" Itself => OnItself, writes, "Purser begins or ends a job, or does its work for one person.";
}
