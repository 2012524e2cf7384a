//! The write path: everything acknowledged is there once, whoever else writes at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

use bson::doc;
use futures_util::FutureExt;
use futures_util::future::join_all;
use purser::connections::{self, UserChange};
use purser::http::call::Preconditions;
use purser::http::json::Patch;
use purser::kernel::fault::Code;
use purser::kernel::ids::UserId;
use purser::kernel::time::{DAY_MS, SECOND_MS, plus};
use purser::store::{Hints, Stop, Work};
use purser::users::User;
use serde_json::{Value, json};

use crate::harness::{Mongod, Principal, Purser, Reply, person};

const THREADS: usize = 64;

fn object_id(id: &str) -> bson::oid::ObjectId {
    id.parse().expect("an id")
}

fn rename(app: &Principal, id: &str, name: &str) -> Reply {
    app.patch(&format!("/v1/users/{id}"), json!({ "profile": { "first_name": name } }))
}

/// The numbers of the person's entries.
fn numbers(purser: &Purser, id: &str) -> Vec<i64> {
    let entries = purser.db_entries(doc! { "user_id": object_id(id) });
    entries.iter().map(|entry| entry.get_i64("seq").expect("a number")).collect()
}

/// Every first name that the person was given, in the order of the trail.
fn names_given(purser: &Purser, id: &str) -> Vec<String> {
    let auditor = purser.auditor();
    let (mut names, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/v1/audit/logs?user_id={id}&limit=50{cursor}");
        let page = auditor.get(&path).expect(200);
        for entry in page["items"].as_array().expect("items") {
            if let Value::String(name) = &entry["changes"]["profile.first_name"]["new"] {
                names.insert(entry["seq"].as_i64().expect("a number"), name.clone());
            }
        }
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return names.into_values().collect(),
        }
    }
}

#[test]
fn changes_of_one_person_by_64_threads_are_all_there_each_once_without_gaps() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");

    std::thread::scope(|scope| {
        for n in 0..THREADS {
            let (shop, id) = (&shop, &id);
            scope.spawn(move || rename(shop, id, &format!("Name {n}")).expect(200));
        }
    });

    assert_eq!(numbers(&purser, &id), (1..=65).collect::<Vec<i64>>());
    let given = names_given(&purser, &id);
    let expected: BTreeSet<_> = (0..THREADS).map(|n| format!("Name {n}")).collect();
    assert_eq!(given.len(), THREADS + 1);
    assert_eq!(given[1..].iter().cloned().collect::<BTreeSet<_>>(), expected);
    let view = shop.get(&format!("/v1/users/{id}")).expect(200);
    assert_eq!(view["shared"]["profile"]["first_name"], given[THREADS].as_str());
}

#[test]
fn changes_of_many_people_by_64_threads_are_all_there_each_once_without_gaps() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let people: Vec<_> = (0..8).map(|n| shop.register(&format!("p{n}@example.com")).0).collect();

    // Each thread goes through the people from another start and in another step.
    std::thread::scope(|scope| {
        for n in 0..THREADS {
            let (shop, people) = (&shop, &people);
            scope.spawn(move || {
                for turn in 0..4 {
                    let id = &people[(n + turn * (2 * (n % 4) + 1)) % people.len()];
                    rename(shop, id, &format!("Name {n} {turn}")).expect(200);
                }
            });
        }
    });

    let mut changes = 0;
    for id in &people {
        let numbers = numbers(&purser, id);
        assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<i64>>());
        changes += numbers.len() - 1;
    }
    assert_eq!(changes, THREADS * 4);
}

#[test]
fn two_nodes_that_change_one_person_lose_nothing_and_double_nothing() {
    let one = Purser::start();
    let two = Purser::start_on(&one.uri, &one.database, &[("PURSER__SERVER__NODE", "two")]);
    let shop = one.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counters = [one.counter(&shop, &id), two.counter(&two.with_key(shop.key()), &id)];

    let counted = std::thread::scope(|scope| {
        let nodes = [&one, &two].into_iter().zip(&counters).map(|(node, counter)| {
            scope.spawn(move || node.block_on(join_all((0..32).map(|_| counter.up()))))
        });
        let nodes: Vec<_> = nodes.collect();
        nodes.into_iter().flat_map(|node| node.join().expect("ends")).collect::<Vec<_>>()
    });

    let counts: BTreeSet<i64> = counted.into_iter().map(|count| count.expect("counted")).collect();
    assert_eq!(counts, (1..=64).collect());
    assert_eq!(one.db_count(&id), 64);
    assert_eq!(numbers(&one, &id), (1..=65).collect::<Vec<i64>>());
}

/// Two nodes, an app and a person of it.
fn two_nodes() -> (Purser, Purser, Principal, String) {
    let one = Purser::start();
    let (two, shop) = (one.beside("two"), one.app("shop"));
    let (id, _) = shop.register("ada@example.com");
    (one, two, shop, id)
}

#[test]
fn a_person_whom_another_node_has_changed_meanwhile_is_read_again() {
    let (one, two, shop, id) = two_nodes();
    let counters = [one.counter(&shop, &id), two.counter(&two.with_key(shop.key()), &id)];

    let counted: Vec<_> = (0..6)
        .map(|turn| {
            let (node, counter) = ([&one, &two][turn % 2], &counters[turn % 2]);
            node.block_on(counter.up()).expect("counted")
        })
        .collect();

    assert_eq!(counted, [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&one, &id), (1..=7).collect::<Vec<i64>>());
}

/// Whoever was let in at this node and has written here before, so that it remembers them.
fn known_here(purser: &Purser, shop: &Principal, id: &str) -> impl Fn() -> Code {
    let counter = purser.counter(shop, id);
    assert_eq!(purser.block_on(counter.up()).ok(), Some(1));
    let grant = purser.block_on(counter.admitted());
    move || purser.block_on(counter.up_by(&grant)).expect_err("refused").code()
}

#[test]
fn a_connection_that_another_node_has_cut_is_refused_by_the_node_that_remembers_it() {
    let (one, two, shop, id) = two_nodes();
    let refused = known_here(&one, &shop, &id);

    let connection = format!("/v1/users/{id}/connection");
    two.with_key(shop.key()).delete(&connection).expect(204);

    assert_eq!(refused(), Code::ConnectionInactive);
    assert_eq!(one.db_count(&id), 1);
}

#[test]
fn an_app_that_another_node_has_suspended_is_refused_by_the_node_that_has_not_heard_of_it() {
    let mongod = Mongod::start();
    let one = Purser::start_on(&mongod.uri, "unheard", &[("PURSER__SERVER__NODE", "one")]);
    let two = one.beside("two");
    let shop = one.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let admin = two.with_key(one.admin().key()).with("If-Match", "*");
    let refused = known_here(&one, &shop, &id);

    let deaf = doc! { "failCommands": ["getMore"], "blockConnection": true, "blockTimeMS": 5000 };
    mongod.fail("alwaysOn", deaf);
    admin.patch("/v1/admin/apps/shop", json!({ "status": "suspended" })).expect(200);
    let refused = refused();
    mongod.heal();

    assert_eq!(refused, Code::AppSuspended);
    assert_eq!(one.db_count(&id), 1);
}

#[test]
fn the_primary_is_asked_whatever_the_connection_string_prefers() {
    let purser = Purser::start();
    let uri = format!("{}&readPreference=secondary", purser.uri);
    let other = Purser::start_on(&uri, &purser.database, &[("PURSER__SERVER__NODE", "two")]);
    // That is done by the other one; the harness asks whom the connection string says.
    let other = other.without_replay();
    let shop = other.with_key(purser.app("shop").key());

    let (id, _) = shop.register("ada@example.com");

    assert_eq!(rename(&shop, &id, "Ada").status, 200);
    shop.get(&format!("/v1/users/{id}")).expect(200);
}

#[test]
fn two_nodes_that_register_one_person_at_once_make_one_record() {
    let one = Purser::start();
    let two = Purser::start_on(&one.uri, &one.database, &[("PURSER__SERVER__NODE", "two")]);
    let (shop, club) = (one.app("shop"), two.app("club"));

    let replies: Vec<Value> = std::thread::scope(|scope| {
        let asking = (0..10).map(|n| {
            let app = if n % 2 == 0 { &shop } else { &club };
            let email = format!("p{}@example.com", n / 2);
            scope.spawn(move || {
                let reply = app.post("/v1/users", person(&email)).expect(201);
                json!([email, reply["user_id"]])
            })
        });
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|one| one.join().expect("answers")).collect()
    });

    let distinct: BTreeSet<String> = replies.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), 5, "{replies:#?}");
    assert_eq!(one.db_find("users", doc! {}).len(), 5);
    assert_eq!(one.db_find("user_apps", doc! {}).len(), 10);
}

#[test]
fn one_idempotency_key_at_once_on_one_node_has_one_effect() {
    let purser = Purser::start();
    let shop = purser.app("shop").with("Idempotency-Key", "registration-1");

    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let asking =
            (0..16).map(|_| scope.spawn(|| shop.post("/v1/users", person("ada@example.com"))));
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|one| one.join().expect("answers")).collect()
    });

    // Who comes while the first is running is told to wait, who comes later gets its answer.
    let (busy, answered): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|reply| reply.status == 409);
    for reply in busy {
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(reply.refused(409), "idempotency_in_progress");
    }
    let replayed = answered.iter().filter(|reply| reply.header("idempotency-replayed").is_some());
    assert_eq!(replayed.count(), answered.len() - 1);
    let bodies: BTreeSet<String> =
        answered.into_iter().map(|reply| reply.expect(201).to_string()).collect();
    assert_eq!(bodies.len(), 1);
    assert_eq!(purser.db_find("users", doc! {}).len(), 1);
}

#[test]
fn one_idempotency_key_at_once_on_two_nodes_has_one_effect_and_the_other_replays_it() {
    let one = Purser::start();
    let two = Purser::start_on(&one.uri, &one.database, &[("PURSER__SERVER__NODE", "two")]);
    let shop = one.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counters = [one.counter(&shop, &id), two.counter(&two.with_key(shop.key()), &id)];

    for expected in 1..=8 {
        let key = format!("operation-{expected}");
        let counted: Vec<_> = std::thread::scope(|scope| {
            let nodes = [&one, &two].into_iter().zip(&counters);
            let nodes = nodes
                .map(|(node, counter)| {
                    let key = key.as_str();
                    scope.spawn(move || node.block_on(counter.up_once(key)))
                })
                .collect::<Vec<_>>();
            nodes.into_iter().map(|node| node.join().expect("ends").expect("counted")).collect()
        });

        assert_eq!(counted[0].answer, expected);
        assert_eq!(counted[1].answer, expected);
        assert!(counted[0].replayed != counted[1].replayed, "one of the two");
        assert_eq!(one.db_count(&id), expected);
    }
}

#[test]
fn an_answer_is_given_again_after_a_restart_and_for_seven_days() {
    let mut first = Purser::start();
    let shop = first.app("shop").with("Idempotency-Key", "registration-1");
    let answer = shop.post("/v1/users", person("ada@example.com")).expect(201);
    first.stop();

    let second = Purser::start_on(&first.uri, &first.database, &[]);
    let shop = second.with_key(shop.key()).with("Idempotency-Key", "registration-1");
    let again = shop.post("/v1/users", person("ada@example.com"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), answer);
    let other = shop.post("/v1/users", person("bob@example.com"));
    assert_eq!(other.refused(422), "idempotency_key_reused");

    let kept = second.db_find("idempotency", doc! {});
    assert_eq!(kept.len(), 1);
    let field = |name: &str| *kept[0].get_datetime(name).expect("a time");
    assert_eq!(field("created_at"), first.now());
    assert_eq!(field("expires_at"), plus(first.now(), 7 * DAY_MS));
}

#[test]
fn a_refusal_that_is_an_answer_is_remembered_and_stays_the_answer() {
    let purser = Purser::start();
    let admin = purser.admin();
    let keyed = admin.with("Idempotency-Key", "key-1");
    let path = "/v1/admin/apps/shop/keys";
    assert_eq!(keyed.post(path, json!({})).refused(404), "not_found");

    purser.app("shop");
    let again = keyed.post(path, json!({}));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.refused(404), "not_found");
    assert_eq!(purser.db_find("idempotency", doc! {}).len(), 1);
    admin.with("Idempotency-Key", "key-2").post(path, json!({})).expect(201);
}

#[test]
fn what_never_reached_the_write_path_is_not_remembered() {
    let purser = Purser::start();
    let keyed = |app: &Principal| app.with("Idempotency-Key", "registration-1");
    let shop = keyed(&purser.app("shop"));

    keyed(&purser.nobody()).post("/v1/users", person("ada@example.com")).refused(401);
    shop.post("/v1/users", person("not an address")).refused(422);
    assert_eq!(purser.db_find("idempotency", doc! {}).len(), 0);

    shop.post("/v1/users", person("ada@example.com")).expect(201);
    assert_eq!(purser.db_find("idempotency", doc! {}).len(), 1);
}

#[test]
fn an_app_that_is_suspended_after_the_door_is_refused_inside_the_transaction() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counter = purser.counter(&shop, &id);
    let grant = purser.block_on(counter.admitted());

    let admin = purser.admin().with("If-Match", "*");
    admin.patch("/v1/admin/apps/shop", json!({ "status": "suspended" })).expect(200);
    let refused = purser.block_on(counter.up_by(&grant)).expect_err("suspended");

    assert_eq!(refused.code(), Code::AppSuspended);
    assert_eq!(purser.db_count(&id), 0);
}

#[test]
fn a_permission_that_is_taken_from_the_ceiling_after_the_door_is_missed_in_the_transaction() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counter = purser.counter(&shop, &id);
    let grant = purser.block_on(counter.admitted());

    let ceiling = json!({ "permissions": ["read"], "default_permissions": ["read"] });
    let admin = purser.admin().with("If-Match", "*");
    admin.patch("/v1/admin/apps/shop", ceiling).expect(200);
    let refused = purser.block_on(counter.up_by(&grant)).expect_err("no permission");

    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(purser.db_count(&id), 0);
}

#[test]
fn a_permission_that_is_taken_from_the_connection_after_the_door_is_missed_in_the_transaction() {
    let purser = Purser::start().without_replay();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counter = purser.counter(&shop, &id);
    let grant = purser.block_on(counter.admitted());

    let update = doc! { "$set": { "permissions": ["read"] } };
    purser.db_update("user_apps", doc! { "user_id": object_id(&id) }, update);
    let refused = purser.block_on(counter.up_by(&grant)).expect_err("no permission");

    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(purser.db_count(&id), 0);
}

#[test]
fn a_person_who_is_suspended_after_the_door_is_not_changed() {
    let purser = Purser::start().without_replay();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counter = purser.counter(&shop, &id);
    let grant = purser.block_on(counter.admitted());

    let update = doc! { "$set": { "status": "suspended" } };
    purser.db_update("users", doc! { "_id": object_id(&id) }, update);
    let refused = purser.block_on(counter.up_by(&grant)).expect_err("suspended");

    assert_eq!(refused.code(), Code::UserSuspended);
    assert_eq!(purser.db_count(&id), 0);
}

#[test]
fn an_app_that_has_let_go_after_the_door_changes_nothing_more() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, tie) = shop.register("ada@example.com");
    let by_app = purser.counter(&shop, &id);
    let by_tie = purser.counter(&tie, &id);
    let grants = purser.block_on(async { (by_app.admitted().await, by_tie.admitted().await) });

    shop.delete(&format!("/v1/users/{id}/connection")).expect(204);
    let refused = purser.block_on(by_app.up_by(&grants.0)).expect_err("let go");
    assert_eq!(refused.code(), Code::ConnectionInactive);

    // Connected anew, with another key: the old one stays refused.
    shop.post("/v1/users", person("ada@example.com")).expect(201);
    let refused = purser.block_on(by_tie.up_by(&grants.1)).expect_err("another key");
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(purser.db_count(&id), 0);
}

#[test]
fn an_app_key_that_is_revoked_after_the_door_changes_nothing_more() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counter = purser.counter(&shop, &id);
    let grant = purser.block_on(counter.admitted());

    let admin = purser.admin();
    let view = admin.get("/v1/admin/apps/shop").expect(200);
    let key = view["keys"][0]["id"].as_str().expect("a key's id").to_owned();
    admin.delete(&format!("/v1/admin/apps/shop/keys/{key}")).expect(204);
    let refused = purser.block_on(counter.up_by(&grant)).expect_err("revoked");

    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(purser.db_count(&id), 0);
}

#[test]
fn a_replay_is_authorised_anew() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counter = purser.counter(&shop, &id);
    purser.block_on(counter.up_once("operation-1")).expect("counted");
    let grant = purser.block_on(counter.admitted());

    let admin = purser.admin().with("If-Match", "*");
    admin.patch("/v1/admin/apps/shop", json!({ "status": "suspended" })).expect(200);
    let refused = purser.block_on(counter.up_once_by("operation-1", grant)).expect_err("suspended");

    assert_eq!(refused.code(), Code::AppSuspended);
}

#[test]
fn the_time_of_entries_never_runs_backwards_when_the_clock_does() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    purser.step_clock(60 * SECOND_MS);
    let (id, _) = shop.register("ada@example.com");
    let registered_at = purser.now();

    purser.step_clock(-30 * SECOND_MS);
    rename(&shop, &id, "Augusta").expect(200);
    purser.step_clock(45 * SECOND_MS);
    rename(&shop, &id, "Ada").expect(200);

    let entries = purser.db_entries(doc! { "user_id": object_id(&id) });
    let times: Vec<_> =
        entries.iter().map(|entry| *entry.get_datetime("timestamp").expect("a time")).collect();
    assert_eq!(times, [registered_at, registered_at, purser.now()]);
}

#[test]
fn a_change_that_changes_nothing_leaves_no_entry_and_no_revision() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let before = purser.db_find("users", doc! { "_id": object_id(&id) });

    purser.step_clock(SECOND_MS);
    rename(&shop, &id, "Ada").expect(200);

    assert_eq!(numbers(&purser, &id), [1]);
    assert_eq!(purser.db_find("users", doc! { "_id": object_id(&id) }), before);
}

#[test]
fn a_unit_that_panics_or_asks_without_end_fails_alone() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counter = purser.counter(&shop, &id);
    let grants = purser.block_on(join_all((0..3).map(|_| counter.admitted())));
    let store = &purser.inner.store;

    let panics =
        store.unit(grants[0].warrant(), Hints::none(), |_: &mut Work<'_>| -> Result<(), Stop> {
            panic!("on purpose")
        });
    let mut asked_for = 0_u8;
    let asks = store.unit(grants[1].warrant(), Hints::none(), move |work: &mut Work<'_>| {
        asked_for += 1;
        let another = UserId(bson::oid::ObjectId::from_bytes([asked_for; 12]));
        work.find(&User::by_id(another)).map(drop)
    });
    let (panicked, asked, counted) =
        purser.block_on(async { tokio::join!(panics, asks, counter.up_by(&grants[2])) });

    assert_eq!(panicked.expect_err("a panic").code(), Code::Internal);
    assert_eq!(asked.expect_err("no answer").code(), Code::Internal);
    assert_eq!(counted.expect("counted").answer, 1);
}

#[test]
fn a_precondition_is_checked_against_the_record_in_the_transaction() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let tag = shop.get(&format!("/v1/users/{id}"));
    let tag = tag.header("etag").expect("a tag").trim_matches('"').to_owned();
    let counter = purser.counter(&shop, &id);
    let grant = purser.block_on(counter.admitted());

    rename(&shop, &id, "Augusta").expect(200);
    let change = UserChange { username: Patch::Set("ada".to_owned()), ..UserChange::default() };
    let stale = Preconditions { if_match: Some(vec![tag]), if_none_match: None };
    let updated = connections::update_user(&grant, &purser.inner.desk, change, stale);
    let refused = purser.block_on(updated).expect_err("stale");

    assert_eq!(refused.code(), Code::RevisionMismatch);
    assert_eq!(numbers(&purser, &id), [1, 2]);
}

#[test]
fn a_full_queue_turns_the_next_away_and_keeps_what_it_holds() {
    /// One under way, one more for each committer, one in the queue.
    const HELD_MAX: usize = 4;
    let mongod = Mongod::start();
    let settings = [("PURSER__STORE__QUEUE", "1"), ("PURSER__STORE__BATCH_OPERATIONS", "1")];
    let purser = Purser::start_on(&mongod.uri, "queue", &settings);
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");

    let (tell, told) = mpsc::channel::<Reply>();
    let mut done = 0;
    std::thread::scope(|scope| {
        let ask = |n: usize| {
            let (tell, shop, id) = (tell.clone(), &shop, &id);
            let name = format!("Name {n}");
            scope.spawn(move || tell.send(rename(shop, id, &name)).expect("somebody listens"));
        };
        let slow = doc! { "failCommands": ["commitTransaction"], "blockConnection": true,
        "blockTimeMS": 3000 };
        let before = mongod.fail("alwaysOn", slow);
        ask(0);
        mongod.entered(before);
        (1..=12).for_each(ask);
        for _ in HELD_MAX..=12 {
            turned_away(told.recv().expect("an answer"));
        }
        mongod.heal();
        for _ in 0..HELD_MAX {
            let reply = told.recv().expect("an answer");
            if reply.status == 200 { done += 1 } else { turned_away(reply) }
        }
    });
    assert!(done >= 2, "the first, and what was queued behind it");
    assert_eq!(numbers(&purser, &id).len(), 1 + done);
}

fn turned_away(reply: Reply) {
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.refused(503), "overloaded");
}

/// The first commit takes so long that the rest can be watched.
fn slow_commit(mongod: &Mongod) -> i64 {
    let slow = doc! { "failCommands": ["commitTransaction"], "blockConnection": true,
    "blockTimeMS": 1500 };
    mongod.fail(doc! { "times": 1 }, slow)
}

#[test]
fn a_request_that_is_being_committed_when_the_server_stops_is_answered() {
    let mongod = Mongod::start();
    let mut purser = Purser::start_on(&mongod.uri, "drain", &[]);
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");

    let before = slow_commit(&mongod);
    let asking = {
        let (shop, id) = (shop.clone(), id.clone());
        std::thread::spawn(move || rename(&shop, &id, "Augusta"))
    };
    mongod.entered(before);
    purser.stop();

    asking.join().expect("answers").expect(200);
    assert_eq!(numbers(&purser, &id), [1, 2]);
    let alive = purser.db_find("meta", doc! { "sessions": { "$exists": true } });
    assert!(alive.is_empty(), "it has signed off");
}

#[test]
fn a_drain_finishes_what_is_queued_and_takes_nothing_new() {
    let mongod = Mongod::start();
    let purser = Purser::start_on(&mongod.uri, "drain", &[]);
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    let counter = purser.counter(&shop, &id);
    let grants = purser.block_on(join_all((0..9).map(|_| counter.admitted())));
    let (late, grants) = grants.split_last().expect("nine");

    slow_commit(&mongod);
    let mut units: Vec<_> = grants.iter().map(|grant| Box::pin(counter.up_by(grant))).collect();
    let counted = purser.block_on(async {
        // A unit is queued when it is first polled.
        for unit in &mut units {
            assert!(unit.now_or_never().is_none(), "it waits for its commit");
        }
        purser.inner.store.drain().await;
        join_all(units).await
    });

    let counts: BTreeSet<i64> =
        counted.into_iter().map(|done| done.expect("counted").answer).collect();
    assert_eq!(counts, (1..=8).collect());
    let refused = purser.block_on(counter.up_by(late)).expect_err("closed");
    assert_eq!(refused.code(), Code::ShuttingDown);
    assert_eq!(purser.db_count(&id), 8);
}
