//! Connections as admins look after them.

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, explain, person, stages};

/// The id of the tie between this person and this app.
fn tie(admin: &Principal, user: &str, app: &str) -> String {
    let page = admin.get(&format!("/v1/admin/connections?user_id={user}&app_id={app}")).expect(200);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page}");
    page["items"][0]["id"].as_str().expect("an id").to_owned()
}

fn path(tie: &str) -> String {
    format!("/v1/admin/connections/{tie}")
}

/// Whose connections they are, and to which apps.
fn seen(page: &Value) -> Vec<(&str, &str)> {
    let items = page["items"].as_array().expect("items").iter();
    items.filter_map(|tie| Some((tie["user_id"].as_str()?, tie["app_id"].as_str()?))).collect()
}

#[test]
fn an_admin_lists_connections_by_person_app_and_status() {
    let purser = Purser::start();
    let (admin, shop, bank) = (purser.admin(), purser.app("shop"), purser.app("bank"));
    let (ada, _) = shop.register("ada@example.com");
    purser.step_clock(1000);
    let (grace, key) = shop.register("grace@example.com");
    purser.step_clock(1000);
    bank.register("ada@example.com");
    key.delete("/v1/users/me/connection").expect(204);
    let list = |query: &str| admin.get(&format!("/v1/admin/connections{query}")).expect(200);

    let (ada, grace) = (ada.as_str(), grace.as_str());
    assert_eq!(seen(&list("")), [(ada, "shop"), (grace, "shop"), (ada, "bank")]);
    assert_eq!(seen(&list(&format!("?user_id={ada}"))), [(ada, "shop"), (ada, "bank")]);
    assert_eq!(seen(&list("?app_id=shop")), [(ada, "shop"), (grace, "shop")]);
    assert_eq!(seen(&list("?app_id=shop&status=inactive")), [(grace, "shop")]);
    assert_eq!(seen(&list("?status=active")), [(ada, "shop"), (ada, "bank")]);
    assert_eq!(seen(&list("?app_id=nobody")), []);

    let first = list("?app_id=shop&limit=1");
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = list(&format!("?app_id=shop&limit=1&cursor={cursor}"));
    assert_eq!((seen(&second), &second["next_cursor"]), (vec![(grace, "shop")], &Value::Null));
    let elsewhere = admin.get(&format!("/v1/admin/connections?app_id=bank&cursor={cursor}"));
    assert_eq!(elsewhere.refused(400), "invalid_cursor");
    for (query, pointer) in [
        ("?user_id=me", "user_id"),
        ("?app_id=$where", "app_id"),
        ("?status=gone", "status"),
        ("?app_username=x", "app_username"),
    ] {
        let reply = admin.get(&format!("/v1/admin/connections{query}"));
        assert_eq!(reply.pointers(), [pointer]);
        assert_eq!(reply.refused(422), "invalid");
    }
}

#[test]
fn what_an_app_keeps_of_a_person_is_not_shown_to_admins() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let mut body = person("ada@example.com");
    body["connection"] = json!({
        "app_username": "only-the-shops", "app_version": "only-the-shops",
        "app_profile": { "nickname": "only-the-shops", "preferences": { "x": "only-the-shops" } },
    });
    let (ada, key) = shop.register_with(body);
    let tie = tie(&admin, &ada, "shop");

    let listed = admin.get("/v1/admin/connections").expect(200);
    let one = admin.get(&path(&tie)).expect(200);
    let change = json!({ "rate_limits": { "requests_per_minute": 5 } });
    let changed = admin.with("If-Match", "\"1\"").patch(&path(&tie), change).expect(200);

    assert_eq!(listed["items"][0], one);
    for answer in [&listed, &one, &changed] {
        let text = answer.to_string();
        assert!(!text.contains("only-the-shops"), "{text}");
        assert!(
            !text.contains(key.key()) && !text.contains("_mac") && !text.contains("\"api_key\"")
        );
    }
}

#[test]
fn an_admin_changes_permissions_roles_limits_and_addresses() {
    let purser = Purser::start();
    let admin = purser.admin();
    let roles = json!([{ "name": "owner", "permissions": ["all"] }, { "name": "guest" }]);
    let shop = purser.app_with("shop", json!({ "roles": roles }));
    let (ada, key) = shop.register("ada@example.com");
    let tie = tie(&admin, &ada, "shop");
    let read = admin.get(&path(&tie));
    assert_eq!(read.header("etag"), Some("\"1\""));

    let change = json!({
        "permissions": ["read"], "roles": ["owner"], "allowed_ips": ["127.0.0.1/8"],
        "rate_limits": { "requests_per_hour": 50_000 },
    });
    let changed = admin.with("If-Match", "\"1\"").patch(&path(&tie), change);

    assert_eq!(changed.header("etag"), Some("\"2\""));
    let changed = changed.expect(200);
    assert_eq!(changed["permissions"], json!(["read"]));
    assert_eq!(changed["roles"], json!(["owner"]));
    assert_eq!(changed["allowed_ips"], json!(["127.0.0.0/8"]));
    let limits = json!({ "requests_per_minute": 100, "requests_per_hour": 50_000 });
    assert_eq!(changed["rate_limits"], limits);
    assert_eq!(admin.get(&path(&tie)).expect(200)["roles"], json!(["owner"]));
    key.get("/v1/users/me").expect(200);
    let write = key.patch("/v1/users/me", json!({ "username": "ada" }));
    assert_eq!(write.refused(403), "permission_denied");
    let nothing = admin.with("If-Match", "\"2\"").patch(&path(&tie), json!({ "roles": ["owner"] }));
    assert_eq!(nothing.header("etag"), Some("\"2\""));
    assert_eq!(purser.db_entries(doc! { "action": "connection_changed" }).len(), 1);
}

#[test]
fn a_change_of_a_connection_needs_the_revision_of_its_person() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, key) = shop.register("ada@example.com");
    let tie = tie(&admin, &ada, "shop");
    let change = json!({ "permissions": ["read"] });

    let blind = admin.patch(&path(&tie), change.clone());
    key.patch("/v1/users/me", json!({ "username": "ada" })).expect(200);
    let stale = admin.with("If-Match", "\"1\"").patch(&path(&tie), change.clone());

    assert_eq!(blind.refused(428), "precondition_required");
    assert_eq!(stale.refused(412), "revision_mismatch");
    admin.with("If-Match", "\"2\"").patch(&path(&tie), change).expect(200);
}

#[test]
fn of_two_admins_who_saw_the_same_one_is_refused() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let tie = tie(&admin, &ada, "shop");

    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = |permission: &'static str| {
            let (who, path) = (purser.admin().with("If-Match", "\"1\""), path(&tie));
            scope.spawn(move || who.patch(&path, json!({ "permissions": [permission] })).status)
        };
        let sent = [send("read"), send("write")];
        sent.into_iter().map(|one| one.join().expect("answered")).collect()
    });

    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

#[test]
fn what_a_connection_cannot_hold_is_refused_and_named() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin().with("If-Match", "*"), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let tie = tie(&admin, &ada, "shop");
    let before = purser.db_find("user_apps", doc! {});
    let cases = [
        ("/permissions/1", json!({ "permissions": ["read", "referrals_access"] })),
        ("/permissions/0", json!({ "permissions": ["everything"] })),
        ("/permissions/1", json!({ "permissions": ["read", "read"] })),
        ("/permissions", json!({ "permissions": null })),
        ("/roles/0", json!({ "roles": ["unknown"] })),
        ("/roles/0", json!({ "roles": ["$where"] })),
        (
            "/rate_limits/requests_per_minute",
            json!({ "rate_limits": { "requests_per_minute": 0 } }),
        ),
        (
            "/rate_limits/requests_per_minute",
            json!({ "rate_limits": { "requests_per_minute": "9" } }),
        ),
        ("/connection_status", json!({ "connection_status": "inactive" })),
        ("/connection_status", json!({ "connection_status": null })),
        ("/allowed_ips/0", json!({ "allowed_ips": ["here"] })),
        ("/app_profile", json!({ "app_profile": {} })),
        ("/user_id", json!({ "user_id": "0123456789abcdef01234567" })),
    ];

    for (pointer, patch) in cases {
        let reply = admin.patch(&path(&tie), patch.clone());
        assert_eq!(reply.pointers(), [pointer], "{patch}");
        assert_eq!(reply.refused(422), "invalid", "{patch}");
    }

    assert_eq!(purser.db_find("user_apps", doc! {}), before);
}

#[test]
fn a_suspended_connection_is_closed_until_it_is_active_again() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin().with("If-Match", "*"), purser.app("shop"));
    let (ada, key) = shop.register("ada@example.com");
    let tie = tie(&admin, &ada, "shop");
    let put = |status: &str| admin.patch(&path(&tie), json!({ "connection_status": status }));

    put("suspended").expect(200);
    put("suspended").expect(200);
    assert_eq!(key.get("/v1/users/me").refused(403), "connection_suspended");
    assert_eq!(shop.get(&format!("/v1/users/{ada}")).refused(403), "connection_suspended");
    put("active").expect(200);

    key.get("/v1/users/me").expect(200);
    assert_eq!(purser.db_entries(doc! { "action": "connection_changed" }).len(), 2);
}

#[test]
fn a_revoked_connection_keeps_nothing_of_the_app_and_never_comes_back() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin().with("If-Match", "*"), purser.app("shop"));
    let mut body = person("ada@example.com");
    body["connection"] = json!({
        "app_username": "ada", "app_profile": { "nickname": "A", "custom_fields": { "x": 1 } },
    });
    let (ada, key) = shop.register_with(body);
    let tie = tie(&admin, &ada, "shop");
    let put = |status: &str| admin.patch(&path(&tie), json!({ "connection_status": status }));

    let revoked = put("revoked").expect(200);

    assert_eq!(
        (&revoked["connection_status"], &revoked["key_hint"]),
        (&json!("revoked"), &Value::Null)
    );
    assert_eq!(key.get("/v1/users/me").refused(401), "unauthenticated");
    assert_eq!(shop.get(&format!("/v1/users/{ada}")).refused(403), "connection_revoked");
    assert_eq!(
        shop.post("/v1/users", person("ada@example.com")).refused(403),
        "connection_revoked"
    );
    let stored = &purser.db_find("user_apps", doc! {})[0];
    assert!(stored.get_document("app_profile").expect("a profile").is_empty());
    assert_eq!(stored.get_str("app_username").ok(), None);
    for gone in ["api_key", "key_id", "key_mac", "key_hint"] {
        assert!(!stored.contains_key(gone), "{gone}");
    }
    put("revoked").expect(200);
    for refused in [put("active"), put("suspended")] {
        assert_eq!(refused.refused(409), "already_resolved");
    }
    let widened = admin.patch(&path(&tie), json!({ "permissions": [] }));
    assert_eq!(widened.refused(409), "already_resolved");
}

#[test]
fn what_the_app_has_let_go_an_admin_can_only_revoke() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin().with("If-Match", "*"), purser.app("shop"));
    let (ada, key) = shop.register("ada@example.com");
    let tie = tie(&admin, &ada, "shop");
    key.delete("/v1/users/me/connection").expect(204);
    let put = |status: &str| admin.patch(&path(&tie), json!({ "connection_status": status }));

    assert_eq!(put("active").refused(409), "already_resolved");
    assert_eq!(put("suspended").refused(409), "already_resolved");
    put("revoked").expect(200);

    assert_eq!(
        shop.post("/v1/users", person("ada@example.com")).refused(403),
        "connection_revoked"
    );
}

#[test]
fn a_connection_that_is_not_there_is_not_found_and_an_auditor_sees_none() {
    let purser = Purser::start();
    let (admin, auditor) = (purser.admin().with("If-Match", "*"), purser.auditor());
    for nothing in ["0123456789abcdef01234567", "me", "%24where"] {
        assert_eq!(admin.get(&path(nothing)).refused(404), "not_found");
        assert_eq!(admin.patch(&path(nothing), json!({})).refused(404), "not_found");
    }
    assert_eq!(auditor.get("/v1/admin/connections").refused(403), "wrong_credential");
}

#[test]
fn every_list_of_connections_is_served_by_an_index() {
    let purser = Purser::start();
    let someone = bson::oid::ObjectId::from_bytes([7; 12]);
    for filter in [
        doc! {},
        doc! { "user_id": someone },
        doc! { "app_id": "shop" },
        doc! { "app_id": "shop", "_id": { "$gt": someone } },
        doc! { "app_id": "shop", "connection_status": "suspended", "_id": { "$gt": someone } },
        doc! { "user_id": someone, "app_id": "shop" },
        doc! { "connection_status": "suspended" },
    ] {
        let find = doc! { "find": "user_apps", "filter": filter.clone(), "sort": { "_id": 1 } };
        let stages = stages(&explain(&purser, find));
        assert!(!stages.iter().any(|stage| stage == "COLLSCAN"), "{filter}: {stages:?}");
    }
}
