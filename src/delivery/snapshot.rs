//! All people of an app as they are, and where the feed goes on from there.

use serde::{Deserialize, Serialize};

use super::actions::ReadSnapshot;
use super::feed::{Feed, Position};
use super::model::narrowed;
use super::scan;
use crate::access::grant::Granted;
use crate::apps::App;
use crate::connections::{self, View};
use crate::kernel::fault::Fault;
use crate::kernel::ids::ConnectionId;
use crate::kernel::page::Limit;
use crate::users::Connection;

/// What a cursor of the snapshot holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    after: ConnectionId,
    /// Where the feed stood before the first page was read.
    feed: Position,
}

pub struct Snapshot {
    pub items: Vec<(ConnectionId, View)>,
    pub next: Option<Place>,
    pub feed: Position,
}

/// One page. Where the feed stands is asked before anybody is read: what changes meanwhile is told by
/// the feed once more.
pub async fn page(
    grant: &Granted<ReadSnapshot>,
    feed: &Feed,
    place: Option<Place>,
    limit: Limit,
) -> Result<Snapshot, Fault> {
    let (pass, desk) = (grant.pass(), &feed.desk);
    let (after, position) = match place {
        Some(Place { after, feed }) => (Some(after), feed),
        None => (None, Position::at(scan::end(&pass, &desk.store).await?, grant.now())),
    };
    let app: App = grant.target().record.record()?;
    let page = connections::people(&pass, desk, &app, after, limit).await?;
    let narrow = |(tie, view): (Connection, View)| (tie.id, narrowed(view, tie.sync_settings));
    Ok(Snapshot {
        items: page.items.into_iter().map(narrow).collect(),
        next: page.next.map(|after| Place { after, feed: position.clone() }),
        feed: position,
    })
}
