//! Wallets: credits that cannot be lost, doubled or overspent.

use serde_json::{Value, json};

use crate::harness::{Principal, Purser};

/// An app that may issue what it wants, and a person of it.
fn shop(purser: &Purser) -> Principal {
    issuing(purser, "shop")
}

fn issuing(purser: &Purser, id: &str) -> Principal {
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
