//! Checking a value against a schema, by the jsonschema crate.
//!
//! Its own messages quote the value, which may be personal; so every error is told anew here.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, ValidationOptions};
use serde_json::{Value, json};

use super::ERRORS_MAX;
use super::pointer::below;
use crate::kernel::fault::FieldError;

/// Of one compiled pattern. `^[A-Za-z0-9_.-]{1,64}$` takes a tenth of it.
const PATTERN_BYTES_MAX: usize = 128 * 1024;
/// What matching one pattern may keep in memory; beyond it, matching is slower and still linear.
const PATTERN_CACHE_BYTES_MAX: usize = 256 * 1024;
/// Longer lists of accepted values are cut in what a client is told.
const LIST_CHARS_MAX: usize = 200;

/// A compiled schema: made once per version of a module, used for every record.
#[derive(Debug)]
pub struct Validator {
    compiled: jsonschema::Validator,
}

impl Validator {
    /// `schema` is what `write` makes of a tree that was read, so it always compiles.
    pub(super) fn of(schema: &Value) -> Self {
        let compiled = options().build(schema).expect("every tree that was read compiles");
        Self { compiled }
    }

    pub fn is_valid(&self, value: &Value) -> bool {
        self.compiled.is_valid(value)
    }

    /// What is wrong with `value`, by place and by what is accepted there; never what it is.
    pub fn check(&self, value: &Value) -> Result<(), Vec<FieldError>> {
        if self.is_valid(value) {
            return Ok(());
        }
        let errors = self.compiled.iter_errors(value).take(ERRORS_MAX);
        Err(errors.flat_map(|error| told(&error)).take(ERRORS_MAX).collect())
    }
}

/// Whether it compiles as a pattern of a schema, within the limits.
pub fn is_pattern(pattern: &str) -> bool {
    options().build(&json!({"type": "string", "pattern": pattern})).is_ok()
}

/// Patterns take linear time: without look-around and backreferences. Nothing is fetched.
fn options() -> ValidationOptions<'static> {
    let patterns = PatternOptions::regex()
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_CACHE_BYTES_MAX);
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(patterns)
        .offline()
}

fn told(error: &ValidationError<'_>) -> Vec<FieldError> {
    use ValidationErrorKind as Kind;
    let pointer = error.instance_path().to_string();
    let one = |code, accepted: String| vec![FieldError::new(pointer.clone(), code, accepted)];
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unknown(&pointer, unexpected),
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let accepted = format!("`{name}` is required here");
            vec![FieldError::new(below(&pointer, name), "required", accepted)]
        }
        Kind::Type { kind: TypeKind::Single(name) } => {
            one("wrong_type", type_accepted(name.as_str()))
        }
        Kind::Type { .. } => one("wrong_type", "another type".to_owned()),
        Kind::Minimum { limit } => one("too_small", format!("at least {limit}")),
        Kind::Maximum { limit } => one("too_large", format!("at most {limit}")),
        Kind::MinLength { limit } => one("too_short", format!("at least {limit} characters")),
        Kind::MaxLength { limit } => one("too_long", format!("at most {limit} characters")),
        Kind::MinItems { limit } => one("too_few", format!("at least {limit} items")),
        Kind::MaxItems { limit } => one("too_many", format!("at most {limit} items")),
        Kind::UniqueItems => one("repeated", "each item once".to_owned()),
        Kind::Enum { options } => one("not_accepted", listed(options)),
        Kind::Constant { expected_value } => one("not_accepted", listed(expected_value)),
        Kind::Pattern { pattern } => {
            one("pattern_mismatch", format!("text that matches {pattern}"))
        }
        Kind::Format { format } => one("format_mismatch", format!("text of the format {format}")),
        _ => one("not_accepted", "what the schema of the module says".to_owned()),
    }
}

fn unknown(pointer: &str, names: &[String]) -> Vec<FieldError> {
    let accepted = "only the fields that the schema of the module names";
    let places = names.iter().take(ERRORS_MAX).map(|name| below(pointer, name));
    places.map(|place| FieldError::new(place, "unknown_field", accepted)).collect()
}

fn type_accepted(name: &str) -> String {
    match name {
        "integer" | "array" | "object" => format!("an {name}"),
        _ => format!("a {name}"),
    }
}

fn listed(options: &Value) -> String {
    let listed = match options {
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            format!("one of {}", values.join(", "))
        }
        only => only.to_string(),
    };
    if listed.chars().count() <= LIST_CHARS_MAX {
        return listed;
    }
    listed.chars().take(LIST_CHARS_MAX).chain(['…']).collect()
}
