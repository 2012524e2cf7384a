//! The OpenAPI document as it is served, and the page that shows it.

use std::collections::BTreeSet;

use purser::app::papers;
use serde_json::{Value, json};

use crate::harness::{Purser, person};

#[test]
fn the_document_is_served_as_it_is_made() {
    let purser = Purser::start();

    let reply = purser.nobody().get("/openapi.json");

    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.text, papers::openapi());
}

#[test]
fn everything_that_the_page_loads_comes_from_this_server() {
    let purser = Purser::start();
    let nobody = purser.nobody();

    let page = nobody.get("/docs");

    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("http"), "{policy}");
    let named = named(&page.text);
    assert!(named.len() >= 5, "{named:?}");
    for path in named {
        assert!(!path.contains("//"), "{path} is somewhere else");
        let reply = nobody.get(&format!("/{path}"));
        assert_eq!(reply.status, 200, "{path}");
        let extension = path.rsplit('.').next().unwrap_or_default();
        let expected = match extension {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "png" => "image/png",
            "json" => "application/json",
            other => panic!("{path}: what is {other}?"),
        };
        assert_eq!(reply.header("content-type"), Some(expected), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        let borrowed = path.contains("swagger") && extension != "png";
        assert_eq!(reply.header("content-encoding"), borrowed.then_some("gzip"), "{path}");
        let bytes: usize = reply.header("content-length").expect("a length").parse().expect("it");
        assert!(bytes > 20, "{path} is empty");
        let own = ["css", "js"].contains(&extension) && !borrowed;
        assert!(!own || (!reply.text.is_empty() && !reply.text.contains("://")), "{path}");
    }
    assert_eq!(nobody.get("/docs/none.js").refused(404), "not_found");
    assert_eq!(nobody.get("/docs/..%2Fopenapi.json").refused(404), "not_found");
}

/// What the page's `src` and `href` name.
fn named(page: &str) -> Vec<String> {
    let quoted = |attribute: &str| -> Vec<String> {
        let rests = page.split(attribute).skip(1);
        rests.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    [quoted("src=\""), quoted("href=\"")].concat()
}

#[test]
fn a_view_has_the_fields_that_the_document_describes() {
    let purser = Purser::start();
    let all = json!(["read", "write", "wallet_access", "subscription_access", "referrals_access"]);
    let shop = purser.app_with("shop", json!({ "permissions": all }));
    let mut body = person("ada@example.com");
    body["profile"] = json!({
        "first_name": "Ada", "last_name": "Byron", "phone": "+4930901820",
        "timezone": "Europe/London", "language": "en",
    });
    let (user, _) = shop.register_with(body);

    let view = shop.get(&format!("/v1/users/{user}")).expect(200);

    let document: Value = serde_json::from_str(&papers::openapi()).expect("JSON");
    let schemas = &document["components"]["schemas"];
    assert_fields(schemas, &schemas["View"], &view, "");
}

/// The same names on both sides, as deep as the document goes.
fn assert_fields(schemas: &Value, schema: &Value, answer: &Value, place: &str) {
    let reference = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next());
    let schema = reference.map_or(schema, |name| &schemas[name]);
    let (Some(properties), Some(fields)) = (schema["properties"].as_object(), answer.as_object())
    else {
        return;
    };
    let described: BTreeSet<_> = properties.keys().collect();
    let answered: BTreeSet<_> = fields.keys().collect();
    assert_eq!(described, answered, "{place}");
    for (name, property) in properties {
        assert_fields(schemas, property, &fields[name], &format!("{place}/{name}"));
    }
}
