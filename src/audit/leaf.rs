//! The bytes of a stored entry that the tree is made of.
//!
//! They are its JSON by RFC 8785 (JCS), with every scalar but `null`, `true` and `false` written as
//! a text: numbers as JSON would lose the difference between 1 and 1.0 and everything above 2^53.
//! A text that could be taken for another type gets `s:` in front, so what was stored can be read
//! back from the bytes: two entries have the same bytes only when they hold the same values.
//! Not kept are the order of fields, which the database does not promise, the width of an integer
//! and the payload of a NaN, which no reader of ours can see.
//!
//! `docs/trail.md` says the same for those who check our proofs. Neither may ever change: an old
//! leaf would no longer match its entry. A new form needs a new log.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bson::error::Result;
use bson::{Bson, RawArray, RawBsonRef, RawDocument, doc};
use serde_json::Value;

use super::tree::{self, Hash};
use crate::kernel::time::{Timestamp, rfc3339};

/// Where RFC 3339 begins and ends: the years 0000 to 9999, in milliseconds since 1970.
const TIME_MIN_MS: i64 = -62_167_219_200_000;
const TIME_MAX_MS: i64 = 253_402_300_799_999;
/// A digit stands for any digit.
const TIME_SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
const OBJECT_ID_CHARS: usize = 24;

/// The canonical JSON of an entry as it is stored; an error where that is no BSON.
pub fn canonical(entry: &RawDocument) -> Result<String> {
    let mut out = Vec::new();
    document(entry, &mut out)?;
    Ok(String::from_utf8(out).expect("made of texts"))
}

/// The leaf hash of an entry in its canonical form.
pub fn hash(canonical: &str) -> Hash {
    tree::leaf_hash(canonical.as_bytes())
}

/// Whether a text is an object in canonical form. What is not could show a reader something else
/// than what was hashed, by naming a field twice for instance.
pub fn is_canonical(text: &str) -> bool {
    let Ok(value @ Value::Object(_)) = serde_json::from_str(text) else { return false };
    let mut out = Vec::new();
    rewrite(&value, &mut out).is_some() && out == text.as_bytes()
}

fn document(fields: &RawDocument, out: &mut Vec<u8>) -> Result<()> {
    let mut fields = fields.iter().collect::<Result<Vec<_>>>()?;
    fields.sort_unstable_by(|(a, _), (b, _)| utf16_order(a.as_str(), b.as_str()));
    out.push(b'{');
    for (at, (name, field)) in fields.into_iter().enumerate() {
        separate(at, out);
        quote(name.as_str(), out);
        out.push(b':');
        value(field, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn array(elements: &RawArray, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'[');
    for (at, element) in elements.into_iter().enumerate() {
        separate(at, out);
        value(element?, out)?;
    }
    out.push(b']');
    Ok(())
}

fn value(value: RawBsonRef<'_>, out: &mut Vec<u8>) -> Result<()> {
    match value {
        RawBsonRef::Document(fields) => document(fields, out)?,
        RawBsonRef::Array(elements) => array(elements, out)?,
        RawBsonRef::Null => out.extend_from_slice(b"null"),
        RawBsonRef::Boolean(true) => out.extend_from_slice(b"true"),
        RawBsonRef::Boolean(false) => out.extend_from_slice(b"false"),
        RawBsonRef::String(text) if !is_mistakable(text) => quote(text, out),
        scalar => quote(&tagged(scalar)?, out),
    }
    Ok(())
}

fn tagged(scalar: RawBsonRef<'_>) -> Result<String> {
    Ok(match scalar {
        RawBsonRef::String(text) => format!("s:{text}"),
        RawBsonRef::Int32(number) => format!("i:{number}"),
        RawBsonRef::Int64(number) => format!("i:{number}"),
        RawBsonRef::Double(number) => format!("d:{}", ecmascript(number)),
        RawBsonRef::ObjectId(id) => id.to_hex(),
        RawBsonRef::DateTime(at) => time(at),
        other => as_bson(&other.try_into()?),
    })
}

/// Whether a text looks like something that is not a text.
fn is_mistakable(text: &str) -> bool {
    matches!(text.as_bytes(), [b'a'..=b'z', b':', ..])
        || is_object_id(text.as_bytes())
        || is_time(text.as_bytes())
}

fn is_object_id(text: &[u8]) -> bool {
    text.len() == OBJECT_ID_CHARS && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_time(text: &[u8]) -> bool {
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    text.len() == TIME_SHAPE.len() && text.iter().zip(TIME_SHAPE).all(fits)
}

fn time(at: Timestamp) -> String {
    match at.timestamp_millis() {
        TIME_MIN_MS..=TIME_MAX_MS => rfc3339(at),
        millis => format!("t:{millis}"),
    }
}

/// Types that no entry has today: their bytes in BSON, with the number of the type.
fn as_bson(value: &Bson) -> String {
    // Four bytes of length, one of type, `v\0`, the value, `\0`.
    let bytes = doc! { "v": value.clone() }.to_vec().expect("what was stored has a form in BSON");
    format!("x:{:02x}:{}", bytes[4], STANDARD.encode(&bytes[7..bytes.len() - 1]))
}

/// A number as ECMAScript prints it, but with the sign of a negative zero.
fn ecmascript(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}Infinity");
    }
    let shortest = shortest(number.abs());
    let (mantissa, exponent) = shortest.split_once('e').expect("`{:e}` writes an exponent");
    let exponent = exponent.parse().expect("at most three digits");
    format!("{sign}{}", placed(&mantissa.replace('.', ""), exponent))
}

/// As few digits as lead back to the number. Of two texts that are equally near `{:e}` takes the
/// larger, ECMAScript the even one; only the rounding to a fixed count of digits does the same. At
/// a power of two, where the numbers below are nearer, that may lead to another number.
fn shortest(number: f64) -> String {
    let text = format!("{number:e}");
    let digits = text.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    let even = format!("{number:.*e}", digits - 1);
    if even.parse() == Ok(number) { even } else { text }
}

/// `Number::toString` of ECMA-262: digits, and the power of ten of the first of them.
fn placed(digits: &str, exponent: i32) -> String {
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let count = i32::try_from(digits.len()).expect("at most 17 digits");
    let point = exponent + 1;
    match point {
        1..=21 if count <= point => format!("{digits}{}", zeros(point - count)),
        1..=21 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).expect("positive"));
            format!("{whole}.{fraction}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{exponent:+}")
        }
    }
}

/// JCS sorts names by UTF-16 code units. It differs from the order of UTF-8 only above U+FFFF.
fn utf16_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

fn separate(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

/// `serde_json` escapes exactly what JCS asks for, and in the same way.
fn quote(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes every text");
}

/// `None` for a number: the canonical form has none.
fn rewrite(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Number(_) => return None,
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by(|(a, _), (b, _)| utf16_order(a, b));
            out.push(b'{');
            for (at, (name, field)) in fields.into_iter().enumerate() {
                separate(at, out);
                quote(name, out);
                out.push(b':');
                rewrite(field, out)?;
            }
            out.push(b'}');
        }
        Value::Array(elements) => {
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                separate(at, out);
                rewrite(element, out)?;
            }
            out.push(b']');
        }
        Value::String(text) => quote(text, out),
        Value::Null | Value::Bool(_) => out.extend_from_slice(value.to_string().as_bytes()),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::oid::ObjectId;
    use bson::spec::BinarySubtype;
    use bson::{Binary, Decimal128, Document, RawDocumentBuf, Regex};
    use proptest::prelude::*;

    fn canonical_of(entry: &Document) -> String {
        canonical(&RawDocumentBuf::try_from(entry).unwrap()).unwrap()
    }

    fn of(value: impl Into<Bson>) -> String {
        let text = canonical_of(&doc! { "v": value.into() });
        text.strip_prefix("{\"v\":").unwrap().strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn each_type_has_a_form_of_its_own() {
        let id = ObjectId::parse_str("65f0a1b2c3d4e5f60718293a").unwrap();
        let at = Timestamp::from_millis(1_764_151_112_000);
        for (value, form) in [
            (Bson::Null, "null"),
            (true.into(), "true"),
            (7_i32.into(), "\"i:7\""),
            (i64::MIN.into(), "\"i:-9223372036854775808\""),
            (7.0.into(), "\"d:7\""),
            ("7".into(), "\"7\""),
            (id.into(), "\"65f0a1b2c3d4e5f60718293a\""),
            (at.into(), "\"2025-11-26T09:58:32.000Z\""),
            (Timestamp::from_millis(TIME_MIN_MS).into(), "\"0000-01-01T00:00:00.000Z\""),
            (Timestamp::from_millis(TIME_MAX_MS).into(), "\"9999-12-31T23:59:59.999Z\""),
            (Timestamp::from_millis(TIME_MAX_MS + 1).into(), "\"t:253402300800000\""),
            (Timestamp::MIN.into(), "\"t:-9223372036854775808\""),
            (vec![Bson::Null, 1.into()].into(), "[null,\"i:1\"]"),
            (doc! { "b": {}, "a": [] }.into(), "{\"a\":[],\"b\":{}}"),
            (Bson::MinKey, "\"x:ff:\""),
            (Bson::Undefined, "\"x:06:\""),
            (
                Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2] }.into(),
                "\"x:05:AgAAAAABAg==\"",
            ),
            (Decimal128::from_bytes([0; 16]).into(), "\"x:13:AAAAAAAAAAAAAAAAAAAAAA==\""),
        ] {
            assert_eq!(of(value.clone()), form, "{value:?}");
        }
    }

    #[test]
    fn a_text_that_looks_like_another_type_says_that_it_is_a_text() {
        for text in [
            "i:7",
            "d:7",
            "s:",
            "z: last",
            "65f0a1b2c3d4e5f60718293a",
            "2026-11-26T09:58:32.000Z",
            "9999-99-99T99:99:99.999Z",
        ] {
            assert_eq!(of(text), format!("\"s:{text}\""));
        }
        for text in [
            "",
            "i",
            "user:65f0a1b2c3d4e5f60718293a",
            "I:7",
            "é:",
            "65F0A1B2C3D4E5F60718293A",
            "65f0a1b2c3d4e5f60718293",
            "2026-11-26T09:58:32Z",
            "2026-11-26T09:58:32.000z",
        ] {
            assert_eq!(of(text), format!("\"{text}\""));
        }
    }

    #[test]
    fn doubles_are_written_as_ecmascript_writes_them() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (1.5, "1.5"),
            (-12.25, "-12.25"),
            (100.0, "100"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1.25e25, "1.25e+25"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (1.5e-7, "1.5e-7"),
            // From the appendix of RFC 8785.
            (f64::from_bits(0x0000_0000_0000_0001), "5e-324"),
            (f64::from_bits(0x7fef_ffff_ffff_ffff), "1.7976931348623157e+308"),
            (f64::from_bits(0x4340_0000_0000_0000), "9007199254740992"),
            (f64::from_bits(0x4430_0000_0000_0000), "295147905179352830000"),
            (f64::from_bits(0x44b5_2d02_c7e1_4af5), "9.999999999999997e+22"),
            (f64::from_bits(0x44b5_2d02_c7e1_4af6), "1e+23"),
            (f64::from_bits(0x444b_1ae4_d6e2_ef4e), "999999999999999700000"),
            (f64::from_bits(0x3eb0_c6f7_a0b5_ed8c), "9.999999999999997e-7"),
            (f64::from_bits(0x41b3_de43_5555_5553), "333333333.3333332"),
            (f64::from_bits(0xbecb_f647_612f_3696), "-0.0000033333333333333333"),
            (f64::from_bits(0x4314_3ff3_c1cb_0959), "1424953923781206.2"),
            // Halves of what is below them: the nearest 16 digits lead to the number below.
            (f64::from_bits(0x0060_0000_0000_0000), "7.120236347223045e-307"),
        ] {
            assert_eq!(ecmascript(number), text, "{number:e}");
        }
    }

    #[test]
    fn names_are_sorted_by_utf16_and_escaped_as_rfc_8785_shows() {
        let names =
            ["\u{20ac}", "\r", "\u{fb33}", "1", "\u{1f600}", "\u{80}", "\u{f6}"].map(str::to_owned);
        let entry: Document = names.into_iter().map(|name| (name, Bson::Null)).collect();
        let sorted = "{\"\\r\":null,\"1\":null,\"\u{80}\":null,\"\u{f6}\":null,\"\u{20ac}\":null,\
                      \"\u{1f600}\":null,\"\u{fb33}\":null}";
        assert_eq!(canonical_of(&entry), sorted);

        let text = "\u{20ac}$\u{f}\nA'B\"\\\\\"/\u{7f}\u{8}\u{c}\t";
        assert_eq!(of(text), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\\b\\f\\t\"");
    }

    #[test]
    fn only_the_canonical_form_passes_for_one() {
        assert!(is_canonical("{\"a\":[\"i:1\",null,true],\"b\":{}}"));
        for wrong in [
            "",
            "[]",
            "\"a\"",
            "{\"a\":1}",
            "{\"a\":null} ",
            "{\"a\": null}",
            "{\"b\":null,\"a\":null}",
            "{\"a\":null,\"a\":null}",
            "{\"\\u0061\":null}",
            "{\"a\":\"\\/\"}",
        ] {
            assert!(!is_canonical(wrong), "{wrong}");
        }
    }

    /// What the canonical form keeps: no width of integers, one NaN. Documents compare by their
    /// fields in any order.
    #[derive(Debug, PartialEq)]
    enum Kept {
        Fields(std::collections::BTreeMap<String, Kept>),
        Elements(Vec<Kept>),
        Integer(i64),
        Double(Option<u64>),
        Scalar(Bson),
    }

    fn kept(value: &Bson) -> Kept {
        match value {
            Bson::Document(fields) => {
                Kept::Fields(fields.iter().map(|(name, v)| (name.clone(), kept(v))).collect())
            }
            Bson::Array(elements) => Kept::Elements(elements.iter().map(kept).collect()),
            Bson::Int32(number) => Kept::Integer((*number).into()),
            Bson::Int64(number) => Kept::Integer(*number),
            Bson::Double(number) => Kept::Double((!number.is_nan()).then(|| number.to_bits())),
            other => Kept::Scalar(other.clone()),
        }
    }

    /// The inverse of the canonical form. That there is one is why it is injective.
    fn read(value: &Value) -> Bson {
        match value {
            Value::Null => Bson::Null,
            Value::Bool(it) => Bson::Boolean(*it),
            Value::Number(_) => unreachable!("no numbers"),
            Value::Array(elements) => Bson::Array(elements.iter().map(read).collect()),
            Value::Object(fields) => {
                Bson::Document(fields.iter().map(|(n, v)| (n.clone(), read(v))).collect())
            }
            Value::String(text) => read_text(text),
        }
    }

    fn read_text(text: &str) -> Bson {
        let time = || crate::kernel::time::parse_rfc3339(text).unwrap().into();
        match text.split_at_checked(2) {
            Some(("s:", text)) => text.into(),
            Some(("i:", number)) => number.parse::<i64>().unwrap().into(),
            Some(("d:", number)) => number.parse::<f64>().unwrap().into(),
            Some(("t:", millis)) => Timestamp::from_millis(millis.parse().unwrap()).into(),
            Some(("x:", rest)) => {
                let (kind, bytes) = rest.split_once(':').unwrap();
                let bytes = STANDARD.decode(bytes).unwrap();
                let length = u32::try_from(bytes.len() + 8).unwrap().to_le_bytes();
                let kind = [u8::from_str_radix(kind, 16).unwrap()];
                let all = [&length, &kind[..], b"v\0", &bytes, b"\0"].concat();
                Document::from_reader(all.as_slice()).unwrap().remove("v").unwrap()
            }
            _ if is_object_id(text.as_bytes()) => ObjectId::parse_str(text).unwrap().into(),
            _ if is_time(text.as_bytes()) => time(),
            _ => text.into(),
        }
    }

    fn scalars() -> impl Strategy<Value = Bson> {
        let texts = prop_oneof![
            "\\PC{0,6}",
            "[a-z]:\\PC{0,4}",
            "[isdtx]:-?[0-9]{1,3}",
            "[0-9a-f]{24}",
            "[0-9]{4}-1[0-2]-[0-2][0-9]T1[0-9]:00:00.[0-9]{3}Z",
            "[\\x00-\\x1f\"\\\\]{0,4}",
        ];
        prop_oneof![
            Just(Bson::Null),
            any::<bool>().prop_map(Bson::from),
            texts.prop_map(Bson::from),
            any::<i32>().prop_map(Bson::from),
            any::<i64>().prop_map(Bson::from),
            (-9_i32..9).prop_map(Bson::from),
            (-9_i32..9).prop_map(|number| f64::from(number).into()),
            (-9_i32..9).prop_map(|number| number.to_string().into()),
            any::<u64>().prop_map(|bits| f64::from_bits(bits).into()),
            any::<[u8; 12]>().prop_map(|bytes| ObjectId::from_bytes(bytes).into()),
            any::<i64>().prop_map(|millis| Timestamp::from_millis(millis).into()),
            (TIME_MIN_MS..=TIME_MAX_MS).prop_map(|ms| Timestamp::from_millis(ms).into()),
            any::<[u8; 16]>().prop_map(|bytes| Decimal128::from_bytes(bytes).into()),
            any::<Vec<u8>>()
                .prop_map(|bytes| Binary { subtype: BinarySubtype::Generic, bytes }.into()),
            "[a-z:]{0,3}".prop_map(|text| Bson::Symbol(text.clone() + ":")),
            ("[a-z:]{0,3}", "[imx]?").prop_map(|(pattern, options)| {
                Regex { pattern: pattern.try_into().unwrap(), options: options.try_into().unwrap() }
                    .into()
            }),
            Just(Bson::MaxKey),
        ]
    }

    fn documents() -> impl Strategy<Value = Document> {
        let name = || prop_oneof!["[a-c]{1,2}", "\\PC{0,3}", "[\u{e000}-\u{10ffff}]"];
        let value = scalars().prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Bson::from),
                proptest::collection::vec((name(), inner), 0..4)
                    .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
            ]
        });
        proptest::collection::vec((name(), value), 0..4)
            .prop_map(|fields| fields.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_was_stored_can_be_read_back_from_its_bytes(entry in documents()) {
            let text = canonical_of(&entry);
            prop_assert!(is_canonical(&text), "{}", text);
            let back = read(&serde_json::from_str(&text).unwrap());
            prop_assert_eq!(kept(&back), kept(&entry.into()), "{}", text);
        }

        #[test]
        fn different_values_have_different_bytes(one in scalars(), other in scalars()) {
            let same = kept(&one) == kept(&other);
            prop_assert_eq!(of(one) == of(other), same);
        }
    }
}
