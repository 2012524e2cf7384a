//! Sentences about what is accepted and refused (`refusals`, `check`, `migrations`, `compatibility`),
//! and laws over random schemas, documents and migrations (`laws`).
//!
//! The laws draw everything from one seed (`generate`) and hold it against a plain reading of the tree
//! (`naive`); `PROPTEST_CASES` makes them look longer.

mod check;
mod compatibility;
mod generate;
mod laws;
mod migrations;
mod naive;
mod refusals;

use serde_json::{Map, Value};

use super::Schema;
use crate::kernel::fault::FieldError;

fn parsed(written: &Value) -> Schema {
    Schema::parse(written).unwrap_or_else(|errors| panic!("{written}: {errors:?}"))
}

fn places(errors: Vec<FieldError>) -> Vec<(String, String)> {
    errors.into_iter().map(|error| (error.pointer, error.code.into_owned())).collect()
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("no object: {other}"),
    }
}
