//! Keys over their life: replaced with an overlap, shown again, ended all at once.

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, Reply, START, person};

const HOUR_MS: i64 = 60 * 60 * 1000;
const KEY_ID: std::ops::Range<usize> = 8..20;

fn rotate(app: &Principal, user: &str, body: Value) -> Reply {
    app.post(&format!("/v1/users/{user}/connection/key"), body)
}

/// The answer to a rotation, and whoever holds the new key.
fn rotated(app: &Principal, user: &str, body: Value) -> (Value, Principal) {
    let answer = rotate(app, user, body).expect(201);
    let key = answer["connection_key"].as_str().expect("a key").to_owned();
    (answer, app.with_other_key(&key))
}

fn reveal(app: &Principal, user: &str) -> Reply {
    app.send("POST", &format!("/v1/users/{user}/connection/key/reveal"), None)
}

fn works(key: &Principal) -> bool {
    match key.get("/v1/users/me") {
        reply if reply.status == 200 => true,
        reply => {
            assert_eq!(reply.refused(401), "unauthenticated");
            false
        }
    }
}

fn revealing(purser: &Purser) -> Principal {
    purser.app_with("shop", json!({ "reveal_keys": true }))
}

#[test]
fn a_replaced_key_counts_until_its_overlap_ends_and_the_new_one_at_once() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, old) = shop.register("ada@example.com");

    let (answer, new) = rotated(&shop, &id, json!({}));

    assert_eq!(answer["key_created_at"], START);
    assert_eq!(answer["key_expires_at"], Value::Null);
    assert_eq!(answer["key_hint"], format!("{}…", &new.key()[..12]));
    let previous = json!({
        "key_hint": format!("{}…", &old.key()[..12]), "expires_at": "2026-01-01T01:00:00.000Z",
    });
    assert_eq!(answer["previous_key"], previous);
    assert!(works(&old) && works(&new));
    purser.step_clock(HOUR_MS - 1);
    assert!(works(&old) && works(&new));
    purser.step_clock(1);
    assert!(!works(&old) && works(&new));
    let view = shop.get(&format!("/v1/users/{id}")).expect(200);
    assert_eq!(view["app_specific"]["previous_key"], previous);
    assert!(!view.to_string().contains("mac"), "{view:#}");
}

#[test]
fn without_an_overlap_the_old_key_ends_at_once() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, old) = shop.register("ada@example.com");

    let (answer, new) = rotated(&shop, &id, json!({ "overlap_seconds": 0 }));

    assert_eq!(answer["previous_key"], Value::Null);
    assert!(!works(&old) && works(&new));
    let view = shop.get(&format!("/v1/users/{id}/connection")).expect(200);
    assert_eq!(view["app_specific"]["previous_key"], Value::Null);
}

#[test]
fn of_three_keys_within_an_overlap_the_oldest_ends_at_once() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, first) = shop.register("ada@example.com");

    let (_, second) = rotated(&shop, &id, json!({}));
    let (_, third) = rotated(&shop, &id, json!({ "overlap_seconds": 604_800 }));

    assert!(!works(&first) && works(&second) && works(&third));
}

#[test]
fn an_overlap_never_reaches_beyond_the_old_keys_own_end() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let (first, old) = rotated(&shop, &id, json!({ "expires_at": "2026-01-01T01:30:00+01:00" }));
    assert_eq!(first["key_expires_at"], "2026-01-01T00:30:00.000Z");
    let view = shop.get(&format!("/v1/users/{id}")).expect(200);
    assert_eq!(view["app_specific"]["key_expires_at"], "2026-01-01T00:30:00.000Z");

    let (second, new) = rotated(&shop, &id, json!({ "overlap_seconds": 7200 }));

    assert_eq!(second["previous_key"]["expires_at"], "2026-01-01T00:30:00.000Z");
    purser.step_clock(HOUR_MS / 2);
    assert!(!works(&old) && works(&new));
    let (_, old) = rotated(&shop, &id, json!({ "expires_at": "2026-01-01T00:30:00.001Z" }));
    purser.step_clock(1);
    assert!(!works(&old), "it has ended");
    let (third, _) = rotated(&shop, &id, json!({}));
    assert_eq!(third["previous_key"], Value::Null, "a key that has ended is not taken up again");
}

#[test]
fn a_rotation_repeated_under_one_idempotency_key_is_one_rotation() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, old) = shop.register("ada@example.com");
    let once = shop.with("Idempotency-Key", "rotation-1");

    let first = rotate(&once, &id, json!({})).expect(201);
    let again = rotate(&once, &id, json!({}));

    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
    assert!(works(&old) && works(&shop.with_other_key(first["connection_key"].as_str().unwrap())));
    let entries = purser.db_entries(doc! { "action": "connection_key_rotated" });
    assert_eq!(entries.len(), 1);
    let other = rotate(&once, &id, json!({ "overlap_seconds": 1 }));
    assert_eq!(other.refused(422), "idempotency_key_reused");
}

#[test]
fn nothing_of_a_key_stands_in_the_trail() {
    let purser = Purser::start();
    let shop = revealing(&purser);
    let (id, old) = shop.register("ada@example.com");
    let (_, new) = rotated(&shop, &id, json!({}));
    reveal(&shop, &id).expect(200);

    let entries = purser.db_entries(doc! { "app_id": "shop" });
    let text = format!("{entries:?}");
    let stored = purser.db_find("user_apps", doc! {}).remove(0);

    for secret in [&old.key()[KEY_ID.end..], &new.key()[KEY_ID.end..], "v1.m1."] {
        assert!(!text.contains(secret), "{secret}");
    }
    for secret in [
        stored.get_str("key_mac"),
        stored.get_document("previous_key").and_then(|previous| previous.get_str("key_mac")),
    ] {
        assert!(!text.contains(secret.expect("a MAC")));
    }
}

#[test]
fn a_connection_key_rotates_and_reveals_nothing() {
    let purser = Purser::start();
    let shop = revealing(&purser);
    let (id, own) = shop.register("ada@example.com");

    for user in [id.as_str(), "me"] {
        let reply = rotate(&own, user, json!({}));
        assert!(reply.body["detail"].to_string().contains("app key"), "{:#}", reply.body);
        assert_eq!(reply.refused(403), "wrong_credential");
        assert_eq!(reveal(&own, user).refused(403), "wrong_credential");
    }
    let stranger = purser.app("stranger");
    assert_eq!(rotate(&stranger, &id, json!({})).refused(404), "not_found");
    assert_eq!(reveal(&stranger, &id).refused(404), "not_found");
    assert!(works(&own));
}

#[test]
fn a_rotation_that_asks_for_the_impossible_is_refused_by_field() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, old) = shop.register("ada@example.com");

    for (body, pointer) in [
        (json!({ "overlap_seconds": -1 }), "/overlap_seconds"),
        (json!({ "overlap_seconds": 604_801 }), "/overlap_seconds"),
        (json!({ "overlap_seconds": i64::MAX }), "/overlap_seconds"),
        (json!({ "overlap_seconds": 1.5 }), "/overlap_seconds"),
        (json!({ "overlap_seconds": "60" }), "/overlap_seconds"),
        (json!({ "expires_at": START }), "/expires_at"),
        (json!({ "expires_at": "tomorrow" }), "/expires_at"),
        (json!({ "expires_at": 1 }), "/expires_at"),
        (json!({ "overlap": 1 }), "/overlap"),
        (json!([]), ""),
    ] {
        let reply = rotate(&shop, &id, body.clone());
        assert_eq!(reply.pointers(), [pointer], "{body}");
        assert_eq!(reply.refused(422), "invalid");
    }

    assert!(works(&old));
}

#[test]
fn letting_a_person_go_ends_both_keys() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, old) = shop.register("ada@example.com");
    let (_, new) = rotated(&shop, &id, json!({}));

    shop.delete(&format!("/v1/users/{id}/connection")).expect(204);

    assert!(!works(&old) && !works(&new));
    assert_eq!(rotate(&shop, &id, json!({})).refused(403), "connection_inactive");
}

#[test]
fn two_rotations_at_once_leave_one_key_and_one_in_its_overlap() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, first) = shop.register("ada@example.com");

    let both: Vec<_> = std::thread::scope(|scope| {
        let one = || scope.spawn(|| rotated(&shop, &id, json!({})));
        let both = [one(), one()];
        both.map(|one| one.join().expect("answers")).into()
    });

    assert!(!works(&first), "two have come after it");
    assert!(both.iter().all(|(_, key)| works(key)));
    let of_the_first = both.iter().filter(|(answer, _)| {
        answer["previous_key"]["key_hint"] == format!("{}…", &first.key()[..12])
    });
    assert_eq!(of_the_first.count(), 1, "one came after the other");
}

#[test]
fn a_key_is_shown_again_only_where_an_admin_allows_it_for_the_app() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let (id, own) = shop.register("ada@example.com");
    assert_eq!(reveal(&shop, &id).refused(403), "reveal_not_allowed");

    let allowed = json!({ "reveal_keys": true });
    admin.with("If-Match", "*").patch("/v1/admin/apps/shop", allowed).expect(200);

    assert_eq!(reveal(&shop, &id).expect(200), json!({ "connection_key": own.key() }));
    let (_, new) = rotated(&shop, &id, json!({}));
    assert_eq!(reveal(&shop, &id).expect(200), json!({ "connection_key": new.key() }));
}

#[test]
fn every_time_that_a_key_is_shown_leaves_an_entry_even_in_the_same_moment() {
    let purser = Purser::start();
    let shop = revealing(&purser);
    let (id, own) = shop.register("ada@example.com");

    std::thread::scope(|scope| {
        let one = || reveal(&shop.with("Idempotency-Key", "reveal-1"), &id).expect(200);
        let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        for shown in all {
            let shown = shown.join().expect("answers");
            assert_eq!(shown["connection_key"], own.key());
        }
    });

    let entries = purser.db_entries(doc! { "action": "connection_key_revealed" });
    assert_eq!(entries.len(), 4);
    assert!(purser.db_find("idempotency", doc! {}).is_empty(), "no second copy is kept");
}

#[test]
fn a_key_that_has_ended_is_not_shown_again() {
    let purser = Purser::start();
    let (shop, admin) = (revealing(&purser), purser.admin());
    let (id, _) = shop.register("ada@example.com");
    rotated(&shop, &id, json!({ "expires_at": "2026-01-01T00:00:01Z" }));
    reveal(&shop, &id).expect(200);

    purser.step_clock(1000);

    assert_eq!(reveal(&shop, &id).refused(403), "reveal_not_allowed");
    rotated(&shop, &id, json!({}));
    reveal(&shop, &id).expect(200);
    revoke_with_all(&purser, &admin, &shop);
    let shop = purser.with_key(issue(&admin, json!({})).expect(201)["key"].as_str().expect("key"));
    assert_eq!(reveal(&shop, &id).refused(403), "reveal_not_allowed");
}

fn issue(admin: &Principal, body: Value) -> Reply {
    admin.post("/v1/admin/apps/shop/keys", body)
}

fn key_path(app: &Principal) -> String {
    format!("/v1/admin/apps/shop/keys/{}", &app.key()[KEY_ID])
}

fn revoke_with_all(purser: &Purser, admin: &Principal, shop: &Principal) {
    purser.step_clock(1000);
    admin.delete(&format!("{}?revoke_connection_keys=true", key_path(shop))).expect(204);
}

#[test]
fn revoking_an_app_key_can_end_every_connection_key_with_one_change() {
    let purser = Purser::start();
    let (shop, club, admin) = (purser.app("shop"), purser.app("club"), purser.admin());
    let (ada, first) = shop.register("ada@example.com");
    let (_, in_club) = club.register("ada@example.com");
    let (_, other) = shop.register("bob@example.com");
    let (_, second) = rotated(&shop, &ada, json!({}));
    let before = purser.db_entries(doc! {}).len();

    let issued = issue(&admin, json!({})).expect(201);
    revoke_with_all(&purser, &admin, &shop);

    assert!(!works(&shop), "the app key itself");
    assert!(!works(&first) && !works(&second) && !works(&other));
    assert!(works(&in_club), "another app's keys stay");
    assert_eq!(purser.db_entries(doc! {}).len(), before + 2);
    let app = admin.get("/v1/admin/apps/shop").expect(200);
    assert_eq!(app["connection_keys_revoked_at"], "2026-01-01T00:00:01.000Z");

    let shop = purser.with_key(issued["key"].as_str().expect("a key"));
    shop.get(&format!("/v1/users/{ada}")).expect(200);
    let (answer, third) = rotated(&shop, &ada, json!({}));
    assert_eq!(answer["previous_key"], Value::Null, "what was ended is not taken up again");
    let (_, fresh) = shop.register("eve@example.com");
    assert!(works(&third) && works(&fresh));
    assert!(!works(&first) && !works(&second) && !works(&other));
}

#[test]
fn ending_all_connection_keys_again_for_the_same_app_key_ends_nothing_made_since() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let issued = issue(&admin, json!({})).expect(201);
    let path = key_path(&shop);
    let second = purser.with_key(issued["key"].as_str().expect("a key"));
    admin.delete(&path).expect(204);
    let (id, old) = second.register("ada@example.com");

    revoke_with_all(&purser, &admin, &shop);
    let (_, new) = rotated(&second, &id, json!({}));
    revoke_with_all(&purser, &admin, &shop);

    assert!(!works(&old) && works(&new));
    for wrong in ["yes", "", "1", "TRUE"] {
        let reply = admin.delete(&format!("{path}?revoke_connection_keys={wrong}"));
        assert_eq!(reply.pointers(), ["revoke_connection_keys"]);
        assert_eq!(reply.refused(422), "invalid");
    }
    assert_eq!(admin.delete(&format!("{path}?all=true")).refused(422), "invalid");
    assert!(works(&new));
    revoke_with_all(&purser, &admin, &second);
    assert!(!works(&new), "another key is another leak");
}

#[test]
fn an_app_key_takes_the_place_of_another_after_an_overlap() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let old_id = &shop.key()[KEY_ID];

    let issued = issue(&admin, json!({ "replaces": old_id, "overlap_seconds": 60 })).expect(201);

    let new = purser.with_key(issued["key"].as_str().expect("a key"));
    assert_eq!(issued["app"]["keys"][0]["expires_at"], "2026-01-01T00:01:00.000Z");
    assert_eq!(issued["app"]["keys"][1]["expires_at"], Value::Null);
    purser.step_clock(59_999);
    shop.get("/v1/users").expect(200);
    new.get("/v1/users").expect(200);
    purser.step_clock(1);
    assert_eq!(shop.get("/v1/users").refused(401), "unauthenticated");
    let next = issue(&admin, json!({ "replaces": &new.key()[KEY_ID], "overlap_seconds": 0 }));
    next.expect(201);
    assert_eq!(new.get("/v1/users").refused(401), "unauthenticated");
}

#[test]
fn only_a_key_in_use_can_be_replaced_and_it_never_lives_longer_for_it() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let short = issue(&admin, json!({ "expires_at": "2026-01-01T00:00:10Z" })).expect(201);
    let short = short["app"]["keys"][1]["id"].clone();

    let issued = issue(&admin, json!({ "replaces": short })).expect(201);
    assert_eq!(issued["app"]["keys"][1]["expires_at"], "2026-01-01T00:00:10.000Z");

    purser.step_clock(10_000);
    for body in [
        json!({ "replaces": short }),
        json!({ "replaces": "none" }),
        json!({ "replaces": "" }),
        json!({ "overlap_seconds": 60 }),
    ] {
        let reply = issue(&admin, body.clone());
        assert_eq!(reply.pointers(), ["/replaces"], "{body}");
        assert_eq!(reply.refused(422), "invalid");
    }
    let reply = issue(&admin, json!({ "replaces": &shop.key()[KEY_ID], "overlap_seconds": -1 }));
    assert_eq!(reply.pointers(), ["/overlap_seconds"]);
    shop.get("/v1/users").expect(200);
}

#[test]
fn a_key_that_is_no_longer_in_use_makes_room_for_the_next() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let mut newest = shop.key()[KEY_ID].to_owned();
    for _ in 0..25 {
        let body = json!({ "replaces": newest, "overlap_seconds": 0 });
        let app = issue(&admin, body).expect(201)["app"].clone();
        let keys = app["keys"].as_array().expect("keys");
        newest = keys.last().expect("one")["id"].as_str().expect("an id").to_owned();
        assert!(keys.len() <= 20);
    }

    let keys = admin.get("/v1/admin/apps/shop").expect(200)["keys"].clone();

    let keys = keys.as_array().expect("keys");
    assert_eq!(keys.len(), 20);
    assert!(keys.iter().all(|key| key["id"] != shop.key()[KEY_ID]), "the oldest is gone");
    let trail = format!("{:?}", purser.db_entries(doc! { "subject": "app:shop" }));
    assert!(!trail.contains("v1.m1."), "no key's material is left where it was removed");
}

#[test]
fn a_person_who_is_connected_anew_gets_a_key_that_counts() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let issued = issue(&admin, json!({})).expect(201);
    let (id, _) = shop.register("ada@example.com");
    revoke_with_all(&purser, &admin, &shop);
    let shop = purser.with_key(issued["key"].as_str().expect("a key"));

    shop.delete(&format!("/v1/users/{id}/connection")).expect(204);
    let (_, own) = shop.register_with(person("ada@example.com"));

    assert!(works(&own));
}
