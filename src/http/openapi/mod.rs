//! What every operation of the OpenAPI document has in common, written once.
//!
//! A slice says what only it can know: the path, the bodies, the statuses of success, and its action
//! as `x-needs`. The rest follows from that and is added here, so no handler repeats it and none can
//! forget it: `problems` (every status and code that an operation of this shape can answer),
//! `headers` (of requests and answers), `names` (a field that is called `user_id` is 24 hex
//! digits wherever it stands) and `examples`.
//!
//! To add to it: a code's place in `problems::possible`, a header in `headers`, a field's meaning in
//! `names::MEANINGS`. A slice that says something itself is not overruled.

mod examples;
mod headers;
mod names;
mod problems;

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::access::action::Action;

/// What an operation needs of its caller: `extensions(("x-needs" = json!(needs::<ReadUser>())))`.
pub fn needs<A: Action>() -> &'static str {
    A::NEEDS.describe()
}

/// The document, with everything that its operations have in common.
pub fn complete(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("an OpenAPI document is JSON");
    problems::declare(&mut document);
    headers::declare(&mut document);
    names::describe(&mut document);
    let mut components = document["components"].take();
    for_each_operation(&mut document, |path, method, operation| {
        let shape = Shape::of(path, method, operation);
        say_what_it_needs(operation);
        problems::add(operation, &shape, &mut components["responses"]);
        headers::add(operation, &shape);
    });
    document["components"] = components;
    examples::add(&mut document);
    document
}

/// What the codes and headers of an operation follow from.
struct Shape {
    /// The operation, as `POST /v1/users`.
    name: String,
    method: String,
    path: String,
    audience: String,
    needs: Option<String>,
    /// An operation that overrides the document's security takes no key.
    keyed: bool,
    body: bool,
    if_match: Precondition,
    /// Whether an Idempotency-Key must be sent.
    needs_key: bool,
    parameters: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precondition {
    None,
    Optional,
    Required,
}

impl Shape {
    fn of(path: &str, method: &str, operation: &Map<String, Value>) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let parameters = operation.get("parameters").and_then(Value::as_array);
        let parameters = parameters.map(Vec::as_slice).unwrap_or_default();
        let named = |name| parameters.iter().find(move |parameter| parameter["name"] == name);
        let if_match = named("If-Match");
        Self {
            name: format!("{} {path}", method.to_uppercase()),
            method: method.to_owned(),
            path: path.to_owned(),
            audience: operation.get("tags").and_then(|tags| text(&tags[0])).unwrap_or_default(),
            needs: operation.get("x-needs").and_then(text),
            keyed: !operation.contains_key("security"),
            body: operation.contains_key("requestBody"),
            if_match: match if_match.map(|parameter| &parameter["required"]) {
                None => Precondition::None,
                Some(Value::Bool(true)) => Precondition::Required,
                Some(_) => Precondition::Optional,
            },
            needs_key: named("Idempotency-Key").is_some_and(|key| key["required"] == true),
            parameters: parameters.iter().filter_map(|one| text(&one["name"])).collect(),
        }
    }

    fn takes(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|name| name == parameter)
    }
}

fn say_what_it_needs(operation: &mut Map<String, Value>) {
    let Some(needs) = operation.get("x-needs").and_then(Value::as_str) else { return };
    // A permission is one word, whatever else is needed is said in several.
    let needs = if needs.contains(' ') { needs.to_owned() } else { format!("`{needs}`") };
    let needs = format!("Needs: {needs}.");
    let said = operation.get("description").and_then(Value::as_str);
    let said = said.map_or_else(|| needs.clone(), |said| format!("{said}\n\n{needs}"));
    operation.insert("description".to_owned(), json!(said));
}

const METHODS: &[&str] = &["get", "put", "post", "delete", "patch"];

fn for_each_operation(
    document: &mut Value,
    mut work: impl FnMut(&str, &str, &mut Map<String, Value>),
) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for method in METHODS {
            if let Some(operation) = item.get_mut(*method).and_then(Value::as_object_mut) {
                work(path, method, operation);
            }
        }
    }
}
