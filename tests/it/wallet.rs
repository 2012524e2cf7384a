//! Wallets: credits that cannot be lost, doubled or overspent.

use std::collections::BTreeSet;

use purser::app::build::job;
use purser::kernel::chance::Series;
use purser::kernel::credits::Credits;
use purser::kernel::fault::Code;
use purser::kernel::ids::UserId;
use purser::modules::{Bill, Gift, GiftCategory, Purse, Receipt, SHORT, wallet};
use purser::store::{Stop, Work};
use serde_json::{Value, json};

use crate::harness::{Principal, Purser};

/// An app that may issue what it wants, and a person of it.
fn shop(purser: &Purser) -> Principal {
    issuing(purser, "shop")
}

pub fn issuing(purser: &Purser, id: &str) -> Principal {
    let limits = json!({ "requests_per_minute": 1_000_000, "requests_per_hour": 1_000_000 });
    purser.app_with(
        id,
        json!({
            "may_issue": { "categories": ["paid", "promo", "plan", "referral", "adjustment"],
                "per_day": 9_007_199_254_740_991_i64 },
            "rate_limits": limits, "total_rate_limits": limits,
        }),
    )
}

impl Principal {
    /// A POST under an Idempotency-Key of its own.
    fn once(&self, path: &str, key: &str, body: Value) -> crate::harness::Reply {
        self.with("Idempotency-Key", key).post(path, body)
    }
}

#[test]
fn credits_arrive_are_spent_held_captured_released_and_refunded() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (id, _) = shop.register("ada@example.com");
    let wallet = format!("/v1/users/{id}/wallet");

    let credited =
        shop.once(&format!("{wallet}/credits"), "c1", json!({ "amount": 100 })).expect(201);
    let debit =
        json!({ "amount": 30, "description": "Two coffees", "metadata": { "order": "991" } });
    let debited = shop.once(&format!("{wallet}/debits"), "d1", debit).expect(201);
    let held = shop.once(&format!("{wallet}/holds"), "h1", json!({ "amount": 50 })).expect(201);
    let hold = held["hold"]["id"].as_str().expect("an id");
    let path = format!("{wallet}/holds/{hold}/capture");
    let captured = shop.once(&path, "p1", json!({ "amount": 20 })).expect(201);
    let entry = debited["entry"]["id"].as_str().expect("an id");
    let path = format!("{wallet}/entries/{entry}/refund");
    let refunded = shop.once(&path, "r1", json!({ "amount": 10 })).expect(201);

    let after = |answer: &Value| {
        let part = |name: &str| answer["wallet"][name].as_i64().expect("a number");
        (part("balance"), part("held"), part("available"), part("seq"))
    };
    assert_eq!(after(&credited), (100, 0, 100, 1));
    assert_eq!(after(&debited), (70, 0, 70, 2));
    assert_eq!(after(&held), (70, 50, 20, 3));
    assert_eq!(after(&captured), (50, 0, 50, 4));
    assert_eq!(after(&refunded), (60, 0, 60, 5));
    assert_eq!(debited["entry"]["description"], "Two coffees");
    let listed = shop.get(&format!("{wallet}/entries")).expect(200);
    let kinds: Vec<_> =
        listed["items"].as_array().expect("items").iter().map(|i| i["kind"].clone()).collect();
    assert_eq!(kinds, ["refund", "capture", "hold", "debit", "credit"]);
    assert_eq!(listed["items"][3], debited["entry"]);
}

fn path(user: &str, below: &str) -> String {
    format!("/v1/users/{user}/wallet{below}")
}

fn balances(who: &Principal, user: &str) -> (i64, i64, i64) {
    let wallet = who.get(&path(user, "")).expect(200)["wallet"].clone();
    let part = |name: &str| wallet[name].as_i64().expect("a whole number");
    (part("balance"), part("held"), part("available"))
}

fn id_of(answer: &Value, part: &str) -> String {
    answer[part]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_debit_larger_than_what_is_available_changes_nothing_and_says_how_much_is_missing() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    shop.once(&path(&ada, "/credits"), "c1", json!({ "amount": 20 })).expect(201);

    let refused = shop.once(&path(&ada, "/debits"), "d1", json!({ "amount": 25 }));

    assert_eq!(refused.body["short_by"], 5);
    assert_eq!(refused.refused(402), "insufficient_credits");
    assert_eq!(balances(&shop, &ada), (20, 0, 20));
    // The refusal is the answer to this key for good, also when there is enough.
    shop.once(&path(&ada, "/credits"), "c2", json!({ "amount": 100 })).expect(201);
    let again = shop.once(&path(&ada, "/debits"), "d1", json!({ "amount": 25 }));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body["short_by"], 5);
    assert_eq!(again.refused(402), "insufficient_credits");
    assert_eq!(balances(&shop, &ada), (120, 0, 120));
}

#[test]
fn only_an_app_that_may_issue_the_category_within_its_days_amount_creates_credits() {
    let purser = Purser::start();
    let may = |categories: Value, per_day: i64| json!({ "may_issue": { "categories": categories, "per_day": per_day } });
    let shop = purser.app_with("shop", may(json!(["promo", "paid"]), 100));
    let poor = purser.app("poor");
    let (ada, _) = shop.register("ada@example.com");
    poor.register("ada@example.com");
    let credit = |who: &Principal, key: &str, amount: i64, category: &str| {
        let body = json!({ "amount": amount, "category": category });
        who.once(&path(&ada, "/credits"), key, body)
    };

    assert_eq!(credit(&poor, "p1", 1, "promo").refused(403), "issuance_not_allowed");
    assert_eq!(credit(&shop, "a", 1, "plan").refused(403), "issuance_not_allowed");
    credit(&shop, "b", 60, "promo").expect(201);
    credit(&shop, "c", 40, "paid").expect(201);
    let over = credit(&shop, "d", 1, "paid");
    assert!(
        over.body["detail"].as_str().expect("a text").contains("0 are left today"),
        "{}",
        over.body
    );
    assert_eq!(over.refused(403), "issuance_not_allowed");
    // The day is UTC's; what was refused with 403 was not remembered.
    purser.step_clock(24 * 3600 * 1000);
    credit(&shop, "d", 1, "paid").expect(201);
    assert_eq!(balances(&shop, &ada), (101, 0, 101));
}

#[test]
fn lots_are_spent_by_priority_then_end_then_unpaid_then_age_and_the_entry_says_which() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let lot = |key: &str, body: Value| {
        let answer = shop.once(&path(&ada, "/credits"), key, body).expect(201);
        purser.step_clock(1000);
        answer["entry"]["slices"][0]["lot"].as_str().expect("a lot").to_owned()
    };
    let paid = lot("a", json!({ "amount": 10, "category": "paid" }));
    let promo = lot("b", json!({ "amount": 10, "category": "promo" }));
    let late =
        lot("c", json!({ "amount": 10, "category": "paid", "expires_at": "2027-01-01T00:00:00Z" }));
    let soon =
        lot("d", json!({ "amount": 10, "category": "paid", "expires_at": "2026-06-01T00:00:00Z" }));
    let first = lot("e", json!({ "amount": 10, "category": "paid", "priority": 1 }));
    let never =
        lot("f", json!({ "amount": 10, "priority": 1, "effective_at": "2028-01-01T00:00:00Z" }));

    let shown = shop.get(&path(&ada, "")).expect(200);
    let debited = shop.once(&path(&ada, "/debits"), "x", json!({ "amount": 50 })).expect(201);

    let burnt: Vec<_> = debited["entry"]["slices"].as_array().expect("slices").iter().collect();
    let burnt: Vec<_> = burnt.iter().map(|slice| slice["lot"].as_str().expect("a lot")).collect();
    assert_eq!(burnt, [&first, &soon, &late, &promo, &paid]);
    let order: Vec<_> = shown["wallet"]["lots"].as_array().expect("lots").iter().collect();
    assert_eq!(order.len(), 6);
    assert_eq!(order[0]["id"], first.as_str());
    assert_eq!(debited["wallet"]["available"], 0, "{never} is not effective yet");
    assert_eq!(debited["wallet"]["balance"], 10);
}

#[test]
fn a_transfer_moves_credits_as_what_they_are_and_conserves_them() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let bank = issuing(&purser, "bank");
    let (ada, _) = shop.register("ada@example.com");
    let (bob, _) = shop.register("bob@example.com");
    let (eve, eve_key) = bank.register("eve@example.com");
    let account = |user: &str, who: &Principal| {
        let view = who.get(&format!("/v1/users/{user}")).expect(200);
        view["shared"]["account_number"].as_str().expect("a number").to_owned()
    };
    let end = "2026-02-01T00:00:00.000Z";
    shop.once(&path(&ada, "/credits"), "c", json!({ "amount": 100, "expires_at": end }))
        .expect(201);

    let to = |to: Value, amount: i64| json!({ "amount": amount, "to": to });
    let sent =
        shop.once(&path(&ada, "/transfers"), "t1", to(json!({ "user_id": bob }), 30)).expect(201);
    let number = account(&eve, &eve_key);
    let by_number = to(json!({ "account_number": number }), 20);
    shop.once(&path(&ada, "/transfers"), "t2", by_number).expect(201);

    assert_eq!(sent["entry"]["kind"], "transfer_out");
    assert_eq!(sent["entry"]["counterpart"], account(&bob, &shop));
    assert_eq!(balances(&shop, &ada), (50, 0, 50));
    assert_eq!(balances(&shop, &bob), (30, 0, 30));
    assert_eq!(balances(&bank, &eve), (20, 0, 20));
    let lots = shop.get(&path(&bob, "")).expect(200)["wallet"]["lots"].clone();
    assert_eq!((&lots[0]["category"], &lots[0]["expires_at"]), (&json!("promo"), &json!(end)));
    // By id only among the app's own people, never to oneself, and never more than there is.
    let stranger = shop.once(&path(&ada, "/transfers"), "t3", to(json!({ "user_id": eve }), 1));
    assert_eq!(stranger.refused(404), "not_found");
    let own = shop.once(&path(&ada, "/transfers"), "t4", to(json!({ "user_id": ada }), 1));
    assert_eq!(own.refused(422), "invalid");
    let much = shop.once(&path(&ada, "/transfers"), "t5", to(json!({ "user_id": bob }), 51));
    assert_eq!(much.body["short_by"], 1);
    assert_eq!(much.refused(402), "insufficient_credits");
    let both = to(json!({ "user_id": bob, "account_number": number }), 1);
    assert_eq!(shop.once(&path(&ada, "/transfers"), "t6", both).pointers(), ["/to"]);
}

#[test]
fn a_third_party_app_neither_transfers_nor_checks_names() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, me) = shop.register("ada@example.com");
    let account = me.get("/v1/users/me").expect(200)["shared"]["account_number"].clone();
    let account = format!("/v1/accounts/{}", account.as_str().expect("a number"));
    assert_eq!(shop.get(&account).expect(200)["name"], "A***");

    let change = json!({ "trust": "third_party" });
    purser.admin().with("If-Match", "*").patch("/v1/admin/apps/shop", change).expect(200);
    let (other, body) = (
        "0123456789abcdef01234567",
        json!({ "amount": 1, "to": { "user_id": "0123456789abcdef01234567" } }),
    );
    assert_eq!(
        shop.once(&path(&ada, "/transfers"), "t", body).refused(403),
        "not_first_party",
        "{other}"
    );
    assert_eq!(shop.get(&account).refused(403), "not_first_party");
}

#[test]
fn a_name_check_shows_first_letters_and_nothing_of_who_hides() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let mut body = crate::harness::person("ada@example.com");
    body["profile"] = json!({ "first_name": "Ana María", "last_name": "Lovelace" });
    let (ada, _) = shop.register_with(body);
    let number =
        shop.get(&format!("/v1/users/{ada}")).expect(200)["shared"]["account_number"].clone();
    let number = number.as_str().expect("a number");
    let check = || shop.get(&format!("/v1/accounts/{number}")).expect(200);

    assert_eq!(check(), json!({ "account_number": number, "name": "A*** M*** L***" }));
    let hide = json!({ "preferences": { "privacy": { "profile_visible": false } } });
    shop.patch(&format!("/v1/users/{ada}"), hide).expect(200);
    assert_eq!(check(), json!({ "account_number": number, "name": null }));
    assert_eq!(shop.get("/v1/accounts/00000000000000").refused(404), "not_found");
    assert_eq!(shop.get("/v1/accounts/00000000000098").refused(404), "not_found");
}

#[test]
fn a_hold_is_resolved_once_by_its_app_or_an_admin_and_ends_by_time_without_a_worker() {
    let purser = Purser::start();
    let (shop, bank) = (shop(&purser), issuing(&purser, "bank"));
    let (ada, _) = shop.register("ada@example.com");
    bank.register("ada@example.com");
    shop.once(&path(&ada, "/credits"), "c", json!({ "amount": 100 })).expect(201);
    let hold = |key: &str, ttl: i64| {
        let body = json!({ "amount": 40, "ttl_seconds": ttl });
        id_of(&shop.once(&path(&ada, "/holds"), key, body).expect(201), "hold")
    };
    let (first, second) = (hold("h1", 60), hold("h2", 3600));
    let of = |hold: &str, what: &str| path(&ada, &format!("/holds/{hold}/{what}"));

    // Nobody spends what is held, and no other app knows of the hold.
    assert_eq!(balances(&bank, &ada), (100, 80, 20));
    assert_eq!(bank.get(&path(&ada, "")).expect(200)["wallet"]["holds"], json!([]));
    let short = bank.once(&path(&ada, "/debits"), "d", json!({ "amount": 21 }));
    assert_eq!(short.refused(402), "insufficient_credits");
    assert_eq!(bank.once(&of(&first, "release"), "r", json!({})).refused(404), "not_found");
    let much = shop.once(&of(&first, "capture"), "p0", json!({ "amount": 41 }));
    assert_eq!(much.refused(422), "exceeds_hold");

    // Its time is over at its moment, whoever looks.
    purser.step_clock(60_000);
    assert_eq!(balances(&shop, &ada), (100, 40, 60));
    assert_eq!(shop.once(&of(&first, "capture"), "p1", json!({})).refused(409), "hold_expired");
    shop.once(&path(&ada, "/debits"), "d", json!({ "amount": 60 })).expect(201);
    assert_eq!(shop.once(&of(&first, "release"), "r1", json!({})).refused(409), "hold_expired");

    let admin = purser.admin();
    let by_admin = format!("/v1/admin/users/{ada}/wallet/holds/{second}/capture");
    let captured = admin.once(&by_admin, "a1", json!({ "amount": 15 })).expect(201);
    assert_eq!(captured["entry"]["parent"], second.as_str());
    assert_eq!(
        shop.once(&of(&second, "capture"), "p2", json!({})).refused(409),
        "already_resolved"
    );
    assert_eq!(
        shop.once(&of(&second, "release"), "r2", json!({})).refused(409),
        "already_resolved"
    );
    assert_eq!(balances(&shop, &ada), (25, 0, 25));
}

#[test]
fn a_hold_survives_the_end_of_its_lot_and_the_worker_books_the_rest() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let credit = json!({ "amount": 100, "expires_at": "2026-01-01T00:01:00Z" });
    shop.once(&path(&ada, "/credits"), "c", credit).expect(201);
    let held = shop.once(&path(&ada, "/holds"), "h", json!({ "amount": 40 })).expect(201);
    let hold = id_of(&held, "hold");

    purser.step_clock(60_000);
    // Before anything is booked nobody can spend it; after it the balance says so too.
    assert_eq!(balances(&shop, &ada), (100, 40, 0));
    purser.block_on(purser.inner.expire_credits()).expect("booked");
    assert_eq!(balances(&shop, &ada), (40, 40, 0));
    let entries = purser.db_entries(bson::doc! {}).len();
    purser.block_on(purser.inner.expire_credits()).expect("nothing to book");
    assert_eq!(purser.db_entries(bson::doc! {}).len(), entries);
    let capture = path(&ada, &format!("/holds/{hold}/capture"));
    let captured = shop.once(&capture, "p", json!({ "amount": 25 })).expect(201);

    assert_eq!(captured["wallet"]["balance"], 0, "what is released of an expired lot expires");
    let listed = shop.get(&path(&ada, "/entries")).expect(200);
    let kinds: Vec<_> =
        listed["items"].as_array().expect("items").iter().map(|i| i["kind"].clone()).collect();
    assert_eq!(kinds, ["expire", "capture", "expire", "hold", "credit"]);
}

#[test]
fn refunds_go_back_to_the_same_lots_in_reverse_and_never_exceed_the_original() {
    let purser = Purser::start();
    let (shop, bank) = (shop(&purser), issuing(&purser, "bank"));
    let (ada, _) = shop.register("ada@example.com");
    bank.register("ada@example.com");
    let credit = json!({ "amount": 10, "expires_at": "2026-01-02T00:00:00Z" });
    shop.once(&path(&ada, "/credits"), "c1", credit).expect(201);
    shop.once(&path(&ada, "/credits"), "c2", json!({ "amount": 10 })).expect(201);
    let debited = shop.once(&path(&ada, "/debits"), "d", json!({ "amount": 15 })).expect(201);
    let refund = path(&ada, &format!("/entries/{}/refund", id_of(&debited, "entry")));
    let slices = debited["entry"]["slices"].clone();

    let first = shop.once(&refund, "r1", json!({ "amount": 7 })).expect(201);

    let lots: Vec<_> = first["entry"]["slices"].as_array().expect("slices").iter().collect();
    assert_eq!((&lots[0]["lot"], &lots[0]["amount"]), (&slices[1]["lot"], &json!(5)));
    assert_eq!((&lots[1]["lot"], &lots[1]["amount"]), (&slices[0]["lot"], &json!(2)));
    assert_eq!(shop.once(&refund, "r2", json!({ "amount": 9 })).refused(422), "exceeds_refundable");
    assert_eq!(bank.once(&refund, "r3", json!({})).refused(404), "not_found");
    // What is left belongs to a lot that has expired since: it comes back with the day it had left.
    purser.step_clock(36 * 3600 * 1000);
    let forfeited =
        shop.once(&refund, "r4", json!({ "amount": 3, "expired": "forfeit" })).expect(201);
    assert_eq!(
        (&forfeited["entry"]["amount"], &forfeited["entry"]["balance_change"]),
        (&json!(3), &json!(0))
    );
    let restored = shop.once(&refund, "r5", json!({ "amount": 2 })).expect(201);
    assert_eq!(restored["entry"]["slices"][0]["expires_at"], "2026-01-03T12:00:00.000Z");
    let extended = json!({ "expired": "extend", "extend_seconds": 60 });
    let extended = shop.once(&refund, "r6", extended).expect(201);
    assert_eq!(extended["entry"]["amount"], 3);
    assert_eq!(extended["entry"]["slices"][0]["expires_at"], "2026-01-02T12:01:00.000Z");
    assert_eq!(shop.once(&refund, "r7", json!({})).refused(422), "exceeds_refundable");
    let again = path(&ada, &format!("/entries/{}/refund", id_of(&restored, "entry")));
    assert_eq!(shop.once(&again, "r8", json!({})).refused(422), "not_refundable");
}

#[test]
fn a_frozen_wallet_takes_credits_and_refuses_the_rest() {
    let purser = Purser::start();
    let (shop, admin) = (shop(&purser), purser.admin());
    let (ada, _) = shop.register("ada@example.com");
    let (bob, _) = shop.register("bob@example.com");
    for (user, key) in [(&ada, "c1"), (&bob, "c2")] {
        shop.once(&path(user, "/credits"), key, json!({ "amount": 100 })).expect(201);
    }
    let debited = shop.once(&path(&ada, "/debits"), "d0", json!({ "amount": 5 })).expect(201);
    let held = shop.once(&path(&ada, "/holds"), "h0", json!({ "amount": 5 })).expect(201);
    let hold = id_of(&held, "hold");
    let freeze = format!("/v1/admin/users/{ada}/wallet/freeze");
    let frozen = admin.once(&freeze, "f1", json!({ "reason": "Reported as stolen" })).expect(200);

    assert_eq!(frozen, json!({ "frozen": true, "reason": "Reported as stolen" }));
    let to_bob = json!({ "amount": 1, "to": { "user_id": bob } });
    for (below, body) in [
        ("/debits".to_owned(), json!({ "amount": 1 })),
        ("/holds".to_owned(), json!({ "amount": 1 })),
        ("/transfers".to_owned(), to_bob),
        (format!("/holds/{hold}/capture"), json!({})),
        (format!("/holds/{hold}/release"), json!({})),
    ] {
        let refused = shop.once(&path(&ada, &below), &format!("x{below}"), body);
        assert_eq!(refused.refused(403), "wallet_frozen", "{below}");
    }
    shop.once(&path(&ada, "/credits"), "c3", json!({ "amount": 1 })).expect(201);
    let to_ada = json!({ "amount": 1, "to": { "user_id": ada } });
    shop.once(&path(&bob, "/transfers"), "t", to_ada).expect(201);
    let refund = path(&ada, &format!("/entries/{}/refund", id_of(&debited, "entry")));
    shop.once(&refund, "r", json!({})).expect(201);
    let adjust = json!({ "amount": 2, "direction": "debit", "reason": "Fraud" });
    admin.once(&format!("/v1/admin/users/{ada}/wallet/adjustments"), "a", adjust).expect(201);
    assert_eq!(shop.get(&path(&ada, "")).expect(200)["wallet"]["frozen"], true);
    // Unfrozen, the same key goes through: a 403 is not remembered.
    admin.once(&format!("/v1/admin/users/{ada}/wallet/unfreeze"), "u", json!({})).expect(200);
    let debit = shop.once(&path(&ada, "/debits"), "x/debits", json!({ "amount": 1 })).expect(201);
    assert_eq!(debit["wallet"]["balance"], 99);
}

#[test]
fn a_dry_run_answers_what_would_happen_and_leaves_nothing() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let (bob, _) = shop.register("bob@example.com");
    shop.once(&path(&ada, "/credits"), "c", json!({ "amount": 100 })).expect(201);
    let before = (purser.db_entries(bson::doc! {}).len(), balances(&shop, &ada));

    let dry =
        |below: &str, body: Value| shop.post(&path(&ada, &format!("{below}?dry_run=true")), body);
    let debit = dry("/debits", json!({ "amount": 30 })).expect(200);
    assert_eq!((&debit["entry"]["id"], &debit["wallet"]["balance"]), (&json!(null), &json!(70)));
    let credit = dry("/credits", json!({ "amount": 1, "priority": 7 })).expect(200);
    assert_eq!(credit["entry"]["slices"][0]["lot"], json!(null), "there is no such lot");
    dry("/holds", json!({ "amount": 30 })).expect(200);
    dry("/transfers", json!({ "amount": 1, "to": { "user_id": bob } })).expect(200);
    assert_eq!(dry("/debits", json!({ "amount": 101 })).refused(402), "insufficient_credits");
    let wrong = shop.post(&path(&ada, "/debits?dry_run=yes"), json!({ "amount": 1 }));
    assert_eq!(wrong.pointers(), ["dry_run"]);

    assert_eq!((purser.db_entries(bson::doc! {}).len(), balances(&shop, &ada)), before);
    assert_eq!(purser.db_find("wallet_entries", bson::doc! {}).len(), 1);
    // A dry run uses up neither key nor reference.
    let body = json!({ "amount": 1, "reference": "order-1" });
    let with = shop.with("Idempotency-Key", "k");
    with.post(&path(&ada, "/debits?dry_run=true"), body.clone()).expect(200);
    with.post(&path(&ada, "/debits"), body).expect(201);
}

#[test]
fn an_amount_is_a_whole_number_that_every_reader_of_json_can_hold() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let credit = |key: &str, amount: &str| {
        let body = format!(r#"{{ "amount": {amount} }}"#).into_bytes();
        shop.with("Idempotency-Key", key).send("POST", &path(&ada, "/credits"), Some(body))
    };

    for (at, amount) in [
        "100.0",
        "1e2",
        "\"100\"",
        "0",
        "-1",
        "9007199254740992",
        "1e400",
        "null",
        "true",
        "[1]",
        "18446744073709551615",
        "99999999999999999999",
    ]
    .iter()
    .enumerate()
    {
        let refused = credit(&format!("w{at}"), amount);
        let status = refused.status;
        assert!(
            status == 422 || (*amount == "1e400" && status == 400),
            "{amount}: {:#}",
            refused.body
        );
        if status == 422 {
            assert_eq!(refused.pointers(), ["/amount"], "{amount}");
            let detail = refused.body["errors"][0]["detail"].as_str().expect("a text");
            assert!(detail.contains("100, not 100.0"), "{amount}: {detail}");
        }
    }
    assert_eq!(credit("none", "1, \"x\": 1").pointers(), ["/x"]);
    let most = credit("most", "9007199254740991").expect(201);
    assert_eq!(most["wallet"]["balance"], 9_007_199_254_740_991_i64);
    assert_eq!(credit("more", "1").pointers(), ["/amount"]);
    let all = json!({ "amount": 9_007_199_254_740_991_i64 });
    assert_eq!(shop.once(&path(&ada, "/debits"), "d", all).expect(201)["wallet"]["balance"], 0);
}

#[test]
fn every_post_of_the_wallet_wants_an_idempotency_key() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let document: Value = serde_json::from_str(&purser::app::papers::openapi()).expect("JSON");
    let mut asked = 0;
    for (path, method, _) in crate::papers::operations(&document) {
        if method != "POST" || !path.contains("/wallet/") {
            continue;
        }
        asked += 1;
        let who = if path.starts_with("/v1/admin") { purser.admin() } else { shop.clone() };
        let path = path.replace("{user}", &ada).replace("{hold}", &ada).replace("{entry}", &ada);
        let body =
            json!({ "amount": 1, "to": { "user_id": ada }, "reason": "x", "direction": "credit" });
        let body = match path.rsplit('/').next().expect("a path") {
            "freeze" => json!({ "reason": "x" }),
            "adjustments" => json!({ "amount": 1, "reason": "x", "direction": "credit" }),
            "transfers" => json!({ "amount": 1, "to": { "user_id": ada } }),
            "release" | "refund" | "capture" | "unfreeze" => json!({}),
            _ => json!({ "amount": body["amount"] }),
        };
        assert_eq!(who.post(&path, body).refused(400), "idempotency_key_required", "{path}");
    }
    assert_eq!(asked, 12);
}

#[test]
fn an_app_sees_its_own_entries_whole_and_others_in_short_or_not_at_all() {
    let purser = Purser::start();
    let (shop, bank) = (shop(&purser), issuing(&purser, "bank"));
    let (ada, _) = shop.register("ada@example.com");
    bank.register("ada@example.com");
    let body = json!({ "amount": 100, "description": "Salary", "reference": "pay-1" });
    bank.once(&path(&ada, "/credits"), "c", body).expect(201);
    shop.once(&path(&ada, "/debits"), "d", json!({ "amount": 30 })).expect(201);
    let adjust = json!({ "amount": 5, "direction": "credit", "reason": "Sorry" });
    purser
        .admin()
        .once(&format!("/v1/admin/users/{ada}/wallet/adjustments"), "a", adjust)
        .expect(201);
    let listed = |who: &Principal| who.get(&path(&ada, "/entries")).expect(200)["items"].clone();
    let at = "2026-01-01T00:00:00.000Z";

    let hidden = listed(&shop);
    let in_short = |kind: &str, amount: i64| json!({ "kind": kind, "amount": amount, "balance_change": amount, "created_at": at });
    assert_eq!(hidden[0], in_short("adjust", 5));
    assert_eq!((&hidden[1]["kind"], hidden.as_array().map(Vec::len)), (&json!("debit"), Some(2)));
    let statement = shop
        .get(&path(&ada, "/statement?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"))
        .expect(200);
    assert_eq!(
        (&statement["opening_balance"], &statement["closing_balance"], &statement["not_shown"]),
        (&json!(0), &json!(75), &json!(100))
    );
    let show = json!({ "preferences": { "privacy": { "activity_visible": true } } });
    shop.patch(&format!("/v1/users/{ada}"), show).expect(200);
    assert_eq!(listed(&shop)[2], in_short("credit", 100));
    assert_eq!(listed(&bank)[2]["description"], "Salary");
    assert_eq!(listed(&bank)[2]["reference"], "pay-1");
    assert!(!shop.get(&path(&ada, "/entries")).text.contains("Salary"));
    assert!(!shop.get(&path(&ada, "")).text.contains("bank"));
}

#[test]
fn what_other_apps_brought_and_set_aside_is_told_only_where_activity_is_shown() {
    let purser = Purser::start();
    let (shop, bank) = (shop(&purser), issuing(&purser, "bank"));
    let (ada, _) = shop.register("ada@example.com");
    bank.register("ada@example.com");
    for (who, key, amount) in [(&bank, "c1", 100), (&bank, "c2", 20), (&shop, "c3", 7)] {
        let body = json!({ "amount": amount, "reference": format!("pay-{key}") });
        who.once(&path(&ada, "/credits"), key, body).expect(201);
    }
    let ends = json!({ "amount": 9, "category": "promo", "expires_at": "2026-01-01T00:02:00Z" });
    bank.once(&path(&ada, "/credits"), "c4", ends).expect(201);
    bank.once(&path(&ada, "/holds"), "h", json!({ "amount": 40, "ttl_seconds": 60 })).expect(201);
    let lots = |who: &Principal| who.get(&path(&ada, "")).expect(200)["wallet"]["lots"].clone();
    let found = |who: &Principal, query: &str| {
        who.get(&path(&ada, &format!("/entries?{query}"))).expect(200)["items"].clone()
    };

    let hidden = lots(&shop);
    let lot = |n: usize, field: &str| hidden[n][field].clone();
    assert_eq!(hidden.as_array().map(Vec::len), Some(3));
    assert_eq!(
        (lot(0, "remaining"), lot(0, "expires_at")),
        (json!(9), json!("2026-01-01T00:02:00.000Z"))
    );
    assert_eq!(
        (lot(1, "id"), lot(1, "amount"), lot(1, "effective_at")),
        (json!(null), json!(null), json!(null))
    );
    assert_eq!(lot(1, "remaining"), 120, "together");
    assert_eq!((lot(2, "amount"), lot(2, "id").is_string()), (json!(7), true), "its own");
    let whole = lots(&bank);
    let amounts: BTreeSet<_> = (0..4).map(|n| whole[n]["amount"].as_i64()).collect();
    assert_eq!(amounts, [None, Some(9), Some(20), Some(100)].into());
    purser.step_clock(120_000);
    purser.block_on(purser.inner.expire_credits()).expect("booked");
    assert_eq!(found(&shop, "").as_array().map(Vec::len), Some(1), "what has ended is the bank's");
    let of_bank = found(&bank, "kind=release");
    assert_eq!(
        (&of_bank[0]["app_id"], &of_bank[0]["actor"]["kind"]),
        (&json!("bank"), &json!("system"))
    );
    assert_eq!(found(&bank, "kind=expire")[0]["app_id"], "bank");
    let show = json!({ "preferences": { "privacy": { "activity_visible": true } } });
    shop.patch(&format!("/v1/users/{ada}"), show).expect(200);
    assert!(lots(&shop)[0]["id"].is_string());
    assert_eq!(found(&shop, "").as_array().map(Vec::len), Some(7));
    assert_eq!(found(&shop, "reference=pay-c1"), json!([]), "what others call theirs is not told");
    assert_eq!(found(&bank, "reference=pay-c1")[0]["amount"], 100);
}

#[test]
fn credits_whose_end_comes_between_payer_and_payee_arrive_and_end_as_the_senders() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let (bob, _) = shop.register("bob@example.com");
    let ends = json!({ "amount": 9, "expires_at": "2026-01-01T00:01:00Z" });
    shop.once(&path(&ada, "/credits"), "c", ends).expect(201);
    // Somebody whose clock is fast has seen a later moment of the payee.
    purser.step_clock(120_000);
    shop.once(&path(&bob, "/credits"), "b", json!({ "amount": 1 })).expect(201);
    purser.step_clock(-120_000);

    let send = json!({ "amount": 9, "to": { "user_id": bob } });
    shop.once(&path(&ada, "/transfers"), "t", send).expect(201);

    assert_eq!((balances(&shop, &ada).0, balances(&shop, &bob).0), (0, 1));
    let ended = shop.get(&path(&bob, "/entries?kind=expire")).expect(200)["items"][0].clone();
    assert_eq!((&ended["amount"], &ended["app_id"]), (&json!(9), &json!("shop")));
}

#[test]
fn a_hold_that_an_admin_has_captured_is_told_to_its_app_and_not_refunded_by_it() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    shop.once(&path(&ada, "/credits"), "c", json!({ "amount": 100 })).expect(201);
    let held = shop.once(&path(&ada, "/holds"), "h", json!({ "amount": 40 })).expect(201);
    let hold = id_of(&held, "hold");
    let capture = format!("/v1/admin/users/{ada}/wallet/holds/{hold}/capture");
    purser.admin().once(&capture, "p", json!({})).expect(201);

    let again = shop.once(&path(&ada, &format!("/holds/{hold}/release")), "r", json!({}));
    assert_eq!(again.refused(409), "already_resolved");
    let listed = shop.get(&path(&ada, "/entries?kind=capture")).expect(200)["items"][0].clone();
    assert_eq!((&listed["parent"], &listed["app_id"]), (&json!(hold), &json!("shop")));
    assert_eq!(listed["actor"], json!({ "kind": "operator", "id": null }));
    let entry = listed["id"].as_str().expect("an id");
    let refund = shop.once(&path(&ada, &format!("/entries/{entry}/refund")), "f", json!({}));
    assert_eq!(refund.refused(422), "not_refundable");
}

#[test]
fn what_a_post_does_not_look_at_is_refused_and_not_passed_over() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    shop.once(&path(&ada, "/credits"), "c", json!({ "amount": 100 })).expect(201);
    let debit = |who: &Principal| who.once(&path(&ada, "/debits"), "d", json!({ "amount": 1 }));

    assert_eq!(debit(&shop.with("If-Match", "\"old\"")).pointers(), ["If-Match"]);
    assert_eq!(balances(&shop, &ada).0, 100);
    debit(&shop).expect(201);
    // A body where none is expected is not passed over either.
    let unfreeze = format!("/v1/admin/users/{ada}/wallet/unfreeze");
    let why = purser.admin().once(&unfreeze, "u", json!({ "reason": "It was a mistake" }));
    assert_eq!(why.refused(422), "invalid");
    purser.admin().once(&unfreeze, "u", json!({})).expect(200);
}

#[test]
fn entries_are_paged_and_filtered_and_a_statement_agrees_with_itself() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, me) = shop.register("ada@example.com");
    let (bob, _) = shop.register("bob@example.com");
    shop.once(&path(&ada, "/credits"), "c", json!({ "amount": 1000 })).expect(201);
    for number in 0..7 {
        purser.step_clock(60_000);
        let body = json!({ "amount": 10 + number, "description": "=1+1", "reference": format!("order-{number}") });
        shop.once(&path(&ada, "/debits"), &format!("d{number}"), body).expect(201);
    }
    let list = |query: &str| me.get(&path("me", &format!("/entries?{query}"))).expect(200);

    let (mut seen, mut query) = (Vec::new(), "limit=3".to_owned());
    loop {
        let page = list(&query);
        seen.extend(
            page["items"].as_array().expect("items").iter().map(|item| item["seq"].as_i64()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("limit=3&cursor={cursor}");
        let elsewhere = shop.get(&path(&bob, &format!("/entries?{query}")));
        assert_eq!(elsewhere.refused(400), "invalid_cursor");
    }
    assert_eq!(seen, (1..=8).rev().map(Some).collect::<Vec<_>>());
    assert_eq!(list("kind=credit")["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list("reference=order-3")["items"][0]["amount"], 13);
    let between = list("from=2026-01-01T00:02:00Z&to=2026-01-01T00:04:00Z");
    assert_eq!(between["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(me.get(&path("me", "/entries?kind=gift")).pointers(), ["kind"]);

    let past = me.get(&path("me", "/balance?at=2026-01-01T00:02:30Z")).expect(200);
    assert_eq!((&past["balance"], &past["seq"]), (&json!(979), &json!(3)));
    let first = me.get(&path("me", "/balance?at=2025-01-01T00:00:00Z")).expect(200);
    assert_eq!((&first["balance"], &first["seq"]), (&json!(0), &json!(0)));
    assert_eq!(me.get(&path("me", "/balance?at=2099-01-01T00:00:00Z")).pointers(), ["at"]);

    let period = "/statement?from=2026-01-01T00:02:00Z&to=2026-01-01T00:04:00Z";
    let statement = me.get(&path("me", period)).expect(200);
    assert_eq!(
        (&statement["opening_balance"], &statement["closing_balance"]),
        (&json!(990), &json!(967))
    );
    let csv = me.get(&path("me", &format!("{period}&format=csv")));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let lines: Vec<_> = csv.text.lines().collect();
    assert_eq!(lines.len(), 5, "{}", csv.text);
    assert!(lines[1].contains("opening balance,,,990,"), "{}", csv.text);
    assert!(lines[2].contains("debit,11,-11,979,order-1,'=1+1,"), "{}", csv.text);
    assert!(lines[4].contains("closing balance,,,967,"), "{}", csv.text);
    purser.step_clock(3_600_000);
    let empty = me.get(&path("me", "/statement?from=2026-01-01T00:30:00Z")).expect(200);
    assert_eq!((&empty["opening_balance"], &empty["items"]), (&json!(909), &json!([])));
}

#[test]
fn what_is_written_about_an_operation_is_sealed_and_the_trail_carries_its_reference() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let body = json!({ "amount": 7, "description": "For Grace Hopper", "metadata": { "to": "Grace Hopper" }, "reference": "order-7" });
    shop.once(&path(&ada, "/credits"), "c", body).expect(201);

    let stored = purser.db_find("wallet_entries", bson::doc! {});
    assert!(stored[0].get_str("note").expect("a note").starts_with("s1."));
    for collection in ["wallet_entries", "user_audit_logs", "users", "idempotency"] {
        let text = format!("{:?}", purser.db_find(collection, bson::doc! {}));
        assert!(!text.contains("Hopper"), "{collection}");
    }
    let entry = &purser.db_entries(bson::doc! { "action": "wallet_credited" })[0];
    assert_eq!(entry.get_str("reference").ok(), Some("order-7"));
    assert_eq!(entry.get_str("module").ok(), Some("wallet"));
    assert_eq!(entry.get_i64("seq").ok(), stored[0].get_i64("trail_seq").ok());
}

#[test]
fn the_trail_entry_of_a_debit_stays_small_with_256_lots() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    for number in 0..256 {
        let body = json!({ "amount": 1000, "priority": 1 + number });
        shop.once(&path(&ada, "/credits"), &format!("c{number}"), body).expect(201);
    }
    // Another one like the first joins it; one of its own kind has no room.
    shop.once(&path(&ada, "/credits"), "joins", json!({ "amount": 1000, "priority": 1 }))
        .expect(201);
    let full = shop.once(&path(&ada, "/credits"), "full", json!({ "amount": 1, "priority": 999 }));
    assert_eq!(full.refused(409), "wallet_full");

    shop.once(&path(&ada, "/debits"), "d", json!({ "amount": 1500 })).expect(201);
    shop.once(&path(&ada, "/debits"), "e", json!({ "amount": 1500 })).expect(201);

    for entry in purser.db_entries(bson::doc! { "action": "wallet_debited" }) {
        let bytes = entry.to_vec().expect("BSON").len();
        assert!(bytes < 2048, "{bytes} bytes");
    }
    assert_eq!(balances(&shop, &ada).0, 254_000);
}

#[test]
fn a_sibling_moves_credits_inside_its_own_unit_once_for_each_reference() {
    let purser = Purser::start();
    let shop = shop(&purser);
    let (ada, _) = shop.register("ada@example.com");
    let user: UserId = ada.parse().expect("an id");
    let inner = &purser.inner;
    let purse: &'static dyn Purse = &wallet::Wallet;
    let bill = |amount: i64, reference: &str| {
        let grant = inner.gate.itself::<wallet::ExpireCredits>(job("test"), inner.context());
        Bill {
            warrant: grant.warrant(),
            amount: Credits::new(amount).expect("an amount"),
            module: "subscription",
            app: None,
            reference: reference.to_owned(),
            description: Some("Plan".to_owned()),
            ids: Series::new(&inner.chance, inner.clock.now()),
        }
    };
    let unit = |bill: Bill, body: fn(&mut Work, UserId, &Bill) -> Result<Receipt, Stop>| {
        let (warrant, hints) = (bill.warrant.clone(), purse.hints(user));
        let unit = inner.store.unit(warrant, hints, move |work| {
            let receipt = body(work, user, &bill)?;
            Ok((receipt.entry, receipt.balance_after))
        });
        purser.block_on(unit).map(|done| done.answer)
    };

    let gift = |work: &mut Work, user: UserId, bill: &Bill| {
        let (effective_at, expires_at) = (work.now(), None);
        let gift = Gift { category: GiftCategory::Plan, effective_at, expires_at };
        wallet::Wallet.give(work, user, bill, gift)
    };
    let take = |work: &mut Work, user: UserId, bill: &Bill| {
        let before = wallet::Wallet.available(work, user)?;
        let receipt = wallet::Wallet.take(work, user, bill)?;
        assert_eq!(before - bill.amount.get(), receipt.balance_after);
        Ok(receipt)
    };
    let given = unit(bill(100, "sub:1:grant"), gift).expect("given");
    let taken = unit(bill(30, "sub:1:1"), take).expect("taken");

    assert_eq!((given.1, taken.1), (100, 70));
    let again = unit(bill(30, "sub:1:1"), take).expect_err("it was taken before");
    assert_eq!(again.code(), Code::DuplicateReference);
    let facts = again.facts().expect("facts");
    assert_eq!(facts.entry_id, Some(taken.0.to_string()));
    let short = unit(bill(71, "sub:1:2"), take).expect_err("there is less");
    assert_eq!((short.code(), short.facts().and_then(|facts| facts.short_by)), (SHORT, Some(1)));
    let back = bill(10, "sub:1:back");
    let (warrant, hints) = (back.warrant.clone(), purse.hints(user));
    let refund = inner
        .store
        .unit(warrant, hints, move |work| Ok(purse.put_back(work, taken.0, &back)?.balance_after));
    assert_eq!(purser.block_on(refund).expect("put back").answer, 80);
    assert_eq!(balances(&shop, &ada), (80, 0, 80));
}
