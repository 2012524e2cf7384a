//! Erasing: one unit over everything that is the person's.

use bson::{Document, doc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::actions::EraseUser;
use crate::access::grant::Granted;
use crate::audit::warrant::Warrant;
use crate::kernel::chance::Series;
use crate::kernel::credits::Credits;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{ConnectionId, UserId};
use crate::kernel::time::rfc3339;
use crate::modules::wallet::Wallet;
use crate::modules::{Bill, Purse};
use crate::store::{Done, Hints, Key, Query, Record, Stop, Store, UserKey, Work};
use crate::users::{BUILT_IN, Connection, Identity, Preferences, Profile, User, UserStatus};

/// What becomes of credits that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftCredits {
    /// The person is not erased while there are any.
    #[default]
    Refuse,
    /// They are taken, with an entry of the ledger.
    Forfeit,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErasedView {
    user_id: String,
    #[schema(value_type = String, example = "erased")]
    status: UserStatus,
    /// Credits that were taken.
    #[schema(minimum = 0)]
    forfeited: i64,
    /// `null` where it was done before.
    #[schema(required = true)]
    erased_at: Option<String>,
}

/// What a person has besides the record itself, by name.
struct Belongings {
    identities: Vec<String>,
    connections: Vec<ConnectionId>,
}

/// What is done in one unit.
struct Erasure {
    user: UserId,
    belongings: Belongings,
    left: LeftCredits,
    reason: String,
    warrant: Warrant,
    ids: Series,
}

/// Looks so often for what came while it was at work.
const LOOKS: usize = 3;

pub async fn erase(
    grant: &Granted<EraseUser>,
    store: &Store,
    user: UserId,
    left: LeftCredits,
    reason: String,
) -> Result<Done<ErasedView>, Fault> {
    let mut first = None;
    for _ in 0..LOOKS {
        let belongings = Belongings::of(grant, store, user).await?;
        if first.is_some() && belongings.is_nothing() {
            break;
        }
        let warrant = grant.warrant();
        // Only the first time is what was asked for; the rest is tidying up after it.
        let warrant = if first.is_some() { warrant.unrepeatable() } else { warrant };
        let ids = Series::new(store.chance(), grant.now());
        let reason = reason.clone();
        let hints = belongings.hints(user);
        let erasure = Erasure { user, belongings, left, reason, warrant: warrant.clone(), ids };
        let done = store.unit(warrant, hints, move |work| erasure.carry_out(work)).await?;
        first.get_or_insert(done);
    }
    store.forget_key(user);
    first.ok_or_else(|| Fault::internal("an erasure was not tried"))
}

impl Belongings {
    async fn of(grant: &Granted<EraseUser>, store: &Store, user: UserId) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Named<T> {
            #[serde(rename = "_id")]
            id: T,
        }
        let pass = grant.pass();
        let theirs = doc! { "user_id": user.0 };
        let identities = Query::of(Identity::KIND.collection, theirs.clone());
        let identities: Vec<Named<String>> = store.list(&pass, identities).await?;
        let mut tied = theirs;
        tied.insert("connection_status", doc! { "$ne": "revoked" });
        let connections = Query::of(Connection::COLLECTION, tied).only(doc! { "_id": 1 });
        let connections: Vec<Named<ConnectionId>> = store.list(&pass, connections).await?;
        Ok(Self {
            identities: identities.into_iter().map(|it| it.id).collect(),
            connections: connections.into_iter().map(|it| it.id).collect(),
        })
    }

    fn is_nothing(&self) -> bool {
        self.identities.is_empty() && self.connections.is_empty()
    }

    fn hints(&self, user: UserId) -> Hints {
        let hints = Hints::none().and(&User::by_id(user)).and(&UserKey::of(user));
        let hints = self
            .identities
            .iter()
            .fold(hints, |hints, name| hints.and(&Key::<Identity>::id(name.as_str())));
        self.connections.iter().fold(hints, |hints, id| hints.and(&Connection::by_id(*id)))
    }
}

impl Erasure {
    fn carry_out(&self, work: &mut Work) -> Result<ErasedView, Stop> {
        let found = work.get(&User::by_id(self.user))?;
        if found.status == UserStatus::Merged {
            return Err(Fault::of(Code::NotFound).into());
        }
        let is_first = found.status != UserStatus::Erased;
        let forfeited = if is_first { self.settle(work, &found)? } else { 0 };
        work.refer_to(&self.reason);
        for name in &self.belongings.identities {
            let identity = work.find(&Key::<Identity>::id(name.as_str()))?;
            if let Some(identity) = identity.filter(|it| it.user_id == self.user) {
                work.erase(&identity);
            }
        }
        for id in &self.belongings.connections {
            let Some(before) = work.find(&Connection::by_id(*id))? else { continue };
            let mut after = before.clone();
            after.cut();
            after.allowed_ips = Vec::new();
            work.revise(&before, &after)?;
        }
        if is_first {
            let before = work.get(&User::by_id(self.user))?;
            work.revise(&before, &erased(&before, work.now()))?;
            if let Some(key) = work.find(&UserKey::of(self.user))? {
                work.erase(&key);
            }
        }
        Ok(ErasedView {
            user_id: self.user.to_string(),
            status: UserStatus::Erased,
            forfeited,
            erased_at: is_first.then(|| rfc3339(work.now())),
        })
    }

    /// What is left of the wallet: nothing, or it is taken, or the person stays.
    fn settle(&self, work: &mut Work, user: &User) -> Result<i64, Stop> {
        let balance = balance(user);
        if balance == 0 {
            return Ok(0);
        }
        if self.left == LeftCredits::Refuse {
            return Err(not_empty(balance, "send `credits: \"forfeit\"` to have them taken"));
        }
        let available = Wallet.available(work, self.user)?;
        if let Some(amount) = Credits::new(available) {
            let bill = Bill {
                warrant: self.warrant.clone(),
                amount,
                module: "customers",
                app: None,
                reference: format!("erase:{}", self.user),
                description: None,
                ids: self.ids.clone(),
            };
            Wallet.take(work, self.user, &bill)?;
        }
        match balance_now(work, self.user)? {
            0 => Ok(balance),
            left => Err(not_empty(left, "release or capture its holds, and wait for lots to come")),
        }
    }
}

fn balance(user: &User) -> i64 {
    let wallet = user.modules.get_document("wallet").ok();
    wallet.and_then(|wallet| wallet.get_i64("balance").ok()).unwrap_or(0)
}

fn balance_now(work: &mut Work, user: UserId) -> Result<i64, Stop> {
    Ok(balance(&work.get(&User::by_id(user))?))
}

fn not_empty(balance: i64, remedy: &str) -> Stop {
    let detail = format!("There are {balance} credits in the wallet: {remedy}.");
    Fault::new(Code::WalletNotEmpty, detail).into()
}

/// What stays of the record: numbers, states and times.
fn erased(before: &User, now: crate::kernel::time::Timestamp) -> User {
    User {
        email: None,
        username: None,
        password: None,
        password_must_change: false,
        status: UserStatus::Erased,
        status_reason: None,
        updated_at: now,
        profile: Profile::default(),
        preferences: Preferences::default(),
        modules: kept(&before.modules),
        kyc_level: 0,
        ..before.clone()
    }
}

/// Of built-in modules what is nobody's words; of registered ones nothing.
fn kept(modules: &Document) -> Document {
    let built_in = modules.iter().filter(|(name, _)| BUILT_IN.contains(&name.as_str()));
    let without_words = |data: &bson::Bson| match data {
        bson::Bson::Document(fields) => {
            let kept = fields.iter().filter(|(name, _)| !name.ends_with("_reason"));
            kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Document>().into()
        }
        other => other.clone(),
    };
    built_in.map(|(name, data)| (name.clone(), without_words(data))).collect()
}
