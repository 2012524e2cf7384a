//! Roles: what a person is inside each app, and what that gives.

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, Reply, person};

fn app_with_roles(purser: &Purser, id: &str) -> Principal {
    purser.app_with(
        id,
        json!({ "roles": [
            { "name": "admin", "permissions": ["invoices:read", "invoices:write"] },
            { "name": "user", "permissions": ["invoices:read"], "default": true },
            { "name": "viewer", "permissions": ["payslips:read"] },
        ] }),
    )
}

fn put(who: &Principal, user: &str, body: &Value) -> Reply {
    let body = body.to_string().into_bytes();
    who.send("PUT", &format!("/v1/users/{user}/roles"), Some(body))
}

fn roles(who: &Principal, user: &str) -> Value {
    who.get(&format!("/v1/users/{user}/roles")).expect(200)["roles"].clone()
}

fn access(who: &Principal, user: &str, permission: &str) -> Value {
    who.get(&format!("/v1/users/{user}/access?permission={permission}")).expect(200)
}

#[test]
fn a_person_is_one_thing_in_one_app_and_another_in_the_next() {
    let purser = Purser::start();
    let accounting = app_with_roles(&purser, "accounting_app");
    let payroll = app_with_roles(&purser, "payroll_app");
    let (alice, _) = accounting.register("alice@example.com");
    let (same, _) = payroll.register("alice@example.com");
    let (bob, _) = accounting.register("bob@example.com");
    assert_eq!(alice, same);

    put(&accounting, &alice, &json!({ "roles": ["admin"] })).expect(200);
    put(&payroll, &alice, &json!({ "roles": ["viewer"] })).expect(200);

    assert_eq!(roles(&accounting, &alice), json!(["admin"]));
    assert_eq!(roles(&payroll, &alice), json!(["viewer"]));
    assert_eq!(roles(&accounting, &bob), json!(["user"]), "the default role");
    assert_eq!(
        access(&accounting, &alice, "invoices:write"),
        json!({ "allowed": true, "roles": ["admin"], "because": "role admin" })
    );
    assert_eq!(
        access(&payroll, &alice, "invoices:write"),
        json!({
            "allowed": false, "roles": ["viewer"],
            "because": "no role of this person gives invoices:write",
        })
    );
    assert_eq!(access(&accounting, &bob, "invoices:read")["because"], "role user");
    assert_eq!(access(&accounting, &bob, "invoices:write")["allowed"], false);
    assert_eq!(
        access(&accounting, &alice, "invoices:delete")["because"],
        "no role of this app gives invoices:delete"
    );
    let view = accounting.get(&format!("/v1/users/{alice}")).expect(200);
    assert_eq!(view["app_specific"]["roles"], json!(["admin"]));
    let entries = purser.db_entries(doc! { "action": "roles_assigned" });
    assert_eq!(entries.len(), 2);
}

#[test]
fn assigning_is_for_the_app_key_and_asking_for_whoever_is_connected() {
    let purser = Purser::start();
    let shop = app_with_roles(&purser, "shop");
    let (id, own) = shop.register("ada@example.com");

    for user in [id.as_str(), "me"] {
        assert_eq!(roles(&own, user), json!(["user"]));
        assert_eq!(access(&own, user, "invoices:read")["allowed"], true);
        let reply = put(&own, user, &json!({ "roles": ["admin"] }));
        assert_eq!(reply.refused(403), "wrong_credential");
    }

    let stranger = app_with_roles(&purser, "stranger");
    assert_eq!(put(&stranger, &id, &json!({ "roles": [] })).refused(404), "not_found");
    assert_eq!(roles(&shop, &id), json!(["user"]));
    let seen = shop.get(&format!("/v1/users/{id}/roles")).expect(200);
    let available = json!([
        { "name": "admin", "permissions": ["invoices:read", "invoices:write"], "default": false },
        { "name": "user", "permissions": ["invoices:read"], "default": true },
        { "name": "viewer", "permissions": ["payslips:read"], "default": false },
    ]);
    assert_eq!(seen, json!({ "roles": ["user"], "removed": [], "available": available }));
}

#[test]
fn a_role_that_the_app_does_not_have_is_refused_by_its_place_with_those_it_has() {
    let purser = Purser::start();
    let shop = app_with_roles(&purser, "shop");
    let (id, _) = shop.register("ada@example.com");

    let reply = put(&shop, &id, &json!({ "roles": ["admin", "owner"] }));
    assert_eq!(reply.pointers(), ["/roles/1"]);
    let detail = reply.body["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("admin, user, viewer"), "{detail}");
    assert_eq!(reply.refused(422), "invalid");

    for (body, pointer) in [
        (json!({}), "/roles"),
        (json!({ "roles": "admin" }), "/roles"),
        (json!({ "roles": null }), "/roles"),
        (json!({ "roles": [1] }), "/roles/0"),
        (json!({ "roles": ["Admin"] }), "/roles/0"),
        (json!({ "roles": ["a\u{0}b"] }), "/roles/0"),
        (json!({ "roles": ["admin", "admin"] }), "/roles/1"),
        (json!({ "roles": [], "role": "admin" }), "/role"),
    ] {
        let reply = put(&shop, &id, &body);
        assert_eq!(reply.pointers(), [pointer], "{body}");
        assert_eq!(reply.refused(422), "invalid");
    }
    assert_eq!(roles(&shop, &id), json!(["user"]));
}

#[test]
fn roles_are_replaced_as_a_whole_and_only_as_they_were_seen() {
    let purser = Purser::start();
    let shop = app_with_roles(&purser, "shop");
    let (id, _) = shop.register("ada@example.com");
    let seen = shop.get(&format!("/v1/users/{id}/roles"));
    let tag = seen.header("etag").expect("a tag").to_owned();

    let first = put(&shop.with("If-Match", &tag), &id, &json!({ "roles": ["viewer", "admin"] }));
    assert_ne!(first.header("etag"), Some(tag.as_str()));
    assert_eq!(first.expect(200)["roles"], json!(["viewer", "admin"]));
    let late = put(&shop.with("If-Match", &tag), &id, &json!({ "roles": [] }));
    assert_eq!(late.refused(412), "revision_mismatch");
    put(&shop, &id, &json!({ "roles": ["viewer", "admin"] })).expect(200);
    assert_eq!(put(&shop, &id, &json!({ "roles": [] })).expect(200)["roles"], json!([]));

    assert_eq!(access(&shop, &id, "invoices:read")["allowed"], false);
    let entries = purser.db_entries(doc! { "action": "roles_assigned" });
    assert_eq!(entries.len(), 2, "what changed nothing left no entry");
}

#[test]
fn a_question_without_a_usable_permission_is_refused() {
    let purser = Purser::start();
    let shop = app_with_roles(&purser, "shop");
    let (id, _) = shop.register("ada@example.com");

    for query in [
        String::new(),
        "?permission=".to_owned(),
        "?permission=%00".to_owned(),
        "?permission=a%0Ab".to_owned(),
        format!("?permission={}", "x".repeat(101)),
        "?permission=a&permission=b".to_owned(),
    ] {
        let reply = shop.get(&format!("/v1/users/{id}/access{query}"));
        assert_eq!(reply.pointers(), ["permission"], "{query}");
        assert_eq!(reply.refused(422), "invalid");
    }
    let reply = shop.get(&format!("/v1/users/{id}/access?permission=a&role=b"));
    assert_eq!(reply.pointers(), ["role"]);
    assert_eq!(access(&shop, &id, "%24where")["allowed"], false);
}

#[test]
fn a_role_that_the_app_has_lost_gives_nothing_and_goes_with_the_next_assignment() {
    let purser = Purser::start();
    let (shop, admin) = (app_with_roles(&purser, "shop"), purser.admin().with("If-Match", "*"));
    let mut body = person("ada@example.com");
    body["connection"] = json!({ "roles": ["admin", "viewer"] });
    let (id, _) = shop.register_with(body);

    let fewer = json!({ "roles": [{ "name": "viewer", "permissions": ["payslips:read"] }] });
    admin.patch("/v1/admin/apps/shop", fewer).expect(200);

    let seen = shop.get(&format!("/v1/users/{id}/roles")).expect(200);
    assert_eq!(seen["roles"], json!(["viewer"]));
    assert_eq!(seen["removed"], json!(["admin"]));
    let answer = access(&shop, &id, "invoices:write");
    assert_eq!((&answer["allowed"], &answer["roles"]), (&json!(false), &json!(["viewer"])));
    assert_eq!(put(&shop, &id, &json!({ "roles": ["admin"] })).refused(422), "invalid");
    let kept = put(&shop, &id, &json!({ "roles": seen["roles"] })).expect(200);
    assert_eq!((&kept["roles"], &kept["removed"]), (&json!(["viewer"]), &json!([])));
}
