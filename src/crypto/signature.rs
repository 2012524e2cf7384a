//! Ed25519 keys that sign notes, with the names and ids that C2SP's signed-note gives them.
//!
//! A key's *name* says whose it is, as an address without `https://`: `purser.example.com/trail`.
//! Its *id* is the beginning of a hash over name and public key: with the name it picks the key to
//! check a signature with, and proves nothing by itself.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use ed25519_dalek::{Signer, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::kernel::secret::Secret;
use crate::kernel::text::hex;

pub const SIGNATURE_BYTES: usize = 64;
const KEY_ID_BYTES: usize = 4;
const SEED_BYTES: usize = 32;
const NAME_BYTES_MAX: usize = 200;
/// What signed-note calls Ed25519.
const ALGORITHM: u8 = 1;
const ACCEPTED: &str = "accepted is `<name>:<base64 of 32 bytes>`, where the name is 1 to 200 \
                        bytes without spaces and `+`; `openssl rand -base64 32` makes such a key";

pub type Signature = [u8; SIGNATURE_BYTES];
pub type KeyId = [u8; KEY_ID_BYTES];

/// Wiped when dropped, and shown only as its public half.
#[derive(Debug, Clone)]
pub struct SigningKey {
    public: PublicKey,
    seed: Secret<[u8; SEED_BYTES]>,
}

impl SigningKey {
    /// From the configuration: `<name>:<base64 of the 32-byte seed>`. Messages quote nothing of
    /// the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        // From the right: a name may hold a port, base64 holds no colon.
        let (name, seed) = text.rsplit_once(':').ok_or(format!("has no colon; {ACCEPTED}"))?;
        let decoded = STANDARD_PAD_INDIFFERENT
            .decode(seed)
            .map(Secret::new)
            .map_err(|_| format!("the key is not base64; {ACCEPTED}"))?;
        let seed = <[u8; SEED_BYTES]>::try_from(decoded.expose().as_slice())
            .map(Secret::new)
            .map_err(|_| format!("the key has {} bytes; {ACCEPTED}", decoded.expose().len()))?;
        // Whoever copies a sample would otherwise sign with a key everybody knows.
        if seed.expose().iter().all(|byte| *byte == seed.expose()[0]) {
            return Err("the key is a sample; make one with `openssl rand -base64 32`".to_owned());
        }
        Self::from_seed(name, seed).ok_or(format!("the name is not usable; {ACCEPTED}"))
    }

    /// `None` when the name is not usable.
    pub fn from_seed(name: &str, seed: Secret<[u8; SEED_BYTES]>) -> Option<Self> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed.expose()).verifying_key();
        Some(Self { public: PublicKey::new(name, key)?, seed })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn sign(&self, message: &[u8]) -> Signature {
        ed25519_dalek::SigningKey::from_bytes(self.seed.expose()).sign(message).to_bytes()
    }
}

/// Written and read as signed-note's verifier key: `<name>+<id in hex>+<base64 of 1 and the key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    id: KeyId,
    key: VerifyingKey,
}

impl PublicKey {
    fn new(name: &str, key: VerifyingKey) -> Option<Self> {
        let id = key_id(name, &key);
        is_name(name).then(|| Self { name: name.to_owned(), id, key })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Strictly: no signature or key that would also fit other messages.
    pub fn is_signed(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id), STANDARD.encode(key))
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("must be `<name>+<id>+<key>`");
        };
        let bytes = STANDARD.decode(key).map_err(|_| "the key is not base64")?;
        let [ALGORITHM, key @ ..] = bytes.as_slice() else { return Err("the key is no Ed25519") };
        let key = key.try_into().map_err(|_| "the key has not 32 bytes")?;
        let key = VerifyingKey::from_bytes(key).ok().filter(|key| !key.is_weak());
        let public = key.and_then(|key| Self::new(name, key)).ok_or("name or key is unusable")?;
        if hex(&public.id) == id { Ok(public) } else { Err("the id is not that of name and key") }
    }
}

/// What signed-note allows in a key's name, in a length that a line can hold.
pub fn is_name(name: &str) -> bool {
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(is_wrong)
}

fn key_id(name: &str, key: &VerifyingKey) -> KeyId {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ALGORITHM])
        .chain_update(key.as_bytes())
        .finalize();
    *hash.first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn key() -> SigningKey {
        SigningKey::parse(&format!("example.com/trail:{SEED}")).unwrap()
    }

    #[test]
    fn the_first_vector_of_rfc_8032_is_given() {
        let mut seed = [0; 32];
        for (byte, pair) in seed
            .iter_mut()
            .zip(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".chunks(2))
        {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
        let key = SigningKey::from_seed("a", Secret::new(seed)).unwrap();
        assert_eq!(
            hex(key.public().key.as_bytes()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(
            hex(&key.sign(b"")),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39\
             701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
    }

    #[test]
    fn the_example_of_the_go_note_package_is_read() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: PublicKey = text.parse().unwrap();
        assert_eq!((key.name(), hex(&key.id()).as_str()), ("PeterNeumann", "c74f20a3"));
        assert_eq!(key.to_string(), text);

        let message = "If you think cryptography is the answer to your problem,\n\
                       then you don't know what your problem is.\n";
        let line = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpR\
                    Zb6KE6RyyBwJnAM=";
        let bytes = STANDARD.decode(line).unwrap();
        let (id, signature) = bytes.split_first_chunk().unwrap();
        assert_eq!(*id, key.id());
        assert!(key.is_signed(message.as_bytes(), signature.try_into().unwrap()));
    }

    #[test]
    fn a_public_key_with_another_name_id_or_algorithm_is_refused() {
        let text = key().public().to_string();
        assert_eq!(text.parse(), Ok(key().public().clone()));
        let (name, rest) = text.split_once('+').unwrap();
        let (id, body) = rest.split_once('+').unwrap();
        // The neutral element: a signature by it fits every message.
        let neutral = std::array::from_fn(|at| u8::from(at == 0));
        let weak = PublicKey::new(name, VerifyingKey::from_bytes(&neutral).unwrap()).unwrap();
        for wrong in [
            String::new(),
            name.to_owned(),
            format!("x{text}"),
            format!("{name}+{}+{body}", id.to_uppercase() + "0"),
            format!("{name}+00000000+{body}"),
            format!("{name}+{id}+{}", body.replacen("AQ", "Ag", 1)),
            format!("{name}+{id}+{}", &body[..40]),
            weak.to_string(),
            format!("{text} "),
        ] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused_without_being_quoted() {
        for wrong in [
            SEED.to_owned(),
            format!(":{SEED}"),
            format!("two words:{SEED}"),
            format!("a+b:{SEED}"),
            format!("a\nb:{SEED}"),
            format!("{}:{SEED}", "x".repeat(201)),
            "a:".to_owned(),
            "a:AAEC".to_owned(),
            "a:not base64".to_owned(),
            format!("a:{}", STANDARD.encode([7; 32])),
        ] {
            let message = SigningKey::parse(&wrong).expect_err("refused");
            assert!(!message.contains(SEED) && !message.contains("AAEC"), "{message}");
        }
        assert!(SigningKey::parse(&format!("localhost:8080/trail:{SEED}")).is_ok());
    }

    #[test]
    fn debug_shows_the_public_half_only() {
        let shown = format!("{:?}", key());
        assert!(shown.contains("example.com/trail") && shown.contains("[secret]"), "{shown}");
        assert!(!shown.contains("0, 1, 2, 3"), "{shown}");
    }

    proptest! {
        #[test]
        fn a_signature_fits_one_message_and_one_key(
            message: Vec<u8>, bit in 0_usize..512, at: prop::sample::Index, seed: [u8; 32],
        ) {
            let key = key();
            let signature = key.sign(&message);
            prop_assert!(key.public().is_signed(&message, &signature));

            let mut wrong = signature;
            wrong[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!key.public().is_signed(&message, &wrong));
            let mut other = message.clone();
            other.insert(at.index(message.len() + 1), 0);
            prop_assert!(!key.public().is_signed(&other, &signature));
            let stranger = SigningKey::from_seed("a", Secret::new(seed)).unwrap();
            prop_assert!(!stranger.public().is_signed(&message, &signature));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,80}") {
            prop_assert!(text.parse::<PublicKey>().is_err());
            prop_assert!(SigningKey::parse(&text).is_err());
        }
    }
}
