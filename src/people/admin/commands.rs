//! Writing: status, address and password of a person, by an admin.

use serde::{Deserialize, Serialize};

use super::actions::{ChangeEmail, ReactivateUser, SetPassword, SuspendUser};
use super::queries;
use super::view::{PersonItem, item};
use crate::access::action::Mutating;
use crate::access::grant::{Granted, OnPlatform};
use crate::connections::Desk;
use crate::http::call::Preconditions;
use crate::kernel::email::Email;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{IdentityId, UserId};
use crate::kernel::secret::Secret;
use crate::store::{Done, Hints, Key, Record, Stop, Work};
use crate::users::{Identity, IdentityKind, User, UserStatus, Voucher};

/// A person in short, as they are now.
#[derive(Serialize, Deserialize)]
pub struct Changed {
    pub person: PersonItem,
    pub revision: i64,
}

impl Changed {
    fn of(user: &User) -> Self {
        Self { person: item(user), revision: user.revision }
    }
}

pub async fn suspend(
    grant: &Granted<SuspendUser>,
    desk: &Desk,
    user: UserId,
    reason: Option<String>,
    preconditions: Preconditions,
) -> Result<Done<Changed>, Fault> {
    put(grant, desk, user, UserStatus::Suspended, reason, preconditions).await
}

pub async fn reactivate(
    grant: &Granted<ReactivateUser>,
    desk: &Desk,
    user: UserId,
    reason: Option<String>,
    preconditions: Preconditions,
) -> Result<Done<Changed>, Fault> {
    put(grant, desk, user, UserStatus::Active, reason, preconditions).await
}

/// To whoever has that status already nothing is done, and the first reason stays.
async fn put<A: Mutating<Target = OnPlatform>>(
    grant: &Granted<A>,
    desk: &Desk,
    user: UserId,
    status: UserStatus,
    reason: Option<String>,
    preconditions: Preconditions,
) -> Result<Done<Changed>, Fault> {
    let hints = Hints::none().and(&User::by_id(user));
    let unit = desk.store.unit(grant.warrant(), hints, move |work| {
        let before = load(work, user, &preconditions)?;
        if before.status == status {
            return Ok(Changed::of(&before));
        }
        let (now, status_reason) = (work.now(), reason.clone());
        let after = User { status, status_reason, updated_at: now, ..before.clone() };
        revise(work, &before, after)
    });
    unit.await
}

/// Sets the address that identifies the person, or removes it.
pub async fn change_email(
    grant: &Granted<ChangeEmail>,
    desk: &Desk,
    user: UserId,
    email: Option<Email>,
    preconditions: Preconditions,
) -> Result<Changed, Fault> {
    let others = queries::other_identities(&grant.pass(), &desk.store, user).await?;
    let new = email.map(|email| Identity {
        name: email.identity(),
        id: IdentityId::new(desk.store.chance(), grant.now()),
        user_id: user,
        kind: IdentityKind::Email,
        value: email.as_str().to_owned(),
        vouched_by: Voucher::Operator(grant.target().operator),
        created_at: grant.now(),
    });
    let mut hints = Hints::none().and(&User::by_id(user));
    if let Some(new) = &new {
        hints = hints.and(&new.key());
    }
    let unit = desk.store.unit(grant.warrant(), hints, move |work| {
        let before = load(work, user, &preconditions)?;
        let email = new.as_ref().map(|identity| identity.value.clone());
        if email == before.email {
            return Ok(Changed::of(&before));
        }
        match &new {
            Some(new) => take(work, new)?,
            None => keep_one(work, user, &others)?,
        }
        give_up(work, &before)?;
        let after = User { email, updated_at: work.now(), ..before.clone() };
        revise(work, &before, after)
    });
    Ok(unit.await?.answer)
}

/// An address that is the person's already stays as it is, with who vouched for it.
fn take(work: &mut Work, new: &Identity) -> Result<(), Stop> {
    match work.find(&new.key())? {
        None => work.create(new),
        Some(known) if known.user_id == new.user_id => Ok(()),
        Some(known) => {
            let detail = format!("The address identifies another person: {}.", known.user_id);
            Err(Fault::new(Code::AlreadyExists, detail).into())
        }
    }
}

/// Nobody is left whom nothing identifies. `others` is only where to look.
fn keep_one(work: &mut Work, user: UserId, others: &[String]) -> Result<(), Stop> {
    for name in others {
        let key = Key::<Identity>::id(name.as_str());
        if work.find(&key)?.is_some_and(|identity| identity.user_id == user) {
            return Ok(());
        }
    }
    let accepted = "another address: it is all that identifies the person, so it cannot be removed";
    Err(Fault::invalid("/email", "last_identifier", accepted).into())
}

fn give_up(work: &mut Work, before: &User) -> Result<(), Stop> {
    let old = before.email.as_deref().and_then(|email| Email::parse(email).ok());
    let Some(old) = old else { return Ok(()) };
    if let Some(identity) = work.find(&Identity::of_email(&old))?
        && identity.user_id == before.id
    {
        work.erase(&identity);
    }
    Ok(())
}

/// The new revision.
pub async fn set_password(
    grant: &Granted<SetPassword>,
    desk: &Desk,
    user: UserId,
    password: Secret<String>,
    preconditions: Preconditions,
) -> Result<i64, Fault> {
    let hash = desk.hasher.hash(password).await?;
    let hints = Hints::none().and(&User::by_id(user));
    let unit = desk.store.unit(grant.warrant(), hints, move |work| {
        let before = load(work, user, &preconditions)?;
        // No app sees any of it, so `updated_at` does not tell them.
        let mut after = before.clone();
        after.password = Some(hash.clone());
        after.password_must_change = true;
        after.audit.password_changed_at = Some(work.now());
        Ok(revise(work, &before, after)?.revision)
    });
    Ok(unit.await?.answer)
}

fn load(work: &mut Work, user: UserId, preconditions: &Preconditions) -> Result<User, Stop> {
    let user = work.get(&User::by_id(user))?;
    preconditions.check(|| user.revision.to_string())?;
    let gone = match user.status {
        UserStatus::Merged => "The record was merged into another, and is not changed any more.",
        UserStatus::Erased => "The person was erased, and the record is not changed any more.",
        UserStatus::Active | UserStatus::Inactive | UserStatus::Suspended => return Ok(user),
    };
    Err(Fault::new(Code::AlreadyResolved, gone).into())
}

/// Whatever a unit changes of a person is one entry, and so one revision.
fn revise(work: &mut Work, before: &User, mut after: User) -> Result<Changed, Stop> {
    if after != *before {
        after.revision += 1;
    }
    work.revise(before, &after)?;
    Ok(Changed::of(&after))
}
