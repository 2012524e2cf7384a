//! Which credits are spent first: by priority, then what expires soonest, then what was not paid for
//! before what was, then what came into effect first, then by id.

use std::collections::HashMap;

use super::super::record::{Category, Lot, Pinned, Slice, Wallet};
use super::Refusal;
use crate::kernel::ids::LotId;
use crate::kernel::time::Timestamp;

/// What the holds pin of each lot. One whose time is over pins nothing, booked or not.
pub(super) fn pinned(wallet: &Wallet, at: Timestamp) -> HashMap<LotId, i64> {
    let mut pinned = HashMap::new();
    let open = wallet.holds.iter().filter(|hold| hold.expires_at > at);
    for slice in open.flat_map(|hold| &hold.slices) {
        *pinned.entry(slice.lot).or_insert(0) += slice.amount;
    }
    pinned
}

/// What of each lot can be spent now.
fn free(wallet: &Wallet, at: Timestamp) -> impl Iterator<Item = (&Lot, i64)> {
    let pinned = pinned(wallet, at);
    let usable = move |lot: &&Lot| lot.nature().is_effective(at) && !lot.nature().has_expired(at);
    let lots = wallet.lots.iter().filter(usable);
    let lots = lots.map(move |lot| (lot, lot.remaining - pinned.get(&lot.id).unwrap_or(&0)));
    lots.filter(|(_, free)| *free > 0)
}

pub(super) fn available(wallet: &Wallet, at: Timestamp) -> i64 {
    free(wallet, at).map(|(_, free)| free).sum()
}

/// The slices that make up `amount`, in the order in which they are spent.
pub(super) fn choose(wallet: &Wallet, at: Timestamp, amount: i64) -> Result<Vec<Slice>, Refusal> {
    let mut lots: Vec<_> = free(wallet, at).collect();
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
