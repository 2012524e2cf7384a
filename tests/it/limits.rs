//! How often an app may ask: fixed UTC windows, all or nothing, shared by all nodes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bson::doc;
use bson::oid::ObjectId;

use purser::crypto::token::{ApiKey, KeyKind};
use purser::kernel::chance::Chance;
use purser::kernel::time::SECOND_MS;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser};

fn limited(purser: &Purser, minute: i64, hour: i64) -> Principal {
    let limits = json!({ "requests_per_minute": minute, "requests_per_hour": hour });
    purser.app_with("shop", json!({ "rate_limits": limits }))
}

fn limits(minute: i64, hour: i64) -> Value {
    json!({ "requests_per_minute": minute, "requests_per_hour": hour })
}

/// The headers of an answer, as (policy, what is left).
fn quota(reply: &crate::harness::Reply) -> (&str, &str) {
    (
        reply.header("ratelimit-policy").expect("a policy"),
        reply.header("ratelimit").expect("what is left"),
    )
}

#[test]
fn a_connection_is_refused_beyond_its_minute_and_told_when_to_come_back() {
    let purser = Purser::start();
    let shop = limited(&purser, 3, 5);
    let (_, me) = shop.register("ada@example.com");
    purser.step_clock(42 * SECOND_MS);

    let first = me.get("/v1/users/me");
    let policy = "\"minute\";q=3;w=60, \"hour\";q=5;w=3600";
    assert_eq!(quota(&first), (policy, "\"minute\";r=2;t=18, \"hour\";r=4;t=3558"));
    first.expect(200);
    me.get("/v1/users/me").expect(200);
    me.get("/v1/users/me").expect(200);

    let refused = me.get("/v1/users/me");
    assert_eq!(refused.header("retry-after"), Some("18"));
    assert_eq!(quota(&refused), (policy, "\"minute\";r=0;t=18, \"hour\";r=2;t=3558"));
    assert_eq!(refused.refused(429), "rate_limited");

    purser.step_clock(18 * SECOND_MS);
    me.get("/v1/users/me").expect(200);
    me.get("/v1/users/me").expect(200);
    let refused = me.get("/v1/users/me");
    assert_eq!(refused.header("retry-after"), Some("3540"), "now it is the hour");
    assert_eq!(refused.refused(429), "rate_limited");
}

#[test]
fn what_the_connection_refuses_is_not_taken_from_the_app_and_the_other_way_round() {
    let purser = Purser::start();
    let body = json!({ "rate_limits": limits(2, 1000), "total_rate_limits": limits(6, 1000) });
    let shop = purser.app_with("shop", body);
    let (ada, _) = shop.register("ada@example.com");
    let (grace, _) = shop.register("grace@example.com");
    purser.step_clock(60 * SECOND_MS);

    let read = |id: &str| shop.get(&format!("/v1/users/{id}")).status;
    assert_eq!([read(&ada), read(&ada), read(&ada), read(&ada)], [200, 200, 429, 429]);
    // Four of six are left to the app: two for grace, then two that concern nobody.
    assert_eq!([read(&grace), read(&grace), read(&grace)], [200, 200, 429]);
    shop.get("/v1/users").expect(200);
    shop.get("/v1/users").expect(200);
    let refused = shop.get("/v1/users");
    assert!(quota(&refused).0.contains("q=6;w=60"), "the app's own limit");
    assert_eq!(refused.refused(429), "rate_limited");
}

#[test]
fn a_lowered_limit_holds_at_once_and_a_raised_one_too() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let allow = |minute: i64| {
        let revision = admin.get("/v1/admin/apps/shop").header("etag").expect("a tag").to_owned();
        let body = json!({ "total_rate_limits": { "requests_per_minute": minute } });
        admin.with("If-Match", &revision).patch("/v1/admin/apps/shop", body).expect(200);
    };
    for _ in 0..4 {
        shop.get("/v1/users").expect(200);
    }

    allow(5);
    shop.get("/v1/users").expect(200);
    assert_eq!(shop.get("/v1/users").refused(429), "rate_limited");
    allow(6);
    shop.get("/v1/users").expect(200);
    assert_eq!(shop.get("/v1/users").refused(429), "rate_limited");
}

#[test]
fn four_nodes_together_admit_exactly_what_the_limit_says() {
    let one = Purser::start();
    let others = ["two", "three", "four"].map(|node| one.beside(node));
    let shop = limited(&one, 100, 10_000);
    let (id, me) = shop.register("ada@example.com");
    let nodes: Vec<&Purser> = std::iter::once(&one).chain(&others).collect();

    for minute in 1..=3 {
        one.step_clock(60 * SECOND_MS);
        let admitted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for node in &nodes {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let me = node.with_key(me.key());
                        // Until this node has nothing left: each of them has seen the end.
                        for _ in 0..60 {
                            match me.get("/v1/users/me").status {
                                200 => admitted.fetch_add(1, Ordering::Relaxed),
                                429 => return,
                                other => panic!("{other}"),
                            };
                        }
                    });
                }
            }
        });
        assert_eq!(admitted.into_inner(), 100, "in minute {minute} for {id}");
    }
}

#[test]
fn seven_of_eight_requests_cost_the_limits_no_call_to_the_database() {
    let purser = Purser::start();
    let shop = limited(&purser, 1000, 10_000);
    let (_, me) = shop.register("ada@example.com");

    let calls = purser.db_watched("rate_leases", || {
        for _ in 0..80 {
            me.get("/v1/users/me").expect(200);
        }
    });

    assert!(calls.len() <= 10, "{calls:?}");
}

#[test]
fn a_mistyped_key_costs_no_read_and_an_unknown_one_a_single_read() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (mistyped, last) = shop.key().split_at(shop.key().len() - 1);
    let mistyped = format!("{mistyped}{}", if last == "0" { "1" } else { "0" });
    let unknown = ApiKey::generate(KeyKind::App, &Chance::from_seed(99)).text().expose().clone();

    for (key, reads) in [(mistyped, 0), (unknown, 1)] {
        let found = purser.db_watched("apps", || {
            for _ in 0..10 {
                assert_eq!(purser.with_key(&key).get("/v1/users").refused(401), "unauthenticated");
            }
        });
        assert_eq!(found.len(), reads, "{found:?}");
    }
}

#[test]
fn a_node_that_is_alone_asks_late_and_has_written_all_down_before_another_counts() {
    let one = Purser::start();
    until_alone(&one);
    let shop = limited(&one, 10, 1000);
    let (_, me) = shop.register("ada@example.com");
    one.step_clock(60 * SECOND_MS);

    // With the registration these are the app's first seven.
    let asked = one.db_watched("rate_leases", || {
        for _ in 0..6 {
            me.get("/v1/users/me").expect(200);
        }
    });
    assert!(asked.is_empty(), "{asked:?}");

    // By the stepped clock it has been silent for a minute.
    one.block_on(one.inner.store.beat()).expect("a sign of life");
    let two = one.beside("two");
    let elsewhere = two.with_key(me.key());
    let admitted = (0..10).filter(|_| elsewhere.get("/v1/users/me").status == 200).count();
    assert_eq!(admitted, 4);
    assert_eq!(me.get("/v1/users/me").refused(429), "rate_limited");
}

fn until_alone(node: &Purser) {
    let until = Instant::now() + Duration::from_secs(5);
    while !node.inner.gate.limiter().is_alone() {
        assert!(Instant::now() < until, "it does not find out");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_node_that_starts_again_counts_what_was_taken_and_asks_late_from_the_next_minute_on() {
    let mut one = Purser::start();
    let shop = limited(&one, 10, 50);
    let ((id, ada), (_, grace)) =
        (shop.register("ada@example.com"), shop.register("grace@example.com"));
    for _ in 0..8 {
        ada.get("/v1/users/me").expect(200);
        grace.get("/v1/users/me").expect(200);
    }
    let two = one.beside("two");
    one.stop();
    until_alone(&two);
    let id: ObjectId = id.parse().expect("an id");
    let tie = two.db_find("user_apps", doc! { "user_id": id }).remove(0);
    let tie = tie.get_object_id("_id").expect("an id").to_hex();
    let lease = two.db_find("rate_leases", doc! { "_id": { "$regex": tie } }).remove(0);
    let taken = lease.get_i64("hour").expect("a count");
    assert!((8..=16).contains(&taken), "{taken}");
    let (ada, grace) = (two.with_key(ada.key()), two.with_key(grace.key()));

    let asked = two.db_watched("rate_leases", || {
        let admitted = (0..10).filter(|_| grace.get("/v1/users/me").status == 200).count();
        assert!(admitted <= 2, "{admitted} of a minute of which 8 were gone");
    });
    assert!(!asked.is_empty());

    two.step_clock(60 * SECOND_MS);
    let asked = two.db_watched("rate_leases", || {
        for _ in 0..7 {
            ada.get("/v1/users/me").expect(200);
        }
    });
    assert!(asked.is_empty(), "{asked:?}");
    let eighth = ada.get("/v1/users/me");
    let left = format!("\"hour\";r={};", 50 - taken - 8);
    assert!(quota(&eighth).1.contains(&left), "{:?} instead of {left}", quota(&eighth));
}

#[test]
fn an_address_that_shows_too_many_bad_keys_waits_and_those_with_known_keys_do_not() {
    let purser = Purser::start_with(&[("PURSER__LIMITS__ANONYMOUS_PER_MINUTE", "5")]);
    let shop = purser.app("shop");
    shop.get("/v1/users").expect(200);
    let unknown = |seed| {
        let key = ApiKey::generate(KeyKind::App, &Chance::from_seed(seed));
        purser.with_key(key.text().expose()).get("/v1/users")
    };
    for seed in 100..105 {
        assert_eq!(unknown(seed).refused(401), "unauthenticated");
    }

    let asked = purser.db_watched("apps", || {
        let refused = unknown(200);
        assert_eq!(refused.header("retry-after"), Some("12"));
        assert_eq!(refused.refused(429), "rate_limited");
        assert_eq!(purser.nobody().get("/v1/users").refused(429), "rate_limited");
    });
    assert!(asked.is_empty(), "{asked:?}");
    shop.get("/v1/users").expect(200);
    purser.step_clock(12 * SECOND_MS);
    assert_eq!(unknown(201).refused(401), "unauthenticated");
}
