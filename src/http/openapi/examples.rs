//! Examples of bodies, made from the samples of their fields, where a slice gives none of its own.

use serde_json::{Map, Value, json};

/// Deeper than any body of ours: an end for schemas that contain themselves.
const DEPTH_MAX: usize = 12;

/// Which fields an example has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fields {
    /// An answer's: all of them.
    All,
    /// A request's: those that must be there and those that have a sample.
    Told,
}

pub fn add(document: &mut Value) {
    let components = document["components"].clone();
    super::for_each_operation(document, |_, _, operation| {
        if let Some(body) = operation.get_mut("requestBody") {
            fill(body, Fields::Told, &components);
        }
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        for response in responses.into_iter().flat_map(Map::values_mut) {
            fill(response, Fields::All, &components);
        }
    });
}

/// Gives each content an example.
fn fill(place: &mut Value, fields: Fields, components: &Value) {
    let Some(content) = place.get_mut("content").and_then(Value::as_object_mut) else { return };
    for media in content.values_mut() {
        if media["example"].is_null() && media["examples"].is_null() {
            let example = sample(&media["schema"], fields, components, 0);
            if let (Some(example), Some(media)) = (example, media.as_object_mut()) {
                media.insert("example".to_owned(), example);
            }
        }
    }
}

fn sample(schema: &Value, fields: Fields, components: &Value, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let deeper = |schema: &Value| sample(schema, fields, components, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        let known = &components["schemas"][reference.rsplit('/').next().unwrap_or_default()];
        return deeper(known);
    }
    for told in [&schema["example"], &schema["examples"][0], &schema["const"], &schema["default"]] {
        if !told.is_null() {
            return Some(told.clone());
        }
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return Some(first.clone());
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        let mut parts = schema[several].as_array().into_iter().flatten();
        if let Some(found) = parts.find_map(deeper) {
            return Some(found);
        }
    }
    match kind(schema)? {
        "object" => Some(object(schema, fields, components, depth)),
        "array" => Some(deeper(&schema["items"]).map_or_else(|| json!([]), |item| json!([item]))),
        "boolean" if fields == Fields::All => Some(json!(true)),
        "integer" | "number" if fields == Fields::All => {
            Some(if schema["minimum"].is_null() { json!(1) } else { schema["minimum"].clone() })
        }
        "string" if fields == Fields::All => Some(json!("…")),
        _ => None,
    }
}

fn object(schema: &Value, fields: Fields, components: &Value, depth: usize) -> Value {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut example = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let must = required.iter().any(|field| field == name);
        let which = if must { Fields::All } else { fields };
        if let Some(value) = sample(property, which, components, depth + 1) {
            let empty = value.as_object().is_some_and(Map::is_empty) || value == json!([]);
            if must || fields == Fields::All || !empty {
                example.insert(name.clone(), value);
            }
        }
    }
    Value::Object(example)
}

/// The type, and of a type that may be null the other one.
fn kind(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(one) => Some(one),
        Value::Array(several) => several.iter().filter_map(Value::as_str).find(|it| *it != "null"),
        _ => None,
    }
}
