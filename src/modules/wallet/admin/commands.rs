//! Writing and reading, for admins.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::action::{Action, Mutating};
use crate::access::grant::{Granted, OnPlatform};
use crate::kernel::credits::Credits;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{LedgerId, UserId};
use crate::kernel::page::{Limit, Page};
use crate::modules::wallet::actions::{
    AdjustWallet, CaptureAnyHold, FreezeWallet, ReadWallets, ReleaseAnyHold, UnfreezeWallet,
};
use crate::modules::wallet::book::{Booked, Slip, book};
use crate::modules::wallet::commands::resolved;
use crate::modules::wallet::model::{Direction, Operation, Resolver, adjustment};
use crate::modules::wallet::plan::{Moved, Terms, carried_out, slip};
use crate::modules::wallet::queries::{self, Filter, Position};
use crate::modules::wallet::record::{Holder, Wallet};
use crate::modules::wallet::view::{ItemView, Looker};
use crate::store::{Done, Hints, Stop, Store, Work};
use crate::users::UserStatus;

#[derive(Debug, Clone, Copy)]
pub struct Adjustment {
    pub amount: Credits,
    pub direction: Direction,
}

/// Whether a wallet is frozen.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FrozenView {
    frozen: bool,
    /// Why.
    #[schema(required = true)]
    reason: Option<String>,
}

pub async fn adjust(
    grant: &Granted<AdjustWallet>,
    store: &Store,
    user: UserId,
    correction: Adjustment,
    terms: Terms,
) -> Moved {
    let Adjustment { amount, direction } = correction;
    let nature = adjustment(grant.now());
    let operation = Operation::Adjust { amount, direction, nature };
    on(grant, store, user, terms, move |work, slip| book(work, user, slip, &operation)).await
}

pub async fn capture(
    grant: &Granted<CaptureAnyHold>,
    store: &Store,
    user: UserId,
    (hold, amount): (LedgerId, Option<Credits>),
    terms: Terms,
) -> Moved {
    let operation = Operation::Capture { hold, amount, by: Resolver::Admin };
    let resolve =
        move |work: &mut Work, slip: &Slip| resolved(work, user, slip, hold, None, &operation);
    on(grant, store, user, terms, resolve).await
}

pub async fn release(
    grant: &Granted<ReleaseAnyHold>,
    store: &Store,
    user: UserId,
    hold: LedgerId,
    terms: Terms,
) -> Moved {
    let operation = Operation::Release { hold, by: Resolver::Admin };
    let resolve =
        move |work: &mut Work, slip: &Slip| resolved(work, user, slip, hold, None, &operation);
    on(grant, store, user, terms, resolve).await
}

async fn on<A: Mutating<Target = OnPlatform>>(
    grant: &Granted<A>,
    store: &Store,
    user: UserId,
    terms: Terms,
    body: impl Fn(&mut Work, &Slip) -> Result<Booked, Stop> + Send + Sync + 'static,
) -> Moved {
    let warrant = grant.warrant();
    let slip = slip(&warrant, store, &terms);
    let hints = Hints::none().and(&Holder::by_id(user));
    carried_out(store, warrant, hints, terms.purpose, move |work| {
        known(work, user)?;
        body(work, &slip)
    })
    .await
}

/// Somebody who is still there; whether they are active does not matter to an admin.
fn known(work: &mut Work, user: UserId) -> Result<Holder, Stop> {
    let holder = work.get(&Holder::by_id(user))?;
    match holder.status {
        UserStatus::Merged | UserStatus::Erased => Err(Fault::of(Code::NotFound).into()),
        _ => Ok(holder),
    }
}

pub async fn freeze(
    grant: &Granted<FreezeWallet>,
    store: &Store,
    user: UserId,
    reason: String,
) -> Result<Done<FrozenView>, Fault> {
    put(grant, store, user, Some(reason)).await
}

pub async fn unfreeze(
    grant: &Granted<UnfreezeWallet>,
    store: &Store,
    user: UserId,
) -> Result<Done<FrozenView>, Fault> {
    put(grant, store, user, None).await
}

/// A wallet that is frozen already keeps its first reason.
async fn put<A: Mutating<Target = OnPlatform>>(
    grant: &Granted<A>,
    store: &Store,
    user: UserId,
    reason: Option<String>,
) -> Result<Done<FrozenView>, Fault> {
    let hints = Hints::none().and(&Holder::by_id(user));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        let before = known(work, user)?;
        let mut wallet = before.wallet().clone();
        if wallet.frozen != reason.is_some() {
            wallet.frozen = reason.is_some();
            wallet.frozen_reason.clone_from(&reason);
        }
        let shown = FrozenView { frozen: wallet.frozen, reason: wallet.frozen_reason.clone() };
        work.revise(&before, &before.with(wallet))?;
        Ok(shown)
    });
    unit.await
}

pub async fn wallet(
    grant: &Granted<ReadWallets>,
    store: &Store,
    user: UserId,
) -> Result<Wallet, Fault> {
    Ok(holder(grant, store, user).await?.modules.wallet)
}

async fn holder<A: Action>(
    grant: &Granted<A>,
    store: &Store,
    user: UserId,
) -> Result<Holder, Fault> {
    let holder = store.find(&grant.pass(), &Holder::by_id(user)).await?;
    holder.ok_or_else(|| Fault::of(Code::NotFound))
}

pub fn looker(grant: &Granted<ReadWallets>) -> Looker {
    Looker::Admin { sees_notes: grant.target().sees_personal_values }
}

pub async fn entries(
    grant: &Granted<ReadWallets>,
    store: &Store,
    user: UserId,
    (filter, limit, after): (&Filter, Limit, Option<Position>),
) -> Result<Page<ItemView, Position>, Fault> {
    holder(grant, store, user).await?;
    queries::page(&grant.pass(), store, user, &looker(grant), filter, limit, after).await
}
