//! What a request says of its caller, before anything of it is believed.

use std::net::IpAddr;
use std::time::Instant;

use super::watch::Recognised;
use crate::audit::warrant::Idempotency;
pub use crate::audit::warrant::Receipts;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::time::Timestamp;

/// In a path: the person whose connection's key is shown.
pub const ME: &str = "me";

/// The part of a request that the gate looks at.
#[derive(Debug, Clone)]
pub struct Head {
    /// The presented key, from `Authorization: Bearer` or `X-Api-Key`.
    pub credential: Option<String>,
    /// `{user}` of the path, where there is one.
    pub user: Option<String>,
    /// `{module}` of the path, where there is one.
    pub module: Option<String>,
    pub peer: Option<IpAddr>,
    /// `Purser-Client-IP`: the person's address, as the app tells it.
    pub client: Option<IpAddr>,
    /// `Purser-Seen`, as it was answered before.
    pub seen: Option<String>,
    pub context: Context,
}

/// One request: its time, its id, its deadline. Read once, handed down.
#[derive(Debug, Clone)]
pub struct Context {
    pub now: Timestamp,
    pub request_id: String,
    pub deadline: Instant,
    pub receipts: Receipts,
    pub recognised: Recognised,
}

/// What a POST adds once its body is read.
#[derive(Clone, Default)]
pub struct Repeatable(pub Option<Idempotency>);

impl Repeatable {
    /// For operations that must not happen twice, whatever a client repeats.
    pub fn required(self) -> Result<Self, Fault> {
        if self.0.is_some() { Ok(self) } else { Err(Fault::of(Code::IdempotencyKeyRequired)) }
    }
}
