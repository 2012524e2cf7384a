//! The rules of a wallet, without I/O: what an operation does to it at a moment, or why not.
//!
//! [`operate`] is the only way to change a wallet. It first books what has ended by time (holds that
//! ran out, what is left of expired lots), then does the operation, then books what that has ended;
//! each step is a [`Line`] with its number and the balances after it. So no decision counts what nobody
//! can spend any more, whether or not a worker has come by.
//!
//! Invariants (proptest in `tests`, against an oracle that knows only a list of entries): the balance
//! is the sum of all lines and of what remains of all lots; what is held is the sum of the open holds
//! and never more than the balance; nothing is negative; lines are numbered without gaps.

mod burn;
mod refund;
mod settle;
mod steps;
#[cfg(test)]
mod tests;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::record::{Category, Hold, Nature, Slice, Wallet};
use crate::kernel::chance::Series;
use crate::kernel::credits::Credits;
use crate::kernel::ids::{AppId, ConnectionId, LedgerId};
use crate::kernel::time::Timestamp;

pub use burn::order;
pub use refund::{Expired, Original};
use steps::Book;

/// What can be done to a wallet.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    Credit {
        amount: Credits,
        nature: Nature,
    },
    Debit {
        amount: Credits,
    },
    /// The payer's side of a transfer.
    Send {
        amount: Credits,
    },
    /// The payee's side: what was sent, slice by slice.
    Receive {
        slices: Vec<Slice>,
    },
    Hold {
        amount: Credits,
        expires_at: Timestamp,
        app_id: AppId,
        connection_id: Option<ConnectionId>,
    },
    /// All of it unless an amount is said; the rest is released.
    Capture {
        hold: LedgerId,
        amount: Option<Credits>,
        by: Resolver,
    },
    Release {
        hold: LedgerId,
        by: Resolver,
    },
    Refund {
        original: Original,
        amount: Option<Credits>,
        expired: Expired,
    },
    Adjust {
        amount: Credits,
        direction: Direction,
        nature: Nature,
    },
}

/// Who resolves a hold: the app that placed it, or an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    App(AppId),
    Admin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Credit,
    Debit,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    Credit,
    Debit,
    TransferIn,
    TransferOut,
    Hold,
    Capture,
    Release,
    Refund,
    Adjust,
    Expire,
}

/// One line of the ledger, as far as the rules know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub id: ObjectId,
    pub seq: i64,
    pub kind: LineKind,
    pub amount: i64,
    pub balance_change: i64,
    pub held_change: i64,
    pub balance_after: i64,
    pub held_after: i64,
    pub available_after: i64,
    pub slices: Vec<Slice>,
    /// The hold that a capture or a release ends.
    pub hold: Option<LedgerId>,
    /// When what was captured had been set aside.
    pub held_since: Option<Timestamp>,
    /// Booked because its time had come, not because somebody asked.
    pub by_time: bool,
}

/// Why an operation is not done. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Disabled,
    Frozen,
    Insufficient {
        short_by: i64,
    },
    /// The balance would grow beyond what JSON's readers can hold.
    TooMuch,
    Full,
    NoSuchHold,
    HoldExpired,
    ExceedsHold {
        held: i64,
    },
    ExceedsRefundable {
        left: i64,
    },
}

/// What an operation has come to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub wallet: Wallet,
    pub lines: Vec<Line>,
    /// Which of the lines is the operation itself.
    main: usize,
}

impl Outcome {
    pub fn main(&self) -> &Line {
        &self.lines[self.main]
    }
}

/// Does `operation` to the wallet at the moment `at`. `ids` are for its lines and lots.
pub fn operate(
    wallet: &Wallet,
    at: Timestamp,
    operation: &Operation,
    ids: &Series,
) -> Result<Outcome, Refusal> {
    operation.is_taken_by(wallet)?;
    let mut book = Book::open(wallet, at, ids);
    if let Operation::Capture { hold, by, .. } | Operation::Release { hold, by } = operation {
        book.open_hold(*hold, by)?;
    }
    book.settle();
    let main = book.lines.len();
    book.perform(operation)?;
    book.settle();
    let (wallet, lines) = book.close();
    Ok(Outcome { wallet, lines, main })
}

/// Books only what has ended by time; no lines where nothing has.
pub fn expire(wallet: &Wallet, at: Timestamp, ids: &Series) -> (Wallet, Vec<Line>) {
    let mut book = Book::open(wallet, at, ids);
    book.settle();
    book.close()
}

/// What could be spent at this moment: exactly what [`operate`] would let go.
pub fn available(wallet: &Wallet, at: Timestamp) -> i64 {
    burn::available_when_settled(wallet, at)
}

/// What is held at this moment.
pub fn held(wallet: &Wallet, at: Timestamp) -> i64 {
    open_holds(wallet, at).map(|hold| hold.amount).sum()
}

/// A hold counts until its time is over, booked or not.
fn open_holds(wallet: &Wallet, at: Timestamp) -> impl Iterator<Item = &Hold> {
    wallet.holds.iter().filter(move |hold| hold.expires_at > at)
}

impl Operation {
    /// That of its own line.
    pub fn kind(&self) -> LineKind {
        match self {
            Self::Credit { .. } => LineKind::Credit,
            Self::Debit { .. } => LineKind::Debit,
            Self::Send { .. } => LineKind::TransferOut,
            Self::Receive { .. } => LineKind::TransferIn,
            Self::Hold { .. } => LineKind::Hold,
            Self::Capture { .. } => LineKind::Capture,
            Self::Release { .. } => LineKind::Release,
            Self::Refund { .. } => LineKind::Refund,
            Self::Adjust { .. } => LineKind::Adjust,
        }
    }

    /// A frozen wallet takes credits, and what admins adjust, and refuses the rest.
    fn is_taken_by(&self, wallet: &Wallet) -> Result<(), Refusal> {
        let gives = match self {
            Self::Credit { .. }
            | Self::Receive { .. }
            | Self::Refund { .. }
            | Self::Adjust { .. } => false,
            Self::Debit { .. }
            | Self::Send { .. }
            | Self::Hold { .. }
            | Self::Capture { .. }
            | Self::Release { .. } => true,
        };
        match wallet {
            Wallet { enabled: false, .. } => Err(Refusal::Disabled),
            Wallet { frozen: true, .. } if gives => Err(Refusal::Frozen),
            _ => Ok(()),
        }
    }
}

impl LineKind {
    pub const ALL: [Self; 10] = [
        Self::Credit,
        Self::Debit,
        Self::TransferIn,
        Self::TransferOut,
        Self::Hold,
        Self::Capture,
        Self::Release,
        Self::Refund,
        Self::Adjust,
        Self::Expire,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
            Self::TransferIn => "transfer_in",
            Self::TransferOut => "transfer_out",
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Refund => "refund",
            Self::Adjust => "adjust",
            Self::Expire => "expire",
        }
    }
}

/// The nature of an admin's correction: spent like everything else that was not paid for.
pub fn adjustment(at: Timestamp) -> Nature {
    Nature {
        category: Category::Adjustment,
        priority: PRIORITY,
        effective_at: at,
        expires_at: None,
    }
}

/// Unless said otherwise.
pub const PRIORITY: i64 = 100;
