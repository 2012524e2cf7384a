//! What is stored of a wallet in the user record: `modules.wallet`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kernel::ids::{AccountNumber, AppId, ConnectionId, LedgerId, LotId, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, Record};
use crate::users::{User, UserStatus};

/// Live lots of one wallet, open holds, and slices that all holds pin together.
pub const LOTS_MAX: usize = 256;
pub const HOLDS_MAX: usize = 512;
pub const SLICES_MAX: usize = 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wallet {
    pub enabled: bool,
    /// The sum of its entries, and of what remains of its lots.
    pub balance: i64,
    pub currency: String,
    pub last_updated: Timestamp,
    /// What the open holds pin.
    #[serde(default)]
    pub held: i64,
    /// The number of its newest entry.
    #[serde(default)]
    pub seq: i64,
    /// In the order in which they came.
    #[serde(default)]
    pub lots: Vec<Lot>,
    #[serde(default)]
    pub holds: Vec<Hold>,
    #[serde(default)]
    pub frozen: bool,
    /// Why, in an admin's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_reason: Option<String>,
    /// When the next lot or hold ends by time: what the expiry worker looks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// Credits that arrived together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    pub id: LotId,
    /// As it arrived, or was last joined.
    pub amount: i64,
    /// What is neither spent nor expired; some of it may be pinned by holds.
    pub remaining: i64,
    pub category: Category,
    /// Lower is spent earlier.
    pub priority: i64,
    pub effective_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The entry that brought it.
    pub source: LedgerId,
    /// Whose operation that was, where it was an app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
}

/// What decides when credits are spent and when they end. Credits that are moved keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nature {
    pub category: Category,
    pub priority: i64,
    pub effective_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// A part of a lot that was moved, with what it was, so that it can be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    pub lot: LotId,
    pub amount: i64,
    pub category: Category,
    pub priority: i64,
    pub effective_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    Paid,
    Promo,
    Plan,
    Referral,
    Adjustment,
}

impl Category {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Promo => "promo",
            Self::Plan => "plan",
            Self::Referral => "referral",
            Self::Adjustment => "adjustment",
        }
    }
}

/// Credits that are set aside: nobody spends them but who holds them, even when their lot expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// That of the entry that placed it.
    pub id: LedgerId,
    pub amount: i64,
    pub slices: Vec<Pinned>,
    pub app_id: AppId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<ConnectionId>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    pub lot: LotId,
    pub amount: i64,
}

impl Lot {
    pub fn nature(&self) -> Nature {
        let Self { category, priority, effective_at, expires_at, .. } = *self;
        Nature { category, priority, effective_at, expires_at }
    }
}

impl Slice {
    pub fn of(lot: LotId, amount: i64, nature: Nature) -> Self {
        let Nature { category, priority, effective_at, expires_at } = nature;
        Self { lot, amount, category, priority, effective_at, expires_at }
    }

    pub fn nature(&self) -> Nature {
        let Self { category, priority, effective_at, expires_at, .. } = *self;
        Nature { category, priority, effective_at, expires_at }
    }
}

impl Nature {
    pub fn is_effective(&self, at: Timestamp) -> bool {
        self.effective_at <= at
    }

    pub fn has_expired(&self, at: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= at)
    }

    /// Whether credits of the two are spent under the same conditions from `at` on.
    pub fn is_alike(&self, other: &Self, at: Timestamp) -> bool {
        let lasting = |nature: &Self| (nature.category, nature.priority, nature.expires_at);
        let begins = self.effective_at == other.effective_at
            || (self.is_effective(at) && other.is_effective(at));
        lasting(self) == lasting(other) && begins
    }
}

/// The part of a user record that the wallet works with. Written through the same kind as the whole
/// record: what is not here stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    #[serde(rename = "_id")]
    pub id: UserId,
    pub status: UserStatus,
    pub account_number: AccountNumber,
    pub modules: Held,
    #[serde(default, skip_serializing)]
    pub revision: i64,
    #[serde(skip_serializing)]
    pub revised_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub wallet: Wallet,
}

impl Record for Holder {
    const KIND: &'static Kind = User::KIND;

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Holder {
    pub fn by_id(id: UserId) -> Key<Self> {
        Key::id(id.0)
    }

    pub fn wallet(&self) -> &Wallet {
        &self.modules.wallet
    }

    /// The same person with this wallet.
    pub fn with(&self, wallet: Wallet) -> Self {
        Self { modules: Held { wallet }, ..self.clone() }
    }

    /// The moment at which a decision about this wallet is made: never before the last one, so that
    /// nobody whose clock is slow takes for alive what somebody else has seen ending.
    pub fn moment(&self, now: Timestamp) -> Timestamp {
        self.revised_at.max(now)
    }
}
