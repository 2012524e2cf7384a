//! What waits for one person or was decided about them, for the person themself.

use bson::{Document, doc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::{Reason, Registration};
use crate::apps::App;
use crate::audit::warrant::Pass;
use crate::crypto::keyring::Keyring;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{AppId, UserId};
use crate::kernel::time::{Timestamp, rfc3339};
use crate::store::{Path, Query, Record, Store};
use crate::users::{Identifier, Identity};

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "_id")]
    id: AppId,
}

/// Apps that are asked about at once; each may have claimed any of the person's identifiers.
const APPS: u32 = 100;

/// Those that name the person, and those in which an app claims an identifier of theirs: it is sealed,
/// but what the claim of an app would be called is known.
pub async fn of_person(
    pass: &Pass,
    store: &Store,
    user: UserId,
    identities: &[Identity],
    now: Timestamp,
) -> Result<Vec<Value>, Fault> {
    let named = doc! { "$or": [{ "user_ids": user.0 }, { "user_id": user.0 }] };
    let mut found = all(pass, store, named).await?;
    let only = doc! { "_id": 1 };
    let collection = App::KIND.collection;
    let (filter, sort) = (doc! {}, doc! { "_id": 1 });
    let mut apps = store.walk::<Named>(Path { collection, filter, sort, only, batch: APPS });
    while let Some(apps) = apps.next().await? {
        let ids: Vec<_> = apps.iter().map(|app| app.id.as_str()).collect();
        let claims = apps.iter().flat_map(|app| claims(&app.id, identities, store.keyring()));
        let claims: Vec<_> = claims.collect();
        let claimed = doc! { "app_id": { "$in": ids }, "fingerprint": { "$in": claims } };
        found.extend(all(pass, store, claimed).await?);
    }
    found.sort_by_key(|registration| registration.id);
    found.dedup_by_key(|registration| registration.id);
    Ok(found.iter().map(|it| shown(it, identities, store.keyring(), now)).collect())
}

async fn all(pass: &Pass, store: &Store, filter: Document) -> Result<Vec<Registration>, Fault> {
    store.list(pass, Query::of(Registration::KIND.collection, filter)).await
}

fn claims<'a>(
    app: &'a AppId,
    identities: &'a [Identity],
    keyring: &'a Keyring,
) -> impl Iterator<Item = String> + 'a {
    identities.iter().map(move |identity| {
        let Identity { kind, value, .. } = identity.clone();
        Registration::fingerprint_of(app, &[Identifier { kind, value }], keyring)
    })
}

/// Of a request that names several people, only what is this one's.
fn shown(
    registration: &Registration,
    identities: &[Identity],
    keyring: &Keyring,
    now: Timestamp,
) -> Value {
    let request = registration.request(keyring).ok();
    let theirs = |it: &&Identifier| identities.iter().any(|identity| identity.name == it.name());
    let claimed = request.iter().flat_map(|request| &request.identifiers).filter(theirs);
    let claimed: Vec<_> = claimed.map(|it| json!({ "kind": it.kind, "value": it.value })).collect();
    let mut shown = json!({
        "registration_id": registration.id.to_string(),
        "app_id": registration.app_id.as_str(),
        "status": registration.shown_status(now),
        "reason": registration.reason,
        "identifiers": claimed,
        "created_at": rfc3339(registration.created_at),
        "expires_at": rfc3339(registration.expires_at),
        "decided_at": registration.decided_at.map(rfc3339),
    });
    if registration.reason != Reason::Duplicate {
        let mut sent = serde_json::to_value(&request).unwrap_or_default();
        if let Some(sent) = sent.as_object_mut() {
            sent.retain(|name, _| !["identifiers", "password"].contains(&name.as_str()));
        }
        shown["request"] = sent;
        shown["decline_reason"] = registration.note(keyring).into();
    }
    shown
}
