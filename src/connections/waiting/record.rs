//! `registrations`: a request that waits, and what became of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::connections::connect::Tied;
use crate::connections::registration::Outcome;
use crate::connections::request::Request;
use crate::crypto::envelope::Context;
use crate::crypto::keyring::Keyring;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, ConnectionId, RegistrationId, UserId};
use crate::kernel::time::{self, DAY_MS, Timestamp};
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root, Stop, Store, Work};
use crate::users::{Connection, ConnectionStatus, Identifier};

/// From the request, and again from the decision: the app has that long to read it.
const KEPT_MS: i64 = 30 * DAY_MS;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registration {
    #[serde(rename = "_id")]
    pub id: RegistrationId,
    pub app_id: AppId,
    pub status: Status,
    pub reason: Reason,
    /// MAC of the app and the identifiers: the same request twice is one case.
    pub fingerprint: String,
    /// Whose identifiers they were, where an app had vouched for them.
    pub user_ids: Vec<UserId>,
    /// The request. Its context is the fingerprint, so that it can be sealed before the unit knows
    /// which record it becomes part of.
    pub sealed: String,
    /// The connection's key, until the app has read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_key: Option<String>,
    /// Why it was declined, for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<ConnectionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// As it is stored; that a pending one has expired is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Active,
    Declined,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Declined => "declined",
        }
    }
}

/// Why it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A first-party app vouches for identifiers of two people.
    Duplicate,
    /// A first-party app does not vouch.
    Unproven,
    /// A third-party app cannot vouch.
    ThirdParty,
}

const BY_REQUEST: &[&str] = &["app_id", "fingerprint"];

impl Record for Registration {
    const KIND: &'static Kind = &Kind {
        collection: "registrations",
        root: Root::Own,
        subject: |it| {
            it.get_object_id("_id").ok().map(|id| Subject::Registration(RegistrationId(id)))
        },
        place: |_| Some(String::new()),
        sensitivity: |path| match path {
            "sealed" | "sealed_key" | "sealed_note" | "fingerprint" => Sensitivity::Secret,
            _ => Sensitivity::Plain,
        },
        volatile: NO_VOLATILE,
        alternates: &[BY_REQUEST],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Registration {
    pub fn by_id(id: RegistrationId) -> Key<Self> {
        Key::id(id.0)
    }

    /// The one in which this app claims these identifiers.
    pub fn claiming(app: &AppId, identifiers: &[Identifier], keyring: &Keyring) -> Key<Self> {
        let fingerprint = fingerprint(app, identifiers, keyring);
        Key::fields(BY_REQUEST, vec![app.as_str().into(), fingerprint.into()])
    }

    /// What the claim of an app is recognised by.
    pub fn fingerprint_of(app: &AppId, identifiers: &[Identifier], keyring: &Keyring) -> String {
        fingerprint(app, identifiers, keyring)
    }

    pub fn as_requested(&self) -> Key<Self> {
        let values = vec![self.app_id.as_str().into(), self.fingerprint.as_str().into()];
        Key::fields(BY_REQUEST, values)
    }

    /// A new request; whether it waits already is known only inside the unit.
    pub fn asked(
        app: &AppId,
        request: &Request,
        reason: Reason,
        now: Timestamp,
        store: &Store,
    ) -> Result<Self, Fault> {
        let (keyring, chance) = (store.keyring(), store.chance());
        let fingerprint = fingerprint(app, &request.identifiers, keyring);
        let plain = serde_json::to_vec(request).map_err(|_| Fault::internal("a request"))?;
        Ok(Self {
            id: RegistrationId::new(chance, now),
            app_id: app.clone(),
            status: Status::Pending,
            reason,
            user_ids: Vec::new(),
            sealed: keyring.seal(chance, &context(&fingerprint, "sealed"), &plain),
            fingerprint,
            sealed_key: None,
            sealed_note: None,
            user_id: None,
            connection_id: None,
            decided_at: None,
            created_at: now,
            expires_at: time::plus(now, KEPT_MS),
        })
    }

    /// Stores it, unless the same request is there already; one that is over begins anew in place.
    pub fn wait(&self, work: &mut Work, owners: Vec<UserId>) -> Result<Outcome, Stop> {
        let waiting = match work.find(&self.as_requested())? {
            None => {
                let new = Self { user_ids: owners, ..self.clone() };
                work.create(&new)?;
                new
            }
            Some(earlier) if earlier.is_over(work)? => {
                let new = Self { id: earlier.id, user_ids: owners, ..self.clone() };
                work.revise(&earlier, &new)?;
                new
            }
            Some(earlier) => earlier,
        };
        Ok(Outcome::Waiting { registration_id: waiting.id, status: waiting.status })
    }

    /// Out of time, or connected once and let go since.
    fn is_over(&self, work: &mut Work) -> Result<bool, Stop> {
        let Some(id) = self.connection_id.filter(|_| self.status == Status::Active) else {
            return Ok(self.is_late(work.now()));
        };
        let connection = work.find(&Connection::by_id(id))?;
        let let_go = |it: Connection| it.connection_status == ConnectionStatus::Inactive;
        Ok(self.is_late(work.now()) || connection.is_none_or(let_go))
    }

    fn is_late(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    pub fn is_waiting(&self, now: Timestamp) -> bool {
        self.status == Status::Pending && !self.is_late(now)
    }

    /// What everybody is told of it.
    pub fn shown_status(&self, now: Timestamp) -> &'static str {
        let expired = self.status == Status::Pending && self.is_late(now);
        if expired { "expired" } else { self.status.as_str() }
    }

    /// Whether somebody may still decide it.
    pub fn undecided(&self, now: Timestamp) -> Result<(), Fault> {
        let detail = match self.shown_status(now) {
            "pending" => return Ok(()),
            "expired" => {
                let at = time::rfc3339(self.expires_at);
                format!("It expired at {at}: the app must register the person again.")
            }
            status => format!("It was decided already: it is {status}."),
        };
        Err(Fault::new(Code::AlreadyResolved, detail))
    }

    pub fn request(&self, keyring: &Keyring) -> Result<Request, Fault> {
        let plain = keyring.open(&context(&self.fingerprint, "sealed"), &self.sealed);
        let plain = plain.map_err(|_| Fault::internal("a waiting request does not open"))?;
        serde_json::from_slice(&plain)
            .map_err(|_| Fault::internal("a waiting request cannot be read"))
    }

    /// It has become this connection.
    #[must_use]
    pub fn active(self, tied: &Tied, now: Timestamp) -> Self {
        Self {
            status: Status::Active,
            user_id: Some(tied.user.id),
            connection_id: Some(tied.connection.id),
            decided_at: Some(now),
            expires_at: time::plus(now, KEPT_MS),
            ..self
        }
    }

    /// Keeps the connection's key for the app's next read.
    #[must_use]
    pub fn with_key(self, tied: &Tied, store: &Store) -> Self {
        let sealed_key = tied.key.as_ref().map(|key| {
            let id = self.id.to_string();
            store.keyring().seal(
                store.chance(),
                &context(&id, "sealed_key"),
                key.expose().as_bytes(),
            )
        });
        Self { sealed_key, ..self }
    }

    pub fn key_text(&self, sealed: &str, keyring: &Keyring) -> Result<String, Fault> {
        opened(keyring, &self.id.to_string(), "sealed_key", sealed)
    }

    #[must_use]
    pub fn declined(self, sealed_note: Option<String>, now: Timestamp) -> Self {
        let expires_at = time::plus(now, KEPT_MS);
        let (status, decided_at) = (Status::Declined, Some(now));
        Self { status, sealed_note, decided_at, expires_at, ..self }
    }

    pub fn sealed_note(id: RegistrationId, note: &str, store: &Store) -> String {
        let id = id.to_string();
        store.keyring().seal(store.chance(), &context(&id, "sealed_note"), note.as_bytes())
    }

    pub fn note(&self, keyring: &Keyring) -> Option<String> {
        let sealed = self.sealed_note.as_ref()?;
        opened(keyring, &self.id.to_string(), "sealed_note", sealed).ok()
    }
}

fn opened(keyring: &Keyring, id: &str, field: &str, sealed: &str) -> Result<String, Fault> {
    let plain = keyring.open(&context(id, field), sealed).ok();
    let text = plain.and_then(|plain| String::from_utf8(plain).ok());
    text.ok_or_else(|| Fault::internal(format!("{field} of a registration does not open")))
}

fn context<'a>(id: &'a str, field: &'a str) -> Context<'a> {
    Context { collection: "registrations", id, field }
}

fn fingerprint(app: &AppId, identifiers: &[Identifier], keyring: &Keyring) -> String {
    let names: Vec<String> = identifiers.iter().map(Identifier::name).collect();
    let mut parts: Vec<&[u8]> = vec![app.as_str().as_bytes()];
    parts.extend(names.iter().map(String::as_bytes));
    keyring.mac("registration", &parts)
}
