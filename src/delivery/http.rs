//! `/v1/changes`: handlers.

use actix_web::web::{self, Data, ServiceConfig};
use utoipa::OpenApi;

use super::actions::{ReadChanges, ReadSnapshot};
use super::feed::{self, Feed};
use super::snapshot;
use super::view::{ChangesView, SnapshotView, view};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::access::last_used::Used;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::ids::ConnectionId;
use crate::kernel::time::Timestamp;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/changes").route(web::get().to(changes)))
        .service(web::resource("/v1/changes/snapshot").route(web::get().to(whole)));
}

#[derive(OpenApi)]
#[openapi(paths(changes, whole))]
pub struct Paper;

/// Read what has changed, in the order in which it was sealed.
///
/// Begin with the snapshot, and send its `feed_cursor`. Without a cursor the feed begins now: no items,
/// and where to go on. Ask again at once while `more` is true, else after a while.
#[utoipa::path(get, path = "/v1/changes", operation_id = "list_changes", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadChanges>()))),
    params(("limit" = Option<u16>, Query),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before, or the `feed_cursor` of a snapshot")),
    responses((status = 200, body = ChangesView)))]
async fn changes(
    call: Call<ReadChanges>,
    feed: Data<Feed>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["cursor", "limit"])?;
    let (grant, list, limit) = (&call.grant, of_feed(call.grant.scope()), call.query.limit()?);
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    if let Some(position) = &after {
        note(&gate, feed::acknowledged(grant, &feed.desk.store, position).await?, grant.now());
    }
    let changes = feed::changes(grant, &feed, after, limit).await?;
    let next_cursor = gate.seal_cursor(&list, &changes.position)?;
    Ok(Answer::ok(&view(changes, next_cursor))?)
}

/// Read everybody as they are, to follow the changes from then on.
#[utoipa::path(get, path = "/v1/changes/snapshot", operation_id = "read_snapshot", tag = "apps",
    extensions(("x-needs" = json!(needs::<ReadSnapshot>()))),
    params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = SnapshotView)))]
async fn whole(
    call: Call<ReadSnapshot>,
    feed: Data<Feed>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["cursor", "limit"])?;
    let (scope, limit) = (call.grant.scope(), call.query.limit()?);
    let list = List { scope, route: "/v1/changes/snapshot", filter: String::new() };
    let place = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = snapshot::page(&call.grant, &feed, place, limit).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    let feed_cursor = gate.seal_cursor(&of_feed(scope), &page.feed)?;
    let (ties, items): (Vec<_>, Vec<_>) = page.items.into_iter().unzip();
    note(&gate, ties, call.grant.now());
    Ok(Answer::ok(&SnapshotView { items, next_cursor, feed_cursor })?)
}

fn of_feed(scope: &str) -> List<'_> {
    List { scope, route: "/v1/changes", filter: String::new() }
}

fn note(gate: &Gate, read: Vec<ConnectionId>, now: Timestamp) {
    for connection in read {
        gate.last_used().note(Used::Synced(connection), now);
    }
}
