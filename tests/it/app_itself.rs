//! What an app sees of itself: its settings, its use, and what it has done.

use std::collections::BTreeSet;

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, explain, stages};

#[test]
fn an_app_reads_its_settings_keys_and_use() {
    let purser = Purser::start();
    let admin = purser.admin();
    let shop = purser.app_with("shop", json!({ "description": "Sells things." }));
    let bank = purser.app("bank");
    shop.register("ada@example.com");
    shop.register("grace@example.com");
    let (_, gone) = shop.register("gone@example.com");
    gone.delete("/v1/users/me/connection").expect(204);
    bank.register("ada@example.com");

    let app = shop.get("/v1/app").expect(200);

    assert_eq!(app["use"], json!({ "active_connections": 2 }));
    let seen = admin.get("/v1/admin/apps/shop").expect(200);
    for (name, value) in seen.as_object().expect("fields") {
        let own = app.get(name);
        assert_eq!(own, (name != "revision").then_some(value), "{name}");
    }
    let text = app.to_string();
    assert!(!text.contains(shop.key()) && !text.contains("\"mac\"") && !text.contains("sealed"));
    assert_eq!(bank.get("/v1/app").expect(200)["use"]["active_connections"], 1);
}

#[test]
fn only_an_app_key_asks_for_the_app() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (_, connection) = shop.register("ada@example.com");
    for path in ["/v1/app", "/v1/app/audit"] {
        for who in [&connection, &purser.admin(), &purser.auditor()] {
            assert_eq!(who.get(path).refused(403), "wrong_credential");
        }
        let reply = shop.get(&format!("{path}?app_id=bank"));
        assert_eq!(reply.pointers(), ["app_id"]);
        assert_eq!(reply.refused(422), "invalid");
    }
}

fn actions(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items");
    items.iter().filter_map(|item| item["action"].as_str()).collect()
}

#[test]
fn an_app_reads_what_it_has_done_and_nothing_of_others() {
    let purser = Purser::start();
    let (admin, shop, bank) = (purser.admin(), purser.app("shop"), purser.app("bank"));
    let (ada, key) = shop.register("ada@example.com");
    let (_, banks) = bank.register("ada@example.com");
    purser.step_clock(1000);
    key.patch("/v1/users/me", json!({ "profile": { "last_name": "Lovelace" } })).expect(200);
    banks.patch("/v1/users/me", json!({ "profile": { "last_name": "King" } })).expect(200);
    admin.post(&format!("/v1/admin/users/{ada}/suspend"), json!({})).expect(200);
    admin.with("If-Match", "*").patch("/v1/admin/apps/shop", json!({ "name": "N" })).expect(200);

    let page = shop.get("/v1/app/audit").expect(200);

    let newest = &page["items"][0];
    assert_eq!(newest["action"], "profile_updated");
    assert_eq!((&newest["user_id"], &newest["actor"]["id"]), (&json!(ada), &json!("shop")));
    assert_eq!(newest["timestamp"], "2026-01-01T00:00:01.000Z");
    assert!(newest["paths"].as_array().expect("paths").contains(&json!("profile.last_name")));
    assert!(newest["connection_id"].is_string() && newest["request_id"].is_string());
    assert!(
        actions(&page).iter().all(|action| ["profile_updated", "user_registered"].contains(action))
    );
    let text = page.to_string();
    for hidden in ["Lovelace", "King", "bank", "changes", "ip_address", "\"seq\"", "operator"] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
    let banks = bank.get("/v1/app/audit").expect(200).to_string();
    assert!(!banks.contains("shop"), "{banks}");
}

#[test]
fn what_a_person_is_registered_with_is_told_an_app_only_of_modules_that_it_may_know_of() {
    let purser = Purser::start();
    let admin = purser.admin();
    let loyalty = json!({
        "module_name": "loyalty", "display_name": "Loyalty",
        "schema": { "enabled": "boolean", "points": "number" },
        "defaults": { "enabled": true, "points": 0 },
    });
    admin.post("/v1/admin/modules", loyalty).expect(201);
    let club = json!({ "permissions": ["read", "loyalty_access"] });
    let (shop, club) = (purser.app("shop"), purser.app_with("club", club));
    let (ada, _) = shop.register("ada@example.com");
    club.register("grace@example.com");
    let of_modules = |app: &Principal| {
        let page = app.get("/v1/app/audit").expect(200);
        let paths = page["items"].as_array().expect("items").iter();
        let paths = paths.flat_map(|item| item["paths"].as_array().expect("paths").clone());
        let names = paths.filter_map(|path| {
            let below = path.as_str().expect("a path").strip_prefix("modules.")?.to_owned();
            below.split('.').next().map(str::to_owned)
        });
        names.collect::<BTreeSet<_>>()
    };

    assert_eq!(of_modules(&shop), BTreeSet::from(["wallet".to_owned()]));
    assert_eq!(of_modules(&club), BTreeSet::from(["loyalty".to_owned()]));
    let stored = purser.db_entries(doc! { "user_id": ObjectId::parse_str(&ada).expect("an id") });
    assert!(format!("{stored:?}").contains("modules.loyalty"), "it stands in the trail");
}

#[test]
fn the_own_trail_is_narrowed_by_person_action_and_time_and_read_page_by_page() {
    let purser = Purser::start();
    let (shop, bank) = (purser.app("shop"), purser.app("bank"));
    let (ada, key) = shop.register("ada@example.com");
    let (grace, _) = shop.register("grace@example.com");
    let (stranger, _) = bank.register("stranger@example.com");
    for n in 0..5 {
        purser.step_clock(1000);
        key.patch("/v1/users/me", json!({ "username": format!("ada {n}") })).expect(200);
    }
    let list = |query: &str| shop.get(&format!("/v1/app/audit{query}")).expect(200);

    let count = |query: &str| list(query)["items"].as_array().map(Vec::len);
    assert_eq!(count(&format!("?user_id={ada}&action=profile_updated")), Some(5));
    assert_eq!(count(&format!("?user_id={grace}&action=profile_updated")), Some(0));
    assert_eq!(count(&format!("?user_id={stranger}")), Some(0));
    assert_eq!(count("?from=2026-01-01T00:00:04Z"), Some(2));
    assert_eq!(count("?from=2026-01-01T00:00:01Z&to=2026-01-01T00:00:02Z"), Some(1));
    let (mut seen, mut query) = (0, "?action=profile_updated&limit=2".to_owned());
    let cursor = loop {
        let page = list(&query);
        seen += page["items"].as_array().expect("items").len();
        let Some(cursor) = page["next_cursor"].as_str() else { break query };
        query = format!("?action=profile_updated&limit=2&cursor={cursor}");
    };
    assert_eq!(seen, 5);
    assert_eq!(bank.get(&format!("/v1/app/audit{cursor}")).refused(400), "invalid_cursor");
    for (query, pointer) in [
        ("?user_id=me", "user_id"),
        ("?action=a%20b", "action"),
        ("?from=yesterday", "from"),
        ("?actor=bank", "actor"),
        ("?subject=app:bank", "subject"),
    ] {
        let reply = shop.get(&format!("/v1/app/audit{query}"));
        assert_eq!(reply.pointers(), [pointer]);
        assert_eq!(reply.refused(422), "invalid");
    }
}

#[test]
fn the_own_trail_and_the_count_of_connections_come_from_an_index() {
    let purser = Purser::start();
    let mine = doc! { "$or": [
        { "actor.kind": "app", "actor.id": "shop" }, { "actor.kind": "user" },
    ] };
    let find = doc! {
        "find": "user_audit_logs",
        "filter": { "app_id": { "$eq": "shop" }, "$and": [mine] },
        "sort": { "timestamp": -1, "_id": -1 },
        "limit": 51,
        "projection": { "changes": 0 },
    };
    let trail = stages(&explain(&purser, find));
    assert!(trail.iter().any(|stage| stage == "IXSCAN"), "{trail:?}");
    assert!(!trail.iter().any(|stage| stage == "COLLSCAN" || stage == "SORT"), "{trail:?}");

    let count = doc! {
        "aggregate": "user_apps",
        "pipeline": [
            { "$match": { "app_id": "shop", "connection_status": "active" } },
            { "$limit": 10_000 },
            { "$group": { "_id": 1, "n": { "$sum": 1 } } },
        ],
        "cursor": {},
    };
    let reply = purser.db_command(doc! { "explain": count, "verbosity": "queryPlanner" });
    let count = stages(&winning(&reply));
    assert!(count.iter().any(|stage| stage == "IXSCAN"), "{count:?}");
    assert!(!count.iter().any(|stage| stage == "COLLSCAN" || stage == "FETCH"), "{count:?}");
}

/// The plan that an aggregation would follow, wherever the explanation puts it.
fn winning(explained: &Document) -> Document {
    let mut open = vec![explained.clone()];
    while let Some(node) = open.pop() {
        if let Ok(plan) = node.get_document("winningPlan") {
            return plan.clone();
        }
        for (_, value) in node {
            match value {
                Bson::Document(inner) => open.push(inner),
                Bson::Array(inner) => {
                    open.extend(inner.into_iter().filter_map(|one| one.as_document().cloned()));
                }
                _ => {}
            }
        }
    }
    panic!("no plan: {explained}")
}
