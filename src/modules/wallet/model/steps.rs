//! The steps: each changes the wallet and writes its line.

use bson::oid::ObjectId;

use super::super::record::{
    HOLDS_MAX, Hold, LOTS_MAX, Lot, Nature, Pinned, SLICES_MAX, Slice, Wallet,
};
use super::{Direction, Line, LineKind, Operation, Refusal, Resolver, burn, settle};
use crate::kernel::chance::Series;
use crate::kernel::credits::{CREDITS_MAX, Credits};
use crate::kernel::ids::{AppId, ConnectionId, LedgerId, LotId};
use crate::kernel::time::Timestamp;

/// A wallet while lines are written about it.
pub(super) struct Book {
    pub wallet: Wallet,
    pub at: Timestamp,
    pub ids: Series,
    pub lines: Vec<Line>,
}

/// What a line says besides the balances.
#[derive(Default)]
pub(super) struct Entry {
    pub amount: i64,
    pub balance_change: i64,
    pub held_change: i64,
    pub slices: Vec<Slice>,
    pub hold: Option<LedgerId>,
    pub held_since: Option<Timestamp>,
    pub by_time: bool,
}

impl Book {
    pub fn open(wallet: &Wallet, at: Timestamp, ids: &Series) -> Self {
        Self { wallet: wallet.clone(), at, ids: ids.clone(), lines: Vec::new() }
    }

    /// The wallet as it stands, unchanged where there are no lines.
    pub fn close(mut self) -> (Wallet, Vec<Line>) {
        if !self.lines.is_empty() {
            self.wallet.last_updated = self.at;
            self.wallet.due_at = settle::due_at(&self.wallet);
        }
        (self.wallet, self.lines)
    }

    pub fn perform(&mut self, operation: &Operation) -> Result<(), Refusal> {
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
    pub fn open_hold(&self, id: LedgerId, by: &Resolver) -> Result<(), Refusal> {
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

    pub fn release(&mut self, id: LedgerId, by_time: bool) {
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
    pub fn bring(
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
                    app_id: None,
                });
                id
            }
        };
        self.wallet.balance += amount;
        Ok(lot)
    }

    /// Takes credits out; a lot of which nothing remains goes.
    pub fn take(&mut self, slices: &[Slice]) {
        for slice in slices {
            if let Some(lot) = self.wallet.lots.iter_mut().find(|lot| lot.id == slice.lot) {
                lot.remaining -= slice.amount;
            }
            self.wallet.balance -= slice.amount;
        }
        self.wallet.lots.retain(|lot| lot.remaining > 0);
    }

    /// Numbers the line. The balance has moved already; what is held moves here.
    pub fn write(&mut self, id: ObjectId, kind: LineKind, entry: Entry) {
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
