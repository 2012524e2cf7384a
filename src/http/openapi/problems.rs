//! Which problems an operation can answer, by status and code.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use super::{Precondition, Shape, headers};
use crate::http::problem::{PROBLEM_JSON, ProblemBody, ProblemField, status};
use crate::kernel::fault::Code;

/// The schemas of a problem, and the place of the answers that are made of them.
pub fn declare(document: &mut Value) {
    let schemas = [
        (ProblemBody::name(), ProblemBody::schema()),
        (ProblemField::name(), ProblemField::schema()),
    ];
    for (name, schema) in schemas {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        document["components"]["schemas"][name.as_ref()] = schema;
    }
    document["components"]["responses"] = json!({});
}

/// Adds the problems to an operation. Operations with the same codes share one component.
pub fn add(operation: &mut Map<String, Value>, shape: &Shape, shared: &mut Value) {
    let summary = operation.get("summary").cloned().unwrap_or_default();
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for response in responses.values_mut() {
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"].clone_from(&summary);
        }
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL.iter().copied().filter(|code| possible(*code, shape)) {
        by_status.entry(status(code.class()).as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let names: Vec<_> = codes.iter().map(|code| code.name()).collect();
        let name = format!("{status}.{}", names.join("."));
        if shared[&name].is_null() {
            shared[&name] = response(status, &codes);
        }
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(status.to_string()).or_insert(reference);
    }
}

/// Whether an operation of this shape can answer with this code. A new code is possible everywhere
/// until its line says where.
fn possible(code: Code, shape: &Shape) -> bool {
    let Shape { keyed, body, .. } = *shape;
    let app = keyed && shape.audience == "apps";
    let held = shape.needs.as_deref().is_some_and(|needs| !needs.contains(' '));
    let on_user = app && shape.takes("user");
    let changes = shape.method != "get";
    let registers = shape.name == "POST /v1/users";
    let signs_in = shape.path.starts_with("/v1/auth/");
    let approves = shape.path.ends_with("/approve");
    let subscribes = changes && shape.path.contains("/{user}/subscription");
    let moves = changes && shape.path.contains("/wallet/") || subscribes;
    let ends = |places: &[&str]| moves && places.iter().any(|place| shape.path.ends_with(place));
    let resolves = shape.path.contains("/holds/{hold}");
    match code {
        Code::MalformedRequest | Code::Invalid => keyed || body,
        Code::InvalidCursor => shape.takes("cursor"),
        Code::CursorExpired => shape.path == "/v1/changes",
        Code::InvalidIdempotencyKey | Code::IdempotencyInProgress | Code::IdempotencyKeyReused => {
            shape.takes("Idempotency-Key")
        }
        Code::IdempotencyKeyRequired => shape.needs_key,
        Code::SignInFailed | Code::NotConnected => signs_in,
        Code::NotFirstParty => {
            signs_in || ends(&["/transfers"]) || shape.path.starts_with("/v1/accounts/")
        }
        Code::InsufficientCredits => {
            ends(&["/debits", "/transfers", "/holds", "/adjustments"]) || subscribes
        }
        Code::IssuanceNotAllowed => ends(&["/credits"]),
        Code::WalletFrozen | Code::DuplicateReference => moves && !ends(&["freeze"]),
        Code::ModuleDisabled => {
            moves && !ends(&["freeze"]) || changes && shape.path.contains("/referrals/")
        }
        Code::AlreadyReferred | Code::NotEligible => shape.path.ends_with("/referrals/redeem"),
        Code::HoldExpired => resolves,
        Code::WalletFull => ends(&["/credits", "/transfers", "/holds", "/adjustments", "/refund"]),
        Code::ExceedsHold => resolves && ends(&["/capture"]),
        Code::ExceedsRefundable | Code::NotRefundable => ends(&["/refund"]),
        Code::PermissionDenied => on_user && held,
        Code::AppSuspended => app || signs_in || approves,
        Code::UserSuspended
        | Code::UserInactive
        | Code::ConnectionSuspended
        | Code::ConnectionRevoked => on_user || registers || signs_in || approves,
        Code::ConnectionInactive => on_user || signs_in,
        Code::RevealNotAllowed => shape.path.ends_with("/reveal"),
        Code::ContextMismatch => app && body,
        Code::NotFound => shape.path.contains('{'),
        // A method that is not allowed is no operation.
        Code::MethodNotAllowed => false,
        Code::AlreadyExists => changes && keyed && !moves,
        Code::AlreadyResolved => resolves || (changes && shape.audience == "admins"),
        Code::LastAdmin => changes && shape.path.contains("/operators/"),
        Code::RevisionMismatch => shape.if_match != Precondition::None,
        Code::PreconditionRequired => shape.if_match == Precondition::Required,
        Code::RequestTimeout | Code::BodyTooLarge | Code::UnsupportedMediaType => body,
        // Whoever needs no key is counted by address; load balancers are not.
        Code::RateLimited => !matches!(shape.path.as_str(), "/healthz" | "/readyz"),
        Code::OutcomeUnknown => changes,
        Code::StoreUnavailable | Code::Overloaded | Code::ShuttingDown => {
            keyed || body || shape.path == "/readyz"
        }
        // What any key can meet: that it is none, is of the wrong kind, or has asked too often.
        _ => keyed,
    }
}

/// One status: `code` is one of these, and each has an example.
fn response(status: u16, codes: &[Code]) -> Value {
    let lines: Vec<_> =
        codes.iter().map(|code| format!("`{}`: {}", code.name(), code.title())).collect();
    let names: Vec<_> = codes.iter().map(|code| code.name()).collect();
    let body = format!("#/components/schemas/{}", ProblemBody::name());
    let only =
        json!({ "properties": { "code": { "enum": names }, "status": { "const": status } } });
    let examples: Map<_, _> =
        codes.iter().map(|code| (code.name().to_owned(), example(status, *code))).collect();
    let mut response = json!({
        "description": lines.join("; "),
        "content": { PROBLEM_JSON: {
            "schema": { "allOf": [{ "$ref": body }, only] },
            "examples": examples,
        } },
    });
    headers::set(&mut response, &headers::of_problem(status));
    response
}

fn example(status: u16, code: Code) -> Value {
    json!({ "summary": code.title(), "value": {
        "type": format!("urn:purser:problem:{}", code.name()),
        "title": code.title(),
        "status": status,
        "detail": code.remedy(),
        "code": code.name(),
        "request_id": "req_5d1c0b2f9a7e4c3d8b60",
    } })
}
