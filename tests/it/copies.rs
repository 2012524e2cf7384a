//! Records in memory: never older than what this node has done, or than what a caller has seen, and
//! gone within a second wherever somebody else has changed them.

use std::time::{Duration, Instant};

use bson::doc;
use bson::oid::ObjectId;
use serde_json::json;

use crate::harness::{Mongod, Principal, Purser, person};

/// How long a key, a status or a limit may live on elsewhere.
const WITHIN: Duration = Duration::from_secs(1);

/// An app whose people may ask as often as these tests do.
fn busy(purser: &Purser) -> Principal {
    let limits = json!({ "requests_per_minute": 100_000, "requests_per_hour": 100_000 });
    purser.app_with("shop", json!({ "rate_limits": limits }))
}

/// Until this node has heard of what was done before, and reads from memory.
fn warm(node: &Purser, who: &Principal, path: &str) {
    let (begun, until) = (Instant::now(), Instant::now() + 5 * WITHIN);
    let hits = || node.inner.store.copy_figures().hits.get();
    while !node.inner.store.has_heard(begun) {
        assert!(Instant::now() < until, "it hears of nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
    loop {
        let before = hits();
        who.get(path).expect(200);
        if hits() > before {
            return;
        }
        assert!(Instant::now() < until, "it never reads from memory");
    }
}

#[test]
fn a_read_from_memory_asks_the_database_nothing() {
    let purser = Purser::start();
    let shop = busy(&purser);
    let (id, me) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    warm(&purser, &shop, &path);
    me.get("/v1/users/me").expect(200);

    for collection in ["apps", "user_apps", "users"] {
        let asked = purser.db_watched(collection, || {
            for _ in 0..10 {
                shop.get(&path).expect(200);
                me.get("/v1/users/me").expect(200);
            }
        });
        assert!(asked.is_empty(), "{collection}: {asked:?}");
    }
}

#[test]
fn noting_when_a_key_was_used_evicts_nothing() {
    let purser = Purser::start();
    let shop = busy(&purser);
    let (id, me) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    warm(&purser, &shop, &path);
    me.get("/v1/users/me").expect(200);
    let evicted = || {
        let figures = purser.inner.store.copy_figures();
        figures.evictions.get()
    };
    let before = evicted();

    purser.block_on(purser.inner.flush_last_used()).expect("flushed");
    // A change that is heard of, so that what came before it was heard of too.
    shop.register("grace@example.com");
    let changed = purser.db_find("users", doc! {}).len() as u64;
    let until = Instant::now() + WITHIN;
    while evicted() < before + 2 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    let tie = &purser.db_find("user_apps", doc! { "key_last_used_at": { "$exists": true } });
    assert!(!tie.is_empty() && changed == 2);
    let asked = purser.db_watched("user_apps", || {
        me.get("/v1/users/me").expect(200);
    });
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_sign_of_life_makes_nobody_forget_anything() {
    let one = Purser::start();
    let two = one.beside("two");
    let shop = busy(&one);
    let (id, _) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    warm(&one, &shop, &path);

    for turn in 0..3 {
        one.block_on(one.inner.store.beat()).expect("a sign of life");
        two.block_on(two.inner.store.beat()).expect("a sign of life");
        // What comes after them is heard: then they were, too.
        let evicted = || one.inner.store.copy_figures().evictions.get();
        let before = evicted();
        two.with_key(shop.key()).post("/v1/users", person(&format!("p{turn}@example.com")));
        let until = Instant::now() + WITHIN;
        while evicted() == before {
            assert!(Instant::now() < until, "the stream was not followed any more");
        }
        let asked = one.db_watched("users", || {
            shop.get(&path).expect(200);
        });
        assert!(asked.is_empty(), "{asked:?}");
    }
}

#[test]
fn what_this_node_has_changed_is_read_at_once() {
    let purser = Purser::start();
    let shop = busy(&purser);
    let (id, _) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    for turn in 0..50 {
        let name = format!("Ada {turn}");
        shop.patch(&path, json!({ "profile": { "first_name": &name } })).expect(200);
        assert_eq!(shop.get(&path).expect(200)["shared"]["profile"]["first_name"], name);
    }
}

#[test]
fn what_this_node_has_changed_is_read_from_memory_and_what_another_has_within_a_second() {
    let one = Purser::start();
    let two = one.beside("two");
    let shop = busy(&one);
    let elsewhere = two.with_key(shop.key());
    let (id, _) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    warm(&one, &shop, &path);
    let name = |who: &Principal| {
        let user = who.get(&path).expect(200);
        user["shared"]["profile"]["first_name"].as_str().map(str::to_owned)
    };
    let call = |who: &Principal, name: &str| {
        who.patch(&path, json!({ "profile": { "first_name": name } })).expect(200);
    };

    // A node that hears of its own change before its commit is answered takes it for anybody's.
    let (mut from_memory, until) = (0, Instant::now() + 20 * WITHIN);
    while from_memory < 3 {
        assert!(Instant::now() < until, "{from_memory} times from memory");
        let turn = one.inner.store.copy_figures().hits.get();
        let (mine, theirs) = (format!("Ada {turn}"), format!("Augusta {turn}"));
        call(&shop, &mine);
        let done = Instant::now();
        let asked = one.db_watched("users", || {
            assert_eq!(name(&shop).as_ref(), Some(&mine), "before it is heard of");
            while !one.inner.store.has_heard(done) {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(name(&shop).as_ref(), Some(&mine), "and after it");
        });
        from_memory += usize::from(asked.is_empty());

        call(&elsewhere, &theirs);
        let took = time_until(|| name(&shop).as_ref() == Some(&theirs));
        assert!(took < WITHIN, "{took:?}");
    }
}

#[test]
fn what_was_changed_by_hand_is_not_undone_by_what_this_node_remembers() {
    let purser = Purser::start().without_replay();
    let shop = busy(&purser);
    let (id, _) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    warm(&purser, &shop, &path);
    shop.patch(&path, json!({ "profile": { "last_name": "Lovelace" } })).expect(200);
    let user: ObjectId = id.parse().expect("an id");
    let by_hand = doc! { "$set": { "profile.first_name": "Augusta" } };
    purser.db_update("users", doc! { "_id": user }, by_hand);
    let first_name = || shop.get(&path).expect(200)["shared"]["profile"]["first_name"].clone();
    assert!(time_until(|| first_name() == "Augusta") < WITHIN);

    shop.patch(&path, json!({ "profile": { "last_name": "King" } })).expect(200);

    for _ in 0..3 {
        assert_eq!(first_name(), "Augusta");
    }
}

#[test]
fn whoever_sends_back_what_it_has_seen_is_never_shown_anything_older_on_any_node() {
    let one = Purser::start();
    let two = one.beside("two");
    let shop = busy(&one);
    let (id, _) = shop.register("ada@example.com");
    let path = format!("/v1/users/{id}");
    let elsewhere = two.with_key(shop.key());
    warm(&two, &elsewhere, &path);

    for turn in 0..40 {
        let name = format!("Ada {turn}");
        let profile = shop.patch(&path, json!({ "profile": { "first_name": &name } }));
        let seen = profile.header("purser-seen").expect("a token").to_owned();
        let read = elsewhere.with("Purser-Seen", &seen).get(&path);
        assert_eq!(read.body["shared"]["profile"]["first_name"], name);

        let tie = format!("{path}/connection");
        let changed = shop.patch(&tie, json!({ "app_version": format!("1.{turn}") }));
        let seen = changed.header("purser-seen").expect("a token").to_owned();
        let read = elsewhere.with("Purser-Seen", &seen).get(&tie);
        assert_eq!(read.body["app_specific"]["app_version"], format!("1.{turn}"));
    }
}

#[test]
fn a_token_of_somebody_else_or_nonsense_is_no_error_and_tells_nothing() {
    let purser = Purser::start();
    let shop = busy(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let (grace, _) = shop.register("grace@example.com");
    let token = |id: &str| {
        let read = shop.get(&format!("/v1/users/{id}"));
        read.header("purser-seen").expect("a token").to_owned()
    };
    let first = token(&ada);
    assert_eq!(first.len(), token(&grace).len(), "the same length whatever was done");
    assert_ne!(first, token(&ada), "sealed anew each time");
    for seen in [token(&grace).as_str(), "nonsense", "v1.m1.AAAA"] {
        shop.with("Purser-Seen", seen).get(&format!("/v1/users/{ada}")).expect(200);
    }
}

/// Until `refused` holds; how long that took.
fn time_until(mut refused: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !refused() {
        assert!(started.elapsed() < 3 * WITHIN, "it is still accepted");
        std::thread::sleep(Duration::from_millis(10));
    }
    started.elapsed()
}

#[test]
fn a_key_that_one_node_has_revoked_is_refused_by_the_others_within_a_second() {
    let one = Purser::start();
    let others = ["two", "three", "four"].map(|node| one.beside(node));
    let (shop, admin) = (busy(&one), one.admin());
    let extra = admin.post("/v1/admin/apps/shop/keys", json!({})).expect(201);
    let key = extra["key"].as_str().expect("a key");
    let id = extra["app"]["keys"][1]["id"].as_str().expect("an id");
    for node in &others {
        warm(node, &node.with_key(key), "/v1/users");
    }

    admin.delete(&format!("/v1/admin/apps/shop/keys/{id}")).expect(204);

    assert_eq!(one.with_key(key).get("/v1/users").refused(401), "unauthenticated", "at once here");
    for node in &others {
        let took = time_until(|| node.with_key(key).get("/v1/users").status == 401);
        assert!(took < WITHIN, "{took:?}");
        node.with_key(shop.key()).get("/v1/users").expect(200);
    }
}

#[test]
fn a_cut_change_stream_makes_nothing_older_than_a_second() {
    let mongod = Mongod::start();
    let one = Purser::start_on(&mongod.uri, "cut", &[("PURSER__SERVER__NODE", "one")]);
    let two = one.beside("two");
    let admin = one.admin();
    busy(&one);
    let cuts = [
        doc! { "failCommands": ["getMore"], "blockConnection": true, "blockTimeMS": 5000 },
        doc! { "failCommands": ["getMore", "aggregate"], "errorCode": 43 },
    ];
    for cut in cuts {
        let extra = admin.post("/v1/admin/apps/shop/keys", json!({})).expect(201);
        let key = extra["key"].as_str().expect("a key");
        let keys = extra["app"]["keys"].as_array().expect("keys");
        let id = keys.last().and_then(|key| key["id"].as_str()).expect("an id");
        let elsewhere = two.with_key(key);
        warm(&two, &elsewhere, "/v1/users");

        mongod.fail("alwaysOn", cut);
        admin.delete(&format!("/v1/admin/apps/shop/keys/{id}")).expect(204);
        let took = time_until(|| elsewhere.get("/v1/users").status == 401);
        assert!(took < WITHIN, "{took:?}");
        mongod.heal();
    }
}
