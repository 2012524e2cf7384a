//! The write path against a transaction for each change, as people would write it with the raw
//! driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use clap::Args;
use mongodb::Database;
use mongodb::error::TRANSIENT_TRANSACTION_ERROR;
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};
use serde_json::json;

use super::{head, pick};
use crate::access::grant::Granted;
use crate::app::build::{Purser, job};
use crate::apps::{self, NewOperator, OperatorRole};
use crate::connections::{self, Outcome, UpdateUser, UserChange};
use crate::http::call::Preconditions;
use crate::http::json::{self, Patch};
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;

#[derive(Args)]
pub struct Scale {
    /// People to choose from.
    #[arg(long, default_value_t = 2000)]
    users: usize,
    /// Clients at one time.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Interleaved rounds; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each side in each round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
}

/// What must be reached.
const WRITE_RATIO: f64 = 2.5;

struct Person {
    id: UserId,
    grant: Granted<UpdateUser>,
}

/// What one side did in one round.
struct Round {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

pub async fn run(purser: &Purser, database: &Database, scale: &Scale) -> Result<(), Fault> {
    println!("registering {} people ...", scale.users);
    let people = Arc::new(people(purser, scale.users).await?);
    let (mut lane, mut naive) = (Vec::new(), Vec::new());
    for round in 1..=scale.rounds {
        lane.push(through_the_write_path(purser, &people, scale).await);
        naive.push(by_the_raw_driver(database, &people, scale).await);
        let (lane, naive) = (&lane[round - 1], &naive[round - 1]);
        println!(
            "round {round}: write path {}   transaction each {}   ratio {:.2}",
            lane,
            naive,
            lane.per_second / naive.per_second
        );
    }
    let mut ratios: Vec<f64> =
        lane.iter().zip(&naive).map(|(lane, naive)| lane.per_second / naive.per_second).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!(
        "{} clients, {} users: the write path does {median:.2} x a transaction each (median of {}; \
         wanted {WRITE_RATIO})",
        scale.clients, scale.users, scale.rounds
    );
    if median < WRITE_RATIO { Err(Fault::internal("the ratio was not reached")) } else { Ok(()) }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { per_second, p50, p99 } = self;
        write!(f, "{per_second:>6.0}/s p50 {:>3} ms p99 {:>3} ms", p50.as_millis(), p99.as_millis())
    }
}

/// An app, and people with a grant for each. A grant lives as long as its request; these requests
/// last for the whole bench.
async fn people(purser: &Purser, count: usize) -> Result<Vec<Person>, Fault> {
    let operator = NewOperator {
        name: "bench".to_owned(),
        role: OperatorRole::Admin,
        auditor_pii: false,
        days: 1,
        allowed_ips: Vec::new(),
    };
    let grant = purser.gate.itself(job("bench"), purser.context());
    let (_, admin) = apps::create_operator(&grant, &purser.store, operator).await?;
    let app = json!({ "app_id": "bench_app", "name": "Bench", "trust": "first_party",
        "permissions": ["read", "write"] });
    let grant = purser.gate.admit(&head(purser, admin.expose(), None)).await?;
    let app = apps::register(&grant, &purser.store, apps::new_app(json::typed(app)?)?).await?;
    let key: Arc<str> = app.answer.key().into();
    let mut people = Vec::with_capacity(count);
    for chunk in (0..count).collect::<Vec<_>>().chunks(256) {
        let made: Vec<_> = chunk
            .iter()
            .map(|number| {
                let (purser, key, number) = (purser.clone(), Arc::clone(&key), *number);
                tokio::spawn(async move { person(&purser, &key, number).await })
            })
            .collect();
        for person in made {
            let person = person.await.map_err(|_| Fault::internal("a registration panicked"))?;
            people.push(person?);
        }
    }
    Ok(people)
}

async fn person(purser: &Purser, key: &str, number: usize) -> Result<Person, Fault> {
    let body = json!({ "email": format!("bench{number}@example.com"), "verified": ["email"],
        "profile": { "first_name": "Ada", "last_name": "Byron", "timezone": "Europe/London" } });
    let grant = purser.gate.admit(&head(purser, key, None)).await?;
    let new = connections::person(json::typed(body)?)?;
    let outcome = connections::register(&grant, &purser.desk, new).await?.answer;
    let Outcome::Connected { user_id, .. } = outcome else {
        return Err(Fault::internal("the bench's people are new"));
    };
    let grant = purser.gate.admit(&head(purser, key, Some(&user_id.to_string()))).await?;
    Ok(Person { id: user_id, grant })
}

async fn through_the_write_path(
    purser: &Purser,
    people: &Arc<Vec<Person>>,
    scale: &Scale,
) -> Round {
    let (purser, people) = (purser.clone(), Arc::clone(people));
    load(scale, move |turn| {
        let (purser, people) = (purser.clone(), Arc::clone(&people));
        async move {
            let person = &people[pick(turn, people.len())];
            let mut change = UserChange::default();
            change.profile.first_name = Patch::Set(format!("Ada {turn}"));
            let unconditional = Preconditions::default();
            connections::update_user(&person.grant, &purser.desk, change, unconditional)
                .await
                .is_ok()
        }
    })
    .await
}

async fn by_the_raw_driver(database: &Database, people: &Arc<Vec<Person>>, scale: &Scale) -> Round {
    let (database, people) = (database.clone(), Arc::clone(people));
    load(scale, move |turn| {
        let (database, people) = (database.clone(), Arc::clone(&people));
        async move {
            let user = people[pick(turn, people.len())].id;
            for _ in 0..100 {
                match transaction(&database, user, turn).await {
                    Ok(()) => return true,
                    Err(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {}
                    Err(_) => return false,
                }
            }
            false
        }
    })
    .await
}

/// What people write who follow the source document: look up the connection and the user, change
/// the user, add the trail's line, all in one transaction.
#[expect(clippy::disallowed_methods, reason = "this is what the write path is compared with")]
async fn transaction(database: &Database, user: UserId, turn: usize) -> mongodb::error::Result<()> {
    let mut session = database.client().start_session().await?;
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    let started = session.start_transaction().read_concern(ReadConcern::snapshot());
    started.write_concern(majority).await?;
    let ties = database.collection::<Document>("user_apps");
    let tie = doc! { "user_id": user.0, "app_id": "bench_app", "connection_status": "active" };
    let tie = ties.find_one(tie).session(&mut session).await?.unwrap_or_default();
    let users = database.collection::<Document>("users");
    let before = users.find_one(doc! { "_id": user.0 }).session(&mut session).await?;
    let seq = before.unwrap_or_default().get_i64("revision").unwrap_or(0) + 1;
    let now = bson::DateTime::from_millis(1_800_000_000_000);
    let name = format!("Ada {turn}");
    let change = doc! { "$set": { "profile.first_name": &name, "updated_at": now,
    "audit.profile_updated_at": now, "revision": seq, "revised_at": now } };
    users.update_one(doc! { "_id": user.0 }, change).session(&mut session).await?;
    // As long as a sealed value is.
    let sealed = format!("s1.{turn:064}");
    let trail = database.collection::<Document>("user_audit_logs");
    let entry = doc! {
        "user_id": user.0, "app_id": "bench_app", "action": "profile_updated", "module": "core",
        "changes": {
            "profile.first_name": { "old": &sealed, "new": &sealed },
            "updated_at": { "old": now, "new": now },
            "audit.profile_updated_at": { "old": now, "new": now },
        },
        "timestamp": now, "subject": format!("user:{user}"), "seq": seq,
        "actor": { "kind": "app", "id": "bench_app" },
        "connection_id": tie.get_object_id("_id").unwrap_or(user.0),
        "request_id": "req_00000000000000000000",
        "paths": ["profile.first_name", "updated_at", "audit.profile_updated_at"],
        "outcome": "done",
    };
    trail.insert_one(entry).session(&mut session).await?;
    session.commit_transaction().await
}

/// `clients` tasks that repeat `work` until the time is over.
async fn load<F, Fut>(scale: &Scale, work: F) -> Round
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = bool> + Send,
{
    let started = Instant::now();
    let until = started + Duration::from_secs(scale.seconds);
    let turns = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..scale.clients)
        .map(|_| {
            let (work, turns) = (work.clone(), Arc::clone(&turns));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < until {
                    let asked = Instant::now();
                    if work(turns.fetch_add(1, Ordering::Relaxed)).await {
                        times.push(asked.elapsed());
                    }
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.unwrap_or_default());
    }
    let seconds = started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a count of operations is far below 2^52")]
    let per_second = times.len() as f64 / seconds;
    Round { per_second, p50: at(50), p99: at(99) }
}
