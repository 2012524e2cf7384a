//! What a document and defaults are told.

use serde_json::{Value, json};

use super::{map, parsed, places};
use crate::modules::registry::schema::{Completeness, ERRORS_MAX, Schema, fill, initial};

fn profile() -> Schema {
    parsed(&json!({
        "type": "object",
        "properties": {
            "points": {"type": "integer", "minimum": 0, "maximum": 10},
            "nick": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
            "level": {"enum": ["basic", "gold", 3]},
            "only": {"const": "x"},
            "at": {"type": "string", "format": "date-time"},
            "tags": {
                "type": "array", "items": {"type": "string"},
                "minItems": 1, "maxItems": 2, "uniqueItems": true,
            },
            "home": {
                "type": "object", "required": ["city"],
                "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
            },
        },
        "required": ["points"],
    }))
}

#[test]
fn every_kind_of_error_has_its_code_and_place() {
    let validator = profile().validator();
    for (document, pointer, code) in [
        (json!({"enabled": true}), "/points", "required"),
        (json!({"points": 1}), "/enabled", "required"),
        (json!({"enabled": true, "points": 1, "x~/": 1}), "/x~0~1", "unknown_field"),
        (json!({"enabled": true, "points": "1"}), "/points", "wrong_type"),
        (json!({"enabled": null, "points": 1}), "/enabled", "wrong_type"),
        (json!({"enabled": true, "points": 1.5}), "/points", "wrong_type"),
        (json!({"enabled": true, "points": -1}), "/points", "too_small"),
        (json!({"enabled": true, "points": 11}), "/points", "too_large"),
        (json!({"enabled": true, "points": 1, "nick": "a"}), "/nick", "too_short"),
        (json!({"enabled": true, "points": 1, "nick": "abcde"}), "/nick", "too_long"),
        (json!({"enabled": true, "points": 1, "nick": "AB"}), "/nick", "pattern_mismatch"),
        (json!({"enabled": true, "points": 1, "level": "x"}), "/level", "not_accepted"),
        (json!({"enabled": true, "points": 1, "only": "y"}), "/only", "not_accepted"),
        (json!({"enabled": true, "points": 1, "at": "2026"}), "/at", "format_mismatch"),
        (json!({"enabled": true, "points": 1, "tags": []}), "/tags", "too_few"),
        (json!({"enabled": true, "points": 1, "tags": ["a", "b", "c"]}), "/tags", "too_many"),
        (json!({"enabled": true, "points": 1, "tags": ["a", "a"]}), "/tags", "repeated"),
        (json!({"enabled": true, "points": 1, "tags": ["a", 1]}), "/tags/1", "wrong_type"),
        (json!({"enabled": true, "points": 1, "home": {}}), "/home/city", "required"),
        (json!([]), "", "wrong_type"),
    ] {
        let found = places(validator.check(&document).expect_err("invalid"));
        assert_eq!(found, [(pointer.to_owned(), code.to_owned())], "{document}");
    }
    assert_eq!(validator.check(&json!({"enabled": true, "points": 1.0, "level": 3.0})), Ok(()));
}

#[test]
fn no_error_quotes_what_was_sent() {
    let validator = profile().validator();
    let secret = "Sécret77";
    let document = json!({
        "enabled": secret, "points": secret, "nick": secret, "level": secret, "only": secret,
        "at": secret, "tags": [secret, secret, secret], "home": secret,
    });
    let errors = validator.check(&document).expect_err("invalid");
    assert!(errors.len() >= 8, "{errors:?}");
    assert!(!format!("{errors:?}").contains("cret77"), "{errors:?}");
    // A long key may be a value in disguise: then it is the place that is named.
    let errors = validator.check(&json!({"enabled": true, "points": 1, "k".repeat(65): 1}));
    assert_eq!(places(errors.expect_err("invalid")), [(String::new(), "unknown_field".to_owned())]);
}

#[test]
fn errors_are_cut_however_many_there_are() {
    let validator = profile().validator();
    let unknown: Value = (0..100).map(|at| (format!("x{at}"), json!(1))).collect();
    assert_eq!(validator.check(&unknown).expect_err("invalid").len(), ERRORS_MAX);
    let tags: Vec<usize> = (0..10_000).collect();
    let errors = validator.check(&json!({"enabled": true, "points": 1, "tags": tags}));
    assert_eq!(errors.expect_err("invalid").len(), ERRORS_MAX);
}

#[test]
fn a_default_must_be_valid_at_its_place_and_complete_in_itself() {
    let schema = profile();
    let missing = Completeness::Incomplete { missing: vec!["points".to_owned()] };
    assert_eq!(schema.check_defaults(&json!({})), Ok(missing));
    assert_eq!(schema.check_defaults(&json!({"points": 0})), Ok(Completeness::Complete));
    for (defaults, pointer, code) in [
        (json!({"points": -1}), "/points", "too_small"),
        (json!({"other": 1}), "/other", "unknown_field"),
        (json!({"home": {}}), "/home/city", "required"),
        (json!({"enabled": 1}), "/enabled", "wrong_type"),
        (json!(null), "", "wrong_type"),
    ] {
        let found = places(schema.check_defaults(&defaults).expect_err("invalid"));
        assert_eq!(found, [(pointer.to_owned(), code.to_owned())], "{defaults}");
    }
}

#[test]
fn what_is_required_is_filled_from_the_defaults_and_nothing_else_is() {
    let schema = profile();
    let defaults =
        map(json!({"points": 5, "nick": "abc", "home": {"city": "Bern", "zip": "3000"}}));
    let mut data = map(json!({"home": {}}));
    fill(&schema, &mut data, &defaults);
    assert_eq!(data, map(json!({"enabled": true, "points": 5, "home": {"city": "Bern"}})));
    let mut data = map(json!({"enabled": false, "points": 1}));
    fill(&schema, &mut data, &defaults);
    assert_eq!(data, map(json!({"enabled": false, "points": 1})));
}

#[test]
fn a_record_begins_with_all_defaults_or_not_at_all() {
    let schema = profile();
    assert_eq!(initial(&schema, &map(json!({"nick": "abc"}))), None);
    let begun = initial(&schema, &map(json!({"points": 1, "nick": "abc"})));
    assert_eq!(begun, Some(map(json!({"enabled": true, "points": 1, "nick": "abc"}))));
    let off = initial(&schema, &map(json!({"points": 1, "enabled": false})));
    assert_eq!(off, Some(map(json!({"enabled": false, "points": 1}))));
}
