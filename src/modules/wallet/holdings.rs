//! A wallet as it stands, as an app sees it: balances, lots, its own open holds.

use serde::Serialize;
use utoipa::ToSchema;

use super::model;
use super::record::{Category, Hold, Lot, Nature, Wallet};
use super::view::{HoldView, Looker};
use crate::kernel::time::{Timestamp, rfc3339};

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
    /// In the order in which they are spent. What other apps brought is put together where the person
    /// does not let their activity be seen.
    #[schema(max_items = 256)]
    lots: Vec<LotView>,
    /// Those that this caller placed and can resolve.
    #[schema(max_items = 512)]
    holds: Vec<HoldView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct LotView {
    /// `null`, as are `amount` and the time since which it is in effect, for what other apps brought.
    #[schema(required = true)]
    id: Option<String>,
    #[schema(required = true, minimum = 1)]
    amount: Option<i64>,
    #[schema(minimum = 1)]
    remaining: i64,
    category: Category,
    #[schema(minimum = 1, maximum = 1000)]
    priority: i64,
    #[schema(required = true)]
    effective_at: Option<String>,
    #[schema(required = true)]
    expires_at: Option<String>,
}

impl WalletView {
    pub fn of(wallet: &Wallet, at: Timestamp, looker: &Looker) -> Self {
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
                lots: lots(wallet, at, looker),
                holds: holds.filter(|hold| looker.sees_hold(hold)).map(HoldView::of).collect(),
            },
        }
    }
}

/// When other apps brought credits, and in what portions, is their activity; what they are is not.
fn lots(wallet: &Wallet, at: Timestamp, looker: &Looker) -> Vec<LotView> {
    let mut lots: Vec<&Lot> = wallet.lots.iter().collect();
    lots.sort_by_key(|lot| (!lot.nature().is_effective(at), model::order(lot)));
    let mut views: Vec<LotView> = Vec::with_capacity(lots.len());
    let mut together: Vec<(Nature, usize)> = Vec::new();
    for lot in lots {
        if looker.sees_of(lot.app_id.as_ref()) {
            views.push(LotView::of(lot));
            continue;
        }
        let alike = together.iter().find(|(nature, _)| nature.is_alike(&lot.nature(), at));
        if let Some((_, known)) = alike {
            views[*known].remaining += lot.remaining;
        } else {
            together.push((lot.nature(), views.len()));
            views.push(LotView::in_short(lot, at));
        }
    }
    views
}

impl LotView {
    fn of(lot: &Lot) -> Self {
        Self {
            id: Some(lot.id.to_string()),
            amount: Some(lot.amount),
            remaining: lot.remaining,
            category: lot.category,
            priority: lot.priority,
            effective_at: Some(rfc3339(lot.effective_at)),
            expires_at: lot.expires_at.map(rfc3339),
        }
    }

    fn in_short(lot: &Lot, at: Timestamp) -> Self {
        let still_to_come = !lot.nature().is_effective(at);
        let whole = Self::of(lot);
        let effective_at = whole.effective_at.filter(|_| still_to_come);
        Self { id: None, amount: None, effective_at, ..whole }
    }
}

impl Looker {
    fn sees_hold(&self, hold: &Hold) -> bool {
        match self {
            Self::Admin { .. } => true,
            Self::App { id, .. } => hold.app_id == *id,
        }
    }
}
