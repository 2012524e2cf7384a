//! A wallet for the examples: what is done to it is said in one line.

use super::world::{at, empty};
use crate::kernel::chance::{Chance, Series};
use crate::kernel::credits::Credits;
use crate::kernel::ids::{AppId, LedgerId, LotId, Name};
use crate::kernel::time::Timestamp;
use crate::modules::wallet::model::{
    Direction, Expired, Line, LineKind, Operation, Original, Outcome, Refusal, Resolver,
    adjustment, expire, operate,
};
use crate::modules::wallet::record::{Category, Nature, Slice, Wallet};

pub struct Trial {
    pub wallet: Wallet,
    pub now_ms: i64,
    chance: Chance,
}

/// Effective always, for ever, of the usual priority, and not paid for.
pub const PLAIN: Nature =
    Nature { category: Category::Promo, priority: 100, effective_at: at(0), expires_at: None };

pub fn until(end_ms: i64) -> Nature {
    Nature { expires_at: Some(at(end_ms)), ..PLAIN }
}

pub fn credits(amount: i64) -> Credits {
    Credits::new(amount).expect("an amount")
}

pub fn shop() -> AppId {
    Name::parse("shop").expect("a name")
}

/// Lots and amounts, in the order in which they were moved.
pub fn moved(line: &Line) -> Vec<(LotId, i64)> {
    line.slices.iter().map(|slice| (slice.lot, slice.amount)).collect()
}

pub fn kinds(lines: &[Line]) -> Vec<LineKind> {
    lines.iter().map(|line| line.kind).collect()
}

impl Trial {
    pub fn new() -> Self {
        Self { wallet: empty(), now_ms: 1_000, chance: Chance::from_seed(1) }
    }

    pub fn at(&mut self, millis: i64) -> &mut Self {
        self.now_ms = millis;
        self
    }

    pub fn tries(&self, operation: &Operation) -> Result<Outcome, Refusal> {
        let now = at(self.now_ms);
        operate(&self.wallet, now, operation, &Series::new(&self.chance, now))
    }

    /// All lines that come of it.
    pub fn does(&mut self, operation: &Operation) -> Outcome {
        let outcome = self.tries(operation).expect("is done");
        self.wallet = outcome.wallet.clone();
        outcome
    }

    pub fn refuses(&self, operation: &Operation) -> Refusal {
        self.tries(operation).expect_err("is refused")
    }

    pub fn credit(&mut self, amount: i64, nature: Nature) -> LotId {
        self.does(&credit(amount, nature)).main().slices[0].lot
    }

    pub fn debit(&mut self, amount: i64) -> Line {
        self.does(&debit(amount)).main().clone()
    }

    pub fn hold(&mut self, amount: i64, until_ms: i64) -> LedgerId {
        LedgerId(self.does(&hold(amount, until_ms)).main().id)
    }

    pub fn refund(&mut self, original: &Original, amount: Option<i64>, expired: Expired) -> Line {
        self.does(&refund(original, amount, expired)).main().clone()
    }

    /// What the worker books.
    pub fn expire(&mut self) -> Vec<Line> {
        let now = at(self.now_ms);
        let (wallet, lines) = expire(&self.wallet, now, &Series::new(&self.chance, now));
        self.wallet = wallet;
        lines
    }

    /// An entry to be refunded that was booked now.
    pub fn original(&self, line: &Line) -> Original {
        let spent_at = line.held_since.unwrap_or(at(self.now_ms));
        Original { slices: line.slices.clone(), refunded: 0, spent_at }
    }

    pub fn remaining(&self) -> Vec<(LotId, i64)> {
        self.wallet.lots.iter().map(|lot| (lot.id, lot.remaining)).collect()
    }

    pub fn ends(&self) -> Vec<Option<i64>> {
        let lots = self.wallet.lots.iter();
        lots.map(|lot| lot.expires_at.map(Timestamp::timestamp_millis)).collect()
    }
}

pub fn credit(amount: i64, nature: Nature) -> Operation {
    Operation::Credit { amount: credits(amount), nature }
}

pub fn debit(amount: i64) -> Operation {
    Operation::Debit { amount: credits(amount) }
}

pub fn send(amount: i64) -> Operation {
    Operation::Send { amount: credits(amount) }
}

pub fn receive(slices: Vec<Slice>) -> Operation {
    Operation::Receive { slices }
}

pub fn hold(amount: i64, until_ms: i64) -> Operation {
    let (expires_at, app_id) = (at(until_ms), shop());
    Operation::Hold { amount: credits(amount), expires_at, app_id, connection_id: None }
}

pub fn capture(hold: LedgerId, amount: Option<i64>) -> Operation {
    Operation::Capture { hold, amount: amount.map(credits), by: Resolver::App(shop()) }
}

pub fn release(hold: LedgerId, by: Resolver) -> Operation {
    Operation::Release { hold, by }
}

pub fn refund(original: &Original, amount: Option<i64>, expired: Expired) -> Operation {
    Operation::Refund { original: original.clone(), amount: amount.map(credits), expired }
}

pub fn adjust(amount: i64, direction: Direction) -> Operation {
    Operation::Adjust { amount: credits(amount), direction, nature: adjustment(at(0)) }
}
