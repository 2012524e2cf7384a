//! Passwords: Argon2id on a bounded number of threads.
//!
//! One hash takes 19 MiB and tens of milliseconds by default, on purpose. That makes signing in
//! the cheapest way to overload the service, so only so many run at once, only so many wait, and
//! the rest is told to come back. Permits are held until the work has ended, not until its caller
//! is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::kernel::chance::Chance;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::secret::Secret;

pub const PASSWORD_CHARS_MIN: usize = 8;
pub const PASSWORD_CHARS_MAX: usize = 128;
const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;
/// An imported hash says itself what it costs to verify; beyond this it is refused.
const MEMORY_MAX_KIB: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;
const RETRY_AFTER_SECONDS: u32 = 1;

/// What one hash costs, how many run at once, and how many may wait for their turn.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    pub threads: usize,
    pub queue: usize,
}

/// Cheap to clone; clones share the threads and the queue.
#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    chance: Chance,
    decoy: String,
    /// For waiting or running.
    places: Arc<Semaphore>,
    /// For running.
    turns: Arc<Semaphore>,
    refused: Arc<AtomicU64>,
    bounds: (usize, usize),
}

/// How busy the hasher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub running: usize,
    pub waiting: usize,
    /// Since the start, because the queue was full.
    pub refused: u64,
}

struct Permits {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Hasher {
    pub fn new(params: Params, chance: Chance) -> Result<Self, String> {
        let Params { memory_kib, passes, lanes, threads, queue } = params;
        let costs = argon2::Params::new(memory_kib, passes, lanes, Some(OUTPUT_BYTES))
            .map_err(|error| format!("password hashing: {error}"))?;
        if !is_affordable(&costs) {
            return Err(format!(
                "password hashing: at most {MEMORY_MAX_KIB} KiB of memory and {PASSES_MAX} passes"
            ));
        }
        let places = threads.saturating_add(queue);
        if threads == 0 || places > Semaphore::MAX_PERMITS {
            return Err("password hashing: it takes at least one thread and a finite queue".into());
        }
        Ok(Self {
            decoy: decoy(&costs, &chance),
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, costs),
            chance,
            places: Arc::new(Semaphore::new(places)),
            turns: Arc::new(Semaphore::new(threads)),
            refused: Arc::default(),
            bounds: (places, threads),
        })
    }

    /// A PHC string, under a salt of its own.
    pub async fn hash(&self, password: Secret<String>) -> Result<String, Fault> {
        let (argon2, salt) = (self.argon2.clone(), self.chance.bytes::<SALT_BYTES>());
        self.run(move || {
            argon2
                .hash_password_with_salt(normalised(&password).as_bytes(), &salt)
                .map(|hash| hash.to_string())
                .map_err(|error| Fault::internal(format!("a password was not hashed: {error}")))
        })
        .await
    }

    /// Whether it is the password that `phc` was made from, at the cost that `phc` names.
    pub async fn verify(&self, phc: String, password: Secret<String>) -> Result<bool, Fault> {
        let argon2 = self.argon2.clone();
        self.run(move || {
            let hash = readable(&phc)?;
            match argon2.verify_password(normalised(&password).as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(unusable(&error.to_string())),
            }
        })
        .await
    }

    /// Takes as long as [`Self::verify`] and is never right. For a person who does not exist:
    /// otherwise the time of the answer would tell that they do not.
    pub async fn verify_decoy(&self, password: Secret<String>) -> Result<(), Fault> {
        self.verify(self.decoy.clone(), password).await.map(|_| ())
    }

    /// Whether hashing it anew would make it harder to guess: it costs less than a hash made now.
    /// Compared is what a guess costs, memory times passes, not how the parameters are written: one
    /// with more memory and fewer passes is left alone.
    pub fn is_weak(&self, phc: &str) -> bool {
        let now = self.argon2.params();
        readable(phc).is_ok_and(|hash| {
            let is_argon2id = hash.algorithm == Algorithm::Argon2id.ident();
            let current = is_argon2id && hash.version == Some(Version::V0x13.into());
            let costs = argon2::Params::try_from(&hash).ok();
            let weaker = |costs: argon2::Params| cost(&costs) < cost(now);
            !current || costs.is_none_or(weaker)
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permits = self.permits().await?;
        tokio::task::spawn_blocking(move || {
            let _permits = permits;
            work()
        })
        .await
        .map_err(|_| Fault::internal("password hashing was cut off"))?
    }

    pub fn load(&self) -> Load {
        let (places, threads) = self.bounds;
        let running = threads - self.turns.available_permits();
        let here = places - self.places.available_permits();
        let refused = self.refused.load(Ordering::Relaxed);
        Load { running, waiting: here.saturating_sub(running), refused }
    }

    fn refusal(&self) -> Fault {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Fault::of(Code::Overloaded).retry_after(RETRY_AFTER_SECONDS)
    }

    async fn permits(&self) -> Result<Permits, Fault> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.refusal())?;
        let turn =
            Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        Ok(Permits { _place: place, _turn: turn })
    }
}

/// The password in NFC, or what it lacks.
pub fn check_policy(text: &str) -> Result<Secret<String>, &'static str> {
    // Long before the limit of characters, so that a huge text is not normalised first.
    if text.len() > PASSWORD_CHARS_MAX * 16 {
        return Err(TOO_LONG);
    }
    let password: String = text.nfc().collect();
    let password = Secret::new(password);
    if password.expose().chars().any(char::is_control) {
        return Err("must not contain control characters, such as tabs or line breaks");
    }
    match password.expose().chars().count() {
        0..PASSWORD_CHARS_MIN => {
            Err("must have at least 8 characters; a few words are easy to remember")
        }
        PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX => Ok(password),
        _ => Err(TOO_LONG),
    }
}

const TOO_LONG: &str = "must have at most 128 characters";

/// NFC, so that a password typed on another keyboard is the same one. Repeated here, where the
/// bytes are hashed, because a password at sign-in comes without having met the policy.
fn normalised(password: &Secret<String>) -> Zeroizing<String> {
    Zeroizing::new(password.expose().nfc().collect())
}

fn readable(phc: &str) -> Result<PasswordHash, Fault> {
    let hash = PasswordHash::new(phc).map_err(|error| unusable(&error.to_string()))?;
    let costs = argon2::Params::try_from(&hash).map_err(|error| unusable(&error.to_string()))?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(unusable("it is incomplete"));
    }
    is_affordable(&costs).then_some(hash).ok_or_else(|| unusable("it costs too much"))
}

fn unusable(why: &str) -> Fault {
    Fault::internal(format!("a stored password hash is not usable: {why}"))
}

fn cost(costs: &argon2::Params) -> u64 {
    u64::from(costs.m_cost()) * u64::from(costs.t_cost())
}

fn is_affordable(costs: &argon2::Params) -> bool {
    costs.m_cost() <= MEMORY_MAX_KIB && costs.t_cost() <= PASSES_MAX
}

/// A hash of no password: random bytes in place of a result, so making it costs nothing.
fn decoy(costs: &argon2::Params, chance: &Chance) -> String {
    PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(costs).expect("three numbers fit"),
        salt: Some(Salt::new(&chance.bytes::<SALT_BYTES>()).expect("16 bytes are a salt")),
        hash: Some(Output::new(&chance.bytes::<OUTPUT_BYTES>()).expect("32 bytes are an output")),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Params = Params { memory_kib: 64, passes: 1, lanes: 1, threads: 1, queue: 1 };

    fn hasher(params: Params) -> Hasher {
        Hasher::new(params, Chance::from_seed(1)).expect("valid")
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_password_that_was_hashed_verifies_however_it_is_composed() {
        let hasher = hasher(SMALL);
        let phc = hasher.hash(secret("caf\u{e9} au lait")).await.expect("hashed");
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");

        let verify = |text| hasher.verify(phc.clone(), secret(text));
        assert_eq!(verify("caf\u{e9} au lait").await.ok(), Some(true));
        assert_eq!(verify("cafe\u{301} au lait").await.ok(), Some(true));
        assert_eq!(verify("cafe au lait").await.ok(), Some(false));
        assert_eq!(verify("").await.ok(), Some(false));
    }

    #[tokio::test]
    async fn the_same_password_is_hashed_under_another_salt_each_time() {
        let hasher = hasher(SMALL);
        let first = hasher.hash(secret("password")).await.expect("hashed");
        assert_ne!(first, hasher.hash(secret("password")).await.expect("hashed"));
    }

    #[tokio::test]
    async fn a_hash_is_weak_when_a_guess_costs_less_than_today() {
        let today = hasher(Params { memory_kib: 128, passes: 2, ..SMALL });
        for (memory_kib, passes, weak) in [
            (64, 1, true),
            (64, 3, true),
            (128, 2, false),
            (256, 1, false),
            (64, 4, false),
            (512, 9, false),
        ] {
            let other = hasher(Params { memory_kib, passes, ..SMALL });
            let phc = other.hash(secret("password")).await.expect("hashed");
            assert_eq!(today.is_weak(&phc), weak, "{memory_kib} KiB, {passes} passes");
        }
        let phc = today.hash(secret("password")).await.expect("hashed");
        assert!(today.is_weak(&phc.replace("argon2id", "argon2d")), "another algorithm");
        assert!(!today.is_weak("nonsense"), "what cannot be read is not replaced");
    }

    #[tokio::test]
    async fn a_hash_made_at_another_cost_still_verifies() {
        let phc = hasher(SMALL).hash(secret("password")).await.expect("hashed");
        let dearer = hasher(Params { memory_kib: 128, passes: 2, ..SMALL });
        assert_eq!(dearer.verify(phc, secret("password")).await.ok(), Some(true));
    }

    #[tokio::test]
    async fn the_decoy_runs_the_whole_hash_and_is_never_right() {
        let hasher = hasher(SMALL);
        assert!(hasher.verify_decoy(secret("password")).await.is_ok());
        let decoy = readable(&hasher.decoy).expect("usable");
        assert_eq!(argon2::Params::try_from(&decoy).as_ref(), Ok(hasher.argon2.params()));
        assert_eq!(hasher.verify(hasher.decoy.clone(), secret("x")).await.ok(), Some(false));
    }

    #[tokio::test]
    async fn a_stored_hash_that_is_broken_or_too_dear_is_our_fault_and_not_a_wrong_password() {
        let hasher = hasher(SMALL);
        let salted = "c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHQ";
        for phc in [
            "plain".to_owned(),
            "$argon2id$v=19$m=64,t=1,p=1".to_owned(),
            format!("$argon2id$v=19$m=64,t=1000,p=1${salted}"),
            format!("$argon2id$v=19$m=4000000,t=1,p=1${salted}"),
            format!("$scrypt$v=19$m=64,t=1,p=1${salted}"),
        ] {
            let fault = hasher.verify(phc.clone(), secret("x")).await.expect_err("refused");
            assert_eq!(fault.code(), Code::Internal, "{phc}");
        }
    }

    #[tokio::test]
    async fn what_finds_the_queue_full_is_told_to_come_back() {
        let hasher = hasher(SMALL);
        let running = hasher.permits().await.expect("the thread is free");
        let waiting = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash(secret("password")).await }
        });
        while hasher.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        let fault = hasher.hash(secret("password")).await.expect_err("full");
        assert_eq!((fault.code(), fault.retry_after_seconds()), (Code::Overloaded, Some(1)));
        assert_eq!(hasher.load(), Load { running: 1, waiting: 1, refused: 1 });

        drop(running);
        assert!(waiting.await.expect("ran").is_ok());
    }

    #[test]
    fn costs_that_cannot_work_are_refused_at_the_start() {
        for wrong in [
            Params { memory_kib: 1, ..SMALL },
            Params { memory_kib: u32::MAX, ..SMALL },
            Params { passes: 0, ..SMALL },
            Params { lanes: 0, ..SMALL },
            Params { threads: 0, ..SMALL },
            Params { queue: usize::MAX, ..SMALL },
        ] {
            assert!(Hasher::new(wrong, Chance::from_seed(1)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_policy_counts_characters_and_says_what_is_wrong() {
        assert_eq!(
            check_policy("cafe\u{301} aus").expect("8 characters").expose(),
            "caf\u{e9} aus"
        );
        assert!(check_policy(&"\u{e9}".repeat(128)).is_ok());
        assert!(check_policy("caf\u{e9} a").expect_err("7").contains("at least 8"));
        assert!(check_policy(&"x".repeat(129)).expect_err("129").contains("at most 128"));
        assert!(check_policy(&"x".repeat(9999)).expect_err("9999").contains("at most 128"));
        assert!(check_policy("pass\0word").expect_err("NUL").contains("control"));
    }
}
