//! Referrals: a person's code, and rewards for people who came by it. Embedded in the user record and
//! seen by apps that hold `referrals_access`.
//!
//! A *code* is somebody's for good; what looks alike is one. It is *redeemed* once by each person,
//! within thirty days, and only for somebody who was there before, so no ring can close. A *programme*
//! says what both sides get and for which event. A *flag* is a signal (same address, same device, many
//! at once): it holds the reward back until an admin has decided, and turns nobody away. A *refusal* is
//! a fact; it turns away, and is shown to admins too.
//!
//! Invariants: a referral is rewarded once for ever (`ref:<referee>:<side>` in the ledger);
//! `referrals_count` is the number of entries that the referrer has for them; nobody refers themself,
//! by whichever address.
//!
//! Decided here: rewards are booked by a worker and never by the redeeming itself, so that a wallet
//! without room delays a reward and refuses no code. Apps learn neither who the other side is nor that
//! a referral is flagged. Addresses and devices are kept as MACs, to be compared and nothing else.
//!
//! The files are those of `wallet`. To add a signal: a variant of `model::Flag`, its line in
//! `model::flags`, a sentence in `tests/it/referrals.rs`.

mod actions;
mod admin;
mod commands;
mod http;
mod model;
mod record;
mod reward;
mod view;

use bson::{Bson, Document, doc};
use serde_json::Value;

use super::BuiltIn;
use super::shown;
use crate::kernel::time::Timestamp;
use crate::users::Module;

pub use actions::{CreateProgramme, RewardReferral, WRITING};
pub use admin::{
    Paper as AdminPaper, create as create_programme, new_programme, routes as admin_routes,
};
pub use http::{Paper, routes};
pub use record::{Case, CodeOf, Programme};
pub use reward::{reward, survey};
pub use view::{RECOGNISED, brought, case_view, code_view};

pub struct Referrals;

impl Module for Referrals {
    fn name(&self) -> &'static str {
        "referrals"
    }

    fn permission(&self) -> &'static str {
        actions::ACCESS
    }

    fn defaults(&self, _: Timestamp) -> Option<Document> {
        Some(doc! {
            "enabled": true, "referral_code": Bson::Null, "referrals_count": 0_i64,
            "referred_by": Bson::Null, "rewarded": false,
        })
    }

    /// The source document's fields.
    fn view(&self, data: Option<&Document>) -> Option<Value> {
        Some(shown(data?, &["enabled", "referral_code", "referrals_count"]))
    }
}

impl BuiltIn for Referrals {
    fn schema(&self) -> &'static str {
        include_str!("../../../schemas/modules/referrals.json")
    }
}
