//! Randomness as a value. The service is built with one seeded by the operating system, a test
//! with a fixed seed, so that keys, ids and nonces are the same in every run.

use std::sync::{Arc, Mutex, PoisonError};

use bson::oid::ObjectId;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

use super::time::Timestamp;

/// A shared cryptographic generator (ChaCha12).
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    /// Seeded by the operating system; fails only where that has no randomness to give.
    pub fn from_os() -> Result<Self, String> {
        StdRng::try_from_rng(&mut SysRng)
            .map(|rng| Self(Arc::new(Mutex::new(rng))))
            .map_err(|error| format!("the operating system gives no randomness: {error}"))
    }

    /// The same sequence for the same seed. For tests only: whoever knows the seed knows the keys.
    pub fn from_seed(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }

    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// An ObjectId of this moment: seconds first, so ids of one collection grow with time, then
    /// eight random bytes instead of the driver's process id and counter.
    pub fn object_id(&self, now: Timestamp) -> ObjectId {
        let seconds = u32::try_from(now.timestamp_millis() / 1000).unwrap_or(u32::MAX);
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        self.fill(&mut bytes[4..]);
        ObjectId::from_bytes(bytes)
    }

    /// A number from 0 up to, but not including, `bound` (which is at least 1).
    pub fn below(&self, bound: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-64 × bound, far under what any caller could notice.
        let word = u64::from_be_bytes(self.bytes());
        u64::try_from((u128::from(word) * u128::from(bound)) >> 64).expect("below a u64 bound")
    }
}

/// A row of ids that is the same however often it is walked: for a pure function that is called again
/// and makes as many as the records ask for.
#[derive(Debug, Clone)]
pub struct Series {
    first: ObjectId,
    taken: u64,
}

impl Series {
    pub fn new(chance: &Chance, now: Timestamp) -> Self {
        Self { first: chance.object_id(now), taken: 0 }
    }

    /// Random in its first place, then counted on: two rows meet as seldom as two random ids do.
    pub fn next_id(&mut self) -> ObjectId {
        let mut bytes = self.first.bytes();
        let mut low = [0; 8];
        low.copy_from_slice(&bytes[4..]);
        let counted = u64::from_be_bytes(low).wrapping_add(self.taken);
        bytes[4..].copy_from_slice(&counted.to_be_bytes());
        self.taken += 1;
        ObjectId::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_they_carry_the_second() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let id = Chance::from_seed(7).object_id(now);
        assert_eq!(id, Chance::from_seed(7).object_id(now));
        assert_ne!(id, Chance::from_seed(8).object_id(now));
        assert_eq!(id.timestamp(), now);
    }

    #[test]
    fn a_row_of_ids_is_the_same_each_time_and_none_stands_in_it_twice() {
        let row = Series::new(&Chance::from_seed(3), Timestamp::from_millis(5_000));
        let walk = |mut row: Series| (0..300).map(|_| row.next_id()).collect::<Vec<_>>();
        let ids = walk(row.clone());
        assert_eq!(walk(row), ids);
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 300);
        assert!(ids.iter().all(|id| id.timestamp() == Timestamp::from_millis(5_000)));
    }

    #[test]
    fn below_stays_below() {
        let chance = Chance::from_seed(1);
        assert!((0..1000).all(|_| chance.below(10) < 10));
        assert_eq!(chance.below(1), 0);
    }
}
