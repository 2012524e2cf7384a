//! From a fault to `application/problem+json` (RFC 9457).

use std::fmt::Write as _;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::kernel::fault::{Class, Code, Fault};

pub const PROBLEM_JSON: &str = "application/problem+json";

/// The error type of every handler: a fault on its way to the boundary.
#[derive(Debug)]
pub struct Problem(pub Fault);

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.code().name())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        status(self.0.code().class())
    }

    /// Only the status: the boundary writes the body, because it knows the request's id.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

pub fn status(class: Class) -> StatusCode {
    match class {
        Class::Malformed => StatusCode::BAD_REQUEST,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::InsufficientFunds => StatusCode::PAYMENT_REQUIRED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
        Class::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Class::Conflict => StatusCode::CONFLICT,
        Class::StalePrecondition => StatusCode::PRECONDITION_FAILED,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::Gone => StatusCode::GONE,
        Class::WrongMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Class::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Class::MissingPrecondition => StatusCode::PRECONDITION_REQUIRED,
        Class::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Class::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
pub struct ProblemBody<'a> {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: &'a str,
    /// Stable: branch on this.
    code: &'a str,
    request_id: &'a str,
    /// The fields that are not acceptable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<ProblemField<'a>>,
    /// With `insufficient_credits`: how many are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    short_by: Option<i64>,
    /// With `duplicate_reference`: the entry that has it, where it is this person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[0-9a-f]{24}$")]
    entry_id: Option<&'a str>,
}

/// One field that is not acceptable.
#[derive(Serialize, ToSchema)]
pub struct ProblemField<'a> {
    /// JSON Pointer into the body, or the name of a header or parameter.
    pointer: &'a str,
    code: &'a str,
    detail: &'a str,
}

pub fn response(fault: &Fault, request_id: &str) -> HttpResponse {
    let code = fault.code();
    let status = status(code.class());
    let errors = fault.errors().iter().map(|error| ProblemField {
        pointer: &error.pointer,
        code: &error.code,
        detail: &error.detail,
    });
    let body = ProblemBody {
        kind: format!("urn:purser:problem:{}", code.name()),
        title: code.title(),
        status: status.as_u16(),
        detail: fault.detail(),
        code: code.name(),
        request_id,
        errors: errors.collect(),
        short_by: fault.facts().and_then(|facts| facts.short_by),
        entry_id: fault.facts().and_then(|facts| facts.entry_id.as_deref()),
    };
    let text = serde_json::to_string(&body).expect("a problem has only texts and numbers");
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
    if let Some(seconds) = fault.retry_after_seconds() {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    if fault.is_replayed() {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    if code.class() == Class::Unauthenticated {
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
    }
    let mut response = response.body(text);
    if let Some(quota) = fault.quota_left() {
        super::quota::insert(response.headers_mut(), quota);
    }
    response
}

/// What one of actix's own errors means here.
pub fn foreign(status: StatusCode) -> Option<Fault> {
    let code = match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        status if status.is_client_error() => Code::MalformedRequest,
        status if status.is_server_error() => Code::Internal,
        _ => return None,
    };
    Some(match code {
        Code::NotFound => {
            Fault::new(code, "There is no such path: /openapi.json lists all there are.")
        }
        code => Fault::of(code),
    })
}

/// `docs/errors.md`.
pub fn paper() -> String {
    let mut codes: Vec<_> = Code::ALL.to_vec();
    codes.sort_by_key(|code| (status(code.class()).as_u16(), code.name()));
    let mut text = String::from(
        "# Errors\n\nEvery error of the API is `application/problem+json` (RFC 9457): `type`, `title`, `status`, \
         `detail`, `code`, `request_id`, and `errors[]` with `pointer`, `code` and `detail` where \
         fields are at fault. Branch on `code`: it never changes its meaning.\n\n\
         | status | code | meaning | what to do |\n|---|---|---|---|\n",
    );
    for code in codes {
        let status = status(code.class()).as_u16();
        let (name, title, remedy) = (code.name(), code.title(), code.remedy());
        writeln!(text, "| {status} | `{name}` | {title} | {remedy} |")
            .expect("writing to a String cannot fail");
    }
    text
}
