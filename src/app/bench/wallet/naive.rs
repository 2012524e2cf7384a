//! What Purser is compared with: a transaction for each debit, as people write it who follow the
//! source document. It looks up the connection and the user, changes the balance, and adds the line of
//! the ledger, the entry of the trail and the record of the Idempotency-Key.
//!
//! It writes what Purser writes: the new documents are those of a debit by Purser, with this debit's
//! values in their places. Sealed texts are copies, so it pays for their bytes and not for sealing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use mongodb::error::{Error, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, WriteConcern};
use mongodb::{Client, ClientSession, Database};
use tokio::sync::Mutex;

use super::bank::{AMOUNT, Bank, key};
use super::slice::{Ended, Turn};
use crate::kernel::chance::Chance;
use crate::kernel::time::{Clock, DAY_MS, Timestamp, plus};

/// What is done when somebody else has changed the same user meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    AtOnce,
    /// As the driver's own `and_run` does since its version 3.5: the longer, the more often it failed.
    WithPauses,
    /// At once; but the clients of this process take turns at each user.
    InTurns,
}

/// Connections that its client may open: one for each task, none waits for another.
const POOL: u32 = 512;

#[derive(Clone)]
pub struct Naive {
    database: Database,
    bank: Arc<Bank>,
    turns: Arc<Vec<Mutex<()>>>,
    sample: Arc<Sample>,
    clock: Clock,
    chance: Chance,
}

/// What one debit by Purser has written.
struct Sample {
    line: Document,
    entry: Document,
    memory: Document,
}

/// One debit, with everything that is the same in each attempt.
struct Debit {
    user: ObjectId,
    app: String,
    number: usize,
    now: Timestamp,
    line: ObjectId,
    entry: ObjectId,
}

/// What one attempt writes.
struct Written {
    update: Document,
    line: Document,
    entry: Document,
    memory: Document,
}

impl Naive {
    /// By a client of its own, since Purser's is made for Purser.
    pub async fn connect(
        uri: &str,
        database: &str,
        bank: &Arc<Bank>,
        clock: Clock,
        chance: Chance,
    ) -> Result<Self, String> {
        let options = ClientOptions::parse(uri).await;
        let mut options = options.map_err(|_| "the connection string cannot be read")?;
        options.max_pool_size = Some(POOL);
        let client = Client::with_options(options).map_err(told)?;
        let database = client.database(database);
        let sample = Arc::new(Sample::read(&database).await?);
        let turns = bank.holders.iter().map(|_| Mutex::default()).collect();
        Ok(Self { database, bank: Arc::clone(bank), turns: Arc::new(turns), sample, clock, chance })
    }

    pub async fn debit(&self, turn: Turn, retry: Retry) -> Result<Ended, String> {
        let _alone = match retry {
            Retry::InTurns => Some(self.turns[turn.person].lock().await),
            Retry::AtOnce | Retry::WithPauses => None,
        };
        let user = self.bank.holders[turn.person].user.0;
        let now = self.clock.now();
        let (line, entry) = (self.chance.object_id(now), self.chance.object_id(now));
        let app = self.sample.line.get_str("app_id").unwrap_or_default().to_owned();
        let debit = Debit { user, app, number: turn.number, now, line, entry };
        let mut session = self.database.client().start_session().await.map_err(told)?;
        let mut tries = 0;
        while Instant::now() < turn.until {
            match self.attempt(&mut session, &debit).await {
                Ok(()) => return Ok(Ended::Done),
                Err(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {}
                Err(error) => return Err(told(error)),
            }
            tries += 1;
            if retry == Retry::WithPauses {
                tokio::time::sleep(self.pause(tries)).await;
            }
        }
        Ok(Ended::Abandoned)
    }

    /// The driver's own: up to 5 ms × 1.5 ^ tries, and never more than half a second.
    fn pause(&self, tries: i32) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a number below a million")]
        let share = self.chance.below(1_000_000) as f64 / 1e6;
        Duration::from_secs_f64(share * (0.005 * 1.5_f64.powi(tries.min(40))).min(0.5))
    }

    /// Either all of it or nothing.
    async fn attempt(&self, session: &mut ClientSession, debit: &Debit) -> Result<(), Error> {
        let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        let started = session.start_transaction().read_concern(ReadConcern::snapshot());
        started.write_concern(majority).await?;
        if let Err(error) = self.write(session, debit).await {
            session.abort_transaction().await?;
            return Err(error);
        }
        loop {
            match session.commit_transaction().await {
                Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {}
                committed => return committed,
            }
        }
    }

    /// The user before everything that is inserted: who comes too late learns it soon.
    #[expect(clippy::disallowed_methods, reason = "this is what the write path is compared with")]
    async fn write(&self, session: &mut ClientSession, debit: &Debit) -> Result<(), Error> {
        let of = |name| self.database.collection::<Document>(name);
        let missing = || Error::custom("somebody has no connection or no wallet with credits");
        let tie =
            doc! { "user_id": debit.user, "app_id": &debit.app, "connection_status": "active" };
        let tie = of("user_apps").find_one(tie).session(&mut *session).await?;
        let id = doc! { "_id": debit.user };
        let user = of("users").find_one(id.clone()).session(&mut *session).await?;
        let (tie, user) = (tie.ok_or_else(missing)?, user.ok_or_else(missing)?);
        let written = debit.written(&self.sample, &tie, &user).ok_or_else(missing)?;
        of("users").update_one(id, written.update).session(&mut *session).await?;
        of("wallet_entries").insert_one(written.line).session(&mut *session).await?;
        of("user_audit_logs").insert_one(written.entry).session(&mut *session).await?;
        of("idempotency").insert_one(written.memory).session(&mut *session).await?;
        Ok(())
    }
}

impl Sample {
    async fn read(database: &Database) -> Result<Self, String> {
        let one = async |name: &str, filter: Document| {
            let found = database.collection::<Document>(name).find_one(filter).await;
            found.map_err(told)?.ok_or_else(|| format!("Purser has left nothing in {name}"))
        };
        Ok(Self {
            line: one("wallet_entries", doc! { "kind": "debit" }).await?,
            entry: one("user_audit_logs", doc! { "action": "wallet_debited" }).await?,
            memory: one("idempotency", doc! {}).await?,
        })
    }
}

/// How long Purser keeps an answer.
const KEPT_DAYS: i64 = 7;

impl Debit {
    /// `None` where this cannot be taken from this user.
    fn written(&self, sample: &Sample, tie: &Document, user: &Document) -> Option<Written> {
        let wallet = user.get_document("modules").ok()?.get_document("wallet").ok()?;
        let number = |document: &Document, field| document.get_i64(field).ok();
        let (balance, seq) = (number(wallet, "balance")?, number(wallet, "seq")?);
        let lot = wallet.get_array("lots").ok()?.first()?.as_document()?;
        let (lot_id, remaining) = (lot.get_object_id("id").ok()?, number(lot, "remaining")?);
        if wallet.get_bool("frozen").ok()? || remaining < AMOUNT {
            return None;
        }
        let revision = number(user, "revision")? + 1;
        let revised_at = *user.get_datetime("revised_at").ok()?;
        let now = self.now.max(revised_at);
        let update = doc! { "$set": {
            "modules.wallet.balance": balance - AMOUNT, "modules.wallet.last_updated": now,
            "modules.wallet.seq": seq + 1, "modules.wallet.lots.0.remaining": remaining - AMOUNT,
            "revision": revision, "revised_at": now,
        } };
        let last_updated = *wallet.get_datetime("last_updated").ok()?;
        let changes = doc! {
            "modules.wallet.balance": { "old": balance, "new": balance - AMOUNT },
            "modules.wallet.last_updated": { "old": last_updated, "new": now },
            "modules.wallet.seq": { "old": seq, "new": seq + 1 },
            format!("modules.wallet.lots.{lot_id}.remaining"): {
                "old": remaining, "new": remaining - AMOUNT,
            },
        };
        let paths: Vec<Bson> = changes.keys().map(|path| path.as_str().into()).collect();
        let (connection, reference) = (tie.get("_id")?.clone(), key(self.number));
        let line = with(
            &sample.line,
            doc! {
                "_id": self.line, "user_id": self.user, "account_number": user.get("account_number")?,
                "seq": seq + 1, "trail_seq": revision, "balance_after": balance - AMOUNT,
                "available_after": balance - AMOUNT, "slices": slices(&sample.line, lot_id)?,
                "connection_id": &connection, "reference": &reference, "created_at": now,
            },
        )?;
        let entry = with(
            &sample.entry,
            doc! {
                "_id": self.entry, "user_id": self.user, "changes": changes, "timestamp": now,
                "subject": format!("user:{}", self.user), "seq": revision,
                "connection_id": connection, "paths": paths, "reference": reference,
            },
        )?;
        let memory = with(
            &sample.memory,
            doc! {
                "_id": format!("{:064x}", self.number), "created_at": now,
                "expires_at": plus(now, KEPT_DAYS * DAY_MS),
            },
        )?;
        Some(Written { update, line, entry, memory })
    }
}

/// The sample with these values instead of its own; `None` where it has no such field.
fn with(sample: &Document, values: Document) -> Option<Document> {
    let mut document = sample.clone();
    for (field, value) in values {
        *document.get_mut(&field)? = value;
    }
    Some(document)
}

fn slices(sample: &Document, lot: ObjectId) -> Option<Bson> {
    let mut slices = sample.get("slices")?.clone();
    let slice = slices.as_array_mut()?.first_mut()?.as_document_mut()?;
    *slice.get_mut("lot")? = lot.into();
    Some(slices)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn told(error: Error) -> String {
    format!("the raw driver: {error}")
}
