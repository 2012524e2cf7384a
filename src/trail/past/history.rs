//! The life of one field: every change of it, of what is below it, and of what it is a part of.
//!
//! There is no index by path: each entry names many, and every write would pay for it. One person's
//! entries are gone through instead, so many at once and no more; the cursor goes on behind them,
//! whether or not anything was found.

use bson::{Bson, Document, doc};
use serde::Deserialize;

use super::queries::subject;
use crate::access::grant::Granted;
use crate::audit::change::value_in;
use crate::audit::entry::{Entry, sides};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::UserId;
use crate::kernel::page::{Limit, Page};
use crate::store::{Query, Store};
use crate::trail::actions::ReadTrail;
use crate::trail::queries::{self, MASK};

/// Entries that one request goes through.
pub const ENTRIES_AT_ONCE: i64 = 20_000;

/// The newest first, from below the number `before`; each entry with the changes of that field alone.
pub async fn history(
    grant: &Granted<ReadTrail>,
    store: &Store,
    user: UserId,
    path: &str,
    limit: Limit,
    before: Option<i64>,
) -> Result<Page<Entry, i64>, Fault> {
    let subject = subject(user);
    let before = match before {
        Some(before) => before,
        None => newest(grant, store, &subject).await? + 1,
    };
    let end = (before - ENTRIES_AT_ONCE).max(1);
    let query = Query::of(Entry::COLLECTION, condition(&subject, path, end..before))
        .sort(doc! { "seq": -1 })
        .limit(limit.rows() + 1);
    let rows = store.list(&grant.pass(), query).await?;
    let mut page = Page::cut(rows, limit, |entry: &Entry| entry.seq);
    page.next = page.next.or((end > 1).then_some(end));
    page.items = queries::opened(grant, store, page.items).await?;
    for entry in &mut page.items {
        entry.changes = narrowed(std::mem::take(&mut entry.changes), path);
    }
    page.items.retain(|entry| !entry.changes.is_empty());
    Ok(page)
}

async fn newest(grant: &Granted<ReadTrail>, store: &Store, subject: &str) -> Result<i64, Fault> {
    #[derive(Deserialize)]
    struct Number {
        seq: i64,
    }
    let query = Query::of(Entry::COLLECTION, doc! { "subject": subject }).sort(doc! { "seq": -1 });
    let query = query.limit(1).only(doc! { "seq": 1, "_id": 0 });
    let newest: Option<Number> = store.list(&grant.pass(), query).await?.pop();
    newest.map(|newest| newest.seq).ok_or_else(|| Fault::of(Code::NotFound))
}

fn condition(subject: &str, path: &str, numbers: std::ops::Range<i64>) -> Document {
    // "/" is the character after ".": everything that starts with the path and a dot.
    let below = doc! { "$elemMatch": { "$gte": format!("{path}."), "$lt": format!("{path}/") } };
    let above = path.match_indices('.').map(|(end, _)| &path[..end]);
    let whole: Vec<&str> = above.chain([path]).collect();
    doc! {
        "subject": subject,
        "seq": { "$gte": numbers.start, "$lt": numbers.end },
        "$or": [{ "paths": { "$in": whole } }, { "paths": below }],
    }
}

/// The changes at this path and below it. Where something above it changed as a whole, what that came
/// to here; where that is masked, nobody knows, and it is shown as it is.
fn narrowed(changes: Document, path: &str) -> Document {
    let mut narrowed = Document::new();
    for (changed, value) in changes {
        let rest = path.strip_prefix(&*changed).and_then(|rest| rest.strip_prefix('.'));
        let is_below =
            changed.strip_prefix(path).is_some_and(|it| it.is_empty() || it.starts_with('.'));
        let part = match (rest, &value) {
            _ if is_below => Some((changed, value)),
            (Some(rest), Bson::Document(whole)) => part(whole, changed, path, rest),
            _ => None,
        };
        narrowed.extend(part);
    }
    narrowed
}

fn part(whole: &Document, changed: String, path: &str, rest: &str) -> Option<(String, Bson)> {
    let side = |name| whole.get(name);
    if [side("old"), side("new")].into_iter().flatten().any(|it| it.as_str() == Some(MASK)) {
        return Some((changed, whole.clone().into()));
    }
    let inside = |name| side(name).and_then(|value| value_in(value, rest)).cloned();
    let (old, new) = (inside("old"), inside("new"));
    (old != new).then(|| (path.to_owned(), sides(old, new).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_whole_is_told_as_what_it_came_to_for_the_part() {
        let list = |left: i64| vec![doc! { "id": "x", "left": left }];
        let changes = doc! {
            "a.list": { "old": list(5), "new": [] },
            "a.list2.x": { "new": 1 },
            "a": { "old": MASK, "new": MASK },
            "b": { "old": { "list": 1 } },
        };

        let left = narrowed(changes.clone(), "a.list.x.left");
        let masked = doc! { "old": MASK, "new": MASK };
        assert_eq!(left, doc! { "a.list.x.left": { "old": 5_i64 }, "a": masked.clone() });
        assert_eq!(
            narrowed(changes.clone(), "a.list2"),
            doc! { "a.list2.x": { "new": 1 }, "a": masked }
        );
        assert_eq!(narrowed(changes.clone(), "b.list"), doc! { "b.list": { "old": 1 } });
        assert_eq!(narrowed(changes, "b.lis"), doc! {});
    }
}
