//! What MongoDB and the network do to Purser: each test has a server of its own to hurt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures_util::future::join_all;
use purser::kernel::fault::Code;
use purser::kernel::time::{SECOND_MS, plus};
use serde_json::json;

use crate::harness::{Counter, Lock, MEANT_TO_BREAK, Mongod, Principal, Purser, Settings, person};

const TRANSACTION: &[&str] = &["find", "update", "insert", "commitTransaction"];

fn times(count: i32) -> Document {
    doc! { "times": count }
}

fn started(mongod: &Mongod, settings: Settings<'_>) -> Purser {
    Purser::start_on(&mongod.uri, "faults", settings)
}

/// People of one app, each with somebody who counts them up.
fn people(purser: &Purser, app: &Principal, count: usize) -> Vec<(String, Counter)> {
    let person = |n| {
        let (id, _) = app.register(&format!("p{n}@example.com"));
        let counter = purser.counter(app, &id);
        (id, counter)
    };
    (0..count).map(person).collect()
}

fn change_name(id: &str) -> (String, serde_json::Value) {
    (format!("/v1/users/{id}"), json!({ "profile": { "first_name": "Augusta" } }))
}

#[test]
fn a_transient_error_at_any_step_of_a_transaction_is_retried_and_the_change_happens_once() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[]);
    let shop = purser.app("shop");
    let (id, counter) = people(&purser, &shop, 1).remove(0);

    for (expected, command) in (1..).zip(TRANSACTION) {
        let grant = purser.block_on(counter.admitted());
        let error = doc! { "failCommands": [*command], "errorCode": 251,
        "errorLabels": ["TransientTransactionError"] };
        mongod.fail(times(2), error);
        let counted = purser.block_on(counter.up_by(&grant)).expect(command);

        assert_eq!(counted.answer, expected, "{command}");
        assert_eq!(purser.db_count(&id), expected, "{command}");
    }
}

#[test]
fn a_connection_cut_at_any_step_of_a_transaction_costs_nothing_but_time() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[]);
    let shop = purser.app("shop");
    let (id, counter) = people(&purser, &shop, 1).remove(0);

    for (expected, command) in (1..).zip(TRANSACTION) {
        let grant = purser.block_on(counter.admitted());
        mongod.fail(times(2), doc! { "failCommands": [*command], "closeConnection": true });
        let counted = purser.block_on(counter.up_by(&grant)).expect(command);

        assert_eq!(counted.answer, expected, "{command}");
        assert_eq!(purser.db_count(&id), expected, "{command}");
    }
}

#[test]
fn a_commit_of_unknown_result_is_repeated_until_it_is_known_and_happens_once() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[]);
    let shop = purser.app("shop");
    let people = people(&purser, &shop, 8);

    // An error comes before the commit; a concern that failed, after it.
    let concern = |code: i32| doc! { "writeConcernError": { "code": code, "errmsg": "a test" } };
    let unknown = [
        doc! { "errorCode": 91 },
        doc! { "errorCode": 11602 },
        doc! { "closeConnection": true },
        concern(91),
        concern(64),
        concern(79),
        concern(100),
    ];
    for (expected, unknown) in (1..).zip(unknown) {
        let mut error = doc! { "failCommands": ["commitTransaction"] };
        error.extend(unknown.clone());
        mongod.fail(times(3), error);
        let counted = purser.block_on(join_all(people.iter().map(|(_, counter)| counter.up())));
        mongod.heal();

        for ((id, _), counted) in people.iter().zip(counted) {
            assert_eq!(counted.expect("counted"), expected, "{unknown}");
            assert_eq!(purser.db_count(id), expected, "{unknown}");
        }
    }
}

#[test]
fn a_commit_in_doubt_past_the_deadline_is_told_so_and_its_key_gets_the_true_answer_once() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[("PURSER__SERVER__REQUEST_TIMEOUT_MS", "1500")]);
    let shop = purser.app("shop").with("Idempotency-Key", "registration-1");
    let ada = person("ada@example.com");

    mongod.fail("alwaysOn", doc! { "failCommands": ["commitTransaction"], "errorCode": 91 });
    let asked_at = Instant::now();
    let doubtful = shop.post("/v1/users", ada.clone());
    assert!(asked_at.elapsed() < Duration::from_secs(4), "{:?}", asked_at.elapsed());
    assert_eq!(doubtful.header("retry-after"), Some("1"));
    assert_eq!(doubtful.refused(503), "outcome_unknown");
    mongod.heal();

    let first = shop.post("/v1/users", ada.clone());
    let second = shop.post("/v1/users", ada);
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect(201), second.expect(201));
    assert_eq!(purser.db_find("users", doc! {}).len(), 1);
}

#[test]
fn a_commit_that_a_majority_knows_is_acknowledged_though_every_answer_to_it_was_lost() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[("PURSER__SERVER__REQUEST_TIMEOUT_MS", "1500")]);
    let shop = purser.app("shop").with("Idempotency-Key", "registration-1");
    let ada = person("ada@example.com");

    // A time limit, so that the driver keeps its server: what follows is about the answer alone.
    let lost = doc! { "code": 64, "errmsg": "a test" };
    let lost = doc! { "failCommands": ["commitTransaction"], "writeConcernError": lost };
    mongod.fail("alwaysOn", lost);
    let first = shop.post("/v1/users", ada.clone());
    mongod.heal();

    let second = shop.post("/v1/users", ada);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect(201), second.expect(201));
    assert_eq!(purser.db_find("users", doc! {}).len(), 1);
}

#[test]
fn while_the_database_is_gone_everything_is_refused_in_time_and_goes_on_when_it_is_back() {
    let mongod = Mongod::start();
    let settings = [
        ("PURSER__SERVER__REQUEST_TIMEOUT_MS", "2000"),
        ("PURSER__STORE__SELECTION_TIMEOUT_MS", "500"),
    ];
    let purser = started(&mongod, &settings);
    let shop = purser.app("shop");
    let (id, counter) = people(&purser, &shop, 1).remove(0);
    let (path, change) = change_name(&id);
    let grant = purser.block_on(counter.admitted());

    mongod.kill();
    let gone_at = Instant::now();
    let counted = purser.block_on(counter.up_by(&grant)).expect_err("there is no database");
    assert_eq!(counted.code(), Code::StoreUnavailable);
    assert_eq!(shop.get(&path).refused(503), "store_unavailable");
    assert_eq!(shop.patch(&path, change.clone()).refused(503), "store_unavailable");
    assert_eq!(purser.nobody().get("/readyz").refused(503), "store_unavailable");
    assert!(gone_at.elapsed() < Duration::from_secs(8), "{:?}", gone_at.elapsed());
    purser.nobody().get("/healthz").expect(200);

    mongod.revive();
    ready_again(&purser);
    shop.patch(&path, change).expect(200);
    assert_eq!(purser.block_on(counter.up()).expect("counted"), 1);
}

#[test]
fn a_database_that_hangs_holds_nobody_up_beyond_the_deadline() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[("PURSER__SERVER__REQUEST_TIMEOUT_MS", "1500")]);
    let shop = purser.app("shop");
    let (id, counter) = people(&purser, &shop, 1).remove(0);
    let (path, change) = change_name(&id);
    let grant = purser.block_on(counter.admitted());

    mongod.freeze();
    let asked_at = Instant::now();
    let counted = purser.block_on(counter.up_by(&grant)).expect_err("there is no answer");
    let counted_after = asked_at.elapsed();
    let read = shop.get(&path);
    let read_after = asked_at.elapsed().saturating_sub(counted_after);
    let ready = purser.nobody().get("/readyz");
    let alive = purser.nobody().get("/healthz");
    mongod.thaw();

    assert_eq!(counted.code(), Code::StoreUnavailable);
    assert!(counted_after < Duration::from_secs(4), "{counted_after:?}");
    assert_eq!(read.refused(503), "store_unavailable");
    assert!(read_after < Duration::from_secs(3), "{read_after:?}");
    assert_eq!(ready.refused(503), "store_unavailable");
    alive.expect(200);
    ready_again(&purser);
    shop.patch(&path, change).expect(200);
    assert_eq!(purser.block_on(counter.up()).expect("counted"), 1);
}

/// Until the driver has found its server again.
fn ready_again(purser: &Purser) {
    let until = Instant::now() + Duration::from_secs(20);
    while purser.nobody().get("/readyz").status != 200 {
        assert!(Instant::now() < until, "it does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_step_down_under_load_loses_no_change_and_doubles_none() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[("PURSER__SERVER__REQUEST_TIMEOUT_MS", "30000")]);
    let shop = purser.app("shop");
    let people = people(&purser, &shop, 8);
    let grants = purser.block_on(join_all(people.iter().map(|(_, counter)| counter.admitted())));

    let over = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        scope.spawn(|| {
            mongod.admin(doc! { "replSetStepDown": 1, "force": true });
            over.store(true, Ordering::SeqCst);
        });
        let counting = people.iter().zip(&grants).map(|((_, counter), grant)| async {
            let mut acknowledged = 0;
            // Once more after it has stepped down.
            let mut last = false;
            while !last {
                last = over.load(Ordering::SeqCst);
                acknowledged += 1;
                assert_eq!(counter.up_by(grant).await.expect("counted").answer, acknowledged);
            }
            acknowledged
        });
        purser.block_on(join_all(counting))
    });

    for ((id, _), acknowledged) in people.iter().zip(acknowledged) {
        assert_eq!(purser.db_count(id), acknowledged);
    }
}

#[test]
fn one_locked_record_delays_none_of_63_others_by_more_than_a_second() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[]);
    let shop = purser.app("shop");
    let people = people(&purser, &shop, 64);
    let locked_id: bson::oid::ObjectId = people[17].0.parse().expect("an id");
    let undisturbed = rename_all(&shop, &people, "Augusta", |answers| {
        answers.iter().take(64).map(|(_, took)| took).max().expect("64 answers")
    });

    let lock = purser.db_lock("users", doc! { "_id": locked_id });
    rename_all(&shop, &people, "Ada", |answers| {
        let locked_at = Instant::now();
        let held = Duration::from_secs(3);
        for _ in 0..63 {
            let left = held.saturating_sub(locked_at.elapsed());
            let (id, took) = answers.recv_timeout(left).expect("63 answers while one is locked");
            assert_ne!(id, locked_id.to_hex(), "it is locked");
            let delayed = took.saturating_sub(undisturbed);
            assert!(delayed < Duration::from_secs(1), "{id}: {took:?} instead of {undisturbed:?}");
        }
        std::thread::sleep(held.saturating_sub(locked_at.elapsed()));
        lock.release();
        let (id, took) = answers.recv().expect("the last");
        assert_eq!(id, locked_id.to_hex());
        assert!(took >= Duration::from_millis(2500), "{took:?}");
    });
}

/// All of them at once; who was renamed, and how long that took, goes to `watch` as it happens.
fn rename_all<T>(
    shop: &Principal,
    people: &[(String, Counter)],
    name: &str,
    watch: impl FnOnce(mpsc::Receiver<(String, Duration)>) -> T,
) -> T {
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for (id, _) in people {
            let tell = tell.clone();
            scope.spawn(move || {
                let asked_at = Instant::now();
                let change = json!({ "profile": { "first_name": name } });
                shop.patch(&format!("/v1/users/{id}"), change).expect(200);
                // Who watches may have seen enough.
                let _ = tell.send((id.clone(), asked_at.elapsed()));
            });
        }
        drop(tell);
        watch(told)
    })
}

#[test]
fn many_locked_records_delay_nobody_else() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[]);
    let shop = purser.app("shop");
    let people = people(&purser, &shop, 32);
    let (locked, free) = people.split_at(12);
    let id = |id: &str| id.parse::<bson::oid::ObjectId>().expect("an id");
    let locks: Vec<Lock<'_>> =
        locked.iter().map(|(user, _)| purser.db_lock("users", doc! { "_id": id(user) })).collect();

    std::thread::scope(|scope| {
        let blocked =
            scope.spawn(|| purser.block_on(join_all(locked.iter().map(|(_, one)| one.up()))));
        let counted = purser.block_on(join_all(free.iter().map(|(_, one)| one.up())));
        for counted in counted {
            assert_eq!(counted.expect("counted"), 1);
        }
        locks.into_iter().for_each(Lock::release);
        for counted in blocked.join().expect("ends") {
            assert_eq!(counted.expect("counted"), 1);
        }
    });
}

#[test]
fn a_record_that_cannot_be_read_or_that_the_validator_refuses_fails_alone() {
    let mongod = Mongod::start();
    let purser = started(&mongod, &[]).without_replay();
    let shop = purser.app("shop");
    let people = people(&purser, &shop, 16);
    break_record(&purser, &people[3].0, doc! { "profile.first_name": 5 });
    break_record(&purser, &people[11].0, doc! { "modules.wallet.balance": -5_i64 });

    let breaking = shop.with("X-Request-Id", MEANT_TO_BREAK);
    let replies: Vec<_> = std::thread::scope(|scope| {
        let asking = people.iter().enumerate().map(|(n, (id, _))| {
            let app = if n == 3 || n == 11 { &breaking } else { &shop };
            scope.spawn(move || app.patch(&change_name(id).0, change_name(id).1))
        });
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|one| one.join().expect("answers")).collect()
    });

    for (n, reply) in replies.into_iter().enumerate() {
        match n {
            3 | 11 => assert_eq!(reply.refused(500), "internal"),
            _ => drop(reply.expect(200)),
        }
    }
    for (n, (id, _)) in people.iter().enumerate() {
        let user: bson::oid::ObjectId = id.parse().expect("an id");
        let expected = if n == 3 || n == 11 { 1 } else { 2 };
        assert_eq!(purser.db_entries(doc! { "user_id": user }).len(), expected, "{n}");
    }
}

fn break_record(purser: &Purser, id: &str, set: Document) {
    let id: bson::oid::ObjectId = id.parse().expect("an id");
    let updates = vec![doc! { "q": { "_id": id }, "u": { "$set": set } }];
    let command = doc! { "update": "users", "updates": updates, "bypassDocumentValidation": true };
    assert_eq!(purser.db_command(command).get_i32("nModified").ok(), Some(1));
}

#[test]
fn what_a_dead_process_left_locked_is_free_as_soon_as_its_successor_starts() {
    let mongod = Mongod::start();
    // Without its successor the transaction would outlast this test.
    mongod.admin(doc! { "setParameter": 1, "transactionLifetimeLimitSeconds": 600 });
    let node = [("PURSER__SERVER__NODE", "one")];
    let mut first = started(&mongod, &node);
    let shop = first.app("shop");
    let (id, _) = shop.register("ada@example.com");
    first.stop();
    let user: bson::oid::ObjectId = id.parse().expect("an id");
    let lock = first.db_lock("users", doc! { "_id": user });
    note_node(&first, "node:one", lock.session(), 0);

    let second = started(&mongod, &node);
    let (path, change) = change_name(&id);
    let asked_at = Instant::now();
    second.with_key(shop.key()).patch(&path, change).expect(200);
    assert!(asked_at.elapsed() < Duration::from_secs(1), "{:?}", asked_at.elapsed());
    assert!(lock.was_lost());
    assert!(second.db_find("meta", doc! { "_id": "node:one" }).len() == 1);
}

#[test]
fn a_process_that_starts_ends_what_silent_nodes_left_open_and_leaves_the_living_alone() {
    let mongod = Mongod::start();
    mongod.admin(doc! { "setParameter": 1, "transactionLifetimeLimitSeconds": 600 });
    let first = started(&mongod, &[]);
    let shop = first.app("shop");
    let lock = |email: &str| {
        let (id, _) = shop.register(email);
        let user: bson::oid::ObjectId = id.parse().expect("an id");
        first.db_lock("users", doc! { "_id": user })
    };
    let (of_dead, of_living) = (lock("ada@example.com"), lock("bob@example.com"));
    note_node(&first, "node:dead", of_dead.session(), -31 * SECOND_MS);
    note_node(&first, "node:living", of_living.session(), -29 * SECOND_MS);

    let second = started(&mongod, &[("PURSER__SERVER__NODE", "two")]);

    let nodes = second.db_find("meta", doc! { "_id": { "$in": ["node:dead", "node:living"] } });
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].get_str("_id").ok(), Some("node:living"));
    assert!(of_dead.was_lost());
    of_living.release();
}

/// As a process notes its sessions.
fn note_node(purser: &Purser, node: &str, session: Document, beat_millis: i64) {
    let beat_at = plus(purser.now(), beat_millis);
    let note = doc! { "_id": node, "sessions": [session], "beat_at": beat_at };
    let reply = purser.db_command(doc! { "insert": "meta", "documents": [note] });
    assert_eq!(reply.get_i32("n").ok(), Some(1));
}
