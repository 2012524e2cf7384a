//! What is answered about wallets and entries. What an app may see of an entry that another has made
//! is decided here, once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::book::Booked;
use super::entry::{Entry, Note};
use super::model::{self, LineKind};
use super::plan::Purpose;
use super::record::{Category, Hold, Slice, Wallet};
use crate::audit::actor::{Actor, ActorKind};
use crate::crypto::envelope::DataKey;
use crate::kernel::fault::Fault;
use crate::kernel::ids::AppId;
use crate::kernel::time::{Timestamp, rfc3339};

/// An entry, and the wallet after it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MovedView {
    pub entry: EntryView,
    pub wallet: SummaryView,
}

/// A hold, the entry that placed it, and the wallet after it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeldView {
    hold: HoldView,
    entry: EntryView,
    wallet: SummaryView,
}

/// A wallet in short.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SummaryView {
    /// Whole credits: the sum of all entries.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    balance: i64,
    /// What holds set aside.
    #[schema(minimum = 0)]
    held: i64,
    /// What can be spent now: neither held, nor expired, nor still to come into effect.
    #[schema(minimum = 0)]
    available: i64,
    #[schema(example = "credits")]
    currency: String,
    /// The number of the newest entry.
    #[schema(minimum = 0)]
    seq: i64,
}

/// A line of the ledger, as whoever made it sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = WalletEntryView)] // the trail has an EntryView
pub struct EntryView {
    /// `null` in the answer to a dry run: nothing was booked.
    #[schema(required = true)]
    id: Option<String>,
    pub kind: LineKind,
    #[schema(minimum = 1)]
    pub amount: i64,
    /// What it did to the balance; less than `amount` where a refund forfeits what had expired.
    pub balance_change: i64,
    held_change: i64,
    #[schema(minimum = 0)]
    balance_after: i64,
    #[schema(minimum = 0)]
    held_after: i64,
    #[schema(minimum = 0)]
    available_after: i64,
    /// Gapless for each wallet, from 1.
    #[schema(minimum = 1)]
    seq: i64,
    #[schema(required = true, example = "order-991")]
    pub reference: Option<String>,
    #[schema(required = true, example = "Two coffees")]
    pub description: Option<String>,
    #[schema(value_type = BTreeMap<String, String>, example = json!({"order": "991"}))]
    metadata: BTreeMap<String, String>,
    /// Why, where an admin did it.
    #[schema(required = true)]
    reason: Option<String>,
    /// The parts of lots that were moved, in the order in which they were.
    slices: Vec<SliceView>,
    /// The hold that this ends, or the entry that it refunds.
    #[schema(required = true, pattern = "^[0-9a-f]{24}$", example = "65f1a2b3c4d5e6f7a8b9c0d1")]
    parent: Option<String>,
    /// The account on the other side of a transfer.
    #[schema(required = true, pattern = "^[0-9]{14}$", example = "12345678901244")]
    counterpart: Option<String>,
    /// When a hold runs out.
    #[schema(required = true)]
    expires_at: Option<String>,
    pub account_number: String,
    #[schema(required = true)]
    app_id: Option<String>,
    #[schema(required = true)]
    connection_id: Option<String>,
    actor: AuthorView,
    pub created_at: String,
}

/// Who booked it: an app, an operator, or `system` where time was over.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuthorView {
    #[schema(value_type = String, pattern = "^(app|user|operator|system)$", example = "app")]
    kind: ActorKind,
    /// An operator is not named to apps.
    #[schema(required = true, min_length = 1, example = "external_app_001")]
    id: Option<String>,
}

/// A line of the ledger that somebody else made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OthersEntryView {
    pub kind: LineKind,
    #[schema(minimum = 1)]
    pub amount: i64,
    pub balance_change: i64,
    pub created_at: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ItemView {
    Own(Box<EntryView>),
    Others(OthersEntryView),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SliceView {
    /// `null` for a lot that is not there, in the answer to a dry run.
    #[schema(required = true, pattern = "^[0-9a-f]{24}$", example = "65f1a2b3c4d5e6f7a8b9c0d1")]
    lot: Option<String>,
    #[schema(minimum = 1)]
    pub amount: i64,
    category: Category,
    #[schema(required = true)]
    expires_at: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// `null` in the answer to a dry run: nothing was placed.
    #[schema(required = true)]
    id: Option<String>,
    #[schema(minimum = 1)]
    pub amount: i64,
    #[schema(pattern = "^open$", example = "open")]
    status: String,
    expires_at: String,
}

/// Who looks at entries.
#[derive(Debug, Clone)]
pub enum Looker {
    App {
        id: AppId,
        sees_others: bool,
    },
    /// Sees all entries; notes only where personal values may be seen.
    Admin {
        sees_notes: bool,
    },
}

impl MovedView {
    pub fn of(booked: &Booked, purpose: Purpose) -> Self {
        let Booked { entry, note, wallet } = booked;
        let mut shown = EntryView::of(entry, Some(note.clone()), ForWhom::Maker);
        if purpose == Purpose::Rehearsal {
            shown.id = None;
            let new = wallet.lots.iter().filter(|lot| lot.source == entry.id);
            let new: Vec<String> = new.map(|lot| lot.id.to_string()).collect();
            for slice in &mut shown.slices {
                slice.lot = slice.lot.take().filter(|lot| !new.contains(lot));
            }
        }
        Self { entry: shown, wallet: SummaryView::of(wallet, entry.created_at) }
    }
}

impl From<MovedView> for HeldView {
    fn from(moved: MovedView) -> Self {
        let MovedView { entry, wallet } = moved;
        let hold = HoldView {
            id: entry.id.clone(),
            amount: entry.amount,
            status: OPEN.to_owned(),
            expires_at: entry.expires_at.clone().unwrap_or_default(),
        };
        Self { hold, entry, wallet }
    }
}

const OPEN: &str = "open";

impl SummaryView {
    pub fn of(wallet: &Wallet, at: Timestamp) -> Self {
        Self {
            balance: wallet.balance,
            held: model::held(wallet, at),
            available: model::available(wallet, at),
            currency: wallet.currency.clone(),
            seq: wallet.seq,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ForWhom {
    Maker,
    Admin,
}

impl EntryView {
    fn of(entry: &Entry, note: Option<Note>, whom: ForWhom) -> Self {
        let text = |id: &dyn ToString| id.to_string();
        let note = note.unwrap_or_default();
        Self {
            id: Some(entry.id.to_string()),
            kind: entry.kind,
            amount: entry.amount,
            balance_change: entry.balance_change,
            held_change: entry.held_change,
            balance_after: entry.balance_after,
            held_after: entry.held_after,
            available_after: entry.available_after,
            seq: entry.seq,
            reference: Some(entry.reference.clone()).filter(|reference| !reference.is_empty()),
            description: note.description,
            metadata: note.metadata,
            reason: note.reason,
            slices: entry.slices.iter().map(SliceView::of).collect(),
            parent: entry.parent.as_ref().map(|id| text(id)),
            counterpart: entry.counterpart.as_ref().map(|number| number.as_str().to_owned()),
            expires_at: entry.expires_at.map(rfc3339),
            account_number: entry.account_number.as_str().to_owned(),
            app_id: entry.app_id.as_ref().map(|id| text(id)),
            connection_id: entry.connection_id.as_ref().map(|id| text(id)),
            actor: AuthorView::of(&entry.actor, whom),
            created_at: rfc3339(entry.created_at),
        }
    }
}

/// A line of the ledger with what was written about it, for the person themself.
pub fn whole(entry: &Entry, key: Option<&DataKey>) -> Result<Value, Fault> {
    let shown = EntryView::of(entry, entry.read_note(key), ForWhom::Maker);
    serde_json::to_value(shown).map_err(|_| Fault::internal("a line of the ledger is no JSON"))
}

impl AuthorView {
    fn of(actor: &Actor, whom: ForWhom) -> Self {
        let named = actor.kind != ActorKind::Operator || whom == ForWhom::Admin;
        Self { kind: actor.kind, id: Some(actor.id.clone()).filter(|_| named) }
    }
}

impl SliceView {
    fn of(slice: &Slice) -> Self {
        Self {
            lot: Some(slice.lot.to_string()),
            amount: slice.amount,
            category: slice.category,
            expires_at: slice.expires_at.map(rfc3339),
        }
    }
}

impl Looker {
    /// An app sees what is its own as a whole, and of the rest what it is allowed: what is other apps'
    /// only where the person shows it, what is no app's always.
    pub fn item(&self, entry: &Entry, note: Option<Note>) -> Option<ItemView> {
        let whole = |whom| Some(ItemView::Own(Box::new(EntryView::of(entry, note, whom))));
        match self {
            Self::Admin { .. } => whole(ForWhom::Admin),
            Self::App { id, .. } if entry.app_id.as_ref() == Some(id) => whole(ForWhom::Maker),
            Self::App { .. } if self.sees(entry) => Some(ItemView::Others(OthersEntryView {
                kind: entry.kind,
                amount: entry.amount,
                balance_change: entry.balance_change,
                created_at: rfc3339(entry.created_at),
            })),
            Self::App { .. } => None,
        }
    }

    pub fn sees(&self, entry: &Entry) -> bool {
        self.sees_of(entry.app_id.as_ref())
    }

    pub fn sees_of(&self, app: Option<&AppId>) -> bool {
        match self {
            Self::Admin { .. } | Self::App { sees_others: true, .. } => true,
            Self::App { id, .. } => app.is_none_or(|app| app == id),
        }
    }
}

impl HoldView {
    pub fn of(hold: &Hold) -> Self {
        Self {
            id: Some(hold.id.to_string()),
            amount: hold.amount,
            status: OPEN.to_owned(),
            expires_at: rfc3339(hold.expires_at),
        }
    }
}
