//! What admins do with referrals: promise rewards, and decide what is flagged.
//!
//! A *programme* is changed for codes that are redeemed later; what was redeemed keeps it as it was. A
//! flagged referral waits until it is *approved* (then its event is waited for like that of others) or
//! *voided*. What was refused is shown and cannot be approved: refusals are facts, not guesses. What
//! was rewarded stays so: an adjustment of the wallet takes credits back, with its reason.

mod commands;
mod http;
mod wire;

pub use commands::create;
pub use http::{Paper, routes};
pub use wire::new_programme;
