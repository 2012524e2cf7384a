//! Keys: which are accepted, where, until when, and what a refusal tells.

use bson::doc;
use purser::apps::{self, RevokeOperator};
use purser::crypto::token::{ApiKey, KeyKind};
use purser::kernel::chance::Chance;
use purser::kernel::ids::OperatorId;
use purser::kernel::time::DAY_MS;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, Reply, START, person};

const HOUR_MS: i64 = 60 * 60 * 1000;
const KEY_ID: std::ops::Range<usize> = 8..20;

fn key_id(who: &Principal) -> &str {
    &who.key()[KEY_ID]
}

fn unknown(kind: KeyKind) -> String {
    ApiKey::generate(kind, &Chance::from_seed(99)).text().expose().clone()
}

/// The key with another secret, and check digits that fit.
fn other_secret(key: &str) -> String {
    let kind = &key[4..7];
    let kind = KeyKind::ALL.into_iter().find(|known| known.tag() == kind).expect("a kind");
    let other = unknown(kind);
    let text = format!("{}{}", &key[..KEY_ID.end], &other[KEY_ID.end..63]);
    let crc = crc32fast::hash(text.as_bytes());
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digit = |place: u32| char::from(digits[(crc / 62_u32.pow(place)) as usize % 62]);
    text + &(0..6).rev().map(digit).collect::<String>()
}

/// A refusal without what differs between two equal ones.
fn comparable(reply: &Reply) -> (u16, Value, Vec<(String, String)>) {
    let mut body = reply.body.clone();
    body.as_object_mut().expect("a problem").remove("request_id");
    let same = |(name, _): &&(String, String)| !matches!(name.as_str(), "x-request-id" | "date");
    let mut headers: Vec<_> = reply.headers.iter().filter(same).cloned().collect();
    headers.sort();
    (reply.status, body, headers)
}

fn issue(admin: &Principal, app: &str, body: Value) -> Value {
    admin.post(&format!("/v1/admin/apps/{app}/keys"), body).expect(201)
}

#[test]
fn every_key_that_is_not_in_use_is_answered_alike() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let (_, own) = shop.register("ada@example.com");
    let (_, gone) = shop.register("bob@example.com");
    gone.delete("/v1/users/me/connection").expect(204);
    let expiring = issue(&admin, "shop", json!({ "expires_at": "2026-01-01T01:00:00Z" }));
    let revoked = issue(&admin, "shop", json!({}));
    let text = |issued: &Value| issued["key"].as_str().expect("a key").to_owned();
    let path = format!("/v1/admin/apps/shop/keys/{}", &text(&revoked)[KEY_ID]);
    admin.delete(&path).expect(204);
    purser.step_clock(HOUR_MS);
    let typo = |key: &str| {
        let last = if key.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &key[..key.len() - 1])
    };
    let refused: Vec<Option<String>> = vec![
        None,
        Some(String::new()),
        Some("x".to_owned()),
        Some("x".repeat(5000)),
        Some(shop.key()[..60].to_owned()),
        Some(shop.key().replace("_app_", "_con_")),
        Some(typo(shop.key())),
        Some(typo(own.key())),
        Some(typo(admin.key())),
        Some(other_secret(shop.key())),
        Some(other_secret(own.key())),
        Some(other_secret(admin.key())),
        Some(unknown(KeyKind::App)),
        Some(unknown(KeyKind::Connection)),
        Some(unknown(KeyKind::Operator)),
        Some(gone.key().to_owned()),
        Some(text(&expiring)),
        Some(text(&revoked)),
    ];

    for path in ["/v1/users", "/v1/users/me", "/v1/admin/apps", "/v1/audit/logs"] {
        let expected = comparable(&purser.nobody().get(path));
        assert_eq!((expected.0, &expected.1["code"]), (401, &json!("unauthenticated")));
        assert!(expected.2.contains(&("www-authenticate".into(), "Bearer".into())));
        for key in &refused {
            let who = key.as_ref().map_or(purser.nobody(), |key| purser.with_key(key));
            assert_eq!(comparable(&who.get(path)), expected, "{path}: {key:?}");
        }
    }
    for method in ["POST", "PATCH", "DELETE"] {
        let path = if method == "POST" { "/v1/users" } else { "/v1/users/me/connection" };
        let reply = purser.with_key(&unknown(KeyKind::App)).send(method, path, Some(b"{".to_vec()));
        assert_eq!(reply.refused(401), "unauthenticated", "its body is not even read");
    }
}

#[test]
fn a_key_is_accepted_as_bearer_token_or_as_x_api_key() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (_, own) = shop.register("ada@example.com");
    let nobody = purser.nobody();

    nobody.with("X-Api-Key", shop.key()).get("/v1/users").expect(200);
    nobody.with("X-Api-Key", own.key()).get("/v1/users/me").expect(200);
    nobody.with("Authorization", &format!("bEaReR {}", shop.key())).get("/v1/users").expect(200);

    for (name, value) in [
        ("Authorization", shop.key().to_owned()),
        ("Authorization", format!("Basic {}", shop.key())),
        ("Authorization", format!("Bearer{}", shop.key())),
        ("Cookie", format!("key={}", shop.key())),
    ] {
        assert_eq!(nobody.with(name, &value).get("/v1/users").refused(401), "unauthenticated");
    }
}

#[test]
fn a_key_in_the_query_string_is_refused_wherever_it_stands() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let key = shop.key();
    let queries = [
        format!("api_key={key}"),
        format!("access_token={key}"),
        format!("KEY={key}"),
        format!("email={key}"),
        "token=anything".to_owned(),
    ];

    for query in queries {
        for (who, path) in [
            (shop.clone(), "/v1/users"),
            (purser.nobody(), "/v1/users"),
            (purser.nobody(), "/v1/users/me"),
            (purser.admin(), "/v1/admin/apps"),
            (purser.auditor(), "/v1/audit/logs"),
        ] {
            let reply = who.get(&format!("{path}?{query}"));
            assert!(!reply.body.to_string().contains(key), "the key is not repeated");
            assert_eq!(reply.refused(400), "key_in_query", "{path}?{query}");
        }
    }
}

#[test]
fn each_of_an_apps_keys_works_until_it_is_revoked() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let (id, _) = shop.register("ada@example.com");

    let issued = issue(&admin, "shop", json!({}));
    let second = purser.with_key(issued["key"].as_str().expect("a key"));
    second.get(&format!("/v1/users/{id}")).expect(200);
    let path = format!("/v1/admin/apps/shop/keys/{}", key_id(&shop));
    purser.step_clock(1000);
    admin.delete(&path).expect(204);

    assert_eq!(shop.get("/v1/users").refused(401), "unauthenticated");
    second.get("/v1/users").expect(200);
    let keys = issued["app"]["keys"].as_array().expect("keys");
    assert_eq!((keys.len(), &keys[1]["id"]), (2, &json!(key_id(&second))));
    assert_eq!(keys[1]["hint"], format!("{}…", &second.key()[..12]));
    let listed = admin.get("/v1/admin/apps/shop").expect(200);
    assert_eq!(listed["keys"][0]["revoked_at"], "2026-01-01T00:00:01.000Z");
    assert_eq!(listed["keys"][1]["revoked_at"], Value::Null);
}

#[test]
fn revoking_a_key_twice_is_one_change_and_one_that_is_not_there_is_404() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let club = purser.app("club");
    let path = format!("/v1/admin/apps/shop/keys/{}", key_id(&shop));

    admin.delete(&path).expect(204);
    purser.step_clock(1000);
    admin.delete(&path).expect(204);

    assert_eq!(purser.db_entries(doc! { "subject": "app:shop" }).len(), 2);
    let revoked = admin.get("/v1/admin/apps/shop").expect(200)["keys"][0]["revoked_at"].clone();
    assert_eq!(revoked, START);
    for missing in [
        format!("/v1/admin/apps/shop/keys/{}", key_id(&club)),
        "/v1/admin/apps/shop/keys/none".to_owned(),
        format!("/v1/admin/apps/none/keys/{}", key_id(&club)),
        format!("/v1/admin/apps/SHOP/keys/{}", key_id(&shop)),
    ] {
        assert_eq!(admin.delete(&missing).refused(404), "not_found", "{missing}");
    }
    club.get("/v1/users").expect(200);
}

#[test]
fn an_app_key_with_an_end_works_until_then() {
    let purser = Purser::start();
    let (_, admin) = (purser.app("shop"), purser.admin());
    let issued = issue(&admin, "shop", json!({ "expires_at": "2026-01-01T02:00:00+01:00" }));
    let key = purser.with_key(issued["key"].as_str().expect("a key"));
    assert_eq!(issued["app"]["keys"][1]["expires_at"], "2026-01-01T01:00:00.000Z");

    purser.step_clock(HOUR_MS - 1);
    key.get("/v1/users").expect(200);
    purser.step_clock(1);

    assert_eq!(key.get("/v1/users").refused(401), "unauthenticated");
    for wrong in [json!("2026-01-01T01:00:00Z"), json!("tomorrow"), json!("")] {
        let reply = admin.post("/v1/admin/apps/shop/keys", json!({ "expires_at": wrong }));
        assert_eq!(reply.pointers(), ["/expires_at"]);
        assert_eq!(reply.refused(422), "invalid");
    }
}

#[test]
fn an_app_has_at_most_twenty_keys() {
    let purser = Purser::start();
    let (_, admin) = (purser.app("shop"), purser.admin());
    for _ in 1..20 {
        issue(&admin, "shop", json!({}));
    }

    let reply = admin.post("/v1/admin/apps/shop/keys", json!({}));

    assert_eq!(reply.refused(409), "already_exists");
    let keys = admin.get("/v1/admin/apps/shop").expect(200)["keys"].as_array().map(Vec::len);
    assert_eq!(keys, Some(20));
}

#[test]
fn a_key_that_is_issued_twice_under_one_idempotency_key_is_one_key() {
    let purser = Purser::start();
    let (_, admin) = (purser.app("shop"), purser.admin());
    let once = admin.with("Idempotency-Key", "key-1");

    let (first, again) =
        (issue(&once, "shop", json!({})), once.post("/v1/admin/apps/shop/keys", json!({})));

    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
    assert_eq!(first["app"]["keys"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_revoked_operator_is_refused_at_once() {
    let purser = Purser::start();
    let (admin, other) = (purser.admin(), purser.admin());
    let stored = purser.db_find("operators", doc! { "key_id": key_id(&admin) }).remove(0);
    let id = OperatorId(stored.get_object_id("_id").expect("an id"));
    admin.get("/v1/admin/apps").expect(200);

    let job = purser::app::build::job("test");
    let grant = purser.inner.gate.itself::<RevokeOperator>(job, purser.inner.context());
    purser.block_on(apps::revoke_operator(&grant, &purser.inner.store, id)).expect("revoked");

    assert_eq!(admin.get("/v1/admin/apps").refused(401), "unauthenticated");
    assert_eq!(admin.get("/v1/audit/logs").refused(401), "unauthenticated");
    other.get("/v1/admin/apps").expect(200);
    let subject = format!("operator:{id}");
    let entries = purser.db_entries(doc! { "subject": subject });
    assert_eq!(entries.last().expect("one").get_str("action").ok(), Some("operator_revoked"));
}

#[test]
fn an_operators_key_ends_after_ninety_days() {
    let purser = Purser::start();
    let (admin, auditor) = (purser.admin(), purser.auditor());

    purser.step_clock(90 * DAY_MS - 1);
    admin.get("/v1/admin/apps").expect(200);
    auditor.get("/v1/audit/logs").expect(200);
    purser.step_clock(1);

    assert_eq!(admin.get("/v1/admin/apps").refused(401), "unauthenticated");
    assert_eq!(auditor.get("/v1/audit/logs").refused(401), "unauthenticated");
}

#[test]
fn a_valid_key_of_the_wrong_kind_is_told_so() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, own) = shop.register("ada@example.com");
    let (admin, auditor) = (purser.admin(), purser.auditor());
    let user = format!("/v1/users/{id}");
    let cases: [(&Principal, &str, &str, Option<Value>); 17] = [
        (&shop, "GET", "/v1/admin/apps", None),
        (&own, "GET", "/v1/admin/apps", None),
        (&auditor, "GET", "/v1/admin/apps", None),
        (&auditor, "POST", "/v1/admin/apps", Some(json!({}))),
        (&shop, "PATCH", "/v1/admin/apps/shop", Some(json!({}))),
        (&shop, "POST", "/v1/admin/apps/shop/keys", Some(json!({}))),
        (&auditor, "DELETE", "/v1/admin/apps/shop/keys/x", None),
        (&shop, "GET", "/v1/audit/logs", None),
        (&own, "GET", "/v1/audit/logs", None),
        (&admin, "GET", "/v1/users", None),
        (&admin, "POST", "/v1/users", Some(person("bob@example.com"))),
        (&auditor, "GET", "/v1/users/me", None),
        (&admin, "GET", &user, None),
        (&admin, "PATCH", &user, Some(json!({}))),
        (&own, "GET", "/v1/users", None),
        (&own, "POST", "/v1/users", Some(person("bob@example.com"))),
        (&shop, "GET", "/v1/users/me", None),
    ];
    let entries = purser.db_find("user_audit_logs", doc! {}).len();

    for (who, method, path, body) in cases {
        let reply = who.send(method, path, body.map(|body| body.to_string().into_bytes()));
        assert_eq!(reply.refused(403), "wrong_credential", "{method} {path}");
    }

    assert_eq!(purser.db_find("user_audit_logs", doc! {}).len(), entries);
}

#[test]
fn when_a_key_was_last_used_is_noted_without_an_entry() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let (_, own) = shop.register("ada@example.com");
    let entries = purser.db_find("user_audit_logs", doc! {}).len();
    let revisions = |collection: &str| -> Vec<_> {
        let found = purser.db_find(collection, doc! {});
        found.iter().map(|one| one.get_i64("revision").expect("a revision")).collect()
    };
    let before = ["apps", "users", "operators"].map(revisions);
    purser.step_clock(5000);

    shop.get("/v1/users?email=none@example.com").expect(200);
    own.get("/v1/users/me").expect(200);
    admin.get("/v1/admin/apps").expect(200);
    purser.block_on(purser.inner.flush_last_used()).expect("flushed");

    let used = "2026-01-01T00:00:05.000Z";
    let listed = admin.get("/v1/admin/apps/shop").expect(200);
    assert_eq!(listed["keys"][0]["last_used_at"], used);
    let tie = purser.db_find("user_apps", doc! {}).remove(0);
    assert_eq!(tie.get_datetime("key_last_used_at").ok(), Some(&purser.now()));
    assert_eq!(tie.get_datetime("last_sync").ok(), Some(&purser.now()));
    let operator = purser.db_find("operators", doc! { "key_id": key_id(&admin) }).remove(0);
    assert_eq!(operator.get_datetime("key_last_used_at").ok(), Some(&purser.now()));
    assert_eq!(purser.db_find("user_audit_logs", doc! {}).len(), entries);
    assert_eq!(["apps", "users", "operators"].map(revisions), before);
}

#[test]
fn a_key_whose_secret_is_wrong_is_not_in_use() {
    let purser = Purser::start();
    let shop = purser.app("shop");

    let reply = purser.with_key(&other_secret(shop.key())).get("/v1/users");
    assert_eq!(reply.refused(401), "unauthenticated");
    purser.block_on(purser.inner.flush_last_used()).expect("flushed");

    let app = purser.admin().get("/v1/admin/apps/shop").expect(200);
    assert_eq!(app["keys"][0]["last_used_at"], Value::Null);
}

#[test]
fn one_idempotency_key_on_two_routes_is_two_operations() {
    let purser = Purser::start();
    let admin = purser.admin().with("Idempotency-Key", "monday");
    let app = json!({ "app_id": "shop", "name": "Shop", "trust": "first_party", "permissions": ["read"] });

    let registered = admin.post("/v1/admin/apps", app.clone()).expect(201);
    let issued = admin.post("/v1/admin/apps/shop/keys", json!({})).expect(201);
    let again = admin.post("/v1/admin/apps/shop/keys", json!({}));

    assert_ne!(registered["key"], issued["key"]);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201)["key"], issued["key"]);
    assert_eq!(admin.post("/v1/admin/apps", app).expect(201)["key"], registered["key"]);
}
