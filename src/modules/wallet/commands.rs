//! Writing: what apps do to a wallet, each in one unit.

use bson::doc;

use super::actions::{CaptureHold, Credit, Debit, PlaceHold, Refund, ReleaseHold, Transfer};
use super::book::{Booked, Slip, book, why_not_open};
use super::entry::{Entry, Tally};
use super::model::{Expired, LineKind, Operation, Original, PRIORITY, Resolver};
use super::plan::{Moved, Plan, Terms};
use super::record::{Category, Holder, Nature};
use super::view::HeldView;
use crate::access::action::Mutating;
use crate::access::grant::{Granted, OnTie};
use crate::apps::{App, Trust};
use crate::audit::warrant::Pass;
use crate::kernel::credits::Credits;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AccountNumber, AppId, LedgerId, UserId};
use crate::kernel::time::{self, DAY_MS, Timestamp};
use crate::store::{Done, Hints, Query, Record, Stop, Store, Work};
use crate::users::{Connection, ConnectionStatus, User, UserStatus};

/// Credits to be issued.
#[derive(Debug, Clone, Copy)]
pub struct Issue {
    pub amount: Credits,
    pub category: Category,
    pub priority: i64,
    /// At once, unless said.
    pub effective_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

impl Issue {
    /// Credits that were paid for, and do not end.
    pub fn of(amount: i64) -> Option<Self> {
        let (category, priority) = (Category::Paid, PRIORITY);
        let amount = Credits::new(amount)?;
        Some(Self { amount, category, priority, effective_at: None, expires_at: None })
    }
}

pub enum Payee {
    User(UserId),
    Account(AccountNumber),
}

/// What is to be refunded of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Refunding {
    pub entry: LedgerId,
    /// All that is left, unless said.
    pub amount: Option<Credits>,
    pub expired: Expired,
}

pub async fn credit(grant: &Granted<Credit>, store: &Store, issue: Issue, terms: Terms) -> Moved {
    let (target, at) = (grant.target().clone(), grant.now());
    let nature = Nature {
        category: issue.category,
        priority: issue.priority,
        effective_at: issue.effective_at.unwrap_or(at),
        expires_at: issue.expires_at,
    };
    let operation = Operation::Credit { amount: issue.amount, nature };
    let (app, now) = (target.app.clone(), at);
    let hints = Hints::none().and(&Tally::key_of(&Tally::issued(&app, now)));
    let hints = hints.look(&App::by_id(&app));
    let plan = Plan::new(grant, store, &terms, &[LineKind::Credit]).hinting(hints);
    let issued = move |work: &mut Work| {
        still_to_come(issue, now)?;
        count_issued(work, &app, issue, now)
    };
    plan.run(operation, issued).await
}

/// Credits that could never be spent are a mistake, and the answer to this key for good.
fn still_to_come(issue: Issue, now: Timestamp) -> Result<(), Stop> {
    let begins = issue.effective_at.map_or(now, |from| from.max(now));
    if issue.expires_at.is_some_and(|end| end <= begins) {
        let accepted = "a time to come, and after effective_at";
        return Err(Fault::invalid("/expires_at", "not_accepted", accepted).into());
    }
    Ok(())
}

/// The app may issue such credits, and so many on this day.
fn count_issued(work: &mut Work, app: &AppId, issue: Issue, now: Timestamp) -> Result<(), Stop> {
    let not_allowed = |detail: String| Err(Fault::new(Code::IssuanceNotAllowed, detail).into());
    let may = work.get(&App::by_id(app))?.may_issue;
    let category = issue.category.as_str();
    if !may.categories.iter().any(|one| one == category) {
        return not_allowed(format!("This app's `may_issue.categories` have no `{category}`."));
    }
    let id = Tally::issued(app, now);
    let before = work.find(&Tally::key_of(&id))?;
    let issued = before.as_ref().map_or(0, |tally| tally.amount);
    let amount = issue.amount.get().checked_add(issued).filter(|amount| *amount <= may.per_day);
    let Some(amount) = amount else {
        let left = may.per_day.saturating_sub(issued).max(0);
        return not_allowed(format!(
            "This app may issue {} credits a day (UTC): {left} are left today.",
            may.per_day
        ));
    };
    // Longer than anybody's clock is wrong.
    let after = Tally { id, amount, expires_at: Some(time::plus(now, TALLY_DAYS * DAY_MS)) };
    match before {
        Some(before) => work.revise(&before, &Tally { amount, ..before.clone() }),
        None => work.create(&after),
    }
}

const TALLY_DAYS: i64 = 40;

pub async fn debit(grant: &Granted<Debit>, store: &Store, amount: Credits, terms: Terms) -> Moved {
    let plan = Plan::new(grant, store, &terms, &[LineKind::Debit]);
    plan.run(Operation::Debit { amount }, |_| Ok(())).await
}

/// Both sides in one unit: what the one loses the other has. That there is no such payee is said in
/// the unit, too: a transfer that was done is answered so, whatever has become of the payee since.
pub async fn transfer(
    grant: &Granted<Transfer>,
    store: &Store,
    amount: Credits,
    to: Payee,
    terms: Terms,
) -> Moved {
    let payee = payee(grant, store, &to).await?;
    let target = grant.target().clone();
    let kinds = [LineKind::TransferOut, LineKind::TransferIn];
    let plan = Plan::new(grant, store, &terms, &kinds).hinting(hints(payee, &to, &target.app));
    let (incoming, payer) = (plan.slip(grant, store), target.user);
    let send = Operation::Send { amount };
    let done = plan.unit(move |work, slip| {
        only_first_party(work, &target.app)?;
        let receiver = receiver(work, &target.app, payee, &to)?;
        if receiver.id == payer {
            return Err(Fault::invalid("/to", "not_accepted", "somebody else's wallet").into());
        }
        let account = work.get(&Holder::by_id(payer))?.account_number;
        let outgoing = Slip { counterpart: Some(receiver.account_number), ..slip.clone() };
        let sent = book(work, payer, &outgoing, &send)?;
        let slices = sent.entry.slices.clone();
        let incoming = Slip { counterpart: Some(account), ..incoming.clone() };
        book(work, receiver.id, &incoming, &Operation::Receive { slices })?;
        Ok(sent)
    });
    done.await
}

fn hints(payee: Option<UserId>, to: &Payee, app: &AppId) -> Hints {
    let hints = Hints::none().look(&App::by_id(app));
    match (payee, to) {
        (None, _) => hints,
        (Some(payee), Payee::Account(_)) => hints.and(&Holder::by_id(payee)),
        (Some(payee), Payee::User(_)) => {
            hints.and(&Holder::by_id(payee)).look(&Connection::between(payee, app))
        }
    }
}

async fn payee(
    grant: &Granted<Transfer>,
    store: &Store,
    to: &Payee,
) -> Result<Option<UserId>, Fault> {
    match to {
        Payee::User(id) => Ok(Some(*id)),
        Payee::Account(number) => {
            Ok(of_account(grant.pass(), store, number).await?.map(|user| user.id))
        }
    }
}

/// Whose account it is, if it is anybody's who can be paid.
pub(super) async fn of_account(
    pass: Pass,
    store: &Store,
    number: &AccountNumber,
) -> Result<Option<User>, Fault> {
    let filter = doc! { "account_number": number.as_str() };
    let found: Vec<User> =
        store.list(&pass, Query::of(User::KIND.collection, filter).limit(1)).await?;
    Ok(found.into_iter().next().filter(|user| user.status == UserStatus::Active))
}

/// Somebody the app is connected with, or whose account number it was told.
fn receiver(
    work: &mut Work,
    app: &AppId,
    payee: Option<UserId>,
    to: &Payee,
) -> Result<Holder, Stop> {
    let payee = payee.ok_or_else(no_payee)?;
    let connected = match to {
        Payee::Account(_) => true,
        Payee::User(_) => {
            let tie = work.find(&Connection::between(payee, app))?;
            tie.is_some_and(|tie| tie.connection_status == ConnectionStatus::Active)
        }
    };
    let holder = work.find(&Holder::by_id(payee))?;
    let holder = holder.filter(|holder| connected && holder.status == UserStatus::Active);
    Ok(holder.ok_or_else(no_payee)?)
}

fn no_payee() -> Fault {
    let detail = "There is no such payee: an active person connected to this app (`to.user_id`), or \
        the owner of an account (`to.account_number`).";
    Fault::new(Code::NotFound, detail)
}

fn only_first_party(work: &mut Work, app: &AppId) -> Result<(), Stop> {
    match work.get(&App::by_id(app))?.trust {
        Trust::FirstParty => Ok(()),
        Trust::ThirdParty => Err(Fault::of(Code::NotFirstParty).into()),
    }
}

pub async fn hold(
    grant: &Granted<PlaceHold>,
    store: &Store,
    amount: Credits,
    ttl_seconds: i64,
    terms: Terms,
) -> Result<Done<HeldView>, Fault> {
    let target = grant.target().clone();
    let plan = Plan::new(grant, store, &terms, &[LineKind::Hold]);
    let done = plan.unit(move |work, slip| {
        // From the moment of the decision on: whose clock is slow gets its whole time, too.
        let at = work.get(&Holder::by_id(target.user))?.moment(work.now());
        let operation = Operation::Hold {
            amount,
            expires_at: time::plus(at, ttl_seconds.saturating_mul(time::SECOND_MS)),
            app_id: target.app.clone(),
            connection_id: Some(target.connection),
        };
        book(work, target.user, slip, &operation)
    });
    Ok(done.await?.map(HeldView::from))
}

pub async fn capture(
    grant: &Granted<CaptureHold>,
    store: &Store,
    hold: LedgerId,
    amount: Option<Credits>,
    terms: Terms,
) -> Moved {
    let by = Resolver::App(grant.target().app.clone());
    resolve(grant, store, hold, Operation::Capture { hold, amount, by }, terms).await
}

pub async fn release(
    grant: &Granted<ReleaseHold>,
    store: &Store,
    hold: LedgerId,
    terms: Terms,
) -> Moved {
    let by = Resolver::App(grant.target().app.clone());
    resolve(grant, store, hold, Operation::Release { hold, by }, terms).await
}

async fn resolve<A: Mutating<Target = OnTie>>(
    grant: &Granted<A>,
    store: &Store,
    hold: LedgerId,
    operation: Operation,
    terms: Terms,
) -> Moved {
    let (user, app) = (grant.target().user, grant.target().app.clone());
    let plan = Plan::new(grant, store, &terms, &[operation.kind()]);
    let done =
        plan.unit(move |work, slip| resolved(work, user, slip, hold, Some(&app), &operation));
    done.await
}

/// Ends a hold, or says why it cannot be ended.
pub(super) fn resolved(
    work: &mut Work,
    user: UserId,
    slip: &Slip,
    hold: LedgerId,
    app: Option<&AppId>,
    operation: &Operation,
) -> Result<Booked, Stop> {
    match book(work, user, slip, operation) {
        Err(Stop::Refused(fault)) if fault.code() == Code::NotFound => {
            Err(why_not_open(work, user, hold, app)?.into())
        }
        booked => booked,
    }
}

/// Of what this app has debited or captured itself.
pub async fn refund(
    grant: &Granted<Refund>,
    store: &Store,
    refunding: Refunding,
    terms: Terms,
) -> Moved {
    let target = grant.target().clone();
    let tally = Tally::refunded(refunding.entry);
    let hints = Hints::none().and(&Tally::key_of(&tally)).look(&Entry::by_id(refunding.entry));
    let plan = Plan::new(grant, store, &terms, &[LineKind::Refund]).hinting(hints);
    let done = plan.unit(move |work, slip| {
        let entry = work.get(&Entry::by_id(refunding.entry))?;
        if entry.user_id != target.user || entry.app_id.as_ref() != Some(&target.app) {
            return Err(Fault::of(Code::NotFound).into());
        }
        // A subscription's bill is given back by changing the subscription.
        if entry.scope != slip.author.scope {
            let detail = "This app did not take these credits itself: a module or an admin did.";
            return Err(Fault::new(Code::NotRefundable, detail).into());
        }
        let slip = Slip { parent: Some(entry.id), ..slip.clone() };
        put_back(work, &slip, entry, refunding)
    });
    done.await
}

/// Puts back and counts what was put back: all refunds of an entry never exceed it.
pub(super) fn put_back(
    work: &mut Work,
    slip: &Slip,
    entry: Entry,
    refunding: Refunding,
) -> Result<Booked, Stop> {
    if !matches!(entry.kind, LineKind::Debit | LineKind::Capture) {
        return Err(Fault::of(Code::NotRefundable).into());
    }
    let id = Tally::refunded(entry.id);
    let before = work.find(&Tally::key_of(&id))?;
    let refunded = before.as_ref().map_or(0, |tally| tally.amount);
    let original = Original {
        spent_at: entry.held_since.unwrap_or(entry.created_at),
        slices: entry.slices,
        refunded,
    };
    let Refunding { amount, expired, .. } = refunding;
    let booked = book(work, entry.user_id, slip, &Operation::Refund { original, amount, expired })?;
    let amount = refunded + booked.entry.amount;
    match before {
        Some(before) => work.revise(&before, &Tally { amount, ..before.clone() })?,
        None => work.create(&Tally { id, amount, expires_at: None })?,
    }
    Ok(booked)
}
