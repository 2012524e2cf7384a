//! Which credits are spent first: by priority, then what expires soonest, then what was not paid for
//! before what was, then what came into effect first, then by id.

use std::collections::HashMap;

use super::super::record::{Category, Hold, Lot, Pinned, Slice, Wallet};
use super::Refusal;
use crate::kernel::ids::LotId;
use crate::kernel::time::Timestamp;

/// What these holds pin of each lot.
pub(super) fn pinned<'a>(holds: impl IntoIterator<Item = &'a Hold>) -> HashMap<LotId, i64> {
    let mut pinned = HashMap::new();
    for slice in holds.into_iter().flat_map(|hold| &hold.slices) {
        *pinned.entry(slice.lot).or_insert(0) += slice.amount;
    }
    pinned
}

/// What of each lot can be spent now, where `holds` are those that count.
fn free<'a>(
    wallet: &'a Wallet,
    at: Timestamp,
    holds: impl IntoIterator<Item = &'a Hold>,
) -> impl Iterator<Item = (&'a Lot, i64)> {
    let pinned = pinned(holds);
    let usable = move |lot: &&Lot| lot.nature().is_effective(at) && !lot.nature().has_expired(at);
    let lots = wallet.lots.iter().filter(usable);
    let lots = lots.map(move |lot| (lot, lot.remaining - pinned.get(&lot.id).unwrap_or(&0)));
    lots.filter(|(_, free)| *free > 0)
}

/// As the wallet stands: what is over and not booked yet is pinned still, since the line before its
/// release says so.
pub(super) fn available(wallet: &Wallet, at: Timestamp) -> i64 {
    free(wallet, at, &wallet.holds).map(|(_, free)| free).sum()
}

/// As it will stand when everything is booked that is over at `at`.
pub(super) fn available_when_settled(wallet: &Wallet, at: Timestamp) -> i64 {
    free(wallet, at, super::open_holds(wallet, at)).map(|(_, free)| free).sum()
}

/// The slices that make up `amount`, in the order in which they are spent.
pub(super) fn choose(wallet: &Wallet, at: Timestamp, amount: i64) -> Result<Vec<Slice>, Refusal> {
    let mut lots: Vec<_> = free(wallet, at, &wallet.holds).collect();
    lots.sort_by_key(|(lot, _)| order(lot));
    let mut left = amount;
    let mut slices = Vec::new();
    for (lot, free) in lots {
        if left == 0 {
            break;
        }
        let amount = free.min(left);
        left -= amount;
        slices.push(Slice::of(lot.id, amount, lot.nature()));
    }
    if left > 0 { Err(Refusal::Insufficient { short_by: left }) } else { Ok(slices) }
}

pub type Order = (i64, i64, bool, Timestamp, LotId);

pub fn order(lot: &Lot) -> Order {
    let ends = lot.expires_at.map_or(i64::MAX, Timestamp::timestamp_millis);
    (lot.priority, ends, lot.category == Category::Paid, lot.effective_at, lot.id)
}

/// The first `amount` of what a hold pins.
pub(super) fn first_of(wallet: &Wallet, pinned: &[Pinned], amount: i64) -> Vec<Slice> {
    let mut left = amount;
    let mut slices = Vec::new();
    for Pinned { lot, amount } in pinned {
        let amount = (*amount).min(left);
        let known = wallet.lots.iter().find(|known| known.id == *lot);
        if let Some(known) = known.filter(|_| amount > 0) {
            left -= amount;
            slices.push(Slice::of(*lot, amount, known.nature()));
        }
    }
    slices
}
