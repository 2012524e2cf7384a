//! Reading: a wallet, pages of its entries, a balance of the past, whose account a number is.

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::actions::{CheckName, ReadWallet};
use super::commands::of_account;
use super::entry::{Entry, Note, newest_first};
use super::model::LineKind;
use super::record::{Holder, Wallet};
use super::view::{ItemView, Looker};
use crate::access::grant::{Granted, OnUser};
use crate::apps::{self, Trust};
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AccountNumber, UserId};
use crate::kernel::page::{Limit, Page};
use crate::kernel::time::Timestamp;
use crate::store::{Query, Record, Store};
use crate::users::User;

/// Which entries of a wallet are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub kind: Option<LineKind>,
    pub reference: Option<String>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

/// Where a page ends: the next one starts below it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Position {
    millis: i64,
    seq: i64,
}

impl Position {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { millis: entry.created_at.timestamp_millis(), seq: entry.seq }
    }
}

/// What the grant has found: nothing more is asked of the database.
pub fn wallet(target: &OnUser) -> Result<Wallet, Fault> {
    Ok(target.records.user.record::<Holder>()?.modules.wallet)
}

/// The calling app, and whether the person lets it see what others do.
pub fn looker(target: &OnUser) -> Result<Looker, Fault> {
    let user: User = target.records.user.record()?;
    let sees_others = user.preferences.privacy.activity_visible;
    Ok(Looker::App { id: target.app.clone(), sees_others })
}

pub async fn entries(
    grant: &Granted<ReadWallet>,
    store: &Store,
    filter: &Filter,
    limit: Limit,
    after: Option<Position>,
) -> Result<Page<ItemView, Position>, Fault> {
    let (target, pass) = (grant.target(), grant.pass());
    page(&pass, store, target.user, &looker(target)?, filter, limit, after).await
}

pub(super) async fn page(
    pass: &Pass,
    store: &Store,
    user: UserId,
    looker: &Looker,
    filter: &Filter,
    limit: Limit,
    after: Option<Position>,
) -> Result<Page<ItemView, Position>, Fault> {
    let mut condition = condition(user, filter, after);
    if let Looker::App { id, sees_others } = looker {
        if filter.reference.is_some() {
            // What others call theirs must not be found out by asking for it.
            condition.insert("app_id", id.as_str());
        } else if !sees_others {
            condition.insert("app_id", doc! { "$in": [id.as_str(), bson::Bson::Null] });
        }
    }
    let rows = newest(pass, store, condition, limit.rows() + 1).await?;
    let page = Page::cut(rows, limit, Position::of);
    let items = shown(pass, store, user, looker, &page.items).await?;
    Ok(Page { items, next: page.next })
}

pub(super) async fn newest(
    pass: &Pass,
    store: &Store,
    condition: Document,
    rows: usize,
) -> Result<Vec<Entry>, Fault> {
    let query = Query::of(Entry::KIND.collection, condition).sort(newest_first()).limit(rows);
    store.list(pass, query).await
}

/// Time and number run alike, so both bound the same part of one index.
pub(super) fn condition(user: UserId, filter: &Filter, after: Option<Position>) -> Document {
    let mut condition = doc! { "user_id": user.0 };
    if let Some(kind) = filter.kind {
        condition.insert("kind", kind.as_str());
    }
    if let Some(reference) = &filter.reference {
        condition.insert("reference", doc! { "$eq": reference });
    }
    let mut time = Document::new();
    if let Some(from) = filter.from {
        time.insert("$gte", from);
    }
    if let Some(to) = filter.to {
        time.insert("$lt", to);
    }
    if let Some(Position { millis, seq }) = after {
        time.insert("$lte", Timestamp::from_millis(millis));
        condition.insert("seq", doc! { "$lt": seq });
    }
    if !time.is_empty() {
        condition.insert("created_at", time);
    }
    condition
}

/// As the looker may see them; notes are opened only for whom they are.
pub(super) async fn shown(
    pass: &Pass,
    store: &Store,
    user: UserId,
    looker: &Looker,
    entries: &[Entry],
) -> Result<Vec<ItemView>, Fault> {
    let may = |entry: &&Entry| match looker {
        Looker::App { id, .. } => entry.app_id.as_ref() == Some(id),
        Looker::Admin { sees_notes } => *sees_notes,
    };
    let noted = entries.iter().filter(may).any(|entry| entry.note.is_some());
    let keys = if noted { store.data_keys(pass, &[user]).await? } else { [].into() };
    let note = |entry: &Entry| -> Option<Note> {
        may(&entry).then(|| entry.read_note(keys.get(&user))).flatten()
    };
    Ok(entries.iter().filter_map(|entry| looker.item(entry, note(entry))).collect())
}

/// The newest entry at a moment of the past: it knows the balances of that time.
pub async fn at(
    grant: &Granted<ReadWallet>,
    store: &Store,
    at: Timestamp,
) -> Result<Option<Entry>, Fault> {
    let condition = doc! { "user_id": grant.target().user.0, "created_at": { "$lte": at } };
    Ok(newest(&grant.pass(), store, condition, 1).await?.pop())
}

/// An account's number, and as much of its owner's name as tells a typing error from the right one:
/// nothing, where the person does not show it.
pub async fn name(
    grant: &Granted<CheckName>,
    store: &Store,
    number: &AccountNumber,
) -> Result<Option<String>, Fault> {
    if apps::find(&grant.pass(), store, &grant.target().app).await?.trust != Trust::FirstParty {
        return Err(Fault::of(Code::NotFirstParty));
    }
    let user = of_account(grant.pass(), store, number).await?;
    let user = user.ok_or_else(|| Fault::of(Code::NotFound))?;
    if !user.preferences.privacy.profile_visible {
        return Ok(None);
    }
    let names = [user.profile.first_name, user.profile.last_name];
    let masked: Vec<String> = names.into_iter().flatten().map(|name| masked(&name)).collect();
    Ok(Some(masked.join(" ")).filter(|name| !name.is_empty()))
}

/// The first letter of each word; how long the rest is does not show.
fn masked(name: &str) -> String {
    let word = |word: &str| word.chars().next().map(|first| format!("{first}***"));
    name.split_whitespace().filter_map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn of_a_name_only_the_first_letters_are_shown() {
        assert_eq!(masked("John"), "J***");
        assert_eq!(masked("Ana María  de"), "A*** M*** d***");
        assert_eq!((masked("É"), masked(" ")), ("É***".to_owned(), String::new()));
    }
}
