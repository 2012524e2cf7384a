//! The typed tree that both ways of writing a schema are read into.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::BOUND_MAX;

/// A whole schema: its root is always an object with `enabled`.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    pub about: About,
    pub fields: Fields,
}

pub type Fields = BTreeMap<String, Field>;

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub presence: Presence,
    pub node: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Required,
    Optional,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub about: About,
    pub kind: Kind,
}

/// Texts for readers; they decide nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    pub title: Option<String>,
    pub description: Option<String>,
}

/// What a value must be. Bounds are inclusive; lengths count characters.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Boolean,
    Integer { min: Option<i64>, max: Option<i64> },
    Number { min: Option<f64>, max: Option<f64> },
    Text(Text),
    OneOf(Vec<Scalar>),
    Array(Box<Array>),
    Object(Fields),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    pub min_len: Option<u64>,
    pub max_len: Option<u64>,
    pub pattern: Option<String>,
    pub format: Option<Format>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub items: Node,
    pub min: Option<u64>,
    pub max: Option<u64>,
    pub unique: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    DateTime,
    Date,
    Email,
    Uri,
    Uuid,
}

/// One accepted value. A number without fraction is always an `Integer`, since 1 and 1.0 are equal
/// in JSON Schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Field {
    pub fn is_required(&self) -> bool {
        self.presence == Presence::Required
    }
}

impl From<Kind> for Node {
    fn from(kind: Kind) -> Self {
        Self { about: About::default(), kind }
    }
}

impl Format {
    pub const ALL: [Self; 5] = [Self::DateTime, Self::Date, Self::Email, Self::Uri, Self::Uuid];

    pub fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Uuid => "uuid",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl Scalar {
    /// `None` for what is no scalar, and for numbers that not every reader of JSON holds exactly.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(truth) => Some(Self::Boolean(*truth)),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => Self::of_number(number),
            _ => None,
        }
    }

    fn of_number(number: &Number) -> Option<Self> {
        if let Some(integer) = exact_integer(number) {
            return Some(Self::Integer(integer));
        }
        number.as_f64().filter(|n| n.fract() != 0.0).map(Self::Number)
    }

    pub fn to_json(&self) -> Value {
        match self {
            Self::Boolean(truth) => Value::from(*truth),
            Self::Integer(integer) => Value::from(*integer),
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
}

/// The number as an integer within ±(2^53-1), however it is written: `1.0` is 1.
pub fn exact_integer(number: &Number) -> Option<i64> {
    if let Some(integer) = number.as_i64() {
        return Some(integer).filter(|integer| integer.abs_diff(0) <= BOUND_MAX.abs_diff(0));
    }
    number.as_f64().and_then(whole)
}

/// A fraction-free number within ±(2^53-1) as an integer.
pub fn whole(number: f64) -> Option<i64> {
    // Within these bounds every f64 without fraction is exactly an i64.
    #[expect(clippy::cast_precision_loss, reason = "2^53-1 is exact in f64")]
    let is_exact = number.fract() == 0.0 && number.abs() <= BOUND_MAX as f64;
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    is_exact.then_some(number as i64)
}
