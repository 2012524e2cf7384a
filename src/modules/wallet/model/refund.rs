//! Putting back what was spent: into the same lots, the last one first.

use super::super::record::{Nature, Slice};
use super::steps::{Book, Entry};
use super::{LineKind, Refusal};
use crate::kernel::ids::{LedgerId, LotId};
use crate::kernel::time::{self, Timestamp};

/// The entry that is refunded, and what was refunded of it before.
#[derive(Debug, Clone, PartialEq)]
pub struct Original {
    pub slices: Vec<Slice>,
    pub refunded: i64,
    /// When its credits were taken, or set aside.
    pub spent_at: Timestamp,
}

/// What becomes of credits whose lot has expired since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// They come back with as much time as they had left when they were spent.
    Restore,
    /// They do not come back; they count as refunded.
    Forfeit,
    /// They come back and end at this moment.
    Extend(Timestamp),
}

impl Book {
    pub(super) fn refund(
        &mut self,
        original: &Original,
        amount: Option<i64>,
        expired: Expired,
    ) -> Result<(), Refusal> {
        let spent: i64 = original.slices.iter().map(|slice| slice.amount).sum();
        let left = spent - original.refunded;
        let amount = amount.unwrap_or(left);
        if amount > left || amount == 0 {
            return Err(Refusal::ExceedsRefundable { left });
        }
        let id = self.ids.next_id();
        let mut slices = Vec::new();
        for part in last_of(&original.slices, original.refunded, amount) {
            let Some((lot, nature)) = self.place(&part, original.spent_at, expired) else {
                continue;
            };
            let lot = self.bring(lot, LedgerId(id), part.amount, nature)?;
            slices.push(Slice::of(lot, part.amount, nature));
        }
        let balance_change = slices.iter().map(|slice| slice.amount).sum();
        let entry = Entry { amount, balance_change, slices, ..Entry::default() };
        self.write(id, LineKind::Refund, entry);
        Ok(())
    }

    /// Where a part goes; nowhere, where it is forfeited.
    fn place(
        &mut self,
        part: &Slice,
        spent: Timestamp,
        expired: Expired,
    ) -> Option<(LotId, Nature)> {
        let nature = part.nature();
        let Some(end) = nature.expires_at.filter(|_| nature.has_expired(self.at)) else {
            return Some((part.lot, nature));
        };
        let expires_at = match expired {
            Expired::Forfeit => return None,
            Expired::Extend(until) => until,
            Expired::Restore => {
                let had = end.timestamp_millis().saturating_sub(spent.timestamp_millis());
                time::plus(self.at, had.max(0))
            }
        };
        Some((LotId(self.ids.next_id()), Nature { expires_at: Some(expires_at), ..nature }))
    }
}

/// `amount` of the slices from the end, without the `skipped` that went before.
fn last_of(slices: &[Slice], skipped: i64, amount: i64) -> Vec<Slice> {
    let (mut skip, mut left) = (skipped, amount);
    let mut parts = Vec::new();
    for slice in slices.iter().rev() {
        let passed = skip.min(slice.amount);
        skip -= passed;
        let amount = (slice.amount - passed).min(left);
        if amount > 0 {
            left -= amount;
            parts.push(Slice { amount, ..*slice });
        }
    }
    parts
}
