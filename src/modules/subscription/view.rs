//! What is answered about subscriptions and plans. What may be used is computed here, at the moment
//! of asking.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::book::Money;
use super::model::calendar::Cycle;
use super::model::{Contract, Period, Status};
use super::plan::{Plan, PlanStatus};
use crate::kernel::time::{Timestamp, rfc3339};

/// A person's subscription; `null` where there never was one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeSubscriptionView)] // the user record has a SubscriptionView
pub struct SubscriptionView {
    #[schema(required = true)]
    subscription: Option<StateView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SubscriptionStateView)]
pub struct StateView {
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "premium")]
    plan: String,
    status: Status,
    current_period: PeriodView,
    /// The number of the period; 0 is the trial.
    #[schema(minimum = 0)]
    seq: i64,
    /// In credits, for each period.
    #[schema(minimum = 0)]
    price: i64,
    cancel_at_period_end: bool,
    #[schema(required = true)]
    pending_change: Option<PendingView>,
    /// What cannot be paid for the next period; credits in this amount mend it at once.
    #[schema(required = true)]
    owes: Option<i64>,
    /// Until when it may be used, as far as is known now; `null` once it has expired.
    #[schema(required = true, format = DateTime)]
    entitled_until: Option<String>,
    #[schema(example = json!(["export"]))]
    features: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SubscriptionPeriodView)]
pub struct PeriodView {
    #[schema(format = DateTime, example = "2026-11-22T16:40:08.000Z")]
    start: String,
    #[schema(format = DateTime, example = "2026-12-22T16:40:08.000Z")]
    end: String,
}

/// What applies from the next period on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PendingPlanView)]
pub struct PendingView {
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "basic")]
    plan: String,
    #[schema(minimum = 0)]
    price: i64,
}

/// A subscription after an operation, and what the credits did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SubscriptionChangedView)]
pub struct ChangedView {
    #[schema(required = true)]
    subscription: Option<StateView>,
    credits: MoneyView,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SubscriptionCreditsView)]
pub struct MoneyView {
    /// Taken, with what was due before.
    #[schema(minimum = 0)]
    charged: i64,
    /// Put back of what was taken for this period.
    #[schema(minimum = 0)]
    refunded: i64,
    /// That came with periods that were paid for.
    #[schema(minimum = 0)]
    granted: i64,
    /// What can be spent after it.
    #[schema(minimum = 0)]
    available_after: i64,
}

/// What a person may use now.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntitlementsView {
    /// Whether the feature that was asked for may be used; without one, whether anything may.
    entitled: bool,
    #[schema(required = true, example = "premium")]
    plan: Option<String>,
    #[schema(example = json!(["export"]))]
    features: Vec<String>,
    /// As far as is known now.
    #[schema(required = true, format = DateTime)]
    until: Option<String>,
}

impl SubscriptionView {
    pub fn of(contract: Option<&Contract>, at: Timestamp) -> Self {
        Self { subscription: contract.map(|contract| StateView::of(contract, at)) }
    }
}

impl StateView {
    fn of(contract: &Contract, at: Timestamp) -> Self {
        let status = contract.status_at(at);
        let over = status == Status::Expired;
        let pending = contract.pending.as_ref().filter(|_| !over);
        Self {
            plan: contract.terms.plan.to_string(),
            status,
            current_period: PeriodView::of(contract.period),
            seq: contract.seq,
            price: contract.terms.price,
            cancel_at_period_end: status == Status::Canceled,
            pending_change: pending
                .map(|it| PendingView { plan: it.plan.to_string(), price: it.price }),
            owes: contract.owes().filter(|_| !over),
            entitled_until: contract.entitled_until().filter(|_| !over).map(rfc3339),
            features: if over { Vec::new() } else { contract.terms_at(at).features.clone() },
        }
    }
}

impl PeriodView {
    fn of(period: Period) -> Self {
        Self { start: rfc3339(period.start), end: rfc3339(period.end) }
    }
}

impl ChangedView {
    pub fn of(contract: Option<&Contract>, at: Timestamp, money: Money, available: i64) -> Self {
        let Money { charged, refunded, granted } = money;
        Self {
            subscription: contract.map(|contract| StateView::of(contract, at)),
            credits: MoneyView { charged, refunded, granted, available_after: available },
        }
    }
}

impl EntitlementsView {
    pub fn of(contract: Option<&Contract>, at: Timestamp, feature: Option<&str>) -> Self {
        let Some(contract) = contract.filter(|contract| contract.is_entitled(at)) else {
            return Self { entitled: false, plan: None, features: Vec::new(), until: None };
        };
        let terms = contract.terms_at(at);
        Self {
            entitled: feature.is_none_or(|one| terms.features.iter().any(|known| known == one)),
            plan: Some(terms.plan.to_string()),
            features: terms.features.clone(),
            until: contract.entitled_until().map(rfc3339),
        }
    }
}

/// A plan as apps see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferView {
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "premium")]
    plan: String,
    #[schema(example = "Premium")]
    display_name: String,
    #[schema(minimum = 0)]
    price: i64,
    period: Cycle,
    #[schema(minimum = 0)]
    trial_days: i64,
    #[schema(minimum = 0)]
    credits: i64,
    #[schema(required = true, minimum = 1)]
    credits_days: Option<i64>,
    #[schema(example = json!(["export"]))]
    features: Vec<String>,
}

/// A plan as admins see it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "premium")]
    plan: String,
    #[schema(example = "Premium")]
    display_name: String,
    status: PlanStatus,
    /// In credits, for each period; 0 is free.
    #[schema(minimum = 0)]
    price: i64,
    period: Cycle,
    #[schema(minimum = 0)]
    trial_days: i64,
    /// Granted with each period that is paid for.
    #[schema(minimum = 0)]
    credits: i64,
    /// How long they last; as long as the period where it is `null`.
    #[schema(required = true, minimum = 1)]
    credits_days: Option<i64>,
    #[schema(example = json!(["export"]))]
    features: Vec<String>,
    /// Who sells it.
    #[schema(example = json!(["external_app_001"]))]
    apps: Vec<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize, ToSchema)]
pub struct OfferItems {
    #[schema(max_items = 1000)]
    pub items: Vec<OfferView>,
}

#[derive(Serialize, ToSchema)]
pub struct PlanItems {
    #[schema(max_items = 200)]
    pub items: Vec<PlanView>,
    /// `null` on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl OfferView {
    pub fn of(plan: &Plan) -> Self {
        Self {
            plan: plan.id.to_string(),
            display_name: plan.display_name.clone(),
            price: plan.price,
            period: plan.period,
            trial_days: plan.trial_days,
            credits: plan.credits,
            credits_days: plan.credits_days,
            features: plan.features.clone(),
        }
    }
}

impl PlanView {
    pub fn of(plan: &Plan) -> Self {
        Self {
            plan: plan.id.to_string(),
            display_name: plan.display_name.clone(),
            status: plan.status,
            price: plan.price,
            period: plan.period,
            trial_days: plan.trial_days,
            credits: plan.credits,
            credits_days: plan.credits_days,
            features: plan.features.clone(),
            apps: plan.apps.iter().map(ToString::to_string).collect(),
            created_at: rfc3339(plan.created_at),
            updated_at: rfc3339(plan.updated_at),
        }
    }
}
