//! A connection's key: replaced with an overlap, and shown again where an admin allows it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::actions::{RevealKey, RotateKey};
use super::commands::{Desk, hints};
use crate::access::grant::Granted;
use crate::access::key::{self, StoredKey};
use crate::apps::App;
use crate::crypto::keyring::Keyring;
use crate::crypto::token::{ApiKey, KeyKind};
use crate::http::checks::Checks;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::time::{self, Timestamp, rfc3339};
use crate::store::{Done, Stop};
use crate::users::{Connection, PreviousKey};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    /// How long the old key still counts: 0 to 604,800 seconds; 3,600, unless sent.
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_seconds: Option<i64>,
    /// When the new key ends, RFC 3339; never, unless sent.
    expires_at: Option<String>,
}

/// A checked wish for a new key.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// Until when the old key still counts, unless it ends sooner anyway.
    until: Timestamp,
    expires_at: Option<Timestamp>,
}

/// A new key, and until when the one before it still counts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RotatedView {
    /// Shown this once, and again to a request repeated under its Idempotency-Key.
    connection_key: String,
    key_hint: String,
    key_created_at: String,
    key_expires_at: Option<String>,
    previous_key: Option<PreviousKeyView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PreviousKeyView {
    key_hint: String,
    expires_at: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevealedView {
    connection_key: String,
}

pub fn rotation(body: &RotateBody, now: Timestamp) -> Result<Rotation, Fault> {
    let mut checks = Checks::default();
    let rotation = Rotation {
        until: checks.overlap("/overlap_seconds", body.overlap_seconds, now),
        expires_at: checks.time_to_come("/expires_at", body.expires_at.as_deref(), now),
    };
    checks.or(rotation)
}

impl From<&PreviousKey> for PreviousKeyView {
    fn from(key: &PreviousKey) -> Self {
        Self { key_hint: key.key_hint.clone(), expires_at: rfc3339(key.expires_at) }
    }
}

pub async fn rotate(
    grant: &Granted<RotateKey>,
    desk: &Desk,
    rotation: Rotation,
) -> Result<Done<RotatedView>, Fault> {
    let (store, target) = (&desk.store, grant.target().clone());
    let (chance, keyring) = (store.chance(), store.keyring());
    let key = ApiKey::generate(KeyKind::Connection, chance);
    let holder = target.connection.to_string();
    let stored = StoredKey::seal(&key, Connection::COLLECTION, &holder, keyring, chance);
    let text = key.text();
    let unit = store.unit(grant.warrant(), hints(&target), move |work| {
        let before = work.get(&Connection::by_id(target.connection))?;
        let app = work.get(&App::by_id(&target.app))?;
        let after = rotated(&before, &app, stored.clone(), rotation, work.now());
        work.revise(&before, &after)?;
        Ok(RotatedView {
            connection_key: text.expose().clone(),
            key_hint: stored.hint.clone(),
            key_created_at: rfc3339(work.now()),
            key_expires_at: after.key_expires_at.map(rfc3339),
            previous_key: after.previous_key.as_ref().map(PreviousKeyView::from),
        })
    });
    unit.await
}

fn rotated(
    before: &Connection,
    app: &App,
    key: StoredKey,
    rotation: Rotation,
    now: Timestamp,
) -> Connection {
    let mut after = before.clone();
    after.set_key(key, now, app.connection_key_epoch);
    after.key_expires_at = rotation.expires_at;
    if in_force(before, app, now) {
        after.previous_key = replaced(before, rotation.until, now);
    }
    after
}

/// Whether the key in use counts: neither at its end, nor ended with all others of the app.
fn in_force(connection: &Connection, app: &App, now: Timestamp) -> bool {
    connection.key_epoch == app.connection_key_epoch
        && connection.key_expires_at.is_none_or(|at| at > now)
}

/// The key as it counts for a while longer, never beyond its own end. An older one that was still
/// in its own overlap is forgotten: at most two keys of a connection are in use.
fn replaced(before: &Connection, until: Timestamp, now: Timestamp) -> Option<PreviousKey> {
    let expires_at = before.key_expires_at.map_or(until, |own| own.min(until));
    if expires_at <= now {
        return None;
    }
    Some(PreviousKey {
        key_id: before.key_id.clone()?,
        key_mac: before.key_mac.clone()?,
        key_hint: before.key_hint.clone()?,
        expires_at,
    })
}

/// Shows the key in use again. Each time leaves an entry of its own: the noted moment always moves
/// on, by a millisecond where two fall into one.
pub async fn reveal(grant: &Granted<RevealKey>, desk: &Desk) -> Result<RevealedView, Fault> {
    let target = grant.target().clone();
    let keyring = desk.store.keyring().clone();
    let unit = desk.store.unit(grant.warrant(), hints(&target), move |work| {
        let before = work.get(&Connection::by_id(target.connection))?;
        let app = work.get(&App::by_id(&target.app))?;
        let connection_key = revealed(&before, &app, &keyring, work.now())?;
        let mut after = before.clone();
        let next = before.key_revealed_at.map(|at| time::plus(at, 1));
        after.key_revealed_at = Some(next.map_or(work.now(), |next| next.max(work.now())));
        work.revise(&before, &after)?;
        Ok(RevealedView { connection_key })
    });
    Ok(unit.await?.answer)
}

fn revealed(
    connection: &Connection,
    app: &App,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<String, Stop> {
    if !app.reveal_keys {
        return Err(Fault::of(Code::RevealNotAllowed).into());
    }
    let sealed = connection.api_key.as_deref().filter(|_| in_force(connection, app, now));
    let Some(sealed) = sealed else {
        let detail = "The key has ended and would be refused: rotate it.";
        return Err(Fault::new(Code::RevealNotAllowed, detail).into());
    };
    let opened = key::open(sealed, Connection::COLLECTION, &connection.id.to_string(), keyring);
    Ok(opened.ok_or_else(|| Fault::internal("a connection key does not open"))?)
}
