//! The people whose wallets are debited, with credits enough for the whole bench; and the debit that
//! all sides do.

use std::sync::Arc;

use mongodb::Database;
use serde_json::{Value, json};

use crate::access::grant::Granted;
use crate::app::bench::{head, people_of};
use crate::app::build::Purser;
use crate::app::bulk;
use crate::kernel::credits::CREDITS_MAX;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::modules::wallet;

pub const AMOUNT: i64 = 1;
/// What a client writes about its debit; it is sealed.
pub const DESCRIPTION: &str = "Two coffees";
pub const METHOD: &str = "POST";
pub const ROUTE: &str = "/v1/users/{user}/wallet/debits";

/// No bench takes so much from anybody.
const OPENING_BALANCE: i64 = 1_000_000_000;
/// Wallets that are opened at one time.
const AT_ONCE: usize = 256;

pub struct Bank {
    /// The app's.
    pub key: Arc<str>,
    pub holders: Vec<Holder>,
}

/// Whose they are, and the key of the app that may debit them.
#[derive(Clone)]
pub struct Wallets {
    pub key: Arc<str>,
    pub ids: Arc<[String]>,
}

/// Somebody with a wallet, and leave to debit it. A grant lives as long as its request; this request
/// lasts for the whole bench.
pub struct Holder {
    pub user: UserId,
    pub path: String,
    pub grant: Granted<wallet::Debit>,
}

pub fn body() -> Value {
    json!({ "amount": AMOUNT, "description": DESCRIPTION })
}

/// The Idempotency-Key of a debit: 24 characters.
pub fn key(number: usize) -> String {
    format!("{KEY_PREFIX}{number:0KEY_DIGITS$}")
}

pub const KEY_PREFIX: &str = "bench-";
pub const KEY_DIGITS: usize = 18;

impl Bank {
    pub async fn open(purser: &Purser, database: &Database, count: u32) -> Result<Self, String> {
        let people = people_of(purser, database, count, issuing()).await?;
        println!("opening their wallets ...");
        let key: Arc<str> = people.key.into();
        let mut holders = Vec::with_capacity(people.ids.len());
        for chunk in people.ids.chunks(AT_ONCE) {
            let opening: Vec<_> = chunk
                .iter()
                .map(|id| {
                    let (purser, key, id) = (purser.clone(), Arc::clone(&key), id.clone());
                    tokio::spawn(async move { opened(&purser, &key, &id).await })
                })
                .collect();
            for holder in opening {
                let holder = holder.await.map_err(|_| "a credit panicked")?;
                holders.push(holder.map_err(|fault| fault.to_string())?);
            }
        }
        Ok(Self { key, holders })
    }

    pub fn wallets(&self) -> Wallets {
        let ids = self.holders.iter().map(|holder| holder.user.to_string()).collect();
        Wallets { key: Arc::clone(&self.key), ids }
    }
}

/// The app of the people, which may issue whatever it likes besides.
fn issuing() -> Value {
    let mut app = bulk::app();
    app["may_issue"] = json!({ "categories": ["paid"], "per_day": CREDITS_MAX });
    app
}

async fn opened(purser: &Purser, key: &str, id: &str) -> Result<Holder, Fault> {
    let grant = purser.gate.admit::<wallet::Credit>(&head(purser, key, Some(id))).await?;
    let issue = wallet::Issue::of(OPENING_BALANCE).expect("a whole number of credits");
    let reference = Some(format!("opening:{id}"));
    let terms = wallet::Terms { reference, ..wallet::Terms::default() };
    wallet::credit(&grant, &purser.store, issue, terms).await?;
    let grant = purser.gate.admit::<wallet::Debit>(&head(purser, key, Some(id))).await?;
    let path = ROUTE.replace("{user}", id);
    Ok(Holder { user: grant.target().user, path, grant })
}
