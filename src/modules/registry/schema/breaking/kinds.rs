//! When everything that one kind accepts is accepted by another.

use serde_json::Value;

use super::super::tree::{Array, Kind, Node, Scalar, Text};
use super::past::{Entry, Form};
use super::{Breaking, all_valid, forms};

pub fn compare(older: &Kind, newer: &Node, pointer: &str, found: &mut Vec<Breaking>) {
    match (older, &newer.kind) {
        (Kind::Boolean, Kind::Boolean) => {}
        (Kind::Boolean, Kind::OneOf(_)) => {
            one_of(&[Scalar::Boolean(false), Scalar::Boolean(true)], newer, pointer, found);
        }
        (Kind::OneOf(choices), _) => one_of(choices, newer, pointer, found),
        (Kind::Integer { min, max }, Kind::Integer { min: new_min, max: new_max }) => {
            range((*min, *max), (*new_min, *new_max), pointer, found);
        }
        (Kind::Integer { min, max }, Kind::Number { min: new_min, max: new_max }) => {
            range((min.map(exact), max.map(exact)), (*new_min, *new_max), pointer, found);
        }
        (Kind::Number { min, max }, Kind::Number { min: new_min, max: new_max }) => {
            range((*min, *max), (*new_min, *new_max), pointer, found);
        }
        (Kind::Text(older), Kind::Text(newer)) => text(older, newer, pointer, found),
        (Kind::Array(older), Kind::Array(newer)) => array(older, newer, pointer, found),
        _ => found.push(type_changed(pointer)),
    }
}

pub fn type_changed(pointer: &str) -> Breaking {
    let detail = "keep the type (an integer may become a number), or cast it in the migration";
    Breaking::new(pointer, "type_changed", detail)
}

fn one_of(choices: &[Scalar], newer: &Node, pointer: &str, found: &mut Vec<Breaking>) {
    let values: Vec<Value> = choices.iter().map(Scalar::to_json).collect();
    if !all_valid(&values, newer) {
        let detail = "accept every value that was accepted, or map it in the migration";
        found.push(Breaking::new(pointer, "value_removed", detail));
    }
}

fn text(older: &Text, newer: &Text, pointer: &str, found: &mut Vec<Breaking>) {
    // No text is shorter than 0, so a minimum of 0 is none.
    let least = older.min_len.or(Some(0));
    range((least, older.max_len), (newer.min_len, newer.max_len), pointer, found);
    if newer.pattern.is_some() && newer.pattern != older.pattern {
        let detail = "keep the pattern, or leave it out";
        found.push(Breaking::new(pointer, "pattern_changed", detail));
    }
    if newer.format.is_some() && newer.format != older.format {
        let detail = "keep the format, or leave it out";
        found.push(Breaking::new(pointer, "format_changed", detail));
    }
}

/// Nothing is filled into items, so what is compared is what was written.
fn array(older: &Array, newer: &Array, pointer: &str, found: &mut Vec<Breaking>) {
    let least = older.min.or(Some(0));
    range((least, older.max), (newer.min, newer.max), pointer, found);
    let is_single = older.max.is_some_and(|max| max <= 1);
    if newer.unique && !older.unique && !is_single {
        let detail = "leave `uniqueItems` out: items may be repeated in older data";
        found.push(Breaking::new(pointer, "made_unique", detail));
    }
    let items = Entry { is_required: true, forms: vec![Form::of(&older.items.kind)] };
    forms(&items, &newer.items, &format!("{pointer}/*"), found);
}

/// Both ends inclusive; `None` is without end.
fn range<T: PartialOrd>(
    (min, max): (Option<T>, Option<T>),
    (new_min, new_max): (Option<T>, Option<T>),
    pointer: &str,
    found: &mut Vec<Breaking>,
) {
    let is_lower_kept = new_min.is_none_or(|new| min.is_some_and(|old| new <= old));
    let is_upper_kept = new_max.is_none_or(|new| max.is_some_and(|old| old <= new));
    if !is_lower_kept || !is_upper_kept {
        let detail = "keep the bounds, or widen them";
        found.push(Breaking::new(pointer, "range_narrowed", detail));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bounds are within 2^53-1, so f64 holds them exactly"
)]
fn exact(bound: i64) -> f64 {
    bound as f64
}
