//! What the renewals of this node have come to, and how much is left of them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Cheap to clone; clones count together.
#[derive(Clone, Default)]
pub struct Figures {
    renewals: Family<Came, Counter>,
    backlog: Gauge,
    late_seconds: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Came {
    outcome: &'static str,
}

impl Figures {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "subscription_renewals",
            "Subscriptions whose period was over: paid, unpaid, or ended",
            self.renewals.clone(),
        );
        registry.register(
            "subscription_renewals_waiting",
            "Subscriptions that are due, up to 10000, as this node saw it last",
            self.backlog.clone(),
        );
        registry.register(
            "subscription_renewals_late_seconds",
            "How long the first of them has been due",
            self.late_seconds.clone(),
        );
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.renewals.get_or_create(&Came { outcome }).inc();
    }

    pub(super) fn waiting(&self, backlog: u64, late_seconds: i64) {
        self.backlog.set(i64::try_from(backlog).unwrap_or(i64::MAX));
        self.late_seconds.set(late_seconds);
    }
}
