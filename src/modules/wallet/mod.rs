//! Wallet: how many credits a user has. Embedded in the user record and shared by every app that
//! holds `wallet_access`. Credits are whole units, never a fraction. This far a person starts with
//! none; nothing sets a balance, because two apps that both set would erase each other.

use bson::{Document, doc};
use serde_json::Value;

use super::shown;
use crate::kernel::time::Timestamp;
use crate::users::Module;

pub struct Wallet;

impl Module for Wallet {
    fn name(&self) -> &'static str {
        "wallet"
    }

    fn permission(&self) -> &'static str {
        "wallet_access"
    }

    fn schema(&self) -> &'static str {
        include_str!("../../../schemas/modules/wallet.json")
    }

    fn defaults(&self, now: Timestamp) -> Document {
        doc! { "enabled": true, "balance": 0_i64, "currency": "credits", "last_updated": now }
    }

    fn view(&self, data: &Document) -> Value {
        shown(data, &["enabled", "balance", "currency", "last_updated"])
    }
}
