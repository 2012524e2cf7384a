//! Whether the wallets are right in the end, whoever debited them: nothing lost, nothing doubled.

use std::collections::HashMap;

use bson::oid::ObjectId;
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::Database;
use serde::Deserialize;

/// What the ledger says of one wallet.
#[derive(Deserialize)]
struct Sum {
    #[serde(rename = "_id")]
    user: ObjectId,
    balance: i64,
    lines: i64,
    last: i64,
}

/// What the user record says of it.
#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "_id")]
    user: ObjectId,
    balance: i64,
    seq: i64,
    remaining: i64,
}

/// Every balance is the sum of its entries and of what remains of its lots, entries are numbered
/// without gaps, and there are as many debits as were acknowledged, in the ledger, the trail and among
/// the answers that are remembered.
pub async fn check(database: &Database, debits: usize) -> Result<(), String> {
    let sums: Vec<Sum> = listed(
        database,
        "wallet_entries",
        doc! { "$group": {
            "_id": "$user_id", "balance": { "$sum": "$balance_change" },
            "lines": { "$sum": 1_i64 }, "last": { "$max": "$seq" },
        } },
    )
    .await?;
    let stored: Vec<Stored> = listed(
        database,
        "users",
        doc! { "$project": {
            "balance": "$modules.wallet.balance", "seq": "$modules.wallet.seq",
            "remaining": { "$sum": "$modules.wallet.lots.remaining" },
        } },
    )
    .await?;
    let sums: HashMap<ObjectId, Sum> = sums.into_iter().map(|sum| (sum.user, sum)).collect();
    for wallet in &stored {
        let sum = sums.get(&wallet.user).ok_or("somebody's wallet was never opened")?;
        let told = (wallet.balance, wallet.seq, wallet.remaining);
        if told != (sum.balance, sum.last, sum.balance) || sum.lines != sum.last {
            return Err(format!("the wallet of {} is not what its entries say", wallet.user));
        }
    }
    let wanted = u64::try_from(debits).unwrap_or(u64::MAX);
    for (name, filter) in [
        ("wallet_entries", doc! { "kind": "debit" }),
        ("user_audit_logs", doc! { "action": "wallet_debited" }),
        ("idempotency", doc! {}),
    ] {
        let found = database.collection::<Document>(name).count_documents(filter).await;
        let found = found.map_err(|_| unread(name))?;
        if found != wanted {
            return Err(format!("{wanted} debits were acknowledged, {name} has {found}"));
        }
    }
    println!("{} wallets and {debits} debits are right", stored.len());
    Ok(())
}

async fn listed<T>(database: &Database, name: &str, stage: Document) -> Result<Vec<T>, String>
where
    T: for<'de> Deserialize<'de> + Send + Sync + Unpin,
{
    let found = database.collection::<Document>(name).aggregate([stage]).with_type::<T>().await;
    found.map_err(|_| unread(name))?.try_collect().await.map_err(|_| unread(name))
}

fn unread(name: &str) -> String {
    format!("{name} cannot be read")
}
