//! Whether a new version of a schema breaks what older data there is.
//!
//! It is decided on the schemas alone: the older tree is taken through the migration and the defaults
//! (`past`), and the result must be a subset of the newer tree, node by node. Where that cannot be
//! told for certain it counts as breaking. So "nothing is breaking" is a proof, and "breaking" is not.

mod kinds;
mod past;

use serde_json::{Map, Value};

use super::defaults::with_enabled;
use super::migration::Migration;
use super::pointer::below;
use super::tree::{Fields, Kind, Node, Schema};
use super::validator::Validator;
use super::write;
use past::{Entries, Entry, Form};

/// One reason why older data may not be valid any more. The pointer is into data, with `*` for the
/// items of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaking {
    pub pointer: String,
    pub code: &'static str,
    pub detail: String,
}

impl Breaking {
    fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Empty only if every document that is valid under `older` is valid under `newer` once it has been
/// taken through `migration` and filled from `defaults`.
pub fn breaking(
    older: &Schema,
    migration: &Migration,
    newer: &Schema,
    defaults: &Map<String, Value>,
) -> Vec<Breaking> {
    let mut entries = past::entries(&older.fields);
    for step in &migration.steps {
        if let Err(unclear) = past::step(step, &mut entries) {
            return vec![unclear];
        }
    }
    past::fill(&newer.fields, &mut entries, &with_enabled(defaults));
    let mut found = Vec::new();
    fields(&entries, &newer.fields, "", &mut found);
    found
}

fn fields(entries: &Entries, newer: &Fields, pointer: &str, found: &mut Vec<Breaking>) {
    for (name, entry) in entries {
        let place = below(pointer, name);
        if let Some(field) = newer.get(name) {
            forms(entry, &field.node, &place, found);
        } else {
            let detail = "keep the field, or drop or rename it in the migration";
            found.push(Breaking::new(place, "field_removed", detail));
        }
    }
    for (name, _) in newer.iter().filter(|(_, field)| field.is_required()) {
        if !entries.get(name).is_some_and(|entry| entry.is_required) {
            let detail = "make the field optional, or give a default; in items of arrays only optional fields can be added";
            found.push(Breaking::new(below(pointer, name), "required_without_default", detail));
        }
    }
}

/// Every form that the value may have must be accepted.
fn forms(entry: &Entry, newer: &Node, pointer: &str, found: &mut Vec<Breaking>) {
    let values: Vec<&Value> = entry.forms.iter().filter_map(Form::as_value).collect();
    if !all_valid(values, newer) {
        let detail = "accept what the migration or the default puts here";
        found.push(Breaking::new(pointer, "value_not_accepted", detail));
    }
    for form in &entry.forms {
        match form {
            Form::Object(entries) => object(entries, newer, pointer, found),
            Form::Leaf(kind) => kinds::compare(kind, newer, pointer, found),
            Form::Value(_) => {}
        }
    }
}

fn object(entries: &Entries, newer: &Node, pointer: &str, found: &mut Vec<Breaking>) {
    match &newer.kind {
        Kind::Object(newer) => fields(entries, newer, pointer, found),
        _ => found.push(kinds::type_changed(pointer)),
    }
}

/// Compiles only if there is something to ask.
fn all_valid<'a>(values: impl IntoIterator<Item = &'a Value>, node: &Node) -> bool {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    let validator = Validator::of(&write::node(node));
    values.all(|value| validator.is_valid(value))
}
