//! AES-256-GCM with the place of a value as associated data, and a user's own data key.

use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::oid::ObjectId;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::kernel::chance::Chance;
use crate::kernel::secret::Secret;

pub const KEY_BYTES: usize = 32;
pub const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const VALUE_TAG: &str = "s1.";

/// Where a sealed value lives. It opens only there.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub collection: &'a str,
    pub id: &'a str,
    pub field: &'a str,
}

impl Context<'_> {
    /// `purser/v1|<collection>|<id>|<field>|<kek_id>`. Only the id comes from outside and may hold
    /// a `|` (an e-mail address can); the others are our own names, so there is one way to read it.
    pub(super) fn associated_data(&self, kek_id: &str) -> String {
        let Self { collection, id, field } = self;
        debug_assert!(!collection.contains('|') && !field.contains('|'), "ambiguous context");
        format!("purser/v1|{collection}|{id}|{field}|{kek_id}")
    }
}

/// A sealed value was changed, cut, moved to another place, or sealed with a key we do not have.
/// Which of these is not told: an attacker would learn from it, and nobody else can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unopenable;

impl fmt::Display for Unopenable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sealed value does not open")
    }
}

impl std::error::Error for Unopenable {}

/// `nonce || ciphertext || tag`. A nonce must never be used twice with one key: random ones are
/// good for about 2^32 values per key, after which the key has to be rotated.
pub fn seal_with(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    plain: &[u8],
) -> Vec<u8> {
    let sealed = Aes256Gcm::new(key.into())
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad })
        .expect("GCM refuses only plain texts above 64 GiB");
    [nonce.as_slice(), &sealed].concat()
}

pub fn open_with(key: &[u8; KEY_BYTES], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unopenable> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Unopenable)?;
    if rest.len() < TAG_BYTES {
        return Err(Unopenable);
    }
    Aes256Gcm::new(key.into())
        .decrypt(&Nonce::from(*nonce), Payload { msg: rest, aad })
        .map_err(|_| Unopenable)
}

/// A user's own key for the personal values in their trail. Stored only wrapped by a master key;
/// once that is deleted, nothing sealed with it can be read again.
#[derive(Debug, Clone)]
pub struct DataKey(Secret<[u8; KEY_BYTES]>);

impl DataKey {
    pub fn generate(chance: &Chance) -> Self {
        Self::from_bytes(chance.bytes())
    }

    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Secret::new(bytes))
    }

    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.expose()
    }

    /// One value of one trail entry, as `s1.<base64url>`; `label` says which value of the entry.
    pub fn seal_value(
        &self,
        chance: &Chance,
        entry_id: &ObjectId,
        label: &str,
        plain: &[u8],
    ) -> String {
        let key = self.entry_key(entry_id);
        let aad = value_associated_data(entry_id, label);
        let sealed = seal_with(key.expose(), chance.bytes(), aad.as_bytes(), plain);
        format!("{VALUE_TAG}{}", URL_SAFE_NO_PAD.encode(sealed))
    }

    pub fn open_value(
        &self,
        entry_id: &ObjectId,
        label: &str,
        sealed: &str,
    ) -> Result<Vec<u8>, Unopenable> {
        let text = sealed.strip_prefix(VALUE_TAG).ok_or(Unopenable)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Unopenable)?;
        let aad = value_associated_data(entry_id, label);
        open_with(self.entry_key(entry_id).expose(), aad.as_bytes(), &bytes)
    }

    /// A key per entry, so that one entry can be disclosed to an auditor without the others, and so
    /// that a user with a long life stays far from the nonce limit of a single key.
    fn entry_key(&self, entry_id: &ObjectId) -> Secret<[u8; KEY_BYTES]> {
        let info = format!("purser/v1|trail|{}", entry_id.to_hex());
        let mut key = [0; KEY_BYTES];
        Hkdf::<Sha256>::new(None, self.expose())
            .expand(info.as_bytes(), &mut key)
            .expect("32 bytes are within HKDF's limit of 8160");
        Secret::new(key)
    }
}

fn value_associated_data(entry_id: &ObjectId, label: &str) -> String {
    format!("purser/v1|user_audit_logs|{}|{label}", entry_id.to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::text::hex;
    use proptest::prelude::*;

    fn entry(byte: u8) -> ObjectId {
        ObjectId::from_bytes([byte; 12])
    }

    #[test]
    fn the_known_answer_of_the_gcm_specification_is_given() {
        // Test case 14 of McGrew and Viega: key, nonce and a block of plain text all zero.
        let sealed = seal_with(&[0; 32], [0; 12], b"", &[0; 16]);
        let hex = hex(&sealed[NONCE_BYTES..]);
        assert_eq!(hex, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    }

    #[test]
    fn a_value_opens_only_for_its_user_its_entry_and_its_label() {
        let chance = Chance::from_seed(1);
        let key = DataKey::generate(&chance);
        let sealed = key.seal_value(&chance, &entry(1), "new", b"Ada");
        assert_eq!(key.open_value(&entry(1), "new", &sealed), Ok(b"Ada".to_vec()));

        assert_eq!(key.open_value(&entry(2), "new", &sealed), Err(Unopenable));
        assert_eq!(key.open_value(&entry(1), "old", &sealed), Err(Unopenable));
        let other = DataKey::generate(&chance);
        assert_eq!(other.open_value(&entry(1), "new", &sealed), Err(Unopenable));
    }

    #[test]
    fn sealing_twice_gives_two_texts() {
        let (chance, key) = (Chance::from_seed(1), DataKey::from_bytes([7; 32]));
        let seal = || key.seal_value(&chance, &entry(1), "new", b"Ada");
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_data_key_is_not_shown_by_debug() {
        assert_eq!(format!("{:?}", DataKey::from_bytes([7; 32])), "DataKey([secret])");
    }

    #[test]
    fn what_was_never_sealed_does_not_open() {
        let key = DataKey::from_bytes([7; 32]);
        for text in ["", "s1.", "s1.AAAA", "s2.AAAA", "s1.not base64", "plain"] {
            assert_eq!(key.open_value(&entry(1), "new", text), Err(Unopenable), "{text}");
        }
        assert_eq!(open_with(&[7; 32], b"", &[0; NONCE_BYTES + TAG_BYTES - 1]), Err(Unopenable));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_any_flipped_bit_is_noticed(
            key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, plain: Vec<u8>, at: prop::sample::Index, bit in 0u32..8,
        ) {
            let mut sealed = seal_with(&key, nonce, &aad, &plain);
            prop_assert_eq!(open_with(&key, &aad, &sealed), Ok(plain));
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            prop_assert_eq!(open_with(&key, &aad, &sealed), Err(Unopenable));
        }
    }
}
