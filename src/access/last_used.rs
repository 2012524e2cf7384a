//! When keys were last used and apps last read: kept in memory and written once a minute, because
//! a write for each request would cost more than the request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::kernel::ids::{AppId, ConnectionId, OperatorId};
use crate::kernel::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Used {
    AppKey {
        app: AppId,
        key_id: String,
    },
    ConnectionKey(ConnectionId),
    OperatorKey(OperatorId),
    /// An app has read a user's record.
    Synced(ConnectionId),
}

#[derive(Default)]
pub struct LastUsed(Mutex<HashMap<Used, Timestamp>>);

/// Uses kept between two flushes; what is beyond is noted at its next use.
const KEPT: usize = 100_000;

impl LastUsed {
    pub fn note(&self, used: Used, now: Timestamp) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < KEPT || noted.contains_key(&used) {
            noted.insert(used, now);
        }
    }

    pub fn take(&self) -> HashMap<Used, Timestamp> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
