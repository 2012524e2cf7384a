//! Wallets: how many credits a person has, and the only ways in which that number changes. A wallet is
//! embedded in the user record and shared by every app that holds `wallet_access`. There is no "set
//! balance", because two apps that both set would silently erase each other.
//!
//! A *credit* puts credits in, as a *lot* with its own priority and end. A *debit* takes them out, lot
//! by lot. A *hold* sets credits aside; it is *captured* or *released* once, or its time is over. A
//! *transfer* is a debit here and a credit there in one unit. A *refund* puts back what was taken. Each
//! is a line of the ledger (`entry`), with the balances after it.
//!
//! Invariants: a balance is never negative, equals the sum of its entries and of what remains of its
//! lots; what is held is never more; entries are numbered without gaps; an operation that is repeated
//! under one Idempotency-Key, or later under one reference, happens once; transfers conserve credits.
//!
//! Decided here: credits that a refund restores get the time they had left when they were spent, since
//! their old end would expire them at once (that is what `forfeit` is for). A wallet with 256 lots
//! takes more of a kind that it has: they join a lot that is spent under the same conditions, so that
//! a small daily gift does not end in a refusal. Frozen is 403 and not remembered: later the same key
//! goes through; it takes refunds and adjustments, too. A transfer keeps what credits are: sending
//! promotional ones round washes nothing.
//!
//! The pattern for every module: `model` are pure rules, `book` puts what they say into records,
//! `commands` and `queries` are what handlers call, `view` and `wire` what goes out and in. To add an
//! operation: a variant of `model::Operation` with its rule, an action, a command, a handler, a
//! sentence in `tests/it/wallet.rs`.

mod actions;
mod admin;
mod book;
mod commands;
mod entry;
mod expiry;
mod holdings;
mod http;
mod lines;
mod model;
mod plan;
mod purse;
mod queries;
mod record;
mod statement;
mod view;
mod wire;

use bson::{Document, doc};
use serde_json::Value;

use super::BuiltIn;
use super::shown;
use crate::kernel::time::Timestamp;
use crate::users::Module;

pub use actions::{Credit, Debit, ExpireCredits, WRITING};
pub use admin::{Paper as AdminPaper, routes as admin_routes};
pub use commands::{Issue, credit, debit};
pub use entry::{Entry, Note, Tally};
pub use expiry::expire;
pub use http::{Paper, routes};
pub use lines::lines;
pub use plan::{Purpose, Terms};
pub use record::Category;
pub use view::whole;

pub struct Wallet;

impl Module for Wallet {
    fn name(&self) -> &'static str {
        "wallet"
    }

    fn permission(&self) -> &'static str {
        actions::ACCESS
    }

    fn defaults(&self, now: Timestamp) -> Option<Document> {
        Some(doc! {
            "enabled": true, "balance": 0_i64, "currency": "credits", "last_updated": now,
            "held": 0_i64, "seq": 0_i64, "lots": [], "holds": [], "frozen": false,
        })
    }

    /// The source document's fields; all others are answered by the wallet's own operations.
    fn view(&self, data: Option<&Document>) -> Option<Value> {
        Some(shown(data?, &["enabled", "balance", "currency", "last_updated"]))
    }
}

impl BuiltIn for Wallet {
    fn schema(&self) -> &'static str {
        include_str!("../../../schemas/modules/wallet.json")
    }
}
