//! What is answered.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::{Ref, RefOr, Schema, schema::ArrayBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::feed::{Changes, Item};
use super::model::Person;
use crate::connections::View;
use crate::kernel::ids::UserId;
use crate::kernel::time::rfc3339;
use crate::users::{ConnectionStatus, UserStatus};

#[derive(Serialize, ToSchema)]
pub struct ChangesView {
    /// In the order in which they happened to each person. There may be none although `more` is true.
    #[schema(max_items = 200)]
    items: Vec<ChangeView>,
    /// The people of this page whom the app can see, by id, as they are now: not as they were when the
    /// change was made. Without what their `sync_settings` turn off.
    users: BTreeMap<String, View>,
    /// Where to go on. Sending it says that this page has been read: `last_sync` moves.
    next_cursor: String,
    /// Whether to go on at once: there is more, of others or of this app's people.
    more: bool,
}

/// That something was changed which this app can see.
#[derive(Serialize, ToSchema)]
struct ChangeView {
    /// Of the entry of the trail.
    id: String,
    /// `null` where the app itself was changed, and with it what it sees of everybody.
    #[schema(required = true)]
    user_id: Option<String>,
    #[schema(value_type = Vec<ChangeKindView>, min_items = 1)]
    kinds: Vec<String>,
    /// What was done, where this app did it or it concerns its connection.
    #[schema(required = true)]
    action: Option<String>,
    by_this_app: bool,
    /// Where the view changed, as far as it can be said: `shared.profile.first_name`.
    #[schema(example = json!(["shared.profile.first_name"]))]
    paths: Vec<String>,
    at: String,
    /// As it is now. Nothing follows one that is not `active`, until it is again.
    #[schema(required = true, value_type = Option<ConnectionStateView>)]
    connection_status: Option<ConnectionStatus>,
    /// As it is now; `null` where the connection has ended.
    #[schema(required = true, value_type = Option<PersonStateView>)]
    user_status: Option<UserStatus>,
    /// With a change of the wallet, where `transaction_history` is on: the lines of the ledger, as
    /// `GET …/wallet/entries` shows them to this app.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = LedgerLines)]
    wallet_entries: Option<Vec<Value>>,
}

/// `profile`, `preferences`, `wallet`, `subscription`, `referrals`, `module:<name>`; `connection`: the
/// app's own side of the tie; `person`: whether the person can be used; `app`: the app itself.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(
    pattern = "^(profile|preferences|wallet|subscription|referrals|connection|person|app|module:[a-z0-9_]{3,64})$",
    example = "profile"
)]
struct ChangeKindView(String);

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ConnectionStateView {
    Active,
    Inactive,
    Suspended,
    Revoked,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum PersonStateView {
    Active,
    Inactive,
    Suspended,
    Merged,
    Erased,
}

/// What the wallet describes, which this room does not know.
struct LedgerLines;

impl PartialSchema for LedgerLines {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(Ref::from_schema_name("ItemView")).into()
    }
}

impl ToSchema for LedgerLines {}

#[derive(Serialize, ToSchema)]
pub struct SnapshotView {
    /// Without what their `sync_settings` turn off.
    #[schema(max_items = 200)]
    pub items: Vec<View>,
    /// The next page of the snapshot; `null` on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// What to send to `GET /v1/changes` once the last page is read; the same place on every page.
    pub feed_cursor: String,
}

pub fn view(changes: Changes, next_cursor: String) -> ChangesView {
    let Changes { items, people, more, .. } = changes;
    let item = |item| change(item, &people);
    let items = items.into_iter().map(item).collect();
    let shown = |(id, person): (UserId, Person)| Some((id.to_string(), person.view?));
    ChangesView { items, users: people.into_iter().filter_map(shown).collect(), next_cursor, more }
}

fn change(item: Item, people: &HashMap<UserId, Person>) -> ChangeView {
    let Item { entry, shown, lines } = item;
    let person = entry.user_id.and_then(|user| people.get(&user));
    ChangeView {
        id: entry.id.to_string(),
        user_id: entry.user_id.map(|user| user.to_string()),
        kinds: shown.kinds.into_iter().collect(),
        action: shown.action,
        by_this_app: shown.by_this_app,
        paths: shown.paths.into_iter().collect(),
        at: rfc3339(entry.timestamp),
        connection_status: person.map(|person| person.connection_status),
        user_status: person.and_then(|person| person.user_status),
        wallet_entries: lines,
    }
}
