//! Signing in with a password.

use std::thread;

use bson::{Document, doc};
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, Reply, person};

const PASSWORD: &str = "correct horse battery";
const LOGIN: &str = "/v1/auth/login";

fn login(app: &Principal, identifier: &str, password: &str) -> Reply {
    app.post(LOGIN, json!({ "identifier": identifier, "password": password }))
}

/// Somebody with a password; the id.
fn register(app: &Principal, email: &str) -> String {
    let mut body = person(email);
    body["password"] = json!(PASSWORD);
    app.register_with(body).0
}

fn user(purser: &Purser) -> Document {
    let mut users = purser.db_find("users", doc! {});
    assert_eq!(users.len(), 1);
    users.remove(0)
}

fn audit(purser: &Purser) -> (Option<bson::DateTime>, i64) {
    let user = user(purser);
    let audit = user.get_document("audit").expect("audit");
    (audit.get_datetime("last_login").ok().copied(), audit.get_i64("login_count").expect("a count"))
}

#[test]
fn the_right_password_is_answered_with_the_apps_view() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let id = register(&shop, "ada@example.com");
    let before = user(&purser);
    purser.step_clock(60_000);

    let reply = login(&shop, " ADA@example.com ", PASSWORD);

    let tag = reply.header("etag").expect("a tag").to_owned();
    let answer = reply.expect(200);
    let read = shop.get(&format!("/v1/users/{id}"));
    assert_eq!(read.header("etag"), Some(tag.as_str()));
    let expected = json!({
        "user_id": id, "user": read.expect(200), "password_change_required": false,
    });
    assert_eq!(answer, expected);
    assert_eq!(audit(&purser), (Some(purser.now()), 1));
    let entries = purser.db_entries(doc! { "action": "signed_in" });
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].get_str("app_id").ok(), Some("shop"));
    let after = user(&purser);
    for same in ["updated_at", "password"] {
        assert_eq!(after.get(same), before.get(same), "{same}");
    }
}

#[test]
fn a_phone_number_signs_in_too() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let body = json!({
        "verified": ["phone"], "profile": { "phone": "+442079460958" }, "password": PASSWORD,
    });
    let (id, _) = shop.register_with(body);

    let answer = login(&shop, "+44 (0)20 7946-0958", PASSWORD).expect(200);

    assert_eq!(answer["user_id"], id.as_str());
}

#[test]
fn a_contact_number_that_nobody_vouched_for_signs_nobody_in() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut body = person("ada@example.com");
    body["profile"]["phone"] = json!("+442079460958");
    body["password"] = json!(PASSWORD);
    shop.register_with(body);

    assert_eq!(login(&shop, "+442079460958", PASSWORD).refused(401), "sign_in_failed");
}

#[test]
fn whoever_cannot_be_signed_in_gets_one_answer() {
    let purser = Purser::start_with(&[("PURSER__SIGN_IN__ATTEMPTS", "2")]);
    let shop = purser.app("shop").with("X-Request-Id", "req_same");
    register(&shop, "ada@example.com");
    shop.register("without@example.com");
    register(&shop, "locked@example.com");
    for _ in 0..2 {
        login(&shop, "locked@example.com", "wrong password").refused(401);
    }
    let long = "x".repeat(10_000);
    let entries = purser.db_entries(doc! {}).len();

    let replies = [
        login(&shop, "ada@example.com", "wrong password"),
        login(&shop, "ada@example.com", ""),
        login(&shop, "nobody@example.com", PASSWORD),
        login(&shop, "without@example.com", PASSWORD),
        login(&shop, "locked@example.com", PASSWORD),
        login(&shop, "no identifier", PASSWORD),
        login(&shop, "", PASSWORD),
        login(&shop, "a\u{0}da@example.com", PASSWORD),
        login(&shop, "bob@example.com", "correct\u{0}horse"),
        login(&shop, &long, &long),
    ];

    let first = replies[0].body.clone();
    for reply in replies {
        assert_eq!(reply.body, first);
        assert_eq!(reply.header("retry-after"), None);
        assert_eq!(reply.refused(401), "sign_in_failed");
    }
    assert_eq!(purser.db_entries(doc! {}).len(), entries);
}

#[test]
fn a_body_of_another_shape_is_refused() {
    let purser = Purser::start();
    let shop = purser.app("shop");

    for (body, pointer) in [
        (json!({ "identifier": "ada@example.com" }), "/password"),
        (json!({ "password": PASSWORD }), "/identifier"),
        (json!({ "identifier": { "$ne": "" }, "password": PASSWORD }), "/identifier"),
        (json!({ "identifier": "a", "password": 5 }), "/password"),
        (json!({ "identifier": "a", "password": "b", "email": "c" }), "/email"),
    ] {
        let reply = shop.post(LOGIN, body.clone());
        assert_eq!(reply.pointers(), [pointer], "{body}");
        assert_eq!(reply.refused(422), "invalid");
    }
}

#[test]
fn a_third_party_app_signs_nobody_in() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    register(&shop, "ada@example.com");
    let stranger = purser.app_with("stranger", json!({ "trust": "third_party" }));

    for password in [PASSWORD, "wrong password"] {
        let reply = login(&stranger, "ada@example.com", password);
        assert_eq!(reply.refused(403), "not_first_party");
    }
    assert_eq!(audit(&purser), (None, 0));
}

#[test]
fn what_a_person_lacks_is_told_only_after_the_right_password() {
    let purser = Purser::start().without_replay();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let id = register(&shop, "ada@example.com");
    let user: bson::oid::ObjectId = id.parse().expect("an id");
    let by_id = || doc! { "_id": user };
    let connection = |status: &str| {
        let update = doc! { "$set": { "connection_status": status } };
        purser.db_update("user_apps", doc! { "user_id": user }, update);
    };
    let told = |app: &Principal| {
        assert_eq!(login(app, "ada@example.com", "wrong password").refused(401), "sign_in_failed");
        login(app, "ada@example.com", PASSWORD)
    };

    assert_eq!(told(&club).refused(403), "not_connected");
    for status in ["inactive", "suspended", "revoked"] {
        connection(status);
        assert_eq!(told(&shop).refused(403), format!("connection_{status}"));
    }
    connection("active");
    for status in ["inactive", "suspended"] {
        purser.db_update("users", by_id(), doc! { "$set": { "status": status } });
        assert_eq!(told(&shop).refused(403), format!("user_{status}"));
    }
    for status in ["merged", "erased"] {
        purser.db_update("users", by_id(), doc! { "$set": { "status": status } });
        let told = login(&shop, "ada@example.com", PASSWORD);
        assert_eq!(told.refused(401), "sign_in_failed");
    }
    let update = doc! { "$set": { "status": "active", "password_must_change": true } };
    purser.db_update("users", by_id(), update);
    assert_eq!(told(&shop).expect(200)["password_change_required"], true);
}

#[test]
fn a_lock_ends_by_itself_and_is_not_made_longer_by_trying() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    register(&shop, "ada@example.com");
    let at_home = shop.with("Purser-Client-IP", "192.0.2.1");
    let elsewhere = shop.with("Purser-Client-IP", "192.0.2.2");
    for _ in 0..10 {
        login(&at_home, "ada@example.com", "wrong password").refused(401);
    }

    for _ in 0..8 {
        assert_eq!(login(&at_home, "ada@example.com", PASSWORD).refused(401), "sign_in_failed");
        purser.step_clock(10_000);
    }
    login(&elsewhere, "ada@example.com", PASSWORD).expect(200);
    purser.step_clock(10_000);

    login(&at_home, "ADA@example.com", PASSWORD).expect(200);
    login(&at_home, "ada@example.com", PASSWORD).expect(200);
    login(&at_home, "ada@example.com", "wrong password").refused(401);
    assert_eq!(login(&at_home, "ada@example.com", PASSWORD).refused(401), "sign_in_failed");
}

#[test]
fn the_right_password_costs_no_attempt() {
    let purser = Purser::start_with(&[("PURSER__SIGN_IN__ATTEMPTS", "1")]);
    let shop = purser.app("shop");
    register(&shop, "ada@example.com");

    for _ in 0..5 {
        login(&shop, "ada@example.com", PASSWORD).expect(200);
    }

    assert_eq!(audit(&purser).1, 5);
}

#[test]
fn an_address_and_an_identifier_have_budgets_of_their_own() {
    let purser = Purser::start_with(&[
        ("PURSER__SIGN_IN__IDENTIFIER_ATTEMPTS", "3"),
        ("PURSER__SIGN_IN__ADDRESS_ATTEMPTS", "3"),
    ]);
    let shop = purser.app("shop");
    register(&shop, "ada@example.com");
    register(&shop, "bob@example.com");
    let from = |address: &str| shop.with("Purser-Client-IP", address);
    for at in 1..=3 {
        login(&from(&format!("192.0.2.{at}")), "ada@example.com", "wrong password").refused(401);
        login(&from("198.51.100.1"), &format!("nobody{at}@example.com"), "guess").refused(401);
    }

    assert_eq!(login(&from("192.0.2.9"), "ada@example.com", PASSWORD).status, 401);
    assert_eq!(login(&from("198.51.100.1"), "bob@example.com", PASSWORD).status, 401);
    login(&from("192.0.2.9"), "bob@example.com", PASSWORD).expect(200);
}

#[test]
fn guesses_at_once_do_not_overshoot_the_budget() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    register(&shop, "ada@example.com");

    let threads: Vec<_> = (0..32)
        .map(|_| shop.clone())
        .map(|app| thread::spawn(move || login(&app, "ada@example.com", "wrong password").status))
        .collect();
    let statuses: Vec<_> = threads.into_iter().map(|one| one.join().expect("answers")).collect();

    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(login(&shop, "ada@example.com", PASSWORD).refused(401), "sign_in_failed");
    purser.step_clock(90_000);
    login(&shop, "ada@example.com", PASSWORD).expect(200);
}

#[test]
fn two_sign_ins_at_once_count_as_two() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    register(&shop, "ada@example.com");

    let threads: Vec<_> = (0..2)
        .map(|_| shop.clone())
        .map(|app| thread::spawn(move || login(&app, "ada@example.com", PASSWORD).status))
        .collect();
    let statuses: Vec<_> = threads.into_iter().map(|one| one.join().expect("answers")).collect();

    assert_eq!(statuses, [200, 200]);
    assert_eq!(audit(&purser).1, 2);
    assert_eq!(purser.db_entries(doc! { "action": "signed_in" }).len(), 2);
}

#[test]
fn a_hash_that_has_become_too_cheap_is_replaced_once() {
    let (uri, database, hash) = {
        let purser = Purser::start().without_replay();
        let shop = purser.app("shop");
        register(&shop, "ada@example.com");
        let hash = user(&purser).get_str("password").expect("a hash").to_owned();
        (purser.uri.clone(), purser.database.clone(), hash)
    };
    let costly = [("PURSER__CRYPTO__ARGON2_MEMORY_KIB", "64")];
    let purser = Purser::start_on(&uri, &format!("{database}_again"), &costly).without_replay();
    let shop = purser.app("shop");
    register(&shop, "ada@example.com");
    let changed_at = user(&purser).get_document("audit").expect("audit").clone();
    purser.db_update("users", doc! {}, doc! { "$set": { "password": &hash } });
    let stored = || user(&purser).get_str("password").expect("a hash").to_owned();
    purser.step_clock(1000);

    assert_eq!(login(&shop, "ada@example.com", "wrong password").status, 401);
    assert_eq!(stored(), hash);
    let threads: Vec<_> = (0..4)
        .map(|_| shop.clone())
        .map(|app| thread::spawn(move || login(&app, "ada@example.com", PASSWORD).status))
        .collect();
    let statuses: Vec<_> = threads.into_iter().map(|one| one.join().expect("answers")).collect();

    assert_eq!(statuses, [200; 4]);
    let stronger = stored();
    assert!(stronger.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stronger}");
    login(&shop, "ada@example.com", PASSWORD).expect(200);
    assert_eq!(stored(), stronger);
    let rehashed = purser.db_entries(doc! { "paths": "password", "action": "signed_in" });
    assert_eq!(rehashed.len(), 1);
    let audit = user(&purser).get_document("audit").expect("audit").clone();
    assert_eq!(audit.get("password_changed_at"), changed_at.get("password_changed_at"));
}

#[test]
fn a_hash_that_costs_more_than_today_is_left_alone() {
    let purser = Purser::start().without_replay();
    let shop = purser.app("shop");
    register(&shop, "ada@example.com");
    // Twice what is asked for.
    let costly = purser::crypto::password::Params {
        memory_kib: 16,
        passes: 1,
        lanes: 1,
        threads: 1,
        queue: 1,
    };
    let chance = purser::kernel::chance::Chance::from_seed(3);
    let hasher = purser::crypto::password::Hasher::new(costly, chance).expect("a hasher");
    let password = purser::kernel::secret::Secret::new(PASSWORD.to_owned());
    let hash = purser.block_on(hasher.hash(password)).expect("a hash");
    purser.db_update("users", doc! {}, doc! { "$set": { "password": &hash } });

    login(&shop, "ada@example.com", PASSWORD).expect(200);

    assert_eq!(user(&purser).get_str("password").ok(), Some(hash.as_str()));
}

#[test]
fn signing_in_activates_what_the_app_had_claimed() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let id = register(&shop, "ada@example.com");
    let claim = json!({
        "email": "ada@example.com", "username": "ignored",
        "connection": { "app_username": "ada_at_club", "permissions": ["read"] },
    });
    let waiting = club.post("/v1/users", claim).expect(202);
    let path = format!("/v1/registrations/{}", waiting["registration_id"].as_str().expect("an id"));
    login(&club, "ada@example.com", "wrong password").refused(401);
    assert_eq!(club.get(&path).expect(200)["status"], "pending");

    let answer = login(&club, "ada@example.com", PASSWORD).expect(200);
    let again = login(&club, "ada@example.com", PASSWORD).expect(200);

    assert_eq!(answer["user_id"], id.as_str());
    assert_eq!(answer["user"]["app_specific"]["app_username"], "ada_at_club");
    assert_eq!(answer["user"]["shared"]["username"], Value::Null);
    let key = answer["connection_key"].as_str().expect("a key");
    club.with_other_key(key).get("/v1/users/me").expect(200);
    assert!(again.get("connection_key").is_none());
    let read = club.get(&path).expect(200);
    assert_eq!((&read["status"], &read["user_id"]), (&json!("active"), &json!(id)));
    assert!(read.get("connection_key").is_none(), "it was shown at the sign-in");
    assert_eq!(audit(&purser).1, 2);
}

#[test]
fn a_claim_of_another_app_or_out_of_time_is_not_activated() {
    let purser = Purser::start();
    let (shop, club, zoo) = (purser.app("shop"), purser.app("club"), purser.app("zoo"));
    register(&shop, "ada@example.com");
    club.post("/v1/users", json!({ "email": "ada@example.com" })).expect(202);

    assert_eq!(login(&zoo, "ada@example.com", PASSWORD).refused(403), "not_connected");
    purser.step_clock(30 * purser::kernel::time::DAY_MS);

    assert_eq!(login(&club, "ada@example.com", PASSWORD).refused(403), "not_connected");
    assert_eq!(audit(&purser), (None, 0));
}

#[test]
fn many_sign_ins_at_once_activate_a_claim_once() {
    let purser = Purser::start_with(&[("PURSER__SIGN_IN__ATTEMPTS", "100")]);
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    register(&shop, "ada@example.com");
    club.post("/v1/users", json!({ "email": "ada@example.com" })).expect(202);

    let threads: Vec<_> = (0..32)
        .map(|_| club.clone())
        .map(|app| thread::spawn(move || login(&app, "ada@example.com", PASSWORD)))
        .collect();
    let replies: Vec<_> = threads.into_iter().map(|one| one.join().expect("answers")).collect();

    assert!(replies.iter().all(|reply| reply.status == 200));
    let keys = replies.iter().filter(|reply| reply.body["connection_key"].is_string()).count();
    assert_eq!(keys, 1);
    assert_eq!(purser.db_find("user_apps", doc! { "app_id": "club" }).len(), 1);
    assert_eq!(audit(&purser).1, 32);
}
