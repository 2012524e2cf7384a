//! What a handler answers when all went well.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde::Serialize;

use crate::kernel::fault::Fault;
use crate::kernel::time::{SECOND_MS, Timestamp};

pub struct Answer {
    status: StatusCode,
    body: Option<BoxBody>,
    content_type: &'static str,
    etag: Option<String>,
    seen: Option<String>,
    replayed: Replay,
    deprecated_at: Option<Timestamp>,
}

/// Whether an answer is the effect's own or was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    First,
    Again,
}

impl Answer {
    pub fn ok(body: &impl Serialize) -> Result<Self, Fault> {
        Self::with(StatusCode::OK, body)
    }

    pub fn created(body: &impl Serialize) -> Result<Self, Fault> {
        Self::with(StatusCode::CREATED, body)
    }

    pub fn accepted(body: &impl Serialize) -> Result<Self, Fault> {
        Self::with(StatusCode::ACCEPTED, body)
    }

    pub fn no_content() -> Self {
        let (body, etag, seen, replayed) = (None, None, None, Replay::First);
        let deprecated_at = None;
        let content_type = "application/json";
        let status = StatusCode::NO_CONTENT;
        Self { status, body, content_type, etag, seen, replayed, deprecated_at }
    }

    /// A table, for spreadsheets.
    pub fn csv(body: Vec<u8>) -> Self {
        let content_type = "text/csv; charset=utf-8";
        Self { content_type, ..Self::made(body.into()) }
    }

    pub fn not_modified(etag: String) -> Self {
        Self { status: StatusCode::NOT_MODIFIED, etag: Some(etag), ..Self::no_content() }
    }

    /// With a body that is JSON already.
    pub fn made(body: Bytes) -> Self {
        Self::streamed(body.boxed())
    }

    /// With a body of JSON that is written while it is sent.
    pub fn streamed(body: BoxBody) -> Self {
        Self { status: StatusCode::OK, body: Some(body), ..Self::no_content() }
    }

    fn with(status: StatusCode, body: &impl Serialize) -> Result<Self, Fault> {
        let body = serde_json::to_vec(body).map_err(|_| Fault::internal("an answer is no JSON"))?;
        Ok(Self { status, ..Self::made(body.into()) })
    }

    #[must_use]
    pub fn etag(self, etag: impl Into<Option<String>>) -> Self {
        Self { etag: etag.into(), ..self }
    }

    /// What the caller has seen of a person with this (`Purser-Seen`).
    #[must_use]
    pub fn seen(self, token: impl Into<Option<String>>) -> Self {
        Self { seen: token.into(), ..self }
    }

    /// What was used is on its way out since then (RFC 9745).
    #[must_use]
    pub fn deprecated(self, at: Option<Timestamp>) -> Self {
        Self { deprecated_at: at, ..self }
    }

    #[must_use]
    pub fn replayed(self, again: bool) -> Self {
        Self { replayed: if again { Replay::Again } else { Replay::First }, ..self }
    }
}

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(etag) = self.etag {
            response.insert_header((header::ETAG, format!("\"{etag}\"")));
        }
        if let Some(token) = self.seen {
            response.insert_header(("Purser-Seen", token));
        }
        if let Some(at) = self.deprecated_at {
            let seconds = at.timestamp_millis().div_euclid(SECOND_MS);
            response.insert_header(("Deprecation", format!("@{seconds}")));
        }
        if self.replayed == Replay::Again {
            response.insert_header(("Idempotency-Replayed", "true"));
        }
        match self.body {
            Some(body) => {
                response.insert_header((header::CONTENT_TYPE, self.content_type));
                response.body(body)
            }
            None => response.finish(),
        }
    }
}
