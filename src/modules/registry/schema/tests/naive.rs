//! What the tree means, written down as plainly as possible, to hold the compiled validator against.
//!
//! Formats and patterns are a closed world: texts of documents come from `generate`, and so does
//! which of them have which format.

#![expect(clippy::cast_precision_loss, reason = "bounds are within 2^53-1")]

use serde_json::{Number, Value};

use super::generate::{PATTERNS, has_format};
use crate::modules::registry::schema::tree::{Array, Fields, Kind, Node, Scalar, Text};

pub fn accepts(node: &Node, value: &Value) -> bool {
    match (&node.kind, value) {
        (Kind::Boolean, Value::Bool(_)) => true,
        (Kind::Integer { min, max }, Value::Number(number)) => {
            let number = number.as_f64().expect("a number");
            number.fract() == 0.0
                && min.is_none_or(|min| min as f64 <= number)
                && max.is_none_or(|max| number <= max as f64)
        }
        (Kind::Number { min, max }, Value::Number(number)) => {
            let number = number.as_f64().expect("a number");
            min.is_none_or(|min| min <= number) && max.is_none_or(|max| number <= max)
        }
        (Kind::Text(accepted), Value::String(text)) => accepts_text(accepted, text),
        (Kind::OneOf(choices), value) => {
            choices.iter().any(|choice| equal(&Scalar::to_json(choice), value))
        }
        (Kind::Array(accepted), Value::Array(items)) => accepts_items(accepted, items),
        (Kind::Object(fields), value) => accepts_fields(fields, value),
        _ => false,
    }
}

pub fn accepts_fields(fields: &Fields, value: &Value) -> bool {
    let Value::Object(values) = value else {
        return false;
    };
    values.keys().all(|name| fields.contains_key(name))
        && fields.iter().all(|(name, field)| match values.get(name) {
            None => !field.is_required(),
            Some(value) => accepts(&field.node, value),
        })
}

fn accepts_text(accepted: &Text, text: &str) -> bool {
    let length = text.chars().count() as u64;
    let matches = |pattern: &String| {
        let (_, matches) = PATTERNS.iter().find(|(known, _)| known == pattern).expect("known");
        matches(text)
    };
    accepted.min_len.is_none_or(|least| least <= length)
        && accepted.max_len.is_none_or(|most| length <= most)
        && accepted.pattern.as_ref().is_none_or(matches)
        && accepted.format.is_none_or(|format| has_format(text, format))
}

fn accepts_items(accepted: &Array, items: &[Value]) -> bool {
    let count = items.len() as u64;
    let is_repeated = |at: usize| items[..at].iter().any(|earlier| equal(earlier, &items[at]));
    accepted.min.is_none_or(|least| least <= count)
        && accepted.max.is_none_or(|most| count <= most)
        && !(accepted.unique && (0..items.len()).any(is_repeated))
        && items.iter().all(|item| accepts(&accepted.items, item))
}

fn equal(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => Number::as_f64(one) == two.as_f64(),
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| equal(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len()
                && one.iter().all(|(key, one)| two.get(key).is_some_and(|two| equal(one, two)))
        }
        (one, two) => one == two,
    }
}
