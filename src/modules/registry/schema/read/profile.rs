//! The closed profile of JSON Schema 2020-12: what is not listed here is refused by name, because a
//! keyword that is ignored promises a check that nobody does.

use serde_json::{Map, Value};

use super::super::pointer::below;
use super::super::tree::{Array, Field, Fields, Kind, Node, Presence, Schema, Text};
use super::super::{DEPTH_MAX, PROPERTIES_MAX};
use super::{Reading, keywords};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const REF_PREFIX: &str = "#/$defs/";
/// Each level of the tree may go through two of them.
const OPEN_REFS_MAX: usize = 2 * DEPTH_MAX;
const TYPES: [&str; 6] = ["boolean", "integer", "number", "string", "array", "object"];
const TYPES_ACCEPTED: &str = "one of boolean, integer, number, string, array, object; no null and no list: a field that may be absent is left out of `required`";

pub fn root<'a>(reading: &mut Reading<'a>, written: &'a Map<String, Value>) -> Option<Schema> {
    dialect(reading, written);
    definition_names(reading, written);
    let Node { about, kind } = of_keywords(reading, written, "", 1)?;
    let Kind::Object(fields) = kind else {
        reading.refuse("", "wrong_type", "`\"type\": \"object\"`: a module is an object");
        return None;
    };
    unused_definitions(reading);
    let fields = reading.with_enabled(fields, "/properties");
    Some(Schema { about, fields })
}

fn dialect(reading: &mut Reading<'_>, root: &Map<String, Value>) {
    let uri = root.get("$schema").map(|uri| uri.as_str().map(|uri| uri.trim_end_matches('#')));
    if uri.is_some_and(|uri| uri != Some(DIALECT)) {
        reading.refuse("/$schema", "unknown_dialect", DIALECT);
    }
}

fn definition_names(reading: &mut Reading<'_>, root: &Map<String, Value>) {
    match root.get("$defs") {
        None => {}
        Some(Value::Object(definitions)) => {
            for name in definitions.keys() {
                reading.is_property_name(name, &below("/$defs", name));
            }
        }
        Some(_) => reading.refuse("/$defs", "wrong_type", "an object of names and schemas"),
    }
}

/// They are refused, because nothing that is written goes unread.
fn unused_definitions(reading: &mut Reading<'_>) {
    for name in reading.definitions.into_iter().flat_map(Map::keys) {
        if !reading.is_over() && !reading.used.contains(name.as_str()) {
            let accepted = "definitions that a $ref names";
            reading.refuse(&below("/$defs", name), "unused_definition", accepted);
        }
    }
}

fn node<'a>(
    reading: &mut Reading<'a>,
    written: &'a Value,
    pointer: &str,
    depth: usize,
) -> Option<Node> {
    let Value::Object(written) = written else {
        let accepted = "a schema: an object with `type`, `enum`, `const` or `$ref`";
        reading.refuse(pointer, "wrong_type", accepted);
        return None;
    };
    of_keywords(reading, written, pointer, depth)
}

/// `depth` counts if it turns out to be an object or an array.
fn of_keywords<'a>(
    reading: &mut Reading<'a>,
    written: &'a Map<String, Value>,
    pointer: &str,
    depth: usize,
) -> Option<Node> {
    if reading.is_over() {
        return None;
    }
    let about = keywords::about(reading, written, pointer);
    if let Some(target) = written.get("$ref") {
        only(reading, written, pointer, &["$ref"]);
        let mut node = referenced(reading, target, &below(pointer, "$ref"), depth)?;
        node.about.title = about.title.or(node.about.title);
        node.about.description = about.description.or(node.about.description);
        return Some(node);
    }
    let kind = kind(reading, written, pointer, depth)?;
    Some(Node { about, kind })
}

fn referenced<'a>(
    reading: &mut Reading<'a>,
    target: &'a Value,
    pointer: &str,
    depth: usize,
) -> Option<Node> {
    let Some(name) = target.as_str().and_then(|target| target.strip_prefix(REF_PREFIX)) else {
        let accepted = "`#/$defs/name`, a definition at the root of this schema";
        reading.refuse(pointer, "remote_ref", accepted);
        return None;
    };
    let Some(definition) = reading.definitions.and_then(|definitions| definitions.get(name)) else {
        reading.refuse(pointer, "unknown_definition", "the name of a schema in `$defs`");
        return None;
    };
    if reading.open.contains(&name) {
        let accepted = "definitions that do not come back to themselves";
        reading.refuse(pointer, "recursive_ref", accepted);
        return None;
    }
    if reading.open.len() >= OPEN_REFS_MAX {
        let accepted = format!("at most {OPEN_REFS_MAX} $ref that lead to one another");
        reading.refuse(pointer, "too_deep", accepted);
        return None;
    }
    reading.used.insert(name);
    reading.open.push(name);
    let node = node(reading, definition, &below("/$defs", name), depth);
    reading.open.pop();
    node
}

fn kind<'a>(
    reading: &mut Reading<'a>,
    written: &'a Map<String, Value>,
    pointer: &str,
    depth: usize,
) -> Option<Kind> {
    if !is_type_known(reading, written, pointer) {
        return None;
    }
    let named = written.get("type").and_then(Value::as_str);
    if written.contains_key("enum") || written.contains_key("const") {
        only(reading, written, pointer, &["type", "enum", "const"]);
        return keywords::one_of(reading, written, named, pointer).map(Kind::OneOf);
    }
    match named {
        Some("boolean") => {
            only(reading, written, pointer, &["type"]);
            Some(Kind::Boolean)
        }
        Some("integer") => {
            only(reading, written, pointer, &["type", "minimum", "maximum"]);
            let (min, max) = keywords::integer_bounds(reading, written, pointer);
            Some(Kind::Integer { min, max })
        }
        Some("number") => {
            only(reading, written, pointer, &["type", "minimum", "maximum"]);
            let (min, max) = keywords::number_bounds(reading, written, pointer);
            Some(Kind::Number { min, max })
        }
        Some("string") => Some(Kind::Text(text(reading, written, pointer))),
        Some("array") => array(reading, written, pointer, depth).map(Box::new).map(Kind::Array),
        Some(_) => object(reading, written, pointer, depth).map(Kind::Object),
        None => {
            reading.refuse(pointer, "type_missing", format!("`type`: {TYPES_ACCEPTED}"));
            None
        }
    }
}

/// Whether `type` is left out or names a type that exists.
fn is_type_known(reading: &mut Reading<'_>, written: &Map<String, Value>, pointer: &str) -> bool {
    let is_known = written.get("type").is_none_or(|name| TYPES.iter().any(|known| name == known));
    if !is_known {
        reading.refuse(&below(pointer, "type"), "unknown_type", TYPES_ACCEPTED);
    }
    is_known
}

fn text<'a>(reading: &mut Reading<'a>, written: &'a Map<String, Value>, pointer: &str) -> Text {
    only(reading, written, pointer, &["type", "minLength", "maxLength", "pattern", "format"]);
    let (min_len, max_len) = keywords::counts(reading, written, pointer, "minLength", "maxLength");
    Text {
        min_len,
        max_len,
        pattern: keywords::pattern(reading, written, pointer),
        format: keywords::format(reading, written, pointer),
    }
}

fn array<'a>(
    reading: &mut Reading<'a>,
    written: &'a Map<String, Value>,
    pointer: &str,
    depth: usize,
) -> Option<Array> {
    only(reading, written, pointer, &["type", "items", "minItems", "maxItems", "uniqueItems"]);
    if !reading.is_within_depth(pointer, depth) {
        return None;
    }
    let (min, max) = keywords::counts(reading, written, pointer, "minItems", "maxItems");
    let unique = keywords::flag(reading, written, pointer, "uniqueItems");
    let Some(items) = written.get("items") else {
        reading.refuse(pointer, "items_missing", "`items`: the schema of every item");
        return None;
    };
    let items = node(reading, items, &below(pointer, "items"), depth + 1)?;
    Some(Array { items, min, max, unique })
}

fn object<'a>(
    reading: &mut Reading<'a>,
    written: &'a Map<String, Value>,
    pointer: &str,
    depth: usize,
) -> Option<Fields> {
    only(reading, written, pointer, &["type", "properties", "required", "additionalProperties"]);
    if !reading.is_within_depth(pointer, depth) {
        return None;
    }
    if written.get("additionalProperties").is_some_and(|additional| *additional != false) {
        let place = below(pointer, "additionalProperties");
        reading.refuse(&place, "open_object", "false, or left out: objects are always closed");
    }
    let mut fields = properties(reading, written, pointer, depth)?;
    require(reading, written, pointer, &mut fields);
    Some(fields)
}

fn properties<'a>(
    reading: &mut Reading<'a>,
    written: &'a Map<String, Value>,
    pointer: &str,
    depth: usize,
) -> Option<Fields> {
    let place = below(pointer, "properties");
    let properties = match written.get("properties") {
        None => return Some(Fields::new()),
        Some(Value::Object(properties)) => properties,
        Some(_) => {
            reading.refuse(&place, "wrong_type", "an object of names and schemas");
            return None;
        }
    };
    let mut fields = Fields::new();
    for (name, written) in properties {
        let place = below(&place, name);
        if !reading.count_property(&place) {
            return None;
        }
        let is_name = reading.is_property_name(name, &place);
        if let Some(node) = node(reading, written, &place, depth + 1)
            && is_name
        {
            fields.insert(name.clone(), Field { presence: Presence::Optional, node });
        }
    }
    Some(fields)
}

fn require(
    reading: &mut Reading<'_>,
    written: &Map<String, Value>,
    pointer: &str,
    fields: &mut Fields,
) {
    let place = below(pointer, "required");
    let names = match written.get("required") {
        None => return,
        Some(Value::Array(names)) if names.len() <= PROPERTIES_MAX => names,
        Some(_) => {
            let accepted = format!("a list of at most {PROPERTIES_MAX} names of properties");
            return reading.refuse(&place, "wrong_type", accepted);
        }
    };
    for (at, name) in names.iter().enumerate() {
        let Some(field) = name.as_str().and_then(|name| fields.get_mut(name)) else {
            // A property that was refused itself is not refused here again.
            if !is_written(written, name) {
                let accepted = "names of `properties`, since objects are closed";
                reading.refuse(&format!("{place}/{at}"), "unknown_property", accepted);
            }
            continue;
        };
        if field.is_required() {
            reading.refuse(&format!("{place}/{at}"), "duplicate", "each name once");
        }
        field.presence = Presence::Required;
    }
}

fn is_written(object: &Map<String, Value>, name: &Value) -> bool {
    let properties = object.get("properties").and_then(Value::as_object);
    name.as_str().zip(properties).is_some_and(|(name, properties)| properties.contains_key(name))
}

/// Refuses every keyword that is not among `known`, nor accepted everywhere, nor of the root.
fn only(reading: &mut Reading<'_>, written: &Map<String, Value>, pointer: &str, known: &[&str]) {
    for key in written.keys() {
        let is_known = known.contains(&key.as_str())
            || ["title", "description"].contains(&key.as_str())
            || (pointer.is_empty() && ["$schema", "$defs"].contains(&key.as_str()));
        if !is_known && !reading.is_over() {
            let accepted = instead_of(key).map_or_else(
                || format!("here: title, description, {}", known.join(", ")),
                str::to_owned,
            );
            reading.refuse(&below(pointer, key), "unknown_keyword", accepted);
        }
    }
}

/// What to write instead of keywords that are often met.
fn instead_of(keyword: &str) -> Option<&'static str> {
    match keyword {
        "exclusiveMinimum" | "exclusiveMaximum" => {
            Some("`minimum` and `maximum`, which are inclusive")
        }
        "anyOf" | "oneOf" | "allOf" | "not" | "if" | "then" | "else" => {
            Some("one `type`, or `enum` for a choice of values")
        }
        "nullable" => Some("nothing: a field that may be absent is left out of `required`"),
        "default" => Some("nothing: defaults are given beside the schema"),
        "$defs" | "definitions" => Some("`$defs` at the root of the schema"),
        "patternProperties" | "propertyNames" | "unevaluatedProperties" => {
            Some("`properties`, each by its name: objects are closed")
        }
        "prefixItems" | "contains" | "additionalItems" => Some("`items`, one schema for all items"),
        _ => None,
    }
}
