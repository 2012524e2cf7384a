//! The papers that are made from the code: what is checked in is what the code says.
//! `PURSER_UPDATE=1 cargo test --test it papers` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use purser::app::papers;
use purser::kernel::fault::Code;
use serde_json::Value;

use crate::harness::variable;

/// Compares with the file in `docs/`, or writes it.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if variable("PURSER_UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("docs")).expect("docs");
        fs::write(&path, text).expect("written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(text.lines()).position(|(old, new)| old != new);
    assert!(
        written == text,
        "docs/{name} is out of date from line {}; PURSER_UPDATE=1 writes it anew",
        differs.unwrap_or_else(|| written.lines().count().min(text.lines().count())) + 1
    );
}

#[test]
fn the_table_of_errors_is_what_the_code_says() {
    let paper = papers::errors_paper();
    check("errors.md", &paper);
    for code in Code::ALL {
        assert!(paper.contains(&format!("| `{}` |", code.name())), "{}", code.name());
    }
}

#[test]
fn the_table_of_actions_is_what_the_code_says() {
    let paper = papers::actions_paper();
    check("actions.md", &paper);
    let mut writing = writing_actions();
    // What is only seen has no action that is granted.
    writing.extend(purser::access::watch::WRITING.iter().map(|seen| seen.name.to_owned()));
    assert!(writing.len() >= 10, "the actions were not found: {writing:?}");
    for action in &writing {
        assert!(paper.contains(&format!("| `{action}` |")), "{action} is not in the paper");
    }
    assert_eq!(papers::actions().len(), writing.len());
    let names: BTreeSet<_> = papers::actions().iter().map(|action| action.name).collect();
    assert_eq!(names.len(), writing.len(), "two actions have one name");
}

/// The names of everything that the sources declare as writing, in whichever slice.
fn writing_actions() -> BTreeSet<String> {
    let (mut names, mut open) = (BTreeSet::new(), vec![source()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(path).expect("a folder").map(|entry| entry.expect("one").path()),
            );
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for block in text.split("\nactions! {").skip(1) {
            let block = block.split("\n}").next().unwrap_or_default();
            let lines = block.lines().filter(|line| line.contains(", writes,"));
            names.extend(lines.filter_map(|line| line.split('"').nth(1)).map(str::to_owned));
        }
        let by_hand = text.contains("impl Mutating for");
        assert!(!by_hand, "{}: the papers know only what `actions!` declares", path.display());
    }
    names
}

fn source() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn the_openapi_document_is_what_the_code_says() {
    check("openapi.json", &(papers::openapi() + "\n"));
}

#[test]
fn the_openapi_document_is_complete() {
    let document: Value = serde_json::from_str(&papers::openapi()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    for field in ["title", "version", "description"] {
        assert!(document["info"][field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id.to_owned()), "{name}: {id} is another operation's id");
        for field in ["summary", "responses"] {
            assert!(!operation[field].is_null(), "{name} has no {field}");
        }
        assert_parameters(&document, &name, &path, operation);
        assert_responses(&document, &name, operation);
        let body = &operation["requestBody"];
        let example = &body["content"]["application/json"]["example"];
        assert!(body.is_null() || example.is_object(), "{name} has no example of its body");
    }
    assert!(ids.len() > 10, "the operations were not found");
    assert_references(&document, &document);
}

/// Every `{name}` of the path is a parameter, and required.
fn assert_parameters(document: &Value, name: &str, path: &str, operation: &Value) {
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parameters: Vec<_> = parameters.iter().map(|one| resolved(document, one)).collect();
    let in_path: BTreeSet<_> = parameters
        .iter()
        .filter(|parameter| parameter["in"] == "path" && parameter["required"] == true)
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    let named: BTreeSet<_> =
        path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
    assert_eq!(in_path, named, "{name}");
    assert!(parameters.iter().all(|parameter| parameter["schema"].is_object()), "{name}");
}

/// What succeeds has a schema and an example unless it has no body; what does not is a problem whose
/// codes are those of its status.
fn assert_responses(document: &Value, name: &str, operation: &Value) {
    let responses = operation["responses"].as_object().expect("responses");
    let keyed = operation["security"].is_null();
    let mut expected = Vec::new();
    if keyed {
        expected.extend(["400", "401", "403", "422", "429", "500", "503"]);
    }
    if operation["requestBody"].is_object() {
        expected.extend(["413", "415"]);
    }
    for status in expected {
        assert!(responses.contains_key(status), "{name} does not say {status}");
    }
    assert!(responses.keys().any(|status| status.starts_with('2')), "{name} never succeeds");
    for (status, response) in responses {
        let response = resolved(document, response);
        let described = response["description"].as_str().is_some_and(|text| !text.is_empty());
        assert!(described, "{name}: {status} is not described");
        let header = |header: &str| response["headers"][header].is_object();
        assert!(header("X-Request-Id"), "{name}: {status} has no X-Request-Id");
        assert_eq!(header("WWW-Authenticate"), status == "401", "{name}: {status}");
        let later = ["409", "422", "429", "503"].contains(&status.as_str());
        assert_eq!(header("Retry-After"), later, "{name}: {status}");
        if ["204", "304"].contains(&status.as_str()) {
            continue;
        }
        let succeeds = status.starts_with('2');
        // Line by line, where there may be any number of them.
        let is_lines = response["content"]["application/x-ndjson"].is_object();
        let media = match (succeeds, is_lines) {
            (true, true) => "application/x-ndjson",
            (true, false) => "application/json",
            (false, _) => PROBLEM,
        };
        let content = &response["content"][media];
        assert!(content["schema"].is_object(), "{name}: {status} has no schema");
        let exemplary = !content["example"].is_null() || content["examples"].is_object();
        assert!(exemplary, "{name}: {status} has no example");
        let codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"].as_array();
        for code in codes.into_iter().flatten().filter_map(Value::as_str) {
            let code = Code::from_name(code).expect("a code of ours");
            let its = purser::http::problem::status(code.class());
            assert_eq!(its.as_str(), status, "{name}: {}", code.name());
        }
        assert_eq!(codes.is_some(), !succeeds, "{name}: {status} has no codes");
    }
}

/// The node itself, or the component that it refers to.
fn resolved<'a>(document: &'a Value, node: &'a Value) -> &'a Value {
    let pointer = node["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.map_or(node, |pointer| document.pointer(pointer).expect("a component"))
}

#[test]
fn every_operation_says_what_it_needs_as_its_action_does() {
    let document: Value = serde_json::from_str(&papers::openapi()).expect("JSON");
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        if !operation["security"].is_null() {
            continue;
        }
        let needs = operation["x-needs"].as_str();
        let needs = needs.unwrap_or_else(|| panic!("{name}: extensions((\"x-needs\" = …))"));
        let described = operation["description"].as_str().unwrap_or_default();
        let last = described.lines().last().unwrap_or_default();
        assert!(last.starts_with("Needs: ") && last.contains(needs), "{name}: {described}");
    }
    for (place, said, taken) in said_and_taken() {
        assert_eq!(said, taken, "{place}: the handler takes another action");
    }
}

/// Where a handler stands, the action of its `x-needs`, and the action of its `Call`.
fn said_and_taken() -> Vec<(String, String, String)> {
    let (mut found, mut open) = (Vec::new(), vec![source()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let inner = fs::read_dir(path).expect("a folder");
            open.extend(inner.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for handler in text.split("json!(needs::<").skip(1) {
            let action = |text: &str| {
                text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
            };
            let Some((_, call)) = handler.split_once("Call<") else { continue };
            found.push((path.display().to_string(), action(handler), action(call.trim_start())));
        }
    }
    assert!(found.len() > 10, "the handlers were not found");
    found
}

#[test]
fn a_name_means_the_same_thing_wherever_it_stands() {
    let document: Value = serde_json::from_str(&papers::openapi()).expect("JSON");
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut times = 0;
    for (schema, definition) in schemas {
        let Some(fields) = definition["properties"].as_object() else { continue };
        let closed = definition["additionalProperties"] == false;
        assert!(closed || schema == "ModulesView", "{schema} takes fields that it does not list");
        for (field, value) in fields {
            if field.ends_with("_at") || field == "timestamp" {
                assert_eq!(value["format"], "date-time", "{schema}.{field}");
                times += 1;
            }
            if field == "user_id" || field == "connection_id" {
                assert_eq!(value["pattern"], "^[0-9a-f]{24}$", "{schema}.{field}");
            }
        }
    }
    assert!(times > 10, "the fields were not found");
    for (path, method, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().expect("parameters");
        let limit = parameters.iter().find(|parameter| parameter["name"] == "limit");
        if let Some(limit) = limit {
            let bounds = (&limit["schema"]["minimum"], &limit["schema"]["maximum"]);
            assert_eq!(bounds, (&1.into(), &200.into()), "{method} {path}");
        }
    }
}

const PROBLEM: &str = "application/problem+json";

/// Every `$ref` leads somewhere.
fn assert_references(document: &Value, node: &Value) {
    match node {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("inside the document");
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            for inner in fields.values() {
                assert_references(document, inner);
            }
        }
        Value::Array(elements) => {
            for inner in elements {
                assert_references(document, inner);
            }
        }
        _ => {}
    }
}

const METHODS: &[&str] = &["get", "put", "post", "delete", "patch"];

/// Path, method and operation.
pub fn operations<'a>(document: &'a Value) -> Vec<(String, String, &'a Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_item = |(path, item): (&String, &'a Value)| {
        let known = METHODS.iter().filter(|method| item[**method].is_object());
        let named = known.map(|method| (path.clone(), method.to_uppercase(), &item[*method]));
        named.collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_item).collect()
}
