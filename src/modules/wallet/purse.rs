//! The wallet as its siblings use it.

use super::Wallet;
use super::book::{Author, Booked, Slip, book};
use super::commands::{Refunding, put_back};
use super::entry::{Entry, Note};
use super::model::{self, Expired, Operation, PRIORITY};
use super::record::{Category, Holder, Nature};
use crate::kernel::ids::{LedgerId, UserId};
use crate::modules::contract::{Bill, Gift, GiftCategory, Purse, Receipt};
use crate::store::{Hints, Stop, Work};

impl Purse for Wallet {
    fn hints(&self, user: UserId) -> Hints {
        Hints::none().and(&Holder::by_id(user))
    }

    fn take(&self, work: &mut Work, user: UserId, bill: &Bill) -> Result<Receipt, Stop> {
        let booked = book(work, user, &slip(bill), &Operation::Debit { amount: bill.amount })?;
        Ok(receipt(&booked))
    }

    fn give(
        &self,
        work: &mut Work,
        user: UserId,
        bill: &Bill,
        gift: Gift,
    ) -> Result<Receipt, Stop> {
        let nature = Nature {
            category: match gift.category {
                GiftCategory::Plan => Category::Plan,
                GiftCategory::Referral => Category::Referral,
            },
            priority: PRIORITY,
            effective_at: gift.effective_at,
            expires_at: gift.expires_at,
        };
        let operation = Operation::Credit { amount: bill.amount, nature };
        Ok(receipt(&book(work, user, &slip(bill), &operation)?))
    }

    fn put_back(&self, work: &mut Work, entry: LedgerId, bill: &Bill) -> Result<Receipt, Stop> {
        let (amount, expired) = (Some(bill.amount), Expired::Restore);
        let refunding = Refunding { entry, amount, expired };
        let entry = work.get(&Entry::by_id(entry))?;
        let slip = Slip { parent: Some(entry.id), ..slip(bill) };
        Ok(receipt(&put_back(work, &slip, entry, refunding)?))
    }

    fn available(&self, work: &mut Work, user: UserId) -> Result<i64, Stop> {
        let holder = work.get(&Holder::by_id(user))?;
        Ok(model::available(holder.wallet(), holder.moment(work.now())))
    }
}

fn slip(bill: &Bill) -> Slip {
    let scope = format!("module:{}", bill.module);
    Slip {
        author: Author { scope, ..Author::of(&bill.warrant) },
        reference: Some(bill.reference.clone()),
        note: Note { description: bill.description.clone(), ..Note::default() },
        parent: None,
        counterpart: None,
        ids: bill.ids.clone(),
    }
}

fn receipt(booked: &Booked) -> Receipt {
    let Entry { id, amount, balance_after, .. } = booked.entry;
    Receipt { entry: id, amount, balance_after }
}
