//! What the store counts: the lane and its transactions, the pool, MongoDB's answers, and copies.
//!
//! Of a command only its name becomes a label, and only where it is one of those that Purser sends.

use std::sync::Arc;
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::config::store::{CommandTimes, Store as Settings};

const UNITS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
const WAITS_SECONDS: [f64; 8] = [0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.0];
const COMMANDS: &[&str] = &[
    "abortTransaction",
    "aggregate",
    "bulkWrite",
    "commitTransaction",
    "delete",
    "find",
    "findAndModify",
    "getMore",
    "insert",
    "ping",
    "update",
];

/// Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Figures {
    /// Units of a transaction that was committed.
    pub(super) batch: Histogram,
    pub(super) waiting: Gauge,
    pub(super) failed: Counter,
    pub(super) halved: Counter,
    pub(super) aside: Counter,
    in_use: Gauge,
    wait: Histogram,
    not_checked_out: Counter,
    commands: Family<Command, Histogram, fn() -> Histogram>,
    command_failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Command {
    command: &'static str,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            batch: Histogram::new(UNITS),
            waiting: Gauge::default(),
            failed: Counter::default(),
            halved: Counter::default(),
            aside: Counter::default(),
            in_use: Gauge::default(),
            wait: Histogram::new(WAITS_SECONDS),
            not_checked_out: Counter::default(),
            commands: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            command_failures: Counter::default(),
        }
    }
}

impl Figures {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "commit_units",
            "Units that were committed in one transaction",
            self.batch.clone(),
        );
        registry.register(
            "lane_waiting",
            "Units that the lane has taken from the queue and not yet into a transaction",
            self.waiting.clone(),
        );
        registry.register(
            "commit_failures",
            "Transactions that had to be tried again, split or given up",
            self.failed.clone(),
        );
        registry.register(
            "commit_splits",
            "Groups of units that were halved to find the one that fails",
            self.halved.clone(),
        );
        registry.register(
            "commit_aside",
            "Units set aside, because somebody else holds their record",
            self.aside.clone(),
        );
        registry.register(
            "mongodb_pool_in_use",
            "Connections to MongoDB that are at work",
            self.in_use.clone(),
        );
        registry.register_with_unit(
            "mongodb_pool_wait",
            "How long a command waited for a connection",
            Unit::Seconds,
            self.wait.clone(),
        );
        registry.register(
            "mongodb_pool_failures",
            "Commands that got no connection",
            self.not_checked_out.clone(),
        );
        registry.register_with_unit(
            "mongodb_command_duration",
            "From sending a command to MongoDB's reply",
            Unit::Seconds,
            self.commands.clone(),
        );
        registry.register(
            "mongodb_command_failures",
            "Commands that MongoDB refused or did not answer",
            self.command_failures.clone(),
        );
    }

    pub(super) fn listen(&self, config: &Settings, options: &mut ClientOptions) {
        let figures = self.clone();
        let pool = move |event: CmapEvent| figures.of_pool(&event);
        options.cmap_event_handler = Some(EventHandler::Callback(Arc::new(pool)));
        if config.command_times == CommandTimes::On {
            let figures = self.clone();
            let commands = move |event: CommandEvent| figures.of_command(&event);
            options.command_event_handler = Some(EventHandler::Callback(Arc::new(commands)));
        }
    }

    fn of_pool(&self, event: &CmapEvent) {
        match event {
            CmapEvent::ConnectionCheckedOut(event) => {
                self.in_use.inc();
                self.wait.observe(event.duration.as_secs_f64());
            }
            CmapEvent::ConnectionCheckedIn(_) => drop(self.in_use.dec()),
            CmapEvent::ConnectionCheckoutFailed(_) => drop(self.not_checked_out.inc()),
            _ => {}
        }
    }

    fn of_command(&self, event: &CommandEvent) {
        match event {
            CommandEvent::Succeeded(event) => self.took(&event.command_name, event.duration),
            CommandEvent::Failed(event) => {
                self.command_failures.inc();
                self.took(&event.command_name, event.duration);
            }
            _ => {}
        }
    }

    fn took(&self, name: &str, duration: Duration) {
        let known = COMMANDS.iter().find(|known| **known == name);
        let command = Command { command: known.copied().unwrap_or("other") };
        self.commands.get_or_create(&command).observe(duration.as_secs_f64());
    }
}

/// How often a copy was of use. Cheap to clone; clones count together.
#[derive(Clone, Default)]
pub struct CopyFigures {
    pub hits: Counter,
    pub misses: Counter,
    pub evictions: Counter,
}

impl CopyFigures {
    pub fn register(&self, registry: &mut Registry) {
        let figures = [
            ("cache_hits", "Records that were found in memory", &self.hits),
            ("cache_misses", "Records that had to be read", &self.misses),
            ("cache_evictions", "Records forgotten because they changed", &self.evictions),
        ];
        for (name, help, counter) in figures {
            registry.register(name, help, counter.clone());
        }
    }
}
