//! Booking what has ended by time in wallets that nobody touches. Nothing depends on when this runs:
//! every decision looks at the moments themselves, and every operation books what it finds ended.

use bson::doc;
use futures_util::StreamExt;
use serde::Deserialize;

use super::actions::ExpireCredits;
use super::book::{Author, Slip, book_expired};
use super::entry::Note;
use super::record::Holder;
use crate::access::grant::Granted;
use crate::kernel::chance::Series;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::store::{Hints, Query, Record, Store};

/// Wallets that are looked for at a time, and booked at once.
const WALLETS: usize = 200;
const AT_ONCE: usize = 32;

/// One round: the wallets whose time came first. Whether there may be more. Two nodes that do it at
/// once are in nobody's way: the second finds nothing to book.
pub async fn expire(grant: &Granted<ExpireCredits>, store: &Store) -> Result<bool, Fault> {
    #[derive(Deserialize)]
    struct Due {
        #[serde(rename = "_id")]
        user: UserId,
    }
    let due = doc! { "modules.wallet.due_at": { "$lte": grant.now() } };
    let query = Query::of(Holder::KIND.collection, due).sort(doc! { "modules.wallet.due_at": 1 });
    let query = query.only(doc! { "_id": 1 }).limit(WALLETS);
    let due: Vec<Due> = store.list(&grant.pass(), query).await?;
    let whole_round = due.len() == WALLETS;
    let booked = due.into_iter().map(|due| one(grant, store, due.user));
    let booked: Vec<_> =
        futures_util::stream::iter(booked).buffer_unordered(AT_ONCE).collect().await;
    let some = booked.iter().any(Result::is_ok);
    // One that cannot be booked holds up none of the others, and is met again in the next round.
    match booked.into_iter().find_map(Result::err) {
        Some(fault) if !some => Err(fault),
        _ => Ok(whole_round && some),
    }
}

async fn one(grant: &Granted<ExpireCredits>, store: &Store, user: UserId) -> Result<bool, Fault> {
    let warrant = grant.warrant();
    let slip = Slip {
        author: Author::of(&warrant),
        reference: None,
        note: Note::default(),
        parent: None,
        counterpart: None,
        ids: Series::new(store.chance(), grant.now()),
    };
    let hints = Hints::none().and(&Holder::by_id(user));
    let unit = store.unit(warrant, hints, move |work| book_expired(work, user, &slip));
    Ok(unit.await?.answer)
}
