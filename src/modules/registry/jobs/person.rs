//! What a backfill does to one person: a unit that finds nothing to do the second time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::{Job, Reason};
use crate::kernel::fault::{Code, Fault, FieldError};
use crate::kernel::ids::{ConnectionId, UserId};
use crate::modules::custom::Holder;
use crate::modules::registry::custom::Custom;
use crate::modules::registry::record::Registered;
use crate::store::{Hints, Stop, Work};
use crate::users::{Connection, ConnectionStatus, UserStatus};

/// Of whom, and which of their connections may lack the permission.
#[derive(Debug, Clone)]
pub struct Someone {
    pub user: UserId,
    pub ties: Vec<ConnectionId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Same,
    Changed,
    Failed(Vec<Reason>),
}

impl Outcome {
    /// Places and reasons, without what is there.
    pub fn failed(errors: Vec<FieldError>) -> Self {
        let reason =
            |error: FieldError| Reason { pointer: error.pointer, code: error.code.into_owned() };
        Self::Failed(errors.into_iter().map(reason).collect())
    }
}

impl Someone {
    pub fn hints(&self, custom: &Custom) -> Hints {
        let hints = Hints::none().and(&Holder::by_id(self.user));
        let hints = hints.look(&Registered::by_id(custom.line.id));
        self.ties.iter().fold(hints, |hints, tie| hints.and(&Connection::by_id(*tie)))
    }

    pub fn give(&self, work: &mut Work, custom: &Arc<Custom>, job: &Job) -> Result<Outcome, Stop> {
        let custom = current(work, custom)?;
        let Some(before) = work.find(&Holder::by_id(self.user))? else { return Ok(Outcome::Same) };
        if matches!(before.status, UserStatus::Merged | UserStatus::Erased) {
            return Ok(Outcome::Same);
        }
        work.refer_to(&format!("job:{}", job.id));
        let name = custom.line.module_name.as_str();
        let stored = before.modules.get_document(name).ok();
        let mut outcome = Outcome::Same;
        if !stored.is_some_and(|stored| custom.is_current(stored)) {
            let Some(data) = custom.read(stored) else { return Ok(Outcome::Same) };
            let stored = match custom.admitted(&data) {
                Ok(stored) => stored,
                Err(errors) => return Ok(Outcome::failed(errors)),
            };
            let mut after = before.clone();
            after.modules.insert(name, stored);
            work.revise(&before, &after)?;
            outcome = Outcome::Changed;
        }
        for tie in &self.ties {
            if permit(work, *tie, &custom.line.permission)? {
                outcome = Outcome::Changed;
            }
        }
        Ok(outcome)
    }
}

/// As the transaction has it: another version may be in use by now.
pub fn current(work: &mut Work, known: &Arc<Custom>) -> Result<Arc<Custom>, Stop> {
    let line = Registered::existing(work.find(&Registered::by_id(known.line.id))?)?;
    if !line.is_open() {
        return Err(Fault::of(Code::NotFound).into());
    }
    if line.revision == known.line.revision {
        return Ok(Arc::clone(known));
    }
    Ok(Arc::new(Custom::of(line)?))
}

fn permit(work: &mut Work, tie: ConnectionId, permission: &str) -> Result<bool, Stop> {
    let Some(before) = work.find(&Connection::by_id(tie))? else { return Ok(false) };
    let holds = before.permissions.iter().any(|held| held == permission);
    if holds || before.connection_status != ConnectionStatus::Active {
        return Ok(false);
    }
    let mut after = before.clone();
    after.permissions.push(permission.to_owned());
    work.revise(&before, &after)?;
    Ok(true)
}
