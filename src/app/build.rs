//! Putting a Purser together, and serving it. `main` and the tests share this.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Condition, from_fn};
use actix_web::web::Data;
use actix_web::{App as Actix, HttpServer};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use super::docs::Docs;
use super::routes::routes;
use super::{audit, listen, metrics, sealing, telemetry, workers};
use crate::access::anonymous::Anonymous;
use crate::access::attempts::Attempts;
use crate::access::figures::Figures as Decisions;
use crate::access::gate::Gate;
use crate::access::principal::{Context, Receipts};
use crate::config::Config;
use crate::config::metrics::Listener;
use crate::connections::{Desk, Shown};
use crate::crypto::keyring::Keyring;
use crate::crypto::password::{Hasher, Params};
use crate::delivery::Feed;
use crate::http::boundary::boundary;
use crate::http::call::Door;
use crate::http::edge::{self, Edge};
use crate::http::figures::Figures;
use crate::http::peer::Proxies;
use crate::kernel::chance::Chance;
use crate::kernel::fault::Fault;
use crate::kernel::text::hex;
use crate::kernel::time::Clock;
use crate::modules::registry::{self, Catalogue, RegisterBuiltIn};
use crate::modules::{self, Backlog, PurseRef, wallet};
use crate::store::{Parts, Store};
use crate::trail::seal::Checkpoints;

/// Everything that is made once. Cheap to clone.
#[derive(Clone)]
pub struct Purser {
    pub config: Arc<Config>,
    pub store: Store,
    pub gate: Gate,
    pub anonymous: Anonymous,
    pub decisions: Decisions,
    pub desk: Desk,
    pub catalogue: Catalogue,
    pub checkpoints: Checkpoints,
    pub attempts: Arc<Attempts>,
    pub renewals: Backlog,
    pub rewards: Backlog,
    pub clock: Clock,
    pub chance: Chance,
    pub runtime: Handle,
}

/// The runtime that all database work runs on. Dropping it ends that work, so it outlives the
/// server.
pub fn runtime(config: &Config) -> Result<Runtime, String> {
    let mut builder = Builder::new_multi_thread();
    if config.store.threads > 0 {
        builder.worker_threads(config.store.threads);
    }
    let built = builder.enable_all().thread_name("purser-store").build();
    built.map_err(|error| format!("no threads for the database: {error}"))
}

impl Purser {
    /// Connects to the database and makes everything ready. To be called outside of any runtime.
    pub fn assemble(
        config: Config,
        runtime: &Runtime,
        clock: Clock,
        chance: Chance,
    ) -> Result<Self, String> {
        telemetry::start(&config.log);
        let keyring =
            Keyring::parse(config.crypto.master_keys.expose(), config.crypto.peppers.expose())?;
        let hasher = Hasher::new(password_params(&config), chance.clone())?;
        let parts = Parts {
            runtime: runtime.handle().clone(),
            keyring: Arc::new(keyring.clone()),
            chance: chance.clone(),
            clock: clock.clone(),
            node: node_name(&config),
        };
        let signing_key = audit::signing_key(config.trail.signing_key.expose())?;
        let trail = &config.trail;
        let checkpoints =
            Checkpoints::new(signing_key, trail.checkpoint_seconds, &trail.checkpoint_file);
        let store = runtime.block_on(Store::connect(&config.store, parts))?;
        let attempts = Arc::new(Attempts::new(&config.sign_in, &clock, keyring.clone()));
        let anonymous = Anonymous::new(config.limits.anonymous_per_minute, clock.clone());
        let decisions = Decisions::default();
        let gate = Gate::new(
            store.clone(),
            Arc::new(keyring),
            config.audit.ip_address,
            anonymous.clone(),
            decisions.clone(),
        );
        let shown = Shown::new(config.store.copies);
        let catalogue = Catalogue::default();
        let desk = Desk { store: store.clone(), hasher, shelf: catalogue.shelf(), shown };
        Ok(Self {
            config: Arc::new(config),
            store,
            gate,
            anonymous,
            decisions,
            desk,
            catalogue,
            checkpoints,
            attempts,
            renewals: Backlog::default(),
            rewards: Backlog::default(),
            clock,
            chance,
            runtime: runtime.handle().clone(),
        })
    }

    /// Collections, validators, indexes, and the built-in modules; what was done, in words.
    pub async fn migrate(&self) -> Result<Vec<String>, String> {
        let plan = self.store.plan().await?;
        let mut done: Vec<String> = plan.lines().map(str::to_owned).collect();
        self.store.migrate(plan, self.clock.now()).await?;
        self.store.check_keyring().await?;
        for module in modules::ALL {
            let grant = self.gate.itself::<RegisterBuiltIn>(job("migrate"), self.context());
            let registered = registry::register(&grant, &self.store, *module).await;
            if registered.map_err(|fault| fault.to_string())? {
                done.push(format!("register module {}", module.name()));
            }
        }
        Ok(done)
    }

    /// Whether the database is the one that this binary and this keyring belong to.
    pub async fn check(&self) -> Result<(), String> {
        self.store.check_version().await?;
        self.store.check_keyring().await
    }

    /// For work that no request has asked for.
    pub fn context(&self) -> Context {
        let random: [u8; 10] = self.chance.bytes();
        Context {
            now: self.clock.now(),
            request_id: format!("job_{}", hex(&random)),
            deadline: Instant::now() + Duration::from_millis(self.config.server.request_timeout_ms),
            receipts: Receipts::default(),
        }
    }

    pub async fn flush_last_used(&self) -> Result<(), Fault> {
        workers::flush_last_used(self).await
    }

    /// Seals everything that is in the trail, and signs it.
    pub async fn seal_trail(&self) -> Result<u64, Fault> {
        sealing::once(self).await
    }

    /// Works on jobs until none is left.
    pub async fn work_on_jobs(&self) -> Result<(), Fault> {
        while workers::work_on_a_job(self, None).await? {}
        Ok(())
    }

    /// Bills every subscription that is due.
    pub async fn renew_subscriptions(&self) -> Result<(), Fault> {
        workers::renew_subscriptions(self).await
    }

    /// Rewards every referral that is earned.
    pub async fn reward_referrals(&self) -> Result<(), Fault> {
        workers::reward_referrals(self).await
    }

    /// Books everything whose time is over.
    pub async fn expire_credits(&self) -> Result<(), Fault> {
        workers::expire_credits(self).await
    }
}

/// How modules move credits: by the wallet, which none of them knows.
pub const PURSE: PurseRef = &wallet::Wallet;

/// A name from the code for one of Purser's own jobs.
pub fn job(name: &'static str) -> crate::kernel::ids::Name {
    crate::kernel::ids::Name::parse(name).expect("a job's name is a literal that fits")
}

fn password_params(config: &Config) -> Params {
    let crypto = &config.crypto;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Params {
        memory_kib: crypto.argon2_memory_kib,
        passes: crypto.argon2_passes,
        lanes: crypto.argon2_lanes,
        threads: match crypto.password_threads {
            0 => (cores / 2).max(1),
            threads => threads,
        },
        queue: crypto.password_queue,
    }
}

fn node_name(config: &Config) -> String {
    if !config.server.node.is_empty() {
        return config.server.node.clone();
    }
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_else(|_| "localhost".to_owned());
    format!("{}:{}", host.trim(), config.server.port)
}

/// A server that is listening.
pub struct Listening {
    pub address: SocketAddr,
    /// Where /metrics is, if anywhere.
    pub metrics: Option<SocketAddr>,
    pub handle: ServerHandle,
}

/// Who tells the server to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopBy {
    Signals,
    Handle,
}

/// Serves until told to stop, then finishes what was accepted. Blocks; `ready` is called once the
/// port is open.
pub fn serve(
    purser: &Purser,
    stop_by: StopBy,
    ready: impl FnOnce(Listening),
) -> Result<(), String> {
    let config = &purser.config;
    listen::check_descriptors(config);
    let (api, figures) = (listen::api(&config.server)?, Figures::default());
    let address = api.local_addr().map_err(|error| error.to_string())?;
    let aside = match config.metrics.listener {
        Listener::On => Some(listen::metrics(config.metrics.bind, config.metrics.port)?),
        Listener::Off => None,
    };
    let metrics = aside.as_ref().and_then(|listener| listener.local_addr().ok());
    purser.runtime.block_on(purser.store.take_over()).map_err(|fault| fault.to_string())?;
    purser.runtime.block_on(purser.store.join()).map_err(|fault| fault.to_string())?;
    let workers = [
        purser.runtime.spawn(workers::run(purser.clone())),
        purser.runtime.spawn(workers::run_expiry(purser.clone())),
        purser.runtime.spawn(workers::run_jobs(purser.clone())),
        purser.runtime.spawn(sealing::run(purser.clone())),
        purser.runtime.spawn(workers::run_renewals(purser.clone())),
        purser.runtime.spawn(workers::run_rewards(purser.clone())),
    ];
    let served = actix_web::rt::System::new().block_on(async {
        let server = server(purser, api, &figures, stop_by)?;
        let mut beside = None;
        if let Some(listener) = aside {
            let server = metrics::server(metrics::Metrics::of(purser, &figures), listener)?;
            beside = Some(server.handle());
            actix_web::rt::spawn(server);
        }
        ready(Listening { address, metrics, handle: server.handle() });
        let served = server.await.map_err(|error| error.to_string());
        if let Some(beside) = beside {
            beside.stop(false).await;
        }
        served
    });
    workers.iter().for_each(JoinHandle::abort);
    purser.runtime.block_on(async {
        if let Err(fault) = purser.flush_last_used().await {
            tracing::warn!(code = fault.code().name(), "the last uses of keys were not written");
        }
        if let Err(fault) = purser.gate.limiter().share().await {
            tracing::warn!(code = fault.code().name(), "what was counted was not written down");
        }
        purser.store.drain().await;
        tracing::info!("stopped: everything that was accepted is finished");
    });
    served
}

fn server(
    purser: &Purser,
    listener: TcpListener,
    figures: &Figures,
    stop_by: StopBy,
) -> Result<actix_web::dev::Server, String> {
    let config = &purser.config.server;
    let door = Door {
        gate: purser.gate.clone(),
        clock: purser.clock.clone(),
        request_timeout: Duration::from_millis(config.request_timeout_ms),
        proxies: Proxies::new(&config.trusted_proxies, config.forwarded_header),
        anonymous: purser.anonymous.clone(),
        decisions: purser.decisions.clone(),
    };
    let edge = Data::new(Edge::new(config, figures.clone()));
    let origins = config.cors_origins.clone();
    let (door, gate) = (Data::new(door), Data::new(purser.gate.clone()));
    let (store, desk) = (Data::new(purser.store.clone()), Data::new(purser.desk.clone()));
    let chance = Data::new(purser.chance.clone());
    let docs = Data::new(Docs::new()?);
    let attempts = Data::from(Arc::clone(&purser.attempts));
    let (catalogue, purse) = (Data::new(purser.catalogue.clone()), Data::new(PURSE));
    let feed = Data::new(Feed {
        desk: purser.desk.clone(),
        lines: wallet::lines(purser.store.clone()),
        bounds: purser.config.delivery,
    });
    let mut server = HttpServer::new(move || {
        Actix::new()
            .app_data(door.clone())
            .app_data(gate.clone())
            .app_data(store.clone())
            .app_data(desk.clone())
            .app_data(chance.clone())
            .app_data(edge.clone())
            .wrap(Condition::new(!origins.is_empty(), edge::cors(&origins)))
            .app_data(docs.clone())
            .app_data(attempts.clone())
            .app_data(catalogue.clone())
            .app_data(purse.clone())
            .app_data(feed.clone())
            .wrap(from_fn(boundary))
            .configure(routes)
    });
    if stop_by == StopBy::Handle {
        server = server.disable_signals();
    }
    let server = server
        .workers(listen::workers(config))
        .max_connections(listen::connections_per_worker(config))
        .on_connect(listen::counted(figures.connections.clone()))
        .client_request_timeout(Duration::from_millis(config.head_timeout_ms))
        // Else what comes in after an answer would be read for that long; see `http::incoming`.
        .client_disconnect_timeout(Duration::ZERO)
        .keep_alive(Duration::from_secs(config.keep_alive_seconds))
        .shutdown_timeout(config.shutdown_seconds)
        .listen(listener)
        .map_err(|error| error.to_string())?;
    Ok(server.run())
}
