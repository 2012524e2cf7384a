//! What a field's or a parameter's name says of its value: the same name means the same thing
//! wherever it stands, so its shape is written once.

use serde_json::{Map, Value, json};

use crate::http::problem::ProblemBody;
use crate::kernel::page::LIMIT_MAX;
use utoipa::ToSchema;

const ID: &str = "^[0-9a-f]{24}$";
const NAME: &str = "^[a-z0-9_]{3,64}$";
const IDS: &str = "^[0-9a-f]{24}(,[0-9a-f]{24}){0,199}$";
/// What can be a number at all: which ones there are, no pattern can say.
const PHONE: &str = r"^[\s().-]*\+[0-9\s().-]{8,62}$";
const LANGUAGE: &str = "^([A-Za-z]{2,3}|[IiXx])(-[A-Za-z0-9]{1,8})*$";
const NETWORK_V4: &str = r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])$";
/// Roughly: the many ways to shorten one are not worth a pattern.
const NETWORK_V6: &str =
    "^[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$";
const ADDRESS_OF_SAMPLE: &str = "203.0.113.7";

/// A name, the constraint that goes with it, and a sample.
const MEANINGS: &[(&[&str], Meaning, &str)] = &[
    (
        &[
            "id",
            "user_id",
            "connection_id",
            "registration_id",
            "customer_id",
            "operator_id",
            "entry",
            "hold",
        ],
        Meaning::Pattern(ID),
        "65f1a2b3c4d5e6f7a8b9c0d1",
    ),
    (&["ids"], Meaning::Pattern(IDS), "65f1a2b3c4d5e6f7a8b9c0d1"),
    (&["app_id", "app", "asserted_by"], Meaning::Pattern(NAME), "external_app_001"),
    (&["module"], Meaning::Pattern(NAME), "core"),
    (&["account_number"], Meaning::Pattern("^[0-9]{14}$"), "12345678901244"),
    (
        &["timestamp", "last_updated", "last_sync", "last_login", "from", "to", "at"],
        Meaning::Format("date-time"),
        "2026-11-22T16:40:08.000Z",
    ),
    (&["request_id"], Meaning::None, "req_5d1c0b2f9a7e4c3d8b60"),
    (&["email"], Meaning::Format("idn-email"), "john.doe@example.com"),
    (&["phone"], Meaning::Pattern(PHONE), "+12345678901"),
    (&["username", "app_username"], Meaning::None, "johndoe"),
    (&["app_display_name"], Meaning::None, "John D."),
    (&["app_version"], Meaning::None, "1.0.0"),
    (&["nickname"], Meaning::None, "Johnny"),
    (&["avatar_url"], Meaning::None, "https://example.com/john.png"),
    (&["first_name"], Meaning::None, "John"),
    (&["last_name"], Meaning::None, "Doe"),
    (&["timezone"], Meaning::None, "America/New_York"),
    (&["language"], Meaning::Pattern(LANGUAGE), "en"),
    (&["app_name", "name"], Meaning::None, "External Application"),
    (&["ip_address", "ip"], Meaning::None, ADDRESS_OF_SAMPLE),
    (&["key_hint", "hint"], Meaning::None, "prs_con_…a1B2"),
    (&["connection_key"], Meaning::None, "prs_con_…"),
    (&["key"], Meaning::None, "prs_app_…"),
    (&["action"], Meaning::None, "profile_updated"),
    (&["subject"], Meaning::None, "user:65f1a2b3c4d5e6f7a8b9c0d1"),
];

#[derive(Clone, Copy)]
enum Meaning {
    None,
    Pattern(&'static str),
    Format(&'static str),
}

pub fn describe(document: &mut Value) {
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in schemas {
            describe_schema(schema);
            if *name == ProblemBody::name() {
                schema["properties"]["type"]["format"] = json!("uri");
            }
        }
    }
    super::for_each_operation(document, |path, _, operation| {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            describe_parameter(path, parameter);
        }
    });
}

/// Every object that lists its fields has these and no others.
fn describe_schema(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            describe_value(name, property);
            describe_list(name, property);
            describe_schema(property);
        }
        if schema["additionalProperties"].is_null() {
            schema["additionalProperties"] = json!(false);
        }
    }
    if let Some(items) = schema.get_mut("items") {
        describe_schema(items);
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        for part in schema.get_mut(several).and_then(Value::as_array_mut).into_iter().flatten() {
            describe_schema(part);
        }
    }
}

/// As [`MEANINGS`], of the elements of a list of names, each of which stands there once.
const LISTS: &[(&[&str], &str, &str)] = &[
    (&["permissions", "default_permissions"], "^(read|write|[a-z0-9_]{3,64}_access)$", "read"),
    (&["roles"], NAME, "member"),
    (&["apps"], NAME, "external_app_001"),
    (&["features"], "^[a-z0-9_.:-]{1,64}$", "export"),
];

fn describe_list(name: &str, schema: &mut Value) {
    if schema["items"].is_null() {
        return;
    }
    if name == "allowed_ips" {
        let forms = json!([{ "format": "ipv4" }, { "format": "ipv6" },
            { "pattern": NETWORK_V4 }, { "pattern": NETWORK_V6 }]);
        schema["uniqueItems"] = json!(true);
        schema["items"] = json!({ "type": "string", "anyOf": forms, "examples": ["203.0.113.7"] });
    }
    let Some((_, pattern, sample)) = LISTS.iter().find(|(names, ..)| names.contains(&name)) else {
        return;
    };
    schema["uniqueItems"] = json!(true);
    if let Some(items) = schema["items"].as_object_mut().filter(|items| is_text(items)) {
        items.entry("pattern").or_insert_with(|| json!(pattern));
        items.entry("examples").or_insert_with(|| json!([sample]));
    }
}

fn describe_value(name: &str, schema: &mut Value) {
    let Some(schema) = schema.as_object_mut().filter(|schema| is_text(schema)) else { return };
    let said = ["pattern", "format", "enum", "const", "minLength"];
    let free = !said.iter().any(|keyword| schema.contains_key(*keyword));
    let known = MEANINGS.iter().find(|(names, ..)| names.contains(&name));
    let (meaning, sample) = match known {
        Some((_, meaning, sample)) => (*meaning, *sample),
        None if name.ends_with("_at") => (Meaning::Format("date-time"), "2026-11-22T16:40:08.000Z"),
        None => return,
    };
    if !free && !matches!(meaning, Meaning::None) {
        return;
    }
    match meaning {
        Meaning::Pattern(pattern) => schema.insert("pattern".to_owned(), json!(pattern)),
        Meaning::Format(format) => schema.insert("format".to_owned(), json!(format)),
        Meaning::None => None,
    };
    if !schema.contains_key("example") && !schema.contains_key("examples") {
        schema.insert("examples".to_owned(), json!([sample]));
    }
}

fn is_text(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == "string",
        Some(Value::Array(several)) => several.iter().any(|one| one == "string"),
        _ => false,
    }
}

/// Parameters of a path or a query, and the headers that only some operations take.
fn describe_parameter(path: &str, parameter: &mut Value) {
    let (name, place) = (parameter["name"].clone(), parameter["in"].clone());
    let (Some(name), Some(place)) = (name.as_str(), place.as_str()) else { return };
    let (schema, description) = match (place, name) {
        // An operator has no connection, so `me` is nobody there.
        ("path", "user") if !path.starts_with("/v1/admin/") => (
            json!({ "type": "string", "pattern": "^([0-9a-f]{24}|me)$", "examples": ["65f1a2b3c4d5e6f7a8b9c0d1"] }),
            "The user's id, or `me` with a connection key",
        ),
        (_, "limit") => (
            json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "examples": [50] }),
            "The most items of a page",
        ),
        (_, "cursor") => (
            json!({ "type": "string" }),
            "The `next_cursor` of the page before, with the same key and filters",
        ),
        ("header", "If-Match") => (
            json!({ "type": "string", "examples": ["*"] }),
            "The `ETag` of the last answer; otherwise somebody's change could be overwritten",
        ),
        ("header", "Purser-Client-IP") => (
            json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }], "examples": [ADDRESS_OF_SAMPLE] }),
            "The person's own address, as your server sees it",
        ),
        ("header", "If-None-Match") => (
            json!({ "type": "string" }),
            "An `ETag`: the answer is 304 if nothing has changed since",
        ),
        ("header", "Idempotency-Key") => (
            json!({ "type": "string", "pattern": "^[!-~]{1,255}$" }),
            "New for every new operation: repeated with the same body, the first answer comes again",
        ),
        _ => {
            // A parameter is there or not; there is no null in a path, a query or a header.
            if parameter["schema"]["type"] == json!(["string", "null"]) {
                parameter["schema"]["type"] = json!("string");
            }
            describe_value(name, &mut parameter["schema"]);
            return;
        }
    };
    parameter["schema"] = schema;
    if parameter["description"].is_null() {
        parameter["description"] = json!(description);
    }
}
