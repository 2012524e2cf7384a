//! Views that were made before, for records that have not changed since: making one costs more than
//! everything else that a read from memory does.

use std::sync::Arc;

use actix_web::web::Bytes;
use moka::sync::Cache;

use super::view::{etag, view};
use crate::access::grant::{OnUser, Records};
use crate::apps::App;
use crate::crypto::keyring::Keyring;
use crate::kernel::fault::Fault;
use crate::kernel::ids::ConnectionId;
use crate::users::{Connection, Shelf, User};

/// Cheap to clone.
#[derive(Clone)]
pub struct Shown(Cache<ConnectionId, Arc<Made>>);

/// A view as it is sent, and the copies that it was made from.
pub struct Made {
    from: Records,
    pub body: Bytes,
    pub etag: String,
}

impl Shown {
    /// With room for the views of `people`.
    pub fn new(people: u64) -> Self {
        Self(Cache::new(people))
    }

    pub fn view(
        &self,
        target: &OnUser,
        shelf: &Shelf,
        keyring: &Keyring,
    ) -> Result<Arc<Made>, Fault> {
        let Records { user, connection, app, modules } = &target.records;
        let is_same = |made: &Arc<Made>| {
            let Records { user: u, connection: c, app: a, modules: m } = &made.from;
            user.is(u) && connection.is(c) && app.is(a) && modules.is(m)
        };
        if let Some(made) = self.0.get(&target.connection).filter(is_same) {
            return Ok(made);
        }
        let (user, connection) = (user.record::<User>()?, connection.record::<Connection>()?);
        let view = view(&user, &connection, &app.record::<App>()?, &shelf(modules));
        let body = serde_json::to_vec(&view).map_err(|_| Fault::internal("a view is no JSON"))?;
        let etag = etag(&view, keyring);
        // Without the room that it was written in: there are many of them.
        let body = body.into_boxed_slice().into();
        let made = Arc::new(Made { from: target.records.clone(), body, etag });
        self.0.insert(target.connection, Arc::clone(&made));
        Ok(made)
    }
}
