//! Referrals: rewarded once, for people who came by somebody's code and for nobody else.

use bson::{Document, doc};
use purser::kernel::time::DAY_MS;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, Reply};

const ALL: [&str; 5] =
    ["read", "write", "wallet_access", "referrals_access", "subscription_access"];

fn shop(purser: &Purser) -> Principal {
    let limits = json!({ "requests_per_minute": 1_000_000, "requests_per_hour": 1_000_000 });
    purser.app_with(
        "shop",
        json!({
            "may_issue": { "categories": ["paid"], "per_day": 1_000_000_000 },
            "permissions": ALL, "rate_limits": limits, "total_rate_limits": limits,
        }),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "what is sent is written where it is sent")]
fn programme(purser: &Purser, event: &str, more: Value) {
    let mut body = json!({ "programme": "standard", "display_name": "Bring a friend",
        "event": event, "referrer_credits": 100, "referee_credits": 50, "credits_days": 90 });
    for (field, value) in more.as_object().expect("fields") {
        body[field] = value.clone();
    }
    purser.admin().post("/v1/admin/programmes", body).expect(201);
}

/// A person, each a second younger than the one before.
fn register(purser: &Purser, shop: &Principal, name: &str) -> String {
    purser.step_clock(1000);
    shop.register(&format!("{name}@example.com")).0
}

fn code(shop: &Principal, user: &str) -> String {
    let once = shop.with("Idempotency-Key", &format!("code-{user}"));
    let made = once.post(&format!("/v1/users/{user}/referrals/code"), json!({})).expect(201);
    made["referral_code"].as_str().expect("a code").to_owned()
}

fn redeem(shop: &Principal, user: &str, key: &str, body: Value) -> Reply {
    let once = shop.with("Idempotency-Key", &format!("redeem-{key}"));
    once.post(&format!("/v1/users/{user}/referrals/redeem"), body)
}

fn balance(shop: &Principal, user: &str) -> i64 {
    let wallet = shop.get(&format!("/v1/users/{user}/wallet")).expect(200);
    wallet["wallet"]["balance"].as_i64().expect("a number")
}

fn count(shop: &Principal, user: &str) -> i64 {
    let seen = shop.get(&format!("/v1/users/{user}/referrals")).expect(200);
    seen["referrals_count"].as_i64().expect("a number")
}

fn reward(purser: &Purser) {
    purser.block_on(purser.inner.reward_referrals()).expect("rewards");
}

fn rewards(purser: &Purser) -> Vec<Document> {
    purser.db_find("wallet_entries", doc! { "scope": "module:referrals" })
}

/// What an admin sees with this status: of whom, and why.
fn cases(purser: &Purser, status: &str) -> Vec<(String, Value, Value)> {
    let listed = purser.admin().get(&format!("/v1/admin/referrals?status={status}")).expect(200);
    let items = listed["items"].as_array().expect("items").clone();
    let case = |it: &Value| {
        let user = it["user_id"].as_str().expect("an id").to_owned();
        (user, it["refusal"].clone(), it["flags"].clone())
    };
    items.iter().map(case).collect()
}

#[test]
fn both_sides_are_rewarded_once_when_the_event_has_come() {
    let purser = Purser::start();
    let shop = shop(&purser);
    programme(&purser, "first_debit", json!({}));
    let ada = register(&purser, &shop, "ada");
    let eve = register(&purser, &shop, "eve");
    let theirs = code(&shop, &ada);
    assert_eq!((theirs.len(), code(&shop, &ada)), (8, theirs.clone()));

    let redeemed = redeem(&shop, &eve, "eve", json!({ "code": theirs.to_lowercase() })).expect(201);
    assert_eq!((&redeemed["credits"], &redeemed["referral_code"]), (&json!(50), &json!(theirs)));
    reward(&purser);
    assert_eq!((count(&shop, &ada), rewards(&purser).len()), (0, 0), "nothing was spent yet");

    let wallet = format!("/v1/users/{eve}/wallet");
    let post = |what: &str| {
        let once = shop.with("Idempotency-Key", what);
        once.post(&format!("{wallet}/{what}"), json!({ "amount": 10, "category": "paid" }))
    };
    post("credits").expect(201);
    let once = shop.with("Idempotency-Key", "debits");
    once.post(&format!("{wallet}/debits"), json!({ "amount": 10 })).expect(201);
    reward(&purser);
    assert_eq!(rewards(&purser).len(), 0, "it is looked at again after a minute");
    purser.step_clock(60_000);
    reward(&purser);
    reward(&purser);

    assert_eq!((balance(&shop, &ada), balance(&shop, &eve), count(&shop, &ada)), (100, 50, 1));
    let mut references: Vec<_> = rewards(&purser)
        .iter()
        .map(|it| it.get_str("reference").expect("a text").to_owned())
        .collect();
    references.sort();
    assert_eq!(references, [format!("ref:{eve}:referee"), format!("ref:{eve}:referrer")]);
    let seen = shop.get(&format!("/v1/users/{eve}/referrals")).expect(200);
    assert_eq!((&seen["referred"], &seen["rewarded"]), (&json!(true), &json!(true)));
    assert_eq!(seen.to_string().find(&ada), None, "who brought them is nobody's business");
    let view = shop.get(&format!("/v1/users/{ada}")).expect(200);
    assert_eq!(
        view["shared"]["modules"]["referrals"],
        json!({ "enabled": true, "referral_code": theirs, "referrals_count": 1 })
    );
}

#[test]
fn rings_second_addresses_and_latecomers_are_refused_as_stated_and_shown_to_the_admin() {
    let purser = Purser::start().without_replay();
    let shop = shop(&purser);
    programme(&purser, "registered", json!({}));
    let [a, b, c] = ["a", "b", "c"].map(|name| register(&purser, &shop, name));
    let [code_a, code_b, code_c] = [&a, &b, &c].map(|user| code(&shop, user));

    // A ring: b by a, c by b, and a by c would close it.
    redeem(&shop, &b, "b", json!({ "code": code_a })).expect(201);
    redeem(&shop, &c, "c", json!({ "code": code_b })).expect(201);
    let closing = redeem(&shop, &a, "a", json!({ "code": code_c }));
    assert_eq!(closing.refused(409), "not_eligible");
    let again = redeem(&shop, &a, "a", json!({ "code": code_c }));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.refused(409), "not_eligible");
    // A person's second address is the person; another record of the same customer is no other customer.
    assert_eq!(redeem(&shop, &a, "own", json!({ "code": code_a })).refused(409), "not_eligible");
    let twin = register(&purser, &shop, "twin");
    let id = |text: &str| bson::oid::ObjectId::parse_str(text).expect("an id");
    let customer = purser.db_find("users", doc! { "_id": id(&a) })[0]
        .get_object_id("customer_id")
        .expect("an id");
    purser.db_update(
        "users",
        doc! { "_id": id(&twin) },
        doc! { "$set": { "customer_id": customer } },
    );
    assert_eq!(
        redeem(&shop, &twin, "twin", json!({ "code": code_a })).refused(409),
        "not_eligible"
    );
    // On the 31st day it is too late, on the 30th it is not.
    let (late, last) = (register(&purser, &shop, "late"), register(&purser, &shop, "last"));
    purser.step_clock(30 * DAY_MS);
    redeem(&shop, &last, "last", json!({ "code": code_a })).expect(201);
    assert_eq!(
        redeem(&shop, &late, "late", json!({ "code": code_a })).refused(409),
        "not_eligible"
    );
    assert_eq!(
        redeem(&shop, &late, "none", json!({ "code": "ZZZZ-9999" })).refused(404),
        "not_found"
    );

    let mut seen: Vec<_> = cases(&purser, "refused").into_iter().map(|it| (it.0, it.1)).collect();
    let mut wanted = vec![
        (a.clone(), json!("own_code")),
        (a, json!("referrer_younger")),
        (twin, json!("same_customer")),
        (late, json!("too_late")),
    ];
    let text = |it: &(String, Value)| format!("{}{}", it.0, it.1);
    seen.sort_by_key(text);
    wanted.sort_by_key(text);
    assert_eq!(seen, wanted);
}

#[test]
fn a_code_that_is_redeemed_by_32_at_once_is_redeemed_once() {
    let purser = Purser::start();
    let shop = shop(&purser);
    programme(&purser, "registered", json!({}));
    let (ada, eve) = (register(&purser, &shop, "ada"), register(&purser, &shop, "eve"));
    let theirs = code(&shop, &ada);
    let other = purser.beside("other");

    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..32)
            .map(|n| {
                let (shop, eve, theirs) = (shop.clone(), eve.clone(), theirs.clone());
                scope.spawn(move || {
                    redeem(&shop, &eve, &n.to_string(), json!({ "code": theirs })).status
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("answers")).collect()
    });
    let (one, two) = purser.block_on(async {
        tokio::join!(purser.inner.reward_referrals(), other.inner.reward_referrals())
    });

    one.and(two).expect("both reward");
    let with = |status: u16| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((with(201), with(409)), (1, 31));
    assert_eq!((balance(&shop, &ada), balance(&shop, &eve), count(&shop, &ada)), (100, 50, 1));
    assert_eq!(cases(&purser, "refused"), [(eve.clone(), json!("already_referred"), json!([]))]);
    assert_eq!(cases(&purser, "rewarded"), [(eve, Value::Null, json!([]))]);
    drop(other);
}

#[test]
fn signals_flag_and_an_admin_decides() {
    let purser = Purser::start();
    let (shop, admin) = (shop(&purser), purser.admin());
    programme(&purser, "registered", json!({}));
    let ada = register(&purser, &shop, "ada");
    let theirs = code(&shop, &ada);
    let people: Vec<_> = (0..8).map(|n| register(&purser, &shop, &format!("p{n}"))).collect();
    let from = |ip: &str| shop.with("Purser-Client-IP", ip);
    let body = |device: &str| json!({ "code": theirs, "device": device });

    redeem(&from("203.0.113.1"), &people[0], "0", body("one")).expect(201);
    redeem(&from("203.0.113.1"), &people[1], "1", body("two")).expect(201);
    redeem(&from("203.0.113.2"), &people[2], "2", body("one")).expect(201);
    for (n, person) in people.iter().enumerate().skip(3) {
        let ip = format!("203.0.113.{}", n + 10);
        redeem(&from(&ip), person, &n.to_string(), body(&n.to_string())).expect(201);
    }
    reward(&purser);

    let flagged: std::collections::BTreeMap<_, _> =
        cases(&purser, "flagged").into_iter().map(|it| (it.0, it.2)).collect();
    assert_eq!(flagged.len(), 5);
    assert_eq!(flagged[&people[1]], json!(["same_address"]));
    assert_eq!(flagged[&people[2]], json!(["same_device"]));
    assert_eq!(flagged[&people[7]], json!(["burst"]));
    assert_eq!((count(&shop, &ada), balance(&shop, &ada)), (3, 300));
    let decide = |user: &str, what: &str| {
        admin.post(&format!("/v1/admin/users/{user}/referral/{what}"), json!({}))
    };
    assert_eq!(decide(&people[1], "approve").expect(200)["status"], "pending");
    assert_eq!(decide(&people[2], "void").expect(200)["status"], "void");
    assert_eq!(decide(&people[2], "approve").refused(409), "already_resolved");
    assert_eq!(decide(&ada, "approve").refused(404), "not_found");
    purser.step_clock(60_000);
    reward(&purser);
    assert_eq!(
        (count(&shop, &ada), balance(&shop, &people[1]), balance(&shop, &people[2])),
        (4, 50, 0)
    );
    assert_eq!(decide(&people[1], "void").refused(409), "already_resolved");
    // Neither addresses nor devices are kept as they are.
    for case in purser.db_find("users", doc! {}) {
        assert!(!case.to_string().contains("203.0.113"), "{case}");
    }
}

#[test]
fn a_referrer_has_so_many_rewards_a_day_and_in_all() {
    let purser = Purser::start();
    let shop = shop(&purser);
    programme(&purser, "registered", json!({ "per_day_max": 1, "in_all_max": 2 }));
    let ada = register(&purser, &shop, "ada");
    let theirs = code(&shop, &ada);
    for (n, wait) in [(0, 0), (1, 0), (2, DAY_MS), (3, DAY_MS)] {
        purser.step_clock(wait);
        let user = register(&purser, &shop, &format!("p{n}"));
        redeem(&shop, &user, &n.to_string(), json!({ "code": theirs })).expect(201);
        reward(&purser);
    }
    assert_eq!(
        (count(&shop, &ada), balance(&shop, &ada), cases(&purser, "capped").len()),
        (2, 200, 2)
    );
}

#[test]
fn a_code_is_somebodys_for_good_and_what_looks_alike_is_one() {
    let purser = Purser::start();
    let shop = shop(&purser);
    programme(&purser, "registered", json!({}));
    let (ada, eve) = (register(&purser, &shop, "ada"), register(&purser, &shop, "eve"));
    let make = |user: &str, key: &str, code: &str| {
        let once = shop.with("Idempotency-Key", key);
        once.post(&format!("/v1/users/{user}/referrals/code"), json!({ "code": code }))
    };
    let first = code(&shop, &ada);
    assert_eq!(make(&ada, "1", "Oliver-1").expect(201)["referral_code"], "OLIVER-1");
    assert_eq!(make(&eve, "2", "0l1ver-i").refused(409), "already_exists");
    assert_eq!(make(&eve, "3", "no").refused(422), "invalid");
    // The old one still counts, and both lead to the same person.
    redeem(&shop, &eve, "eve", json!({ "code": first })).expect(201);
    let max = register(&purser, &shop, "max");
    redeem(&shop, &max, "max", json!({ "code": "oliver1" })).expect(201);
    reward(&purser);
    assert_eq!(count(&shop, &ada), 2);
    for n in 0..3 {
        make(&ada, &format!("more-{n}"), &format!("MORE-{n}")).expect(201);
    }
    assert_eq!(make(&ada, "more", "MORE-9").refused(409), "wrong_state");
}

#[test]
fn paying_for_a_subscription_can_be_what_earns_it() {
    let purser = Purser::start();
    let (shop, admin) = (shop(&purser), purser.admin());
    programme(&purser, "subscription_paid", json!({ "referee_credits": 0 }));
    let plan = json!({ "plan": "basic", "display_name": "Basic", "price": 10, "trial_days": 3,
        "period": { "unit": "month", "count": 1 }, "apps": ["shop"] });
    admin.post("/v1/admin/plans", plan).expect(201);
    let (ada, eve) = (register(&purser, &shop, "ada"), register(&purser, &shop, "eve"));
    redeem(&shop, &eve, "eve", json!({ "code": code(&shop, &ada) })).expect(201);
    let once = |path: &str, body: Value| {
        shop.with("Idempotency-Key", path)
            .post(&format!("/v1/users/{eve}/{path}"), body)
            .expect(201)
    };
    once("wallet/credits", json!({ "amount": 20, "category": "paid" }));
    once("wallet/debits", json!({ "amount": 10 }));
    once("subscription", json!({ "plan": "basic" }));
    reward(&purser);
    assert_eq!(count(&shop, &ada), 0, "a trial is not paid for");

    purser.step_clock(3 * DAY_MS);
    purser.block_on(purser.inner.renew_subscriptions()).expect("renews");
    reward(&purser);

    assert_eq!((count(&shop, &ada), balance(&shop, &ada), balance(&shop, &eve)), (1, 100, 0));
}
