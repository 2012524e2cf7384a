//! Writing: an admin's change of a connection.

use serde::{Deserialize, Serialize};

use super::actions::ChangeConnection;
use super::change::TieChange;
use super::view::{TieView, tie};
use crate::access::grant::Granted;
use crate::apps::App;
use crate::http::call::Preconditions;
use crate::kernel::fault::Fault;
use crate::kernel::ids::ConnectionId;
use crate::store::{Hints, Store};
use crate::users::{Connection, User};

/// A connection, and the revision of the person whose part it is.
#[derive(Serialize, Deserialize)]
pub struct Seen {
    pub tie: TieView,
    pub revision: i64,
}

pub async fn change(
    grant: &Granted<ChangeConnection>,
    store: &Store,
    id: ConnectionId,
    change: TieChange,
    preconditions: Preconditions,
) -> Result<Seen, Fault> {
    let hints = Hints::none().and(&Connection::by_id(id));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        let before = work.get(&Connection::by_id(id))?;
        let user = work.get(&User::by_id(before.user_id))?;
        preconditions.check(|| user.revision.to_string())?;
        let app = work.get(&App::by_id(&before.app_id))?;
        let after = change.clone().applied_to(&before, &app)?;
        work.revise(&before, &after)?;
        let revision = user.revision + i64::from(after != before);
        Ok(Seen { tie: tie(&after), revision })
    });
    Ok(unit.await?.answer)
}
