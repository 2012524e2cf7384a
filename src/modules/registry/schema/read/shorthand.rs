//! The shorthand: an object of names and types, with `?` for optional and `[]` for an array.

use serde_json::{Map, Value};

use super::super::DEPTH_MAX;
use super::super::pointer::below;
use super::super::tree::{About, Array, Field, Fields, Format, Kind, Node, Presence, Schema, Text};
use super::Reading;

const TYPES_ACCEPTED: &str = "boolean, integer, number, string, date or an object, with [] for an array and a last ? where it is optional";

pub fn root(reading: &mut Reading<'_>, written: &Map<String, Value>) -> Schema {
    let fields = fields(reading, written, "", 1);
    let fields = reading.with_enabled(fields, "");
    Schema { about: About::default(), fields }
}

/// A word with what is said at its end.
struct Marked<'a> {
    word: &'a str,
    arrays: usize,
    presence: Presence,
}

fn marked(written: &str) -> Marked<'_> {
    let (mut word, presence) = match written.strip_suffix('?') {
        Some(word) => (word, Presence::Optional),
        None => (written, Presence::Required),
    };
    let mut arrays = 0;
    while let Some(shorter) = word.strip_suffix("[]") {
        word = shorter;
        arrays += 1;
    }
    Marked { word, arrays, presence }
}

fn fields(
    reading: &mut Reading<'_>,
    written: &Map<String, Value>,
    pointer: &str,
    depth: usize,
) -> Fields {
    let mut fields = Fields::new();
    for (key, value) in written {
        let place = below(pointer, key);
        if !reading.count_property(&place) {
            break;
        }
        let marks = marked(key);
        if !is_plain_name(reading, marks.word, &place) {
            continue;
        }
        let Some(field) = field(reading, &marks, value, &place, depth) else {
            continue;
        };
        if fields.insert(marks.word.to_owned(), field).is_some() {
            reading.refuse(&place, "duplicate", "each property once, with or without ? and []");
        }
    }
    fields
}

/// A key of JSON Schema is told so: somebody mixed the two.
fn is_plain_name(reading: &mut Reading<'_>, name: &str, pointer: &str) -> bool {
    if name.starts_with('$') {
        let accepted =
            "property names with their types; for JSON Schema, `\"type\": \"object\"` beside it";
        reading.refuse(pointer, "invalid_name", accepted);
        return false;
    }
    reading.is_property_name(name, pointer)
}

fn field(
    reading: &mut Reading<'_>,
    key: &Marked<'_>,
    value: &Value,
    pointer: &str,
    depth: usize,
) -> Option<Field> {
    let (node, presence) = match value {
        Value::Object(nested) => {
            let inner = depth + 1 + key.arrays.min(DEPTH_MAX);
            let within = reading.is_within_depth(pointer, inner);
            let kind = within.then(|| Kind::Object(fields(reading, nested, pointer, inner)))?;
            (Node::from(kind), Presence::Required)
        }
        Value::String(text) => typed(reading, text, pointer, depth + key.arrays.min(DEPTH_MAX))?,
        _ => {
            reading.refuse(pointer, "unknown_type", TYPES_ACCEPTED);
            return None;
        }
    };
    if presence == Presence::Optional && key.presence == Presence::Optional {
        let accepted = "? once: after the name or after the type";
        reading.refuse(pointer, "optional_twice", accepted);
    }
    let optional = [presence, key.presence].contains(&Presence::Optional);
    let presence = if optional { Presence::Optional } else { Presence::Required };
    Some(Field { presence, node: in_arrays(node, key.arrays) })
}

fn typed(
    reading: &mut Reading<'_>,
    written: &str,
    pointer: &str,
    depth: usize,
) -> Option<(Node, Presence)> {
    let marks = marked(written);
    let Some(kind) = kind(marks.word) else {
        reading.refuse(pointer, "unknown_type", TYPES_ACCEPTED);
        return None;
    };
    let within = reading.is_within_depth(pointer, depth + marks.arrays);
    within.then(|| (in_arrays(Node::from(kind), marks.arrays), marks.presence))
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "boolean" => Some(Kind::Boolean),
        "integer" => Some(Kind::Integer { min: None, max: None }),
        "number" => Some(Kind::Number { min: None, max: None }),
        "string" => Some(Kind::Text(Text::default())),
        "date" => Some(Kind::Text(Text { format: Some(Format::DateTime), ..Text::default() })),
        _ => None,
    }
}

fn in_arrays(node: Node, arrays: usize) -> Node {
    (0..arrays).fold(node, |items, _| {
        Node::from(Kind::Array(Box::new(Array { items, min: None, max: None, unique: false })))
    })
}
