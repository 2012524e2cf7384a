//! Converting one scalar into another type.

use serde_json::{Number, Value};

use super::super::BOUND_MAX;
use super::super::tree::{Scalar, exact_integer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Text,
    Integer,
    Number,
    Boolean,
}

impl Target {
    pub const ALL: [Self; 4] = [Self::Text, Self::Integer, Self::Number, Self::Boolean];

    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Whether `value` is of this type and can stand for what could not be converted.
    pub fn takes(self, value: &Value) -> bool {
        match Scalar::of(value) {
            Some(Scalar::Boolean(_)) => self == Self::Boolean,
            Some(Scalar::Integer(_)) => matches!(self, Self::Integer | Self::Number),
            Some(Scalar::Number(_)) => self == Self::Number,
            Some(Scalar::Text(_)) => self == Self::Text,
            None => false,
        }
    }
}

/// What is of the type already stays exactly as it is, however large. `None`: not convertible.
pub fn convert(value: &Value, to: Target) -> Option<Value> {
    match to {
        Target::Text => to_text(value).map(Value::from),
        Target::Integer => to_integer(value),
        Target::Number => to_number(value),
        Target::Boolean => to_boolean(value).map(Value::from),
    }
}

fn to_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        // 1.0 and 1 are the same number, so they become the same text.
        Value::Number(number) => {
            Some(exact_integer(number).map_or_else(|| number.to_string(), |n| n.to_string()))
        }
        _ => None,
    }
}

fn to_integer(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(truth) => Some(Value::from(i64::from(*truth))),
        Value::Number(number) => is_integer(number).then(|| value.clone()),
        Value::String(text) => {
            let integer = text.parse().ok().filter(|n| (-BOUND_MAX..=BOUND_MAX).contains(n));
            integer.map(Value::from)
        }
        _ => None,
    }
}

fn to_number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::Bool(_) => to_integer(value),
        Value::String(text) => {
            let number = Number::from_f64(text.parse().ok()?)?;
            Some(exact_integer(&number).map_or(Value::Number(number), Value::from))
        }
        _ => None,
    }
}

fn to_boolean(value: &Value) -> Option<bool> {
    match Scalar::of(value)? {
        Scalar::Boolean(truth) => Some(truth),
        Scalar::Integer(0) => Some(false),
        Scalar::Integer(1) => Some(true),
        Scalar::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn is_integer(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}
