//! Whole answers, as clients see them. Ids, keys and times are the same in every run, so nothing is
//! left out. `INSTA_UPDATE=always cargo test --test it shapes` accepts what has changed.

use insta::assert_json_snapshot;
use serde_json::json;

use crate::harness::Purser;

fn ada() -> serde_json::Value {
    json!({
        "email": "ada@example.com",
        "verified": ["email"],
        "username": "ada",
        "profile": {
            "first_name": "Ada", "last_name": "Lovelace", "phone": "+442079460958",
            "timezone": "Europe/London", "language": "en-GB",
        },
        "connection": {
            "app_username": "ada_ext",
            "app_profile": { "nickname": "Countess", "custom_fields": { "level": 3 } },
        },
    })
}

#[test]
fn a_registered_app_looks_like_this() {
    let purser = Purser::start();
    let body = json!({
        "app_id": "shop", "name": "The shop", "description": "Sells", "trust": "first_party",
        "permissions": ["read", "write", "wallet_access"], "default_permissions": ["read"],
        "may_issue": { "categories": ["paid"], "per_day": 1000 },
        "roles": [{ "name": "member", "permissions": ["orders:read"], "default": true }],
    });
    assert_json_snapshot!(purser.admin().post("/v1/admin/apps", body).expect(201));
}

#[test]
fn a_registered_person_looks_like_this() {
    let purser = Purser::start();
    assert_json_snapshot!(purser.app("shop").post("/v1/users", ada()).expect(201));
}

#[test]
fn a_view_looks_like_this() {
    let purser = Purser::start();
    let shop = purser.app_with("shop", json!({ "permissions": ["read"] }));
    let (id, _) = shop.register_with(ada());
    assert_json_snapshot!(shop.get(&format!("/v1/users/{id}")).expect(200));
}

#[test]
fn a_page_of_the_trail_looks_like_this() {
    let purser = Purser::start();
    let shop = purser.app("shop").with("X-Request-Id", "checkout-1");
    let (id, _) = shop.register_with(ada());
    purser.step_clock(1500);
    shop.patch(&format!("/v1/users/{id}"), json!({ "profile": { "last_name": "King" } }))
        .expect(200);
    let trail = format!("/v1/audit/logs?user_id={id}&action=profile_updated");
    assert_json_snapshot!("trail_seen", purser.auditor().get(&trail).expect(200));
    assert_json_snapshot!("trail_masked", purser.masked_auditor().get(&trail).expect(200));
}

#[test]
fn a_problem_looks_like_this() {
    let purser = Purser::start();
    let mut body = ada();
    body["profile"]["timezone"] = json!("Mars/Olympus");
    body["profile"]["phone"] = json!("12");
    body["username"] = json!("ada@example.com");
    assert_json_snapshot!(purser.app("shop").post("/v1/users", body).expect(422));
}
