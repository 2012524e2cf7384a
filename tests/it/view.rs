//! What each app sees of a person, and what it does not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, Reply, person};

const NOBODY: &str = "0123456789abcdef01234567";

/// A registration that leaves traces of its app wherever an app can leave some.
fn traced(email: &str, mark: &str) -> Value {
    let mut body = person(email);
    body["connection"] = json!({
        "app_username": format!("{mark}_user"),
        "app_display_name": format!("{mark} display"),
        "app_version": format!("{mark}.1"),
        "app_profile": {
            "nickname": format!("{mark} nick"),
            "avatar_url": format!("https://{mark}.example/a.png"),
            "preferences": { mark: true },
            "custom_fields": { mark: [mark] },
        },
    });
    body
}

fn etag(app: &Principal, path: &str) -> String {
    let reply = app.get(path);
    assert_eq!(reply.status, 200, "{path}: {:#}", reply.body);
    reply.header("etag").expect("an entity tag").to_owned()
}

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// An answer without what differs between two equal ones.
fn comparable(reply: &Reply) -> (u16, Value, Vec<(String, String)>) {
    let mut body = reply.body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("request_id");
    }
    // Whether a body that is not read has arrived already decides if the connection can be kept.
    let differing = ["x-request-id", "date", "connection"];
    let same = |(name, _): &&(String, String)| !differing.contains(&name.as_str());
    let mut headers: Vec<_> = reply.headers.iter().filter(same).cloned().collect();
    headers.sort();
    (reply.status, body, headers)
}

#[test]
fn an_app_that_may_only_read_cannot_write_and_nothing_changes() {
    let purser = Purser::start();
    let kiosk = purser.app_with("kiosk", json!({ "permissions": ["read"] }));
    let (id, own) = kiosk.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let before =
        ["users", "user_apps", "user_audit_logs"].map(|name| purser.db_find(name, doc! {}));

    let name = json!({ "profile": { "first_name": "Eve" } });
    let nick = json!({ "app_profile": { "nickname": "Eve" } });
    let refused = [
        kiosk.patch(&path, name.clone()),
        own.patch("/v1/users/me", name),
        kiosk.patch(&format!("{path}/connection"), nick.clone()),
        own.patch("/v1/users/me/connection", nick),
    ];

    for reply in refused {
        assert!(reply.body["detail"].as_str().is_some_and(|text| text.contains("`write`")));
        assert_eq!(reply.refused(403), "permission_denied");
    }
    let after = ["users", "user_apps", "user_audit_logs"].map(|name| purser.db_find(name, doc! {}));
    assert_eq!(after, before);
    kiosk.get(&path).expect(200);
}

#[test]
fn an_app_that_may_only_write_cannot_read_and_is_not_shown_what_it_wrote() {
    let purser = Purser::start();
    let form = purser.app_with("form", json!({ "permissions": ["write"] }));
    let registered = form.post("/v1/users", person("ada@example.com")).expect(201);
    let path = format!("/v1/users/{}", registered["user_id"].as_str().expect("an id"));

    let read = form.get(&path);
    let written = form.patch(&path, json!({ "username": "ada" })).expect(200);

    assert_eq!(read.refused(403), "permission_denied");
    let bare = json!({ "id": registered["user_id"], "modules": {} });
    assert_eq!((&registered["user"]["shared"], &written["shared"]), (&bare, &bare));
}

#[test]
fn a_module_is_seen_only_with_its_own_permission() {
    let purser = Purser::start();
    let ceiling = ["read", "wallet_access", "subscription_access", "referrals_access"];
    let shop = purser.app_with("shop", json!({ "permissions": ceiling }));
    let modules = |email: &str, permissions: Value| {
        let mut body = person(email);
        body["connection"] = json!({ "permissions": permissions });
        let (id, _) = shop.register_with(body);
        let view = shop.get(&format!("/v1/users/{id}")).expect(200);
        view["shared"]["modules"].as_object().expect("modules").keys().cloned().collect::<Vec<_>>()
    };

    let none = modules("a@example.com", json!(["read"]));
    let wallet = modules("b@example.com", json!(["read", "wallet_access"]));
    let others =
        modules("c@example.com", json!(["read", "subscription_access", "referrals_access"]));

    assert!(none.is_empty(), "{none:?}");
    assert_eq!(wallet, ["wallet"]);
    assert_eq!(others, ["referrals", "subscription"]);
}

#[test]
fn a_lowered_ceiling_takes_away_what_connections_still_hold() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, own) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let lower = json!({ "permissions": ["read"], "default_permissions": ["read"] });

    purser.admin().with("If-Match", "*").patch("/v1/admin/apps/shop", lower).expect(200);

    for (app, path) in [(&shop, path.as_str()), (&own, "/v1/users/me")] {
        assert_eq!(app.get(path).expect(200)["shared"]["modules"], json!({}));
        assert_eq!(app.patch(path, json!({ "username": "ada" })).refused(403), "permission_denied");
    }
}

#[test]
fn an_app_finds_no_trace_of_another_app() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("mysteryclub"));
    let (id, own) = shop.register_with(traced("ada@example.com", "shop"));
    club.register_with(traced("ada@example.com", "mysteryclub"));
    let path = format!("/v1/users/{id}");

    let answers = [
        shop.get(&path).expect(200),
        own.get("/v1/users/me").expect(200),
        shop.get(&format!("{path}/connection")).expect(200),
        shop.get("/v1/users?email=ada@example.com").expect(200),
        shop.patch(&path, json!({ "username": "ada" })).expect(200),
        shop.patch(&format!("{path}/connection"), json!({ "app_version": "shop.2" })).expect(200),
        shop.post("/v1/users", person("ada@example.com")).expect(200),
    ];

    for answer in answers {
        assert!(answer.to_string().contains("shop"), "{answer:#}");
        assert!(!answer.to_string().contains("mysteryclub"), "{answer:#}");
    }
    let own_names = shop.get("/v1/users?app_username=mysteryclub_user").expect(200);
    assert_eq!(own_names["items"], json!([]));
}

#[test]
fn the_entity_tags_of_one_app_do_not_move_when_another_works_on_its_own_side() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let (id, _) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let paths = [path.clone(), format!("{path}/connection")];
    let before = paths.each_ref().map(|path| etag(&shop, path));
    purser.step_clock(60_000);

    club.register_with(traced("ada@example.com", "club"));
    club.patch(&format!("{path}/connection"), json!({ "app_username": "other" })).expect(200);
    club.get(&path).expect(200);
    club.delete(&format!("{path}/connection")).expect(204);
    purser.block_on(purser.inner.flush_last_used()).expect("flushed");

    assert_eq!(paths.each_ref().map(|path| etag(&shop, path)), before);
}

#[test]
fn two_apps_have_different_tags_for_the_same_person() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let (id, _) = shop.register("ada@example.com");
    club.register("ada@example.com");
    let path = format!("/v1/users/{id}");

    let tags = (etag(&shop, &path), etag(&club, &path));

    assert_ne!(tags.0, tags.1);
}

#[test]
fn somebody_elses_id_is_answered_exactly_like_one_that_does_not_exist() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let (_, own) = shop.register("ada@example.com");
    let (stranger, _) = club.register("bob@example.com");
    let (mate, _) = shop.register("eve@example.com");
    let body = json!({ "username": "ada" });
    let ask = |who: &Principal, id: &str| {
        let (path, tie) = (format!("/v1/users/{id}"), format!("/v1/users/{id}/connection"));
        [
            who.get(&path),
            who.patch(&path, body.clone()),
            who.get(&tie),
            who.patch(&tie, json!({ "app_version": "2" })),
            who.delete(&tie),
        ]
    };

    let missing = ask(&shop, NOBODY);
    let by_app = [ask(&shop, &stranger), ask(&shop, "not-an-id"), ask(&shop, "%24ne")];
    let by_key =
        [ask(&own, NOBODY), ask(&own, &stranger), ask(&own, &mate), ask(&own, "not-an-id")];

    for replies in by_app.iter().chain(&by_key) {
        for (reply, missing) in replies.iter().zip(&missing) {
            assert_eq!(comparable(reply), comparable(missing));
        }
    }
    for reply in missing {
        assert_eq!(reply.refused(404), "not_found");
    }
    assert_eq!(purser.db_find("user_apps", doc! { "connection_status": "active" }).len(), 3);
}

#[test]
fn an_app_sees_of_the_shared_part_only_its_visible_fields() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let fields_of = json!(["username", "profile.language", "preferences"]);
    let kiosk = purser.app_with("kiosk", json!({ "visible_fields": fields_of }));
    let mut body = person("ada@example.com");
    body["username"] = json!("ada");
    body["profile"]["language"] = json!("en");
    let (id, _) = shop.register_with(body);
    kiosk.register("ada@example.com");
    let path = format!("/v1/users/{id}");

    let view = kiosk.get(&path).expect(200);
    let listed = kiosk.get("/v1/users").expect(200);
    let changed = kiosk.patch(&path, json!({ "profile": { "language": "fr" } })).expect(200);

    let expected = ["id", "modules", "preferences", "profile", "username"];
    assert_eq!(fields(&view["shared"]), expected.into());
    assert_eq!(view["shared"]["profile"], json!({ "language": "en" }));
    assert_eq!(listed["items"][0]["shared"], view["shared"]);
    assert_eq!(fields(&changed["shared"]), expected.into());
    assert_eq!(changed["shared"]["profile"], json!({ "language": "fr" }));
    assert_eq!(shop.get(&path).expect(200)["shared"]["profile"]["first_name"], "Ada");
}

#[test]
fn a_tag_does_not_move_with_what_the_app_cannot_see() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let kiosk = purser.app_with("kiosk", json!({ "visible_fields": ["username"] }));
    let (id, _) = shop.register("ada@example.com");
    kiosk.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let before = etag(&kiosk, &path);
    purser.step_clock(1000);

    shop.patch(&path, json!({ "profile": { "first_name": "Augusta" } })).expect(200);
    let unseen = etag(&kiosk, &path);
    shop.patch(&path, json!({ "username": "ada" })).expect(200);

    assert_eq!(unseen, before);
    assert_ne!(etag(&kiosk, &path), before);
}

#[test]
fn a_connection_key_reaches_its_person_by_me_and_by_id() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, own) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");

    let by_me = own.get("/v1/users/me");
    let by_id = own.get(&path);
    let by_app = shop.get(&path);

    assert_eq!(by_me.header("etag"), by_app.header("etag"));
    assert_eq!(by_me.body["shared"], by_app.body["shared"]);
    assert_eq!(by_me.expect(200), by_id.expect(200));
    let changed = own.patch("/v1/users/me", json!({ "username": "ada" })).expect(200);
    assert_eq!(changed["shared"]["username"], "ada");
    own.delete("/v1/users/me/connection").expect(204);
    assert_eq!(own.get("/v1/users/me").refused(401), "unauthenticated");
}

#[test]
fn me_is_nobody_for_an_app_key() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    shop.register("ada@example.com");

    let replies = [
        shop.get("/v1/users/me"),
        shop.patch("/v1/users/me", json!({ "username": "ada" })),
        shop.get("/v1/users/me/connection"),
        shop.delete("/v1/users/me/connection"),
    ];

    for reply in replies {
        assert_eq!(reply.refused(403), "wrong_credential");
    }
}

#[test]
fn a_connection_key_neither_registers_nor_lists_people() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (_, own) = shop.register("ada@example.com");

    let registering = own.post("/v1/users", person("bob@example.com"));
    let listing = own.get("/v1/users");

    assert_eq!(registering.refused(403), "wrong_credential");
    assert_eq!(listing.refused(403), "wrong_credential");
    assert_eq!(purser.db_find("users", doc! {}).len(), 1);
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");

    for path in [format!("/v1/users/{id}"), format!("/v1/users/{id}/connection")] {
        let tag = etag(&shop, &path);
        let same = shop.with("If-None-Match", &tag).get(&path);
        assert_eq!((same.status, same.header("etag")), (304, Some(tag.as_str())), "{path}");
        assert_eq!(same.body, Value::Null);
        assert_eq!(shop.with("If-None-Match", &format!("\"x\", W/{tag}")).get(&path).status, 304);
        shop.with("If-None-Match", "\"x\"").get(&path).expect(200);
    }

    let before = etag(&shop, &format!("/v1/users/{id}"));
    purser.block_on(purser.inner.flush_last_used()).expect("flushed");
    let tie = &purser.db_find("user_apps", doc! {})[0];
    assert!(tie.get_datetime("last_sync").is_ok(), "it is noted that the app has read");
    let synced = shop.get(&format!("/v1/users/{id}"));
    assert_eq!(synced.header("etag"), Some(before.as_str()), "reading is no change");
}

#[test]
fn a_change_of_what_was_not_seen_is_refused_with_412() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let tie = format!("{path}/connection");
    let (seen, seen_tie) = (etag(&shop, &path), etag(&shop, &tie));
    shop.patch(&path, json!({ "username": "first" })).expect(200);
    shop.patch(&tie, json!({ "app_username": "first" })).expect(200);

    let stale = shop.with("If-Match", &seen).patch(&path, json!({ "username": "second" }));
    let stale_tie =
        shop.with("If-Match", &seen_tie).patch(&tie, json!({ "app_username": "second" }));

    assert_eq!(stale.refused(412), "revision_mismatch");
    assert_eq!(stale_tie.refused(412), "revision_mismatch");
    let now = shop.get(&path);
    assert_eq!(now.body["shared"]["username"], "first");
    assert_eq!(now.body["app_specific"]["app_username"], "first");
    let fresh = shop.with("If-Match", now.header("etag").expect("a tag"));
    let changed = fresh.patch(&path, json!({ "username": "second" }));
    assert_eq!(changed.header("etag").map(str::to_owned), Some(etag(&shop, &path)));
    assert_eq!(changed.expect(200)["shared"]["username"], "second");
    shop.with("If-Match", "*").patch(&path, json!({ "username": "third" })).expect(200);
}

#[test]
fn no_answer_holds_a_password_a_key_or_what_keys_are_checked_by() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let mut body = traced("ada@example.com", "shop");
    body["password"] = json!("correct horse battery");
    let (id, own) = shop.register_with(body);
    let path = format!("/v1/users/{id}");
    let (admin, auditor) = (purser.admin(), purser.auditor());

    let answers = [
        club.post("/v1/users", person("ada@example.com")).expect(201),
        shop.post("/v1/users", person("ada@example.com")).expect(200),
        shop.get(&path).expect(200),
        own.get("/v1/users/me").expect(200),
        shop.get(&format!("{path}/connection")).expect(200),
        shop.get("/v1/users").expect(200),
        shop.patch(&path, json!({ "username": "ada" })).expect(200),
        shop.patch(&format!("{path}/connection"), json!({ "app_version": "2" })).expect(200),
        admin.get("/v1/admin/apps").expect(200),
        admin.get("/v1/admin/apps/shop").expect(200),
        admin.post("/v1/admin/apps/shop/keys", json!({})).expect(201),
    ];

    for answer in &answers {
        check_keys(answer);
    }
    let secrets = purser.db_find("user_apps", doc! {}).into_iter().flat_map(|tie| {
        ["api_key", "key_mac"].map(|field| tie.get_str(field).expect("a secret").to_owned())
    });
    let trail = auditor.get("/v1/audit/logs?limit=200").expect(200);
    for secret in
        secrets.chain(["argon2id".to_owned(), own.key().to_owned(), shop.key().to_owned()])
    {
        assert!(!trail.to_string().contains(&secret), "a secret stands in the trail");
        let elsewhere = answers.iter().filter(|answer| answer.to_string().contains(&secret));
        assert_eq!(elsewhere.count(), 0, "a secret stands in an answer");
    }
}

#[track_caller]
fn check_keys(value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let secret = name.starts_with("password")
                    || ["api_key", "key_mac", "mac", "sealed", "key_id", "key_epoch"]
                        .contains(&name.as_str());
                assert!(!secret, "an answer holds `{name}`");
                check_keys(inner);
            }
        }
        Value::Array(items) => items.iter().for_each(check_keys),
        _ => {}
    }
}

/// What is changed by hand, a node may have in memory for another second.
fn until_heard(app: &Principal, path: &str, code: Option<&str>) {
    let until = Instant::now() + Duration::from_secs(1);
    while app.get(path).body["code"].as_str() != code && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn each_state_of_a_person_that_is_not_active_has_its_own_answer() {
    let purser = Purser::start().without_replay();
    let shop = purser.app("shop");
    let (id, own) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let user = doc! { "_id": id.parse::<bson::oid::ObjectId>().expect("an id") };
    let cases = [
        ("suspended", 403, "user_suspended"),
        ("inactive", 403, "user_inactive"),
        ("merged", 404, "not_found"),
        ("erased", 404, "not_found"),
    ];

    for (state, status, code) in cases {
        purser.db_update("users", user.clone(), doc! { "$set": { "status": state } });
        until_heard(&shop, &path, Some(code));
        let name = json!({ "username": "ada" });
        for reply in [
            shop.get(&path),
            own.get("/v1/users/me"),
            shop.patch(&path, name.clone()),
            own.patch("/v1/users/me", name),
            shop.get(&format!("{path}/connection")),
            shop.delete(&format!("{path}/connection")),
            shop.post("/v1/users", person("ada@example.com")),
        ] {
            assert_eq!(reply.refused(status), code, "{state}");
        }
        assert_eq!(shop.get("/v1/users").expect(200)["items"], json!([]), "{state}");
    }

    purser.db_update("users", user, doc! { "$set": { "status": "active" } });
    until_heard(&shop, &path, None);
    assert_eq!(shop.get(&path).expect(200)["shared"]["username"], Value::Null);
}

#[test]
fn each_state_of_a_connection_that_is_not_active_has_its_own_answer() {
    let purser = Purser::start().without_replay();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let (id, own) = shop.register("ada@example.com");
    club.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let cases = [
        ("suspended", "connection_suspended"),
        ("inactive", "connection_inactive"),
        ("revoked", "connection_revoked"),
    ];

    for (state, code) in cases {
        let change = doc! { "$set": { "connection_status": state } };
        purser.db_update("user_apps", doc! { "app_id": "shop" }, change);
        until_heard(&shop, &path, Some(code));
        let name = json!({ "username": "ada" });
        for reply in [
            shop.get(&path),
            own.get("/v1/users/me"),
            shop.patch(&path, name.clone()),
            own.patch("/v1/users/me", name),
            shop.get(&format!("{path}/connection")),
            shop.delete(&format!("{path}/connection")),
        ] {
            assert_eq!(reply.refused(403), code);
        }
        assert_eq!(shop.get("/v1/users").expect(200)["items"], json!([]), "{state}");
        club.get(&path).expect(200);
    }

    let registered = || shop.post("/v1/users", person("ada@example.com"));
    assert_eq!(registered().refused(403), "connection_revoked");
    let suspended = doc! { "$set": { "connection_status": "suspended" } };
    purser.db_update("user_apps", doc! { "app_id": "shop" }, suspended);
    assert_eq!(registered().refused(403), "connection_suspended");
}

#[test]
fn an_app_that_is_suspended_reaches_nobody_until_it_is_active_again() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let (id, own) = shop.register("ada@example.com");
    club.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let admin = purser.admin().with("If-Match", "*");

    admin.patch("/v1/admin/apps/shop", json!({ "status": "suspended" })).expect(200);

    for reply in [
        shop.get(&path),
        own.get("/v1/users/me"),
        own.patch("/v1/users/me", json!({ "username": "ada" })),
        shop.get("/v1/users"),
        shop.post("/v1/users", person("bob@example.com")),
    ] {
        assert_eq!(reply.refused(403), "app_suspended");
    }
    club.get(&path).expect(200);
    admin.patch("/v1/admin/apps/shop", json!({ "status": "active" })).expect(200);
    own.get("/v1/users/me").expect(200);
}

#[test]
fn an_app_finds_its_people_by_email_phone_name_and_ids_and_nobody_elses() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let mut ada = traced("ada@example.com", "ada");
    ada["verified"] = json!(["email", "phone"]);
    ada["profile"]["phone"] = json!("+442079460958");
    let (ada, _) = shop.register_with(ada);
    let (bob, _) = shop.register("bob@example.com");
    let (eve, _) = club.register("eve@example.com");
    let found = |query: &str| -> Vec<String> {
        let page = shop.get(&format!("/v1/users?{query}")).expect(200);
        assert_eq!(page["next_cursor"], Value::Null);
        let items = page["items"].as_array().expect("items").iter();
        let ids = items.map(|item| item["shared"]["id"].as_str().expect("an id").to_owned());
        ids.collect()
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };

    assert_eq!(found("email=ada@example.com"), [ada.as_str()]);
    assert_eq!(found("email=%20ADA@Example.com"), [ada.as_str()]);
    assert_eq!(found("phone=%2B44%20(0)20%207946-0958"), [ada.as_str()]);
    assert_eq!(found("app_username=ada_user"), [ada.as_str()]);
    let both = sorted(vec![ada.clone(), bob.clone()]);
    assert_eq!(sorted(found(&format!("ids={ada},{bob},{eve},{NOBODY}"))), both);
    assert_eq!(sorted(found("")), both);

    for nobody in [
        "email=eve@example.com",
        "email=none@example.com",
        "phone=%2B4930901820",
        "app_username=none",
        &format!("ids={eve}"),
    ] {
        assert!(found(nobody).is_empty(), "{nobody}");
    }
    shop.delete(&format!("/v1/users/{ada}/connection")).expect(204);
    assert_eq!(found(""), [bob]);
}

#[test]
fn a_search_that_cannot_be_understood_is_refused_and_names_the_parameter() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let too_many = format!("ids={}", vec![NOBODY; 201].join(","));
    let cases = [
        ("email=nobody", "email"),
        ("email=%00@example.com", "email"),
        ("phone=030", "phone"),
        ("ids=1", "ids"),
        ("ids=", "ids"),
        (too_many.as_str(), "ids"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("$where=1", "$where"),
        ("email[$ne]=x", "email[$ne]"),
        ("email=a@example.com&email=b@example.com", "email"),
        ("email=a@example.com&app_username=x", "query"),
    ];

    for (query, parameter) in cases {
        let reply = shop.get(&format!("/v1/users?{query}"));
        assert_eq!(reply.pointers(), [parameter], "{query}");
        assert_eq!(reply.refused(422), "invalid", "{query}");
    }
}

#[test]
fn the_pages_of_a_list_hold_everybody_once() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut expected: Vec<String> = (0..7)
        .map(|at| {
            purser.step_clock(if at % 3 == 0 { 1000 } else { 0 });
            shop.register(&format!("person{at}@example.com")).0
        })
        .collect();

    let (mut seen, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = shop.get(&format!("/v1/users?limit=3{cursor}")).expect(200);
        let items = page["items"].as_array().expect("items");
        sizes.push(items.len());
        seen.extend(
            items.iter().map(|one| one["shared"]["id"].as_str().expect("an id").to_owned()),
        );
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }

    assert_eq!(sizes, [3, 3, 1]);
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
}

#[test]
fn a_cursor_opens_for_its_caller_its_list_and_its_filter_only() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    for at in 0..3 {
        let (id, _) = shop.register(&format!("person{at}@example.com"));
        club.register(&format!("person{at}@example.com"));
        assert_eq!(id.len(), 24);
    }
    let page = shop.get("/v1/users?limit=1").expect(200);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let mut bent = cursor.to_owned();
    let last = bent.pop().expect("not empty");
    bent.push(if last == 'A' { 'B' } else { 'A' });

    let refused = [
        club.get(&format!("/v1/users?limit=1&cursor={cursor}")),
        shop.get(&format!("/v1/users?app_username=x&cursor={cursor}")),
        shop.get(&format!("/v1/users?cursor={bent}")),
        shop.get("/v1/users?cursor=1"),
        shop.get("/v1/users?cursor="),
        purser.admin().get(&format!("/v1/admin/apps?cursor={cursor}")),
        purser.auditor().get(&format!("/v1/audit/logs?cursor={cursor}")),
    ];

    for reply in refused {
        assert_eq!(reply.refused(400), "invalid_cursor");
    }
    let id = page["items"][0]["app_specific"]["connection_id"].as_str().expect("an id");
    assert!(!cursor.contains(id));
    shop.get(&format!("/v1/users?limit=2&cursor={cursor}")).expect(200);
}

#[test]
fn an_app_cannot_change_what_it_does_not_see() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let kiosk = purser.app_with("kiosk", json!({ "visible_fields": ["profile.first_name"] }));
    let (id, _) = shop.register("ada@example.com");
    kiosk.register("ada@example.com");
    let path = format!("/v1/users/{id}");

    let hidden = kiosk.patch(&path, json!({ "profile": { "last_name": "X" } }));
    let seen = kiosk.patch(&path, json!({ "profile": { "first_name": "Augusta" } }));

    assert_eq!(hidden.pointers(), ["/profile/last_name"]);
    assert_eq!(hidden.refused(403), "permission_denied");
    assert_eq!(seen.expect(200)["shared"]["profile"], json!({ "first_name": "Augusta" }));
    let profile = &shop.get(&path).expect(200)["shared"]["profile"];
    assert_eq!((&profile["first_name"], &profile["last_name"]), (&json!("Augusta"), &Value::Null));
}
