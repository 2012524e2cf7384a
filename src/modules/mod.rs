//! The modules that every user record embeds.
//!
//! A *module* is a named part of the user record with a schema of its own (`user_modules` is the
//! registry, `users.modules.<name>` the data) and a permission of its own. It gives a new person its
//! defaults and an app its view; its state changes only through its own operations. Modules never
//! know each other: what they offer each other is a trait (`contract`), which `app` hands them.
//!
//! To add a module: a folder here like `wallet`, the pattern, a line in [`ALL`], `schemas/modules/<name>.json` (a test demands
//! these of each other), and its sentences in `tests/it/<name>.rs`.

mod contract;
pub mod referrals;
mod registry;
pub mod subscription;
pub mod wallet;

use bson::{Bson, Document};
use serde_json::{Map, Value};

use crate::kernel::free;
use crate::users::Modules;

pub use contract::{Bill, Gift, GiftCategory, Purse, Receipt, SHORT};
pub use registry::{RegisterModule, Registered, WRITING, register};

pub const ALL: Modules = &[&wallet::Wallet, &subscription::Subscription, &referrals::Referrals];

/// The fields of the source document; what a module keeps besides is its own affair.
fn shown(data: &Document, fields: &[&str]) -> Value {
    let field = |name: &&str| {
        let value = data.get(name).unwrap_or(&Bson::Null);
        ((*name).to_owned(), free::to_json(value))
    };
    Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
}
