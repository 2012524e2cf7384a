//! What the door decided: refusals by limit, and how often a cached record answered.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Cheap to clone; clones count together.
#[derive(Clone, Default)]
pub struct Figures {
    limited: Family<By, Counter>,
    /// Portions of a limit that this node has taken from what all nodes share.
    pub leases: Counter,
    /// Records that the gate found in its cache.
    pub cache_hits: Counter,
    pub cache_misses: Counter,
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

impl Figures {
    pub fn register(&self, registry: &mut Registry) {
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
        registry.register(
            "cache_hits",
            "Records that the gate found in its cache",
            self.cache_hits.clone(),
        );
        registry.register(
            "cache_misses",
            "Records that the gate had to read",
            self.cache_misses.clone(),
        );
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
