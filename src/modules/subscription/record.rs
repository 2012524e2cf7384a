//! What is stored of a subscription in the user record: `modules.subscription`.

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use super::model::calendar::{Civil, Cycle, Zone};
use super::model::{Contract, Period, Status, Terms};
use crate::kernel::ids::{AppId, LedgerId, Name, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, Record};
use crate::users::{User, UserStatus};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Whether there is one that has not ended, as far as was stored; what may be used is computed.
    pub enabled: bool,
    pub plan: Option<Name>,
    /// The end of the period that was paid for.
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub status: Option<Status>,
    #[serde(default)]
    pub current_period: Option<Period>,
    #[serde(default)]
    pub cancel_at_period_end: bool,
    /// The number of the period; 0 is the trial.
    #[serde(default)]
    pub seq: i64,
    #[serde(default)]
    pub price: i64,
    #[serde(default)]
    pub pending_change: Option<Terms>,
    /// Trials are for those who never had one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trialed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// What is missing for the next period: whom the worker looks at when credits come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owes: Option<i64>,
    /// When the worker must look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// What only Purser itself needs to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    pub id: ObjectId,
    /// Which app has sold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
    pub period: Cycle,
    pub credits: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits_days: Option<i64>,
    pub features: Vec<String>,
    pub anchor: Civil,
    pub steps: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<LedgerId>,
    #[serde(default)]
    pub changes: i64,
    #[serde(default)]
    pub granted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
}

impl Subscription {
    /// The contract, if there ever was one.
    pub fn contract(&self) -> Option<Contract> {
        let details = self.details.as_ref()?;
        Some(Contract {
            id: details.id,
            status: self.status?,
            terms: Terms {
                plan: self.plan.clone()?,
                price: self.price,
                period: details.period,
                credits: details.credits,
                credits_days: details.credits_days,
                features: details.features.clone(),
            },
            period: self.current_period?,
            seq: self.seq,
            anchor: details.anchor,
            steps: details.steps,
            pending: self.pending_change.clone(),
            charge: details.charge,
            changes: details.changes,
            granted: details.granted,
            tried_at: details.tried_at,
        })
    }

    /// The same person's with this contract, sold by `app`.
    pub fn with(&self, contract: &Contract, app: Option<AppId>) -> Self {
        let Contract { id, status, terms, period, seq, anchor, steps, pending, .. } =
            contract.clone();
        Self {
            enabled: status != Status::Expired,
            plan: Some(terms.plan),
            expires_at: Some(period.end),
            status: Some(status),
            current_period: Some(period),
            cancel_at_period_end: status == Status::Canceled,
            seq,
            price: terms.price,
            pending_change: pending,
            trialed: self.trialed || status == Status::Trialing,
            owes: contract.owes(),
            due_at: contract.due_at(),
            details: Some(Details {
                id,
                app_id: app,
                period: terms.period,
                credits: terms.credits,
                credits_days: terms.credits_days,
                features: terms.features,
                anchor,
                steps,
                charge: contract.charge,
                changes: contract.changes,
                granted: contract.granted,
                tried_at: contract.tried_at,
            }),
        }
    }
}

/// The part of a user record that a subscription works with. Written through the same kind as the
/// whole record: what is not here stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscriber {
    #[serde(rename = "_id")]
    pub id: UserId,
    pub status: UserStatus,
    #[serde(skip_serializing)]
    pub profile: Home,
    pub modules: Held,
    #[serde(skip_serializing)]
    pub revised_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    #[serde(default)]
    pub timezone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub subscription: Subscription,
}

impl Record for Subscriber {
    const KIND: &'static Kind = User::KIND;

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Subscriber {
    pub fn by_id(id: UserId) -> Key<Self> {
        Key::id(id.0)
    }

    pub fn subscription(&self) -> &Subscription {
        &self.modules.subscription
    }

    pub fn zone(&self) -> Zone {
        Zone::of(self.profile.timezone.as_deref())
    }

    /// The same person with this subscription.
    pub fn with(&self, subscription: Subscription) -> Self {
        Self { modules: Held { subscription }, ..self.clone() }
    }

    /// The moment at which a decision is made: never before the last one about this person.
    pub fn moment(&self, now: Timestamp) -> Timestamp {
        self.revised_at.max(now)
    }
}
