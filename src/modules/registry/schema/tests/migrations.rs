//! What steps do, and which are refused.

use serde_json::{Value, json};

use super::{map, places};
use crate::modules::registry::schema::Migration;

fn migration(steps: &Value) -> Migration {
    Migration::parse(steps).unwrap_or_else(|errors| panic!("{steps}: {errors:?}"))
}

#[track_caller]
fn becomes(steps: &Value, before: Value, after: Value) {
    let mut data = map(before);
    migration(steps).apply(&mut data);
    assert_eq!(data, map(after), "{steps}");
}

#[track_caller]
fn refuses(steps: &Value, pointer: &str, code: &str) {
    let errors = places(Migration::parse(steps).expect_err("refused"));
    assert_eq!(errors, [(pointer.to_owned(), code.to_owned())], "{steps}");
}

#[test]
fn each_step_does_what_it_says() {
    let rename = json!([{"rename": {"from": "/a", "to": "/home/b"}}]);
    becomes(&rename, json!({"a": 1}), json!({"home": {"b": 1}}));
    becomes(&rename, json!({"a": 1, "home": {"c": 2}}), json!({"home": {"b": 1, "c": 2}}));
    let copy = json!([{"copy": {"from": "/a/b", "to": "/c"}}]);
    becomes(&copy, json!({"a": {"b": [1]}}), json!({"a": {"b": [1]}, "c": [1]}));
    let set = json!([{"set_default": {"path": "/a/b", "value": 1}}]);
    becomes(&set, json!({"a": {}}), json!({"a": {"b": 1}}));
    becomes(&set, json!({"a": {"b": 2}}), json!({"a": {"b": 2}}));
    let drop = json!([{"drop": {"path": "/a"}}]);
    becomes(&drop, json!({"a": 1, "b": 2}), json!({"b": 2}));
    let mapped = json!([{"map_enum": {"path": "/a", "values": {"old": "new"}}}]);
    becomes(&mapped, json!({"a": "old"}), json!({"a": "new"}));
    becomes(&mapped, json!({"a": "other"}), json!({"a": "other"}));
}

#[test]
fn casts_convert_what_they_can_and_put_otherwise_for_the_rest() {
    let cast = |to: &str, otherwise: Value, before: Value, after: Value| {
        let steps = json!([{"cast": {"path": "/a", "to": to, "otherwise": otherwise}}]);
        becomes(&steps, json!({"a": before}), json!({"a": after}));
    };
    cast("integer", json!(0), json!("12"), json!(12));
    cast("integer", json!(0), json!("1.5"), json!(0));
    cast("integer", json!(0), json!(1.5), json!(0));
    cast("integer", json!(0), json!("9007199254740992"), json!(0));
    cast("integer", json!(0), json!(true), json!(1));
    cast("number", json!(0), json!("1.5"), json!(1.5));
    cast("number", json!(0), json!("2.0"), json!(2));
    cast("number", json!(0), json!("inf"), json!(0));
    cast("number", json!(0), json!("NaN"), json!(0));
    cast("boolean", json!(false), json!("true"), json!(true));
    cast("boolean", json!(false), json!(1), json!(true));
    cast("boolean", json!(false), json!(2), json!(false));
    cast("string", json!("?"), json!([1]), json!("?"));
    let total = json!([{"cast": {"path": "/a", "to": "string"}}]);
    becomes(&total, json!({"a": 1.0}), json!({"a": "1"}));
    becomes(&total, json!({"a": false}), json!({"a": "false"}));
    becomes(&total, json!({"a": [1]}), json!({"a": [1]}));
}

#[test]
fn a_step_whose_source_is_missing_does_nothing() {
    let steps = json!([
        {"rename": {"from": "/x/y", "to": "/c/d"}}, {"copy": {"from": "/y", "to": "/e"}},
        {"set_default": {"path": "/x/y", "value": 1}}, {"drop": {"path": "/x/y"}},
        {"cast": {"path": "/x", "to": "integer", "otherwise": 0}},
        {"map_enum": {"path": "/x", "values": {"a": "b"}}},
    ]);
    becomes(&steps, json!({"a": 1}), json!({"a": 1}));
}

#[test]
fn nothing_is_lost_where_a_step_finds_no_object_on_its_way() {
    let rename = json!([{"rename": {"from": "/a", "to": "/b/c"}}]);
    becomes(&rename, json!({"a": 1, "b": 2}), json!({"a": 1, "b": 2}));
    let drop = json!([{"drop": {"path": "/a/b"}}]);
    becomes(&drop, json!({"a": [1]}), json!({"a": [1]}));
}

#[test]
fn what_is_read_is_written_back() {
    let steps = json!([
        {"rename": {"from": "/a", "to": "/b"}}, {"copy": {"from": "/c/d", "to": "/e"}},
        {"set_default": {"path": "/f", "value": {"g": [1, "x"]}}}, {"drop": {"path": "/h"}},
        {"cast": {"path": "/i", "to": "integer", "otherwise": 0}},
        {"cast": {"path": "/i", "to": "string"}},
        {"map_enum": {"path": "/j", "values": {"old": "new"}}},
    ]);
    assert_eq!(migration(&steps).to_json(), steps);
}

#[test]
fn what_is_purser_s_own_is_not_touched() {
    for path in ["/enabled", "/enabled/a", "/_id", "/a/_b", "/__proto__"] {
        refuses(&json!([{"drop": {"path": path}}]), "/0/drop/path", "protected");
        let rename = json!([{"rename": {"from": "/a", "to": path}}]);
        let pointer = "/0/rename/to";
        let errors = places(Migration::parse(&rename).expect_err("refused"));
        assert_eq!(errors, [(pointer.to_owned(), "protected".to_owned())], "{path}");
    }
    assert!(Migration::parse(&json!([{"drop": {"path": "/a/enabled"}}])).is_ok());
}

#[test]
fn paths_are_short_pointers_through_objects() {
    let long = "/a".repeat(9);
    for path in ["", "/", "a", "/a/", "//a", "/a~1b", "/0", "/a/-", "/constructor", &long] {
        refuses(&json!([{"drop": {"path": path}}]), "/0/drop/path", "invalid_path");
    }
    refuses(&json!([{"drop": {}}]), "/0/drop/path", "invalid_path");
    assert!(Migration::parse(&json!([{"drop": {"path": "/a".repeat(8)}}])).is_ok());
}

#[test]
fn a_copy_cannot_be_made_of_what_was_put_somewhere() {
    let inside = json!([{"rename": {"from": "/a", "to": "/a/b"}}]);
    refuses(&inside, "/0/rename/to", "overlapping");
    let doubling = json!([
        {"copy": {"from": "/a", "to": "/b/x"}}, {"copy": {"from": "/b", "to": "/a/y"}},
    ]);
    refuses(&doubling, "/1/copy/from", "overlapping");
}

#[test]
fn steps_are_few_and_say_what_they_need() {
    let many: Vec<Value> = (0..51).map(|_| json!({"drop": {"path": "/a"}})).collect();
    refuses(&json!(many), "", "wrong_type");
    refuses(&json!({}), "", "wrong_type");
    refuses(&json!(["x".repeat(16 * 1024)]), "", "too_large");
    for (step, pointer, code) in [
        (json!("drop"), "/0", "invalid_step"),
        (json!({}), "/0", "invalid_step"),
        (json!({"drop": {"path": "/a"}, "rename": {}}), "/0", "invalid_step"),
        (json!({"remove": {"path": "/a"}}), "/0/remove", "invalid_step"),
        (json!({"drop": "/a"}), "/0/drop", "wrong_type"),
        (json!({"drop": {"path": "/a", "x": 1}}), "/0/drop/x", "unknown_keyword"),
        (json!({"set_default": {"path": "/a"}}), "/0/set_default/value", "invalid_value"),
        (
            json!({"set_default": {"path": "/a", "value": null}}),
            "/0/set_default/value",
            "invalid_value",
        ),
        (json!({"cast": {"path": "/a", "to": "date"}}), "/0/cast/to", "unknown_type"),
        (
            json!({"cast": {"path": "/a", "to": "integer"}}),
            "/0/cast/otherwise",
            "invalid_otherwise",
        ),
        (
            json!({"cast": {"path": "/a", "to": "integer", "otherwise": "x"}}),
            "/0/cast/otherwise",
            "invalid_otherwise",
        ),
        (json!({"map_enum": {"path": "/a", "values": {}}}), "/0/map_enum/values", "invalid_values"),
        (
            json!({"map_enum": {"path": "/a", "values": {"a": 1}}}),
            "/0/map_enum/values",
            "invalid_values",
        ),
    ] {
        refuses(&json!([step]), pointer, code);
    }
}
