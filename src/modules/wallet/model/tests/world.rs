//! Three wallets on which rules and oracle are let loose side by side, and everything in which they
//! must agree after each operation.

use std::collections::{BTreeMap, HashSet};

use bson::oid::ObjectId;

use super::oracle::{self, Act, Entry, Oracle, Part};
use super::scenario::{Dice, Scenario};
use crate::kernel::chance::{Chance, Series};
use crate::kernel::credits::Credits;
use crate::kernel::ids::{AccountNumber, AppId, LedgerId, UserId};
use crate::kernel::time::Timestamp;
use crate::modules::wallet::model::{
    self, Direction, Line, LineKind, Operation, Original, Outcome, Refusal, Resolver,
};
use crate::modules::wallet::record::{Held, Holder, Slice, Wallet};
use crate::users::UserStatus;

pub const WALLETS: usize = 3;
const START_MS: i64 = 1_000;

/// How often what has been seen.
pub type Seen = BTreeMap<&'static str, usize>;

pub struct World<'a> {
    pub scenario: &'a Scenario,
    chance: Chance,
    pub now_ms: i64,
    pub sides: Vec<Side>,
    /// What was sent, and what was answered under which key: the place of the entry, or the refusal.
    sent: Vec<u64>,
    answers: Vec<Answer>,
    ids: HashSet<ObjectId>,
    /// Those with which something was tried in this step.
    tried: [bool; WALLETS],
    pub seen: Seen,
}

type Answer = Result<(usize, usize), Refusal>;

/// A wallet as the rules have it, its ledger, and the same as the oracle has it.
pub struct Side {
    pub holder: Holder,
    pub lines: Vec<(Timestamp, Line)>,
    /// Of each entry; kept as the store keeps it.
    refunded: Vec<i64>,
    pub oracle: Oracle,
}

pub const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn empty() -> Wallet {
    Wallet {
        enabled: true,
        balance: 0,
        currency: "credits".to_owned(),
        last_updated: at(START_MS),
        held: 0,
        seq: 0,
        lots: Vec::new(),
        holds: Vec::new(),
        frozen: false,
        frozen_reason: None,
        due_at: None,
    }
}

impl Side {
    fn new(chance: &Chance) -> Self {
        let revised_at = at(START_MS);
        let holder = Holder {
            id: UserId::new(chance, revised_at),
            status: UserStatus::Active,
            account_number: AccountNumber::random(chance),
            modules: Held { wallet: empty() },
            revision: 0,
            revised_at,
        };
        let oracle = Oracle::new(revised_at);
        Self { holder, lines: Vec::new(), refunded: Vec::new(), oracle }
    }

    /// Where a transaction begins that may not be kept.
    pub fn mark(&self) -> (Holder, usize, Timestamp) {
        (self.holder.clone(), self.lines.len(), self.oracle.last)
    }

    pub fn back_to(&mut self, (holder, lines, last): (Holder, usize, Timestamp)) {
        self.holder = holder;
        self.lines.truncate(lines);
        self.refunded.truncate(lines);
        self.oracle.entries.truncate(lines);
        self.oracle.last = last;
    }

    fn operation(&self, act: &Act, sent: &[Slice], stranger: ObjectId) -> Operation {
        let credits = |amount: i64| Credits::new(amount).expect("an amount");
        let hold = |hold: &Option<usize>| LedgerId(hold.map_or(stranger, |at| self.lines[at].1.id));
        let by = |by: &Option<AppId>| by.clone().map_or(Resolver::Admin, Resolver::App);
        match act {
            Act::Credit { amount, nature } => {
                Operation::Credit { amount: credits(*amount), nature: *nature }
            }
            Act::Debit { amount } => Operation::Debit { amount: credits(*amount) },
            Act::Send { amount } => Operation::Send { amount: credits(*amount) },
            Act::Receive { .. } => Operation::Receive { slices: sent.to_vec() },
            Act::Hold { amount, until, app } => Operation::Hold {
                amount: credits(*amount),
                expires_at: *until,
                app_id: app.clone(),
                connection_id: None,
            },
            Act::Capture { hold: place, amount, by: app } => {
                Operation::Capture { hold: hold(place), amount: amount.map(credits), by: by(app) }
            }
            Act::Release { hold: place, by: app } => {
                Operation::Release { hold: hold(place), by: by(app) }
            }
            Act::Refund { of, amount, expired } => Operation::Refund {
                original: self.original(*of),
                amount: amount.map(credits),
                expired: *expired,
            },
            Act::AdjustUp { amount, nature } => {
                let (amount, direction) = (credits(*amount), Direction::Credit);
                Operation::Adjust { amount, direction, nature: *nature }
            }
            Act::AdjustDown { amount } => {
                let (amount, direction) = (credits(*amount), Direction::Debit);
                Operation::Adjust { amount, direction, nature: model::adjustment(at(0)) }
            }
        }
    }

    /// As it is put together from the ledger.
    fn original(&self, of: usize) -> Original {
        let (created_at, line) = &self.lines[of];
        Original {
            slices: line.slices.clone(),
            refunded: self.refunded[of],
            spent_at: line.held_since.unwrap_or(*created_at),
        }
    }

    /// The lines say what the oracle has written down; what is new to it gets its name.
    fn compare(&mut self, lines: &[Line], at: Timestamp, ids: &mut HashSet<ObjectId>) {
        let known = self.lines.len();
        assert_eq!(lines.len(), self.oracle.entries.len() - known, "lines: {lines:?}");
        for (place, line) in (known..).zip(lines) {
            assert!(ids.insert(line.id), "an id twice: {line:?}");
            self.oracle.entries[place].id = line.id;
            let (upto, names) = (&self.oracle.entries[..=place], &mut self.oracle.names);
            let entry = &upto[place];
            assert_eq!(entry.parts.len(), line.slices.len(), "{entry:?}\n{line:?}");
            for (part, slice) in entry.parts.iter().zip(&line.slices) {
                let own = line.kind == LineKind::Credit || line.kind == LineKind::Adjust;
                let name = *names[part.lot].get_or_insert_with(|| {
                    let is_new = ids.insert(slice.lot.0) || (own && slice.lot.0 == line.id);
                    assert!(is_new, "a lot's id twice: {line:?}");
                    slice.lot
                });
                assert_eq!(*slice, Slice::of(name, part.amount, part.nature), "{line:?}");
            }
            assert_eq!(*line, expected(upto, line.slices.clone(), at));
            self.lines.push((at, line.clone()));
            self.refunded.push(0);
            if let (LineKind::Refund, Some(of)) = (entry.kind, entry.of) {
                self.refunded[of] += line.amount;
            }
        }
    }

    /// Everything that is stored, and that it keeps what was promised.
    fn agree(&self) {
        let (wallet, oracle) = (self.holder.wallet(), &self.oracle);
        let lots: Vec<_> =
            wallet.lots.iter().map(|lot| (lot.id, lot.remaining, lot.nature())).collect();
        let named = |part: &Part| (oracle.names[part.lot].expect("named"), part.amount);
        let expected: Vec<_> = oracle::lots(&oracle.entries)
            .iter()
            .map(|part| (named(part).0, part.amount, part.nature))
            .collect();
        assert_eq!(lots, expected);
        let holds = oracle::open(&oracle.entries);
        assert_eq!(wallet.holds.len(), holds.len());
        for (hold, place) in wallet.holds.iter().zip(holds) {
            let Entry { id, amount, at, set_aside, parts, .. } = &oracle.entries[place];
            let (app, until) = set_aside.as_ref().expect("a hold");
            let slices = hold.slices.iter().map(|pinned| (pinned.lot, pinned.amount));
            assert!(slices.eq(parts.iter().map(named)), "{hold:?}");
            assert_eq!((hold.id.0, hold.amount, hold.created_at), (*id, *amount, *at));
            assert_eq!((&hold.app_id, hold.expires_at), (app, *until));
        }
        assert_eq!(wallet.due_at, oracle::due(&oracle.entries));
        self.keeps_its_promises(wallet);
    }

    fn keeps_its_promises(&self, wallet: &Wallet) {
        let changes =
            |of: fn(&Line) -> i64| self.lines.iter().map(|(_, line)| of(line)).sum::<i64>();
        let remaining = wallet.lots.iter().map(|lot| lot.remaining).sum::<i64>();
        assert_eq!(wallet.balance, changes(|line| line.balance_change));
        assert_eq!(wallet.balance, remaining);
        let pinned = wallet.holds.iter().flat_map(|hold| &hold.slices).map(|pinned| pinned.amount);
        assert_eq!(wallet.held, changes(|line| line.held_change));
        assert_eq!(wallet.held, wallet.holds.iter().map(|hold| hold.amount).sum::<i64>());
        assert_eq!(wallet.held, pinned.sum::<i64>());
        assert!(0 <= wallet.held && wallet.held <= wallet.balance);
        assert!(wallet.balance < 1 << 53);
        assert!(wallet.lots.iter().all(|lot| 0 < lot.remaining && lot.remaining <= lot.amount));
        assert_eq!(usize::try_from(wallet.seq), Ok(self.lines.len()));
        let slices = wallet.holds.iter().map(|hold| hold.slices.len()).sum::<usize>();
        assert!(wallet.lots.len() <= 256 && wallet.holds.len() <= 512 && slices <= 1024);
        assert_eq!(wallet.last_updated, self.lines.last().map_or(at(START_MS), |(at, _)| *at));
    }

    /// What is said of moments to come, and that the worker is called when, and only when, there is
    /// something to do.
    fn foretells(&mut self, later: Timestamp, ids: &Series) {
        let wallet = self.holder.modules.wallet.clone();
        let told = (model::available(&wallet, later), model::held(&wallet, later));
        assert_eq!(told, self.oracle.outlook(later), "available and held at {later:?}");
        let idle = wallet.due_at.map_or(at(i64::MAX), |due| at(due.timestamp_millis() - 1));
        assert_eq!(model::expire(&wallet, idle, ids), (wallet.clone(), Vec::new()));
        if let Some(due) = wallet.due_at {
            assert!(!model::expire(&wallet, due, ids).1.is_empty(), "nothing is due at {due:?}");
        }
    }

    /// What holds for all times together.
    fn ends_well(&self) {
        let entries = &self.oracle.entries;
        for (place, entry) in entries.iter().enumerate() {
            let of_it = |kind: &[LineKind]| {
                entries.iter().filter(|e| e.of == Some(place) && kind.contains(&e.kind)).count()
            };
            assert!(of_it(&[LineKind::Capture, LineKind::Release]) <= 1, "{entry:?}");
            assert!(self.oracle.refunded(place) <= entry.amount, "{entry:?}");
            assert_eq!(self.oracle.refunded(place), self.refunded[place]);
            assert_eq!(usize::try_from(self.lines[place].1.seq), Ok(place + 1));
        }
        assert!(self.lines.is_sorted_by_key(|(at, _)| *at), "time goes back");
    }
}

/// The line about the last of these entries.
fn expected(entries: &[Entry], slices: Vec<Slice>, at: Timestamp) -> Line {
    let place = entries.len() - 1;
    let Entry { id, kind, amount, of, by_time, .. } = entries[place];
    let ends = matches!(kind, LineKind::Capture | LineKind::Release);
    let hold = of.filter(|_| ends).map(|hold| &entries[hold]);
    let set_aside = if kind == LineKind::Hold { amount } else { 0 };
    Line {
        id,
        seq: i64::try_from(place + 1).expect("few"),
        kind,
        amount,
        balance_change: entries[place].sign * oracle::sum(&entries[place].parts),
        held_change: hold.map_or(set_aside, |hold| -hold.amount),
        balance_after: oracle::balance(entries),
        held_after: oracle::held(entries),
        available_after: oracle::sum(&oracle::free(entries, at)),
        slices,
        hold: hold.map(|hold| LedgerId(hold.id)),
        held_since: hold.filter(|_| kind == LineKind::Capture).map(|hold| hold.at),
        by_time,
    }
}

impl<'a> World<'a> {
    /// Three empty wallets.
    pub fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let chance = Chance::from_seed(seed);
        let sides = (0..WALLETS).map(|_| Side::new(&chance)).collect();
        let (sent, answers) = (Vec::new(), Vec::new());
        let (ids, tried, seen) = (HashSet::new(), [false; WALLETS], Seen::new());
        Self { scenario, chance, now_ms: START_MS, sides, sent, answers, ids, tried, seen }
    }

    /// One operation: a new one, or one that was sent before and is sent again.
    pub fn step(&mut self, number: u64) {
        let mut dice = Dice(number);
        self.now_ms += dice.one_of(self.scenario.clock_ms);
        let is_retry = dice.roll(16) == 0 && !self.sent.is_empty();
        if is_retry {
            let key = dice.below(self.sent.len());
            self.send(key, Dice(self.sent[key]));
            self.saw("a repetition");
        } else {
            self.sent.push(number);
            self.send(self.sent.len() - 1, dice);
        }
        self.check(number);
    }

    /// As the store does it: what was answered under this key is answered again, and not done.
    fn send(&mut self, key: usize, mut dice: Dice) {
        if let Some(answer) = self.answers.get(key) {
            return self.has_one_effect(key, answer);
        }
        let answer = self.perform(key, &mut dice);
        self.saw(match &answer {
            Ok((who, place)) => self.sides[*who].lines[*place].1.kind.as_str(),
            Err(refusal) => name(refusal),
        });
        self.answers.push(answer);
    }

    fn has_one_effect(&self, key: usize, answer: &Answer) {
        let of_it = |side: &Side| {
            let entries = side.oracle.entries.iter();
            entries.filter(|entry| entry.key == key && !entry.by_time).count()
        };
        let effects: Vec<usize> = self.sides.iter().map(of_it).collect();
        match answer {
            Err(_) => assert_eq!(effects, [0; WALLETS]),
            Ok((who, place)) => {
                let (kind, payee) =
                    (self.sides[*who].oracle.entries[*place].kind, LineKind::TransferOut);
                let total = if kind == payee { 2 } else { 1 };
                assert_eq!((effects[*who], effects.iter().sum()), (1, total));
                assert_eq!(self.sides[*who].oracle.entries[*place].key, key);
            }
        }
    }

    pub fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// The same on both sides. What it says is the place of the operation's own entry.
    pub fn both(&mut self, who: usize, key: usize, act: &Act, sent: &[Slice]) -> Answer {
        self.tried[who] = true;
        let now = at(self.now_ms);
        let stranger = self.chance.object_id(now);
        let ids = Series::new(&self.chance, now);
        let side = &mut self.sides[who];
        let moment = side.holder.moment(now);
        assert_eq!(moment, side.oracle.last.max(now));
        let operation = side.operation(act, sent, stranger);
        let outcome = model::operate(side.holder.wallet(), moment, &operation, &ids);
        let again = model::operate(side.holder.wallet(), moment, &operation, &ids);
        let expected = side.oracle.act(moment, key, act);
        match (outcome, again, expected) {
            (Ok(outcome), Ok(again), Ok(())) => {
                assert_eq!((&outcome.wallet, &outcome.lines), (&again.wallet, &again.lines));
                let own = outcome.lines.iter().position(|line| *line == *outcome.main());
                let place = side.lines.len() + own.expect("one of the lines");
                side.compare(&outcome.lines, moment, &mut self.ids);
                let entry = &side.oracle.entries[place];
                assert!(entry.key == key && !entry.by_time, "not the operation: {entry:?}");
                let Outcome { wallet, .. } = outcome;
                (side.holder.modules.wallet, side.holder.revised_at) = (wallet, moment);
                Ok((who, place))
            }
            (Err(refusal), Err(again), Err(expected)) => {
                assert_eq!((&refusal, &refusal), (&again, &expected), "{act:?}");
                Err(refusal)
            }
            (outcome, _, expected) => {
                panic!("{act:?} at {moment:?}\nrules: {outcome:?}\noracle: {expected:?}")
            }
        }
    }

    /// The worker comes by.
    pub fn expire(&mut self, who: usize, key: usize) -> usize {
        self.tried[who] = true;
        let now = at(self.now_ms);
        let ids = Series::new(&self.chance, now);
        let side = &mut self.sides[who];
        let moment = side.holder.moment(now);
        let (wallet, lines) = model::expire(side.holder.wallet(), moment, &ids);
        let last = std::mem::replace(&mut side.oracle.last, moment);
        side.oracle.settle(key);
        side.compare(&lines, moment, &mut self.ids);
        if lines.is_empty() {
            assert_eq!(&wallet, side.holder.wallet(), "nothing was due");
            side.oracle.last = last;
        } else {
            (side.holder.modules.wallet, side.holder.revised_at) = (wallet, moment);
        }
        lines.len()
    }

    /// Changed by an admin: frozen or not, enabled or not.
    pub fn put(&mut self, who: usize, frozen: bool, enabled: bool) {
        self.tried[who] = true;
        let side = &mut self.sides[who];
        let moment = side.holder.moment(at(self.now_ms));
        let wallet = Wallet { enabled, frozen, ..side.holder.wallet().clone() };
        (side.holder.modules.wallet, side.holder.revised_at) = (wallet, moment);
        let oracle = &mut side.oracle;
        (oracle.frozen, oracle.enabled, oracle.last) = (frozen, enabled, moment);
    }

    /// The slices of an entry as they are handed to the payee.
    pub fn slices(&self, (who, place): (usize, usize)) -> (Vec<Slice>, Vec<Part>) {
        let side = &self.sides[who];
        (side.lines[place].1.slices.clone(), side.oracle.entries[place].parts.clone())
    }

    fn check(&mut self, number: u64) {
        let ids = Series::new(&self.chance, at(self.now_ms));
        let later = i64::try_from(number % 7).expect("small");
        let tried = std::mem::take(&mut self.tried);
        for (side, _) in self.sides.iter_mut().zip(tried).filter(|(_, tried)| *tried) {
            side.agree();
            if number.is_multiple_of(4) {
                let moment = side.holder.moment(at(self.now_ms + later));
                side.foretells(moment, &ids);
            }
        }
    }

    /// Transfers neither make nor lose credits, and the rest of what holds at the end.
    pub fn ends_well(&self) {
        let mut sent = BTreeMap::new();
        let (mut balances, mut others) = (0, 0);
        for side in &self.sides {
            side.ends_well();
            balances += side.holder.wallet().balance;
            for (entry, (_, line)) in side.oracle.entries.iter().zip(&side.lines) {
                match line.kind {
                    LineKind::TransferIn | LineKind::TransferOut => {
                        *sent.entry(entry.key).or_insert(0) += line.balance_change;
                    }
                    _ => others += line.balance_change,
                }
            }
        }
        assert!(sent.values().all(|sum| *sum == 0), "{sent:?}");
        assert_eq!(balances, others);
    }
}

fn name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Disabled => "disabled",
        Refusal::Frozen => "frozen",
        Refusal::Insufficient { .. } => "insufficient",
        Refusal::TooMuch => "too much",
        Refusal::Full => "full",
        Refusal::NoSuchHold => "no such hold",
        Refusal::HoldExpired => "hold expired",
        Refusal::ExceedsHold { .. } => "exceeds hold",
        Refusal::ExceedsRefundable { .. } => "exceeds refundable",
    }
}
