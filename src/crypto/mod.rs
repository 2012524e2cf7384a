//! Crypto: how values are sealed, recognised and checked. No I/O, no database, no HTTP.
//!
//! *Sealing* is AES-256-GCM with a random nonce. What is sealed is bound to its place by associated
//! data, so a ciphertext copied to another record, field or user does not open there. A *master
//! key* seals records; a user's own *data key* seals the values of that user's trail entries, and
//! destroying it is how a person is erased while the trail stays provable. A *pepper* makes MACs:
//! what is stored of an API key is enough to recognise it and useless for forging one.
//!
//! Invariants: the first key of a list seals, all of them open, so a rotation needs no downtime;
//! key material, passwords and the secret part of API keys are `Secret` and appear in no message;
//! comparisons of secrets take constant time; randomness comes from `kernel::chance` only.
//!
//! To rotate a key: put a new one first in the configuration, rewrap, then remove the old one.
//! To change a format: a new version tag (`v2.`, `s2.`) beside the old one, which still opens.

pub mod envelope;
pub mod keyring;
pub mod password;
pub mod signature;
pub mod token;
