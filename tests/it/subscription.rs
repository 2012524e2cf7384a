//! Subscriptions: paid for once, for as long as was paid for, whatever is down meanwhile.

use bson::{Document, doc};
use purser::kernel::time::DAY_MS;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, Reply};

const HOUR_MS: i64 = 3_600_000;
const ALL: [&str; 4] = ["read", "write", "wallet_access", "subscription_access"];

fn seller(purser: &Purser, id: &str) -> Principal {
    let limits = json!({ "requests_per_minute": 1_000_000, "requests_per_hour": 1_000_000 });
    purser.app_with(
        id,
        json!({
            "may_issue": { "categories": ["paid"], "per_day": 1_000_000_000 },
            "permissions": ALL, "rate_limits": limits, "total_rate_limits": limits,
        }),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "what is sent is written where it is sent")]
fn plan(name: &str, price: i64, period: Value, more: Value) -> Value {
    let mut plan = json!({ "plan": name, "display_name": name, "price": price, "period": period,
        "features": [format!("of_{name}"), "common"], "apps": ["shop"] });
    for (field, value) in more.as_object().expect("fields") {
        plan[field] = value.clone();
    }
    plan
}

fn month() -> Value {
    json!({ "unit": "month", "count": 1 })
}

/// A person of the shop with so many credits, and a principal that works on their subscription.
struct Ada {
    shop: Principal,
    id: String,
    credits: std::cell::Cell<u32>,
}

impl Ada {
    fn at(shop: &Principal, email: &str, credits: i64) -> Self {
        let (id, _) = shop.register(email);
        let ada = Self { shop: shop.clone(), id, credits: std::cell::Cell::new(0) };
        ada.credit(credits);
        ada
    }

    fn credit(&self, amount: i64) {
        if amount > 0 {
            let nth = self.credits.replace(self.credits.get() + 1);
            let key = format!("credit-{}-{nth}", self.id);
            let body = json!({ "amount": amount, "category": "paid" });
            let path = format!("/v1/users/{}/wallet/credits", self.id);
            self.shop.with("Idempotency-Key", &key).post(&path, body).expect(201);
        }
    }

    fn balance(&self) -> i64 {
        let wallet = self.shop.get(&format!("/v1/users/{}/wallet", self.id)).expect(200);
        wallet["wallet"]["balance"].as_i64().expect("a number")
    }

    fn path(&self, below: &str) -> String {
        format!("/v1/users/{}/subscription{below}", self.id)
    }

    fn post(&self, below: &str, key: &str, body: Value) -> Reply {
        self.shop.with("Idempotency-Key", key).post(&self.path(below), body)
    }

    fn start(&self, plan: &str) -> Value {
        self.post("", &format!("start-{plan}"), json!({ "plan": plan })).expect(201)
    }

    fn state(&self) -> Value {
        self.shop.get(&self.path("")).expect(200)["subscription"].clone()
    }

    fn is_entitled(&self, feature: &str) -> bool {
        let path = self.path(&format!("/entitlements?feature={feature}"));
        self.shop.get(&path).expect(200)["entitled"].as_bool().expect("yes or no")
    }
}

fn renew(purser: &Purser) {
    purser.block_on(purser.inner.renew_subscriptions()).expect("renews");
}

fn charges(purser: &Purser) -> Vec<Document> {
    purser.db_find("wallet_entries", doc! { "scope": "module:subscription", "kind": "debit" })
}

#[test]
fn a_plan_is_started_changed_canceled_resumed_and_renewed() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), seller(&purser, "shop"));
    admin.post("/v1/admin/plans", plan("basic", 100, month(), json!({}))).expect(201);
    admin
        .post("/v1/admin/plans", plan("premium", 300, month(), json!({ "credits": 50 })))
        .expect(201);
    let ada = Ada::at(&shop, "ada@example.com", 1000);

    let rehearsed = shop.post(&ada.path("?dry_run=true"), json!({ "plan": "basic" })).expect(200);
    assert_eq!((rehearsed["credits"]["charged"].clone(), ada.state()), (json!(100), Value::Null));
    let started = ada.start("basic");
    assert_eq!(started["subscription"]["status"], "active");
    assert_eq!(
        started["credits"],
        json!({ "charged": 100, "refunded": 0, "granted": 0, "available_after": 900 })
    );
    assert_eq!(started["subscription"]["current_period"]["end"], "2026-02-01T00:00:00.000Z");
    assert!(
        ada.is_entitled("of_basic") && ada.is_entitled("common") && !ada.is_entitled("of_premium")
    );
    assert_eq!(ada.post("", "again", json!({ "plan": "basic" })).refused(409), "wrong_state");

    // Half of January is left: half of 100 comes back, and half of 300 is taken.
    purser.step_clock(31 * DAY_MS / 2);
    let body = json!({ "plan": "premium", "when": "now" });
    let shown = shop.post(&ada.path("/change?dry_run=true"), body.clone()).expect(200);
    let changed = ada.post("/change", "change", body.clone()).expect(201);
    assert_eq!(changed, shown);
    assert_eq!(
        changed["credits"],
        json!({ "charged": 150, "refunded": 50, "granted": 0, "available_after": 800 })
    );
    let again = ada.post("/change", "change", body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((again.expect(201), ada.balance()), (changed, 800));
    assert!(ada.is_entitled("of_premium"));

    // Back to basic at the end of the period, after a cancellation that was taken back.
    assert_eq!(
        ada.post("/cancel", "k1", json!({})).expect(201)["subscription"]["status"],
        "canceled"
    );
    assert_eq!(
        ada.post("/resume", "k2", json!({})).expect(201)["subscription"]["status"],
        "active"
    );
    let later = ada.post("/change", "k3", json!({ "plan": "basic" })).expect(201);
    assert_eq!(later["subscription"]["pending_change"], json!({ "plan": "basic", "price": 100 }));
    purser.step_clock(31 * DAY_MS / 2);
    // The next period's features hold from its beginning, whether or not anybody has billed it.
    assert!(ada.is_entitled("of_basic") && !ada.is_entitled("of_premium"));
    renew(&purser);
    let state = ada.state();
    assert_eq!((&state["plan"], &state["seq"]), (&json!("basic"), &json!(2)));
    assert_eq!(
        state["current_period"],
        json!({ "start": "2026-02-01T00:00:00.000Z", "end": "2026-03-01T00:00:00.000Z" })
    );
    assert_eq!(ada.balance(), 700);
    // Whoever has the permission sees it in the person's view too.
    let view = shop.get(&format!("/v1/users/{}", ada.id)).expect(200);
    assert_eq!(view["shared"]["modules"]["subscription"]["plan"], "basic");
    assert_eq!(view["shared"]["modules"]["subscription"]["expires_at"], "2026-03-01T00:00:00.000Z");
}

#[test]
fn a_bill_is_given_back_by_changing_the_subscription_alone_and_shown_to_its_app_alone() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), seller(&purser, "shop"));
    let more = json!({ "credits": 50 });
    admin.post("/v1/admin/plans", plan("gold", 100, month(), more)).expect(201);
    let ada = Ada::at(&shop, "ada@example.com", 1000);
    let bank = seller(&purser, "bank");
    bank.register("ada@example.com");
    ada.start("gold");
    purser.step_clock(32 * DAY_MS);
    renew(&purser);

    let lines = |who: &Principal| {
        let path = format!("/v1/users/{}/wallet/entries?kind=debit", ada.id);
        who.get(&path).expect(200)["items"].as_array().expect("items").clone()
    };
    let bills = lines(&shop);
    assert_eq!(bills.len(), 2);
    for bill in &bills {
        let id = bill["id"].as_str().expect("an id");
        let path = format!("/v1/users/{}/wallet/entries/{id}/refund", ada.id);
        let refund = shop.with("Idempotency-Key", id).post(&path, json!({}));
        assert_eq!(refund.refused(422), "not_refundable");
    }
    assert_eq!(bills[0]["actor"]["kind"], "system", "the worker's");
    assert_eq!(lines(&bank), [] as [Value; 0]);
}

#[test]
fn a_plan_is_sold_by_its_apps_alone_and_seen_by_all_that_are_permitted() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), seller(&purser, "shop"));
    let other = seller(&purser, "other");
    let blind = purser.app("blind");
    admin.post("/v1/admin/plans", plan("basic", 0, month(), json!({}))).expect(201);
    let ada = Ada::at(&shop, "ada@example.com", 0);
    for app in [&other, &blind] {
        app.register("ada@example.com");
    }

    let credits = std::cell::Cell::new(0);
    let elsewhere = Ada { shop: other.clone(), id: ada.id.clone(), credits };
    assert_eq!(elsewhere.post("", "s", json!({ "plan": "basic" })).refused(404), "not_found");
    assert_eq!(ada.post("", "n", json!({ "plan": "nothing" })).refused(404), "not_found");
    assert_eq!(other.get("/v1/plans").expect(200)["items"], json!([]));
    assert_eq!(shop.get("/v1/plans").expect(200)["items"][0]["plan"], "basic");
    ada.start("basic");

    assert!(elsewhere.is_entitled("common"), "all permitted apps see it");
    let unseen = blind.get(&ada.path("")).refused(403);
    assert_eq!(unseen, "permission_denied");
    // Retired: nobody starts it, who has it keeps it.
    let retire = json!({ "status": "retired", "price": 9 });
    admin.with("If-Match", "*").patch("/v1/admin/plans/basic", retire).expect(200);
    let eve = Ada::at(&shop, "eve@example.com", 0);
    assert_eq!(eve.post("", "s", json!({ "plan": "basic" })).refused(404), "not_found");
    purser.step_clock(31 * DAY_MS);
    renew(&purser);
    assert_eq!((ada.state()["seq"].clone(), ada.state()["price"].clone()), (json!(2), json!(0)));
}

#[test]
fn who_cannot_pay_is_past_due_pays_at_once_when_credits_come_and_is_out_after_the_grace() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), seller(&purser, "shop"));
    admin.post("/v1/admin/plans", plan("basic", 100, month(), json!({}))).expect(201);
    let (ada, eve) =
        (Ada::at(&shop, "ada@example.com", 100), Ada::at(&shop, "eve@example.com", 100));
    ada.start("basic");
    eve.start("basic");
    let poor = Ada::at(&shop, "poor@example.com", 99);
    let refused = poor.post("", "s", json!({ "plan": "basic" }));
    assert_eq!(refused.body["short_by"], 1);
    assert_eq!(refused.refused(402), "insufficient_credits");

    purser.step_clock(31 * DAY_MS);
    renew(&purser);
    let state = ada.state();
    assert_eq!((&state["status"], &state["owes"]), (&json!("past_due"), &json!(100)));
    assert!(ada.is_entitled("of_basic"), "for the grace");
    let entries = purser.db_entries(doc! {}).len();
    renew(&purser);
    assert_eq!(
        purser.db_entries(doc! {}).len(),
        entries,
        "nothing is due until an hour has gone by"
    );

    // Credits come between two attempts, from wherever: the next round bills, without waiting.
    purser.step_clock(HOUR_MS / 2);
    ada.credit(100);
    renew(&purser);
    let state = ada.state();
    assert_eq!((&state["status"], &state["seq"], ada.balance()), (&json!("active"), &json!(2), 0));
    assert_eq!(state["current_period"]["start"], "2026-02-01T00:00:00.000Z");

    // Four more attempts, then it is over, by the clock alone.
    for hours in [1, 6, 24, 72] {
        let start = purser.now().timestamp_millis();
        let due = eve_due(&purser, &eve);
        purser.step_clock(due - start);
        assert_eq!((due - first_end()) / HOUR_MS, hours);
        renew(&purser);
    }
    purser.step_clock(first_end() + 7 * DAY_MS - 1 - purser.now().timestamp_millis());
    assert!(eve.is_entitled("of_basic"));
    purser.step_clock(1);
    assert!(!eve.is_entitled("of_basic"), "no worker has come by");
    assert_eq!(eve.state()["status"], "expired");
    renew(&purser);
    let stored = purser.db_find("users", doc! { "modules.subscription.status": "expired" });
    assert_eq!(stored.len(), 1);
    eve.credit(100);
    renew(&purser);
    assert_eq!((eve.balance(), charges(&purser).len()), (100, 3), "what is over is not billed");
    eve.post("", "anew", json!({ "plan": "basic" })).expect(201);
}

fn first_end() -> i64 {
    let end = purser::kernel::time::parse_rfc3339("2026-02-01T00:00:00Z");
    end.expect("a time").timestamp_millis()
}

fn eve_due(purser: &Purser, eve: &Ada) -> i64 {
    let id = bson::oid::ObjectId::parse_str(&eve.id).expect("an id");
    let user = purser.db_find("users", doc! { "_id": id }).remove(0);
    let part = user.get_document("modules").and_then(|it| it.get_document("subscription"));
    part.and_then(|it| it.get_datetime("due_at")).expect("a time").timestamp_millis()
}

#[test]
fn a_worker_that_was_down_neither_gives_nor_takes_anything() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), seller(&purser, "shop"));
    let daily = json!({ "unit": "day", "count": 1 });
    admin.post("/v1/admin/plans", plan("daily", 10, daily, json!({ "credits": 2 }))).expect(201);
    let (ada, eve) =
        (Ada::at(&shop, "ada@example.com", 1000), Ada::at(&shop, "eve@example.com", 1000));
    ada.start("daily");
    eve.start("daily");

    // Down for five days: all of them were within the grace, and are billed one by one.
    purser.step_clock(5 * DAY_MS + HOUR_MS);
    assert!(ada.is_entitled("of_daily"));
    renew(&purser);
    assert_eq!(ada.state()["seq"], 6);
    let refs: std::collections::BTreeSet<_> = charges(&purser)
        .iter()
        .map(|it| it.get_str("reference").expect("a text").to_owned())
        .collect();
    assert_eq!(refs.len(), 12);
    // What an operation finds due it does first.
    purser.step_clock(DAY_MS);
    let canceled = ada.post("/cancel", "k", json!({})).expect(201);
    assert_eq!(
        (&canceled["credits"]["charged"], &canceled["subscription"]["seq"]),
        (&json!(10), &json!(7))
    );
    // Down for weeks: it is over, as it was shown.
    purser.step_clock(30 * DAY_MS);
    assert!(!eve.is_entitled("of_daily"));
    let before = eve.balance();
    renew(&purser);
    assert_eq!(
        (eve.state()["status"].clone(), eve.state()["owes"].clone()),
        (json!("expired"), Value::Null)
    );
    assert!(eve.balance() <= before, "credits of the plan may have ended");
    assert_eq!(charges(&purser).len(), 13);
}

#[test]
fn a_trial_is_had_once_and_ends_in_the_persons_own_time_zone() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), seller(&purser, "shop"));
    let trial = plan("basic", 100, month(), json!({ "trial_days": 30 }));
    admin.post("/v1/admin/plans", trial).expect(201);
    let mut body = crate::harness::person("ada@example.com");
    body["profile"]["timezone"] = json!("Pacific/Kiritimati");
    let (id, _) = shop.register_with(body);
    let ada = Ada { shop, id, credits: std::cell::Cell::new(0) };
    ada.credit(150);

    let started = ada.start("basic");
    assert_eq!(
        (&started["subscription"]["status"], &started["credits"]["charged"]),
        (&json!("trialing"), &json!(0))
    );
    // It is the 1st of January, 14:00, over there: the trial ends on the 31st, and February has none.
    purser.step_clock(30 * DAY_MS);
    renew(&purser);
    let state = ada.state();
    assert_eq!((&state["status"], &state["seq"]), (&json!("active"), &json!(1)));
    assert_eq!(state["current_period"]["end"], "2026-02-28T00:00:00.000Z");
    ada.post("/cancel", "k", json!({})).expect(201);
    purser.step_clock(31 * DAY_MS);
    assert!(!ada.is_entitled("common"));
    let refused = ada.post("", "anew", json!({ "plan": "basic" }));
    assert_eq!(
        (refused.body["short_by"].clone(), refused.refused(402)),
        (json!(50), "insufficient_credits".to_owned())
    );
}

#[test]
fn two_nodes_that_renew_at_once_bill_each_period_once() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), seller(&purser, "shop"));
    admin.post("/v1/admin/plans", plan("basic", 10, month(), json!({ "credits": 1 }))).expect(201);
    let people: Vec<_> =
        (0..40).map(|n| Ada::at(&shop, &format!("p{n}@example.com"), 100)).collect();
    for person in &people {
        person.start("basic");
    }
    let other = purser.beside("other");
    purser.step_clock(31 * DAY_MS);

    let (one, two) = purser.block_on(async {
        tokio::join!(purser.inner.renew_subscriptions(), other.inner.renew_subscriptions())
    });

    one.and(two).expect("both renew");
    assert_eq!(charges(&purser).len(), 80);
    for person in &people {
        assert_eq!((person.balance(), person.state()["seq"].clone()), (81, json!(2)));
    }
    let holds = |node: &Purser| {
        let held = node.inner.store.hold_post("renewals", std::time::Duration::from_secs(9));
        purser.block_on(held).expect("an answer")
    };
    assert_eq!((holds(&purser), holds(&other), holds(&purser)), (true, false, true));
    purser.step_clock(10_000);
    assert_eq!((holds(&other), holds(&purser)), (true, false));
    drop(other);
}

#[test]
fn plans_are_checked_and_changed_only_by_whoever_has_seen_them() {
    let purser = Purser::start();
    let admin = purser.admin();
    let made = admin.post("/v1/admin/plans", plan("basic", 5, month(), json!({})));
    assert_eq!(made.header("etag"), Some("\"1\""));
    made.expect(201);
    assert_eq!(
        admin.post("/v1/admin/plans", plan("basic", 5, month(), json!({}))).refused(409),
        "already_exists"
    );
    let wrong = json!({ "plan": "x", "display_name": " ", "price": -1, "trial_days": 400,
        "period": { "unit": "month", "count": 367 }, "features": ["Not So"], "apps": ["shop", "shop"] });
    let refused = admin.post("/v1/admin/plans", wrong);
    let mut pointers = refused.pointers();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/apps/1",
            "/display_name",
            "/features/0",
            "/period/count",
            "/plan",
            "/price",
            "/trial_days"
        ]
    );
    assert_eq!(refused.refused(422), "invalid");
    let patch = json!({ "price": 6 });
    assert_eq!(
        admin.patch("/v1/admin/plans/basic", patch.clone()).refused(428),
        "precondition_required"
    );
    let stale = admin.with("If-Match", "\"9\"").patch("/v1/admin/plans/basic", patch.clone());
    assert_eq!(stale.refused(412), "revision_mismatch");
    let changed = admin.with("If-Match", "\"1\"").patch("/v1/admin/plans/basic", patch);
    assert_eq!(changed.header("etag"), Some("\"2\""));
    assert_eq!(changed.expect(200)["price"], 6);
    assert_eq!(admin.get("/v1/admin/plans").expect(200)["items"][0]["price"], 6);
    assert_eq!(admin.get("/v1/admin/plans/nothing").refused(404), "not_found");
}
