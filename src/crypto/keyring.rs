//! The service's own keys: master keys that seal records, peppers that make MACs.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::envelope::{Context, KEY_BYTES, Unopenable, open_with, seal_with};
use crate::kernel::chance::Chance;
use crate::kernel::secret::Secret;

const SEALED_TAG: &str = "v1";
const KEYS_MAX: usize = 32;
const KEY_ID_CHARS_MAX: usize = 32;
const ACCEPTED: &str = "accepted is `<id>:<base64 of 32 bytes>` with an id of 1 to 32 characters of \
                        a-z, 0-9 and _; `openssl rand -base64 32` makes such a key";

/// Cheap to clone: the keys themselves exist once.
#[derive(Debug, Clone)]
pub struct Keyring {
    masters: Keys,
    peppers: Keys,
}

/// Newest first, never empty.
#[derive(Debug, Clone)]
struct Keys(Arc<[Key]>);

#[derive(Debug)]
struct Key {
    id: String,
    bytes: Secret<[u8; KEY_BYTES]>,
}

impl Keyring {
    /// Each text holds one or more `<id>:<base64 of 32 bytes>`, separated by white space or commas,
    /// the newest first. Messages name an entry by its position and quote nothing of it: a key
    /// pasted into the wrong place must not end up in a log.
    pub fn parse(master_keys: &str, peppers: &str) -> Result<Self, String> {
        Ok(Self {
            masters: Keys::parse("master keys", master_keys)?,
            peppers: Keys::parse("peppers", peppers)?,
        })
    }

    /// Records whose ciphertext names another id are waiting to be rewrapped.
    pub fn newest_master_id(&self) -> &str {
        &self.masters.newest().id
    }

    /// One line for each key: its list and id, and a one-way value that tells it from every other
    /// key. Kept beside the data, so that data is never touched with the wrong keys.
    pub fn fingerprints(&self) -> Vec<(String, String)> {
        let of = |list: &str, keys: &Keys| -> Vec<(String, String)> {
            let fingerprint = |key: &Key| {
                let value = key.mac("fingerprint", &[list.as_bytes(), key.id.as_bytes()]);
                (format!("{list}:{}", key.id), URL_SAFE_NO_PAD.encode(value))
            };
            keys.0.iter().map(fingerprint).collect()
        };
        [of("master_keys", &self.masters), of("peppers", &self.peppers)].concat()
    }

    /// `v1.<kek_id>.<base64url>`, under the newest master key.
    pub fn seal(&self, chance: &Chance, context: &Context, plain: &[u8]) -> String {
        let Key { id, bytes } = self.masters.newest();
        let aad = context.associated_data(id);
        let sealed = seal_with(bytes.expose(), chance.bytes(), aad.as_bytes(), plain);
        format!("{SEALED_TAG}.{id}.{}", URL_SAFE_NO_PAD.encode(sealed))
    }

    pub fn open(&self, context: &Context, sealed: &str) -> Result<Vec<u8>, Unopenable> {
        let mut parts = sealed.splitn(3, '.');
        let (Some(SEALED_TAG), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Unopenable);
        };
        let key = self.masters.find(id).ok_or(Unopenable)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Unopenable)?;
        open_with(key.bytes.expose(), context.associated_data(id).as_bytes(), &bytes)
    }

    /// The same secret under the newest master key, in the same place.
    pub fn rewrap(
        &self,
        chance: &Chance,
        context: &Context,
        sealed: &str,
    ) -> Result<String, Unopenable> {
        let plain = Secret::new(self.open(context, sealed)?);
        Ok(self.seal(chance, context, plain.expose()))
    }

    /// The id of the master key that a sealed value names.
    pub fn sealed_under(sealed: &str) -> Option<&str> {
        let (id, _) = sealed.strip_prefix(SEALED_TAG)?.strip_prefix('.')?.split_once('.')?;
        Some(id)
    }

    pub fn has_master(&self, id: &str) -> bool {
        self.masters.find(id).is_some()
    }

    /// `<pepper_id>.<base64url of HMAC-SHA-256>`, under the newest pepper.
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> String {
        let pepper = self.peppers.newest();
        format!("{}.{}", pepper.id, URL_SAFE_NO_PAD.encode(pepper.mac(purpose, parts)))
    }

    /// For what is never stored, such as an `ETag`: without the pepper's id.
    pub fn mac_bytes(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.peppers.newest().mac(purpose, parts)
    }

    /// Under the pepper that `stored` names, so that a MAC from before a rotation still counts.
    pub fn verify_mac(&self, purpose: &str, parts: &[&[u8]], stored: &str) -> bool {
        let Some((id, text)) = stored.split_once('.') else {
            return false;
        };
        let Some(pepper) = self.peppers.find(id) else {
            return false;
        };
        let Ok(expected) = URL_SAFE_NO_PAD.decode(text) else {
            return false;
        };
        pepper.mac(purpose, parts).as_slice().ct_eq(&expected).into()
    }
}

impl Keys {
    fn parse(list: &str, text: &str) -> Result<Self, String> {
        let separator = |c: char| c.is_whitespace() || c == ',';
        let mut keys: Vec<Key> = Vec::new();
        for entry in text.split(separator).filter(|entry| !entry.is_empty()) {
            let position = keys.len() + 1;
            let key =
                Key::parse(entry).map_err(|why| format!("{list}, entry {position}: {why}"))?;
            if let Some(same) = keys.iter().position(|other| other.id == key.id) {
                let same = same + 1;
                return Err(format!("{list}, entries {same} and {position} have the same id"));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(format!("{list}: there is none; {ACCEPTED}")),
            1..=KEYS_MAX => Ok(Self(keys.into())),
            _ => Err(format!("{list}: more than {KEYS_MAX}; remove those nothing is sealed with")),
        }
    }

    fn newest(&self) -> &Key {
        self.0.first().expect("an empty list of keys is refused when it is parsed")
    }

    fn find(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }
}

impl Key {
    fn parse(entry: &str) -> Result<Self, String> {
        let (id, text) = entry.split_once(':').ok_or(format!("has no colon; {ACCEPTED}"))?;
        let fits = (1..=KEY_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fits {
            return Err(format!("the id is not usable; {ACCEPTED}"));
        }
        let decoded = STANDARD_PAD_INDIFFERENT
            .decode(text)
            .map(Secret::new)
            .map_err(|_| format!("the key is not base64; {ACCEPTED}"))?;
        let bytes = <[u8; KEY_BYTES]>::try_from(decoded.expose().as_slice())
            .map_err(|_| format!("the key has {} bytes; {ACCEPTED}", decoded.expose().len()))?;
        // Whoever copies a sample configuration would otherwise run with a key everybody knows.
        if id == "example" || bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(format!("this is a published example and protects nothing; {ACCEPTED}"));
        }
        Ok(Self { id: id.to_owned(), bytes: Secret::new(bytes) })
    }

    /// Each piece goes in with its length before it: without that `("ab", "c")` and `("a", "bc")`
    /// would have the same MAC.
    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.bytes.expose())
            .expect("HMAC takes a key of any length");
        for piece in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(piece.len() as u64).to_be_bytes());
            mac.update(piece);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    const PLACE: Context = Context { collection: "user_apps", id: "0a", field: "api_key" };

    fn key(id: &str, seed: u64) -> String {
        format!("{id}:{}", STANDARD.encode(Chance::from_seed(seed).bytes::<32>()))
    }

    fn keyring(masters: &[(&str, u64)], peppers: &[(&str, u64)]) -> Keyring {
        let list = |keys: &[(&str, u64)]| {
            keys.iter().map(|(id, seed)| key(id, *seed)).collect::<Vec<_>>().join(",\n ")
        };
        Keyring::parse(&list(masters), &list(peppers)).expect("valid")
    }

    #[test]
    fn after_a_rotation_the_new_key_seals_and_the_old_one_still_opens() {
        let chance = Chance::from_seed(1);
        let before = keyring(&[("k1", 1)], &[("p1", 9)]);
        let sealed = before.seal(&chance, &PLACE, b"prs_con_");

        let after = keyring(&[("k2", 2), ("k1", 1)], &[("p1", 9)]);

        assert_eq!(after.open(&PLACE, &sealed), Ok(b"prs_con_".to_vec()));
        assert!(after.seal(&chance, &PLACE, b"").starts_with("v1.k2."));
        assert_eq!(after.newest_master_id(), "k2");
        let without_old = keyring(&[("k2", 2)], &[("p1", 9)]);
        assert_eq!(without_old.open(&PLACE, &sealed), Err(Unopenable));
    }

    #[test]
    fn what_is_rewrapped_opens_without_the_old_key_in_its_own_place_only() {
        let chance = Chance::from_seed(1);
        let sealed = keyring(&[("k1", 1)], &[("p1", 9)]).seal(&chance, &PLACE, b"secret");
        let both = keyring(&[("k2", 2), ("k1", 1)], &[("p1", 9)]);

        let rewrapped = both.rewrap(&chance, &PLACE, &sealed).expect("opens");

        assert_eq!(Keyring::sealed_under(&sealed), Some("k1"));
        assert_eq!(Keyring::sealed_under(&rewrapped), Some("k2"));
        let without_old = keyring(&[("k2", 2)], &[("p1", 9)]);
        assert_eq!(without_old.open(&PLACE, &rewrapped), Ok(b"secret".to_vec()));
        let elsewhere = Context { id: "0b", ..PLACE };
        assert_eq!(both.rewrap(&chance, &elsewhere, &sealed), Err(Unopenable));
        for text in ["", "v1", "v1.k1", "v10.k1.AAAA", "s1.k1.AAAA"] {
            assert_eq!(Keyring::sealed_under(text), None, "{text}");
        }
    }

    #[test]
    fn a_ciphertext_moved_to_another_place_does_not_open() {
        let keys = keyring(&[("k2", 2), ("k1", 1)], &[("p1", 9)]);
        let sealed = keys.seal(&Chance::from_seed(1), &PLACE, b"secret");
        let elsewhere = [
            Context { collection: "apps", ..PLACE },
            Context { id: "0b", ..PLACE },
            Context { field: "previous_key", ..PLACE },
        ];
        assert!(elsewhere.iter().all(|place| keys.open(place, &sealed) == Err(Unopenable)));
        assert_eq!(keys.open(&PLACE, &sealed.replace(".k2.", ".k1.")), Err(Unopenable));
        for text in ["", "v1", "v1.k2", "v1.k2.", "v2.k2.AAAA", "v1.k9.AAAA", "v1.k2.?"] {
            assert_eq!(keys.open(&PLACE, text), Err(Unopenable), "{text}");
        }
    }

    #[test]
    fn a_mac_from_before_a_rotation_still_counts_and_any_other_does_not() {
        let before = keyring(&[("k1", 1)], &[("p1", 9)]);
        let stored = before.mac("key", &[b"abc"]);

        let after = keyring(&[("k1", 1)], &[("p2", 8), ("p1", 9)]);

        assert!(after.verify_mac("key", &[b"abc"], &stored));
        assert!(after.mac("key", &[b"abc"]).starts_with("p2."));
        assert!(!after.verify_mac("etag", &[b"abc"], &stored));
        assert!(!after.verify_mac("key", &[b"abx"], &stored));
        assert!(!after.verify_mac("key", &[b"abc"], &stored.replace("p1", "p2")));
        for text in ["", "p1", "p1.", "p1.AAAA", "p9.AAAA", "p1.?"] {
            assert!(!after.verify_mac("key", &[b"abc"], text), "{text}");
        }
    }

    #[test]
    fn a_mac_without_its_pepper_id_is_the_same_mac() {
        let keys = keyring(&[("k1", 1)], &[("p1", 9)]);
        let text = format!("p1.{}", URL_SAFE_NO_PAD.encode(keys.mac_bytes("key", &[b"abc"])));
        assert_eq!(keys.mac("key", &[b"abc"]), text);
    }

    #[test]
    fn a_refused_key_is_named_by_its_position_and_never_shown() {
        let good = key("k1", 1);
        let secret = STANDARD.encode([b'x', b'y', b'z'].repeat(8));
        let cases = [
            (String::new(), "there is none"),
            (format!("{good} {secret}"), "entry 2: has no colon"),
            (format!("{secret}:k2,{good}"), "entry 1: the id is not usable"),
            (format!("{good}\nk2:{secret}"), "entry 2: the key has 24 bytes"),
            (format!("k2:{secret}!"), "entry 1: the key is not base64"),
            (format!("{good} {good}"), "entries 1 and 2 have the same id"),
            (key("example", 1), "published example"),
            (format!("k1:{}", STANDARD.encode([0; 32])), "openssl rand -base64 32"),
        ];
        for (text, why) in cases {
            let message = Keyring::parse(&text, &good).expect_err("refused");
            assert!(message.starts_with("master keys") && message.contains(why), "{message}");
            assert!(!message.contains(&secret), "{message}");
        }
        assert!(Keyring::parse(&good, "").expect_err("refused").starts_with("peppers"));
    }

    proptest! {
        #[test]
        fn where_one_part_ends_and_the_next_begins_changes_the_mac(
            text in prop::collection::vec(any::<u8>(), 2..40),
            at: prop::sample::Index,
            further: prop::sample::Index,
        ) {
            let keys = keyring(&[("k1", 1)], &[("p1", 9)]);
            let here = at.index(text.len());
            let there = (here + 1 + further.index(text.len() - 1)) % text.len();
            let split = |at: usize| keys.mac("test", &[&text[..at], &text[at..]]);
            prop_assert_ne!(split(here), split(there));
            prop_assert_ne!(split(here), keys.mac("test", &[&text]));
        }
    }
}
