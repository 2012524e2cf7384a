//! A user's own data key, wrapped under the keyring. Destroying the record erases every personal
//! value of that user in the trail.

use std::collections::HashMap;

use bson::{RawDocument, RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};

use super::client::Store;
use super::read::Query;
use super::record::{Key, Kind, NO_VOLATILE, Record, Root};
use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::audit::warrant::Pass;
use crate::crypto::envelope::{Context, DataKey};
use crate::crypto::keyring::Keyring;
use crate::kernel::chance::Chance;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::kernel::time::Timestamp;

#[derive(Serialize, Deserialize)]
pub struct UserKey {
    #[serde(rename = "_id")]
    id: UserId,
    wrapped: String,
    created_at: Timestamp,
}

impl UserKey {
    pub fn of(user: UserId) -> Key<Self> {
        Key::id(user.0)
    }

    /// A new random key for a new user.
    pub fn generate(user: UserId, keyring: &Keyring, chance: &Chance, now: Timestamp) -> Self {
        let key = DataKey::generate(chance);
        let wrapped = keyring.seal(chance, &context(&user.to_string()), key.expose());
        Self { id: user, wrapped, created_at: now }
    }
}

impl Record for UserKey {
    const KIND: &'static Kind = &Kind {
        collection: "user_keys",
        root: Root::Of { collection: "users", field: "_id" },
        subject: |key| key.get_object_id("_id").ok().map(|id| Subject::User(UserId(id))),
        place: |_| Some("data_key".to_owned()),
        sensitivity: |path| match path {
            "wrapped" => Sensitivity::Secret,
            _ => Sensitivity::Plain,
        },
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.0)
    }
}

fn context(user: &str) -> Context<'_> {
    Context { collection: "user_keys", id: user, field: "wrapped" }
}

pub(super) fn unwrap(record: &RawDocument, keyring: &Keyring) -> Result<DataKey, String> {
    let broken = |what: &str| format!("a data key {what}");
    let user = record.get_object_id("_id").map_err(|_| broken("has no id"))?;
    let wrapped = record.get_str("wrapped").map_err(|_| broken("is missing"))?;
    let plain = keyring
        .open(&context(&user.to_hex()), wrapped)
        .map_err(|_| broken("does not open: is its master key in the keyring?"))?;
    let bytes: [u8; 32] = plain.try_into().map_err(|_| broken("has a wrong length"))?;
    Ok(DataKey::from_bytes(bytes))
}

/// Opened keys, so that a busy user's key is not read and unwrapped for each entry.
#[derive(Default)]
pub(super) struct KeyCache {
    keys: HashMap<UserId, DataKey>,
}

const CACHED_KEYS: usize = 20_000;

impl KeyCache {
    pub fn get(&self, user: &UserId) -> Option<DataKey> {
        self.keys.get(user).cloned()
    }

    pub fn forget(&mut self, user: UserId) {
        self.keys.remove(&user);
    }

    /// A full cache starts anew: simpler than to remember what was used when, and as cheap.
    pub fn put(&mut self, user: UserId, key: DataKey) {
        if self.keys.len() >= CACHED_KEYS {
            self.keys.clear();
        }
        self.keys.insert(user, key);
    }
}

impl Store {
    /// A key that was destroyed is not kept in memory either.
    pub fn forget_key(&self, user: UserId) {
        self.inner().forget_key(user);
    }

    /// The data keys of these users, as far as they still exist and open.
    pub async fn data_keys(
        &self,
        pass: &Pass,
        users: &[UserId],
    ) -> Result<HashMap<UserId, DataKey>, Fault> {
        let ids: Vec<_> = users.iter().map(|user| user.0).collect();
        let query = Query::of(UserKey::KIND.collection, doc! { "_id": { "$in": ids } });
        let records: Vec<RawDocumentBuf> = self.list(pass, query).await?;
        let opened = records.iter().filter_map(|record| {
            let user = UserId(record.get_object_id("_id").ok()?);
            // One key that does not open must not hide the rest of a page.
            unwrap(record, self.keyring())
                .inspect_err(|cause| tracing::warn!(%user, cause, "personal values stay sealed"))
                .ok()
                .map(|key| (user, key))
        });
        Ok(opened.collect())
    }
}
