//! Schemas of modules: what a named part of a person's record may hold, and how it changes.
//!
//! An admin writes a schema in one of two ways, the *shorthand* (`{"points": "integer?"}`) or a closed
//! profile of JSON Schema 2020-12. Both are read into one typed tree, and everything else here knows
//! only that tree: what it means (compiled by the jsonschema crate), which *defaults* fit it, how a
//! *migration* moves data from one version to the next, and whether a new version is *breaking*.
//!
//! Invariants (proptest in `tests`): both ways of writing come to the same tree; `restore(to_json(s))`
//! is `s`; a naive reading of the tree and the compiled validator agree; where [`breaking()`] names
//! nothing, every document that was valid is valid after [`upcast`]. Objects are always closed, and
//! the root always has the required boolean `enabled`.
//!
//! Everything has a limit (below), because a schema comes from outside and is compiled and applied
//! for every record: depth, properties, bytes, patterns. Nothing recurses deeper than the limits.
//!
//! To add a keyword: a field of a `Kind` in `tree`, a reader in `read::keywords`, a line in `write`,
//! a rule in `breaking::kinds`, an arm in `tests::naive`.

mod breaking;
mod defaults;
mod migration;
mod pointer;
mod read;
#[cfg(test)]
mod tests;
mod tree;
mod validator;
mod write;

use serde_json::{Map, Value};

use crate::kernel::fault::FieldError;

pub use breaking::{Breaking, breaking};
pub use defaults::{Completeness, fill, initial};
pub use migration::Migration;
pub use tree::{About, Field, Fields, Format, Kind, Node, Presence, Scalar, Schema};
pub use validator::Validator;

/// Objects and arrays in one another; the root is the first.
pub const DEPTH_MAX: usize = 8;
/// In all, `enabled` included and every `$ref` expanded.
pub const PROPERTIES_MAX: usize = 200;
/// As it is written, and each migration.
pub const WRITTEN_BYTES_MAX: usize = 16 * 1024;
/// With every `$ref` expanded, as [`Schema::to_json`] writes it.
pub const EXPANDED_BYTES_MAX: usize = 64 * 1024;
/// Titles and descriptions.
pub const ABOUT_CHARS_MAX: usize = 500;
pub const PATTERN_CHARS_MAX: usize = 256;
/// Different ones in one schema: each is a program that the validator holds.
pub const PATTERNS_MAX: usize = 32;
pub const CHOICES_MAX: usize = 100;
/// 2^53-1: beyond it readers of JSON in other languages round.
pub const BOUND_MAX: i64 = 9_007_199_254_740_991;
/// More would not help whoever reads them.
pub const ERRORS_MAX: usize = 20;
/// How deep the written JSON may be nested: every level of the tree takes two, and `$defs` two more.
const WRITTEN_DEPTH_MAX: usize = 32;

/// The one property that every module has.
const ENABLED: &str = "enabled";

impl Schema {
    /// Reads what an admin wrote, in either way. Errors point into `written`.
    pub fn parse(written: &Value) -> Result<Self, Vec<FieldError>> {
        read::schema(written, WRITTEN_BYTES_MAX)
    }

    /// Reads back what [`Schema::to_json`] wrote, which may be longer than what was read.
    pub fn restore(stored: &Value) -> Result<Self, Vec<FieldError>> {
        read::schema(stored, EXPANDED_BYTES_MAX)
    }

    /// Canonical JSON Schema, without any key that begins with `$`: such keys cannot be stored.
    pub fn to_json(&self) -> Value {
        write::schema(self)
    }

    pub fn validator(&self) -> Validator {
        Validator::of(&self.to_json())
    }

    /// Whether each default is valid at its place, and what is still missing to begin a record.
    pub fn check_defaults(&self, defaults: &Value) -> Result<Completeness, Vec<FieldError>> {
        defaults::check(self, defaults)
    }
}

/// Brings data of an older version to the newest: per version its migration, then what it requires.
pub fn upcast(
    versions: &[(&Migration, &Schema, &Map<String, Value>)],
    data: &mut Map<String, Value>,
) {
    for (migration, schema, defaults) in versions {
        migration.apply(data);
        fill(schema, data, defaults);
    }
}
