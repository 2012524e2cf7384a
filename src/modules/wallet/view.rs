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
use super::record::{Category, Hold, Lot, Slice, Wallet};
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
    #[schema(pattern = "^[0-9a-f]{24}$", example = "65f1a2b3c4d5e6f7a8b9c0d1")]
    lot: String,
    #[schema(minimum = 1)]
    pub amount: i64,
    category: Category,
    #[schema(required = true)]
    expires_at: Option<String>,
}

/// A wallet as an app sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeWalletView)] // the user record has a WalletView
pub struct WalletView {
    wallet: WholeView,
}

#[derive(Debug, Serialize, ToSchema)]
struct WholeView {
    enabled: bool,
    /// Whole credits: the sum of all entries.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    balance: i64,
    #[schema(minimum = 0)]
    held: i64,
    /// What can be spent now: neither held, nor expired, nor still to come into effect.
    #[schema(minimum = 0)]
    available: i64,
    #[schema(example = "credits")]
    currency: String,
    #[schema(minimum = 0)]
    seq: i64,
    /// A frozen wallet takes credits and refuses the rest.
    frozen: bool,
    last_updated: String,
    /// In the order in which they are spent.
    #[schema(max_items = 256)]
    lots: Vec<LotView>,
    /// Those that this caller placed and can resolve.
    #[schema(max_items = 512)]
    holds: Vec<HoldView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct LotView {
    id: String,
    #[schema(minimum = 1)]
    pub amount: i64,
    #[schema(minimum = 1)]
    remaining: i64,
    category: Category,
    #[schema(minimum = 1, maximum = 1000)]
    priority: i64,
    effective_at: String,
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
            lot: slice.lot.to_string(),
            amount: slice.amount,
            category: slice.category,
            expires_at: slice.expires_at.map(rfc3339),
        }
    }
}

impl Looker {
    /// An app sees what it has booked itself as a whole, and of the rest what it is allowed: what
    /// other apps did only where the person shows it, what time and admins did always.
    pub fn item(&self, entry: &Entry, note: Option<Note>) -> Option<ItemView> {
        match self {
            Self::Admin { .. } => {
                Some(ItemView::Own(Box::new(EntryView::of(entry, note, ForWhom::Admin))))
            }
            Self::App { id, .. } if entry.app_id.as_ref() == Some(id) => {
                Some(ItemView::Own(Box::new(EntryView::of(entry, note, ForWhom::Maker))))
            }
            Self::App { sees_others, .. } if *sees_others || entry.app_id.is_none() => {
                Some(ItemView::Others(OthersEntryView {
                    kind: entry.kind,
                    amount: entry.amount,
                    balance_change: entry.balance_change,
                    created_at: rfc3339(entry.created_at),
                }))
            }
            Self::App { .. } => None,
        }
    }

    fn sees_hold(&self, hold: &Hold) -> bool {
        match self {
            Self::Admin { .. } => true,
            Self::App { id, .. } => hold.app_id == *id,
        }
    }
}

impl WalletView {
    pub fn of(wallet: &Wallet, at: Timestamp, looker: &Looker) -> Self {
        let mut lots: Vec<&Lot> = wallet.lots.iter().collect();
        lots.sort_by_key(|lot| (!lot.nature().is_effective(at), model::order(lot)));
        let holds = wallet.holds.iter().filter(|hold| hold.expires_at > at);
        Self {
            wallet: WholeView {
                enabled: wallet.enabled,
                balance: wallet.balance,
                held: model::held(wallet, at),
                available: model::available(wallet, at),
                currency: wallet.currency.clone(),
                seq: wallet.seq,
                frozen: wallet.frozen,
                last_updated: rfc3339(wallet.last_updated),
                lots: lots.into_iter().map(LotView::of).collect(),
                holds: holds.filter(|hold| looker.sees_hold(hold)).map(HoldView::of).collect(),
            },
        }
    }
}

impl LotView {
    fn of(lot: &Lot) -> Self {
        Self {
            id: lot.id.to_string(),
            amount: lot.amount,
            remaining: lot.remaining,
            category: lot.category,
            priority: lot.priority,
            effective_at: rfc3339(lot.effective_at),
            expires_at: lot.expires_at.map(rfc3339),
        }
    }
}

impl HoldView {
    fn of(hold: &Hold) -> Self {
        Self {
            id: Some(hold.id.to_string()),
            amount: hold.amount,
            status: OPEN.to_owned(),
            expires_at: rfc3339(hold.expires_at),
        }
    }
}
