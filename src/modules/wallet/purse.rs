//! The wallet as its siblings use it.

use bson::doc;

use super::Wallet;
use super::book::{Author, Booked, Slip, book};
use super::commands::{Refunding, put_back};
use super::entry::{Entry, Note};
use super::model::{self, Expired, LineKind, Operation, PRIORITY};
use super::record::{Category, Holder, Nature};
use crate::kernel::ids::{LedgerId, UserId};
use crate::kernel::time::Timestamp;
use crate::modules::contract::{Bill, Gift, GiftCategory, Purse, Receipt};
use crate::store::{Hints, Query, Record, Stop, Work};

impl Purse for Wallet {
    fn hints(&self, user: UserId) -> Hints {
        Hints::none().and(&Holder::by_id(user))
    }

    fn takes(&self, module: &str, taken: &[String]) -> Hints {
        let line =
            |reference: &String| Entry::by_reference(&scope(module), LineKind::Debit, reference);
        taken.iter().fold(Hints::none(), |hints, reference| hints.create(&line(reference)))
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

    fn spent(&self, user: UserId, since: Timestamp, on: Option<&str>) -> Query {
        let kinds = [LineKind::Debit, LineKind::Capture].map(LineKind::as_str);
        let mut lines = doc! { "user_id": user.0, "created_at": { "$gte": since } };
        lines.insert("kind", doc! { "$in": kinds.to_vec() });
        if let Some(module) = on {
            lines.insert("scope", scope(module));
        }
        Query::of(Entry::KIND.collection, lines)
    }

    fn available(&self, work: &mut Work, user: UserId) -> Result<i64, Stop> {
        let holder = work.get(&Holder::by_id(user))?;
        Ok(model::available(holder.wallet(), holder.moment(work.now())))
    }
}

fn slip(bill: &Bill) -> Slip {
    Slip {
        author: author(bill),
        reference: Some(bill.reference.clone()),
        note: Note { description: bill.description.clone(), ..Note::default() },
        parent: None,
        counterpart: None,
        ids: bill.ids.clone(),
    }
}

/// It is the app's that sells what is moved for, whoever comes by.
fn author(bill: &Bill) -> Author {
    let author = Author { scope: scope(bill.module), ..Author::of(&bill.warrant) };
    match &bill.app {
        Some(app) if author.app_id.as_ref() != Some(app) => {
            Author { app_id: Some(app.clone()), connection_id: None, ..author }
        }
        _ => author,
    }
}

/// In which a module's references are used once.
fn scope(module: &str) -> String {
    format!("module:{module}")
}

fn receipt(booked: &Booked) -> Receipt {
    let Entry { id, amount, balance_after, .. } = booked.entry;
    Receipt { entry: id, amount, balance_after }
}
