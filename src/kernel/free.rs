//! Free-form fields of apps (`app_profile`, `metadata`, …): from JSON to what is stored, and back.
//!
//! A client's keys become keys of a document, so they are checked here and nowhere else: none can
//! be an operator (`$…`) or a path (`a.b`). Extended JSON is never read as such: `{"$oid": …}` is
//! a refused key, not an id. Integers are always 64 bits wide, so that a value's type does not
//! change with its size, and a change from 1 to 2^40 is a change of the value alone.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bson::{Bson, Document};
use serde_json::{Map, Number, Value};
use unicode_normalization::UnicodeNormalization;

use super::fault::FieldError;
use super::time::rfc3339;

const KEY_CHARS_MAX: usize = 64;
/// More would not help whoever reads them.
const ERRORS_MAX: usize = 20;
/// What every value counts towards `Rules::bytes`; keys and texts count their length besides.
const VALUE_BYTES: usize = 8;
/// 2^63. Beyond it the JSON parser turns integers into rounded fractions, which would change what
/// was sent without a word; so a number that large is refused however it is written.
const INTEGER_END: f64 = 9_223_372_036_854_775_808.0;

type Accepted = Cow<'static, str>;

/// How much a free-form field may hold. The field itself is a node and the first level.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub depth: usize,
    pub nodes: usize,
    pub bytes: usize,
}

impl Rules {
    pub const CUSTOM_FIELDS: Self = Self { depth: 5, nodes: 256, bytes: 16 * 1024 };
}

/// `pointer` is where `value` stands in the body; errors point from there.
pub fn from_json(value: &Value, pointer: &str, rules: &Rules) -> Result<Bson, Vec<FieldError>> {
    let mut reading = Reading {
        rules: *rules,
        root: pointer,
        nodes: 0,
        bytes: 0,
        errors: Vec::new(),
        is_stopped: false,
    };
    let bson = reading.value(value, pointer, 1);
    if reading.errors.is_empty() { Ok(bson) } else { Err(reading.errors) }
}

/// For answers: an `ObjectId` as its digits, a moment as RFC 3339. What JSON has no word for and
/// no free-form field can hold becomes text or null, since reading a record must not fail.
pub fn to_json(value: &Bson) -> Value {
    match value {
        Bson::Double(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Bson::Int32(number) => Value::from(*number),
        Bson::Int64(number) => Value::from(*number),
        Bson::Boolean(truth) => Value::Bool(*truth),
        Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => {
            Value::String(text.clone())
        }
        Bson::Array(items) => items.iter().map(to_json).collect(),
        Bson::Document(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
        Bson::ObjectId(id) => Value::String(id.to_hex()),
        Bson::DateTime(at) => Value::String(rfc3339(*at)),
        Bson::Decimal128(number) => Value::String(number.to_string()),
        Bson::Binary(binary) => Value::String(STANDARD.encode(&binary.bytes)),
        _ => Value::Null,
    }
}

/// One walk over a value, with what it has counted so far.
struct Reading<'a> {
    rules: Rules,
    root: &'a str,
    nodes: usize,
    bytes: usize,
    errors: Vec<FieldError>,
    is_stopped: bool,
}

impl Reading<'_> {
    /// What it returns counts only if no error was noted.
    fn value(&mut self, value: &Value, pointer: &str, depth: usize) -> Bson {
        self.nodes += 1;
        if !self.spend(VALUE_BYTES) {
            return Bson::Null;
        }
        match value {
            Value::Null => Bson::Null,
            Value::Bool(truth) => Bson::Boolean(*truth),
            Value::Number(number) => self.number(number, pointer),
            Value::String(text) => self.text(text, pointer),
            Value::Array(_) | Value::Object(_) if depth > self.rules.depth => {
                let accepted = format!("at most {} levels deep", self.rules.depth);
                self.refuse(pointer, "too_deep", accepted);
                Bson::Null
            }
            Value::Array(items) => self.array(items, pointer, depth),
            Value::Object(fields) => self.object(fields, pointer, depth),
        }
    }

    /// Counts towards the totals. Going over one is noted here, at that moment: whoever is told
    /// `false` may then leave the rest out.
    fn spend(&mut self, bytes: usize) -> bool {
        if self.is_over() {
            return false;
        }
        self.bytes += bytes;
        let Rules { nodes, bytes, .. } = self.rules;
        if self.nodes > nodes {
            self.stop("too_many", format!("at most {nodes} values in all"));
        } else if self.bytes > bytes {
            self.stop("too_large", format!("at most {bytes} bytes in all"));
        }
        !self.is_over()
    }

    fn number(&mut self, number: &Number, pointer: &str) -> Bson {
        if let Some(integer) = number.as_i64() {
            return Bson::Int64(integer);
        }
        match number.as_f64() {
            Some(fraction) if fraction.abs() < INTEGER_END => Bson::Double(fraction),
            _ => {
                self.refuse(pointer, "out_of_range", "a number between -2^63 and 2^63-1");
                Bson::Null
            }
        }
    }

    fn text(&mut self, text: &str, pointer: &str) -> Bson {
        if text.contains('\0') {
            self.refuse(pointer, "invalid_characters", "text without NUL");
        }
        let text: String = text.nfc().collect();
        self.spend(text.len());
        Bson::String(text)
    }

    fn array(&mut self, items: &[Value], pointer: &str, depth: usize) -> Bson {
        let mut array = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if self.is_over() {
                break;
            }
            array.push(self.value(item, &format!("{pointer}/{at}"), depth + 1));
        }
        Bson::Array(array)
    }

    fn object(&mut self, fields: &Map<String, Value>, pointer: &str, depth: usize) -> Bson {
        let mut document = Document::new();
        for (key, value) in fields {
            if self.is_over() {
                break;
            }
            let Some(key) = self.key(key, pointer) else {
                continue;
            };
            let below = format!("{pointer}/{}", escaped(&key));
            let value = self.value(value, &below, depth + 1);
            if document.insert(key, value).is_some() {
                self.refuse(&below, "duplicate", "each key once, in whichever Unicode form");
            }
        }
        Bson::Document(document)
    }

    /// The key as it is stored. A refused one is named only if it is short and can be printed.
    fn key(&mut self, key: &str, pointer: &str) -> Option<String> {
        let key: String = key.nfc().collect();
        self.spend(key.len());
        let is_readable = key.chars().count() <= KEY_CHARS_MAX && !key.contains(char::is_control);
        if is_readable && !key.is_empty() && !key.starts_with('$') && !key.contains('.') {
            return Some(key);
        }
        let place =
            if is_readable { format!("{pointer}/{}", escaped(&key)) } else { pointer.to_owned() };
        self.refuse(
            &place,
            "invalid_key",
            "keys of 1 to 64 characters, without a leading $, dots and control characters",
        );
        None
    }

    fn refuse(&mut self, pointer: &str, code: &'static str, accepted: impl Into<Accepted>) {
        self.errors.push(FieldError::new(pointer, code, accepted));
    }

    fn stop(&mut self, code: &'static str, accepted: String) {
        self.refuse(self.root, code, accepted);
        self.is_stopped = true;
    }

    /// A total is spent, or so much is wrong that naming more helps nobody.
    fn is_over(&self) -> bool {
        self.is_stopped || self.errors.len() >= ERRORS_MAX
    }
}

/// One step of a JSON Pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::oid::ObjectId;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<Bson, Vec<FieldError>> {
        from_json(value, "/f", &Rules::CUSTOM_FIELDS)
    }

    fn refused(value: &Value) -> Vec<(String, String)> {
        let errors = read(value).expect_err("refused");
        errors.into_iter().map(|error| (error.pointer, error.code.into_owned())).collect()
    }

    #[test]
    fn integers_are_wide_fractions_are_doubles_and_text_is_composed() {
        let stored = read(&json!({"a": 1, "b": 1.5, "c": "e\u{301}", "e\u{301}": [null, true]}));
        let expected = bson::doc! {"a": 1_i64, "b": 1.5, "c": "\u{e9}", "\u{e9}": [null, true]};
        assert_eq!(stored, Ok(Bson::Document(expected)));
    }

    #[test]
    fn no_key_can_be_an_operator_or_a_path() {
        let long = "x".repeat(65);
        for (value, place) in [
            (json!({"$where": "1"}), "/f/$where"),
            (json!({"id": {"$oid": "0123456789abcdef01234567"}}), "/f/id/$oid"),
            (json!({"a.b": 1}), "/f/a.b"),
            (json!({"": 1}), "/f/"),
            (json!({"a/~": [{"$x": 1}]}), "/f/a~1~0/0/$x"),
            (json!({"a\0": 1}), "/f"),
            (json!({"a\n": 1}), "/f"),
            (json!({&long: 1}), "/f"),
        ] {
            assert_eq!(refused(&value), [(place.to_owned(), "invalid_key".to_owned())], "{value}");
        }
    }

    #[test]
    fn values_that_cannot_be_stored_are_each_named() {
        let value = json!({"a": u64::MAX, "b": "x\0", "c": 1, "e\u{301}": 1, "\u{e9}": 2});
        let mut named = refused(&value);
        named.sort();
        let expected =
            [("/f/a", "out_of_range"), ("/f/b", "invalid_characters"), ("/f/\u{e9}", "duplicate")];
        assert_eq!(named, expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    }

    #[test]
    fn depth_number_and_size_have_an_end() {
        let nested = |levels| (1..levels).fold(json!([]), |inner, _| json!([inner]));
        assert!(read(&nested(5)).is_ok());
        assert_eq!(refused(&nested(6)), [("/f/0/0/0/0/0".to_owned(), "too_deep".to_owned())]);
        assert!(read(&json!(vec![0; 255])).is_ok());
        assert_eq!(refused(&json!(vec![0; 100_000])), [("/f".to_owned(), "too_many".to_owned())]);
        assert!(read(&json!("x".repeat(16 * 1024 - 8))).is_ok());
        let large = json!({"a": "x".repeat(16 * 1024)});
        assert_eq!(refused(&large), [("/f".to_owned(), "too_large".to_owned())]);
        assert_eq!(refused(&json!(vec![u64::MAX; 200])).len(), ERRORS_MAX);
    }

    #[test]
    fn a_key_that_goes_over_the_limit_refuses_the_whole_value() {
        let rules = Rules { bytes: 20, ..Rules::CUSTOM_FIELDS };
        assert!(from_json(&json!({"abcd": 1}), "/f", &rules).is_ok());
        let errors = from_json(&json!({"abcde": 1}), "/f", &rules).expect_err("21 bytes");
        assert_eq!((errors.len(), &*errors[0].code), (1, "too_large"));
        // In NFC this letter takes six bytes instead of three.
        let grows = json!("\u{fb2c}\u{fb2c}\u{fb2c}");
        assert!(from_json(&grows, "/f", &rules).is_err());
    }

    #[test]
    fn an_integer_beyond_64_bits_is_refused_and_not_rounded() {
        for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e30"]
        {
            let value: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(refused(&value), [("/f".to_owned(), "out_of_range".to_owned())], "{text}");
        }
        let ends = json!([i64::MIN, i64::MAX]);
        assert_eq!(read(&ends), Ok(bson::bson!([i64::MIN, i64::MAX])));
    }

    #[test]
    fn what_json_has_no_word_for_is_still_answered() {
        let id = ObjectId::from_bytes([1; 12]);
        for (stored, answered) in [
            (Bson::ObjectId(id), json!("010101010101010101010101")),
            (Bson::DateTime(bson::DateTime::from_millis(0)), json!("1970-01-01T00:00:00.000Z")),
            (Bson::Int32(-3), json!(-3)),
            (Bson::Double(f64::NAN), json!(null)),
            (Bson::MinKey, json!(null)),
        ] {
            assert_eq!(to_json(&stored), answered);
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e15..1e15).prop_map(Value::from),
            "[a-zé$.~/ ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-zé~/ $]{1,6}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_answered_as_it_was_sent(value in json_value()) {
            match read(&value) {
                Ok(stored) => prop_assert_eq!(to_json(&stored), value),
                Err(errors) => prop_assert!(errors.iter().all(|e| e.code == "invalid_key")),
            }
        }

        #[test]
        fn under_any_limit_a_value_is_taken_whole_or_not_at_all(
            value in json_value(), depth in 1usize..5, nodes in 1usize..20, bytes in 8usize..200,
        ) {
            let rules = Rules { depth, nodes, bytes };
            match from_json(&value, "", &rules) {
                Ok(stored) => prop_assert_eq!(to_json(&stored), value),
                Err(errors) => prop_assert!((1..=ERRORS_MAX + 1).contains(&errors.len())),
            }
        }
    }
}
