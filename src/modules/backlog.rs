//! What a worker of a module has come to on this node, and how much is left for it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::kernel::time::{SECOND_MS, Timestamp};

/// Beyond it a backlog is not counted.
pub const BACKLOG_MAX: u64 = 10_000;

/// Cheap to clone; clones count together.
#[derive(Clone, Default)]
pub struct Backlog {
    done: Family<Came, Counter>,
    waiting: Gauge,
    late_seconds: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Came {
    outcome: &'static str,
}

impl Backlog {
    /// As `<name>`, `<name>_waiting` and `<name>_late_seconds`.
    pub fn register(&self, name: &str, what: &str, registry: &mut Registry) {
        registry.register(name, what, self.done.clone());
        registry.register(
            format!("{name}_waiting"),
            format!("What is due of them, up to {BACKLOG_MAX}, as this node saw it last"),
            self.waiting.clone(),
        );
        registry.register(
            format!("{name}_late_seconds"),
            "How long the first of them has been due",
            self.late_seconds.clone(),
        );
    }

    pub fn count(&self, outcome: &'static str) {
        self.done.get_or_create(&Came { outcome }).inc();
    }

    /// So many are due, the first of them since then.
    pub fn wait(&self, waiting: u64, since: Option<Timestamp>, now: Timestamp) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let late = since.map_or(0, |at| now.timestamp_millis() - at.timestamp_millis());
        self.late_seconds.set(late.max(0) / SECOND_MS);
    }
}
