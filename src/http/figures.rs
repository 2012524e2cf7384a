//! How many requests there were, of which kind, and how long they took.
//!
//! Labels come from closed sets: patterns of routes, names of codes, and the ids of apps, of which
//! only the first ones are told apart. No path, no address and no id of a person ever is one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::kernel::fault::Code;
use crate::kernel::ids::AppId;

/// Beyond it an app is `other`.
const APPS_MAX: usize = 200;
/// Routes are code, so this many are never reached; the bound holds all the same.
const ROUTES_MAX: usize = 500;
/// Sets of route, method and app; beyond it the app of a new one is `other`.
const SETS_MAX: usize = 4_000;
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
const OTHER: &str = "other";

/// The app whose key a request has shown; left in the request's extensions for its boundary.
pub struct CallerApp(pub AppId);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    route: Arc<str>,
    method: &'static str,
    app: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: Arc<str>,
    method: &'static str,
    app: Arc<str>,
    outcome: &'static str,
}

/// Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Figures {
    requests: Family<Answered, Counter>,
    seconds: Family<Kind, Histogram, fn() -> Histogram>,
    /// Open connections of the API's listener.
    pub connections: Gauge,
    routes: Names,
    apps: Names,
    sets: Arc<AtomicUsize>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            connections: Gauge::default(),
            routes: Names::of_at_most(ROUTES_MAX),
            apps: Names::of_at_most(APPS_MAX),
            sets: Arc::default(),
        }
    }
}

impl Figures {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests by pattern of their route, app and outcome (a status class or the code of a problem)",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to its answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register("http_connections", "Open connections", self.connections.clone());
    }

    pub fn count(&self, kind: &Asked<'_>, outcome: &'static str, took: Duration) {
        let route = self.routes.get(kind.route);
        let method = method(kind.method);
        let app = kind.app.map_or_else(|| self.apps.none(), |app| self.apps.get(app.0.as_str()));
        let kind = self.room_for(Kind { route, method, app });
        self.seconds.get_or_create(&kind).observe(took.as_secs_f64());
        let Kind { route, method, app } = kind;
        self.requests.get_or_create(&Answered { route, method, app, outcome }).inc();
    }

    fn room_for(&self, kind: Kind) -> Kind {
        if self.seconds.get(&kind).is_some() {
            return kind;
        }
        if self.sets.fetch_add(1, Ordering::Relaxed) < SETS_MAX {
            return kind;
        }
        Kind { app: self.apps.other(), ..kind }
    }
}

/// What is known of a request when it is answered.
pub struct Asked<'a> {
    pub route: &'a str,
    pub method: &'a Method,
    pub app: Option<&'a CallerApp>,
}

/// The name of a problem, or the class of a status.
pub fn outcome(status: StatusCode, code: Option<Code>) -> &'static str {
    match (code, status.as_u16()) {
        (Some(code), _) => code.name(),
        (None, 100..=199) => "1xx",
        (None, 200..=299) => "2xx",
        (None, 300..=399) => "3xx",
        (None, 400..=499) => "4xx",
        (None, _) => "5xx",
    }
}

/// A client may send any word as a method.
fn method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER)
}

/// Each name once, so that a label costs no memory of its own; as many as are allowed.
#[derive(Clone)]
struct Names {
    known: Arc<RwLock<HashSet<Arc<str>>>>,
    none: Arc<str>,
    other: Arc<str>,
    max: usize,
}

impl Names {
    fn of_at_most(max: usize) -> Self {
        Self { known: Arc::default(), none: "none".into(), other: OTHER.into(), max }
    }

    fn get(&self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.max && !known.contains(name) {
            return Arc::clone(&self.other);
        }
        let name: Arc<str> = name.into();
        known.insert(Arc::clone(&name));
        name
    }

    fn none(&self) -> Arc<str> {
        Arc::clone(&self.none)
    }

    fn other(&self) -> Arc<str> {
        Arc::clone(&self.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(figures: &Figures) -> String {
        let mut registry = Registry::default();
        figures.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encodes");
        text
    }

    fn asked(route: &str, app: &str) -> (String, CallerApp) {
        (route.to_owned(), CallerApp(AppId::parse(app).expect("a name")))
    }

    #[test]
    fn beyond_the_bound_apps_are_counted_together() {
        let figures = Figures::default();
        for number in 0..=APPS_MAX {
            let (route, app) = asked("/v1/users", &format!("app_{number}"));
            let asked = Asked { route: &route, method: &Method::GET, app: Some(&app) };
            figures.count(&asked, "2xx", Duration::ZERO);
        }
        let text = text(&figures);
        assert!(text.contains("app=\"app_199\"") && !text.contains("app=\"app_200\""));
        assert!(text.contains("app=\"other\""));
    }

    #[test]
    fn beyond_the_bound_of_all_sets_no_app_gets_one_of_its_own() {
        let figures = Figures::default();
        for route in 0..100 {
            for app in 0..100 {
                let (route, app) = asked(&format!("/{route}"), &format!("app_{app}"));
                let asked = Asked { route: &route, method: &Method::GET, app: Some(&app) };
                figures.count(&asked, "2xx", Duration::ZERO);
            }
        }
        let counts = text(&figures).lines().filter(|line| line.contains("_count{")).count();
        assert!(counts <= SETS_MAX + ROUTES_MAX, "{counts}");
    }

    #[test]
    fn a_method_that_nobody_knows_is_no_label() {
        let method_sent = Method::from_bytes(b"ADA-EXAMPLE").expect("a method");
        assert_eq!(method(&method_sent), OTHER);
        assert_eq!(outcome(StatusCode::NOT_FOUND, Some(Code::NotFound)), "not_found");
        assert_eq!(outcome(StatusCode::CREATED, None), "2xx");
    }
}
