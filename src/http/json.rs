//! Reading a JSON body: bounded, and with errors that name the field.

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::BytesMut;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::incoming::is_late;
use super::strict::{Strict, Unique};
use crate::kernel::fault::{Code, Fault};

pub const BODY_BYTES_MAX: usize = 64 * 1024;
pub const DEPTH_MAX: usize = 8;

/// The body as a value: within its bounds and well-formed.
pub async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    depth_max: usize,
) -> Result<Value, Fault> {
    check_stated(request)?;
    check_type(request)?;
    parsed(&whole(payload).await?, depth_max)
}

/// Where none is expected: `None` where nothing is sent, however it is sent.
pub async fn read_if_sent(
    request: &HttpRequest,
    payload: &mut Payload,
    depth_max: usize,
) -> Result<Option<Value>, Fault> {
    check_stated(request)?;
    let body = whole(payload).await?;
    if body.is_empty() {
        return Ok(None);
    }
    check_type(request)?;
    parsed(&body, depth_max).map(Some)
}

async fn whole(payload: &mut Payload) -> Result<BytesMut, Fault> {
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(|error| broken_off(&error))?;
        if body.len() + part.len() > BODY_BYTES_MAX {
            return Err(Fault::of(Code::BodyTooLarge));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn parsed(body: &[u8], depth_max: usize) -> Result<Value, Fault> {
    check_depth(body, depth_max)?;
    let read = serde_json::from_slice(body).map(|Unique(value)| value);
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Data => "A field stands twice",
            _ => "The body is no JSON",
        };
        malformed(format!("{what}: see line {line}, column {column}."))
    })
}

fn broken_off(error: &PayloadError) -> Fault {
    if is_late(error) {
        return Fault::of(Code::RequestTimeout);
    }
    malformed("The body ended before it was complete.")
}

fn check_stated(request: &HttpRequest) -> Result<(), Fault> {
    let stated = header_text(request, header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    let too_large = stated.is_some_and(|bytes: u64| bytes > BODY_BYTES_MAX as u64);
    if too_large { Err(Fault::of(Code::BodyTooLarge)) } else { Ok(()) }
}

fn check_type(request: &HttpRequest) -> Result<(), Fault> {
    if is_json(request) { Ok(()) } else { Err(Fault::of(Code::UnsupportedMediaType)) }
}

fn header_text(request: &HttpRequest, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// Said once: of two types, whoever stands between the client and us may have believed the other.
fn is_json(request: &HttpRequest) -> bool {
    let mut types = request.headers().get_all(header::CONTENT_TYPE);
    let (Some(content_type), None) = (types.next(), types.next()) else { return false };
    let content_type = content_type.to_str().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "application/merge-patch+json")
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Code::MalformedRequest, detail)
}

/// Before parsing, so that a deep body costs one pass over its bytes.
fn check_depth(body: &[u8], depth_max: usize) -> Result<(), Fault> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            let accepted = format!("at most {depth_max} levels of objects and arrays");
            return Err(Fault::invalid("", "too_deep", accepted));
        }
    }
    Ok(())
}

/// The value as `T`. What does not fit is named by its JSON Pointer, and never repeated.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(Strict(value)).map_err(|error| {
        let message = error.inner().to_string();
        let (code, detail, field) = explain(&message);
        let mut pointer = pointer(error.path());
        if let Some(field) = field
            && !pointer.ends_with(&format!("/{}", escape(field)))
        {
            pointer = format!("{pointer}/{}", escape(field));
        }
        Fault::invalid(pointer, code, detail)
    })
}

/// What serde's messages say, without the values that they quote.
fn explain(message: &str) -> (&'static str, String, Option<&str>) {
    let quoted = || message.split('`').nth(1);
    let expected = message.rsplit_once("expected ").map(|(_, expected)| expected);
    // Rust's names for types are nobody's business.
    let expected = expected.map(|it| match it {
        "i64" | "u64" | "i32" | "u32" | "u16" | "u8" => "an integer",
        it if it.starts_with("struct ") => "an object",
        it => it,
    });
    let accepted = |otherwise: &str| {
        expected.map_or_else(|| otherwise.to_owned(), |expected| format!("expected {expected}"))
    };
    if message.starts_with("unknown field") {
        ("unknown_field", format!("not a field; {}", accepted("none is accepted")), quoted())
    } else if message.starts_with("missing field") {
        ("required", "required".to_owned(), quoted())
    } else if message.starts_with("unknown variant") {
        ("not_accepted", accepted("another value"), None)
    } else {
        ("wrong_type", accepted("a value of another type"), None)
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer = format!("{pointer}/{index}"),
            Segment::Map { key } => pointer = format!("{pointer}/{}", escape(key)),
            Segment::Enum { variant } => pointer = format!("{pointer}/{}", escape(variant)),
            Segment::Unknown => {}
        }
    }
    pointer
}

/// As RFC 6901 says. A client's own key is repeated to it, but not without bound.
fn escape(key: &str) -> String {
    let key: String = key.chars().take(64).collect();
    key.replace('~', "~0").replace('/', "~1")
}

/// Fields in one order, so that the same body has the same fingerprint however it was written.
pub fn canonical(value: &Value) -> Vec<u8> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> =
                    fields.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
                fields.sort_by(|one, other| one.0.cmp(&other.0));
                Value::Object(fields.into_iter().collect())
            }
            Value::Array(elements) => Value::Array(elements.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    serde_json::to_vec(&sorted(value)).expect("a JSON value is JSON")
}

/// For merge patches: a field that is absent stays, `null` clears it, a value replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    /// Whether the patch says anything of the field.
    pub fn is_named(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// What is not said is not written: `null` would clear the field.
    pub fn is_kept(&self) -> bool {
        !self.is_named()
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(change(value)),
        }
    }
}

impl<T: Clone> Patch<T> {
    pub fn apply(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value.clone()),
        }
    }

    /// For a field that is never empty: cleared, it is back at its default.
    pub fn or(&self, before: T, standard: T) -> T {
        match self {
            Self::Keep => before,
            Self::Clear => standard,
            Self::Set(value) => value.clone(),
        }
    }
}

impl<T: serde::Serialize> serde::Serialize for Patch<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(value) => serializer.serialize_some(value),
            Self::Keep | Self::Clear => serializer.serialize_none(),
        }
    }
}

impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Patch<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        name: Patch<String>,
        #[expect(dead_code, reason = "only its type matters")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its type matters")]
        amount: i64,
    }

    fn refused(value: Value) -> (String, String, String) {
        let fault = typed::<Outer>(value).expect_err("refused");
        let error = &fault.errors()[0];
        (error.pointer.clone(), error.code.to_string(), error.detail.to_string())
    }

    #[test]
    fn a_refusal_names_the_field_and_never_repeats_the_value() {
        let (pointer, code, detail) = refused(json!({ "inner": { "amount": "hunter2" } }));
        assert_eq!((pointer.as_str(), code.as_str()), ("/inner/amount", "wrong_type"));
        assert!(!detail.contains("hunter2"), "{detail}");
        let (pointer, code, _) = refused(json!({ "inner": { "amount": 1, "$set": 2 } }));
        assert_eq!((pointer.as_str(), code.as_str()), ("/inner/$set", "unknown_field"));
        let (pointer, code, _) = refused(json!({ "inner": {} }));
        assert_eq!((pointer.as_str(), code.as_str()), ("/inner/amount", "required"));
    }

    #[test]
    fn an_expected_type_is_named_in_words() {
        for wrong in [json!(1.0), json!("1"), json!(null)] {
            let (_, code, detail) = refused(json!({ "inner": { "amount": wrong } }));
            assert_eq!((code.as_str(), detail.as_str()), ("wrong_type", "expected an integer"));
        }
        let (_, _, detail) = refused(json!({ "inner": 1 }));
        assert_eq!(detail, "expected an object");
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let name = |value| typed::<Outer>(value).expect("fits").name;
        assert_eq!(name(json!({ "inner": { "amount": 1 } })), Patch::Keep);
        assert_eq!(name(json!({ "name": null, "inner": { "amount": 1 } })), Patch::Clear);
        assert_eq!(name(json!({ "name": "x", "inner": { "amount": 1 } })), Patch::Set("x".into()));
    }

    #[test]
    fn depth_is_counted_outside_of_texts_only() {
        assert!(check_depth(br#"{"a":"[[[[[[[[[[[[\"[["}"#, DEPTH_MAX).is_ok());
        assert!(check_depth(b"[[[[[[[[1]]]]]]]]", DEPTH_MAX).is_ok());
        assert!(check_depth(b"[[[[[[[[[1]]]]]]]]]", DEPTH_MAX).is_err());
    }

    #[test]
    fn the_same_body_in_another_order_is_the_same() {
        assert_eq!(canonical(&json!({"a": 1, "b": [2]})), canonical(&json!({"b": [2], "a": 1})));
    }
}
