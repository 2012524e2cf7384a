//! Subscription: which plan a user has, and until when. Embedded in the user record and seen by apps
//! that hold `subscription_access`. This far a person starts without a plan; nothing starts or ends
//! one.

use bson::{Bson, Document, doc};
use serde_json::Value;

use super::BuiltIn;
use super::shown;
use crate::kernel::time::Timestamp;
use crate::users::Module;

pub struct Subscription;

impl Module for Subscription {
    fn name(&self) -> &'static str {
        "subscription"
    }

    fn permission(&self) -> &'static str {
        "subscription_access"
    }

    fn defaults(&self, _: Timestamp) -> Option<Document> {
        Some(doc! { "enabled": false, "plan": Bson::Null, "expires_at": Bson::Null })
    }

    fn view(&self, data: Option<&Document>) -> Option<Value> {
        Some(shown(data?, &["enabled", "plan", "expires_at"]))
    }
}

impl BuiltIn for Subscription {
    fn schema(&self) -> &'static str {
        include_str!("../../../schemas/modules/subscription.json")
    }
}
