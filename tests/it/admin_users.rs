//! People as admins look after them.

use bson::doc;
use bson::oid::ObjectId;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, START, explain, person, stages};

fn path(user: &str) -> String {
    format!("/v1/admin/users/{user}")
}

fn people(admin: &Principal, query: &str) -> Vec<String> {
    let page = admin.get(&format!("/v1/admin/users{query}")).expect(200);
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

fn id(text: &str) -> ObjectId {
    ObjectId::parse_str(text).expect("an id")
}

#[test]
fn an_admin_finds_people_by_each_of_their_names() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let mut body = person("ada@example.com");
    body["verified"] = json!(["email", "phone"]);
    body["profile"]["phone"] = json!("+12345678901");
    body["username"] = json!("countess");
    let (ada, _) = shop.register_with(body);
    purser.step_clock(1000);
    let mut body = person("grace@example.com");
    body["username"] = json!("countess");
    let (grace, _) = shop.register_with(body);
    let number = admin.get(&path(&ada)).expect(200)["account_number"].clone();
    let number = number.as_str().expect("a number");

    let one = [ada.clone()];
    assert_eq!(people(&admin, "?email=ADA@example.com"), one);
    assert_eq!(people(&admin, "?phone=%2B12345678901"), one);
    assert_eq!(people(&admin, &format!("?account_number={number}")), one);
    assert_eq!(people(&admin, &format!("?id={ada}")), one);
    assert_eq!(people(&admin, "?username=countess"), [ada.clone(), grace.clone()]);
    assert_eq!(people(&admin, ""), [ada.clone(), grace.clone()]);
    assert_eq!(people(&admin, "?email=nobody@example.com"), [""; 0]);
    assert_eq!(people(&admin, "?id=0123456789abcdef01234567"), [""; 0]);

    admin.post(&format!("{}/suspend", path(&grace)), json!({})).expect(200);
    assert_eq!(people(&admin, "?status=suspended"), [grace]);
    assert_eq!(people(&admin, "?status=active&username=countess"), one);
    assert_eq!(people(&admin, "?status=active&email=grace@example.com"), [""; 0]);
}

#[test]
fn a_list_of_people_goes_on_where_the_cursor_says_and_for_its_owner_only() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let register = |n| {
        purser.step_clock(1000);
        shop.register(&format!("person{n}@example.com")).0
    };
    let ids: Vec<_> = (0..5).map(register).collect();

    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    let cursor = loop {
        let page = admin.get(&format!("/v1/admin/users{query}")).expect(200);
        let items = page["items"].as_array().expect("items").iter();
        seen.extend(items.map(|item| item["id"].as_str().expect("an id").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break query };
        query = format!("?limit=2&cursor={cursor}");
    };

    assert_eq!(seen, ids);
    let other = purser.admin().get(&format!("/v1/admin/users{cursor}"));
    assert_eq!(other.refused(400), "invalid_cursor");
    let filtered = admin.get(&format!("/v1/admin/users{cursor}&status=active"));
    assert_eq!(filtered.refused(400), "invalid_cursor");
}

#[test]
fn a_look_up_that_cannot_be_meant_is_refused_and_named() {
    let purser = Purser::start();
    let admin = purser.admin();
    let cases = [
        ("?email=nobody", "email"),
        ("?phone=12", "phone"),
        ("?account_number=12345678901234", "account_number"),
        ("?id=me", "id"),
        ("?status=gone", "status"),
        ("?username=", "username"),
        ("?username=a%00b", "username"),
        ("?email=a@example.com&username=a", "query"),
        ("?$where=1", "$where"),
        ("?limit=0", "limit"),
        ("?status=active&status=active", "status"),
    ];

    for (query, pointer) in cases {
        let reply = admin.get(&format!("/v1/admin/users{query}"));
        assert_eq!(reply.pointers(), [pointer], "{query}");
        assert_eq!(reply.refused(422), "invalid", "{query}");
    }
}

#[test]
fn a_page_shows_what_all_apps_share_and_nothing_of_one_app() {
    let purser = Purser::start();
    let (admin, shop, bank) = (purser.admin(), purser.app("shop"), purser.app("bank"));
    let mut body = person("ada@example.com");
    body["password"] = json!("correct horse battery");
    body["connection"] = json!({
        "app_username": "only-the-shops", "app_display_name": "only-the-shops",
        "app_profile": { "nickname": "only-the-shops", "custom_fields": { "x": "only-the-shops" } },
    });
    let (ada, _) = shop.register_with(body);
    purser.step_clock(1000);
    bank.register("ada@example.com");

    let reply = admin.get(&path(&ada));

    assert_eq!(reply.header("etag"), Some("\"2\""));
    let page = reply.expect(200);
    assert_eq!(page["profile"]["first_name"], "Ada");
    assert_eq!(page["modules"]["wallet"]["balance"], 0);
    assert_eq!(
        (&page["has_password"], &page["password_must_change"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(page["identities"][0]["value"], "ada@example.com");
    assert_eq!(page["identities"][0]["vouched_by"], "shop");
    let connections = page["connections"].as_array().expect("connections");
    let apps: Vec<_> = connections.iter().map(|tie| &tie["app_id"]).collect();
    assert_eq!(apps, ["shop", "bank"]);
    assert_eq!(page["recent"][0]["action"], "user_registered");
    assert_eq!(page["trail"], format!("/v1/audit/logs?user_id={ada}"));
    assert_eq!(page["revision"], 2);
    let text = page.to_string();
    for hidden in
        ["only-the-shops", "$argon2", "\"password\":", "\"key_mac\"", "\"api_key\"", "\"key_id\""]
    {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
}

#[test]
fn a_page_shows_the_newest_twenty_entries() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, key) = shop.register("ada@example.com");
    for n in 0..25 {
        purser.step_clock(1000);
        let change = json!({ "profile": { "first_name": format!("Ada {n}") } });
        key.patch("/v1/users/me", change).expect(200);
    }

    let page = admin.get(&path(&ada)).expect(200);

    let recent = page["recent"].as_array().expect("entries");
    assert_eq!(recent.len(), 20);
    assert_eq!(recent[0]["timestamp"], "2026-01-01T00:00:25.000Z");
    assert_eq!(recent[0]["paths"][0], "updated_at");
    assert_eq!(recent[0].get("changes"), None);
}

#[test]
fn a_suspended_person_is_closed_to_every_app_until_reactivated() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, key) = shop.register("ada@example.com");
    purser.step_clock(1000);

    let suspended =
        admin.post(&format!("{}/suspend", path(&ada)), json!({ "reason": "Ticket 4711" }));
    assert_eq!(suspended.header("etag"), Some("\"2\""));
    let suspended = suspended.expect(200);
    assert_eq!(key.get("/v1/users/me").refused(403), "user_suspended");
    assert_eq!(shop.get(&format!("/v1/users/{ada}")).refused(403), "user_suspended");
    assert_eq!(shop.post("/v1/users", person("ada@example.com")).refused(403), "user_suspended");
    let page = admin.get(&path(&ada)).expect(200);
    let back = admin.post(&format!("{}/reactivate", path(&ada)), json!({})).expect(200);

    assert_eq!(
        (&suspended["status"], &suspended["status_reason"]),
        (&json!("suspended"), &json!("Ticket 4711"))
    );
    assert_eq!(page["status_reason"], "Ticket 4711");
    assert_eq!((&back["status"], &back["status_reason"]), (&json!("active"), &Value::Null));
    let view = key.get("/v1/users/me").expect(200);
    assert_eq!(view["shared"]["updated_at"], "2026-01-01T00:00:01.000Z");
    assert!(!view.to_string().contains("4711"));
    let entry = &purser.db_entries(doc! { "action": "user_suspended" })[0];
    let reason = entry.get_document("changes").expect("changes").get_document("status_reason");
    let sealed = reason.expect("the reason").get_str("new").expect("a value");
    assert!(sealed.starts_with("s1."), "{sealed}");
}

#[test]
fn suspending_twice_changes_nothing_and_leaves_no_entry() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let suspend = format!("{}/suspend", path(&ada));

    let first = admin.post(&suspend, json!({ "reason": "the first" })).expect(200);
    purser.step_clock(1000);
    let second = admin.post(&suspend, json!({ "reason": "the second" }));

    assert_eq!(second.header("etag"), Some("\"2\""));
    assert_eq!(second.expect(200), first);
    assert_eq!(purser.db_entries(doc! { "action": "user_suspended" }).len(), 1);
}

#[test]
fn a_repeated_suspension_is_answered_again_even_after_a_reactivation() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let (suspend, reactivate) =
        (format!("{}/suspend", path(&ada)), format!("{}/reactivate", path(&ada)));
    let once = admin.with("Idempotency-Key", "suspension-1").with("If-Match", "\"1\"");

    let first = once.post(&suspend, json!({ "reason": "fraud" })).expect(200);
    admin.post(&reactivate, json!({})).expect(200);
    let again = once.post(&suspend, json!({ "reason": "fraud" }));
    let other = once.post(&suspend, json!({ "reason": "another" }));

    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("etag"), Some("\"2\""));
    assert_eq!(again.expect(200), first);
    assert_eq!(other.refused(422), "idempotency_key_reused");
    assert_eq!(admin.get(&path(&ada)).expect(200)["status"], "active");
}

#[test]
fn what_was_seen_by_nobody_can_be_asked_for_and_then_must_still_hold() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let stale = admin.with("If-Match", "\"9\"");
    let before = purser.db_find("users", doc! {});

    assert_eq!(
        stale.post(&format!("{}/suspend", path(&ada)), json!({})).refused(412),
        "revision_mismatch"
    );
    let email = json!({ "email": "new@example.com" });
    assert_eq!(
        stale.put(&format!("{}/email", path(&ada)), email).refused(412),
        "revision_mismatch"
    );
    let password = json!({ "password": "correct horse battery" });
    assert_eq!(
        stale.put(&format!("{}/password", path(&ada)), password).refused(412),
        "revision_mismatch"
    );

    assert_eq!(purser.db_find("users", doc! {}), before);
}

#[test]
fn who_is_merged_or_erased_is_not_changed_any_more() {
    let purser = Purser::start().without_replay();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    for status in ["merged", "erased"] {
        purser.db_update("users", doc! { "_id": id(&ada) }, doc! { "$set": { "status": status } });
        let tries = [
            admin.post(&format!("{}/suspend", path(&ada)), json!({})),
            admin.post(&format!("{}/reactivate", path(&ada)), json!({})),
            admin.put(&format!("{}/email", path(&ada)), json!({ "email": "new@example.com" })),
            admin.put(&format!("{}/password", path(&ada)), json!({ "password": "long enough" })),
        ];
        for reply in tries {
            assert!(reply.body["detail"].as_str().expect("a detail").contains(status));
            assert_eq!(reply.refused(409), "already_resolved");
        }
    }
}

#[test]
fn an_inactive_person_is_made_active_again() {
    let purser = Purser::start().without_replay();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, key) = shop.register("ada@example.com");
    purser.db_update("users", doc! { "_id": id(&ada) }, doc! { "$set": { "status": "inactive" } });

    admin.post(&format!("{}/reactivate", path(&ada)), json!({})).expect(200);

    key.get("/v1/users/me").expect(200);
}

#[test]
fn an_address_moves_with_its_identity() {
    let purser = Purser::start();
    let (admin, shop, bank) = (purser.admin(), purser.app("shop"), purser.app("bank"));
    let (ada, key) = shop.register("old@example.com");
    purser.step_clock(1000);

    let changed =
        admin.put(&format!("{}/email", path(&ada)), json!({ "email": " New@Example.com" }));

    assert_eq!(changed.header("etag"), Some("\"2\""));
    assert_eq!(changed.expect(200)["email"], "new@example.com");
    assert_eq!(key.get("/v1/users/me").expect(200)["shared"]["email"], "new@example.com");
    let identities = admin.get(&path(&ada)).expect(200)["identities"].clone();
    assert_eq!(identities.as_array().map(Vec::len), Some(1));
    assert_eq!(identities[0]["value"], "new@example.com");
    let voucher = identities[0]["vouched_by"].as_str().expect("a voucher");
    assert!(voucher.starts_with("operator:"), "{voucher}");
    assert_eq!(bank.register("new@example.com").0, ada);
    assert_ne!(bank.register("old@example.com").0, ada);
    assert_eq!(purser.db_entries(doc! { "action": "email_changed" }).len(), 1);
}

#[test]
fn the_same_address_is_no_change() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");

    let same = admin.put(&format!("{}/email", path(&ada)), json!({ "email": "ADA@example.com" }));

    assert_eq!(same.header("etag"), Some("\"1\""));
    same.expect(200);
    assert_eq!(purser.db_entries(doc! { "action": "email_changed" }).len(), 0);
    let identity = &purser.db_find("identities", doc! {})[0];
    assert_eq!(identity.get_str("vouched_by").ok(), Some("shop"));
}

#[test]
fn an_address_of_somebody_else_is_not_taken() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let (grace, _) = shop.register("grace@example.com");
    let before = purser.db_find("identities", doc! {});

    let reply =
        admin.put(&format!("{}/email", path(&ada)), json!({ "email": "grace@example.com" }));

    assert!(reply.body["detail"].as_str().expect("a detail").contains(&grace));
    assert_eq!(reply.refused(409), "already_exists");
    assert_eq!(purser.db_find("identities", doc! {}), before);
}

#[test]
fn of_two_admins_who_give_one_address_to_two_people_one_is_refused() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let people = [shop.register("ada@example.com").0, shop.register("grace@example.com").0];

    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = |user: &String| {
            let (who, path) = (purser.admin(), format!("{}/email", path(user)));
            scope.spawn(move || who.put(&path, json!({ "email": "wanted@example.com" })).status)
        };
        let sent: Vec<_> = people.iter().map(send).collect();
        sent.into_iter().map(|one| one.join().expect("answered")).collect()
    });

    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 1, "{statuses:?}");
    assert_eq!(people_with(&admin, "wanted@example.com"), 1);
}

fn people_with(admin: &Principal, email: &str) -> usize {
    people(admin, &format!("?email={email}")).len()
}

#[test]
fn an_address_is_removed_only_where_something_else_identifies_the_person() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let mut body = person("grace@example.com");
    body["verified"] = json!(["email", "phone"]);
    body["profile"]["phone"] = json!("+12345678901");
    let (grace, key) = shop.register_with(body);

    let refused = admin.put(&format!("{}/email", path(&ada)), json!({ "email": null }));
    let removed = admin.put(&format!("{}/email", path(&grace)), json!({ "email": null }));

    assert_eq!(refused.body["errors"][0]["code"], "last_identifier");
    assert_eq!(refused.refused(422), "invalid");
    assert_eq!(removed.expect(200)["email"], Value::Null);
    assert_eq!(key.get("/v1/users/me").expect(200)["shared"]["email"], Value::Null);
    let left = admin.get(&path(&grace)).expect(200)["identities"].clone();
    assert_eq!((left.as_array().map(Vec::len), &left[0]["kind"]), (Some(1), &json!("phone")));
    let again = admin.put(&format!("{}/email", path(&grace)), json!({ "email": null })).expect(200);
    assert_eq!(again["email"], Value::Null);
}

#[test]
fn a_password_that_an_admin_sets_must_be_changed_and_is_seen_nowhere() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, key) = shop.register("ada@example.com");
    let seen = key.get("/v1/users/me");
    purser.step_clock(1000);

    let set =
        admin.put(&format!("{}/password", path(&ada)), json!({ "password": "correct horse" }));

    assert_eq!(set.header("etag"), Some("\"2\""));
    assert_eq!(set.expect(204), Value::Null);
    let page = admin.get(&path(&ada)).expect(200);
    assert_eq!(
        (&page["has_password"], &page["password_must_change"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(page["audit"]["password_changed_at"], "2026-01-01T00:00:01.000Z");
    assert_eq!(page["updated_at"], START);
    assert_eq!(key.get("/v1/users/me").header("etag"), seen.header("etag"));
    let stored = purser.db_find("users", doc! { "_id": id(&ada) });
    assert!(stored[0].get_str("password").expect("a hash").starts_with("$argon2id$"));
    let entry = format!("{:?}", purser.db_entries(doc! { "action": "password_set" }));
    assert!(!entry.contains("argon2") && !entry.contains("horse"), "{entry}");
}

#[test]
fn what_is_sent_of_a_person_must_be_acceptable() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let before = purser.db_find("users", doc! {});
    let cases = [
        ("POST", "suspend", json!({ "reason": "" }), "/reason"),
        ("POST", "suspend", json!({ "reason": "a\u{0}b" }), "/reason"),
        ("POST", "suspend", json!({ "reason": "x".repeat(501) }), "/reason"),
        ("POST", "suspend", json!({ "reason": { "$ne": 1 } }), "/reason"),
        ("POST", "suspend", json!({ "because": "x" }), "/because"),
        ("POST", "reactivate", json!([]), ""),
        ("PUT", "email", json!({}), "/email"),
        ("PUT", "email", json!({ "email": "nobody" }), "/email"),
        ("PUT", "email", json!({ "email": 7 }), "/email"),
        ("PUT", "email", json!({ "email": "a\u{0}@example.com" }), "/email"),
        ("PUT", "email", json!({ "email": "a@example.com", "$set": 1 }), "/$set"),
        ("PUT", "password", json!({}), "/password"),
        ("PUT", "password", json!({ "password": null }), "/password"),
        ("PUT", "password", json!({ "password": "short" }), "/password"),
        ("PUT", "password", json!({ "password": "x".repeat(129) }), "/password"),
    ];

    for (method, what, body, pointer) in cases {
        let path = format!("{}/{what}", path(&ada));
        let reply = admin.send(method, &path, Some(body.to_string().into_bytes()));
        assert_eq!(reply.pointers(), [pointer], "{what} {body}");
        assert_eq!(reply.refused(422), "invalid", "{what} {body}");
    }

    assert_eq!(purser.db_find("users", doc! {}), before);
}

#[test]
fn who_is_not_there_is_not_found_whatever_is_asked() {
    let purser = Purser::start();
    let admin = purser.admin();
    for nobody in ["0123456789abcdef01234567", "me", "ada@example.com", "%24where"] {
        let replies = [
            admin.get(&path(nobody)),
            admin.post(&format!("{}/suspend", path(nobody)), json!({})),
            admin.put(&format!("{}/email", path(nobody)), json!({ "email": "a@example.com" })),
            admin.put(&format!("{}/email", path(nobody)), json!({ "email": null })),
            admin.put(&format!("{}/password", path(nobody)), json!({ "password": "long enough" })),
        ];
        for reply in replies {
            assert_eq!(reply.refused(404), "not_found", "{nobody}");
        }
    }
}

#[test]
fn an_auditor_looks_after_nobody() {
    let purser = Purser::start();
    let (auditor, shop) = (purser.auditor(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");

    for reply in [
        auditor.get("/v1/admin/users"),
        auditor.get(&path(&ada)),
        auditor.post(&format!("{}/suspend", path(&ada)), json!({})),
        auditor.put(&format!("{}/email", path(&ada)), json!({ "email": null })),
    ] {
        assert_eq!(reply.refused(403), "wrong_credential");
    }
}

#[test]
fn every_look_up_is_served_by_an_index() {
    let purser = Purser::start();
    let (number, someone) = ("12345678901234", ObjectId::from_bytes([7; 12]));
    let newest = doc! { "timestamp": -1, "_id": -1 };
    for (collection, filter, sort) in [
        ("users", doc! {}, doc! { "_id": 1 }),
        ("users", doc! { "status": "suspended", "_id": { "$gt": someone } }, doc! { "_id": 1 }),
        ("users", doc! { "username": "countess" }, doc! { "_id": 1 }),
        ("users", doc! { "account_number": number }, doc! { "_id": 1 }),
        ("identities", doc! { "user_id": someone }, doc! { "_id": 1 }),
        ("user_apps", doc! { "user_id": someone }, doc! { "_id": 1 }),
        ("user_audit_logs", doc! { "user_id": someone }, newest),
    ] {
        let find = doc! { "find": collection, "filter": filter.clone(), "sort": sort };
        let stages = stages(&explain(&purser, find));
        assert!(!stages.iter().any(|stage| stage == "COLLSCAN"), "{filter}: {stages:?}");
        assert!(stages.iter().any(|stage| stage == "IXSCAN"), "{filter}: {stages:?}");
    }
}
