//! Positions in lists, as texts that a client can keep but neither read nor bend, and the MACs that
//! bind an Idempotency-Key to its request.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::gate::Gate;
use crate::audit::warrant::Idempotency;
use crate::crypto::envelope::Context;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::text::hex;

/// What a cursor belongs to: it opens for the same caller, list and filter only.
pub struct List<'a> {
    pub scope: &'a str,
    pub route: &'static str,
    pub filter: String,
}

/// What an Idempotency-Key was sent with.
pub struct Repetition<'a> {
    pub scope: &'a str,
    /// The user or, where there is none, the route: the same key elsewhere is another operation.
    pub place: &'a str,
    pub key: &'a str,
    pub method: &'a str,
    pub route: &'a str,
    pub parameters: &'a str,
    pub body: &'a [u8],
}

impl Gate {
    pub fn seal_cursor<P: Serialize>(
        &self,
        list: &List<'_>,
        position: &P,
    ) -> Result<String, Fault> {
        let position = serde_json::to_vec(position).map_err(|_| Fault::internal("a position"))?;
        Ok(self.keyring().seal(self.chance(), &context(list, &binding(list)), &position))
    }

    pub fn open_cursor<P: DeserializeOwned>(
        &self,
        list: &List<'_>,
        cursor: &str,
    ) -> Result<P, Fault> {
        let stale = || Fault::of(Code::InvalidCursor);
        let opened = self.keyring().open(&context(list, &binding(list)), cursor);
        serde_json::from_slice(&opened.map_err(|_| stale())?).map_err(|_| stale())
    }

    pub fn idempotency(&self, request: &Repetition<'_>) -> Idempotency {
        let Repetition { scope, place, key, method, route, parameters, body } = request;
        let parts = [scope.as_bytes(), place.as_bytes(), key.as_bytes()];
        let id = self.keyring().mac_bytes("idempotency_key", &parts);
        let parts = [method.as_bytes(), route.as_bytes(), parameters.as_bytes(), body];
        let fingerprint = self.keyring().mac_bytes("idempotency_fingerprint", &parts);
        Idempotency { key: (*key).to_owned(), id: hex(&id), fingerprint: hex(&fingerprint) }
    }
}

fn context<'a>(list: &List<'_>, binding: &'a str) -> Context<'a> {
    Context { collection: "cursor", id: binding, field: list.route }
}

fn binding(list: &List<'_>) -> String {
    format!("{}|{}", list.scope, list.filter)
}
