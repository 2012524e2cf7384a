//! What can be seen, and of whom.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::action::Described;
use crate::access::permission::Permission;
use crate::audit::actor::{Actor, Whose};
use crate::audit::entry::Outcome;
use crate::kernel::fault::Code;
use crate::kernel::ids::{AppId, ConnectionId, OperatorId, UserId};
use crate::kernel::time::Timestamp;

/// The module under which all of it stands in the trail; no registered one is called so.
pub const MODULE: &str = "security";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    SignInFailed,
    KeyRefused,
    PermissionDenied,
    LimitTripped,
    OperatorUsed,
}

/// For the papers.
pub const WRITING: &[Described] = &[
    line(Event::SignInFailed, "Somebody was not let in as a known person."),
    line(Event::KeyRefused, "A key that is known was refused: its secret, its end, or its place."),
    line(Event::PermissionDenied, "The holder of a key may not do what it was used for."),
    line(Event::LimitTripped, "The holder of a key has asked too often."),
    line(Event::OperatorUsed, "An operator's key was used."),
    Described {
        name: AUDIT_READ,
        module: MODULE,
        needs: Permission::Audit,
        what: "An operator was shown something of the trail; `reference` is what was asked for.",
    },
];

pub(super) const AUDIT_READ: &str = "audit_read";

const fn line(event: Event, what: &'static str) -> Described {
    Described { name: event.name(), module: MODULE, needs: Permission::Itself, what }
}

impl Event {
    pub const ALL: [Self; 5] = [
        Self::SignInFailed,
        Self::KeyRefused,
        Self::PermissionDenied,
        Self::LimitTripped,
        Self::OperatorUsed,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::SignInFailed => "sign_in_failed",
            Self::KeyRefused => "key_refused",
            Self::PermissionDenied => "permission_denied",
            Self::LimitTripped => "limit_tripped",
            Self::OperatorUsed => "operator_used",
        }
    }

    pub fn outcome(self) -> Outcome {
        match self {
            Self::OperatorUsed => Outcome::Done,
            _ => Outcome::Refused,
        }
    }

    /// What the caller has done to be told this. Not what a person lacks, such as credits or a
    /// connection: that is no trespass.
    pub fn behind(code: Code) -> Option<Self> {
        match code {
            Code::RateLimited => Some(Self::LimitTripped),
            Code::PermissionDenied
            | Code::WrongCredential
            | Code::ContextMismatch
            | Code::NotFirstParty
            | Code::RevealNotAllowed
            | Code::IssuanceNotAllowed
            | Code::AppSuspended
            | Code::ConnectionSuspended
            | Code::ConnectionRevoked => Some(Self::PermissionDenied),
            _ => None,
        }
    }
}

/// One occurrence: to whom, by whom, from where.
#[derive(Debug, Clone)]
pub struct Sighting {
    pub whose: Whose,
    /// Whoever has proven to be somebody; else Purser's own door.
    pub actor: Actor,
    pub user_id: Option<UserId>,
    pub app_id: Option<AppId>,
    pub connection_id: Option<ConnectionId>,
    /// For counting; `ip_address` is what of it is kept.
    pub address: Option<IpAddr>,
    pub ip_address: Option<String>,
    pub asserted_by: Option<AppId>,
    pub request_id: Option<String>,
    pub at: Timestamp,
}

/// Whose key it is.
#[derive(Debug)]
pub(in crate::access) struct Holder {
    pub whose: Whose,
    pub user_id: Option<UserId>,
    pub app_id: Option<AppId>,
    pub connection_id: Option<ConnectionId>,
}

impl Holder {
    pub fn app(id: &AppId) -> Self {
        let (whose, app_id) = (Whose::App(id.clone()), Some(id.clone()));
        Self { whose, user_id: None, app_id, connection_id: None }
    }

    pub fn connection(id: ConnectionId, user: UserId, app: &AppId) -> Self {
        let (whose, app_id) = (Whose::Connection(id), Some(app.clone()));
        Self { whose, user_id: Some(user), app_id, connection_id: Some(id) }
    }

    pub fn operator(id: OperatorId) -> Self {
        Self { whose: Whose::Operator(id), user_id: None, app_id: None, connection_id: None }
    }
}

impl Sighting {
    /// What is true of both.
    pub(super) fn in_common(&mut self, other: &Self) {
        fn keep<T: PartialEq>(mine: &mut Option<T>, other: Option<&T>) {
            if mine.as_ref() != other {
                *mine = None;
            }
        }
        keep(&mut self.user_id, other.user_id.as_ref());
        keep(&mut self.app_id, other.app_id.as_ref());
        keep(&mut self.connection_id, other.connection_id.as_ref());
        keep(&mut self.ip_address, other.ip_address.as_ref());
        keep(&mut self.asserted_by, other.asserted_by.as_ref());
        keep(&mut self.request_id, other.request_id.as_ref());
    }
}

/// Whom the door has recognised by their key, whatever becomes of the request. Clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct Recognised(Arc<Mutex<Option<Sighting>>>);

impl Recognised {
    pub(in crate::access) fn is(&self, sighting: Sighting) {
        *self.lock() = Some(sighting);
    }

    /// The person about whom they ask.
    pub(in crate::access) fn asks_about(&self, user: UserId, connection: ConnectionId) {
        if let Some(sighting) = self.lock().as_mut() {
            sighting.user_id = Some(user);
            sighting.connection_id = Some(connection);
        }
    }

    pub fn sighting(&self) -> Option<Sighting> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sighting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
