//! Registrations that wait for an admin.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::crypto::envelope::Context;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{AppId, RegistrationId, UserId};
use crate::kernel::time::{self, DAY_MS, Timestamp};
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root, Stop, Store, Work};
use crate::users::Identity;

const KEPT_MS: i64 = 30 * DAY_MS;

/// `registrations`: a request that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registration {
    #[serde(rename = "_id")]
    id: RegistrationId,
    app_id: AppId,
    status: String,
    reason: String,
    /// MAC of the app and the identifiers: the same request twice is one case.
    fingerprint: String,
    user_ids: Vec<UserId>,
    sealed: String,
    created_at: Timestamp,
    expires_at: Timestamp,
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
            "sealed" | "fingerprint" => Sensitivity::Secret,
            _ => Sensitivity::Plain,
        },
        volatile: NO_VOLATILE,
        alternates: &[BY_REQUEST],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.0)
    }
}

impl Registration {
    fn by_request(app: &AppId, fingerprint: &str) -> Key<Self> {
        Key::fields(BY_REQUEST, vec![app.as_str().into(), fingerprint.into()])
    }

    /// A request of two people's identifiers; whose they are is known only inside the unit.
    pub fn pending(
        id: RegistrationId,
        app: &AppId,
        identities: &[Identity],
        username: Option<&str>,
        now: Timestamp,
        store: &Store,
    ) -> Result<Self, Fault> {
        let (keyring, chance) = (store.keyring(), store.chance());
        let mut names: Vec<&[u8]> = vec![app.as_str().as_bytes()];
        names.extend(identities.iter().map(|identity| identity.name.as_bytes()));
        let request = json!({
            "identities": identities.iter().map(|identity| &identity.name).collect::<Vec<_>>(),
            "username": username,
        });
        let request =
            serde_json::to_vec(&request).map_err(|_| Fault::internal("a registration"))?;
        let text = id.to_string();
        let context = Context { collection: "registrations", id: &text, field: "sealed" };
        Ok(Self {
            id,
            app_id: app.clone(),
            status: "pending".to_owned(),
            reason: "duplicate".to_owned(),
            fingerprint: keyring.mac("registration", &names),
            user_ids: Vec::new(),
            sealed: keyring.seal(chance, &context, &request),
            created_at: now,
            expires_at: time::plus(now, KEPT_MS),
        })
    }

    /// Stores it, unless the same request waits already; the one that waits.
    pub fn wait(&self, work: &mut Work, owners: Vec<UserId>) -> Result<RegistrationId, Stop> {
        let key = Self::by_request(&self.app_id, &self.fingerprint);
        if let Some(earlier) = work.find(&key)? {
            return Ok(earlier.id);
        }
        work.create(&Self { user_ids: owners, ..self.clone() })?;
        Ok(self.id)
    }
}
