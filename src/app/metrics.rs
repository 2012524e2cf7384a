//! `/metrics`: what the rooms count, and what the process takes, as Prometheus reads it.
//!
//! Each room keeps figures of its own and registers them here, so that there is one list and no
//! global state. On a listener of its own, because it asks for no key.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::Server;
use actix_web::web::{self, Data};
use actix_web::{App as Actix, HttpResponse, HttpServer};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::build::Purser;
use crate::crypto::password::Hasher;
use crate::http::figures::Figures as HttpFigures;
use crate::kernel::fault::Fault;
use crate::store::Store;

/// No part of the API, so not in its document.
const PATH: &str = "/metrics";
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CONNECTIONS_MAX: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(5);

pub struct Metrics {
    registry: Registry,
    store: Store,
    hasher: Hasher,
    started: Instant,
}

impl Metrics {
    pub fn of(purser: &Purser, http: &HttpFigures) -> Self {
        let mut registry = Registry::with_prefix("purser");
        http.register(&mut registry);
        purser.decisions.register(&mut registry);
        purser.store.figures().register(&mut registry);
        purser.store.copy_figures().register(&mut registry);
        let renewals = "Subscriptions whose period was over: paid, unpaid, or ended";
        purser.renewals.register("subscription_renewals", renewals, &mut registry);
        let rewards = "Referrals that were looked at: rewarded, closed, or full";
        purser.rewards.register("referral_rewards", rewards, &mut registry);
        purser.checkpoints.handed().register(&mut registry);
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which Purser this is", build);
        Self {
            registry,
            store: purser.store.clone(),
            hasher: purser.desk.hasher.clone(),
            started: Instant::now(),
        }
    }

    pub fn text(&self) -> Result<String, Fault> {
        let mut text = String::with_capacity(16 * 1024);
        let encoded = text::encode_registry(&mut text, &self.registry)
            .and_then(|()| text::encode_registry(&mut text, &self.now()))
            .and_then(|()| text::encode_eof(&mut text));
        encoded.map_err(|_| Fault::internal("the figures cannot be written"))?;
        Ok(text)
    }

    /// What is not counted but looked at.
    fn now(&self) -> Registry {
        let load = self.hasher.load();
        let mut registry = Registry::with_prefix("purser");
        let mut gauge = |name: &str, help: &str, value: u64| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            registry.register(name, help, ConstGauge::new(value));
        };
        gauge("queue_waiting", "Units that wait for the lane", count(self.store.queued()));
        gauge("password_hashes_running", "Passwords being hashed", count(load.running));
        gauge("password_hashes_waiting", "Passwords that wait to be hashed", count(load.waiting));
        gauge("resident_memory_bytes", "Memory in use", resident_bytes());
        gauge("uptime_seconds", "Since the start", self.started.elapsed().as_secs());
        let refused = ConstCounter::new(load.refused);
        registry.register(
            "password_hashes_refused",
            "Passwords that were not hashed, because too many waited",
            refused,
        );
        registry
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// 0 where there is no /proc.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

pub fn server(metrics: Metrics, listener: TcpListener) -> Result<Server, String> {
    let metrics = Data::from(Arc::new(metrics));
    let server = HttpServer::new(move || {
        Actix::new()
            .app_data(metrics.clone())
            .service(web::resource(PATH).route(web::get().to(read)))
    });
    let server = server
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(TIMEOUT)
        .keep_alive(TIMEOUT)
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)
        .map_err(|error| error.to_string())?;
    Ok(server.run())
}

async fn read(metrics: Data<Metrics>) -> HttpResponse {
    match metrics.text() {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(fault) => {
            tracing::error!(cause = fault.cause(), "the figures were not written");
            HttpResponse::InternalServerError().finish()
        }
    }
}
