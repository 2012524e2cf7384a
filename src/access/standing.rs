//! What must still hold of a caller when its change is written: the same rules as at the door,
//! asked of the records as the transaction has them.

use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, RawDocument};

use super::permission::Permission;
use super::rule;
use crate::audit::warrant::{Proviso, Rule};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, ConnectionId, OperatorId, UserId};
use crate::kernel::time::Timestamp;

/// By what a caller was let in.
#[derive(Debug, Clone)]
pub enum Standing {
    Itself,
    Operator {
        id: OperatorId,
        needs: Permission,
    },
    App {
        app: AppId,
        key_id: String,
    },
    OnUser {
        app: AppId,
        key: Presented,
        connection: ConnectionId,
        user: UserId,
        needs: Permission,
        /// Where `needs` is that of a module.
        module: Option<Sought>,
    },
}

/// A module, as it was registered at the door.
#[derive(Debug, Clone)]
pub struct Sought {
    pub id: ObjectId,
    pub permission: Arc<str>,
    pub kyc_level: i64,
}

/// The key that was shown.
#[derive(Debug, Clone)]
pub enum Presented {
    OfApp(String),
    /// With the app's epoch of connection keys, in which it counted.
    OfConnection(String, i64),
}

impl Standing {
    pub fn provisos(&self, now: Timestamp) -> Vec<Proviso> {
        match self.clone() {
            Self::Itself => Vec::new(),
            Self::Operator { id, needs } => {
                let holds =
                    move |operator: Option<&RawDocument>| rule::operator(operator, needs, now);
                vec![proviso("operators", id.0, holds)]
            }
            Self::App { app, key_id } => vec![app_in_use(&app, Some(key_id), now)],
            Self::OnUser { app, key, connection, user, needs, module } => {
                let (app_key, connection_key, epoch) = match key {
                    Presented::OfApp(id) => (Some(id), None, None),
                    Presented::OfConnection(id, epoch) => (None, Some(id), Some(epoch)),
                };
                // The ceiling is checked with the app; here only what the connection holds.
                let tie = move |tie: Option<&RawDocument>| {
                    rule::connection(tie, connection_key.as_deref(), now)?;
                    tie.map_or(Ok(()), |tie| rule::permission(needs, tie, tie))
                };
                let ceiling = move |app: Option<&RawDocument>| {
                    let current = app.map(rule::connection_key_epoch);
                    if epoch.is_some() && epoch != current {
                        return Err(rule::unauthenticated());
                    }
                    app.map_or(Ok(()), |app| rule::permission(needs, app, app))
                };
                let mut all = vec![
                    app_in_use(&app, app_key, now),
                    proviso("apps", app.as_str(), ceiling),
                    proviso("user_apps", connection.0, tie),
                    proviso("users", user.0, rule::user),
                ];
                all.extend(module.into_iter().flat_map(|it| it.provisos(&app, connection, user)));
                all
            }
        }
    }
}

impl Sought {
    /// The same as at the door, each rule of its own record.
    fn provisos(self, app: &AppId, connection: ConnectionId, user: UserId) -> [Proviso; 4] {
        let Self { id, permission, kyc_level } = self;
        let (unchanged, of_app) = (Arc::clone(&permission), Arc::clone(&permission));
        let module = move |module: Option<&RawDocument>| {
            rule::module(module)?;
            let now = module.and_then(|module| module.get_str("permission").ok());
            if now == Some(&unchanged) { Ok(()) } else { Err(Fault::of(Code::NotFound)) }
        };
        let holder = |permission: Arc<str>| {
            move |holder: Option<&RawDocument>| {
                holder.map_or(Ok(()), |holder| rule::module_permission(holder, &permission))
            }
        };
        let verified = move |user: Option<&RawDocument>| {
            user.map_or(Ok(()), |user| rule::verified(user, kyc_level))
        };
        [
            proviso("user_modules", id, module),
            proviso("apps", app.as_str(), holder(of_app)),
            proviso("user_apps", connection.0, holder(permission)),
            proviso("users", user.0, verified),
        ]
    }
}

/// The app is in use, and so is the app key, where one is used.
fn app_in_use(app: &AppId, key_id: Option<String>, now: Timestamp) -> Proviso {
    proviso("apps", app.as_str(), move |app: Option<&RawDocument>| {
        rule::app(app)?;
        let usable = |id: &String| app.and_then(|app| rule::app_key(app, id, now)).is_some();
        if key_id.as_ref().is_none_or(usable) { Ok(()) } else { Err(rule::unauthenticated()) }
    })
}

fn proviso(
    collection: &'static str,
    id: impl Into<Bson>,
    holds: impl Fn(Option<&RawDocument>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Proviso {
    let holds: Rule = Arc::new(holds);
    Proviso { collection, id: id.into(), holds }
}
