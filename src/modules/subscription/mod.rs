//! Subscriptions: which plan a person has, and until when. Embedded in the user record, paid for with
//! credits, sold by the apps that a plan names, and seen by every app that holds
//! `subscription_access`.
//!
//! A *plan* is what admins put on sale; a *contract* is what one person has agreed to, with the terms
//! as they were then. It goes through *periods*, whose ends are counted in the person's own days from
//! the day it began. States: `trialing → active → past_due → expired`; `canceled` ends with its period.
//!
//! Invariants: a period is billed at most once, whatever crashes (its reference in the ledger is
//! `sub:<id>:<period>`); what may be used is computed from the times at the moment of asking, so a
//! worker that is down neither gives nor takes anything; nobody is entitled beyond seven days of grace
//! without paying; a change of plan conserves credits, to the unit.
//!
//! Decided here: a contract that was not paid for until the grace was over has ended, also where no
//! worker came by meanwhile: what was shown as expired stays expired. The module's part of the user
//! record is shown as it was stored last; `…/subscription` and `…/entitlements` compute.
//!
//! The files are those of `wallet`: `model` are the rules, `book` puts them into records and moves
//! credits through the [`Purse`](crate::modules::Purse) that `app` hands over. To add an operation: a
//! rule in `model` and in its oracle, an action, a command, a handler, a sentence in
//! `tests/it/subscription.rs`.

mod actions;
mod admin;
mod book;
mod commands;
mod http;
mod model;
mod plan;
mod queries;
mod record;
mod renewal;
mod view;

use bson::{Bson, Document, doc};
use serde_json::Value;

use super::BuiltIn;
use super::shown;
use crate::kernel::time::Timestamp;
use crate::users::Module;

pub use actions::{CreatePlan, RenewSubscription, WRITING};
pub use admin::{Paper as AdminPaper, create as create_plan, new_plan, routes as admin_routes};
pub use http::{Paper, routes};
pub use plan::Plan;
pub use queries::{SCOPE, of_person};
pub use renewal::{Pace, Round, Whom, renew, survey};

pub struct Subscription;

impl Module for Subscription {
    fn name(&self) -> &'static str {
        "subscription"
    }

    fn permission(&self) -> &'static str {
        actions::ACCESS
    }

    fn defaults(&self, _: Timestamp) -> Option<Document> {
        Some(doc! {
            "enabled": false, "plan": Bson::Null, "expires_at": Bson::Null, "status": Bson::Null,
            "current_period": Bson::Null, "cancel_at_period_end": false, "seq": 0_i64,
            "price": 0_i64, "pending_change": Bson::Null,
        })
    }

    /// The source document's fields, as they were stored last.
    fn view(&self, data: Option<&Document>) -> Option<Value> {
        Some(shown(data?, &["enabled", "plan", "expires_at"]))
    }
}

impl BuiltIn for Subscription {
    fn schema(&self) -> &'static str {
        include_str!("../../../schemas/modules/subscription.json")
    }
}
