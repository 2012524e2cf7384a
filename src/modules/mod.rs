//! The modules that every user record embeds.
//!
//! A *module* is a named part of the user record with a schema of its own (`user_modules` is the
//! registry, `users.modules.<name>` the data) and a permission of its own. It gives a new person its
//! defaults and an app its view; its state changes only through its own operations. Modules never
//! know each other: what they offer each other is a trait (`contract`), which `app` hands them.
//!
//! Modules that admins register have their line in `registry`, and their data in `custom`.
//!
//! To add a built-in module: a folder here like `wallet`, the pattern, a line in [`ALL`] and in
//! `users::BUILT_IN`, `schemas/modules/<name>.json` (tests demand these of each other), and its
//! sentences in `tests/it/<name>.rs`.

mod asked;
mod backlog;
mod contract;
pub mod custom;
pub mod referrals;
pub mod registry;
pub mod subscription;
pub mod wallet;

use bson::{Bson, Document};
use serde_json::{Map, Value};

use crate::kernel::free;
use crate::users::Module;

pub use backlog::Backlog;
pub use contract::{Bill, Gift, GiftCategory, Purse, PurseRef, Receipt, SHORT};

/// A module that comes with this binary.
pub trait BuiltIn: Module {
    /// Its description, schema and defaults, as `schemas/modules/<name>.json` has them.
    fn schema(&self) -> &'static str;
}

pub const ALL: &[&dyn BuiltIn] =
    &[&wallet::Wallet, &subscription::Subscription, &referrals::Referrals];

/// The fields of the source document; what a module keeps besides is its own affair.
fn shown(data: &Document, fields: &[&str]) -> Value {
    let field = |name: &&str| {
        let value = data.get(name).unwrap_or(&Bson::Null);
        ((*name).to_owned(), free::to_json(value))
    };
    Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
}
