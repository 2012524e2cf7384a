//! Referrals: a user's code, and how many people came by it. Embedded in the user record and seen by
//! apps that hold `referrals_access`. This far a person starts without a code; nothing gives out or
//! redeems one.

use bson::{Bson, Document, doc};
use serde_json::Value;

use super::BuiltIn;
use super::shown;
use crate::kernel::time::Timestamp;
use crate::users::Module;

pub struct Referrals;

impl Module for Referrals {
    fn name(&self) -> &'static str {
        "referrals"
    }

    fn permission(&self) -> &'static str {
        "referrals_access"
    }

    fn defaults(&self, _: Timestamp) -> Option<Document> {
        Some(doc! { "enabled": true, "referral_code": Bson::Null, "referrals_count": 0_i64 })
    }

    fn view(&self, data: Option<&Document>) -> Option<Value> {
        Some(shown(data?, &["enabled", "referral_code", "referrals_count"]))
    }
}

impl BuiltIn for Referrals {
    fn schema(&self) -> &'static str {
        include_str!("../../../schemas/modules/referrals.json")
    }
}
