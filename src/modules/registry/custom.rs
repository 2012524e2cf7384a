//! A registered module, ready for use: its schema compiled, its older versions at hand. Pure.

use bson::{Bson, Document};
use serde_json::{Map, Value};

use super::record::{Published, Registered};
use super::schema::{Migration, Schema, Validator, fill, initial, upcast};
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
        // First, since a pattern takes longer the longer its text is.
        self.stored(&after)?;
        self.check(&after).map_err(Fault::invalid_fields)?;
        Ok(after)
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

    pub fn check(&self, data: &Map<String, Value>) -> Result<(), Vec<FieldError>> {
        self.validator.check(&Value::Object(data.clone()))
    }

    /// As it is stored, with its version; refused where it is too large.
    pub fn stored(&self, data: &Map<String, Value>) -> Result<Document, Fault> {
        let value = free::from_json(&Value::Object(data.clone()), "", &RULES);
        let Bson::Document(mut document) = value.map_err(Fault::invalid_fields)? else {
            return Err(Fault::internal("an object became something else"));
        };
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
        self.read(None).filter(|_| gives).and_then(|data| self.stored(&data).ok())
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
