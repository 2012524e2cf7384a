//! Writing plans.

use crate::access::grant::Granted;
use crate::http::call::Preconditions;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, Name};
use crate::modules::subscription::actions::{ChangePlan, CreatePlan};
use crate::modules::subscription::plan::{Plan, PlanStatus};
use crate::modules::subscription::view::PlanView;
use crate::store::{Done, Hints, Store};

/// A checked change: what is `None` stays.
#[derive(Clone, Default)]
pub struct PlanChange {
    pub display_name: Option<String>,
    pub status: Option<PlanStatus>,
    pub price: Option<i64>,
    pub trial_days: Option<i64>,
    pub credits: Option<i64>,
    pub features: Option<Vec<String>>,
    pub apps: Option<Vec<AppId>>,
}

/// A plan, and its revision.
pub type Stored = Result<Done<(PlanView, i64)>, Fault>;

pub async fn create(grant: &Granted<CreatePlan>, store: &Store, plan: Plan) -> Stored {
    let hints = Hints::none().and(&Plan::by_id(&plan.id));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        if work.find(&Plan::by_id(&plan.id))?.is_some() {
            return Err(Fault::of(Code::AlreadyExists).into());
        }
        work.create(&plan)?;
        Ok((PlanView::of(&plan), plan.revision))
    });
    unit.await
}

pub async fn change(
    grant: &Granted<ChangePlan>,
    store: &Store,
    id: Name,
    change: PlanChange,
    preconditions: Preconditions,
) -> Stored {
    let unit = store.unit(grant.warrant(), Hints::none().and(&Plan::by_id(&id)), move |work| {
        let before = work.get(&Plan::by_id(&id))?;
        preconditions.check(|| before.revision.to_string())?;
        let mut after = change.clone().applied_to(&before);
        if after != before {
            after.updated_at = work.now();
        }
        work.revise(&before, &after)?;
        let changed = i64::from(after != before);
        Ok((PlanView::of(&after), before.revision + changed))
    });
    unit.await
}

impl PlanChange {
    fn applied_to(self, before: &Plan) -> Plan {
        let before = before.clone();
        Plan {
            display_name: self.display_name.unwrap_or(before.display_name),
            status: self.status.unwrap_or(before.status),
            price: self.price.unwrap_or(before.price),
            trial_days: self.trial_days.unwrap_or(before.trial_days),
            credits: self.credits.unwrap_or(before.credits),
            features: self.features.unwrap_or(before.features),
            apps: self.apps.unwrap_or(before.apps),
            ..before
        }
    }
}
