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
#[cfg(test)]
mod tests;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::record::{
    Category, HOLDS_MAX, Hold, LOTS_MAX, Lot, Nature, Pinned, SLICES_MAX, Slice, Wallet,
};
use crate::kernel::chance::Series;
use crate::kernel::credits::{CREDITS_MAX, Credits};
use crate::kernel::ids::{AppId, ConnectionId, LedgerId, LotId};
use crate::kernel::time::Timestamp;

pub use burn::order;
pub use refund::{Expired, Original};

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

/// A wallet while lines are written about it.
struct Book {
    wallet: Wallet,
    at: Timestamp,
    ids: Series,
    lines: Vec<Line>,
}

/// What a line says besides the balances.
#[derive(Default)]
struct Entry {
    amount: i64,
    balance_change: i64,
    held_change: i64,
    slices: Vec<Slice>,
    hold: Option<LedgerId>,
    held_since: Option<Timestamp>,
    by_time: bool,
}

impl Book {
    fn open(wallet: &Wallet, at: Timestamp, ids: &Series) -> Self {
        Self { wallet: wallet.clone(), at, ids: ids.clone(), lines: Vec::new() }
    }

    /// The wallet as it stands, unchanged where there are no lines.
    fn close(mut self) -> (Wallet, Vec<Line>) {
        if !self.lines.is_empty() {
            self.wallet.last_updated = self.at;
            self.wallet.due_at = settle::due_at(&self.wallet);
        }
        (self.wallet, self.lines)
    }

    fn perform(&mut self, operation: &Operation) -> Result<(), Refusal> {
        match operation {
            Operation::Credit { amount, nature } => {
                self.credit(LineKind::Credit, amount.get(), *nature)
            }
            Operation::Debit { amount } => self.debit(LineKind::Debit, amount.get()),
            Operation::Send { amount } => self.debit(LineKind::TransferOut, amount.get()),
            Operation::Receive { slices } => self.receive(slices),
            Operation::Hold { amount, expires_at, app_id, connection_id } => {
                self.hold(amount.get(), *expires_at, app_id, *connection_id)
            }
            Operation::Capture { hold, amount, .. } => {
                self.capture(*hold, amount.map(Credits::get))
            }
            Operation::Release { hold, .. } => {
                self.release(*hold, false);
                Ok(())
            }
            Operation::Refund { original, amount, expired } => {
                self.refund(original, amount.map(Credits::get), *expired)
            }
            Operation::Adjust { amount, direction: Direction::Credit, nature } => {
                self.credit(LineKind::Adjust, amount.get(), *nature)
            }
            Operation::Adjust { amount, direction: Direction::Debit, .. } => {
                self.debit(LineKind::Adjust, amount.get())
            }
        }
    }

    fn credit(&mut self, kind: LineKind, amount: i64, nature: Nature) -> Result<(), Refusal> {
        let id = self.ids.next_id();
        let lot = self.bring(LotId(id), LedgerId(id), amount, nature)?;
        let slices = vec![Slice::of(lot, amount, nature)];
        self.write(id, kind, Entry { amount, balance_change: amount, slices, ..Entry::default() });
        Ok(())
    }

    fn debit(&mut self, kind: LineKind, amount: i64) -> Result<(), Refusal> {
        let slices = burn::choose(&self.wallet, self.at, amount)?;
        self.take(&slices);
        let id = self.ids.next_id();
        self.write(id, kind, Entry { amount, balance_change: -amount, slices, ..Entry::default() });
        Ok(())
    }

    /// Credits that are sent stay what they are; alike ones arrive together.
    fn receive(&mut self, sent: &[Slice]) -> Result<(), Refusal> {
        let id = self.ids.next_id();
        let mut parts: Vec<(Nature, i64)> = Vec::new();
        for slice in sent {
            match parts.iter_mut().find(|(nature, _)| nature.is_alike(&slice.nature(), self.at)) {
                Some((_, amount)) => *amount += slice.amount,
                None => parts.push((slice.nature(), slice.amount)),
            }
        }
        let mut slices = Vec::with_capacity(parts.len());
        for (nature, amount) in parts {
            let lot = LotId(self.ids.next_id());
            let lot = self.bring(lot, LedgerId(id), amount, nature)?;
            slices.push(Slice::of(lot, amount, nature));
        }
        let amount = slices.iter().map(|slice| slice.amount).sum();
        let entry = Entry { amount, balance_change: amount, slices, ..Entry::default() };
        self.write(id, LineKind::TransferIn, entry);
        Ok(())
    }

    fn hold(
        &mut self,
        amount: i64,
        expires_at: Timestamp,
        app_id: &AppId,
        connection_id: Option<ConnectionId>,
    ) -> Result<(), Refusal> {
        let slices = burn::choose(&self.wallet, self.at, amount)?;
        let pinned: usize = self.wallet.holds.iter().map(|hold| hold.slices.len()).sum();
        if self.wallet.holds.len() >= HOLDS_MAX || pinned + slices.len() > SLICES_MAX {
            return Err(Refusal::Full);
        }
        let id = self.ids.next_id();
        self.wallet.holds.push(Hold {
            id: LedgerId(id),
            amount,
            slices: slices.iter().map(|s| Pinned { lot: s.lot, amount: s.amount }).collect(),
            app_id: app_id.clone(),
            connection_id,
            created_at: self.at,
            expires_at,
        });
        let entry = Entry { amount, held_change: amount, slices, ..Entry::default() };
        self.write(id, LineKind::Hold, entry);
        Ok(())
    }

    /// The hold, if this resolver may end it now.
    fn open_hold(&self, id: LedgerId, by: &Resolver) -> Result<(), Refusal> {
        let theirs = |hold: &&Hold| match by {
            Resolver::App(app) => hold.app_id == *app,
            Resolver::Admin => true,
        };
        let hold = self.wallet.holds.iter().find(|hold| hold.id == id).filter(theirs);
        let hold = hold.ok_or(Refusal::NoSuchHold)?;
        if hold.expires_at <= self.at { Err(Refusal::HoldExpired) } else { Ok(()) }
    }

    fn capture(&mut self, id: LedgerId, amount: Option<i64>) -> Result<(), Refusal> {
        let at = self.wallet.holds.iter().position(|hold| hold.id == id);
        let at = at.ok_or(Refusal::NoSuchHold)?;
        let held = self.wallet.holds[at].amount;
        let amount = amount.unwrap_or(held);
        if amount > held {
            return Err(Refusal::ExceedsHold { held });
        }
        let hold = self.wallet.holds.remove(at);
        let slices = burn::first_of(&self.wallet, &hold.slices, amount);
        self.take(&slices);
        let line = self.ids.next_id();
        let entry = Entry {
            amount,
            balance_change: -amount,
            held_change: -held,
            slices,
            hold: Some(id),
            held_since: Some(hold.created_at),
            by_time: false,
        };
        self.write(line, LineKind::Capture, entry);
        Ok(())
    }

    fn release(&mut self, id: LedgerId, by_time: bool) {
        let Some(at) = self.wallet.holds.iter().position(|hold| hold.id == id) else { return };
        let hold = self.wallet.holds.remove(at);
        let slices = burn::first_of(&self.wallet, &hold.slices, hold.amount);
        let line = self.ids.next_id();
        let entry = Entry {
            amount: hold.amount,
            held_change: -hold.amount,
            slices,
            hold: Some(id),
            by_time,
            ..Entry::default()
        };
        self.write(line, LineKind::Release, entry);
    }

    /// Puts credits in: into their own lot where it still is, into a new one, or, where there is no
    /// room for one, into one that is spent under the same conditions. Says which.
    fn bring(
        &mut self,
        id: LotId,
        source: LedgerId,
        amount: i64,
        nature: Nature,
    ) -> Result<LotId, Refusal> {
        if self.wallet.balance > CREDITS_MAX - amount {
            return Err(Refusal::TooMuch);
        }
        let lots = &mut self.wallet.lots;
        let at = self.at;
        let known = lots.iter().position(|lot| lot.id == id && lot.nature() == nature);
        let full = lots.len() >= LOTS_MAX;
        let alike = || lots.iter().position(|lot| full && lot.nature().is_alike(&nature, at));
        let lot = match known.or_else(alike) {
            Some(known) => {
                let lot = &mut lots[known];
                lot.remaining += amount;
                lot.amount = lot.amount.max(lot.remaining);
                lot.id
            }
            None if full => return Err(Refusal::Full),
            None => {
                let Nature { category, priority, effective_at, expires_at } = nature;
                lots.push(Lot {
                    id,
                    amount,
                    remaining: amount,
                    category,
                    priority,
                    effective_at,
                    expires_at,
                    source,
                });
                id
            }
        };
        self.wallet.balance += amount;
        Ok(lot)
    }

    /// Takes credits out; a lot of which nothing remains goes.
    fn take(&mut self, slices: &[Slice]) {
        for slice in slices {
            if let Some(lot) = self.wallet.lots.iter_mut().find(|lot| lot.id == slice.lot) {
                lot.remaining -= slice.amount;
            }
            self.wallet.balance -= slice.amount;
        }
        self.wallet.lots.retain(|lot| lot.remaining > 0);
    }

    /// Numbers the line. The balance has moved already; what is held moves here.
    fn write(&mut self, id: ObjectId, kind: LineKind, entry: Entry) {
        self.wallet.held += entry.held_change;
        self.wallet.seq += 1;
        let Entry { amount, balance_change, held_change, slices, hold, held_since, by_time } =
            entry;
        self.lines.push(Line {
            id,
            seq: self.wallet.seq,
            kind,
            amount,
            balance_change,
            held_change,
            balance_after: self.wallet.balance,
            held_after: self.wallet.held,
            available_after: burn::available(&self.wallet, self.at),
            slices,
            hold,
            held_since,
            by_time,
        });
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
