//! What is done in a scenario: operations that are chosen from a number, small enough to collide.

use super::oracle::{self, Act};
use super::world::{WALLETS, World, at};
use crate::kernel::credits::CREDITS_MAX;
use crate::kernel::ids::{AppId, Name};
use crate::kernel::time::Timestamp;
use crate::modules::wallet::model::{Expired, LineKind, Refusal};
use crate::modules::wallet::record::{Category, Nature};

/// From what is chosen; what stands twice is chosen twice as often.
#[derive(Debug)]
pub struct Scenario {
    /// How far the clock goes between two requests. Back: another node's.
    pub clock_ms: &'static [i64],
    pub amounts: &'static [i64],
    /// When credits end, counted from the request.
    pub ends_ms: &'static [Option<i64>],
    pub holds_ms: &'static [i64],
    pub wallets: &'static [usize],
    /// How the first wallet is when it begins.
    pub start: Start,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    Empty,
    Full,
}

const EVERY_WALLET: &[usize] = &[0, 1, 2];
const SMALL: &[i64] = &[1, 1, 2, 3, 4, 5, 7, 10];
const SOON_MS: &[Option<i64>] =
    &[None, None, Some(1), Some(2), Some(3), Some(4), Some(6), Some(9), Some(15), Some(0)];

/// Everything ends while something else begins.
pub const INSTANTS: Scenario = Scenario {
    clock_ms: &[0, 0, 0, 0, 1, 1, 2],
    amounts: SMALL,
    ends_ms: SOON_MS,
    holds_ms: &[1, 3, 8, 13, 21, 40],
    wallets: EVERY_WALLET,
    start: Start::Empty,
};

/// Requests come from nodes whose clocks disagree.
pub const CLOCKS: Scenario = Scenario { clock_ms: &[-4, -2, -1, 0, 0, 0, 1, 1, 2, 5], ..INSTANTS };

/// Wallets live long, and now and then nobody comes by for a long time.
pub const AGES: Scenario = Scenario {
    clock_ms: &[0, 0, 0, 1, 0, 25],
    amounts: &[1, 2, 3, 5, 8, 13, 21, 34],
    ends_ms: &[None, Some(4), Some(20), Some(30), Some(60)],
    holds_ms: &[2, 24, 26, 60, 90],
    ..INSTANTS
};

/// Balances that are as large as they can be.
pub const RICHES: Scenario = Scenario {
    amounts: &[1, 2, 7, CREDITS_MAX / 2, CREDITS_MAX - 7, CREDITS_MAX - 1, CREDITS_MAX],
    ..INSTANTS
};

/// A wallet that is as full as it can be.
pub const CROWDS: Scenario = Scenario {
    clock_ms: &[0, 0, 0, 0, 0, 1],
    amounts: &[1, 1, 1, 2, 3],
    ends_ms: &[None, None, None, Some(4), Some(12), Some(40)],
    wallets: &[0, 0, 0, 0, 1, 2],
    start: Start::Full,
    ..INSTANTS
};

/// A number from which choices are taken one after the other; all the same once it is used up.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        let rolled = self.0 % sides;
        self.0 /= sides;
        rolled
    }

    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("small");
        usize::try_from(self.roll(bound)).expect("small")
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

const CATEGORIES: &[Category] =
    &[Category::Paid, Category::Promo, Category::Plan, Category::Referral, Category::Adjustment];

fn app(dice: &mut Dice) -> AppId {
    Name::parse(dice.one_of(&["shop", "shop", "shop", "games"])).expect("a name")
}

impl<'a> World<'a> {
    pub fn begin(scenario: &'a Scenario, seed: u64) -> Self {
        let mut world = Self::new(scenario, seed);
        if scenario.start == Start::Full {
            world.fill(seed);
        }
        world
    }

    /// A wallet as full as it can be: most lots have an end that no other has, and of the others there
    /// are some of each kind; the first is so large that it serves all holds.
    fn fill(&mut self, number: u64) {
        let mut dice = Dice(number);
        let lots = 255 + dice.below(2);
        let holds = dice.one_of(&[0, 120, 511]);
        for lot in 0..lots {
            let end = self.in_ms(10 + 4 * i64::try_from(lot).expect("small"));
            let nature = Nature {
                category: CATEGORIES[lot % CATEGORIES.len()],
                priority: 100,
                effective_at: self.in_ms(0),
                expires_at: Some(end).filter(|_| lot % 8 > 0),
            };
            let amount = if lot == 0 { 520 } else { dice.one_of(&[3, 8]) };
            self.both(0, usize::MAX, &Act::Credit { amount, nature }, &[]).expect("room");
        }
        for hold in 0..holds {
            let (until, app) = (self.in_ms(20 + hold % 90), app(&mut dice));
            self.both(0, usize::MAX, &Act::Hold { amount: 1, until, app }, &[]).expect("room");
        }
    }

    pub fn perform(&mut self, key: usize, dice: &mut Dice) -> Result<(usize, usize), Refusal> {
        let who = dice.one_of(self.scenario.wallets);
        if self.now_ms < self.sides[who].holder.revised_at.timestamp_millis() {
            self.saw("a slow clock");
        }
        self.visit(who, key, dice);
        let act = match dice.roll(22) {
            0..7 => {
                let (amount, nature) = (self.amount(dice), self.nature(dice));
                Act::Credit { amount, nature }
            }
            7..9 => Act::Debit { amount: self.amount(dice) },
            9 | 10 => return self.transfer(who, key, dice),
            11..14 => self.set_aside(dice),
            14..17 => self.resolve(who, dice),
            17..20 => self.refund(who, dice),
            20 => Act::AdjustUp { amount: self.amount(dice), nature: self.correction() },
            _ => Act::AdjustDown { amount: self.amount(dice) },
        };
        let answer = self.both(who, key, &act, &[]);
        self.look_at(&act, &answer);
        answer
    }

    /// What comes before: an admin, or the worker.
    fn visit(&mut self, who: usize, key: usize, dice: &mut Dice) {
        let oracle = &self.sides[who].oracle;
        let (frozen, enabled) = (oracle.frozen, oracle.enabled);
        match dice.roll(60) {
            0 => self.put(who, true, enabled),
            1 => self.put(who, frozen, false),
            2..20 if frozen || !enabled => self.put(who, false, true),
            20..25 if self.expire(who, key) > 0 => self.saw("the worker"),
            _ => {}
        }
    }

    fn in_ms(&self, millis: i64) -> Timestamp {
        at(self.now_ms + millis)
    }

    fn amount(&self, dice: &mut Dice) -> i64 {
        dice.one_of(self.scenario.amounts)
    }

    fn nature(&self, dice: &mut Dice) -> Nature {
        Nature {
            category: dice.one_of(CATEGORIES),
            priority: dice.one_of(&[100, 100, 1]),
            effective_at: self.in_ms(dice.one_of(&[0, 0, 0, 0, 1, 3])),
            expires_at: dice.one_of(self.scenario.ends_ms).map(|millis| self.in_ms(millis)),
        }
    }

    fn correction(&self) -> Nature {
        let category = Category::Adjustment;
        Nature { category, priority: 100, effective_at: self.in_ms(0), expires_at: None }
    }

    fn set_aside(&self, dice: &mut Dice) -> Act {
        let (amount, app) = (self.amount(dice), app(dice));
        Act::Hold { amount, app, until: self.in_ms(dice.one_of(self.scenario.holds_ms)) }
    }

    /// Mostly an open hold; else one of the last, ended or not, or none of this wallet. Where there is
    /// none, a new one.
    fn resolve(&self, who: usize, dice: &mut Dice) -> Act {
        let entries = &self.sides[who].oracle.entries;
        let is_hold = |place: &usize| entries[*place].kind == LineKind::Hold;
        let holds: Vec<usize> = match dice.roll(12) {
            0 => Vec::new(),
            1 | 2 => (0..entries.len()).rev().filter(is_hold).take(4).collect(),
            _ => oracle::open(entries),
        };
        let is_stranger = holds.is_empty() && dice.roll(4) == 0;
        if holds.is_empty() && !is_stranger {
            return self.set_aside(dice);
        }
        let hold = (!is_stranger).then(|| dice.one_of(&holds));
        let by = (dice.roll(4) > 0).then(|| app(dice));
        match dice.one_of(&[
            None,
            Some(None),
            Some(None),
            Some(Some(1)),
            Some(Some(2)),
            Some(Some(4)),
        ]) {
            None => Act::Release { hold, by },
            Some(amount) => Act::Capture { hold, amount, by },
        }
    }

    /// Of a debit or a capture; where there is none, a debit.
    fn refund(&self, who: usize, dice: &mut Dice) -> Act {
        let entries = &self.sides[who].oracle.entries;
        let is_taken =
            |place: &usize| matches!(entries[*place].kind, LineKind::Debit | LineKind::Capture);
        let taken: Vec<usize> = (0..entries.len()).rev().filter(is_taken).take(6).collect();
        if taken.is_empty() {
            return Act::Debit { amount: self.amount(dice) };
        }
        let of = dice.one_of(&taken);
        let amount = dice.one_of(&[None, Some(1), Some(2), Some(3), Some(4)]);
        let until = self.in_ms(dice.one_of(&[1, 2, 5, 9]));
        let policies =
            [Expired::Restore, Expired::Restore, Expired::Forfeit, Expired::Extend(until)];
        Act::Refund { of, amount, expired: dice.one_of(&policies) }
    }

    /// Both sides or none, as in the transaction.
    fn transfer(
        &mut self,
        who: usize,
        key: usize,
        dice: &mut Dice,
    ) -> Result<(usize, usize), Refusal> {
        let amount = self.amount(dice);
        let payee = (who + 1 + dice.below(WALLETS - 1)) % WALLETS;
        let before = self.sides[who].mark();
        let sent = self.both(who, key, &Act::Send { amount }, &[])?;
        let (slices, parts) = self.slices(sent);
        if let Err(refusal) = self.both(payee, key, &Act::Receive { parts }, &slices) {
            self.sides[who].back_to(before);
            return Err(refusal);
        }
        Ok(sent)
    }

    /// What must not be missing among what was tried.
    fn look_at(&mut self, act: &Act, answer: &Result<(usize, usize), Refusal>) {
        let Ok((who, place)) = *answer else { return };
        let side = &self.sides[who];
        let (entry, after) = (&side.oracle.entries[place], &side.oracle.entries[place + 1..]);
        let own_lot = |of: usize| {
            let lots = &side.oracle.entries[of].parts;
            entry.parts.iter().all(|part| lots.iter().any(|lot| lot.lot == part.lot))
        };
        let is_own = |place: usize| side.lines[place].1.slices[0].lot.0 == entry.id;
        let what = match act {
            Act::Refund { of, expired: Expired::Restore, .. } if !own_lot(*of) => "restored",
            Act::Refund { of, expired: Expired::Extend(_), .. } if !own_lot(*of) => "extended",
            Act::Refund { .. } if oracle::sum(&entry.parts) < entry.amount => "forfeited",
            Act::Capture { .. } if !after.is_empty() => "a rest that ends with its hold",
            Act::Credit { .. } | Act::AdjustUp { .. } if !is_own(place) => "joined",
            _ => return,
        };
        self.saw(what);
    }
}
