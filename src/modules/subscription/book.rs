//! From rules to records, inside a unit: what is due is billed first, then the operation is done, and
//! the wallet moves with it.

use super::model::calendar::Zone;
use super::model::{Bill, Contract, Turn};
use super::record::Subscriber;
use crate::audit::warrant::Warrant;
use crate::kernel::chance::{Chance, Series};
use crate::kernel::credits::Credits;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, LedgerId, UserId};
use crate::kernel::time::Timestamp;
use crate::modules::{Gift, GiftCategory, PurseRef, SHORT};
use crate::store::{Hints, Stop, Work};
use crate::users::UserStatus;

/// Whose references its bills have.
pub const MODULE: &str = "subscription";
/// Periods that one unit bills: more than a grace of days holds.
const PERIODS_MAX: usize = 9;
/// For each a bill and its credits, and for the operation itself a refund, a bill and credits.
const MOVEMENTS_MAX: usize = 2 * PERIODS_MAX + 3;

/// Everything that a unit needs to move a person's credits, made before it.
pub struct Till {
    pub purse: PurseRef,
    pub warrant: Warrant,
    pub user: UserId,
    /// Those of the movements, one row each.
    ids: Vec<Series>,
}

/// What the credits did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money {
    pub charged: i64,
    pub refunded: i64,
    pub granted: i64,
}

enum Paid {
    /// The entry; none where it is free.
    With(Option<LedgerId>),
    Not,
}

/// A person's subscription while a unit works on it.
pub struct Open<'t, 'w, 'b> {
    till: &'t Till,
    work: &'w mut Work<'b>,
    before: Subscriber,
    pub contract: Option<Contract>,
    app: Option<AppId>,
    pub at: Timestamp,
    pub zone: Zone,
    pub money: Money,
    movements: usize,
}

impl Till {
    pub fn new(purse: PurseRef, warrant: Warrant, user: UserId, chance: &Chance) -> Self {
        let now = warrant.now;
        let ids = (0..MOVEMENTS_MAX).map(|_| Series::new(chance, now)).collect();
        Self { purse, warrant, user, ids }
    }

    pub fn hints(&self) -> Hints {
        Hints::none().and(&Subscriber::by_id(self.user)).with(self.purse.hints(self.user))
    }

    /// As things stand at this moment: what was due before it is done.
    pub fn open<'t, 'w, 'b>(&'t self, work: &'w mut Work<'b>) -> Result<Open<'t, 'w, 'b>, Stop> {
        let mut open = self.peek(work)?;
        for _ in 0..PERIODS_MAX {
            if !open.turn()? {
                break;
            }
        }
        Ok(open)
    }

    /// As things were stored.
    pub fn peek<'t, 'w, 'b>(&'t self, work: &'w mut Work<'b>) -> Result<Open<'t, 'w, 'b>, Stop> {
        let before = work.get(&Subscriber::by_id(self.user))?;
        let at = before.moment(work.now());
        let contract = before.subscription().contract();
        let app = before.subscription().details.as_ref().and_then(|it| it.app_id.clone());
        let (zone, money, movements) = (before.zone(), Money::default(), 0);
        Ok(Open { till: self, work, before, contract, app, at, zone, money, movements })
    }
}

impl Open<'_, '_, '_> {
    /// Does what is due, one period; whether something was done.
    pub fn turn(&mut self) -> Result<bool, Stop> {
        let Some(contract) = &self.contract else { return Ok(false) };
        match contract.turn(self.at, self.zone) {
            Turn::Nothing => Ok(false),
            Turn::Ends(after) => {
                self.contract = Some(*after);
                Ok(false)
            }
            Turn::Bill(bill) => self.bill(*bill),
        }
    }

    fn bill(&mut self, bill: Bill) -> Result<bool, Stop> {
        let Bill { amount, paid, unpaid } = bill;
        match self.pay(amount, &paid.reference())? {
            Paid::With(charge) => {
                self.contract = Some(Contract { charge, ..paid });
                self.grant()?;
                Ok(true)
            }
            Paid::Not => {
                self.contract = unpaid.or(self.contract.take());
                Ok(false)
            }
        }
    }

    /// Nobody who is not there to use it is billed; whoever cannot pay owes it.
    fn pay(&mut self, amount: i64, reference: &str) -> Result<Paid, Stop> {
        if self.before.status != UserStatus::Active {
            return Ok(Paid::Not);
        }
        match self.take(amount, reference) {
            Ok(charge) => Ok(Paid::With(charge)),
            Err(Stop::Refused(fault)) if waits(&fault) => Ok(Paid::Not),
            Err(other) => Err(other),
        }
    }

    /// Takes credits; none where it is free.
    pub fn take(&mut self, amount: i64, reference: &str) -> Result<Option<LedgerId>, Stop> {
        let Some(amount) = Credits::new(amount) else { return Ok(None) };
        let bill = self.slip(amount, reference);
        let receipt = self.till.purse.take(self.work, self.till.user, &bill)?;
        self.money.charged += receipt.amount;
        Ok(Some(receipt.entry))
    }

    /// Puts a part of a bill back.
    pub fn put_back(&mut self, charge: LedgerId, amount: i64, reference: &str) -> Result<(), Stop> {
        let Some(amount) = Credits::new(amount) else { return Ok(()) };
        let bill = self.slip(amount, reference);
        let receipt = self.till.purse.put_back(self.work, charge, &bill)?;
        self.money.refunded += receipt.amount;
        Ok(())
    }

    /// The credits that come with a period that was paid for. A wallet that has no room for them is no
    /// reason to end a subscription, nor are credits that would have ended before they came.
    pub fn grant(&mut self) -> Result<(), Stop> {
        let Some(contract) = &self.contract else { return Ok(()) };
        let (until, reference) = (contract.credits_until(), contract.reference());
        let Some(amount) = Credits::new(contract.terms.credits).filter(|_| until > self.at) else {
            return Ok(());
        };
        let bill = self.slip(amount, &reference);
        let (category, expires_at) = (GiftCategory::Plan, Some(until));
        let gift = Gift { category, effective_at: self.at, expires_at };
        match self.till.purse.give(self.work, self.till.user, &bill, gift) {
            Ok(receipt) => self.money.granted += receipt.amount,
            Err(Stop::Refused(fault)) if has_no_room(&fault) => {}
            Err(other) => return Err(other),
        }
        Ok(())
    }

    fn slip(&mut self, amount: Credits, reference: &str) -> crate::modules::Bill {
        let ids = self.till.ids[self.movements % MOVEMENTS_MAX].clone();
        self.movements += 1;
        crate::modules::Bill {
            warrant: self.till.warrant.clone(),
            amount,
            module: MODULE,
            app: self.app.clone(),
            reference: reference.to_owned(),
            description: None,
            ids,
        }
    }

    /// Whether this person may have a trial.
    pub fn may_try(&self) -> bool {
        !self.before.subscription().trialed
    }

    pub fn sold_by(&mut self, app: &AppId) {
        self.app = Some(app.clone());
    }

    pub fn available(&mut self) -> Result<i64, Stop> {
        self.till.purse.available(self.work, self.till.user)
    }

    /// Writes what has come of it.
    pub fn close(self) -> Result<(Option<Contract>, Money), Stop> {
        let Self { work, before, contract, app, money, .. } = self;
        if let Some(contract) = &contract {
            let after = before.subscription().with(contract, app);
            work.revise(&before, &before.with(after))?;
        }
        Ok((contract, money))
    }
}

/// What waiting for credits can mend.
fn waits(fault: &Fault) -> bool {
    fault.code() == SHORT || matches!(fault.code(), Code::WalletFrozen | Code::ModuleDisabled)
}

fn has_no_room(fault: &Fault) -> bool {
    matches!(fault.code(), Code::WalletFull | Code::ModuleDisabled | Code::Invalid)
}
