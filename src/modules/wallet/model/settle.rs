//! What ends by time: holds that nobody has resolved, and what is left of lots that have expired.

use super::super::record::{Lot, Slice, Wallet};
use super::LineKind;
use super::burn::pinned;
use super::steps::{Book, Entry};
use crate::kernel::ids::LedgerId;
use crate::kernel::time::Timestamp;

impl Book {
    /// Holds first: what they let go of an expired lot expires with it.
    pub(super) fn settle(&mut self) {
        let at = self.at;
        let over: Vec<LedgerId> =
            self.wallet.holds.iter().filter(|h| h.expires_at <= at).map(|h| h.id).collect();
        for hold in over {
            self.release(hold, true);
        }
        let pinned = pinned(&self.wallet.holds);
        let ended = |lot: &&Lot| lot.nature().has_expired(at);
        let free = |lot: &Lot| {
            let pinned = pinned.get(&lot.id).copied().unwrap_or(0);
            Slice::of(lot.id, lot.remaining - pinned, lot.nature())
        };
        let expired: Vec<Slice> =
            self.wallet.lots.iter().filter(ended).map(free).filter(|s| s.amount > 0).collect();
        for slice in expired {
            self.take(&[slice]);
            let id = self.ids.next_id();
            let entry = Entry {
                amount: slice.amount,
                balance_change: -slice.amount,
                slices: vec![slice],
                by_time: true,
                ..Entry::default()
            };
            self.write(id, LineKind::Expire, entry);
        }
    }
}

/// When something ends by time next. What a hold pins of a lot ends with the hold.
pub(super) fn due_at(wallet: &Wallet) -> Option<Timestamp> {
    let pinned = pinned(&wallet.holds);
    let is_free = |lot: &&Lot| lot.remaining > pinned.get(&lot.id).copied().unwrap_or(0);
    let lots = wallet.lots.iter().filter(is_free).filter_map(|lot| lot.expires_at);
    lots.chain(wallet.holds.iter().map(|hold| hold.expires_at)).min()
}
