//! How many exports there are at one time: one for each operator, and few in all. Each holds memory
//! and reads as fast as its reader does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::OperatorId;

/// Of one process, whoever asks.
const EXPORTS_MAX: usize = 4;
const RETRY_AFTER_SECONDS: u32 = 10;

/// Who is exporting. Clones are of the same list.
#[derive(Clone, Default)]
pub struct Exports(Arc<Mutex<HashSet<OperatorId>>>);

/// A place, for as long as it is held.
pub struct Slot {
    exports: Exports,
    operator: OperatorId,
}

impl Exports {
    pub fn enter(&self, operator: OperatorId) -> Result<Slot, Fault> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |detail: &'static str| {
            Err(Fault::new(Code::RateLimited, detail).retry_after(RETRY_AFTER_SECONDS))
        };
        if running.contains(&operator) {
            return busy("One export at a time: yours is still running.");
        }
        if running.len() >= EXPORTS_MAX {
            return busy("Others are exporting: repeat after `Retry-After`.");
        }
        running.insert(operator);
        Ok(Slot { exports: self.clone(), operator })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let running = &self.exports.0;
        running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.operator);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::oid::ObjectId;

    fn operator(number: u8) -> OperatorId {
        OperatorId(ObjectId::from_bytes([number; 12]))
    }

    #[test]
    fn an_operator_exports_one_thing_at_a_time() {
        let exports = Exports::default();
        let slot = exports.enter(operator(1)).expect("free");
        let refused = exports.clone().enter(operator(1)).err().map(|fault| fault.code());
        assert_eq!(refused, Some(Code::RateLimited));
        drop(slot);
        assert!(exports.enter(operator(1)).is_ok());
    }

    #[test]
    fn there_are_only_so_many_in_all() {
        let exports = Exports::default();
        let numbers = 0..u8::try_from(EXPORTS_MAX).expect("few");
        let slots: Vec<_> = numbers.map(|number| exports.enter(operator(number))).collect();
        assert!(slots.iter().all(Result::is_ok));
        assert!(exports.enter(operator(200)).is_err());
        drop(slots);
        assert!(exports.enter(operator(200)).is_ok());
    }
}
