//! What the boundary is told by the configuration, and the headers that every answer has.

use std::time::Duration;

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::figures::Figures;
use crate::config::Server;

/// How long a browser may remember what it was told about an origin.
const CORS_SECONDS: usize = 600;

/// Answers are data, never pages: nothing in them may be loaded, run, framed or sniffed. A page of
/// ours brings its own policy.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

pub struct Edge {
    pub figures: Figures,
    pub body_timeout: Duration,
    /// How long a connection with a body that is not wanted stays open after the answer.
    pub hold: Duration,
    hsts: Option<HeaderValue>,
}

impl Edge {
    pub fn new(config: &Server, figures: Figures) -> Self {
        let hsts = (config.hsts_seconds > 0)
            .then(|| HeaderValue::from_str(&format!("max-age={}", config.hsts_seconds)).ok());
        let body_timeout = Duration::from_millis(config.body_timeout_ms);
        let hold = Duration::from_millis(config.refusal_hold_ms);
        Self { figures, body_timeout, hold, hsts: hsts.flatten() }
    }

    pub fn dress(&self, headers: &mut HeaderMap) {
        for (name, value) in HEADERS {
            if !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        if let Some(hsts) = &self.hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }
}

/// For pages of exactly these origins. Keys are sent in headers, so cookies are never let in.
pub fn cors(origins: &[String]) -> Cors {
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let taken = [
        "authorization",
        "x-api-key",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "x-request-id",
        "purser-seen",
    ];
    let shown = [
        "etag",
        "idempotency-replayed",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "x-request-id",
        "purser-seen",
        "purser-entry",
    ];
    origins
        .iter()
        .fold(Cors::default(), |cors, origin| cors.allowed_origin(origin))
        .allowed_methods(methods)
        .allowed_headers(taken)
        .expose_headers(shown)
        .max_age(CORS_SECONDS)
}
