//! A grant: proof that a caller was authenticated and may do one action to one target.

use std::marker::PhantomData;
use std::net::IpAddr;

use super::action::{Action, Mutating};
use super::principal::{Context, Repeatable};
use super::standing::Standing;
use crate::audit::actor::Actor;
use crate::audit::warrant::{Pass, Warrant};
use crate::kernel::ids::{AppId, ConnectionId, Name, OperatorId, UserId};
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;
use crate::store::Snapshot;

/// Made by the gate alone. Means: authenticated, in use, permission held, target within reach.
pub struct Granted<A: Action> {
    pub(super) target: A::Target,
    pub(super) caller: Caller,
    pub(super) context: Context,
    pub(super) repeatable: Repeatable,
    /// The registered module that it is about, where it is about one.
    pub(super) concerns: Option<Name>,
    pub(super) action: PhantomData<A>,
}

/// What the trail says of a caller, and what must still hold when it writes.
#[derive(Clone)]
pub struct Caller {
    pub actor: Actor,
    pub app_id: Option<AppId>,
    pub connection_id: Option<ConnectionId>,
    /// Where the request came from; `ip_address` is what of the person's address is kept.
    pub peer: Option<IpAddr>,
    pub ip_address: Option<String>,
    pub asserted_by: Option<AppId>,
    pub standing: Standing,
    /// What is left of its limits.
    pub quota: Option<Quota>,
    /// Whose Idempotency-Keys are told apart from everybody else's.
    pub scope: String,
}

/// One person as one app reaches it.
#[derive(Clone)]
pub struct OnUser {
    pub user: UserId,
    pub connection: ConnectionId,
    pub app: AppId,
    pub records: Records,
}

/// One person as one app reaches it, for what is decided in the transaction: the record itself, which
/// such requests change again and again, is not read at the door.
#[derive(Debug, Clone)]
pub struct OnTie {
    pub user: UserId,
    pub connection: ConnectionId,
    pub app: AppId,
}

/// What a grant was made from: for reading. What is written is read again in its transaction.
#[derive(Clone)]
pub struct Records {
    pub user: Snapshot,
    pub connection: Snapshot,
    pub app: Snapshot,
    /// All modules that are registered.
    pub modules: Snapshot,
}

/// The calling app itself.
#[derive(Clone)]
pub struct OnApp {
    pub app: AppId,
    pub record: Snapshot,
}

/// Purser as an operator administers it.
#[derive(Debug, Clone)]
pub struct OnPlatform {
    pub operator: OperatorId,
    /// Whether this operator may see personal values of the trail.
    pub sees_personal_values: bool,
}

/// Purser as it works on itself, by a named job.
#[derive(Debug, Clone)]
pub struct OnItself {
    pub job: Name,
}

/// What a body may repeat of its request's target: a mismatch is refused, not followed.
pub trait Names {
    fn user(&self) -> Option<String> {
        None
    }

    fn app(&self) -> Option<String> {
        None
    }
}

impl Names for OnUser {
    fn user(&self) -> Option<String> {
        Some(self.user.to_string())
    }

    fn app(&self) -> Option<String> {
        Some(self.app.to_string())
    }
}

impl Names for OnTie {
    fn user(&self) -> Option<String> {
        Some(self.user.to_string())
    }

    fn app(&self) -> Option<String> {
        Some(self.app.to_string())
    }
}

impl Names for OnApp {
    fn app(&self) -> Option<String> {
        Some(self.app.to_string())
    }
}

impl Names for OnPlatform {}

impl<A: Action> Granted<A> {
    pub fn target(&self) -> &A::Target {
        &self.target
    }

    pub fn now(&self) -> Timestamp {
        self.context.now
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Where the request came from, where it came from anywhere.
    pub fn peer(&self) -> Option<IpAddr> {
        self.caller.peer
    }

    /// Leave to read.
    pub fn pass(&self) -> Pass {
        super::gate::pass(&self.context)
    }

    /// What is left of the caller's limits.
    pub fn quota(&self) -> Option<&Quota> {
        self.caller.quota.as_ref()
    }

    /// The app that asks, where it is one.
    pub fn app(&self) -> Option<&AppId> {
        self.caller.app_id.as_ref()
    }

    /// Binds cursors and Idempotency-Keys to their caller.
    pub fn scope(&self) -> &str {
        &self.caller.scope
    }
}

impl<A: Mutating> Granted<A> {
    /// Leave to write.
    pub fn warrant(&self) -> Warrant {
        super::gate::warrant(self)
    }

    /// The same grant for a request that may be repeated under an Idempotency-Key.
    #[must_use]
    pub fn repeatable(self, repeatable: Repeatable) -> Self {
        Self { repeatable, ..self }
    }

    /// The same once more, for whoever does one thing many times with one grant, each under an
    /// Idempotency-Key of its own.
    #[must_use]
    pub fn repeated(&self, repeatable: Repeatable) -> Self {
        let (target, caller) = (self.target.clone(), self.caller.clone());
        let (context, concerns) = (self.context.clone(), self.concerns.clone());
        Self { target, caller, context, repeatable, concerns, action: PhantomData }
    }

    /// The same about a registered module: what it writes is filed under that.
    #[must_use]
    pub fn concerning(&self, module: &Name) -> Self {
        let concerns = Some(module.clone());
        Self { concerns, ..self.repeated(self.repeatable.clone()) }
    }
}
