//! What the door decided: whom its limits let in, and which of them refused.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::watch::Event;

/// Cheap to clone; clones count together.
#[derive(Clone, Default)]
pub struct Figures {
    limited: Family<By, Counter>,
    seen: Family<Kind, Counter>,
    /// Security events that stand in no entry: too many at once, or refused by the database.
    pub unwritten: Counter,
    /// Portions of a limit that this node has taken from what all nodes share.
    pub leases: Counter,
    pub admitted: Counter,
    /// Let through on this node's share while the common stock was out of reach.
    pub on_credit: Counter,
}

/// Which limit refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Minute,
    Hour,
    App,
    Anonymous,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct By {
    by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

impl Figures {
    pub fn register(&self, registry: &mut Registry) {
        for event in Event::ALL {
            let _ = self.seen.get_or_create(&Kind { kind: event.name() });
        }
        for limit in [Limit::Minute, Limit::Hour, Limit::App, Limit::Anonymous] {
            let _ = self.limited.get_or_create(&limit.label());
        }
        registry.register(
            "limited",
            "Requests refused, by the limit that refused them",
            self.limited.clone(),
        );
        registry.register(
            "limit_leases",
            "Portions of limits taken from what all nodes share",
            self.leases.clone(),
        );
        registry.register("admitted", "Requests that their limits let in", self.admitted.clone());
        registry.register("security_events", "Security events, by kind", self.seen.clone());
        registry.register(
            "security_events_unwritten",
            "Security events that stand in no entry of the trail",
            self.unwritten.clone(),
        );
        registry.register(
            "limit_credits",
            "Requests let in on this node's share while the database did not answer",
            self.on_credit.clone(),
        );
    }

    pub fn seen(&self, kind: &'static str) {
        self.seen.get_or_create(&Kind { kind }).inc();
    }

    pub fn lost(&self, count: i64) {
        self.unwritten.inc_by(u64::try_from(count).unwrap_or_default());
    }

    pub fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&limit.label()).inc();
    }
}

impl Limit {
    fn label(self) -> By {
        let by = match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::App => "app",
            Self::Anonymous => "anonymous",
        };
        By { by }
    }
}
