//! What is breaking, by place and code.

use serde_json::{Value, json};

use super::{map, parsed};
use crate::modules::registry::schema::{Migration, breaking};

fn found(older: &Value, steps: &Value, newer: &Value, defaults: Value) -> Vec<(String, String)> {
    let migration = Migration::parse(steps).expect("a migration");
    breaking(&parsed(older), &migration, &parsed(newer), &map(defaults))
        .into_iter()
        .map(|breaking| (breaking.pointer, breaking.code.to_owned()))
        .collect()
}

/// Two schemas with one property `p`.
fn between(older: &Value, newer: &Value) -> Vec<(String, String)> {
    let with = |p: &Value| json!({"type": "object", "properties": {"p": p}, "required": ["p"]});
    found(&with(older), &json!([]), &with(newer), json!({}))
}

#[track_caller]
fn is(found: &[(String, String)], pointer: &str, code: &str) {
    assert_eq!(found, [(pointer.to_owned(), code.to_owned())]);
}

#[test]
fn fields_may_be_added_as_optional_or_with_a_default() {
    let none = json!([]);
    let older = json!({"a": "string"});
    assert!(found(&older, &none, &older, json!({})).is_empty());
    assert!(found(&older, &none, &json!({"a": "string", "b": "integer?"}), json!({})).is_empty());
    let required = json!({"a": "string", "b": "integer"});
    assert!(found(&older, &none, &required, json!({"b": 1})).is_empty());
    is(&found(&older, &none, &required, json!({})), "/b", "required_without_default");
    is(&found(&older, &none, &json!({}), json!({})), "/a", "field_removed");
    let optional = json!({"a": "string?"});
    is(&found(&optional, &none, &older, json!({})), "/a", "required_without_default");
    assert!(found(&optional, &none, &older, json!({"a": ""})).is_empty());
}

#[test]
fn what_is_required_in_items_of_arrays_is_always_breaking() {
    let (older, newer) = (json!({"a[]": {}}), json!({"a[]": {"b": "string"}}));
    let defaults = json!({"a": [{"b": "x"}]});
    is(&found(&older, &json!([]), &newer, defaults), "/a/*/b", "required_without_default");
    let optional = json!({"a[]": {"b": "string?"}});
    assert!(found(&older, &json!([]), &optional, json!({})).is_empty());
    let nested = json!({"a": {"b": "string"}});
    assert!(found(&json!({"a": {}}), &json!([]), &nested, json!({"a": {"b": "x"}})).is_empty());
}

#[test]
fn what_is_accepted_may_grow_and_not_shrink() {
    let text = |keyword: &str, value: Value| json!({"type": "string", keyword: value});
    let list = |keyword: &str, value: Value| json!({"type": "array", "items": {"type": "integer"}, keyword: value});
    let plain = json!({"type": "string"});
    let items = list("minItems", json!(0));
    for (narrow, wide, code) in [
        (json!({"type": "integer"}), json!({"type": "number"}), "type_changed"),
        (json!({"type": "integer", "minimum": 1}), json!({"type": "integer"}), "range_narrowed"),
        (
            json!({"type": "number", "maximum": 1}),
            json!({"type": "number", "maximum": 2}),
            "range_narrowed",
        ),
        (text("maxLength", json!(2)), plain.clone(), "range_narrowed"),
        (text("minLength", json!(2)), plain.clone(), "range_narrowed"),
        (text("pattern", json!("^a")), plain.clone(), "pattern_changed"),
        (text("format", json!("date")), plain.clone(), "format_changed"),
        (json!({"enum": ["a"]}), json!({"enum": ["a", "b"]}), "value_removed"),
        (json!({"enum": ["a"]}), plain, "type_changed"),
        (json!({"const": true}), json!({"type": "boolean"}), "value_removed"),
        (list("maxItems", json!(2)), items.clone(), "range_narrowed"),
        (list("minItems", json!(2)), items.clone(), "range_narrowed"),
        (list("uniqueItems", json!(true)), items.clone(), "made_unique"),
    ] {
        assert_eq!(between(&narrow, &wide), [], "{narrow} to {wide}");
        is(&between(&wide, &narrow), "/p", code);
    }
    let numbers = json!({"type": "array", "items": {"type": "number"}});
    is(&between(&numbers, &items), "/p/*", "type_changed");
    is(&between(&json!({"type": "boolean"}), &json!({"type": "object"})), "/p", "type_changed");
    is(&between(&json!({"enum": ["a", 1]}), &json!({"type": "integer"})), "/p", "value_removed");
}

#[test]
fn a_migration_moves_what_would_be_missing() {
    let rename = json!([{"rename": {"from": "/a", "to": "/home/b"}}]);
    let newer = json!({"home": {"b": "string"}});
    assert!(found(&json!({"a": "string"}), &rename, &newer, json!({})).is_empty());
    is(
        &found(&json!({"a": "string?"}), &rename, &newer, json!({})),
        "/home",
        "required_without_default",
    );
    let older = json!({"a": "string?", "home?": {"c": "string"}});
    let newer = json!({"home?": {"b": "string?", "c": "string"}});
    is(&found(&older, &rename, &newer, json!({})), "/home/c", "required_without_default");
    let within = json!([{"rename": {"from": "/home/a", "to": "/home/b"}}]);
    let (older, newer) = (json!({"home?": {"a": "string"}}), json!({"home?": {"b": "string"}}));
    assert!(found(&older, &within, &newer, json!({})).is_empty());

    let cast = json!([{"cast": {"path": "/a", "to": "integer", "otherwise": 0}}]);
    assert!(found(&json!({"a": "string"}), &cast, &json!({"a": "integer"}), json!({})).is_empty());
    let set = json!([{"set_default": {"path": "/a", "value": "x"}}]);
    assert!(found(&json!({"a": "string?"}), &set, &json!({"a": "string"}), json!({})).is_empty());
    is(
        &found(&json!({"a": "integer?"}), &set, &json!({"a": "integer"}), json!({})),
        "/a",
        "value_not_accepted",
    );
    let drop = json!([{"drop": {"path": "/a"}}]);
    assert!(found(&json!({"a": "string"}), &drop, &json!({}), json!({})).is_empty());
    let copy = json!([{"copy": {"from": "/a", "to": "/b"}}]);
    assert!(
        found(&json!({"a": "date"}), &copy, &json!({"a": "date", "b": "date"}), json!({}))
            .is_empty()
    );
    let mapped = json!([{"map_enum": {"path": "/a", "values": {"old": "new"}}}]);
    let one = |value: &str| json!({"type": "object", "properties": {"a": {"const": value}}});
    assert!(found(&one("old"), &mapped, &one("new"), json!({})).is_empty());
    is(&found(&one("other"), &mapped, &one("new"), json!({})), "/a", "value_removed");
}

#[test]
fn where_it_cannot_be_told_it_is_breaking() {
    let older = json!({"a": "string", "b": "string?", "c": "string"});
    let onto = json!([{"rename": {"from": "/a", "to": "/b"}}]);
    is(&found(&older, &onto, &older, json!({})), "/b", "target_exists");
    let made = json!([
        {"set_default": {"path": "/a", "value": {"b": "x"}}}, {"drop": {"path": "/a/b"}},
    ]);
    let (optional, required) = (json!({"a?": {"b": "string"}}), json!({"a": {"b": "string"}}));
    is(&found(&optional, &made, &required, json!({})), "/a/b", "path_unclear");
    let through = json!([{"rename": {"from": "/a", "to": "/c/d"}}]);
    is(&found(&older, &through, &older, json!({})), "/c/d", "path_unclear");
}

#[test]
fn a_default_for_a_new_field_must_fit_it() {
    let newer = json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]});
    let errors = found(&json!({}), &json!([]), &newer, json!({"a": 1}));
    is(&errors, "/a", "value_not_accepted");
}
