//! Reading the trail: filters, pages, masks, and what an entry says of its request.

use std::collections::BTreeSet;

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, person};

fn items(who: &Principal, query: &str) -> Vec<Value> {
    let page = who.get(&format!("/v1/audit/logs?limit=200{query}")).expect(200);
    assert_eq!(page["next_cursor"], Value::Null);
    without_reads(page["items"].as_array().expect("items"))
}

/// Without what the test itself has left by reading.
fn without_reads(items: &[Value]) -> Vec<Value> {
    items.iter().filter(|entry| entry["action"] != "audit_read").cloned().collect()
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|entry| entry["id"].as_str().expect("an id")).collect()
}

/// All pages of a list, each with `limit` lines.
fn pages(who: &Principal, query: &str, limit: usize) -> Vec<Value> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/audit/logs?limit={limit}{query}{cursor}");
        let page = who.get(&path).expect(200);
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= limit);
        seen.extend(items.iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return without_reads(&seen) };
        assert_eq!(items.len(), limit, "only the last page is short");
        cursor = format!("&cursor={next}");
    }
}

struct Story {
    purser: Purser,
    auditor: Principal,
    ada: String,
    bob: String,
}

/// Two apps, two people, and a second between any two changes.
fn story() -> Story {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let auditor = purser.auditor();
    let at = |app: &Principal, ip: &str| {
        purser.step_clock(1000);
        app.with("Purser-Client-IP", ip)
    };
    let (ada, _) = at(&shop, "203.0.113.1").register("ada@example.com");
    let (bob, _) = at(&club, "203.0.113.2").register("bob@example.com");
    at(&club, "203.0.113.1").register("ada@example.com");
    let path = |id: &str| format!("/v1/users/{id}");
    let rename = json!({ "profile": { "first_name": "Augusta" } });
    at(&shop, "2001:db8::1").patch(&path(&ada), rename).expect(200);
    let prefer = json!({ "preferences": { "notifications": { "sms": true } } });
    at(&club, "203.0.113.2").patch(&path(&bob), prefer).expect(200);
    let tie = format!("{}/connection", path(&ada));
    at(&shop, "203.0.113.1").patch(&tie, json!({ "app_version": "2" })).expect(200);
    Story { purser, auditor, ada, bob }
}

/// Whether a filter should give an entry.
type Rule<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

#[test]
fn each_filter_finds_exactly_its_entries() {
    let Story { purser, auditor, ada, bob } = story();
    let all = items(&auditor, "");
    let operator = purser.db_find("operators", doc! {}).remove(0);
    let operator = operator.get_object_id("_id").expect("an id").to_hex();
    let is = |entry: &Value, field: &str, value: &str| entry[field] == value;
    let changes = |entry: &Value, path: &str| {
        let changed = entry["changes"].as_object().expect("changes");
        changed.keys().any(|key| key == path || key.starts_with(&format!("{path}.")))
    };
    let cases: Vec<(String, Rule<'_>)> = vec![
        (format!("user_id={ada}"), Box::new(|entry| is(entry, "user_id", &ada))),
        (format!("user_id={bob}"), Box::new(|entry| is(entry, "user_id", &bob))),
        ("app_id=shop".into(), Box::new(|entry| is(entry, "app_id", "shop"))),
        ("actor=club".into(), Box::new(|entry| entry["actor"]["id"] == "club")),
        (format!("actor={operator}"), Box::new(|entry| entry["actor"]["id"] == operator.as_str())),
        ("actor=migrate".into(), Box::new(|entry| entry["actor"]["id"] == "migrate")),
        ("action=profile_updated".into(), Box::new(|entry| is(entry, "action", "profile_updated"))),
        ("module=core".into(), Box::new(|entry| is(entry, "module", "core"))),
        ("path=profile".into(), Box::new(|entry| changes(entry, "profile"))),
        ("path=profile.first_name".into(), Box::new(|entry| changes(entry, "profile.first_name"))),
        ("path=apps.shop".into(), Box::new(|entry| changes(entry, "apps.shop"))),
        (
            "path=apps.shop.app_version".into(),
            Box::new(|entry| changes(entry, "apps.shop.app_version")),
        ),
        ("ip=203.0.113.1".into(), Box::new(|entry| is(entry, "ip_address", "203.0.113.1"))),
        ("ip=2001:db8::1".into(), Box::new(|entry| is(entry, "ip_address", "2001:db8::1"))),
        ("outcome=done".into(), Box::new(|entry| is(entry, "outcome", "done"))),
        (
            "from=2026-01-01T00:00:03Z".into(),
            Box::new(|entry| entry["timestamp"].as_str() >= Some("2026-01-01T00:00:03.000Z")),
        ),
        (
            "to=2026-01-01T01:00:03%2B01:00".into(),
            Box::new(|entry| entry["timestamp"].as_str() < Some("2026-01-01T00:00:03.000Z")),
        ),
        (
            "from=2026-01-01T00:00:02Z&to=2026-01-01T00:00:03Z".into(),
            Box::new(|entry| is(entry, "timestamp", "2026-01-01T00:00:02.000Z")),
        ),
        (
            format!("user_id={ada}&app_id=shop&action=profile_updated&path=profile&ip=2001:db8::1"),
            Box::new(|entry| is(entry, "ip_address", "2001:db8::1")),
        ),
    ];

    for (query, rule) in cases {
        let expected: Vec<_> = all.iter().filter(|entry| rule(entry)).cloned().collect();
        assert!(!expected.is_empty(), "{query}: a filter that finds nothing shows nothing");
        let found = items(&auditor, &format!("&{query}"));
        assert_eq!(ids(&found), ids(&expected), "{query}");
    }
    for query in [
        "user_id=0123456789abcdef01234567",
        "app_id=none",
        "actor=none",
        "action=none",
        "module=wallet",
        "path=prof",
        "path=profile.first",
        "path=apps.sho",
        "ip=203.0.113.9",
        "outcome=refused",
        "from=2027-01-01T00:00:00Z",
        "to=2026-01-01T00:00:00Z",
        &format!("user_id={bob}&app_id=shop"),
    ] {
        assert!(items(&auditor, &format!("&{query}")).is_empty(), "{query}");
    }
}

#[test]
fn a_filter_that_cannot_be_understood_is_refused_and_named() {
    let purser = Purser::start();
    let auditor = purser.auditor();
    let cases = [
        ("user_id=ada", "user_id"),
        ("app_id=The%20Shop", "app_id"),
        ("actor=", "actor"),
        ("action=$ne", "action"),
        ("module=a%00b", "module"),
        ("path=a%20b", "path"),
        ("ip=localhost", "ip"),
        ("outcome=maybe", "outcome"),
        ("from=yesterday", "from"),
        ("to=2026-01-01", "to"),
        ("limit=0", "limit"),
        ("limit=1000", "limit"),
        ("user=x", "user"),
        ("$where=1", "$where"),
        ("action=a&action=b", "action"),
    ];

    for (query, parameter) in cases {
        let reply = auditor.get(&format!("/v1/audit/logs?{query}"));
        assert_eq!(reply.pointers(), [parameter], "{query}");
        assert_eq!(reply.refused(422), "invalid", "{query}");
    }
}

#[test]
fn the_newest_entries_come_first() {
    let Story { purser: _purser, auditor, .. } = story();

    let entries = items(&auditor, "");

    let order: Vec<_> =
        entries.iter().map(|entry| (entry["timestamp"].as_str(), entry["id"].as_str())).collect();
    assert!(order.is_sorted_by(|newer, older| newer > older), "{order:?}");
    assert_eq!(entries[0]["action"], "connection_updated");
}

#[test]
fn pages_hold_every_entry_once_however_many_have_the_same_time() {
    let purser = Purser::start();
    let (shop, auditor) = (purser.app("shop"), purser.auditor());
    let (id, _) = shop.register("ada@example.com");
    for at in 0..9 {
        if at % 4 == 3 {
            purser.step_clock(1);
        }
        shop.patch(&format!("/v1/users/{id}"), json!({ "username": format!("ada{at}") }))
            .expect(200);
    }
    let expected: BTreeSet<String> = purser
        .db_find("user_audit_logs", doc! {})
        .iter()
        .map(|entry| entry.get_object_id("_id").expect("an id").to_hex())
        .collect();
    let whole = items(&auditor, "");

    for limit in [1, 2, 3, 7, 200] {
        // What is read from now on is newer than all of it.
        purser.step_clock(1);
        let seen = pages(&auditor, "", limit);
        assert_eq!(ids(&seen), ids(&whole), "{limit}");
    }
    for query in [format!("&user_id={id}"), "&path=username".to_owned(), "&app_id=shop".to_owned()]
    {
        purser.step_clock(1);
        let seen = pages(&auditor, &query, 2);
        assert_eq!(ids(&seen), ids(&items(&auditor, &query)), "{query}");
    }

    assert_eq!(ids(&whole).len(), expected.len());
    assert_eq!(ids(&whole).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn entries_that_are_written_while_somebody_pages_neither_repeat_nor_skip_any() {
    let purser = Purser::start();
    let (shop, auditor) = (purser.app("shop"), purser.auditor());
    let (id, _) = shop.register("ada@example.com");
    let rename = |name: &str| {
        purser.step_clock(1);
        shop.patch(&format!("/v1/users/{id}"), json!({ "username": name })).expect(200);
    };
    for name in ["a", "b", "c", "d"] {
        rename(name);
    }
    let before = items(&auditor, "");
    purser.step_clock(1);

    let first = auditor.get("/v1/audit/logs?limit=3").expect(200);
    rename("e");
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let rest = items(&auditor, &format!("&cursor={cursor}"));

    let first = without_reads(first["items"].as_array().expect("items"));
    let seen = [first, rest].concat();
    assert_eq!(ids(&seen), ids(&before));
}

#[test]
fn a_cursor_of_the_trail_opens_for_its_operator_and_filter_only() {
    let Story { purser, auditor, ada, .. } = story();
    let query = format!("/v1/audit/logs?limit=1&user_id={ada}");
    let page = auditor.get(&query).expect(200);
    let cursor = page["next_cursor"].as_str().expect("a cursor");

    let other_operator = purser.auditor().get(&format!("{query}&cursor={cursor}"));
    let other_filter = auditor.get(&format!("/v1/audit/logs?limit=1&cursor={cursor}"));

    assert_eq!(other_operator.refused(400), "invalid_cursor");
    assert_eq!(other_filter.refused(400), "invalid_cursor");
    auditor.get(&format!("/v1/audit/logs?user_id={ada}&limit=9&cursor={cursor}")).expect(200);
}

#[test]
fn personal_values_are_masked_unless_the_operator_may_see_them() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut body = person("ada@example.com");
    body["connection"] = json!({ "app_profile": { "nickname": "Ad" } });
    let (id, _) = shop.register_with(body);
    let path = format!("/v1/users/{id}");
    let patch = json!({
        "username": "countess", "profile": { "first_name": "Augusta", "last_name": "King" },
        "preferences": { "notifications": { "sms": true } },
    });
    shop.patch(&path, patch).expect(200);
    let own = json!({
        "app_username": "ada_ext", "app_version": "2",
        "app_profile": { "custom_fields": { "pet": "Fluffy" } },
    });
    shop.patch(&format!("{path}/connection"), own).expect(200);
    let query = format!("&user_id={id}");

    let masked = items(&purser.masked_auditor(), &query);
    let admin = items(&purser.admin(), &query);
    let opened = items(&purser.auditor(), &query);

    let changes = |entries: &[Value], action: &str| {
        let entry = entries.iter().find(|entry| entry["action"] == action).expect("an entry");
        entry["changes"].clone()
    };
    let profile = changes(&opened, "profile_updated");
    assert_eq!(profile["profile.first_name"], json!({ "old": "Ada", "new": "Augusta" }));
    assert_eq!(profile["profile.last_name"], json!({ "new": "King" }));
    assert_eq!(profile["username"], json!({ "old": null, "new": "countess" }));
    let own = changes(&opened, "connection_updated");
    assert_eq!(own["apps.shop.app_username"], json!({ "old": null, "new": "ada_ext" }));
    assert_eq!(own["apps.shop.app_profile.custom_fields.pet"], json!({ "new": "Fluffy" }));
    for entries in [&masked, &admin] {
        let profile = changes(entries, "profile_updated");
        let both = json!({ "old": "[masked]", "new": "[masked]" });
        assert_eq!(profile["profile.first_name"], both);
        assert_eq!(profile["preferences.notifications.sms"], json!({ "old": false, "new": true }));
        let own = changes(entries, "connection_updated");
        assert_eq!(own["apps.shop.app_username"], both);
        assert_eq!(own["apps.shop.app_version"]["new"], "2");
        let text = json!(entries).to_string();
        for value in
            ["ada@example.com", "Ada", "Augusta", "King", "countess", "ada_ext", "Fluffy", "s1."]
        {
            assert!(!text.contains(value), "{value} is not masked");
        }
    }
    assert_eq!((ids(&masked), ids(&admin)), (ids(&opened), ids(&opened)));
}

#[test]
fn a_field_below_a_group_that_was_empty_is_found_by_its_own_path() {
    let purser = Purser::start();
    let (shop, auditor) = (purser.app("shop"), purser.auditor());
    let (id, _) = shop.register("ada@example.com");
    let tie = format!("/v1/users/{id}/connection");
    let fields = |value: Value| json!({ "app_profile": { "custom_fields": value } });

    shop.patch(&tie, fields(json!({ "pet": "Fluffy" }))).expect(200);
    shop.patch(&tie, fields(json!({ "pet": null }))).expect(200);
    shop.patch(&tie, fields(json!({ "pet": "Rex" }))).expect(200);

    let path = "apps.shop.app_profile.custom_fields.pet";
    let entries = items(&auditor, &format!("&path={path}"));
    let mut changes: Vec<_> = entries.iter().map(|entry| entry["changes"][path].clone()).collect();
    changes.sort_by_key(Value::to_string);
    let expected =
        [json!({ "new": "Fluffy" }), json!({ "new": "Rex" }), json!({ "old": "Fluffy" })];
    assert_eq!(changes, expected);
}

#[test]
fn a_plain_value_that_looks_like_a_sealed_one_is_shown_as_it_is() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let tie = format!("/v1/users/{id}/connection");

    shop.patch(&tie, json!({ "app_version": "s1.AAAA" })).expect(200);

    for auditor in [purser.auditor(), purser.masked_auditor()] {
        let entries = items(&auditor, "&action=connection_updated");
        assert_eq!(entries[0]["changes"]["apps.shop.app_version"]["new"], "s1.AAAA");
    }
}

#[test]
fn secrets_are_only_said_to_have_changed() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut body = person("ada@example.com");
    body["password"] = json!("correct horse battery");
    shop.register_with(body);

    let entries = items(&purser.auditor(), "");

    let of = |action: &str, path: &str| {
        let entry = entries.iter().find(|entry| entry["action"] == action).expect("an entry");
        entry["changes"][path].clone()
    };
    assert_eq!(of("user_registered", "password"), json!({ "new": "secret" }));
    assert_eq!(of("user_registered", "apps.shop.api_key"), json!({ "new": "secret" }));
    assert_eq!(of("user_registered", "apps.shop.key_mac"), json!({ "new": "secret" }));
    let keys = of("app_registered", "keys")["new"][0].clone();
    assert_eq!((&keys["mac"], &keys["sealed"]), (&json!("secret"), &json!("secret")));
    let operator = entries.iter().find(|entry| entry["action"] == "operator_created");
    assert_eq!(operator.expect("an entry")["changes"]["key_mac"], json!({ "new": "secret" }));
}

#[test]
fn an_admin_reads_the_trail_and_an_app_does_not() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (_, own) = shop.register("ada@example.com");
    let entry = items(&purser.auditor(), "")[0]["id"].as_str().expect("an id").to_owned();
    let one = format!("/v1/audit/logs/{entry}");

    purser.admin().get("/v1/audit/logs").expect(200);
    purser.admin().get(&one).expect(200);

    for who in [shop, own] {
        for path in ["/v1/audit/logs", &one, "/v1/audit/logs/0123456789abcdef01234567"] {
            assert_eq!(who.get(path).refused(403), "wrong_credential", "{path}");
        }
    }
    for path in ["/v1/audit/logs", &one] {
        assert_eq!(purser.nobody().get(path).refused(401), "unauthenticated");
    }
}

#[test]
fn an_entry_tells_the_request_and_where_it_came_from() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, own) = shop.register("ada@example.com");
    let tie = purser.db_find("user_apps", doc! {})[0].get_object_id("_id").expect("an id").to_hex();
    let rename = |who: &Principal, name: &str| {
        let reply = who.patch(&format!("/v1/users/{id}"), json!({ "username": name }));
        let request = reply.header("x-request-id").expect("an id").to_owned();
        reply.expect(200);
        let entry = items(&purser.auditor(), &format!("&user_id={id}"))
            .into_iter()
            .max_by_key(|entry| entry["seq"].as_i64())
            .expect("an entry");
        (entry, request)
    };

    let (peer, made) = rename(&shop.with("X-Request-Id", "not allowed!"), "one");
    let (told, sent) = rename(
        &own.with("X-Request-Id", "order-1.2_3").with("Purser-Client-IP", "::ffff:198.51.100.7"),
        "two",
    );

    assert!(made.starts_with("req_"), "{made}");
    assert_eq!((&peer["request_id"], &told["request_id"]), (&json!(made), &json!("order-1.2_3")));
    assert_eq!(sent, "order-1.2_3");
    assert_eq!((&peer["ip_address"], &peer["asserted_by"]), (&json!("127.0.0.1"), &Value::Null));
    assert_eq!(
        (&told["ip_address"], &told["asserted_by"]),
        (&json!("198.51.100.7"), &json!("shop"))
    );
    for entry in [&peer, &told] {
        assert_eq!(entry["actor"], json!({ "kind": "app", "id": "shop" }));
        assert_eq!((&entry["app_id"], &entry["connection_id"]), (&json!("shop"), &json!(tie)));
        assert_eq!(
            (&entry["user_id"], &entry["subject"]),
            (&json!(id), &json!(format!("user:{id}")))
        );
        assert_eq!((&entry["module"], &entry["outcome"]), (&json!("core"), &json!("done")));
    }
}

#[test]
fn an_address_that_an_operator_asserts_is_not_believed() {
    let purser = Purser::start();
    let admin = purser.admin().with("Purser-Client-IP", "198.51.100.7");

    let app = json!({ "app_id": "shop", "name": "N", "trust": "first_party", "permissions": [] });
    admin.post("/v1/admin/apps", app).expect(201);

    let entry = &items(&purser.auditor(), "&action=app_registered")[0];
    assert_eq!((&entry["ip_address"], &entry["asserted_by"]), (&json!("127.0.0.1"), &Value::Null));
}

#[test]
fn an_asserted_address_that_is_none_is_refused() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");

    for wrong in ["", "localhost", "203.0.113.1, 203.0.113.2", "203.0.113.0/24", "1.2.3.4:80"] {
        let patch = json!({ "username": "ada" });
        let reply = shop.with("Purser-Client-IP", wrong).patch(&format!("/v1/users/{id}"), patch);
        assert_eq!(reply.pointers(), ["Purser-Client-IP"], "{wrong}");
        assert_eq!(reply.refused(422), "invalid", "{wrong}");
    }

    assert_eq!(purser.db_entries(doc! { "subject": format!("user:{id}") }).len(), 1);
}

#[test]
fn of_an_address_the_trail_keeps_what_the_configuration_says() {
    let prefix = Purser::start_with(&[("PURSER__AUDIT__IP_ADDRESS", "prefix")]);
    let none = Purser::start_with(&[("PURSER__AUDIT__IP_ADDRESS", "none")]);
    let address = |purser: &Purser| {
        let shop = purser.app("shop").with("Purser-Client-IP", "198.51.100.7");
        let (id, _) = shop.register("ada@example.com");
        items(&purser.auditor(), &format!("&user_id={id}"))[0]["ip_address"].clone()
    };

    let kept = (address(&prefix), address(&none));

    assert_eq!(kept, (json!("198.51.100.0/24"), Value::Null));
    assert_eq!(items(&prefix.auditor(), "&ip=198.51.100.0/24&path=profile").len(), 1);
}

#[test]
fn one_entry_is_read_by_its_id_as_it_stands_in_the_list() {
    let Story { purser, auditor, .. } = story();
    let listed = items(&auditor, "&action=profile_updated");

    for entry in &listed {
        let path = format!("/v1/audit/logs/{}", entry["id"].as_str().expect("an id"));
        assert_eq!(auditor.get(&path).expect(200), *entry);
        let masked = purser.masked_auditor().get(&path).expect(200);
        assert!(!masked.to_string().contains("Augusta"));
    }

    for missing in ["0123456789abcdef01234567", "none", "%00"] {
        let reply = auditor.get(&format!("/v1/audit/logs/{missing}"));
        assert_eq!(reply.refused(404), "not_found", "{missing}");
    }
    let unknown = auditor.get("/v1/audit/logs/0123456789abcdef01234567?x=1");
    assert_eq!(unknown.pointers(), ["x"]);
}

#[test]
fn the_history_of_an_app_is_found_by_its_subject() {
    let purser = Purser::start();
    let admin = purser.admin();
    purser.app("shop");
    purser.app("club");
    admin.post("/v1/admin/apps/shop/keys", json!({})).expect(201);

    let auditor = purser.auditor();
    let seen = auditor.get("/v1/audit/logs?subject=app:shop").expect(200);

    let actions: Vec<_> =
        seen["items"].as_array().expect("items").iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions.len(), 2);
    assert!(
        actions.contains(&&json!("app_registered")) && actions.contains(&&json!("app_key_issued"))
    );
    assert_eq!(auditor.get("/v1/audit/logs?subject=$ne").refused(422), "invalid");
}
