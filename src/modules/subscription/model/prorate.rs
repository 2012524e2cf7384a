//! A change of terms within a period: what was not used comes back, what is left to use is paid for.

use super::calendar::Zone;
use super::{Contract, Period, Refusal, Status, Terms};
use crate::kernel::time::{SECOND_MS, Timestamp};

/// A change that applies at once: two movements of credits, and the contract after them.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch {
    /// Of what the old terms took for this period.
    pub refund: i64,
    /// For the rest of it under the new terms, or for a whole new period.
    pub charge: i64,
    pub after: Contract,
}

/// What `price` for a period comes to for the rest of it: rounded down for what is given back, and up
/// for what is taken, so that a change to the same price costs at most one credit and never gives one.
/// Whole seconds; a second that has begun is used.
pub fn prorate(price: i64, period: Period, at: Timestamp) -> (i64, i64) {
    let seconds = |from: Timestamp, to: Timestamp| {
        i128::from(to.timestamp_millis() - from.timestamp_millis()).div_euclid(SECOND_MS.into())
    };
    let whole = seconds(period.start, period.end).max(1);
    let left = seconds(at, period.end).clamp(0, whole);
    let exact = i128::from(price) * left;
    let amount = |value: i128| i64::try_from(value).unwrap_or(i64::MAX);
    (amount(exact.div_euclid(whole)), amount((exact + whole - 1).div_euclid(whole)))
}

impl Contract {
    /// Other terms at once. Under another cycle a new period begins now; a trial stays one.
    pub fn change_now(&self, terms: Terms, at: Timestamp, zone: Zone) -> Result<Switch, Refusal> {
        self.only_running()?;
        if terms.plan == self.terms.plan {
            return Err(Refusal::SamePlan);
        }
        if self.status == Status::Trialing {
            let after = Self { terms, pending: None, ..self.clone() };
            return Ok(Switch { refund: 0, charge: 0, after });
        }
        let (unused, _) = prorate(self.terms.price, self.period, at);
        let refund = if self.charge.is_some() { unused } else { 0 };
        let switch = if terms.period == self.terms.period {
            let (_, charge) = prorate(terms.price, self.period, at);
            let after = Self { terms, pending: None, changes: self.changes + 1, ..self.clone() };
            Switch { refund, charge, after }
        } else {
            let begun = Self::begin(self.id, terms, 0, at, zone);
            let after = Self { seq: self.seq + 1, granted: self.granted, ..begun };
            Switch { refund, charge: after.terms.price, after }
        };
        if self.granted && switch.refund > switch.charge {
            return Err(Refusal::KeepsCredits);
        }
        Ok(switch)
    }
}
