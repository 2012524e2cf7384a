//! Apps as admins register, read and change them.

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, START, person};

fn external() -> Value {
    json!({
        "app_id": "external_app_001",
        "name": "External Application",
        "description": "Sells things.",
        "trust": "first_party",
        "permissions": ["read", "write", "wallet_access", "subscription_access"],
        "default_permissions": ["read", "write"],
        "visible_fields": ["email", "username", "profile"],
        "may_issue": { "categories": ["paid", "promo"], "per_day": 1_000_000 },
        "roles": [
            { "name": "admin", "permissions": ["invoices:write"], "default": false },
            { "name": "guest", "permissions": [], "default": true },
        ],
        "rate_limits": { "requests_per_minute": 10, "requests_per_hour": 20 },
    })
}

fn changing(admin: &Principal, tag: &str) -> Principal {
    admin.with("If-Match", tag)
}

#[test]
fn an_app_is_registered_with_all_its_settings_and_a_first_key() {
    let purser = Purser::start();
    let admin = purser.admin();

    let answer = admin.post("/v1/admin/apps", external()).expect(201);

    let key = answer["key"].as_str().expect("a key");
    let mut expected = external();
    for (name, value) in [
        ("status", json!("active")),
        ("allowed_ips", json!([])),
        ("reveal_keys", json!(false)),
        (
            "total_rate_limits",
            json!({ "requests_per_minute": 60_000, "requests_per_hour": 1_000_000 }),
        ),
        ("created_at", json!(START)),
        ("updated_at", json!(START)),
        ("revision", json!(1)),
        ("allowed_ips", json!([])),
        ("reveal_keys", json!(false)),
        ("connection_keys_revoked_at", Value::Null),
        (
            "total_rate_limits",
            json!({ "requests_per_minute": 60_000, "requests_per_hour": 1_000_000 }),
        ),
    ] {
        expected[name] = value;
    }
    expected["keys"] = json!([{
        "id": key[8..20], "hint": format!("{}…", &key[..12]), "created_at": START,
        "expires_at": null, "revoked_at": null, "last_used_at": null,
    }]);
    assert_eq!(answer["app"], expected);
    let read = admin.get("/v1/admin/apps/external_app_001");
    assert_eq!(read.header("etag"), Some("\"1\""));
    assert_eq!(read.expect(200), expected);
    purser.with_key(key).get("/v1/users").expect(200);
}

#[test]
fn what_is_not_sent_of_an_app_has_a_default() {
    let purser = Purser::start();
    let admin = purser.admin();
    let body = |id: &str, trust: &str| {
        json!({
            "app_id": id, "name": "N", "trust": trust, "permissions": ["read", "wallet_access"],
        })
    };

    let first = admin.post("/v1/admin/apps", body("first", "first_party")).expect(201);
    let third = admin.post("/v1/admin/apps", body("third", "third_party")).expect(201);

    let app = &first["app"];
    assert_eq!(app["description"], "");
    assert_eq!(app["default_permissions"], json!(["read", "wallet_access"]));
    assert_eq!(app["visible_fields"], Value::Null);
    assert_eq!(app["may_issue"], json!({ "categories": [], "per_day": 0 }));
    assert_eq!(app["roles"], json!([]));
    assert_eq!(
        app["rate_limits"],
        json!({ "requests_per_minute": 100, "requests_per_hour": 1000 })
    );
    let visible = json!(["username", "profile.language", "profile.timezone"]);
    assert_eq!(third["app"]["visible_fields"], visible);
}

#[test]
fn new_connections_start_with_the_apps_rate_limits() {
    let purser = Purser::start();
    let limits = json!({ "requests_per_minute": 10, "requests_per_hour": 20 });
    let shop = purser.app_with("shop", json!({ "rate_limits": limits }));

    let answer = shop.post("/v1/users", person("ada@example.com")).expect(201);

    assert_eq!(answer["user"]["app_specific"]["rate_limits"], limits);
}

#[test]
fn all_that_is_wrong_with_an_app_is_told_at_once() {
    let purser = Purser::start();
    let admin = purser.admin();
    let body = json!({
        "app_id": "No Name", "name": "", "description": "x".repeat(501), "trust": "first_party",
        "permissions": ["read", "everything", "read"], "default_permissions": ["_access"],
        "visible_fields": ["email", "password", "email"],
        "may_issue": { "categories": ["gold"], "per_day": -1 },
        "roles": [
            { "name": "editor" }, { "name": "editor" }, { "name": "The Boss" },
            { "name": "guest", "permissions": [""] },
        ],
        "rate_limits": { "requests_per_minute": 0, "requests_per_hour": 1_000_000_001 },
        "total_rate_limits": { "requests_per_minute": 1, "requests_per_hour": -1 },
        "allowed_ips": ["192.0.2.0/24", "example.com"],
    });

    let reply = admin.post("/v1/admin/apps", body);

    let mut pointers = reply.pointers();
    pointers.sort_unstable();
    let expected = [
        "/allowed_ips/1",
        "/app_id",
        "/default_permissions/0",
        "/description",
        "/may_issue/categories/0",
        "/may_issue/per_day",
        "/name",
        "/permissions/1",
        "/permissions/2",
        "/rate_limits/requests_per_hour",
        "/rate_limits/requests_per_minute",
        "/roles/1/name",
        "/roles/2/name",
        "/roles/3/permissions/0",
        "/total_rate_limits/requests_per_hour",
        "/visible_fields/1",
        "/visible_fields/2",
    ];
    assert_eq!(pointers, expected);
    assert_eq!(reply.refused(422), "invalid");
    assert!(purser.db_find("apps", doc! {}).is_empty());
}

#[test]
fn a_setting_that_cannot_be_read_is_named() {
    let purser = Purser::start();
    let admin = purser.admin();
    let cases = [
        ("/app_id", "app_id", Value::Null),
        ("/trust", "trust", json!("second_party")),
        ("/permissions", "permissions", json!("read")),
        ("/permissions/0", "permissions", json!([5])),
        ("/visible_fields", "visible_fields", json!({})),
        ("/may_issue", "may_issue", json!([["paid"], 5])),
        ("/may_issue/per_day", "may_issue", json!({ "categories": [], "per_day": 1.5 })),
        ("/may_issue/per_day", "may_issue", json!({ "categories": [], "per_day": "5" })),
        ("/roles/0", "roles", json!([["editor"]])),
        ("/roles/0/name", "roles", json!([{}])),
        ("/rate_limits/requests_per_hour", "rate_limits", json!({ "requests_per_minute": 5 })),
        ("/rate_limits/$set", "rate_limits", json!({ "$set": 5 })),
        ("/keys", "keys", json!([])),
        ("/$where", "$where", json!("1")),
        ("/default_permissions", "default_permissions", json!(["referrals_access"])),
    ];

    for (pointer, field, value) in cases {
        let mut body = external();
        body[field] = value;
        let reply = admin.post("/v1/admin/apps", body);
        assert_eq!(reply.pointers(), [pointer], "{:#}", reply.body);
        assert_eq!(reply.refused(422), "invalid");
    }
    let mut missing = external();
    missing.as_object_mut().expect("an object").remove("trust");
    assert_eq!(admin.post("/v1/admin/apps", missing).pointers(), ["/trust"]);

    assert!(purser.db_find("apps", doc! {}).is_empty());
}

#[test]
fn an_id_belongs_to_one_app_for_good() {
    let purser = Purser::start();
    let (admin, other) = (purser.admin(), purser.admin());
    admin.post("/v1/admin/apps", external()).expect(201);
    let before = purser.db_find("apps", doc! {});

    let mut again = external();
    again["name"] = json!("Another");
    let reply = other.post("/v1/admin/apps", again);

    assert_eq!(reply.refused(409), "already_exists");
    assert_eq!(purser.db_find("apps", doc! {}), before);
}

#[test]
fn an_app_that_is_registered_twice_under_one_idempotency_key_has_one_key() {
    let purser = Purser::start();
    let admin = purser.admin().with("Idempotency-Key", "app-1");

    let first = admin.post("/v1/admin/apps", external()).expect(201);
    let again = admin.post("/v1/admin/apps", external());

    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
}

#[test]
fn an_app_is_changed_setting_by_setting() {
    let purser = Purser::start();
    let admin = purser.admin();
    admin.post("/v1/admin/apps", external()).expect(201);
    let path = "/v1/admin/apps/external_app_001";
    purser.step_clock(1000);

    let renamed = changing(&admin, "\"1\"").patch(path, json!({ "name": "New name" }));
    assert_eq!(renamed.header("etag"), Some("\"2\""));
    let rest = json!({
        "description": "", "status": "suspended", "trust": "third_party",
        "permissions": ["read"], "default_permissions": [], "visible_fields": null,
        "may_issue": { "categories": ["paid"], "per_day": 5 },
        "roles": [{ "name": "owner", "permissions": ["all"], "default": true }],
        "rate_limits": { "requests_per_minute": 1, "requests_per_hour": 2 },
    });
    let changed = changing(&admin, "\"2\"").patch(path, rest.clone()).expect(200);

    assert_eq!(renamed.expect(200)["permissions"], external()["permissions"]);
    for (name, value) in rest.as_object().expect("fields") {
        assert_eq!(changed[name], *value, "{name}");
    }
    assert_eq!((&changed["name"], &changed["revision"]), (&json!("New name"), &json!(3)));
    assert_eq!(changed["created_at"], START);
    assert_eq!(changed["updated_at"], "2026-01-01T00:00:01.000Z");
    assert_eq!(admin.get(path).expect(200), changed);
}

#[test]
fn a_group_of_settings_is_merged_field_by_field() {
    let purser = Purser::start();
    let admin = purser.admin().with("If-Match", "*");
    admin.post("/v1/admin/apps", external()).expect(201);
    let path = "/v1/admin/apps/external_app_001";

    let limits = json!({ "rate_limits": { "requests_per_minute": 15 } });
    let limited = admin.patch(path, limits).expect(200);
    let issuing = admin.patch(path, json!({ "may_issue": { "per_day": 7 } })).expect(200);

    let expected = json!({ "requests_per_minute": 15, "requests_per_hour": 20 });
    assert_eq!(limited["rate_limits"], expected);
    assert_eq!(issuing["may_issue"], json!({ "categories": ["paid", "promo"], "per_day": 7 }));
}

#[test]
fn a_setting_that_an_app_must_have_cannot_be_removed() {
    let purser = Purser::start();
    let admin = purser.admin().with("If-Match", "*");
    admin.post("/v1/admin/apps", external()).expect(201);
    let path = "/v1/admin/apps/external_app_001";
    let before = purser.db_find("apps", doc! {});

    for field in [
        "name",
        "description",
        "status",
        "trust",
        "permissions",
        "default_permissions",
        "may_issue",
        "roles",
        "rate_limits",
    ] {
        let reply = admin.patch(path, json!({ field: null }));
        assert_eq!(reply.pointers(), [format!("/{field}")]);
        assert_eq!(reply.refused(422), "invalid", "{field}");
    }

    assert_eq!(purser.db_find("apps", doc! {}), before);
}

#[test]
fn a_change_that_does_not_fit_the_app_is_refused_and_named() {
    let purser = Purser::start();
    let admin = purser.admin().with("If-Match", "*");
    admin.post("/v1/admin/apps", external()).expect(201);
    let path = "/v1/admin/apps/external_app_001";
    let before = purser.db_find("apps", doc! {});
    let cases = [
        ("/default_permissions", json!({ "permissions": ["read"] })),
        ("/default_permissions", json!({ "default_permissions": ["referrals_access"] })),
        ("/name", json!({ "name": "" })),
        ("/status", json!({ "status": "closed" })),
        ("/visible_fields/0", json!({ "visible_fields": ["modules"] })),
        ("/app_id", json!({ "app_id": "another" })),
        ("/keys", json!({ "keys": [] })),
        ("/revision", json!({ "revision": 9 })),
        (
            "/rate_limits/requests_per_minute",
            json!({ "rate_limits": { "requests_per_minute": 0 } }),
        ),
        ("", json!([])),
    ];

    for (pointer, patch) in cases {
        let reply = admin.patch(path, patch.clone());
        assert_eq!(reply.pointers(), [pointer], "{patch}");
        assert_eq!(reply.refused(422), "invalid", "{patch}");
    }

    assert_eq!(purser.db_find("apps", doc! {}), before);
}

#[test]
fn an_app_is_changed_only_by_who_has_seen_it() {
    let purser = Purser::start();
    let admin = purser.admin();
    admin.post("/v1/admin/apps", external()).expect(201);
    let path = "/v1/admin/apps/external_app_001";
    let name = |name: &str| json!({ "name": name });

    let blind = admin.patch(path, name("Blind"));
    changing(&admin, "\"1\"").patch(path, name("First")).expect(200);
    let stale = changing(&admin, "\"1\"").patch(path, name("Stale"));
    let ahead = changing(&admin, "\"3\"").patch(path, name("Ahead"));

    assert_eq!(blind.refused(428), "precondition_required");
    assert_eq!(stale.refused(412), "revision_mismatch");
    assert_eq!(ahead.refused(412), "revision_mismatch");
    assert_eq!(admin.get(path).expect(200)["name"], "First");
    changing(&admin, "\"9\", \"2\"").patch(path, name("Second")).expect(200);
    changing(&admin, "*").patch(path, name("Third")).expect(200);
    assert_eq!(admin.get(path).expect(200)["revision"], 4);
}

#[test]
fn a_new_key_is_a_change_that_stale_admins_must_see() {
    let purser = Purser::start();
    let admin = purser.admin();
    admin.post("/v1/admin/apps", external()).expect(201);
    let path = "/v1/admin/apps/external_app_001";

    let issued = admin.post(&format!("{path}/keys"), json!({})).expect(201);
    let stale = changing(&admin, "\"1\"").patch(path, json!({ "name": "Stale" }));

    assert_eq!(issued["app"]["revision"], 2);
    assert_eq!(stale.refused(412), "revision_mismatch");
    assert_eq!(admin.get(path).header("etag"), Some("\"2\""));
}

#[test]
fn a_change_to_what_an_app_is_already_leaves_no_entry() {
    let purser = Purser::start();
    let admin = purser.admin();
    admin.post("/v1/admin/apps", external()).expect(201);
    let path = "/v1/admin/apps/external_app_001";
    purser.step_clock(1000);

    let mut same = external();
    same.as_object_mut().expect("an object").remove("app_id");
    let reply = changing(&admin, "\"1\"").patch(path, same);

    assert_eq!(reply.header("etag"), Some("\"1\""));
    assert_eq!(reply.expect(200)["updated_at"], START);
    assert_eq!(purser.db_entries(doc! { "subject": "app:external_app_001" }).len(), 1);
}

#[test]
fn an_app_that_does_not_exist_is_404() {
    let purser = Purser::start();
    let admin = purser.admin().with("If-Match", "*");

    for id in ["none", "No", "%24ne", "a.b.c"] {
        let path = format!("/v1/admin/apps/{id}");
        assert_eq!(admin.get(&path).refused(404), "not_found", "{id}");
        assert_eq!(admin.patch(&path, json!({ "name": "N" })).refused(404), "not_found", "{id}");
        let key = admin.post(&format!("{path}/keys"), json!({}));
        assert_eq!(key.refused(404), "not_found", "{id}");
    }

    assert!(purser.db_find("apps", doc! {}).is_empty());
}

#[test]
fn the_pages_of_all_apps_hold_each_once_in_the_order_of_their_ids() {
    let purser = Purser::start();
    let admin = purser.admin();
    for id in ["delta", "alpha", "echo", "bravo", "charlie"] {
        purser.app(id);
    }

    let (mut seen, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/v1/admin/apps?limit=2{cursor}")).expect(200);
        let items = page["items"].as_array().expect("items");
        sizes.push(items.len());
        seen.extend(items.iter().map(|app| app["app_id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }

    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(seen, ["alpha", "bravo", "charlie", "delta", "echo"]);
    for (query, parameter) in [("limit=0", "limit"), ("status=active", "status")] {
        let reply = admin.get(&format!("/v1/admin/apps?{query}"));
        assert_eq!(reply.pointers(), [parameter]);
        assert_eq!(reply.refused(422), "invalid");
    }
    let other = purser.admin().get(&format!("/v1/admin/apps?{}", &cursor[1..]));
    assert_eq!(other.refused(400), "invalid_cursor");
}

#[test]
fn every_change_of_an_app_names_the_operator_and_the_values() {
    let purser = Purser::start();
    let admin = purser.admin();
    admin.post("/v1/admin/apps", external()).expect(201);
    let operator = purser.db_find("operators", doc! { "key_id": &admin.key()[8..20] }).remove(0);
    let operator = operator.get_object_id("_id").expect("an id").to_hex();

    let limits = json!({ "rate_limits": { "requests_per_minute": 15, "requests_per_hour": 20 } });
    changing(&admin, "\"1\"").patch("/v1/admin/apps/external_app_001", limits).expect(200);

    let page = admin.get("/v1/audit/logs?action=app_updated").expect(200);
    let entry = &page["items"][0];
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(entry["actor"], json!({ "kind": "operator", "id": operator }));
    assert_eq!((&entry["subject"], &entry["seq"]), (&json!("app:external_app_001"), &json!(2)));
    assert_eq!((&entry["app_id"], &entry["user_id"]), (&Value::Null, &Value::Null));
    assert_eq!(
        entry["changes"]["rate_limits.requests_per_minute"],
        json!({ "old": 10, "new": 15 })
    );
}

#[test]
fn an_app_that_becomes_a_strangers_sees_what_strangers_see_unless_the_admin_says_more() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let change = |body| {
        let path = "/v1/admin/apps/shop";
        admin.with("If-Match", "*").patch(path, body).expect(200)["visible_fields"].clone()
    };

    let fields = change(json!({ "trust": "third_party" }));
    assert_eq!(fields, json!(["username", "profile.language", "profile.timezone"]));
    assert_eq!(shop.get(&format!("/v1/users/{ada}")).expect(200)["shared"]["email"], Value::Null);

    assert_eq!(change(json!({ "trust": "first_party", "visible_fields": null })), Value::Null);
    assert_eq!(
        change(json!({ "trust": "third_party", "visible_fields": ["email"] })),
        json!(["email"])
    );
}
