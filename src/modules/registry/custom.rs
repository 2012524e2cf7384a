//! A registered module, ready for use: its schema compiled, its older versions at hand. Pure.

use bson::Document;
use serde_json::{Map, Value};

use super::record::{Published, Registered};
use super::schema::{Fields, Kind, Migration, Node, Schema, Validator, fill, initial, upcast};
use crate::kernel::fault::{Code, Fault, FieldError};
use crate::kernel::free::{self, Rules};
use crate::kernel::time::Timestamp;
use crate::users::Module;

/// The version that stored data is of; beside the module's own fields.
pub const VERSION: &str = "_v";
/// Whether the module is enabled for this person; an admin decides it.
pub const ENABLED: &str = "enabled";

/// What one person's data in one module may hold.
const RULES: Rules = Rules { depth: 8, nodes: 2048, bytes: 16 * 1024 };

/// Beyond it a number that is no integer by itself may have been another one.
const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;

pub struct Custom {
    pub line: Registered,
    /// From the oldest version to the one in use.
    steps: Vec<Step>,
    validator: Validator,
}

/// One version, and how data of the one before becomes data of it.
struct Step {
    version: String,
    migration: Migration,
    schema: Schema,
    defaults: Map<String, Value>,
}

impl Custom {
    pub fn of(line: Registered) -> Result<Self, Fault> {
        let mut steps = Vec::new();
        for published in &line.versions {
            steps.push(Step::of(published).map_err(|_| broken(&line, &published.version))?);
            if published.version == line.version {
                break;
            }
        }
        let newest = steps.last().filter(|step| step.version == line.version);
        let validator = newest.map(|step| step.schema.validator());
        let validator = validator.ok_or_else(|| broken(&line, &line.version))?;
        Ok(Self { line, steps, validator })
    }

    fn newest(&self) -> &Step {
        self.steps.last().expect("there is a version in use: `of` has seen it")
    }

    /// A person's data as data of the version in use, or what a person without any has; `None` where
    /// that is nothing.
    pub fn read(&self, stored: Option<&Document>) -> Option<Map<String, Value>> {
        let Some(stored) = stored else {
            return initial(&self.newest().schema, &self.newest().defaults);
        };
        let version = stored.get_str(VERSION).unwrap_or_default();
        let mut data = json(stored);
        if version != self.line.version {
            let known = self.steps.iter().position(|step| step.version == version);
            let after = known.map_or(0, |at| at + 1);
            let steps = self.steps.iter().skip(after);
            let steps: Vec<_> =
                steps.map(|step| (&step.migration, &step.schema, &step.defaults)).collect();
            upcast(&steps, &mut data);
        }
        Some(data)
    }

    /// Whether stored data is of the version in use.
    pub fn is_current(&self, stored: &Document) -> bool {
        stored.get_str(VERSION).ok() == Some(&self.line.version)
    }

    /// What a merge patch makes of the data. `enabled` is not the app's.
    pub fn patched(
        &self,
        stored: Option<&Document>,
        patch: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Fault> {
        let before = self.read(stored);
        let enabled = before.as_ref().and_then(|data| data.get(ENABLED)).cloned();
        let enabled = enabled.unwrap_or(Value::Bool(true));
        if patch.get(ENABLED).is_some_and(|asked| *asked != enabled) {
            let detail = "an admin enables or disables the module for a person";
            return Err(Fault::invalid("/enabled", "read_only", detail));
        }
        if enabled == Value::Bool(false) {
            return Err(Fault::of(Code::ModuleDisabled));
        }
        let mut after = before.unwrap_or_else(|| self.newest().defaults.clone());
        merge(&mut after, patch);
        self.complete(&mut after);
        let stored = self.admitted(&after).map_err(Fault::invalid_fields)?;
        Ok(json(&stored))
    }

    /// The same for an admin, who says only that.
    pub fn switched(&self, stored: Option<&Document>, enabled: bool) -> Option<Map<String, Value>> {
        let mut after = self.read(stored)?;
        after.insert(ENABLED.to_owned(), Value::Bool(enabled));
        Some(after)
    }

    fn complete(&self, data: &mut Map<String, Value>) {
        data.entry(ENABLED).or_insert(Value::Bool(true));
        fill(&self.newest().schema, data, &self.newest().defaults);
    }

    /// As it is stored, with its version: texts composed, whole numbers of integers as such. What is
    /// too large or does not fit the schema is refused; the schema is asked last, of what will stand
    /// there, since a pattern takes longer the longer its text is.
    pub fn admitted(&self, data: &Map<String, Value>) -> Result<Document, Vec<FieldError>> {
        let mut data = data.clone();
        whole(&self.newest().schema.fields, &mut data);
        let stored = free::from_json(&Value::Object(data), "", &RULES)?;
        self.validator.check(&free::to_json(&stored))?;
        let mut document = stored.as_document().cloned().unwrap_or_default();
        document.insert(VERSION, self.line.version.as_str());
        Ok(document)
    }
}

impl Module for Custom {
    fn name(&self) -> &str {
        self.line.module_name.as_str()
    }

    fn permission(&self) -> &str {
        &self.line.permission
    }

    fn kyc_level(&self) -> i64 {
        self.line.required_kyc_level
    }

    fn defaults(&self, _: Timestamp) -> Option<Document> {
        let gives = matches!(self.line.status, super::record::Status::Active);
        self.read(None).filter(|_| gives).and_then(|data| self.admitted(&data).ok())
    }

    fn view(&self, data: Option<&Document>) -> Option<Value> {
        self.read(data).map(Value::Object)
    }
}

impl Step {
    fn of(published: &Published) -> Result<Self, Vec<FieldError>> {
        let migration = published.migration.iter().map(free::to_json).collect();
        Ok(Self {
            version: published.version.clone(),
            migration: Migration::parse(&migration)?,
            schema: Schema::restore(&free::to_json(&published.schema.clone().into()))?,
            defaults: json(&published.defaults),
        })
    }
}

/// A document's fields as JSON, without what Purser keeps beside them.
fn json(document: &Document) -> Map<String, Value> {
    let fields = document.iter().filter(|(name, _)| *name != VERSION);
    fields.map(|(name, value)| (name.clone(), free::to_json(value))).collect()
}

/// Integers that were written as `1.0` or `1e2`.
pub fn whole(fields: &Fields, data: &mut Map<String, Value>) {
    for (name, value) in data {
        if let Some(field) = fields.get(name) {
            whole_value(&field.node, value);
        }
    }
}

fn whole_value(node: &Node, value: &mut Value) {
    match (&node.kind, value) {
        (Kind::Integer { .. }, value) => {
            let number = value.as_f64().filter(|_| value.is_f64());
            let integer = number.filter(|it| it.fract() == 0.0 && it.abs() <= WHOLE_MAX);
            if let Some(integer) = integer {
                #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
                let integer = integer as i64;
                *value = integer.into();
            }
        }
        (Kind::Array(array), Value::Array(items)) => {
            for item in items {
                whole_value(&array.items, item);
            }
        }
        (Kind::Object(fields), Value::Object(inner)) => whole(fields, inner),
        _ => {}
    }
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.remove(name)),
            Value::Object(inner) => {
                let field = target.entry(name.clone()).or_insert(Value::Null);
                if !field.is_object() {
                    *field = Value::Object(Map::new());
                }
                merge(field.as_object_mut().expect("made one if it was none"), inner);
            }
            other => drop(target.insert(name.clone(), other.clone())),
        }
    }
}

fn broken(line: &Registered, version: &str) -> Fault {
    Fault::internal(format!("module {} cannot be used: version {version}", line.module_name))
}
