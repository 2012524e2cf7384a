//! What admins do to wallets: correct a balance, freeze, resolve holds, look.
//!
//! An *adjustment* is the only way to change a balance without an app, and says why. A *frozen* wallet
//! takes credits and adjustments and refuses the rest. Everything that moves credits goes through the
//! same rules and the same ledger as what apps do.

mod commands;
mod http;

pub use commands::Adjustment;
pub use http::{Paper, routes};
