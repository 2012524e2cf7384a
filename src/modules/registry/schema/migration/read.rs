//! Reading the steps of a migration that somebody wrote.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::pointer::below;
use super::super::read::fits;
use super::super::{CHOICES_MAX, ERRORS_MAX, WRITTEN_BYTES_MAX};
use super::path::{PATHS_ACCEPTED, Unusable};
use super::{Migration, Path, STEPS_MAX, Step, Target};
use crate::kernel::fault::FieldError;

const STEPS_ACCEPTED: &str =
    "an object with one of rename, copy, set_default, cast, drop, map_enum";

pub fn migration(written: &Value) -> Result<Migration, Vec<FieldError>> {
    fits(written, WRITTEN_BYTES_MAX).map_err(|error| vec![error])?;
    let Some(steps) = written.as_array().filter(|steps| steps.len() <= STEPS_MAX) else {
        let accepted = format!("a list of at most {STEPS_MAX} steps");
        return Err(vec![FieldError::new("", "wrong_type", accepted)]);
    };
    let mut reading = Reading::default();
    let steps: Vec<Step> =
        steps.iter().enumerate().filter_map(|(at, step)| reading.step(step, at)).collect();
    if reading.errors.is_empty() { Ok(Migration { steps }) } else { Err(reading.errors) }
}

#[derive(Default)]
struct Reading {
    /// Where values were put by earlier steps.
    targets: Vec<Path>,
    errors: Vec<FieldError>,
}

/// What one step says, and where it stands.
struct Body<'a> {
    written: &'a Map<String, Value>,
    pointer: String,
}

impl Reading {
    fn refuse<T>(
        &mut self,
        pointer: &str,
        code: &'static str,
        accepted: impl Into<Cow<'static, str>>,
    ) -> Option<T> {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError::new(pointer, code, accepted));
        }
        None
    }

    fn step(&mut self, written: &Value, at: usize) -> Option<Step> {
        let pointer = format!("/{at}");
        let only = written.as_object().filter(|step| step.len() == 1);
        let Some((name, body)) = only.and_then(|step| step.iter().next()) else {
            return self.refuse(&pointer, "invalid_step", STEPS_ACCEPTED);
        };
        let pointer = below(&pointer, name);
        let Some(written) = body.as_object() else {
            return self.refuse(&pointer, "wrong_type", "an object with what the step needs");
        };
        let body = Body { written, pointer };
        match name.as_str() {
            "rename" => self.ends(&body).map(|(from, to)| Step::Rename { from, to }),
            "copy" => self.copy(&body),
            "set_default" => self.set_default(&body),
            "cast" => self.cast(&body),
            "drop" => {
                self.keys(&body, &["path"])?;
                self.path(&body, "path").map(|path| Step::Drop { path })
            }
            "map_enum" => self.map_enum(&body),
            _ => self.refuse(&body.pointer, "invalid_step", STEPS_ACCEPTED),
        }
    }

    /// `from` and `to` of a rename or copy.
    fn ends(&mut self, body: &Body<'_>) -> Option<(Path, Path)> {
        self.keys(body, &["from", "to"])?;
        let (from, to) = (self.path(body, "from"), self.path(body, "to"));
        let (from, to) = from.zip(to)?;
        if from.overlaps(&to) {
            let accepted = "a place that is not in `from`, nor around it";
            return self.refuse(&below(&body.pointer, "to"), "overlapping", accepted);
        }
        self.targets.push(to.clone());
        Some((from, to))
    }

    /// A copy of a copy would let few steps make much out of little, so there is none: data grows at
    /// most by itself with every step.
    fn copy(&mut self, body: &Body<'_>) -> Option<Step> {
        let earlier = self.targets.len();
        let (from, to) = self.ends(body)?;
        if self.targets[..earlier].iter().any(|target| target.overlaps(&from)) {
            let accepted = "a place that no earlier step has moved or copied anything to";
            return self.refuse(&below(&body.pointer, "from"), "overlapping", accepted);
        }
        Some(Step::Copy { from, to })
    }

    fn set_default(&mut self, body: &Body<'_>) -> Option<Step> {
        self.keys(body, &["path", "value"])?;
        let path = self.path(body, "path")?;
        match body.written.get("value") {
            Some(value) if !value.is_null() => {
                Some(Step::SetDefault { path, value: value.clone() })
            }
            _ => {
                let accepted = "`value`: any value but null, which no schema accepts";
                self.refuse(&below(&body.pointer, "value"), "invalid_value", accepted)
            }
        }
    }

    fn cast(&mut self, body: &Body<'_>) -> Option<Step> {
        self.keys(body, &["path", "to", "otherwise"])?;
        let path = self.path(body, "path")?;
        let Some(to) = body.written.get("to").and_then(Value::as_str).and_then(Target::from_name)
        else {
            let names = Target::ALL.map(Target::name).join(", ");
            let pointer = below(&body.pointer, "to");
            return self.refuse(&pointer, "unknown_type", format!("one of {names}"));
        };
        let otherwise = body.written.get("otherwise");
        let is_fit = otherwise.map_or(to == Target::Text, |value| to.takes(value));
        if !is_fit {
            let accepted =
                format!("`otherwise`: the {} for values that cannot be converted", to.name());
            return self.refuse(&below(&body.pointer, "otherwise"), "invalid_otherwise", accepted);
        }
        Some(Step::Cast { path, to, otherwise: otherwise.cloned() })
    }

    fn map_enum(&mut self, body: &Body<'_>) -> Option<Step> {
        self.keys(body, &["path", "values"])?;
        let path = self.path(body, "path")?;
        let Some(values) = body.written.get("values").and_then(texts) else {
            let accepted = format!("an object of 1 to {CHOICES_MAX} old texts and their new ones");
            return self.refuse(&below(&body.pointer, "values"), "invalid_values", accepted);
        };
        Some(Step::MapEnum { path, values })
    }

    fn keys(&mut self, body: &Body<'_>, known: &[&str]) -> Option<()> {
        match body.written.keys().find(|key| !known.contains(&key.as_str())) {
            None => Some(()),
            Some(key) => {
                let accepted = format!("here: {}", known.join(", "));
                self.refuse(&below(&body.pointer, key), "unknown_keyword", accepted)
            }
        }
    }

    fn path(&mut self, body: &Body<'_>, key: &str) -> Option<Path> {
        let pointer = below(&body.pointer, key);
        let written = body.written.get(key).and_then(Value::as_str).ok_or(Unusable::Malformed);
        match written.and_then(Path::parse) {
            Ok(path) => Some(path),
            Err(Unusable::Malformed) => self.refuse(&pointer, "invalid_path", PATHS_ACCEPTED),
            Err(Unusable::Protected) => {
                let accepted =
                    "a field of the module's own, not `enabled` and none with a leading _";
                self.refuse(&pointer, "protected", accepted)
            }
        }
    }
}

fn texts(values: &Value) -> Option<BTreeMap<String, String>> {
    let values = values.as_object().filter(|values| (1..=CHOICES_MAX).contains(&values.len()))?;
    values.iter().map(|(old, new)| Some((old.clone(), new.as_str()?.to_owned()))).collect()
}
