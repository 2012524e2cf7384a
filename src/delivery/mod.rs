//! What apps are told of changes, in the one order in which the trail is sealed.
//!
//! The *feed* (`GET /v1/changes`) gives an app, leaf by leaf, what concerns its connections. An *item*
//! says of one entry of the trail what of it this app can see: which parts of its view were changed,
//! never from what to what. The views themselves come beside the items, once for each person and as
//! they are now. The *snapshot* (`GET /v1/changes/snapshot`) is where a feed begins: all people as they
//! are, and the cursor with which the feed goes on without a gap.
//!
//! Invariants: an item names only what `GET /v1/users/{user}` would show at the same moment; settings of
//! a connection (`sync_settings`) only take away from that; nothing is skipped, and nothing comes twice
//! unless a cursor is sent twice; of other apps it shows nothing but that it was not this one.
//!
//! What may be seen is decided in `model`, which is pure. Whether somebody has read a page is known only
//! when they ask for the next one: then `last_sync` moves.
//!
//! To tell of something new: if the view shows it, the feed tells of it; what kind it is says `model`.

mod actions;
mod feed;
mod http;
mod model;
mod scan;
mod snapshot;
#[cfg(test)]
mod tests;
mod view;

pub use feed::Feed;
pub use http::{Paper, routes};
