//! The keywords of JSON Schema that hold one value: bounds, lengths, patterns, choices, texts.
//!
//! Each reader answers `None` for what is not written and for what it has refused.

use serde_json::{Map, Value};

use super::super::pointer::below;
use super::super::tree::{About, Format, Scalar, exact_integer};
use super::super::validator::is_pattern;
use super::super::{ABOUT_CHARS_MAX, BOUND_MAX, CHOICES_MAX, PATTERN_CHARS_MAX, PATTERNS_MAX};
use super::{Reading, bounds_accepted};

type Keywords = Map<String, Value>;

/// A number without text counts this much of what the tree keeps.
const CHOICE_BYTES: usize = 8;

pub fn about(reading: &mut Reading<'_>, written: &Keywords, pointer: &str) -> About {
    About {
        title: short_text(reading, written, pointer, "title"),
        description: short_text(reading, written, pointer, "description"),
    }
}

fn short_text(
    reading: &mut Reading<'_>,
    written: &Keywords,
    pointer: &str,
    key: &str,
) -> Option<String> {
    let value = written.get(key)?;
    let place = below(pointer, key);
    match value.as_str() {
        Some(text) if text.chars().count() <= ABOUT_CHARS_MAX => {
            reading.count_bytes(text.len(), &place);
            Some(text.to_owned())
        }
        Some(_) => {
            reading.refuse(&place, "too_long", format!("at most {ABOUT_CHARS_MAX} characters"));
            None
        }
        None => {
            reading.refuse(&place, "wrong_type", "a text");
            None
        }
    }
}

pub fn integer_bounds(
    reading: &mut Reading<'_>,
    written: &Keywords,
    pointer: &str,
) -> (Option<i64>, Option<i64>) {
    let mut bound = |key| {
        let value = written.get(key)?;
        let bound = value.as_number().and_then(exact_integer);
        if bound.is_none() {
            let accepted = format!("an integer between -{BOUND_MAX} and {BOUND_MAX}");
            reading.refuse(&below(pointer, key), "invalid_bound", accepted);
        }
        bound
    };
    let bounds = (bound("minimum"), bound("maximum"));
    ordered(reading, bounds, &below(pointer, "maximum"));
    bounds
}

pub fn number_bounds(
    reading: &mut Reading<'_>,
    written: &Keywords,
    pointer: &str,
) -> (Option<f64>, Option<f64>) {
    let mut bound = |key| {
        let value = written.get(key)?;
        let bound = value.as_f64().filter(|bound| is_within_bounds(*bound));
        if bound.is_none() {
            reading.refuse(&below(pointer, key), "invalid_bound", bounds_accepted());
        }
        bound
    };
    let bounds = (bound("minimum"), bound("maximum"));
    ordered(reading, bounds, &below(pointer, "maximum"));
    bounds
}

fn is_within_bounds(number: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "2^53-1 is exact in f64")]
    let bound = BOUND_MAX as f64;
    (-bound..=bound).contains(&number)
}

/// Two counts, such as `minLength` and `maxLength`.
pub fn counts(
    reading: &mut Reading<'_>,
    written: &Keywords,
    pointer: &str,
    least: &str,
    most: &str,
) -> (Option<u64>, Option<u64>) {
    let mut count = |key| {
        let value = written.get(key)?;
        let count = value.as_number().and_then(exact_integer).and_then(|n| u64::try_from(n).ok());
        if count.is_none() {
            let accepted = format!("an integer between 0 and {BOUND_MAX}");
            reading.refuse(&below(pointer, key), "invalid_bound", accepted);
        }
        count
    };
    let bounds = (count(least), count(most));
    ordered(reading, bounds, &below(pointer, most));
    bounds
}

fn ordered<T: PartialOrd>(
    reading: &mut Reading<'_>,
    (least, most): (Option<T>, Option<T>),
    pointer: &str,
) {
    if least.zip(most).is_some_and(|(least, most)| least > most) {
        reading.refuse(pointer, "empty_range", "at least the lower bound");
    }
}

pub fn flag(reading: &mut Reading<'_>, written: &Keywords, pointer: &str, key: &str) -> bool {
    match written.get(key) {
        None => false,
        Some(Value::Bool(flag)) => *flag,
        Some(_) => {
            reading.refuse(&below(pointer, key), "wrong_type", "true or false");
            false
        }
    }
}

pub fn format(reading: &mut Reading<'_>, written: &Keywords, pointer: &str) -> Option<Format> {
    let value = written.get("format")?;
    let format = value.as_str().and_then(Format::from_name);
    if format.is_none() {
        let names = Format::ALL.map(Format::name).join(", ");
        reading.refuse(&below(pointer, "format"), "unknown_format", format!("one of {names}"));
    }
    format
}

pub fn pattern<'a>(
    reading: &mut Reading<'a>,
    written: &'a Keywords,
    pointer: &str,
) -> Option<String> {
    let value = written.get("pattern")?;
    let place = below(pointer, "pattern");
    let is_short = |pattern: &&str| pattern.chars().count() <= PATTERN_CHARS_MAX;
    let Some(pattern) = value.as_str().filter(is_short) else {
        let accepted = format!("a regular expression of at most {PATTERN_CHARS_MAX} characters");
        reading.refuse(&place, "invalid_pattern", accepted);
        return None;
    };
    // Compiling is what costs time: the same pattern is compiled once, and only so many are.
    if reading.patterns.insert(pattern) {
        if reading.patterns.len() > PATTERNS_MAX {
            let accepted = format!("at most {PATTERNS_MAX} different patterns");
            reading.stop(&place, "too_many_patterns", accepted);
            return None;
        }
        if !is_pattern(pattern) {
            let accepted = "a regular expression without look-around and backreferences, whose repetitions are few: `maxLength` bounds a length";
            reading.refuse(&place, "invalid_pattern", accepted);
        }
    }
    reading.count_bytes(pattern.len(), &place);
    Some(pattern.to_owned())
}

/// The values of `enum`, or the one of `const`; each must be of the type that is named beside it.
pub fn one_of(
    reading: &mut Reading<'_>,
    written: &Keywords,
    type_name: Option<&str>,
    pointer: &str,
) -> Option<Vec<Scalar>> {
    let place = below(pointer, "enum");
    match (written.get("enum"), written.get("const")) {
        (None, value) => {
            let place = below(pointer, "const");
            choice(reading, value?, type_name, &place).map(|only| vec![only])
        }
        (Some(Value::Array(values)), None) if (1..=CHOICES_MAX).contains(&values.len()) => {
            choices(reading, values, type_name, &place)
        }
        (Some(_), None) => {
            let accepted = format!("a list of 1 to {CHOICES_MAX} texts, numbers or booleans");
            reading.refuse(&place, "invalid_choices", accepted);
            None
        }
        (Some(_), Some(_)) => {
            reading.refuse(&place, "invalid_choices", "`enum` or `const`, not both");
            None
        }
    }
}

fn choices(
    reading: &mut Reading<'_>,
    values: &[Value],
    type_name: Option<&str>,
    pointer: &str,
) -> Option<Vec<Scalar>> {
    let mut choices = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let place = format!("{pointer}/{at}");
        let choice = choice(reading, value, type_name, &place)?;
        if choices.contains(&choice) {
            reading.refuse(&place, "duplicate", "each value once");
        }
        choices.push(choice);
    }
    Some(choices)
}

fn choice(
    reading: &mut Reading<'_>,
    value: &Value,
    type_name: Option<&str>,
    pointer: &str,
) -> Option<Scalar> {
    let choice = Scalar::of(value).filter(|choice| is_of(choice, type_name));
    let Some(choice) = choice else {
        let accepted = "a text, a boolean, or a number between ±(2^53-1), of the `type` beside it";
        reading.refuse(pointer, "invalid_choice", accepted);
        return None;
    };
    reading.count_bytes(value.as_str().map_or(CHOICE_BYTES, str::len), pointer);
    Some(choice)
}

fn is_of(choice: &Scalar, type_name: Option<&str>) -> bool {
    match choice {
        Scalar::Boolean(_) => matches!(type_name, None | Some("boolean")),
        Scalar::Integer(_) => matches!(type_name, None | Some("integer" | "number")),
        Scalar::Number(_) => matches!(type_name, None | Some("number")),
        Scalar::Text(_) => matches!(type_name, None | Some("string")),
    }
}
