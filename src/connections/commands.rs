//! Writing: the shared part, the app's own side, letting go.

use super::actions::{LetGo, UpdateConnection, UpdateUser};
use super::change::{ConnectionChange, UserChange};
use super::shown::Shown;
use super::view::{View, connection_etag, etag, view};
use crate::access::action::Mutating;
use crate::access::grant::{Granted, OnUser};
use crate::apps::App;
use crate::audit::warrant::Pass;
use crate::crypto::password::Hasher;
use crate::http::call::Preconditions;
use crate::kernel::fault::{Code, Fault, FieldError};
use crate::store::{Done, Hints, Stop, Store, Work};
use crate::users::{Connection, ConnectionStatus, Modules, Shelf, User};

/// What the commands of this slice work with.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub hasher: Hasher,
    pub shelf: Shelf,
    pub shown: Shown,
}

impl Desk {
    /// The modules that apps can use now.
    pub async fn modules(&self, pass: &Pass) -> Result<Modules, Fault> {
        Ok((self.shelf)(&self.store.modules(pass).await?))
    }
}

pub(super) fn hints(target: &OnUser) -> Hints {
    Hints::none().and(&User::by_id(target.user)).and(&Connection::by_id(target.connection))
}

/// The person, the tie and the app as they stand in the transaction.
fn load(work: &mut Work, target: &OnUser) -> Result<(User, Connection, App), Stop> {
    let user = work.get(&User::by_id(target.user))?;
    let connection = work.get(&Connection::by_id(target.connection))?;
    let app = work.get(&App::by_id(&target.app))?;
    Ok((user, connection, app))
}

pub async fn update_user(
    grant: &Granted<UpdateUser>,
    desk: &Desk,
    change: UserChange,
    preconditions: Preconditions,
) -> Result<Done<View>, Fault> {
    let target = grant.target().clone();
    let modules = (desk.shelf)(&target.records.modules);
    let keyring = desk.store.keyring().clone();
    let unit = desk.store.unit(grant.warrant(), hints(&target), move |work| {
        let (before, connection, app) = load(work, &target)?;
        preconditions.check(|| etag(&view(&before, &connection, &app, &modules), &keyring))?;
        if let Some(hidden) = change.paths().find(|path| !app.sees(path)) {
            return Err(not_visible(hidden).into());
        }
        let after = change.applied_to(&before, work.now());
        work.revise(&before, &after)?;
        Ok(view(&after, &connection, &app, &modules))
    });
    unit.await
}

/// Nobody overwrites what they cannot see.
fn not_visible(path: &str) -> Fault {
    let pointer = format!("/{}", path.replace('.', "/"));
    let detail =
        "not among the fields that this app sees (`visible_fields`), so it cannot change it";
    let error = FieldError::new(pointer, "not_visible", detail);
    Fault::new(Code::PermissionDenied, format!("{path}: {detail}.")).with_errors(vec![error])
}

pub async fn update_connection(
    grant: &Granted<UpdateConnection>,
    desk: &Desk,
    change: ConnectionChange,
    preconditions: Preconditions,
) -> Result<Done<Connection>, Fault> {
    let keyring = desk.store.keyring().clone();
    revise(grant, desk, move |before| {
        preconditions.check(|| connection_etag(before, &keyring))?;
        change.applied_to(before, "")
    })
    .await
}

/// The app lets go: its key stops working at once, its data is kept for 30 days.
pub async fn let_go(grant: &Granted<LetGo>, desk: &Desk) -> Result<(), Fault> {
    let now = grant.now();
    let done = revise(grant, desk, move |before| {
        let mut after = before.clone();
        after.connection_status = ConnectionStatus::Inactive;
        after.inactive_at = Some(now);
        after.drop_key();
        Ok(after)
    });
    done.await.map(drop)
}

async fn revise<A: Mutating<Target = OnUser>>(
    grant: &Granted<A>,
    desk: &Desk,
    change: impl Fn(&Connection) -> Result<Connection, Fault> + Send + Sync + 'static,
) -> Result<Done<Connection>, Fault> {
    let target = grant.target().clone();
    let unit = desk.store.unit(grant.warrant(), hints(&target), move |work| {
        let before = work.get(&Connection::by_id(target.connection))?;
        let after = change(&before)?;
        work.revise(&before, &after)?;
        Ok(after)
    });
    unit.await
}
