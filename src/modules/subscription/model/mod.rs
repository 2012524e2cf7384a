//! The rules of a subscription, without I/O: what a moment, a change or a credit makes of it, and what
//! that costs.
//!
//! A [`Contract`] knows the period that was paid for (or is tried for nothing) and the terms as they
//! were agreed: a plan that an admin changes later concerns nobody who has it. [`Contract::turn`] says
//! what is due at a moment; whoever asks does it and stores what came of it, so whether a worker has
//! come by never matters. What somebody may use is computed from the times alone.
//!
//! Decided here: a period that ended unpaid is owed for [`GRACE_MS`], and billed as of its beginning
//! when credits come; after that the subscription is over, also where nobody came to say so. Whoever
//! gives back more than they take must wait for the end of the period once its credits were granted:
//! they would keep those.
//!
//! Invariants (proptest in `tests`, against an oracle that knows only a list of paid times): no period
//! is billed twice, paid periods neither overlap nor leave gaps, nobody may use anything later than the
//! grace after the last of them, and what is refunded never exceeds what was billed.

pub mod calendar;
mod prorate;
#[cfg(test)]
mod tests;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kernel::ids::{LedgerId, Name};
use crate::kernel::time::{self, DAY_MS, Timestamp};
use calendar::{Civil, Cycle, Unit, Zone};

const HOUR_MS: i64 = DAY_MS / 24;
/// How long a period that ended may stay unpaid.
pub const GRACE_MS: i64 = 7 * DAY_MS;
/// When a bill is tried again, counted from the end of the paid period; and at once when credits come.
pub const RETRIES_MS: [i64; 4] = [HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS, 72 * HOUR_MS];

/// What was agreed: the plan as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub plan: Name,
    /// In credits, for each period; 0 is free.
    pub price: i64,
    pub period: Cycle,
    /// Granted with each period that is paid for.
    pub credits: i64,
    /// For so many days; unless said, as long as the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits_days: Option<i64>,
    pub features: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SubscriptionStatus)]
pub enum Status {
    /// Nothing was paid yet.
    Trialing,
    Active,
    /// The period is over and the next one could not be paid for.
    PastDue,
    /// Ends with the period.
    Canceled,
    Expired,
}

/// From `start` up to, but not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Made when it began: names its bills.
    pub id: ObjectId,
    pub status: Status,
    pub terms: Terms,
    /// The last one that was paid for, or the trial.
    pub period: Period,
    /// Its number: 0 is the trial.
    pub seq: i64,
    /// Where periods are counted from, and how many of them `period.end` is away.
    pub anchor: Civil,
    pub steps: i64,
    /// What applies from the next period on.
    pub pending: Option<Terms>,
    /// The last entry that took credits for this period.
    pub charge: Option<LedgerId>,
    /// How often terms were changed within this period.
    pub changes: i64,
    /// Whether credits came with this period.
    pub granted: bool,
    /// When the next period was last tried to be paid for, in vain.
    pub tried_at: Option<Timestamp>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    Nothing,
    /// It is over.
    Ends(Box<Contract>),
    Bill(Box<Bill>),
}

/// The next period, and what becomes of the contract with or without its price.
#[derive(Debug, Clone, PartialEq)]
pub struct Bill {
    pub amount: i64,
    pub paid: Contract,
    /// None where the attempt was not due: somebody looked whether there are credits by now.
    pub unpaid: Option<Contract>,
}

/// Why an operation is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is in this state.
    State(Status),
    SamePlan,
    /// It would give back more than it takes, after the period's credits were granted.
    KeepsCredits,
}

impl Contract {
    /// Begins now, with a trial of so many days where there are any. The first period's price is due
    /// at once, a trial's at its end.
    pub fn begin(id: ObjectId, terms: Terms, trial_days: i64, at: Timestamp, zone: Zone) -> Self {
        let anchor = zone.civil(at);
        let trial = trial_days > 0;
        let days = Cycle { unit: Unit::Day, count: trial_days };
        let end = anchor.plus(if trial { days } else { terms.period }, 1);
        Self {
            id,
            status: if trial { Status::Trialing } else { Status::Active },
            granted: !trial && terms.credits > 0,
            terms,
            period: Period { start: at, end: later(zone.moment(end), at) },
            seq: i64::from(!trial),
            anchor,
            steps: 1,
            pending: None,
            charge: None,
            changes: 0,
            tried_at: None,
        }
    }

    /// Until when it may be used, as far as is known now.
    pub fn entitled_until(&self) -> Option<Timestamp> {
        match self.status {
            Status::Expired => None,
            Status::Canceled => Some(self.period.end),
            Status::Trialing | Status::Active | Status::PastDue => Some(self.grace_until()),
        }
    }

    pub fn is_entitled(&self, at: Timestamp) -> bool {
        self.entitled_until().is_some_and(|until| at < until)
    }

    /// As the times say, whatever was stored last.
    pub fn status_at(&self, at: Timestamp) -> Status {
        if self.is_entitled(at) { self.status } else { Status::Expired }
    }

    /// The terms that apply at a moment: those of the next period once this one is over.
    pub fn terms_at(&self, at: Timestamp) -> &Terms {
        self.pending.as_ref().filter(|_| at >= self.period.end).unwrap_or(&self.terms)
    }

    fn grace_until(&self) -> Timestamp {
        time::plus(self.period.end, GRACE_MS)
    }

    /// When somebody must look at it next.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.status {
            Status::Expired => None,
            Status::Trialing | Status::Active | Status::Canceled => Some(self.period.end),
            Status::PastDue => {
                let tried = self.tried_at.unwrap_or(self.period.end);
                let mut next =
                    RETRIES_MS.map(|after| time::plus(self.period.end, after)).into_iter();
                Some(next.find(|at| *at > tried).unwrap_or(self.grace_until()))
            }
        }
    }

    /// What is owed for the next period, where it could not be paid.
    pub fn owes(&self) -> Option<i64> {
        (self.status == Status::PastDue).then(|| self.terms_at(self.period.end).price)
    }

    /// What is to be done at this moment, one period at a time.
    pub fn turn(&self, at: Timestamp, zone: Zone) -> Turn {
        if self.status == Status::Expired || at < self.period.end {
            return Turn::Nothing;
        }
        if !self.is_entitled(at) {
            return Turn::Ends(Box::new(self.ended()));
        }
        let paid = self.next(zone);
        let unpaid = self.due_at().is_some_and(|due| due <= at).then(|| Self {
            status: Status::PastDue,
            tried_at: Some(at),
            ..self.clone()
        });
        Turn::Bill(Box::new(Bill { amount: paid.terms.price, paid, unpaid }))
    }

    /// The next period, paid for. It begins where the last one ended, whenever it is paid.
    fn next(&self, zone: Zone) -> Self {
        let start = self.period.end;
        let terms = self.terms_at(start).clone();
        let anew = self.seq == 0 || terms.period != self.terms.period;
        let anchor = if anew { zone.civil(start) } else { self.anchor };
        let mut steps = if anew { 1 } else { self.steps + 1 };
        let mut end = zone.moment(anchor.plus(terms.period, steps));
        // Who has moved east may be there already.
        while end <= start {
            steps += 1;
            end = zone.moment(anchor.plus(terms.period, steps));
        }
        Self {
            id: self.id,
            status: Status::Active,
            granted: terms.credits > 0,
            terms,
            period: Period { start, end },
            seq: self.seq + 1,
            anchor,
            steps,
            pending: None,
            charge: None,
            changes: 0,
            tried_at: None,
        }
    }

    fn ended(&self) -> Self {
        Self { status: Status::Expired, pending: None, tried_at: None, ..self.clone() }
    }

    /// Other terms from the next period on; the present ones again where they are the same.
    pub fn change_later(&self, terms: Terms) -> Result<Self, Refusal> {
        self.only_running()?;
        let pending = (terms.plan != self.terms.plan).then_some(terms);
        Ok(Self { pending, ..self.clone() })
    }

    /// Ends with the period. What is owed is not: then it ends at once.
    pub fn cancel(&self) -> Result<Self, Refusal> {
        match self.status {
            Status::Trialing | Status::Active | Status::Canceled => {
                Ok(Self { status: Status::Canceled, pending: None, ..self.clone() })
            }
            Status::PastDue => Ok(self.ended()),
            Status::Expired => Err(Refusal::State(self.status)),
        }
    }

    /// Takes the cancellation back, while the period lasts.
    pub fn resume(&self) -> Result<Self, Refusal> {
        match self.status {
            Status::Canceled if self.seq == 0 => Ok(self.with(Status::Trialing)),
            Status::Canceled => Ok(self.with(Status::Active)),
            Status::Trialing | Status::Active => Ok(self.clone()),
            Status::PastDue | Status::Expired => Err(Refusal::State(self.status)),
        }
    }

    fn with(&self, status: Status) -> Self {
        Self { status, ..self.clone() }
    }

    fn only_running(&self) -> Result<(), Refusal> {
        match self.status {
            Status::Trialing | Status::Active => Ok(()),
            other => Err(Refusal::State(other)),
        }
    }

    /// What the bill for its period is called, once for ever.
    pub fn reference(&self) -> String {
        reference(self.id, self.seq)
    }

    /// What a change within its period is called.
    pub fn change_reference(&self) -> String {
        format!("{}:c{}", self.reference(), self.changes)
    }

    /// Until when the credits of its period last.
    pub fn credits_until(&self) -> Timestamp {
        let days = self.terms.credits_days;
        days.map_or(self.period.end, |days| {
            time::plus(self.period.start, days.saturating_mul(DAY_MS))
        })
    }
}

/// What the bill for a period is called.
pub fn reference(id: ObjectId, seq: i64) -> String {
    format!("sub:{id}:{seq}")
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}

/// A period that would end at its own beginning (a zone that skips a day) lasts a day.
fn later(end: Timestamp, start: Timestamp) -> Timestamp {
    if end > start { end } else { time::plus(start, DAY_MS) }
}
