//! The ledger as whoever tells apps of changes needs it: the lines that were written with given entries
//! of people's trails, as `…/wallet/entries` shows them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bson::{Document, doc};
use serde_json::Value;

use super::entry::Entry;
use super::view::Looker;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{AppId, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Query, Record, Store};
use crate::users::{Booked, Booking, Lines};

/// More than one operation can write: its own line, and one for each hold and lot that had ended.
const LINES_MAX: usize = 1000;

pub fn lines(store: Store) -> Lines {
    Arc::new(move |pass, app, bookings| {
        let store = store.clone();
        Box::pin(async move { shown(&pass, &store, &app, &bookings).await })
    })
}

async fn shown(
    pass: &Pass,
    store: &Store,
    app: &AppId,
    bookings: &[Booking],
) -> Result<Booked, Fault> {
    let entries = written(pass, store, bookings).await?;
    let is_own = |entry: &&Entry| entry.app_id.as_ref() == Some(app);
    let noted = entries.iter().filter(is_own).filter(|entry| entry.note.is_some());
    let noted: HashSet<UserId> = noted.map(|entry| entry.user_id).collect();
    let noted: Vec<UserId> = noted.into_iter().collect();
    let keys = if noted.is_empty() { [].into() } else { store.data_keys(pass, &noted).await? };
    let mut shown = Booked::new();
    for Booking { user, trail_seq, sees_others, .. } in bookings {
        let looker = Looker::App { id: app.clone(), sees_others: *sees_others };
        let its = entries.iter().filter(|it| (it.user_id, it.trail_seq) == (*user, *trail_seq));
        let note = |entry: &Entry| {
            is_own(&entry).then(|| entry.read_note(keys.get(&entry.user_id))).flatten()
        };
        let lines = its.filter_map(|entry| looker.item(entry, note(entry)));
        let lines: Result<Vec<Value>, _> = lines.map(serde_json::to_value).collect();
        let lines = lines.map_err(|_| Fault::internal("a line of the ledger is no JSON"))?;
        shown.insert((*user, *trail_seq), lines);
    }
    Ok(shown)
}

/// The lines that were written with these entries, in the order of their numbers: all in one question,
/// or in halves where the answer would be too long.
async fn written(pass: &Pass, store: &Store, bookings: &[Booking]) -> Result<Vec<Entry>, Fault> {
    let (mut lines, mut open) = (Vec::new(), vec![bookings]);
    while let Some(asked) = open.pop() {
        let query = Query::of(Entry::KIND.collection, condition(asked)).limit(LINES_MAX + 1);
        let rows: Vec<Entry> = store.list(pass, query).await?;
        if rows.len() > LINES_MAX && asked.len() > 1 {
            let (first, second) = asked.split_at(asked.len() / 2);
            open.extend([first, second]);
        } else {
            lines.extend(rows);
        }
    }
    lines.sort_by_key(|line| (line.user_id, line.seq));
    Ok(lines)
}

/// By person and moment, for which there is an index; the number is looked at besides. A line has the
/// time of the entry that was written with it.
fn condition(bookings: &[Booking]) -> Document {
    let mut people: BTreeMap<UserId, (Vec<Timestamp>, Vec<i64>)> = BTreeMap::new();
    for Booking { user, trail_seq, at, .. } in bookings {
        let (moments, numbers) = people.entry(*user).or_default();
        moments.push(*at);
        numbers.push(*trail_seq);
    }
    let of_person = people.into_iter().map(|(user, (moments, numbers))| {
        doc! {
            "user_id": user.0, "created_at": { "$in": moments },
            "trail_seq": { "$in": numbers },
        }
    });
    doc! { "$or": of_person.collect::<Vec<_>>() }
}
