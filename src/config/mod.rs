//! Configuration: what an operator may decide, read once at the start and never again.
//!
//! A *section* is a struct in a file of its own; a *key* is one field of it, named in the `read` of
//! that section together with its type and what is accepted. Those reads are the only table of
//! keys: what was not asked for there is unknown. A *source* is where a value comes from. Four lie
//! on each other, the later one wins: `defaults.toml` (compiled in, and the documentation), a TOML
//! file (`--config` or `PURSER_CONFIG`), the variable `PURSER__SECTION__KEY`, and for secrets the
//! file that `PURSER__SECTION__KEY_FILE` names.
//!
//! Invariants: a `Config` that exists is acceptable; a refusal lists every problem at once, each
//! with key, value, source and what is accepted; the value of a secret, or of an unknown key (it may
//! be a misspelt secret), is in no message.
//!
//! To add a key: one field and one line of `read` in its section, one entry with a comment in
//! `defaults.toml`; a test compares the two. To add a section: a file, and a line in `Config` and in
//! `Config::read`.

pub mod audit;
pub mod crypto;
pub mod delivery;
mod found;
pub mod jobs;
pub mod limits;
mod loader;
pub mod log;
pub mod metrics;
mod problem;
pub mod referrals;
mod section;
pub mod server;
pub mod sign_in;
pub mod store;
pub mod subscription;
#[cfg(test)]
mod tests;
pub mod trail;
pub mod wallet;

use std::path::Path;

pub use audit::{Audit, IpDetail};
pub use crypto::Crypto;
pub use delivery::Delivery;
pub use jobs::Jobs;
pub use limits::Limits;
pub use log::{Format, Level, Log};
pub use metrics::Metrics;
pub use problem::ConfigError;
pub use referrals::Referrals;
pub use server::Server;
pub use sign_in::SignIn;
pub use store::Store;
pub use subscription::Subscription;
pub use trail::Trail;
pub use wallet::Wallet;

use loader::Loader;

#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub store: Store,
    pub crypto: Crypto,
    pub sign_in: SignIn,
    pub audit: Audit,
    pub limits: Limits,
    pub wallet: Wallet,
    pub subscription: Subscription,
    pub referrals: Referrals,
    pub jobs: Jobs,
    pub trail: Trail,
    pub delivery: Delivery,
    pub metrics: Metrics,
    pub log: Log,
}

impl Config {
    /// `file` is what `--config` named; without it `PURSER_CONFIG` counts. The environment is a
    /// parameter so that tests need not change that of their process.
    ///
    /// # Errors
    /// All problems of all sources together, except that a file that cannot be read or is not TOML
    /// is reported alone: what it lacks would only be noise.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut loader = Loader::open(file, environment)?;
        let config = Self::read(&mut loader);
        loader.finish()?;
        Ok(config)
    }

    /// What a section returns for a refused key is a placeholder; `Loader::finish` sees to it that
    /// nobody gets such a `Config`.
    fn read(loader: &mut Loader) -> Self {
        Self {
            server: Server::read(&mut loader.section("server")),
            store: Store::read(&mut loader.section("store")),
            crypto: Crypto::read(&mut loader.section("crypto")),
            sign_in: SignIn::read(&mut loader.section("sign_in")),
            audit: Audit::read(&mut loader.section("audit")),
            limits: Limits::read(&mut loader.section("limits")),
            wallet: Wallet::read(&mut loader.section("wallet")),
            subscription: Subscription::read(&mut loader.section("subscription")),
            referrals: Referrals::read(&mut loader.section("referrals")),
            jobs: Jobs::read(&mut loader.section("jobs")),
            trail: Trail::read(&mut loader.section("trail")),
            delivery: Delivery::read(&mut loader.section("delivery")),
            metrics: Metrics::read(&mut loader.section("metrics")),
            log: Log::read(&mut loader.section("log")),
        }
    }
}

/// The environment of this process: the one place that reads it.
///
/// Not `std::env::vars`, which panics when any variable, also one that is not ours, is not UTF-8.
/// A character replaced here is refused by what its key accepts, or by who uses it.
#[expect(clippy::disallowed_methods, reason = "this is where the others are sent")]
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}
