//! The oracle: a wallet that is nothing but a list of entries. Whatever is asked of it is computed from
//! the first entry on, each time. It shares words with the rules, and no code.

use bson::oid::ObjectId;

use crate::kernel::ids::{AppId, LotId};
use crate::kernel::time::Timestamp;
use crate::modules::wallet::model::{Expired, LineKind, Refusal};
use crate::modules::wallet::record::{Category, Nature};

const LOTS: usize = 256;
const HOLDS: usize = 512;
const SLICES: usize = 1024;
const CREDITS: i64 = (1 << 53) - 1;

/// So many credits of a lot.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub lot: usize,
    pub amount: i64,
    pub nature: Nature,
}

#[derive(Debug, Clone)]
pub struct Entry {
    /// As the rules call it.
    pub id: ObjectId,
    /// The request that it belongs to.
    pub key: usize,
    pub at: Timestamp,
    pub kind: LineKind,
    pub amount: i64,
    pub parts: Vec<Part>,
    /// What becomes of the parts: 1 they come, -1 they go, 0 they stay.
    pub sign: i64,
    /// The place of the hold that this ends, or of the entry that it refunds.
    pub of: Option<usize>,
    /// Of a hold: whose it is, and when it is over.
    pub set_aside: Option<(AppId, Timestamp)>,
    pub by_time: bool,
}

/// What is done to a wallet. Entries are named by their place in the list.
#[derive(Debug, Clone)]
pub enum Act {
    Credit { amount: i64, nature: Nature },
    Debit { amount: i64 },
    Send { amount: i64 },
    Receive { parts: Vec<Part> },
    Hold { amount: i64, until: Timestamp, app: AppId },
    Capture { hold: Option<usize>, amount: Option<i64>, by: Option<AppId> },
    Release { hold: Option<usize>, by: Option<AppId> },
    Refund { of: usize, amount: Option<i64>, expired: Expired },
    AdjustUp { amount: i64, nature: Nature },
    AdjustDown { amount: i64 },
}

#[derive(Debug)]
pub struct Oracle {
    pub entries: Vec<Entry>,
    /// What the rules call the lots, which have numbers here.
    pub names: Vec<Option<LotId>>,
    pub enabled: bool,
    pub frozen: bool,
    /// When anything was done last.
    pub last: Timestamp,
}

type Done = Result<(), Refusal>;

impl Oracle {
    pub fn new(last: Timestamp) -> Self {
        let (entries, names) = (Vec::new(), Vec::new());
        Self { entries, names, enabled: true, frozen: false, last }
    }

    /// What comes of it at `at`; a refusal leaves no trace.
    pub fn act(&mut self, at: Timestamp, key: usize, act: &Act) -> Done {
        let (entries, names) = (self.entries.len(), self.names.len());
        let last = std::mem::replace(&mut self.last, at);
        let done = self.attempt(key, act);
        if done.is_err() {
            self.entries.truncate(entries);
            self.names.truncate(names);
            self.last = last;
        }
        done
    }

    fn attempt(&mut self, key: usize, act: &Act) -> Done {
        let takes = matches!(
            act,
            Act::Credit { .. }
                | Act::Receive { .. }
                | Act::Refund { .. }
                | Act::AdjustUp { .. }
                | Act::AdjustDown { .. }
        );
        if !self.enabled {
            return Err(Refusal::Disabled);
        }
        if self.frozen && !takes {
            return Err(Refusal::Frozen);
        }
        if let Act::Capture { hold, by, .. } | Act::Release { hold, by } = act {
            self.may_end(*hold, by.as_ref())?;
        }
        self.settle(key);
        match act {
            Act::Credit { amount, nature } => {
                self.come(key, LineKind::Credit, *amount, *nature)?;
            }
            Act::AdjustUp { amount, nature } => {
                self.come(key, LineKind::Adjust, *amount, *nature)?;
            }
            Act::Debit { amount } => self.go(key, LineKind::Debit, *amount)?,
            Act::Send { amount } => self.go(key, LineKind::TransferOut, *amount)?,
            Act::AdjustDown { amount } => self.go(key, LineKind::Adjust, *amount)?,
            Act::Receive { parts } => self.receive(key, parts)?,
            Act::Hold { amount, until, app } => self.hold(key, *amount, *until, app)?,
            Act::Capture { hold, amount, .. } => {
                self.capture(key, hold.expect("found"), *amount)?;
            }
            Act::Release { hold, .. } => self.release(key, hold.expect("found"), false),
            Act::Refund { of, amount, expired } => self.refund(key, *of, *amount, *expired)?,
        }
        self.settle(key);
        Ok(())
    }

    /// Writes down what is over at `last`.
    pub fn settle(&mut self, key: usize) {
        let now = self.last;
        for hold in open(&self.entries) {
            let over = self.entries[hold].set_aside.as_ref().is_some_and(|(_, end)| *end <= now);
            if over {
                self.release(key, hold, true);
            }
        }
        for part in loose(&self.entries) {
            if part.amount > 0 && part.nature.expires_at.is_some_and(|end| end <= now) {
                let entry = self.entry(key, LineKind::Expire, part.amount, -1);
                self.entries.push(Entry { parts: vec![part], by_time: true, ..entry });
            }
        }
    }

    fn entry(&self, key: usize, kind: LineKind, amount: i64, sign: i64) -> Entry {
        Entry {
            id: ObjectId::from_bytes([0; 12]),
            key,
            at: self.last,
            kind,
            amount,
            parts: Vec::new(),
            sign,
            of: None,
            set_aside: None,
            by_time: false,
        }
    }

    fn come(&mut self, key: usize, kind: LineKind, amount: i64, nature: Nature) -> Done {
        self.entries.push(self.entry(key, kind, amount, 1));
        self.arrive(None, amount, nature)
    }

    fn go(&mut self, key: usize, kind: LineKind, amount: i64) -> Done {
        let parts = self.choose(amount)?;
        self.entries.push(Entry { parts, ..self.entry(key, kind, amount, -1) });
        Ok(())
    }

    fn receive(&mut self, key: usize, sent: &[Part]) -> Done {
        let mut together: Vec<Part> = Vec::new();
        for part in sent {
            let known = together.iter_mut().find(|one| self.alike(&one.nature, &part.nature));
            match known {
                Some(known) => known.amount += part.amount,
                None => together.push(*part),
            }
        }
        let amount = sent.iter().map(|part| part.amount).sum();
        self.entries.push(self.entry(key, LineKind::TransferIn, amount, 1));
        together.iter().try_for_each(|part| self.arrive(None, part.amount, part.nature))
    }

    fn hold(&mut self, key: usize, amount: i64, until: Timestamp, app: &AppId) -> Done {
        let parts = self.choose(amount)?;
        let open = open(&self.entries);
        let slices: usize = open.iter().map(|hold| self.entries[*hold].parts.len()).sum();
        if open.len() == HOLDS || slices + parts.len() > SLICES {
            return Err(Refusal::Full);
        }
        let set_aside = Some((app.clone(), until));
        let entry = self.entry(key, LineKind::Hold, amount, 0);
        self.entries.push(Entry { parts, set_aside, ..entry });
        Ok(())
    }

    fn may_end(&self, hold: Option<usize>, by: Option<&AppId>) -> Done {
        let open = open(&self.entries).into_iter().find(|open| Some(*open) == hold);
        let hold = open.and_then(|open| self.entries[open].set_aside.as_ref());
        match hold {
            Some((app, _)) if by.is_some_and(|by| by != app) => Err(Refusal::NoSuchHold),
            Some((_, until)) if *until <= self.last => Err(Refusal::HoldExpired),
            Some(_) => Ok(()),
            None => Err(Refusal::NoSuchHold),
        }
    }

    fn capture(&mut self, key: usize, hold: usize, amount: Option<i64>) -> Done {
        let held = self.entries[hold].amount;
        let amount = amount.unwrap_or(held);
        if amount > held {
            return Err(Refusal::ExceedsHold { held });
        }
        let parts = between(self.entries[hold].parts.iter(), 0, amount);
        let entry = self.entry(key, LineKind::Capture, amount, -1);
        self.entries.push(Entry { parts, of: Some(hold), ..entry });
        Ok(())
    }

    fn release(&mut self, key: usize, hold: usize, by_time: bool) {
        let Entry { amount, parts, .. } = self.entries[hold].clone();
        let entry = self.entry(key, LineKind::Release, amount, 0);
        self.entries.push(Entry { parts, of: Some(hold), by_time, ..entry });
    }

    pub fn refunded(&self, of: usize) -> i64 {
        let refunds = self.entries.iter().filter(|entry| entry.kind == LineKind::Refund);
        refunds.filter(|entry| entry.of == Some(of)).map(|entry| entry.amount).sum()
    }

    fn refund(&mut self, key: usize, of: usize, amount: Option<i64>, expired: Expired) -> Done {
        let (now, refunded) = (self.last, self.refunded(of));
        let Entry { parts, amount: taken, at, of: hold, .. } = self.entries[of].clone();
        let left = taken - refunded;
        let amount = amount.unwrap_or(left);
        if amount > left || left == 0 {
            return Err(Refusal::ExceedsRefundable { left });
        }
        let spent_at = hold.map_or(at, |hold| self.entries[hold].at);
        let entry = self.entry(key, LineKind::Refund, amount, 1);
        self.entries.push(Entry { of: Some(of), ..entry });
        for Part { lot, amount, nature } in between(parts.iter().rev(), refunded, amount) {
            let until = match (nature.expires_at.filter(|end| *end <= now), expired) {
                (None, _) => {
                    self.arrive(Some(lot), amount, nature)?;
                    continue;
                }
                (Some(_), Expired::Forfeit) => continue,
                (Some(_), Expired::Extend(until)) => until,
                (Some(end), Expired::Restore) => {
                    let left_ms = end.timestamp_millis() - spent_at.timestamp_millis();
                    Timestamp::from_millis(now.timestamp_millis() + left_ms)
                }
            };
            self.arrive(None, amount, Nature { expires_at: Some(until), ..nature })?;
        }
        Ok(())
    }

    /// Into the newest entry: to a lot that is there, to a new one, or, where there is no room, to the
    /// first that is like it.
    fn arrive(&mut self, wish: Option<usize>, amount: i64, nature: Nature) -> Done {
        if balance(&self.entries) + amount > CREDITS {
            return Err(Refusal::TooMuch);
        }
        let lots = lots(&self.entries);
        let there = lots.iter().find(|lot| Some(lot.lot) == wish);
        let like = || lots.iter().find(|lot| self.alike(&lot.nature, &nature));
        let lot = match (there, wish) {
            (Some(there), _) => there.lot,
            (None, _) if lots.len() == LOTS => like().ok_or(Refusal::Full)?.lot,
            (None, Some(wish)) => wish,
            (None, None) => {
                self.names.push(None);
                self.names.len() - 1
            }
        };
        let entry = self.entries.last_mut().expect("the newest");
        entry.parts.push(Part { lot, amount, nature });
        Ok(())
    }

    /// The next lot that goes is the one that no other goes before.
    fn choose(&self, amount: i64) -> Result<Vec<Part>, Refusal> {
        let mut free = free(&self.entries, self.last);
        let (mut left, mut chosen) = (amount, Vec::new());
        while left > 0 {
            let mut next: Option<usize> = None;
            for (at, part) in free.iter().enumerate() {
                if next.is_none_or(|next| self.goes_before(part, &free[next])) {
                    next = Some(at);
                }
            }
            let Some(next) = next else { return Err(Refusal::Insufficient { short_by: left }) };
            let part = free.remove(next);
            let amount = part.amount.min(left);
            chosen.push(Part { amount, ..part });
            left -= amount;
        }
        Ok(chosen)
    }

    fn goes_before(&self, one: &Part, other: &Part) -> bool {
        let (a, b) = (&one.nature, &other.nature);
        if a.priority != b.priority {
            return a.priority < b.priority;
        }
        match (a.expires_at, b.expires_at) {
            (Some(_), None) => return true,
            (None, Some(_)) => return false,
            (Some(a), Some(b)) if a != b => return a < b,
            _ => {}
        }
        match (a.category == Category::Paid, b.category == Category::Paid) {
            (false, true) => true,
            (true, false) => false,
            _ if a.effective_at != b.effective_at => a.effective_at < b.effective_at,
            _ => self.names[one.lot] < self.names[other.lot],
        }
    }

    fn alike(&self, a: &Nature, b: &Nature) -> bool {
        let begun = a.effective_at <= self.last && b.effective_at <= self.last;
        a.category == b.category
            && a.priority == b.priority
            && a.expires_at == b.expires_at
            && (begun || a.effective_at == b.effective_at)
    }

    /// What could be spent and what would be held at a moment to come.
    pub fn outlook(&mut self, at: Timestamp) -> (i64, i64) {
        let (entries, last) = (self.entries.len(), std::mem::replace(&mut self.last, at));
        self.settle(0);
        let outlook = (sum(&free(&self.entries, at)), held(&self.entries));
        self.entries.truncate(entries);
        self.last = last;
        outlook
    }
}

/// The lots of which something remains, in the order in which they came.
pub fn lots(entries: &[Entry]) -> Vec<Part> {
    let mut lots: Vec<Option<(usize, Part)>> = Vec::new();
    for (place, Entry { parts, sign, .. }) in entries.iter().enumerate() {
        for (nth, part) in parts.iter().enumerate().filter(|_| *sign != 0) {
            lots.resize(lots.len().max(part.lot + 1), None);
            let came = (place << 16) + nth;
            let (_, lot) = lots[part.lot].get_or_insert((came, Part { amount: 0, ..*part }));
            lot.amount += sign * part.amount;
            if lot.amount == 0 {
                lots[part.lot] = None;
            }
        }
    }
    let mut lots: Vec<_> = lots.into_iter().flatten().collect();
    lots.sort_by_key(|(came, _)| *came);
    lots.into_iter().map(|(_, lot)| lot).collect()
}

/// The places of the holds that nothing has ended.
pub fn open(entries: &[Entry]) -> Vec<usize> {
    let mut open = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        match entry.kind {
            LineKind::Hold => open.push(at),
            LineKind::Capture | LineKind::Release => open.retain(|hold| Some(*hold) != entry.of),
            _ => {}
        }
    }
    open
}

/// What no hold pins of each lot.
pub fn loose(entries: &[Entry]) -> Vec<Part> {
    let mut lots = lots(entries);
    for part in open(entries).into_iter().flat_map(|hold| &entries[hold].parts) {
        let lot = lots.iter_mut().find(|lot| lot.lot == part.lot);
        lot.expect("what is held is there").amount -= part.amount;
    }
    lots
}

pub fn free(entries: &[Entry], at: Timestamp) -> Vec<Part> {
    let mut free = loose(entries);
    free.retain(|Part { amount, nature, .. }| {
        let ended = nature.expires_at.is_some_and(|end| end <= at);
        *amount > 0 && nature.effective_at <= at && !ended
    });
    free
}

pub fn sum(parts: &[Part]) -> i64 {
    parts.iter().map(|part| part.amount).sum()
}

pub fn balance(entries: &[Entry]) -> i64 {
    entries.iter().map(|entry| entry.sign * sum(&entry.parts)).sum()
}

pub fn held(entries: &[Entry]) -> i64 {
    open(entries).into_iter().map(|hold| entries[hold].amount).sum()
}

/// When something is over next.
pub fn due(entries: &[Entry]) -> Option<Timestamp> {
    let lots = loose(entries).into_iter().filter(|lot| lot.amount > 0);
    let holds = open(entries).into_iter().filter_map(|hold| entries[hold].set_aside.as_ref());
    lots.filter_map(|lot| lot.nature.expires_at).chain(holds.map(|(_, until)| *until)).min()
}

/// Of all credits of the parts, counted one after the other, `amount` without the first `skipped`.
fn between<'a>(parts: impl Iterator<Item = &'a Part>, skipped: i64, amount: i64) -> Vec<Part> {
    let (mut begin, mut found) = (0, Vec::new());
    for part in parts {
        let end = begin + part.amount;
        let amount = end.min(skipped + amount) - begin.max(skipped);
        if amount > 0 {
            found.push(Part { amount, ..*part });
        }
        begin = end;
    }
    found
}
