//! Writing: what apps do to a subscription, each in one unit. What was due before is done first.

use super::actions::{
    CancelSubscription, ChangeSubscription, ResumeSubscription, StartSubscription,
};
use super::book::{Open, Till};
use super::model::{Contract, Refusal, Status, Terms};
use super::plan::Plan;
use super::view::ChangedView;
use crate::access::action::Mutating;
use crate::access::grant::{Granted, OnTie};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, Name};
use crate::modules::PurseRef;
use crate::modules::asked::{Purpose, carried_out};
use crate::store::{Done, Hints, Stop, Store, Work};

/// When a change of plan applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Now,
    PeriodEnd,
}

pub type Changed = Result<Done<ChangedView>, Fault>;

/// What handlers hand to every command.
pub struct Counter<'a> {
    pub store: &'a Store,
    pub purse: PurseRef,
    pub purpose: Purpose,
}

pub async fn start(grant: &Granted<StartSubscription>, at: Counter<'_>, plan: Name) -> Changed {
    let id = at.store.chance().object_id(grant.now());
    let app = grant.target().app.clone();
    let hints = Hints::none().look(&Plan::by_id(&plan));
    let done = unit(grant, at, hints, move |till, work| {
        let plan = sold(work, &plan, &app)?;
        let mut open = till.open(work)?;
        if let Some(status) = open.contract.as_ref().map(|it| it.status)
            && status != Status::Expired
        {
            return Err(state(status, "Only one that has expired is started anew").into());
        }
        let trial_days = if open.may_try() { plan.trial_days } else { 0 };
        let begun = Contract::begin(id, plan.terms(), trial_days, open.at, open.zone);
        open.sold_by(&app);
        let charge = match begun.status {
            Status::Trialing => None,
            _ => open.take(begun.terms.price, &begun.reference())?,
        };
        let paid = begun.status != Status::Trialing;
        open.contract = Some(Contract { charge, ..begun });
        if paid {
            open.grant()?;
        }
        answered(open)
    });
    done.await
}

pub async fn change(
    grant: &Granted<ChangeSubscription>,
    at: Counter<'_>,
    plan: Name,
    when: When,
) -> Changed {
    let app = grant.target().app.clone();
    let hints = Hints::none().look(&Plan::by_id(&plan));
    let done = unit(grant, at, hints, move |till, work| {
        let terms = sold(work, &plan, &app)?.terms();
        let mut open = till.open(work)?;
        let contract = existing(&open)?;
        match when {
            When::PeriodEnd => open.contract = Some(contract.change_later(terms).map_err(refused)?),
            When::Now => switch(&mut open, &contract, terms)?,
        }
        answered(open)
    });
    done.await
}

/// Two entries: what was not used comes back first, so that it can pay for the rest.
fn switch(open: &mut Open<'_, '_, '_>, contract: &Contract, terms: Terms) -> Result<(), Stop> {
    let switch = contract.change_now(terms, open.at, open.zone).map_err(refused)?;
    let mut after = switch.after;
    let same_period = after.seq == contract.seq;
    let reference = if same_period { after.change_reference() } else { after.reference() };
    if let Some(charge) = contract.charge {
        open.put_back(charge, switch.refund, &reference)?;
    }
    after.charge = open.take(switch.charge, &reference)?;
    open.contract = Some(after);
    Ok(())
}

pub async fn cancel(grant: &Granted<CancelSubscription>, at: Counter<'_>) -> Changed {
    let done = unit(grant, at, Hints::none(), move |till, work| {
        let mut open = till.open(work)?;
        open.contract = Some(existing(&open)?.cancel().map_err(refused)?);
        answered(open)
    });
    done.await
}

pub async fn resume(grant: &Granted<ResumeSubscription>, at: Counter<'_>) -> Changed {
    let done = unit(grant, at, Hints::none(), move |till, work| {
        let mut open = till.open(work)?;
        open.contract = Some(existing(&open)?.resume().map_err(refused)?);
        answered(open)
    });
    done.await
}

async fn unit<A: Mutating<Target = OnTie>>(
    grant: &Granted<A>,
    at: Counter<'_>,
    hints: Hints,
    body: impl Fn(&Till, &mut Work) -> Result<ChangedView, Stop> + Send + Sync + 'static,
) -> Changed {
    let Counter { store, purse, purpose } = at;
    let warrant = grant.warrant();
    let till = Till::new(purse, warrant.clone(), grant.target().user, store.chance());
    let hints = till.hints().with(hints);
    carried_out(store, warrant, hints, purpose, move |work| body(&till, work)).await
}

fn answered(mut open: Open<'_, '_, '_>) -> Result<ChangedView, Stop> {
    let (at, available) = (open.at, open.available()?);
    let (contract, money) = open.close()?;
    Ok(ChangedView::of(contract.as_ref(), at, money, available))
}

fn existing(open: &Open<'_, '_, '_>) -> Result<Contract, Fault> {
    let contract = open.contract.clone();
    contract.ok_or_else(|| Fault::new(Code::WrongState, "There is no subscription: start one."))
}

/// A plan that this app may sell; of others it learns nothing.
fn sold(work: &mut Work, plan: &Name, app: &AppId) -> Result<Plan, Stop> {
    let found = work.find(&Plan::by_id(plan))?.filter(|plan| plan.is_sold_by(app));
    let detail = "There is no such plan among those that this app sells.";
    found.ok_or_else(|| Fault::new(Code::NotFound, detail).into())
}

fn state(status: Status, what: &str) -> Fault {
    let detail = format!("{what}: this one is `{}`.", status.as_str());
    Fault::new(Code::WrongState, detail)
}

fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::State(status) => state(status, "This cannot be done in every state"),
        Refusal::SamePlan => Fault::new(Code::WrongState, "It has this plan already."),
        Refusal::KeepsCredits => {
            let detail = "The new plan costs less, and the credits of this period were granted: \
                change it at the end of the period.";
            Fault::new(Code::WrongState, detail)
        }
    }
}
