//! Reading a schema that somebody wrote: the limits, and what both ways of writing share.
//!
//! One `Reading` goes over the written JSON, counts, and notes what is refused with its place; as soon
//! as a total is spent or twenty errors are noted it reads no further. Size and depth are looked at
//! before anything else, so that what comes after may recurse.

mod keywords;
mod profile;
mod shorthand;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;

use serde_json::{Map, Value};

use super::pointer::{NAMES_ACCEPTED, below, is_name};
use super::tree::{Field, Fields, Kind, Node, Presence, Schema};
use super::{
    BOUND_MAX, DEPTH_MAX, ENABLED, ERRORS_MAX, EXPANDED_BYTES_MAX, PROPERTIES_MAX,
    WRITTEN_DEPTH_MAX,
};
use crate::kernel::fault::FieldError;

type Accepted = Cow<'static, str>;

/// Reads `written`, which may be `bytes_max` long as JSON.
pub fn schema(written: &Value, bytes_max: usize) -> Result<Schema, Vec<FieldError>> {
    fits(written, bytes_max).map_err(|error| vec![error])?;
    let Value::Object(root) = written else {
        let accepted = "an object: property names with their types, or a JSON Schema of an object";
        return Err(vec![FieldError::new("", "wrong_type", accepted)]);
    };
    let mut reading = Reading::new(root);
    let schema = if is_json_schema(root) {
        profile::root(&mut reading, root)
    } else {
        Some(shorthand::root(&mut reading, root))
    };
    reading.finish(schema)
}

/// Whether it is short and flat enough to be looked at. Depth first: writing it out recurses.
pub fn fits(written: &Value, bytes_max: usize) -> Result<(), FieldError> {
    if !is_flatter_than(written, WRITTEN_DEPTH_MAX) {
        let accepted = format!("at most {DEPTH_MAX} objects and arrays in one another");
        return Err(FieldError::new("", "too_deep", accepted));
    }
    if !is_shorter_than(written, bytes_max) {
        let accepted = format!("at most {bytes_max} bytes of JSON");
        return Err(FieldError::new("", "too_large", accepted));
    }
    Ok(())
}

/// Shorthand has no type of that name, so nothing is both.
fn is_json_schema(root: &Map<String, Value>) -> bool {
    root.contains_key("$schema") || root.get("type").and_then(Value::as_str) == Some("object")
}

fn is_flatter_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => false,
        Value::Array(items) => items.iter().all(|item| is_flatter_than(item, levels - 1)),
        Value::Object(fields) => fields.values().all(|item| is_flatter_than(item, levels - 1)),
        _ => true,
    }
}

fn is_shorter_than(value: &Value, bytes_max: usize) -> bool {
    serde_json::to_writer(Room { left: bytes_max }, value).is_ok()
}

/// Takes so many bytes and then no more: nothing is kept.
struct Room {
    left: usize,
}

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One walk over a schema, with what it has counted so far. What the walk returns counts only if no
/// error was noted.
struct Reading<'a> {
    /// `$defs` of the root, and which of them are being read, outermost first.
    definitions: Option<&'a Map<String, Value>>,
    open: Vec<&'a str>,
    used: BTreeSet<&'a str>,
    patterns: BTreeSet<&'a str>,
    properties: usize,
    bytes: usize,
    errors: Vec<FieldError>,
    is_stopped: bool,
}

impl<'a> Reading<'a> {
    fn new(root: &'a Map<String, Value>) -> Self {
        Self {
            definitions: root.get("$defs").and_then(Value::as_object),
            open: Vec::new(),
            used: BTreeSet::new(),
            patterns: BTreeSet::new(),
            properties: 0,
            bytes: 0,
            errors: Vec::new(),
            is_stopped: false,
        }
    }

    fn refuse(&mut self, pointer: &str, code: &'static str, accepted: impl Into<Accepted>) {
        let error = FieldError::new(pointer, code, accepted);
        // What a `$ref` names is read at every place that names it.
        if !self.is_over() && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn stop(&mut self, pointer: &str, code: &'static str, accepted: impl Into<Accepted>) {
        self.refuse(pointer, code, accepted);
        self.is_stopped = true;
    }

    /// A total is spent, or so much is wrong that naming more helps nobody.
    fn is_over(&self) -> bool {
        self.is_stopped || self.errors.len() >= ERRORS_MAX
    }

    /// Counts one property; `false` where the rest may be left out.
    fn count_property(&mut self, pointer: &str) -> bool {
        self.properties += 1;
        if self.properties > PROPERTIES_MAX {
            let accepted = format!(
                "at most {PROPERTIES_MAX} properties in all, with `enabled` and every $ref expanded"
            );
            self.stop(pointer, "too_many_properties", accepted);
        }
        !self.is_over()
    }

    /// Counts what the tree keeps besides names: a `$ref` can repeat much.
    fn count_bytes(&mut self, bytes: usize, pointer: &str) {
        self.bytes += bytes;
        if self.bytes > EXPANDED_BYTES_MAX {
            self.stop(pointer, "too_large", too_large_expanded());
        }
    }

    /// Whether an object or array may stand here, at `depth`.
    fn is_within_depth(&mut self, pointer: &str, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            let accepted = format!("at most {DEPTH_MAX} objects and arrays in one another");
            self.refuse(pointer, "too_deep", accepted);
        }
        depth <= DEPTH_MAX
    }

    fn is_property_name(&mut self, name: &str, pointer: &str) -> bool {
        if !is_name(name) {
            self.refuse(pointer, "invalid_name", NAMES_ACCEPTED);
        }
        is_name(name)
    }

    /// Adds `enabled` where it is not declared.
    fn with_enabled(&mut self, mut fields: Fields, pointer: &str) -> Fields {
        match fields.get(ENABLED) {
            Some(field) if field.is_required() && field.node.kind == Kind::Boolean => {}
            Some(_) => {
                let accepted = "`enabled` as a required boolean and nothing more, or left out: every module has it";
                self.refuse(&below(pointer, ENABLED), "invalid_enabled", accepted);
            }
            None => {
                self.count_property(pointer);
                let field = Field { presence: Presence::Required, node: Node::from(Kind::Boolean) };
                fields.insert(ENABLED.to_owned(), field);
            }
        }
        fields
    }

    fn finish(mut self, schema: Option<Schema>) -> Result<Schema, Vec<FieldError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let Some(schema) = schema else {
            let accepted = "an object with properties";
            return Err(vec![FieldError::new("", "wrong_type", accepted)]);
        };
        if !is_shorter_than(&schema.to_json(), EXPANDED_BYTES_MAX) {
            self.refuse("", "too_large", too_large_expanded());
            return Err(self.errors);
        }
        Ok(schema)
    }
}

fn too_large_expanded() -> String {
    format!("at most {EXPANDED_BYTES_MAX} bytes as JSON Schema with every $ref expanded")
}

/// What a bound out of range is told.
fn bounds_accepted() -> String {
    format!("a number between -{BOUND_MAX} and {BOUND_MAX}")
}
