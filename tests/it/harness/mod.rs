//! A Purser of its own for each test, with a stepped clock and a seeded chance, so that ids and
//! times are the same in every run. The principal is the subject of every sentence:
//! `shop.post("/v1/users", …)`. Only what starts with `db_` goes round the API.
//!
//! Databases are migrated as one user of MongoDB and served as another, each with the role that
//! `purser migrate --roles` makes; `db_…` is root.
//!
//! When a test ends, its Purser is stopped, the trail is replayed and compared with the stored
//! documents, and the process must not have logged an error.

mod counter;
mod ledger;
mod lock;
mod mongod;
mod principal;
mod replay;
mod setup;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use bson::{Document, doc};
use mongodb::Client;
use purser::app::build::{self, StopBy, job};
use purser::apps::{self, NewOperator, OperatorRole};
use purser::config::{Config, store::Store};
use purser::kernel::chance::Chance;
use purser::kernel::secret::Secret;
use purser::kernel::time::{Clock, Timestamp, parse_rfc3339};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub use counter::Counter;
pub use lock::Lock;
pub use mongod::{MIGRATES, Mongod, SERVES, uri_as};
pub use principal::{Principal, Reply};
pub use replay::MEANT_TO_BREAK;
use setup::{migrate, starts_before};

/// The moment at which every test begins.
pub const START: &str = "2026-01-01T00:00:00.000Z";
pub const SIGNING_KEY: &str = "purser.test/trail:c2lnbmluZyBrZXkgZm9yIHRoZSB0ZXN0cyAwMDAwMDA=";
const MASTER_KEY: &str = "m1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const PEPPER: &str = "p1:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

static DATABASES: AtomicU64 = AtomicU64::new(0);

/// A running Purser with a database of its own.
pub struct Purser {
    pub inner: build::Purser,
    pub address: SocketAddr,
    /// Where /metrics is, if a test asks for it.
    pub metrics: Option<SocketAddr>,
    /// Of the root, where the test knows it: Purser itself is another user.
    pub uri: String,
    pub database: String,
    runtime: Runtime,
    handle: ServerHandle,
    thread: Option<JoinHandle<Result<(), String>>>,
    replayed: bool,
    handed_over: bool,
    errors_before: usize,
}

/// What a test may set besides the standard: configuration keys as in the environment.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

impl Purser {
    /// On the mongod that all tests share.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(settings: Settings<'_>) -> Self {
        let number = DATABASES.fetch_add(1, Ordering::SeqCst);
        let database = format!("it_{}_{number}", std::process::id());
        Self::start_on(&mongod::shared().uri, &database, settings)
    }

    /// On this server and database, which may be there already.
    pub fn start_on(uri: &str, database: &str, settings: Settings<'_>) -> Self {
        let clock = Clock::stepped(parse_rfc3339(START).expect("a time"));
        Self::start_at(uri, database, settings, clock)
    }

    /// On a database that `purser migrate` has set up.
    pub fn serve_on(uri: &str, database: &str) -> Self {
        let clock = Clock::stepped(parse_rfc3339(START).expect("a time"));
        let settings =
            [("PURSER__CRYPTO__PEPPERS", MASTER_KEY), ("PURSER__TRAIL__SNAPSHOT_ENTRIES", "1")];
        starts_before(uri, database);
        Self::start_at(uri, database, &settings, clock)
    }

    /// The first time it is migrated before.
    fn start_at(uri: &str, database: &str, settings: Settings<'_>, clock: Clock) -> Self {
        let errors_before = replay::errors_logged();
        let config = configuration(&uri_as(uri, SERVES), database, settings);
        let runtime = build::runtime(&config).expect("a runtime");
        let before = starts_before(uri, database);
        let chance = Chance::from_seed(7 + before);
        if before == 0 {
            let config = configuration(&uri_as(uri, MIGRATES), database, settings);
            migrate(config, &runtime, &clock, &chance);
        }
        let inner = build::Purser::assemble(config, &runtime, clock, chance).expect("assembles");
        runtime.block_on(inner.check()).expect("its own database");
        let (ready, listening) = mpsc::channel();
        let served = inner.clone();
        let thread = std::thread::spawn(move || {
            build::serve(&served, StopBy::Handle, |listening| {
                ready.send(listening).expect("the test waits for it");
            })
        });
        let listening = listening.recv().expect("listens");
        Self {
            inner,
            address: listening.address,
            metrics: listening.metrics,
            uri: uri.to_owned(),
            database: database.to_owned(),
            runtime,
            handle: listening.handle,
            thread: Some(thread),
            replayed: true,
            handed_over: false,
            errors_before,
        }
    }

    /// Another node on the same database, with the same clock.
    pub fn beside(&self, node: &str) -> Self {
        let settings = [("PURSER__SERVER__NODE", node)];
        Self::start_at(&self.uri, &self.database, &settings, self.inner.clock.clone())
    }

    /// As `purser migrate` does it; what was done.
    pub fn migrate(&self) -> Vec<String> {
        let config = (*self.inner.config).clone();
        let uri = Secret::new(uri_as(&self.uri, MIGRATES));
        let config = Config { store: Store { uri, ..config.store.clone() }, ..config };
        migrate(config, &self.runtime, &self.inner.clock, &self.inner.chance)
    }

    /// For tests that change documents by hand: the trail cannot agree with them.
    pub fn without_replay(mut self) -> Self {
        self.replayed = false;
        self
    }

    pub fn step_clock(&self, millis: i64) {
        self.inner.clock.step(millis);
    }

    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Somebody without any key.
    pub fn nobody(&self) -> Principal {
        Principal::new(self.address, None)
    }

    pub fn with_key(&self, key: &str) -> Principal {
        Principal::new(self.address, Some(key.to_owned()))
    }

    pub fn admin(&self) -> Principal {
        self.operator(OperatorRole::Admin, false)
    }

    /// An auditor who may see personal values.
    pub fn auditor(&self) -> Principal {
        self.operator(OperatorRole::Auditor, true)
    }

    /// An auditor who may not.
    pub fn masked_auditor(&self) -> Principal {
        self.operator(OperatorRole::Auditor, false)
    }

    fn operator(&self, role: OperatorRole, auditor_pii: bool) -> Principal {
        let grant = self.inner.gate.itself(job("test"), self.inner.context());
        let new = NewOperator {
            name: format!("{role:?}"),
            role,
            auditor_pii,
            days: 90,
            allowed_ips: Vec::new(),
        };
        let created = apps::create_operator(&grant, &self.inner.store, new);
        let (_, key) = self.runtime.block_on(created).expect("an operator");
        self.with_key(key.expose())
    }

    /// A first-party app that may hold everything, and whose connections hold everything.
    pub fn app(&self, id: &str) -> Principal {
        self.app_with(id, json!({}))
    }

    /// As `app`, with these fields of the registration instead.
    #[expect(clippy::needless_pass_by_value, reason = "what is sent is written where it is sent")]
    pub fn app_with(&self, id: &str, fields: Value) -> Principal {
        let mut body = json!({
            "app_id": id,
            "name": format!("The {id}"),
            "trust": "first_party",
            "permissions": ["read", "write", "wallet_access"],
        });
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let answer = self.admin().post("/v1/admin/apps", body).expect(201);
        self.with_key(answer["key"].as_str().expect("a key"))
    }

    pub fn db_drop(&self) {
        self.db(|database| async move { database.drop().await }).expect("dropped");
    }

    /// Runs something on the database itself.
    pub fn db<T, F>(&self, work: impl FnOnce(mongodb::Database) -> F) -> T
    where
        F: Future<Output = T>,
    {
        self.runtime.block_on(async {
            let client = Client::with_uri_str(&self.uri).await.expect("a client");
            work(client.database(&self.database)).await
        })
    }

    pub fn db_find(&self, collection: &str, filter: Document) -> Vec<Document> {
        self.db(|database| async move {
            let mut cursor =
                database.collection::<Document>(collection).find(filter).await.expect("found");
            let mut documents = Vec::new();
            while cursor.advance().await.expect("advances") {
                documents.push(cursor.deserialize_current().expect("a document"));
            }
            documents
        })
    }

    #[expect(clippy::disallowed_methods, reason = "a test that goes round the API says db_")]
    pub fn db_update(&self, collection: &str, filter: Document, update: Document) {
        self.db(|database| async move {
            let collection = database.collection::<Document>(collection);
            let result = collection.update_one(filter, update).await.expect("updated");
            assert_eq!(result.matched_count, 1, "nothing to update");
        });
    }

    pub fn db_command(&self, command: Document) -> Document {
        self.db(|database| async move { database.run_command(command).await }).expect("a reply")
    }

    /// Commands on a collection that the database was sent while `work` was done: `find`, `update`, ….
    pub fn db_watched(&self, collection: &str, work: impl FnOnce()) -> Vec<String> {
        self.db_command(doc! { "profile": 2 });
        work();
        self.db_command(doc! { "profile": 0 });
        let on = format!("{}.{collection}", self.database);
        let seen = self.db_find("system.profile", doc! { "ns": on });
        self.db(|database| async move {
            database.collection::<Document>("system.profile").drop().await
        })
        .expect("dropped");
        let command = |line: &Document| {
            let command = line.get_document("command").ok()?;
            command.keys().next().cloned()
        };
        seen.iter().filter_map(command).collect()
    }

    /// Entries of the trail in the order of their subjects' numbers.
    pub fn db_entries(&self, filter: Document) -> Vec<Document> {
        let mut entries = self.db_find("user_audit_logs", filter);
        entries.sort_by_key(|entry| entry.get_i64("seq").expect("a number"));
        entries
    }

    /// A subject's revision, and its record as its entries name it.
    pub fn db_record(&self, subject: &str) -> (i64, Document) {
        replay::record(self, subject)
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// As when it is dropped, without dropping the database: for a user who may not.
    pub fn end(mut self) {
        self.stop();
        assert_eq!(replay::errors_logged(), self.errors_before, "an error was logged");
        self.handed_over = true;
    }

    /// Stops the server and waits until what it accepted is finished.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.runtime.block_on(self.handle.stop(true));
        thread.join().expect("serves to the end").expect("serves well");
    }
}

impl Drop for Purser {
    fn drop(&mut self) {
        if std::thread::panicking() || self.handed_over {
            return;
        }
        self.stop();
        if self.replayed {
            replay::check(self);
            ledger::check(self);
            ledger::check_marks(self);
        }
        assert_eq!(replay::errors_logged(), self.errors_before, "an error was logged");
        self.db_drop();
    }
}

/// A variable of the environment that says how the tests run.
pub fn variable(name: &str) -> Option<String> {
    purser::config::environment().find(|(known, _)| known == name).map(|(_, value)| value)
}

pub fn configuration(uri: &str, database: &str, settings: Settings<'_>) -> Config {
    let standard = [
        ("PURSER__STORE__URI", uri),
        ("PURSER__STORE__DATABASE", database),
        ("PURSER__STORE__POOL_MIN", "0"),
        ("PURSER__STORE__THREADS", "2"),
        ("PURSER__SERVER__PORT", "0"),
        ("PURSER__SERVER__WORKERS", "1"),
        ("PURSER__CRYPTO__MASTER_KEYS", MASTER_KEY),
        ("PURSER__CRYPTO__PEPPERS", PEPPER),
        ("PURSER__CRYPTO__ARGON2_MEMORY_KIB", "8"),
        ("PURSER__CRYPTO__ARGON2_PASSES", "1"),
        ("PURSER__METRICS__PORT", "0"),
        ("PURSER__METRICS__LISTENER", "off"),
        ("PURSER__WALLET__EXPIRY_SECONDS", "0"),
        ("PURSER__JOBS__POLL_SECONDS", "0"),
        ("PURSER__AUDIT__SECURITY_SECONDS", "0"),
        ("PURSER__TRAIL__SEQUENCER", "off"),
        ("PURSER__TRAIL__SNAPSHOT_ENTRIES", "0"),
        ("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY),
        ("PURSER__SUBSCRIPTION__RENEWAL_SECONDS", "0"),
        ("PURSER__REFERRALS__REWARD_SECONDS", "0"),
        ("PURSER__LOG__LEVEL", "error"),
        ("PURSER__LIMITS__ANONYMOUS_PER_MINUTE", "100000"),
    ];
    let overridden = |key: &str| settings.iter().any(|(set, _)| *set == key);
    let variables = standard.into_iter().filter(|(key, _)| !overridden(key));
    let variables = variables.chain(settings.iter().copied());
    let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Config::load(None, variables).expect("a configuration")
}

/// The body of a registration that vouches for the address.
pub fn person(email: &str) -> Value {
    json!({ "email": email, "verified": ["email"], "profile": { "first_name": "Ada" } })
}

impl Principal {
    /// Registers a person with this app; the id and a principal that holds the connection key.
    pub fn register(&self, email: &str) -> (String, Principal) {
        self.register_with(person(email))
    }

    pub fn register_with(&self, body: Value) -> (String, Principal) {
        let answer = self.post("/v1/users", body).expect(201);
        let id = answer["user_id"].as_str().expect("an id").to_owned();
        let key = answer["connection_key"].as_str().expect("a key");
        (id, self.with_other_key(key))
    }
}

/// What MongoDB says of how it would answer a query.
pub fn stages(plan: &Document) -> Vec<String> {
    let mut stages = Vec::new();
    let mut open = vec![plan.clone()];
    while let Some(node) = open.pop() {
        if let Ok(stage) = node.get_str("stage") {
            stages.push(stage.to_owned());
        }
        for (_, value) in node {
            match value {
                bson::Bson::Document(inner) => open.push(inner),
                bson::Bson::Array(inner) => {
                    open.extend(inner.into_iter().filter_map(|one| one.as_document().cloned()));
                }
                _ => {}
            }
        }
    }
    stages
}

pub fn explain(purser: &Purser, find: Document) -> Document {
    let reply = purser.db_command(doc! { "explain": find, "verbosity": "queryPlanner" });
    let planner = reply.get_document("queryPlanner").expect("a planner");
    planner.get_document("winningPlan").expect("a plan").clone()
}
