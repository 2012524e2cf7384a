//! What is not accepted as a schema, by place and code.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{parsed, places};
use crate::modules::registry::schema::tree::{Field, Kind, Node, Presence};
use crate::modules::registry::schema::{ERRORS_MAX, Schema};

fn refused(written: &Value) -> Vec<(String, String)> {
    places(Schema::parse(written).expect_err(&format!("refused: {written}")))
}

#[track_caller]
fn refuses(written: &Value, pointer: &str, code: &str) {
    assert_eq!(refused(written), [(pointer.to_owned(), code.to_owned())], "{written}");
}

/// A JSON Schema with one property `p`.
fn with(property: &Value) -> Value {
    json!({"type": "object", "properties": {"p": property}})
}

#[test]
fn what_the_shorthand_says_is_said_by_json_schema_too() {
    let shorthand = json!({
        "enabled": "boolean", "points": "number", "last_updated": "date", "nick": "string?",
        "tags": "string[]", "limits": "integer[]?", "address": {"city": "string"},
        "home?": {"street": "string?"}, "items[]": {"sku": "string"}, "more[]?": {},
        "grid[]": "integer[]?", "last?": "boolean",
    });
    let city =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"city": city},
        "type": "object",
        "properties": {
            "points": {"type": "number"},
            "last_updated": {"type": "string", "format": "date-time"},
            "nick": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "limits": {"type": "array", "items": {"type": "integer"}},
            "address": {"$ref": "#/$defs/city"},
            "home": {"type": "object", "properties": {"street": {"type": "string"}}},
            "items": {"type": "array", "items": {
                "type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"],
            }},
            "more": {"type": "array", "items": {"type": "object", "additionalProperties": false}},
            "grid": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            "last": {"type": "boolean"},
        },
        "required": ["points", "last_updated", "tags", "address", "items"],
    });
    assert_eq!(parsed(&shorthand), parsed(&schema));
}

#[test]
fn enabled_is_added_and_may_only_be_a_required_boolean() {
    let enabled = Field { presence: Presence::Required, node: Node::from(Kind::Boolean) };
    assert_eq!(parsed(&json!({})).fields["enabled"], enabled);
    assert_eq!(parsed(&json!({"enabled": "boolean"})), parsed(&json!({"type": "object"})));
    for shorthand in ["boolean?", "string", "boolean[]"] {
        refuses(&json!({"enabled": shorthand}), "/enabled", "invalid_enabled");
    }
    let optional = json!({"type": "object", "properties": {"enabled": {"type": "boolean"}}});
    refuses(&optional, "/properties/enabled", "invalid_enabled");
    let always = json!({
        "type": "object", "properties": {"enabled": {"const": true}}, "required": ["enabled"],
    });
    refuses(&always, "/properties/enabled", "invalid_enabled");
}

#[test]
fn only_an_object_is_a_schema() {
    for written in [json!(null), json!([]), json!("boolean"), json!(1)] {
        refuses(&written, "", "wrong_type");
    }
    // In shorthand, `type` is a property like any other.
    assert!(Schema::parse(&json!({"type": "string"})).is_ok());
    let no_object =
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"});
    refuses(&no_object, "", "wrong_type");
}

#[test]
fn the_shorthand_knows_few_types_and_one_question_mark() {
    for word in ["text", "Boolean", "", "?", "[]", "string??", "string?[]", "object", "null"] {
        refuses(&json!({"a": word}), "/a", "unknown_type");
    }
    for value in [json!(1), json!(null), json!(true), json!(["string"])] {
        refuses(&json!({"a": value}), "/a", "unknown_type");
    }
    refuses(&json!({"a?": "string?"}), "/a?", "optional_twice");
    refuses(&json!({"a": "string", "a?": "string"}), "/a?", "duplicate");
}

#[test]
fn names_that_other_languages_trip_over_are_refused() {
    let long = "a".repeat(65);
    for name in [
        "constructor",
        "prototype",
        "__proto__",
        "hasOwnProperty",
        "toString",
        "valueOf",
        "_id",
        "1a",
        "a-b",
        "a.b",
        "é",
        "$where",
        "a b",
        &long,
    ] {
        let place = if name == long { String::new() } else { format!("/{name}") };
        refuses(&json!({name: "string"}), &place, "invalid_name");
        let schema = json!({"type": "object", "properties": {name: {"type": "string"}}});
        let place = format!("/properties{place}");
        refuses(&schema, &place, "invalid_name");
    }
    refuses(&json!({"a/b~": "string"}), "/a~1b~0", "invalid_name");
    assert!(Schema::parse(&json!({"a".repeat(64): "string"})).is_ok());
}

#[test]
fn a_keyword_outside_the_profile_is_refused_by_name() {
    for keyword in [
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "if",
        "default",
        "examples",
        "nullable",
        "multipleOf",
        "exclusiveMinimum",
        "$id",
        "$anchor",
        "$dynamicRef",
        "$comment",
        "$defs",
        "x",
    ] {
        let mut property = json!({"type": "integer"});
        property[keyword] = json!({});
        refuses(&with(&property), &format!("/properties/p/{keyword}"), "unknown_keyword");
    }
    refuses(&json!({"type": "object", "$id": "https://x.y"}), "/$id", "unknown_keyword");
    // A keyword of another type is as unknown.
    let property = json!({"type": "string", "minimum": 1});
    refuses(&with(&property), "/properties/p/minimum", "unknown_keyword");
    let open = json!({"type": "object", "additionalProperties": true});
    refuses(&open, "/additionalProperties", "open_object");
}

#[test]
fn there_is_one_type_and_no_null() {
    for name in [json!("null"), json!(["string", "null"]), json!("any"), json!(1)] {
        refuses(&with(&json!({"type": name})), "/properties/p/type", "unknown_type");
    }
    refuses(&with(&json!({})), "/properties/p", "type_missing");
    refuses(&with(&json!(true)), "/properties/p", "wrong_type");
    let other = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"});
    refuses(&other, "/$schema", "unknown_dialect");
}

#[test]
fn a_reference_is_local_known_used_and_not_recursive() {
    for target in ["https://example.org/x", "#", "#/properties/p", "x", "#/$defs"] {
        refuses(&with(&json!({"$ref": target})), "/properties/p/$ref", "remote_ref");
    }
    refuses(&with(&json!({"$ref": 1})), "/properties/p/$ref", "remote_ref");
    refuses(&with(&json!({"$ref": "#/$defs/x"})), "/properties/p/$ref", "unknown_definition");
    let mut unused = with(&json!({"type": "string"}));
    unused["$defs"] = json!({"x": {"type": "string"}});
    refuses(&unused, "/$defs/x", "unused_definition");
    let mut circle = with(&json!({"$ref": "#/$defs/x"}));
    circle["$defs"] = json!({"x": {"type": "array", "items": {"$ref": "#/$defs/x"}}});
    refuses(&circle, "/$defs/x/items/$ref", "recursive_ref");
    let mut beside = with(&json!({"$ref": "#/$defs/x", "minLength": 1, "title": "mine"}));
    beside["$defs"] = json!({"x": {"type": "string"}});
    refuses(&beside, "/properties/p/minLength", "unknown_keyword");
}

#[test]
fn bounds_are_numbers_in_order_that_every_language_can_hold() {
    let p = "/properties/p";
    for bound in [json!(1.5), json!("1"), json!(9_007_199_254_740_992_i64), json!(u64::MAX)] {
        let property = json!({"type": "integer", "minimum": bound});
        refuses(&with(&property), &format!("{p}/minimum"), "invalid_bound");
    }
    for bound in [json!(1e300), json!(null)] {
        let property = json!({"type": "number", "maximum": bound});
        refuses(&with(&property), &format!("{p}/maximum"), "invalid_bound");
    }
    for bound in [json!(-1), json!(0.5), json!(1e300)] {
        let property = json!({"type": "string", "minLength": bound});
        refuses(&with(&property), &format!("{p}/minLength"), "invalid_bound");
    }
    let property = json!({"type": "number", "minimum": 2, "maximum": 1});
    refuses(&with(&property), &format!("{p}/maximum"), "empty_range");
    let property =
        json!({"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 1});
    refuses(&with(&property), &format!("{p}/maxItems"), "empty_range");
}

#[test]
fn choices_are_few_different_scalars_of_the_type_beside_them() {
    let p = "/properties/p";
    let many: Vec<usize> = (0..101).collect();
    for choices in [json!([]), json!("a"), json!(many)] {
        refuses(&with(&json!({"enum": choices})), &format!("{p}/enum"), "invalid_choices");
    }
    for choice in [json!(null), json!([]), json!({}), json!(1e300), json!(u64::MAX)] {
        let property = json!({"enum": ["a", choice]});
        refuses(&with(&property), &format!("{p}/enum/1"), "invalid_choice");
    }
    refuses(&with(&json!({"enum": [1, 1.0]})), &format!("{p}/enum/1"), "duplicate");
    let mixed = json!({"type": "string", "enum": ["a", 1]});
    refuses(&with(&mixed), &format!("{p}/enum/1"), "invalid_choice");
    let both = json!({"enum": [1], "const": 1});
    refuses(&with(&both), &format!("{p}/enum"), "invalid_choices");
    refuses(&with(&json!({"const": null})), &format!("{p}/const"), "invalid_choice");
    let fraction = json!({"type": "integer", "const": 0.5});
    refuses(&with(&fraction), &format!("{p}/const"), "invalid_choice");
    assert!(Schema::parse(&with(&json!({"type": "number", "enum": [1, 0.5]}))).is_ok());
}

#[test]
fn patterns_are_linear_small_and_few() {
    let long = "a".repeat(257);
    for pattern in [
        "(",
        "(?=a)b",
        r"(a)\1",
        "(?<!a)b",
        "(a{1000}){1000}",
        "((a{99}){99}){99}",
        r"(\p{L}{500}){9}",
        "a{4294967295}",
        "((((x{9}){99}){99}){99}){99}",
        &long,
    ] {
        let place = "/properties/p/pattern";
        refuses(&with(&json!({"type": "string", "pattern": pattern})), place, "invalid_pattern");
    }
    for pattern in [
        "^[A-Za-z0-9_.-]{1,64}$",
        "^#[0-9a-f]{6}$",
        r"^\S+@\S+$",
        r"^\p{L}{1,9}$",
        "(a+)+$",
        "(?:){99999999}",
        r"^\+?[0-9 ()-]{5,20}$",
        "^[^<>]{0,255}$",
    ] {
        let written = with(&json!({"type": "string", "pattern": pattern}));
        assert!(Schema::parse(&written).is_ok(), "{pattern}");
    }
    let each = |at| (format!("p{at}"), json!({"type": "string", "pattern": format!("a{{{at}}}")}));
    let many: Map<String, Value> = (0..33).map(each).collect();
    let errors = refused(&json!({"type": "object", "properties": many}));
    assert_eq!(errors[0].1, "too_many_patterns");
}

#[test]
fn texts_formats_and_lists_of_names_are_checked() {
    let p = "/properties/p";
    for (property, key, code) in [
        (json!({"type": "string", "format": "ipv4"}), "format", "unknown_format"),
        (json!({"type": "string", "format": 1}), "format", "unknown_format"),
        (json!({"type": "string", "title": 1}), "title", "wrong_type"),
        (json!({"type": "string", "description": "x".repeat(501)}), "description", "too_long"),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": 1}),
            "uniqueItems",
            "wrong_type",
        ),
        (json!({"type": "object", "properties": []}), "properties", "wrong_type"),
        (json!({"type": "object", "required": "a"}), "required", "wrong_type"),
        (json!({"type": "object", "required": ["a"]}), "required/0", "unknown_property"),
        (json!({"type": "object", "required": [1]}), "required/0", "unknown_property"),
    ] {
        refuses(&with(&property), &format!("{p}/{key}"), code);
    }
    refuses(&with(&json!({"type": "array"})), p, "items_missing");
    let twice =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "a"]});
    refuses(&with(&twice), &format!("{p}/required/1"), "duplicate");
    let definitions = json!({"type": "object", "$defs": []});
    refuses(&definitions, "/$defs", "wrong_type");
}

#[test]
fn depth_properties_and_bytes_have_an_end() {
    let nested = |levels| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
    assert!(Schema::parse(&nested(8)).is_ok());
    refuses(&nested(9), &"/a".repeat(8), "too_deep");
    assert!(Schema::parse(&json!({"a": format!("string{}", "[]".repeat(7))})).is_ok());
    refuses(&json!({"a": format!("string{}", "[]".repeat(8))}), "/a", "too_deep");
    refuses(&json!({format!("a{}", "[]".repeat(8)): {}}), "/a[][][][][][][][]", "too_deep");
    let arrays = |levels| {
        (0..levels)
            .fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}))
    };
    assert!(Schema::parse(&with(&arrays(7))).is_ok());
    refuses(&with(&arrays(8)), &format!("/properties/p{}", "/items".repeat(7)), "too_deep");
    refuses(&with(&arrays(100)), "", "too_deep");

    let wide = |count| -> Map<String, Value> {
        (0..count).map(|at| (format!("p{at:03}"), json!("string"))).collect()
    };
    assert!(Schema::parse(&Value::Object(wide(199))).is_ok());
    refuses(&Value::Object(wide(200)), "", "too_many_properties");
    refuses(&Value::Object(wide(201)), "/p200", "too_many_properties");
    refuses(&json!({"a": "x".repeat(16 * 1024)}), "", "too_large");
}

#[test]
fn many_errors_are_cut_and_the_rest_is_not_read() {
    let wrong: Map<String, Value> = (0..100).map(|at| (format!("p{at}"), json!("?"))).collect();
    assert_eq!(refused(&Value::Object(wrong)).len(), ERRORS_MAX);
}

/// `d0` holds ten of `d1`, which holds ten of `d2`, and so on.
fn laughs(levels: usize) -> Value {
    let holding = |level: usize| -> Value {
        let below = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        let ten: Map<String, Value> = (0..10).map(|at| (format!("p{at}"), below.clone())).collect();
        json!({"type": "object", "properties": ten})
    };
    let mut definitions: Map<String, Value> =
        (0..levels).map(|level| (format!("d{level}"), holding(level))).collect();
    definitions.insert(format!("d{levels}"), json!({"type": "string"}));
    json!({"type": "object", "$defs": definitions, "properties": {"p": {"$ref": "#/$defs/d0"}}})
}

/// The same long text at many places, by reference.
fn echoes() -> Value {
    let of = |at| (format!("p{at}"), json!({"$ref": "#/$defs/d"}));
    let many: Map<String, Value> = (0..150).map(of).collect();
    let choices: Vec<String> = (0..80).map(|at| format!("{at}{}", "x".repeat(90))).collect();
    json!({"type": "object", "$defs": {"d": {"enum": choices}}, "properties": many})
}

/// References that lead to one another and nowhere else.
fn chain() -> Value {
    let link = |at| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}));
    let definitions: Map<String, Value> = (0..300).map(link).collect();
    json!({"type": "object", "$defs": definitions, "properties": {"p": {"$ref": "#/$defs/d0"}}})
}

fn deep() -> Value {
    (0..120).fold(json!({}), |inner, _| json!({"a": inner}))
}

fn catastrophes() -> Value {
    let of = |at: usize| {
        (
            format!("p{at}"),
            json!({"type": "string", "pattern": format!("((a{{{}}}){{99}}){{9}}", 90 + at)}),
        )
    };
    let many: Map<String, Value> = (0..200).map(of).collect();
    json!({"type": "object", "properties": many})
}

#[test]
fn whatever_is_sent_is_refused_quickly() {
    let ten_thousand: Map<String, Value> =
        (0..10_000).map(|at| (format!("p{at}"), json!("string"))).collect();
    for (written, code) in [
        (laughs(6), "too_many_properties"),
        (laughs(20), "too_many_properties"),
        (echoes(), "too_large"),
        (chain(), "too_deep"),
        (deep(), "too_deep"),
        (catastrophes(), "invalid_pattern"),
        (Value::Object(ten_thousand), "too_large"),
        (with(&json!({"type": "string", "pattern": "(a{1000}){1000}"})), "invalid_pattern"),
    ] {
        let begun = Instant::now();
        let errors = refused(&written);
        let taken = begun.elapsed();
        println!("{code}: {taken:?}");
        assert!(errors.iter().any(|(_, found)| found == code), "{code}: {errors:?}");
        // 50 ms is what is promised of a release build on an idle machine.
        assert!(taken < Duration::from_secs(1), "{code} took {taken:?}");
    }
}
