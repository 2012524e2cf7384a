//! The connection to MongoDB, and the face of the store.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, ReadPreference, WriteConcern};
use mongodb::{Client, Database};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::copies::{Copies, is_few};
use super::doctor;
use super::figures::Figures;
use super::keys::KeyCache;
use super::lane::{Lane, Queued, SESSIONS};
use super::memory::Memory;
use super::node::Node;
use super::presumption::Presumption;
use super::record::{Key, Locator, Record, RecordId};
use super::trouble;
use super::unit::{InProgress, Mode, Unit};
use super::watch::watch;
use super::work::{Done, Stop, Work};
use crate::audit::warrant::Warrant;
use crate::config::store::Store as Settings;
use crate::crypto::envelope::{Context, DataKey};
use crate::crypto::keyring::Keyring;
use crate::kernel::chance::Chance;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::UserId;
use crate::kernel::time::Clock;

/// The database as the other rooms see it. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    inner: Arc<Inner>,
    runtime: Handle,
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    lane: Mutex<Option<JoinHandle<()>>>,
    watch: JoinHandle<()>,
    node: Node,
}

/// What the lane and its transactions need.
pub(super) struct Inner {
    pub database: Database,
    pub keyring: Arc<Keyring>,
    pub chance: Chance,
    pub bounds: Bounds,
    pub copies: Copies,
    /// Rung when another process comes or goes.
    pub somebody: Notify,
    pub figures: Figures,
    pub presumption: Presumption,
    pub memory: Memory,
    keys: Mutex<KeyCache>,
    in_progress: InProgress,
}

pub(super) struct Bounds {
    pub operations: usize,
    pub bytes: usize,
}

/// What the store is made of besides its configuration.
pub struct Parts {
    pub runtime: Handle,
    pub keyring: Arc<Keyring>,
    pub chance: Chance,
    pub clock: Clock,
    /// The name of this process among several.
    pub node: String,
}

/// How long a caller waits beyond its deadline for a commit that is under way.
const GRACE: Duration = Duration::from_secs(2);

impl Store {
    /// Connects and checks that the deployment can do what Purser needs. Must run on `runtime`:
    /// a client belongs to the runtime that it was made on.
    pub async fn connect(config: &Settings, parts: Parts) -> Result<Self, String> {
        let figures = Figures::default();
        let client = client(config, &figures).await?;
        doctor::check(&client).await?;
        let database = client.database(&config.database);
        let mut sessions = Vec::with_capacity(SESSIONS);
        for _ in 0..SESSIONS {
            let session = client.start_session().await;
            sessions.push(session.map_err(|error| trouble::describe(&error))?);
        }
        let node = Node::new(
            &database,
            &parts.node,
            &sessions,
            parts.keyring.newest_master_id(),
            parts.clock,
        );
        let bounds = Bounds { operations: config.batch_operations, bytes: config.batch_bytes };
        let inner = Arc::new(Inner {
            database,
            keyring: parts.keyring,
            chance: parts.chance,
            bounds,
            copies: Copies::new(config.copies),
            somebody: Notify::new(),
            figures,
            presumption: Presumption::default(),
            memory: Memory::default(),
            keys: Mutex::default(),
            in_progress: InProgress::default(),
        });
        let (queue, waiting) = mpsc::channel(config.queue);
        let lane = Lane::new(Arc::clone(&inner), sessions);
        let lane = parts.runtime.spawn(lane.run(waiting));
        let watch = parts.runtime.spawn(watch(Arc::clone(&inner), node.id().to_owned()));
        Ok(Self(Arc::new(Shared {
            inner,
            runtime: parts.runtime,
            queue: Mutex::new(Some(queue)),
            lane: Mutex::new(Some(lane)),
            watch,
            node,
        })))
    }

    /// Applies `body` to the records it asks for and commits what it changed, with its trail
    /// entries, in one transaction. `body` may be called several times and must be pure. `hints`
    /// are the records it is going to ask for and change, so that they are read at once.
    pub async fn unit<A, F>(
        &self,
        warrant: Warrant,
        hints: Hints,
        body: F,
    ) -> Result<Done<A>, Fault>
    where
        A: Serialize + DeserializeOwned + Send + Sync + 'static,
        F: FnMut(&mut Work) -> Result<A, Stop> + Send + Sync + 'static,
    {
        self.send(Mode::ForGood, warrant, hints, body).await
    }

    /// What `unit` would answer now. Nothing is kept: no change, no entry, no Idempotency-Key.
    pub async fn rehearse<A, F>(
        &self,
        warrant: Warrant,
        hints: Hints,
        body: F,
    ) -> Result<Done<A>, Fault>
    where
        A: Serialize + DeserializeOwned + Send + Sync + 'static,
        F: FnMut(&mut Work) -> Result<A, Stop> + Send + Sync + 'static,
    {
        self.send(Mode::Rehearsal, warrant.unrepeatable(), hints, body).await
    }

    async fn send<A, F>(
        &self,
        mode: Mode,
        warrant: Warrant,
        hints: Hints,
        body: F,
    ) -> Result<Done<A>, Fault>
    where
        A: Serialize + DeserializeOwned + Send + Sync + 'static,
        F: FnMut(&mut Work) -> Result<A, Stop> + Send + Sync + 'static,
    {
        let running = match &warrant.idempotency {
            None => None,
            Some(key) => Some(
                self.0
                    .inner
                    .in_progress
                    .enter(&key.id)
                    .ok_or_else(|| Fault::of(Code::IdempotencyInProgress).retry_after(1))?,
            ),
        };
        let deadline = warrant.deadline + GRACE;
        let (reply, answer) = oneshot::channel();
        self.enqueue(Box::new(Unit::new(mode, warrant, hints, body, reply, running)))?;
        // Nothing of the driver's is awaited here, so a caller that goes away interrupts nothing.
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Fault::internal("the lane dropped a unit")),
            Err(_) => Err(Fault::of(Code::OutcomeUnknown).retry_after(1)),
        }
    }

    fn enqueue(&self, unit: Queued) -> Result<(), Fault> {
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or_else(|| Fault::of(Code::ShuttingDown).retry_after(1))?;
        queue.try_send(unit).map_err(|_| Fault::of(Code::Overloaded).retry_after(1))
    }

    /// Awaits on the store's runtime, whose timers work whatever the caller runs on.
    async fn until<T: Send + 'static>(
        &self,
        deadline: Instant,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<Option<T>, Fault> {
        let deadline = tokio::time::Instant::from_std(deadline);
        self.spawn(async move { tokio::time::timeout_at(deadline, future).await.ok() }).await
    }

    /// A driver's future must never be dropped half-way, and a handler may be: the work runs on
    /// the store's runtime, the caller only waits for it.
    pub(super) async fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Fault> {
        self.0.runtime.spawn(future).await.map_err(|_| Fault::internal("a database task panicked"))
    }

    /// As `spawn`, for what nobody waits for.
    pub fn on_runtime(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.runtime.spawn(future));
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    pub(super) fn node(&self) -> &Node {
        &self.0.node
    }

    pub fn keyring(&self) -> &Keyring {
        &self.0.inner.keyring
    }

    pub fn chance(&self) -> &Chance {
        &self.0.inner.chance
    }

    pub fn figures(&self) -> &Figures {
        &self.0.inner.figures
    }

    /// Units that wait for the lane to take them.
    pub fn queued(&self) -> usize {
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Registers this process and its sessions, and ends the transactions that a killed
    /// predecessor left open.
    pub async fn take_over(&self) -> Result<(), Fault> {
        let node = self.0.node.clone();
        self.spawn(async move { node.take_over().await }).await?
    }

    /// Says that this process is alive; to be called every few seconds.
    pub async fn beat(&self) -> Result<(), Fault> {
        let node = self.0.node.clone();
        self.spawn(async move { node.beat().await }).await?
    }

    /// Other processes that are alive and seal under another master key, with that key.
    pub async fn nodes_sealing_otherwise(&self) -> Result<Vec<(String, Option<String>)>, Fault> {
        let node = self.0.node.clone();
        self.spawn(async move { node.sealing_otherwise().await }).await?
    }

    /// Takes nothing new, finishes what was accepted, and signs off.
    pub async fn drain(&self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let lane = self.0.lane.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(lane) = lane {
            let _ = lane.await;
        }
        self.0.watch.abort();
        let node = self.0.node.clone();
        let _ = self.spawn(async move { node.sign_off().await }).await;
    }

    /// Whether the database answers now.
    pub async fn ping(&self, within: Duration) -> Result<(), Fault> {
        let database = self.0.inner.database.clone();
        let ping = async move { database.run_command(bson::doc! { "ping": 1 }).await };
        match self.until(Instant::now() + within, ping).await? {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(trouble::fault(&error)),
            None => Err(trouble::unavailable().because("ping: no answer in time")),
        }
    }
}

/// The records that a unit is going to ask for, so that they are read at once. What it is going to
/// change is named apart: a blocked record holds up whoever names it.
#[derive(Default)]
pub struct Hints {
    pub(super) changes: Vec<Locator>,
    pub(super) looks: Vec<Locator>,
    pub(super) creates: Vec<Locator>,
}

impl Hints {
    pub fn none() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn and<R: Record>(mut self, key: &Key<R>) -> Self {
        self.changes.push(key.locator.clone());
        self
    }

    /// What is only looked at.
    #[must_use]
    pub fn look<R: Record>(mut self, key: &Key<R>) -> Self {
        self.looks.push(key.locator.clone());
        self
    }

    /// What it is going to create, unless it is there already: it is looked for only where something
    /// speaks for that. A unique index must forbid a second one.
    #[must_use]
    pub fn create<R: Record>(mut self, key: &Key<R>) -> Self {
        self.creates.push(key.locator.clone());
        self
    }

    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.changes.extend(others.changes);
        self.looks.extend(others.looks);
        self.creates.extend(others.creates);
        self
    }
}

impl Inner {
    pub fn cached_key(&self, user: &UserId) -> Option<DataKey> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(user)
    }

    pub fn cache_key(&self, user: UserId, key: DataKey) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).put(user, key);
    }

    /// Of somebody who was erased: what was read of them with it is not kept either.
    pub fn forget_key(&self, user: UserId) {
        self.memory.doubt(user);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).forget(user);
    }

    /// What has changed, or may have.
    pub fn forget(&self, collection: &'static str, id: RecordId) {
        if is_few(collection) {
            self.memory.forget_records();
        }
        self.copies.forget(collection, id);
    }

    pub fn seal_answer(&self, id: &str, answer: &[u8]) -> String {
        self.keyring.seal(&self.chance, &answer_context(id), answer)
    }

    pub fn open_answer(&self, id: &str, sealed: &str) -> Result<Vec<u8>, Fault> {
        self.keyring
            .open(&answer_context(id), sealed)
            .map_err(|_| Fault::internal("a stored answer does not open"))
    }
}

fn answer_context(id: &str) -> Context<'_> {
    Context { collection: super::write::IDEMPOTENCY, id, field: "answer" }
}

async fn client(config: &Settings, figures: &Figures) -> Result<Client, String> {
    let mut options = ClientOptions::parse(config.uri.expose()).await.map_err(|_| {
        "store.uri is no connection string of the form mongodb://host:27017/?replicaSet=rs0"
            .to_owned()
    })?;
    options.app_name = Some("purser".to_owned());
    options.max_pool_size = Some(config.pool_max);
    options.min_pool_size = Some(config.pool_min);
    options.max_connecting = Some(8);
    options.connect_timeout = Some(Duration::from_millis(config.connect_timeout_ms));
    options.server_selection_timeout = Some(Duration::from_millis(config.selection_timeout_ms));
    options.heartbeat_freq = Some(Duration::from_secs(2));
    options.read_concern = Some(ReadConcern::majority());
    // Whatever the connection string says: what is asked beside a transaction is asked of its server.
    options.selection_criteria = Some(ReadPreference::Primary.into());
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    options.write_concern = Some(majority);
    figures.listen(config, &mut options);
    Client::with_options(options).map_err(|error| trouble::describe(&error))
}
