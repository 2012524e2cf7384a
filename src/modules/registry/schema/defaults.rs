//! Defaults: what a record begins with, and what is put in where a new version requires it.
//!
//! A default stands at the top level only, for a property of the schema; one for an object is that
//! whole object. `enabled` is true unless its default says otherwise.

use serde_json::{Map, Value};

use super::ENABLED;
use super::tree::{Field, Fields, Kind, Schema};
use super::validator::Validator;
use crate::kernel::fault::FieldError;

/// Whether a record can begin with the defaults alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    /// The required properties at the top that have no default.
    Incomplete {
        missing: Vec<String>,
    },
}

pub(super) fn check(schema: &Schema, defaults: &Value) -> Result<Completeness, Vec<FieldError>> {
    let mut relaxed = schema.to_json();
    if let Some(schema) = relaxed.as_object_mut() {
        schema.remove("required");
    }
    Validator::of(&relaxed).check(defaults)?;
    let empty = Map::new();
    let missing = missing(schema, defaults.as_object().unwrap_or(&empty));
    Ok(if missing.is_empty() {
        Completeness::Complete
    } else {
        Completeness::Incomplete { missing }
    })
}

/// All defaults as the beginning of a record, if nothing required is missing then.
pub fn initial(schema: &Schema, defaults: &Map<String, Value>) -> Option<Map<String, Value>> {
    missing(schema, defaults).is_empty().then(|| with_enabled(defaults))
}

/// Puts in what is required and missing, also in objects that are there; not in arrays, whose items
/// have no defaults.
pub fn fill(schema: &Schema, data: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    fill_fields(&schema.fields, data, &with_enabled(defaults));
}

pub(super) fn fill_fields(
    fields: &Fields,
    data: &mut Map<String, Value>,
    defaults: &Map<String, Value>,
) {
    for (name, field) in fields {
        let Some(default) = defaults.get(name) else {
            continue;
        };
        match data.get_mut(name) {
            Some(present) => fill_value(field, present, default),
            None if field.is_required() => {
                data.insert(name.clone(), default.clone());
            }
            None => {}
        }
    }
}

pub(super) fn fill_value(field: &Field, present: &mut Value, default: &Value) {
    if let (Kind::Object(fields), Value::Object(present), Value::Object(default)) =
        (&field.node.kind, present, default)
    {
        fill_fields(fields, present, default);
    }
}

pub(super) fn with_enabled(defaults: &Map<String, Value>) -> Map<String, Value> {
    let mut defaults = defaults.clone();
    defaults.entry(ENABLED).or_insert(Value::Bool(true));
    defaults
}

fn missing(schema: &Schema, defaults: &Map<String, Value>) -> Vec<String> {
    let is_missing = |name: &str| name != ENABLED && !defaults.contains_key(name);
    let required = schema.fields.iter().filter(|(_, field)| field.is_required());
    required.map(|(name, _)| name.clone()).filter(|name| is_missing(name)).collect()
}
