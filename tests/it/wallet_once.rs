//! Credits move once: whatever is repeated, by whom, when, at once, on whichever node.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bson::doc;
use purser::kernel::time::DAY_MS;
use serde_json::{Value, json};

use crate::harness::{Mongod, Principal, Purser, Reply};
use crate::wallet::issuing;

fn debit(who: &Principal, user: &str, key: &str, body: Value) -> Reply {
    who.with("Idempotency-Key", key).post(&format!("/v1/users/{user}/wallet/debits"), body)
}

/// A person with credits, and the app that gave them.
fn stage(purser: &Purser, credits: i64) -> (Principal, String) {
    let shop = issuing(purser, "shop");
    let (ada, _) = shop.register("ada@example.com");
    let path = format!("/v1/users/{ada}/wallet/credits");
    shop.with("Idempotency-Key", "start").post(&path, json!({ "amount": credits })).expect(201);
    (shop, ada)
}

fn balance(who: &Principal, user: &str) -> i64 {
    let wallet = who.get(&format!("/v1/users/{user}/wallet")).expect(200);
    wallet["wallet"]["balance"].as_i64().expect("a whole number")
}

const DEBITS: usize = 500;
const APPS: usize = 4;

#[test]
fn what_another_node_has_given_can_be_spent_and_what_it_has_spent_cannot() {
    let one = Purser::start();
    let two = one.beside("two");
    let (shop, id) = stage(&one, 10);
    let elsewhere = two.with_key(shop.key());
    let spend = |who, key, amount: i64| debit(who, &id, key, json!({ "amount": amount }));

    spend(&shop, "first", 9).expect(201);
    let credits = format!("/v1/users/{id}/wallet/credits");
    elsewhere.with("Idempotency-Key", "more").post(&credits, json!({ "amount": 8 })).expect(201);
    spend(&shop, "second", 5).expect(201);
    spend(&elsewhere, "third", 4).expect(201);
    let refused = spend(&shop, "fourth", 1);

    assert_eq!(refused.refused(402), "insufficient_credits");
    assert_eq!(balance(&shop, &id), 0);
}

#[test]
fn of_500_debits_of_the_last_credit_by_four_apps_through_two_nodes_one_succeeds() {
    let one = Purser::start();
    let two = one.beside("two");
    let (shop, ada) = stage(&one, 1);
    let mut apps = vec![shop];
    for number in 1..APPS {
        let app = issuing(&one, &format!("app_{number}"));
        app.register("ada@example.com");
        apps.push(app);
    }
    let asked: Vec<(Principal, Principal, String)> = (0..DEBITS)
        .map(|number| {
            let here = apps[number % APPS].clone();
            let there = two.with_key(here.key());
            let (first, other) = if number % 2 == 0 { (here, there) } else { (there, here) };
            (first, other, format!("debit-{number}"))
        })
        .collect();

    // Each asks the other node again, which gives the same answer.
    let answers: Vec<(Reply, Reply)> = std::thread::scope(|scope| {
        let ask = |who: &Principal, key: &str| debit(who, &ada, key, json!({ "amount": 1 }));
        let asking = asked
            .iter()
            .map(|(first, other, key)| scope.spawn(move || (ask(first, key), ask(other, key))));
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|asking| asking.join().expect("answers")).collect()
    });

    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for (mut answer, mut again) in answers {
        *statuses.entry(answer.status).or_default() += 1;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.status, answer.status);
        for reply in [&mut answer, &mut again] {
            reply.body.as_object_mut().expect("an object").remove("request_id");
        }
        assert_eq!(again.body, answer.body);
        if answer.status != 201 {
            let refusal = (&answer.body["code"], &answer.body["short_by"]);
            assert_eq!(refusal, (&json!("insufficient_credits"), &json!(1)));
        }
    }
    assert_eq!(statuses, BTreeMap::from([(201, 1), (402, DEBITS - 1)]));
    assert_eq!(balance(&apps[0], &ada), 0);
    assert_eq!(one.db_find("wallet_entries", doc! { "kind": "debit" }).len(), 1);
}

/// A key that was used for a debit of 3 by `shop` of `ada`, and comes again.
struct Again<'a> {
    name: &'a str,
    between: Between,
    who: &'a Principal,
    user: &'a str,
    body: Value,
    then: Then,
}

#[derive(Clone, Copy)]
enum Between {
    Nothing,
    /// The first one is sent with its reference, and forgotten after its seven days.
    SevenDays(Option<&'static str>),
}

enum Then {
    /// The first answer again.
    Replayed,
    /// A new operation.
    Done,
    Refused(u16, &'static str),
}

#[test]
fn a_key_that_comes_again_is_answered_as_its_first_time_whatever_lies_between() {
    use Between::{Nothing, SevenDays};
    let purser = Purser::start();
    let (shop, ada) = stage(&purser, 1000);
    let bank = issuing(&purser, "bank");
    let me = &bank.register("ada@example.com").1;
    let key = shop.post(&format!("/v1/users/{ada}/connection/key"), json!({})).expect(201);
    let mine = &purser.with_key(key["connection_key"].as_str().expect("a key"));
    let (bob, _) = shop.register("bob@example.com");
    let path = format!("/v1/users/{bob}/wallet/credits");
    shop.with("Idempotency-Key", "bob").post(&path, json!({ "amount": 1000 })).expect(201);
    let (shop, bank, ada, bob) = (&shop, &bank, ada.as_str(), bob.as_str());
    let (three, four) = (json!({ "amount": 3 }), json!({ "amount": 4 }));
    let more = json!({ "amount": 3, "reference": null });
    let named = |reference: &str| json!({ "amount": 3, "reference": reference });
    let reused = || Then::Refused(422, "idempotency_key_reused");
    let duplicate = || Then::Refused(409, "duplicate_reference");
    let again =
        |name, between, who, user, body, then| Again { name, between, who, user, body, then };
    let table = [
        again("the same", Nothing, shop, ada, three.clone(), Then::Replayed),
        again("with one field more", Nothing, shop, ada, more, reused()),
        again("another body", Nothing, shop, ada, four, reused()),
        again("by another app", Nothing, bank, ada, three.clone(), Then::Done),
        again("by another app's connection key", Nothing, me, ada, three.clone(), Then::Done),
        again("by its connection key", Nothing, mine, ada, three.clone(), Then::Replayed),
        again("by its connection key, to me", Nothing, mine, "me", three.clone(), Then::Replayed),
        // The reference is the app's, not the person's.
        again("for another person", Nothing, shop, bob, three.clone(), duplicate()),
        again("for another person, called so", Nothing, shop, bob, named("bobs"), Then::Done),
        again("after its days", SevenDays(None), shop, ada, three, duplicate()),
        again("with its reference", SevenDays(Some("old")), shop, ada, named("old"), duplicate()),
        again("with a new reference", SevenDays(None), shop, ada, named("new"), Then::Done),
    ];
    for (number, case) in table.iter().enumerate() {
        comes_again(&purser, (shop, ada, bob), &format!("key-{number}"), case);
    }
}

fn comes_again(
    purser: &Purser,
    (shop, ada, bob): (&Principal, &str, &str),
    key: &str,
    case: &Again<'_>,
) {
    let Again { name, between, who, user, body, then } = case;
    let mut first = json!({ "amount": 3 });
    if let Between::SevenDays(Some(reference)) = between {
        first["reference"] = json!(reference);
    }
    let first = debit(shop, ada, key, first).expect(201);
    if let Between::SevenDays(_) = between {
        purser.step_clock(8 * DAY_MS);
        purser.db_command(doc! { "delete": "idempotency", "deletes": [{ "q": {}, "limit": 0 }] });
    }
    let before = balance(shop, ada) + balance(shop, bob);

    let again = debit(who, user, key, body.clone());

    let moved = before - balance(shop, ada) - balance(shop, bob);
    let replayed = again.header("idempotency-replayed").is_some();
    match then {
        Then::Replayed => {
            assert_eq!((replayed, moved), (true, 0), "{name}");
            assert!(again.header("purser-seen").is_some(), "{name}");
            assert_eq!(again.expect(201), first, "{name}");
        }
        Then::Done => {
            assert_eq!((replayed, moved), (false, 3), "{name}");
            again.expect(201);
        }
        Then::Refused(status, code) => {
            // Which entry it was is told of the person's own alone.
            let is_known = *status == 409 && *user == ada;
            let entry = if is_known { first["entry"]["id"].clone() } else { json!(null) };
            assert_eq!(again.body["entry_id"], entry, "{name}");
            assert_eq!((again.refused(*status).as_str(), moved), (*code, 0), "{name}");
        }
    }
}

#[test]
fn a_key_that_is_still_running_is_told_to_wait_and_then_gets_the_answer() {
    let purser = Purser::start();
    let (shop, ada) = stage(&purser, 10);
    let id = bson::oid::ObjectId::parse_str(&ada).expect("an id");
    let lock = purser.db_lock("users", doc! { "_id": id });

    // Whichever comes second is told to wait, while the other waits for the record.
    let first = std::thread::scope(|scope| {
        let (answered, answers) = mpsc::channel();
        for _ in 0..2 {
            let (who, user, answered) = (shop.clone(), ada.clone(), answered.clone());
            scope.spawn(move || {
                let answer = debit(&who, &user, "k", json!({ "amount": 1 }));
                answered.send(answer).expect("the test waits for it");
            });
        }
        let busy = answers.recv().expect("an answer");
        assert_eq!(busy.header("retry-after"), Some("1"));
        assert_eq!(busy.refused(409), "idempotency_in_progress");
        lock.release();
        answers.recv().expect("an answer")
    });

    let first = first.expect(201);
    let again = debit(&shop, &ada, "k", json!({ "amount": 1 }));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
    assert_eq!(balance(&shop, &ada), 9);
}

#[test]
fn a_key_is_remembered_across_a_restart_and_a_fail_over() {
    let mongod = Mongod::start();
    let mut purser = Purser::start_on(&mongod.uri, "once", &[]);
    let (shop, ada) = stage(&purser, 10);
    let first = debit(&shop, &ada, "k", json!({ "amount": 4 })).expect(201);

    purser.stop();
    let second = Purser::start_on(&mongod.uri, "once", &[]);
    let shop = second.with_key(shop.key());
    let after_restart = debit(&shop, &ada, "k", json!({ "amount": 4 }));
    mongod.kill();
    mongod.revive();
    let after_fail_over = (0..100).find_map(|_| {
        let answer = debit(&shop, &ada, "k", json!({ "amount": 4 }));
        (answer.status != 503).then_some(answer)
    });

    for again in [after_restart, after_fail_over.expect("the database is back")] {
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.expect(201), first);
    }
    assert_eq!(balance(&shop, &ada), 6);
}

#[test]
fn two_nodes_that_move_credits_between_the_same_people_conserve_them() {
    let one = Purser::start();
    let two = one.beside("two");
    let shop = issuing(&one, "shop");
    let people: Vec<String> =
        (0..6).map(|n| shop.register(&format!("p{n}@example.com")).0).collect();
    for (n, person) in people.iter().enumerate() {
        let path = format!("/v1/users/{person}/wallet/credits");
        shop.with("Idempotency-Key", &format!("c{n}"))
            .post(&path, json!({ "amount": 100 }))
            .expect(201);
    }
    let (moved, short) = (AtomicUsize::new(0), AtomicUsize::new(0));

    std::thread::scope(|scope| {
        for task in 0..12_usize {
            let who = if task % 2 == 0 { shop.clone() } else { two.with_key(shop.key()) };
            let (people, moved, short) = (&people, &moved, &short);
            scope.spawn(move || {
                for turn in 0..12_usize {
                    let (from, to) = ((task + turn) % 6, (task + turn * 5 + 1) % 6);
                    if from == to {
                        continue;
                    }
                    let body = json!({ "amount": 17 + turn, "to": { "user_id": people[to] } });
                    let path = format!("/v1/users/{}/wallet/transfers", people[from]);
                    let key = format!("t{task}-{turn}");
                    match who.with("Idempotency-Key", &key).post(&path, body).status {
                        201 => moved.fetch_add(1, Ordering::SeqCst),
                        402 => short.fetch_add(1, Ordering::SeqCst),
                        other => panic!("{key}: {other}"),
                    };
                }
            });
        }
    });

    let total: i64 = people.iter().map(|person| balance(&shop, person)).sum();
    assert_eq!(total, 600);
    let entries = one.db_find("wallet_entries", doc! { "kind": "transfer_in" }).len();
    assert_eq!(entries, moved.load(Ordering::SeqCst));
    assert!(entries > 50, "{entries} transfers, {} short", short.load(Ordering::SeqCst));
}

#[test]
fn an_app_whose_wallet_access_was_taken_gets_nothing_not_even_what_it_had_before() {
    let purser = Purser::start();
    let (shop, ada) = stage(&purser, 10);
    debit(&shop, &ada, "k", json!({ "amount": 4 })).expect(201);

    let held = json!(["read", "write"]);
    let change = json!({ "permissions": held, "default_permissions": held });
    purser.admin().with("If-Match", "*").patch("/v1/admin/apps/shop", change).expect(200);

    assert_eq!(debit(&shop, &ada, "k", json!({ "amount": 4 })).refused(403), "permission_denied");
    assert_eq!(debit(&shop, &ada, "l", json!({ "amount": 4 })).refused(403), "permission_denied");
    let read = shop.get(&format!("/v1/users/{ada}/wallet"));
    assert_eq!(read.refused(403), "permission_denied");
}

#[test]
fn a_credit_whose_time_is_over_meanwhile_is_answered_as_its_first_time() {
    let purser = Purser::start();
    let (shop, ada) = stage(&purser, 10);
    let path = format!("/v1/users/{ada}/wallet/credits");
    let credit = |key: &str, end: &str| {
        let body = json!({ "amount": 5, "expires_at": end });
        shop.with("Idempotency-Key", key).post(&path, body)
    };
    let first = credit("k", "2026-01-01T00:00:10Z").expect(201);
    purser.step_clock(60_000);

    let again = credit("k", "2026-01-01T00:00:10Z");

    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
    assert_eq!(credit("l", "2026-01-01T00:00:10Z").pointers(), ["/expires_at"]);
    assert_eq!(balance(&shop, &ada), 15, "nothing is booked by asking");
}

#[test]
fn what_was_done_is_known_though_it_would_be_refused_now() {
    // A debit that succeeds proves that there was none before it; one that is refused does not.
    let purser = Purser::start();
    let (shop, ada) = stage(&purser, 5);
    let body = json!({ "amount": 5, "reference": "order-1" });
    let first = debit(&shop, &ada, "k", body.clone()).expect(201);
    let again = || {
        let again = debit(&shop, &ada, "k", body.clone());
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.expect(201), first);
    };
    let (admin, wallet) = (purser.admin(), format!("/v1/admin/users/{ada}/wallet"));
    let reason = json!({ "reason": "asked for" });
    admin.with("Idempotency-Key", "f").post(&format!("{wallet}/freeze"), reason).expect(200);

    again();
    assert_eq!(debit(&shop, &ada, "l", json!({ "amount": 1 })).refused(403), "wallet_frozen");

    admin.with("Idempotency-Key", "u").post(&format!("{wallet}/unfreeze"), json!({})).expect(200);
    let other = debit(&shop, &ada, "m", body.clone());
    assert_eq!(other.body["entry_id"], first["entry"]["id"]);
    assert_eq!(other.refused(409), "duplicate_reference");
    assert_eq!(
        debit(&shop, &ada, "n", json!({ "amount": 1 })).refused(402),
        "insufficient_credits"
    );
    again();
}

#[test]
fn an_answer_is_repeated_only_once_a_majority_has_it() {
    let mongod = Mongod::start();
    let settings = [("PURSER__SERVER__REQUEST_TIMEOUT_MS", "1500")];
    let purser = Purser::start_on(&mongod.uri, "once", &settings);
    let (shop, ada) = stage(&purser, 10);
    let first = debit(&shop, &ada, "k", json!({ "amount": 4 })).expect(201);

    // What was read on this server is not known to others while its commits are in doubt.
    let concern = doc! { "code": 64, "errmsg": "a test" };
    mongod.fail(
        "alwaysOn",
        doc! { "failCommands": ["commitTransaction"], "writeConcernError": concern },
    );
    let in_doubt = debit(&shop, &ada, "k", json!({ "amount": 4 }));
    mongod.heal();
    let again = debit(&shop, &ada, "k", json!({ "amount": 4 }));

    assert_eq!(in_doubt.refused(503), "outcome_unknown");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
}
