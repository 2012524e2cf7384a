//! A person with a long life: what their record was like at many moments, over HTTP, by all entries and
//! from snapshots; and the life of fields that change rarely and often. Both ways must answer alike.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Document, doc};
use clap::Args;
use futures_util::TryStreamExt;
use mongodb::Database;
use serde_json::Value;
use tokio::task::JoinSet;

use super::servers::{Options, Server, Settings, What};
use super::socket::Socket;
use super::{head, people_of};
use crate::app::build::{Purser, job};
use crate::app::bulk;
use crate::apps::{self, NewOperator, OperatorRole};
use crate::config::Level;
use crate::connections::{self, UserChange};
use crate::http::call::Preconditions;
use crate::http::json::Patch;
use crate::kernel::credits::{CREDITS_MAX, Credits};
use crate::kernel::fault::Fault;
use crate::kernel::time::{Timestamp, rfc3339};
use crate::modules::wallet::{self, Issue, Terms};

#[derive(Clone, Copy, Args)]
pub struct Scale {
    /// Entries of the one person.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
    entries: u32,
    /// Moments that are asked for, evenly from the first entry to the last.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..))]
    moments: u32,
    /// Of those, how many also without snapshots.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(2..))]
    whole: u32,
}

/// No answer may take longer.
const WITHIN: Duration = Duration::from_millis(300);
const CLIENTS: u32 = 64;

pub async fn run(
    purser: &Purser,
    database: &Database,
    scale: &Scale,
    file: Option<&Path>,
) -> Result<(), String> {
    let mut app = bulk::app();
    app["may_issue"] = serde_json::json!({ "categories": ["paid"], "per_day": CREDITS_MAX });
    let mut people = people_of(purser, database, 1, app).await?;
    let user = people.ids.pop().ok_or("nobody was registered")?;
    println!("writing {} entries ...", scale.entries);
    live(purser, &people.key, &user, scale.entries).await?;
    purser.seal_trail().await.map_err(|fault| fault.to_string())?;
    let (key, path) = (auditor(purser).await?, format!("/v1/audit/users/{user}"));
    let settings = Settings {
        node: "bench",
        level: Level::Warn,
        more: vec![
            ("PURSER__TRAIL__SNAPSHOT_ENTRIES", "0".to_owned()),
            ("PURSER__SERVER__REQUEST_TIMEOUT_MS", "60000".to_owned()),
        ],
    };
    let server = Server::start(&Options { what: What::Purser, bytes: 0 }, &settings, file)?;
    let mut asking = Asking::begin(server.address, key, path).await?;
    let whole = moments(database, &user, scale.whole).await?;
    let by_entries = asking.records("by all entries", &whole).await?;
    let began = Instant::now();
    let made = purser.snapshot_trail().await.map_err(|fault| fault.to_string())?;
    println!("{made} snapshots made in {:.1} s", began.elapsed().as_secs_f64());
    let from_snapshots = asking.records("the same from snapshots", &whole).await?;
    if by_entries.answers != from_snapshots.answers {
        return Err("snapshots have changed an answer".to_owned());
    }
    let all = moments(database, &user, scale.moments).await?;
    let all = asking.records("from snapshots", &all).await?;
    asking.history("profile.timezone").await?;
    asking.history("modules.wallet.balance").await?;
    sizes(database).await?;
    if all.slowest > WITHIN {
        return Err(format!("an answer took longer than {} ms", WITHIN.as_millis()));
    }
    Ok(())
}

/// Profile changes, credits that make lots, and debits, until there are so many entries.
async fn live(purser: &Purser, key: &str, user: &str, entries: u32) -> Result<(), String> {
    let key: Arc<str> = key.into();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (purser, key, user) = (purser.clone(), Arc::clone(&key), user.to_owned());
        clients.spawn(async move {
            // The first entry is the registration.
            for turn in (1..entries).filter(|turn| turn % CLIENTS == client) {
                write(&purser, &key, &user, turn).await?;
            }
            Ok::<_, Fault>(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client.map_err(|_| "a client panicked")?.map_err(|fault| fault.to_string())?;
    }
    Ok(())
}

/// About what is debited until the next one.
const CREDIT: i64 = 38;

async fn write(purser: &Purser, key: &str, user: &str, turn: u32) -> Result<(), Fault> {
    let head = || head(purser, key, Some(user));
    let terms = || Terms { reference: Some(format!("turn-{turn}")), ..Terms::default() };
    // In the beginning there must be enough for all clients.
    if turn < CLIENTS || turn.is_multiple_of(50) {
        let issue = Issue::of(CREDIT).expect("a whole number of credits");
        let grant = purser.gate.admit::<wallet::Credit>(&head()).await?;
        return wallet::credit(&grant, &purser.store, issue, terms()).await.map(drop);
    }
    if !turn.is_multiple_of(4) {
        let amount = Credits::new(1).expect("a whole number of credits");
        let grant = purser.gate.admit::<wallet::Debit>(&head()).await?;
        return wallet::debit(&grant, &purser.store, amount, terms()).await.map(drop);
    }
    let mut change = UserChange::default();
    change.profile.first_name = Patch::Set(format!("Ada {turn}"));
    if turn.is_multiple_of(25_000) {
        change.profile.timezone =
            Patch::Set(["Asia/Tokyo", "Europe/Rome"][(turn / 25_000 % 2) as usize].to_owned());
    }
    let grant = purser.gate.admit(&head()).await?;
    let unconditional = Preconditions::default();
    connections::update_user(&grant, &purser.desk, change, unconditional).await.map(drop)
}

/// One who sees personal values: opening them is a part of the answer.
async fn auditor(purser: &Purser) -> Result<String, String> {
    let operator = NewOperator {
        name: "bench".to_owned(),
        role: OperatorRole::Auditor,
        auditor_pii: true,
        days: 1,
        allowed_ips: Vec::new(),
    };
    let grant = purser.gate.itself(job("bench"), purser.context());
    let created = apps::create_operator(&grant, &purser.store, operator).await;
    created.map(|(_, key)| key.expose().clone()).map_err(|fault| fault.to_string())
}

/// Times of entries, evenly from the first to the last.
async fn moments(database: &Database, user: &str, count: u32) -> Result<Vec<Timestamp>, String> {
    let unread = |_| "the entries cannot be read".to_owned();
    let user = ObjectId::parse_str(user).map_err(|_| "an id that is none")?;
    let entries = database.collection::<Document>("user_audit_logs");
    let size = entries.count_documents(doc! { "user_id": user }).await.map_err(unread)?;
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let number = |place: u32| 1 + (size - 1) * i64::from(place) / i64::from(count - 1);
    let numbers: Vec<i64> = (0..count).map(number).collect();
    let found = entries.find(doc! { "user_id": user, "seq": { "$in": numbers } });
    let found: Vec<Document> = found.await.map_err(unread)?.try_collect().await.map_err(unread)?;
    let mut times: Vec<_> =
        found.iter().filter_map(|it| it.get_datetime("timestamp").ok().copied()).collect();
    times.sort_unstable();
    Ok(times)
}

/// One auditor on one connection.
struct Asking {
    socket: Socket,
    address: SocketAddr,
    key: String,
    path: String,
}

struct Told {
    answers: Vec<Value>,
    slowest: Duration,
}

impl Asking {
    async fn begin(address: SocketAddr, key: String, path: String) -> Result<Self, String> {
        let socket = Socket::connect(address).await?;
        Ok(Self { socket, address, key, path })
    }

    async fn ask(&mut self, question: &str) -> Result<(Value, Duration), String> {
        let Self { address, key, path, .. } = self;
        let request = format!(
            "GET {path}/{question} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n"
        );
        let asked = Instant::now();
        let head = self.socket.ask(request.as_bytes(), 200).await?;
        let took = asked.elapsed();
        let answer = serde_json::from_slice(&self.socket.answer()[head.bytes..]);
        Ok((answer.map_err(|_| "an answer that is no JSON")?, took))
    }

    async fn records(&mut self, how: &str, moments: &[Timestamp]) -> Result<Told, String> {
        let (mut answers, mut times) = (Vec::new(), Vec::new());
        for moment in moments {
            let (answer, took) = self.ask(&format!("as-of?at={}", rfc3339(*moment))).await?;
            if answer["timestamp"] != rfc3339(*moment) {
                return Err(format!("another moment was answered: {answer}"));
            }
            answers.push(answer);
            times.push(took);
        }
        let bytes = answers.last().map_or(0, |answer| answer.to_string().len());
        println!("as-of {how}: {}; the last has {bytes} bytes", spread(&mut times));
        Ok(Told { answers, slowest: times.last().copied().unwrap_or_default() })
    }

    /// All pages of it.
    async fn history(&mut self, field: &str) -> Result<(), String> {
        let (mut times, mut found, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let question = format!("history?path={field}&limit=200{cursor}");
            let (page, took) = self.ask(&question).await?;
            times.push(took);
            found += page["items"].as_array().map_or(0, Vec::len);
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        println!("history of {field}, {found} changes: {}", spread(&mut times));
        Ok(())
    }
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).or(times.last());
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1_000.0);
    let (p50, p99, max) = (millis(at(50)), millis(at(99)), millis(times.last()));
    format!("{} requests, p50 {p50:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms", times.len())
}

async fn sizes(database: &Database) -> Result<(), String> {
    for name in ["user_audit_logs", "trail_snapshots"] {
        let stats = database.run_command(doc! { "collStats": name }).await;
        let stats = stats.map_err(|_| "the database tells no sizes")?;
        let number = |field: &str| {
            stats
                .get(field)
                .and_then(|value| value.as_i64().or_else(|| value.as_i32().map(i64::from)))
        };
        let (count, size) = (number("count").unwrap_or(0), number("size").unwrap_or(0));
        println!("{name}: {count} documents, {} KB", size / 1024);
    }
    Ok(())
}
