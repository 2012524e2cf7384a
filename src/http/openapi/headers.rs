//! The headers that operations take and answers carry.

use serde_json::{Map, Value, json};

use super::Shape;

const NONE: Value = Value::Null;

/// What may be sent with a request, as components.
pub fn declare(document: &mut Value) {
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema });
    document["components"]["parameters"] = json!({
        "X-Request-Id": header("X-Request-Id", "Your own id of this request: it stands in the answer, in the log and in the trail. One that does not fit is replaced, not refused.",
            json!({ "type": "string" })),
        "Purser-Client-IP": header("Purser-Client-IP", "The person's own address, as your server sees it; the trail then names the app that said so.",
            json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }], "examples": ["203.0.113.7"] })),
        "Purser-Seen": header("Purser-Seen", "The `Purser-Seen` of an earlier answer: this one is then at least as new, whichever node gives it.",
            json!({ "type": "string" })),
    });
    document["components"]["headers"] = Value::Object(
        ANSWERED
            .iter()
            .map(|(name, text, schema)| ((*name).to_owned(), answered(text, schema)))
            .collect(),
    );
}

/// Headers of answers: name, meaning, schema.
const ANSWERED: &[(&str, &str, &str)] = &[
    (
        "X-Request-Id",
        "The id of this request: tell it when you report a problem.",
        r#"{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"}"#,
    ),
    (
        "ETag",
        "Of what is answered; for `If-Match` and `If-None-Match`.",
        r#"{"type":"string","pattern":"^\"[^\"]+\"$"}"#,
    ),
    (
        "RateLimit-Policy",
        "The limits that apply, as `\"minute\";q=100;w=60, \"hour\";q=1000;w=3600`.",
        r#"{"type":"string"}"#,
    ),
    (
        "RateLimit",
        "What is left of them, as `\"minute\";r=42;t=18, \"hour\";r=900;t=1200`.",
        r#"{"type":"string"}"#,
    ),
    ("Retry-After", "Seconds until repeating makes sense.", r#"{"type":"integer","minimum":0}"#),
    (
        "Idempotency-Replayed",
        "This is the answer of the first request with this Idempotency-Key.",
        r#"{"const":"true"}"#,
    ),
    (
        "Purser-Seen",
        "Send it with a later request to see at least what this one saw.",
        r#"{"type":"string"}"#,
    ),
    (
        "Purser-Entry",
        "The entries of the trail that this change has left: `GET /v1/audit/logs/{entry}`.",
        r#"{"type":"string","pattern":"^[0-9a-f]{24}(, [0-9a-f]{24})*$"}"#,
    ),
    ("WWW-Authenticate", "How to send a key.", r#"{"type":"string"}"#),
];

fn answered(description: &str, schema: &str) -> Value {
    let schema: Value = serde_json::from_str(schema).expect("the schemas above are JSON");
    json!({ "description": description, "schema": schema })
}

/// Adds to an operation what its shape says that it takes and answers.
pub fn add(operation: &mut Map<String, Value>, shape: &Shape) {
    let mut taken = vec!["X-Request-Id"];
    if shape.keyed {
        taken.push("Purser-Seen");
        if shape.audience == "apps" {
            taken.push("Purser-Client-IP");
        }
    }
    let reference = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        // What the slice says of a header itself stays.
        let others = taken.into_iter().filter(|name| !shape.takes(name));
        parameters.extend(others.map(reference));
    }
    if shape.takes("If-None-Match") {
        let unchanged = json!({ "description": "Unchanged since the ETag that was sent" });
        operation["responses"]["304"] = unchanged;
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for (status, response) in responses {
        if response["$ref"].is_null() {
            set(response, &of_success(status, shape));
        }
    }
}

fn of_success(status: &str, shape: &Shape) -> Vec<&'static str> {
    let tagged = status != "204" && ["If-Match", "If-None-Match"].iter().any(|it| shape.takes(it));
    let all = [
        ("X-Request-Id", true),
        ("ETag", tagged),
        ("RateLimit-Policy", shape.keyed),
        ("RateLimit", shape.keyed),
        ("Purser-Seen", shape.keyed),
        ("Purser-Entry", shape.method != "get"),
        ("Idempotency-Replayed", shape.takes("Idempotency-Key")),
    ];
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// Of a problem, by its status.
pub fn of_problem(status: u16) -> Vec<&'static str> {
    let mut names = vec!["X-Request-Id"];
    match status {
        401 => names.push("WWW-Authenticate"),
        402 | 404 => names.push("Idempotency-Replayed"),
        409 | 422 => names.extend(["Retry-After", "Idempotency-Replayed"]),
        429 => names.extend(["Retry-After", "RateLimit-Policy", "RateLimit"]),
        503 => names.push("Retry-After"),
        _ => {}
    }
    names
}

/// What the response says itself stays.
pub fn set(response: &mut Value, names: &[&str]) {
    for name in names {
        if response["headers"][name] == NONE || response["headers"][name]["description"].is_null() {
            let reference = format!("#/components/headers/{name}");
            response["headers"][name] = json!({ "$ref": reference });
        }
    }
}
