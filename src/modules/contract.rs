//! What modules offer each other. A module never knows another: it is handed one of these by `app`.

use crate::audit::warrant::Warrant;
use crate::kernel::chance::Series;
use crate::kernel::credits::Credits;
use crate::kernel::fault::Code;
use crate::kernel::ids::{AppId, LedgerId, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Hints, Query, Stop, Work};

/// The only way in which a module moves a person's credits: inside its own unit, so that what it
/// writes and what the credits do are one. Implemented by the wallet; a trait because its users must
/// not know the wallet, not because there is another one.
pub trait Purse: Send + Sync {
    /// What a unit that moves this person's credits is going to change.
    fn hints(&self, user: UserId) -> Hints;

    /// What such a unit creates besides, where it is known what it takes.
    fn takes(&self, module: &str, taken: &[String]) -> Hints;

    /// Takes credits. A refusal ([`Code::InsufficientCredits`]) says how many are missing.
    fn take(&self, work: &mut Work, user: UserId, bill: &Bill) -> Result<Receipt, Stop>;

    /// Gives credits.
    fn give(&self, work: &mut Work, user: UserId, bill: &Bill, gift: Gift)
    -> Result<Receipt, Stop>;

    /// Puts back what `take` has taken, to the same lots; all refunds of an entry never exceed it.
    fn put_back(&self, work: &mut Work, entry: LedgerId, bill: &Bill) -> Result<Receipt, Stop>;

    /// Where it is written that a person has spent credits from a moment on, at all or on a module: lines
    /// that never change, so what is found outside of a unit is true in it.
    fn spent(&self, user: UserId, since: Timestamp, on: Option<&str>) -> Query;

    /// What could be spent now.
    fn available(&self, work: &mut Work, user: UserId) -> Result<i64, Stop>;
}

/// As `app` hands it to the modules.
pub type PurseRef = &'static dyn Purse;

/// One movement, as the module that causes it names it.
#[derive(Clone)]
pub struct Bill {
    pub warrant: Warrant,
    pub amount: Credits,
    /// The module that moves credits, whoever makes it do so: a reference is used once by it.
    pub module: &'static str,
    /// The app that sells what credits are moved for, where one does.
    pub app: Option<AppId>,
    /// As in `sub:<id>:<period>`.
    pub reference: String,
    pub description: Option<String>,
    /// Made before the unit, one for each movement.
    pub ids: Series,
}

/// What credits that are given are like.
#[derive(Debug, Clone, Copy)]
pub struct Gift {
    pub category: GiftCategory,
    pub effective_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiftCategory {
    Plan,
    Referral,
}

/// What was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub entry: LedgerId,
    pub amount: i64,
    pub balance_after: i64,
}

/// The refusal that a module waits for credits with.
pub const SHORT: Code = Code::InsufficientCredits;
