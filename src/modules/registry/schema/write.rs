//! The tree as canonical JSON Schema.

use serde_json::{Map, Value, json};

use super::tree::{About, Array, Fields, Kind, Node, Scalar, Schema, Text, whole};

pub fn schema(schema: &Schema) -> Value {
    let mut written = object(&schema.fields);
    about(&schema.about, &mut written);
    Value::Object(written)
}

pub fn node(node: &Node) -> Value {
    let mut written = kind(&node.kind);
    about(&node.about, &mut written);
    Value::Object(written)
}

fn about(about: &About, written: &mut Map<String, Value>) {
    put(written, "title", about.title.as_deref());
    put(written, "description", about.description.as_deref());
}

fn kind(kind: &Kind) -> Map<String, Value> {
    match kind {
        Kind::Boolean => typed("boolean"),
        Kind::Integer { min, max } => {
            let mut written = typed("integer");
            put(&mut written, "minimum", *min);
            put(&mut written, "maximum", *max);
            written
        }
        Kind::Number { min, max } => {
            let mut written = typed("number");
            put(&mut written, "minimum", min.map(number));
            put(&mut written, "maximum", max.map(number));
            written
        }
        Kind::Text(accepted) => text(accepted),
        Kind::OneOf(choices) => one_of(choices),
        Kind::Array(accepted) => array(accepted),
        Kind::Object(fields) => object(fields),
    }
}

fn text(text: &Text) -> Map<String, Value> {
    let mut written = typed("string");
    put(&mut written, "minLength", text.min_len);
    put(&mut written, "maxLength", text.max_len);
    put(&mut written, "pattern", text.pattern.as_deref());
    put(&mut written, "format", text.format.map(super::Format::name));
    written
}

/// Without a `type`: the values say it, and several types may be mixed.
fn one_of(choices: &[Scalar]) -> Map<String, Value> {
    Map::from_iter([("enum".to_owned(), choices.iter().map(Scalar::to_json).collect())])
}

fn array(array: &Array) -> Map<String, Value> {
    let mut written = typed("array");
    put(&mut written, "items", Some(node(&array.items)));
    put(&mut written, "minItems", array.min);
    put(&mut written, "maxItems", array.max);
    put(&mut written, "uniqueItems", array.unique.then_some(true));
    written
}

fn object(fields: &Fields) -> Map<String, Value> {
    let properties: Map<String, Value> =
        fields.iter().map(|(name, field)| (name.clone(), node(&field.node))).collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|(_, field)| field.is_required())
        .map(|(name, _)| name.as_str())
        .collect();
    let mut written = typed("object");
    put(&mut written, "properties", Some(Value::Object(properties)));
    put(&mut written, "required", Some(json!(required)));
    put(&mut written, "additionalProperties", Some(false));
    written
}

fn typed(name: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), Value::from(name))])
}

/// Without a fraction where there is none: `5`, not `5.0`.
fn number(number: f64) -> Value {
    whole(number).map_or_else(|| Value::from(number), Value::from)
}

fn put(written: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        written.insert(key.to_owned(), value.into());
    }
}
