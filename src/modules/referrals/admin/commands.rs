//! Writing programmes and decisions, and listing what there is to decide.

use bson::doc;

use crate::access::action::Mutating;
use crate::access::grant::{Granted, OnPlatform};
use crate::http::call::Preconditions;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{Name, UserId};
use crate::kernel::page::{Limit, Page};
use crate::modules::referrals::actions::{
    ApproveReferral, ChangeProgramme, CreateProgramme, ReadProgrammes, ReviewReferrals,
    VoidReferral,
};
use crate::modules::referrals::commands::decided;
use crate::modules::referrals::model::Status;
use crate::modules::referrals::record::{Case, Programme};
use crate::modules::referrals::view::{CaseView, ProgrammeView};
use crate::store::{Done, Hints, Query, Record, Store};

/// A checked change: what is `None` stays.
#[derive(Clone, Default)]
pub struct ProgrammeChange {
    pub display_name: Option<String>,
    pub active: Option<bool>,
    pub referrer_credits: Option<i64>,
    pub referee_credits: Option<i64>,
    pub per_day_max: Option<i64>,
    pub in_all_max: Option<i64>,
}

/// A programme, and its revision.
pub type Stored = Result<Done<(ProgrammeView, i64)>, Fault>;

pub async fn create(
    grant: &Granted<CreateProgramme>,
    store: &Store,
    programme: Programme,
) -> Stored {
    let hints = Hints::none().and(&Programme::by_id(&programme.id));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        if work.find(&Programme::by_id(&programme.id))?.is_some() {
            return Err(Fault::of(Code::AlreadyExists).into());
        }
        work.create(&programme)?;
        Ok((ProgrammeView::of(&programme), programme.revision))
    });
    unit.await
}

pub async fn change(
    grant: &Granted<ChangeProgramme>,
    store: &Store,
    id: Name,
    change: ProgrammeChange,
    preconditions: Preconditions,
) -> Stored {
    let hints = Hints::none().and(&Programme::by_id(&id));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        let before = work.get(&Programme::by_id(&id))?;
        preconditions.check(|| before.revision.to_string())?;
        let mut after = change.clone().applied_to(&before);
        if after != before {
            after.updated_at = work.now();
        }
        work.revise(&before, &after)?;
        let changed = i64::from(after != before);
        Ok((ProgrammeView::of(&after), before.revision + changed))
    });
    unit.await
}

impl ProgrammeChange {
    fn applied_to(self, before: &Programme) -> Programme {
        let before = before.clone();
        Programme {
            display_name: self.display_name.unwrap_or(before.display_name),
            active: self.active.unwrap_or(before.active),
            referrer_credits: self.referrer_credits.unwrap_or(before.referrer_credits),
            referee_credits: self.referee_credits.unwrap_or(before.referee_credits),
            per_day_max: self.per_day_max.unwrap_or(before.per_day_max),
            in_all_max: self.in_all_max.unwrap_or(before.in_all_max),
            ..before
        }
    }
}

pub async fn one(
    grant: &Granted<ReadProgrammes>,
    store: &Store,
    id: &Name,
) -> Result<Programme, Fault> {
    let programme = store.find(&grant.pass(), &Programme::by_id(id)).await?;
    programme.ok_or_else(|| Fault::of(Code::NotFound))
}

/// By name, from the one after `after`.
pub async fn programmes(
    grant: &Granted<ReadProgrammes>,
    store: &Store,
    limit: Limit,
    after: Option<String>,
) -> Result<Page<Programme, String>, Fault> {
    let filter = doc! { "_id": { "$gt": after.unwrap_or_default() } };
    let query = Query::of(Programme::KIND.collection, filter).sort(doc! { "_id": 1 });
    let rows = store.list(&grant.pass(), query.limit(limit.rows() + 1)).await?;
    Ok(Page::cut(rows, limit, |programme: &Programme| programme.id.to_string()))
}

/// In the order of their people's ids, from the one after `after`.
pub async fn cases(
    grant: &Granted<ReviewReferrals>,
    store: &Store,
    status: Option<Status>,
    (limit, after): (Limit, Option<String>),
) -> Result<Page<Case, String>, Fault> {
    let mut filter = doc! { "_id": { "$gt": after.unwrap_or_default() } };
    if let Some(status) = status {
        filter.insert("status", status.as_str());
    }
    let query = Query::of(Case::KIND.collection, filter).sort(doc! { "_id": 1 });
    let rows = store.list(&grant.pass(), query.limit(limit.rows() + 1)).await?;
    Ok(Page::cut(rows, limit, |case: &Case| case.id.clone()))
}

pub async fn approve(
    grant: &Granted<ApproveReferral>,
    store: &Store,
    user: UserId,
) -> Result<Done<CaseView>, Fault> {
    decide(grant, store, user, (&[Status::Flagged], Status::Pending)).await
}

pub async fn void(
    grant: &Granted<VoidReferral>,
    store: &Store,
    user: UserId,
) -> Result<Done<CaseView>, Fault> {
    decide(grant, store, user, (&[Status::Flagged, Status::Pending], Status::Void)).await
}

async fn decide<A: Mutating<Target = OnPlatform>>(
    grant: &Granted<A>,
    store: &Store,
    user: UserId,
    (open, decision): (&'static [Status], Status),
) -> Result<Done<CaseView>, Fault> {
    let unit = store.unit(grant.warrant(), Hints::none().and(&Case::of(user)), move |work| {
        let before = work.get(&Case::of(user))?;
        if !open.contains(&before.status) {
            let detail = format!("This one is `{}`.", before.status.as_str());
            return Err(Fault::new(Code::AlreadyResolved, detail).into());
        }
        let after = decided(&before, decision, work.now());
        work.revise(&before, &after)?;
        Ok(CaseView::of(&after))
    });
    unit.await
}
