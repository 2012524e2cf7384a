//! Writing: operators, and who of them remains.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::actions::{AddOperator, ChangeOperator, CreateOperator, RemoveOperator, RevokeOperator};
use super::model::{DAYS_MAX, Operator, OperatorRole, OperatorStatus};
use super::queries;
use super::view::{OperatorView, view};
use crate::access::address::Network;
use crate::access::grant::Granted;
use crate::access::key;
use crate::crypto::token::{ApiKey, KeyKind};
use crate::http::call::Preconditions;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::OperatorId;
use crate::kernel::secret::Secret;
use crate::kernel::time::{self, DAY_MS, Timestamp};
use crate::store::{Done, Hints, Stop, Store, Work};

pub struct NewOperator {
    pub name: String,
    pub role: OperatorRole,
    pub auditor_pii: bool,
    /// How many days the key lives: 1 to 90.
    pub days: u16,
    pub allowed_ips: Vec<String>,
}

/// A checked change: what is `None` stays.
#[derive(Clone, Default)]
pub struct OperatorChange {
    pub name: Option<String>,
    pub role: Option<OperatorRole>,
    pub auditor_pii: Option<bool>,
    pub expires_at: Option<Timestamp>,
    pub allowed_ips: Option<Vec<String>>,
}

/// An operator and its key: shown once, and again to a repeated request.
#[derive(Serialize, Deserialize)]
pub struct Added {
    pub operator: OperatorView,
    key: String,
}

impl Added {
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Creates the operator; its key is shown this once.
pub async fn create(
    grant: &Granted<CreateOperator>,
    store: &Store,
    new: NewOperator,
) -> Result<(OperatorId, Secret<String>), Fault> {
    let (operator, key) = made(new, store, grant.now());
    let id = operator.id;
    let done = store.unit(grant.warrant(), Hints::none(), move |work| work.create(&operator));
    done.await?;
    Ok((id, key))
}

pub async fn add(
    grant: &Granted<AddOperator>,
    store: &Store,
    new: NewOperator,
) -> Result<Done<Added>, Fault> {
    let (operator, key) = made(new, store, grant.now());
    let unit = store.unit(grant.warrant(), Hints::none(), move |work| {
        work.create(&operator)?;
        Ok(Added { operator: view(&operator), key: key.expose().clone() })
    });
    unit.await
}

fn made(new: NewOperator, store: &Store, now: Timestamp) -> (Operator, Secret<String>) {
    let key = ApiKey::generate(KeyKind::Operator, store.chance());
    let operator = Operator {
        id: OperatorId::new(store.chance(), now),
        name: new.name,
        role: new.role,
        auditor_pii: new.auditor_pii,
        status: OperatorStatus::Active,
        key_id: key.id().to_owned(),
        key_mac: key::mac(store.keyring(), &key),
        key_hint: key.hint(),
        key_created_at: now,
        key_last_used_at: None,
        expires_at: time::plus(now, i64::from(new.days.clamp(1, DAYS_MAX)) * DAY_MS),
        allowed_ips: new.allowed_ips,
        remained: 0,
        created_at: now,
        revision: 1,
    };
    (operator, key.text())
}

/// The key is refused from now on. Whoever has the command line can make another admin, so here
/// the last one may go.
pub async fn revoke(
    grant: &Granted<RevokeOperator>,
    store: &Store,
    id: OperatorId,
) -> Result<(), Fault> {
    let done = store.unit(grant.warrant(), Hints::none().and(&Operator::by_id(id)), move |work| {
        let operator = work.get(&Operator::by_id(id))?;
        let revoked = Operator { status: OperatorStatus::Revoked, ..operator.clone() };
        work.revise(&operator, &revoked)
    });
    done.await.map(drop)
}

pub async fn change(
    grant: &Granted<ChangeOperator>,
    store: &Store,
    id: OperatorId,
    change: OperatorChange,
    preconditions: Preconditions,
) -> Result<OperatorView, Fault> {
    if grant.target().operator == id {
        change.leaves_in(grant.peer())?;
    }
    let others = queries::other_admins(&grant.pass(), store, grant.target().operator, id).await?;
    let unit = store.unit(grant.warrant(), hints(id, &others), move |work| {
        let before = work.get(&Operator::by_id(id))?;
        preconditions.check(|| before.revision.to_string())?;
        let after = change.clone().applied_to(&before, work.now())?;
        revise(work, &before, after, &others)
    });
    Ok(view(&unit.await?.answer))
}

/// Revoking twice is no change.
pub async fn remove(
    grant: &Granted<RemoveOperator>,
    store: &Store,
    id: OperatorId,
    preconditions: Preconditions,
) -> Result<(), Fault> {
    let others = queries::other_admins(&grant.pass(), store, grant.target().operator, id).await?;
    let unit = store.unit(grant.warrant(), hints(id, &others), move |work| {
        let before = work.get(&Operator::by_id(id))?;
        preconditions.check(|| before.revision.to_string())?;
        let after = Operator { status: OperatorStatus::Revoked, ..before.clone() };
        revise(work, &before, after, &others).map(drop)
    });
    unit.await.map(drop)
}

fn hints(id: OperatorId, others: &[OperatorId]) -> Hints {
    let all = others.iter().fold(Hints::none(), |hints, one| hints.and(&Operator::by_id(*one)));
    all.and(&Operator::by_id(id))
}

fn revise(
    work: &mut Work,
    before: &Operator,
    mut after: Operator,
    others: &[OperatorId],
) -> Result<Operator, Stop> {
    if before.administers(work.now()) && !after.administers(work.now()) {
        leave_one(work, others)?;
    }
    if after != *before {
        after.revision += 1;
    }
    work.revise(before, &after)?;
    Ok(after)
}

/// Another admin must remain, and it is written down which: two who take each other away then write
/// the same records, on whichever nodes, and the one that comes second finds its caller revoked.
fn leave_one(work: &mut Work, others: &[OperatorId]) -> Result<(), Stop> {
    for id in others {
        let Some(before) = work.find(&Operator::by_id(*id))? else { continue };
        if before.administers(work.now()) {
            let after = Operator { remained: before.remained + 1, ..before.clone() };
            return work.revise(&before, &after);
        }
    }
    Err(Fault::of(Code::LastAdmin).into())
}

impl OperatorChange {
    /// Nobody locks themself out.
    fn leaves_in(&self, peer: Option<IpAddr>) -> Result<(), Fault> {
        let Some(allowed) = self.allowed_ips.as_ref().filter(|allowed| !allowed.is_empty()) else {
            return Ok(());
        };
        let Some(peer) = peer else { return Ok(()) };
        let mut networks = allowed.iter().filter_map(|text| Network::parse(text));
        if networks.any(|network| network.holds(peer)) {
            return Ok(());
        }
        let accepted = format!("a list that holds your own address, {}", peer.to_canonical());
        Err(Fault::invalid("/allowed_ips", "locks_out", accepted))
    }

    fn applied_to(self, before: &Operator, now: Timestamp) -> Result<Operator, Fault> {
        let before = before.clone();
        if before.status == OperatorStatus::Revoked {
            let detail = "The operator is revoked, and stays so: create another.";
            return Err(Fault::new(Code::AlreadyResolved, detail));
        }
        let expires_at = self.expires_at.unwrap_or(before.expires_at);
        if self.expires_at.is_some_and(|at| at <= now || at > before.latest_end()) {
            let latest = time::rfc3339(before.latest_end());
            let accepted = format!("a time to come, at most 90 days after the key: {latest}");
            return Err(Fault::invalid("/expires_at", "not_accepted", accepted));
        }
        Ok(Operator {
            name: self.name.unwrap_or(before.name),
            role: self.role.unwrap_or(before.role),
            auditor_pii: self.auditor_pii.unwrap_or(before.auditor_pii),
            allowed_ips: self.allowed_ips.unwrap_or(before.allowed_ips),
            expires_at,
            ..before
        })
    }
}
