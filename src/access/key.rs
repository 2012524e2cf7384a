//! API keys as they are stored: recognised by a MAC, revealed only through the keyring.

use crate::crypto::envelope::Context;
use crate::crypto::keyring::Keyring;
use crate::crypto::token::ApiKey;
use crate::kernel::chance::Chance;

/// A new key as it is stored: nothing of it can be used without the keyring.
#[derive(Debug, Clone)]
pub struct StoredKey {
    pub sealed: String,
    pub id: String,
    pub mac: String,
    pub hint: String,
}

const PURPOSE: &str = "api_key";
const FIELD: &str = "api_key";

impl StoredKey {
    /// `collection` and `holder` bind the ciphertext to its record.
    pub fn seal(
        key: &ApiKey,
        collection: &str,
        holder: &str,
        keyring: &Keyring,
        chance: &Chance,
    ) -> Self {
        let context = Context { collection, id: holder, field: FIELD };
        Self {
            sealed: keyring.seal(chance, &context, key.text().expose().as_bytes()),
            id: key.id().to_owned(),
            mac: mac(keyring, key),
            hint: key.hint(),
        }
    }
}

/// The text of a stored key; `None` where it does not open.
pub fn open(sealed: &str, collection: &str, holder: &str, keyring: &Keyring) -> Option<String> {
    let context = Context { collection, id: holder, field: FIELD };
    String::from_utf8(keyring.open(&context, sealed).ok()?).ok()
}

/// Over the key's kind, its id and its secret.
pub fn mac(keyring: &Keyring, key: &ApiKey) -> String {
    keyring.mac(PURPOSE, &parts(key))
}

/// In constant time.
pub fn proves(keyring: &Keyring, key: &ApiKey, stored_mac: &str) -> bool {
    keyring.verify_mac(PURPOSE, &parts(key), stored_mac)
}

fn parts(key: &ApiKey) -> [&[u8]; 3] {
    [key.kind().tag().as_bytes(), key.id().as_bytes(), key.secret().expose().as_bytes()]
}
