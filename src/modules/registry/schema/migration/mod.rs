//! Migrations: how data of one version becomes data of the next, in declarative steps.
//!
//! Steps go through objects only, by path, and a step whose source is missing does nothing. So what
//! a migration does can be followed on the schema alone, without any data: see `breaking`.

mod apply;
mod cast;
mod path;
mod read;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kernel::fault::FieldError;

pub use cast::{Target, convert};
pub use path::Path;

pub const STEPS_MAX: usize = 50;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Migration {
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// What stands at `to` already is replaced; objects on the way there are made.
    Rename {
        from: Path,
        to: Path,
    },
    Copy {
        from: Path,
        to: Path,
    },
    /// Only in an object that is there.
    SetDefault {
        path: Path,
        value: Value,
    },
    /// `otherwise` stands for what cannot be converted; without it, that stays as it is.
    Cast {
        path: Path,
        to: Target,
        otherwise: Option<Value>,
    },
    Drop {
        path: Path,
    },
    MapEnum {
        path: Path,
        values: BTreeMap<String, String>,
    },
}

impl Migration {
    /// Reads an array of steps. Errors point into `written`.
    pub fn parse(written: &Value) -> Result<Self, Vec<FieldError>> {
        read::migration(written)
    }

    pub fn to_json(&self) -> Value {
        self.steps.iter().map(Step::to_json).collect()
    }

    pub fn apply(&self, data: &mut Map<String, Value>) {
        for step in &self.steps {
            apply::step(step, data);
        }
    }
}

impl Step {
    fn to_json(&self) -> Value {
        match self {
            Self::Rename { from, to } => {
                json!({"rename": {"from": from.pointer(), "to": to.pointer()}})
            }
            Self::Copy { from, to } => {
                json!({"copy": {"from": from.pointer(), "to": to.pointer()}})
            }
            Self::SetDefault { path, value } => {
                json!({"set_default": {"path": path.pointer(), "value": value}})
            }
            Self::Cast { path, to, otherwise: None } => {
                json!({"cast": {"path": path.pointer(), "to": to.name()}})
            }
            Self::Cast { path, to, otherwise: Some(value) } => {
                json!({"cast": {"path": path.pointer(), "to": to.name(), "otherwise": value}})
            }
            Self::Drop { path } => json!({"drop": {"path": path.pointer()}}),
            Self::MapEnum { path, values } => {
                json!({"map_enum": {"path": path.pointer(), "values": values}})
            }
        }
    }
}
