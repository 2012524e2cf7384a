//! Exporting a person: everything that was ever said of them, nothing secret, nothing of anybody else.

use bson::{Bson, doc};
use serde_json::{Value, json};

use crate::harness::{Principal, Purser};

/// What is said of the person through the API, each in its own place.
const WORDS: &[&str] = &[
    "lovelace@example.com",
    "+12345678901",
    "countess",
    "Augusta",
    "Byron-King",
    "Europe/Oslo",
    "ada_at_shop",
    "Enchantress",
    "7.8.9",
    "Nick-of-hers",
    "avatar-of-hers",
    "Difference-Engine",
    "her-preference",
    "Second-Toy",
    "Bernoulli",
    "Analytical-Engine",
    "order-of-hers",
    "invoice-of-hers",
    "seen-by-an-admin",
    "asked-to-be-frozen",
    "Ada-at-the-partner",
    "toy-at-the-partner",
    "ADA-1",
];
/// What she was called before.
const EARLIER: &str = "Adelaide";
const PASSWORD: &str = "correct horse battery";
/// What is somebody else's.
const OTHERS: &[&str] =
    &["babbage@example.com", "+12345678902", "Charles", "charles_at_shop", "Jacquard"];

struct Stage {
    purser: Purser,
    admin: Principal,
    shop: Principal,
    ada: String,
    me: Principal,
    /// Keys, as they were shown once.
    keys: Vec<String>,
}

fn stage() -> Stage {
    let purser = Purser::start();
    let admin = purser.admin();
    let module = json!({
        "module_name": "loyalty", "display_name": "Loyalty",
        "schema": { "nickname": "string?" }, "defaults": {},
    });
    admin.post("/v1/admin/modules", module).expect(201);
    let permissions = json!([
        "read",
        "write",
        "wallet_access",
        "loyalty_access",
        "subscription_access",
        "referrals_access",
    ]);
    let fields = json!({
        "permissions": permissions, "roles": [{ "name": "helper", "permissions": [] }],
        "may_issue": { "categories": ["promo"], "per_day": 1_000_000 },
    });
    let shop = purser.app_with("shop", fields.clone());
    let games = purser.app_with("games", fields);
    let (ada, me) = shop.register_with(json!({
        "email": "lovelace@example.com", "verified": ["email", "phone"], "username": "countess",
        "password": PASSWORD,
        "profile": { "first_name": EARLIER, "last_name": "Byron-King", "phone": "+12345678901",
            "timezone": "Europe/Oslo" },
        "connection": { "app_username": "ada_at_shop", "app_display_name": "Enchantress",
            "app_version": "7.8.9", "roles": ["helper"],
            "app_profile": { "nickname": "Nick-of-hers",
                "avatar_url": "https://example.com/avatar-of-hers.png",
                "preferences": { "colour": "her-preference" },
                "custom_fields": { "toy": "Difference-Engine" } } },
    }));
    let keys = [shop.key(), games.key(), me.key(), admin.key()].map(str::to_owned).to_vec();
    let stage = Stage { purser, admin, shop, ada, me, keys };
    stage.live(&games);
    stage
}

impl Stage {
    /// What happens to her.
    fn live(&self, games: &Principal) {
        let Self { admin, shop, ada, .. } = self;
        let (key, there) =
            (|name: &str| shop.with("Idempotency-Key", name), format!("/v1/users/{ada}"));
        shop.patch(&there, json!({ "profile": { "first_name": "Augusta" } })).expect(200);
        shop.patch(&format!("{there}/modules/loyalty"), json!({ "nickname": "Bernoulli" }))
            .expect(200);
        let known = json!({
            "email": "lovelace@example.com", "verified": ["email"],
            "connection": { "app_profile": { "custom_fields": { "toy": "Second-Toy" } } },
        });
        games.post("/v1/users", known).expect(201);
        let credit = json!({
            "amount": 100, "category": "promo", "reference": "order-of-hers",
            "description": "Analytical-Engine", "metadata": { "invoice": "invoice-of-hers" },
        });
        key("credit").post(&format!("{there}/wallet/credits"), credit).expect(201);
        let about = format!("/v1/admin/users/{ada}");
        let reason = json!({ "reason": "seen-by-an-admin" });
        admin.post(&format!("{about}/suspend"), reason.clone()).expect(200);
        admin.post(&format!("{about}/reactivate"), reason).expect(200);
        let plan = json!({
            "plan": "premium", "display_name": "Premium", "price": 10,
            "period": { "unit": "month", "count": 1 }, "apps": ["shop"],
        });
        admin.post("/v1/admin/plans", plan).expect(201);
        key("plan")
            .post(&format!("{there}/subscription"), json!({ "plan": "premium" }))
            .expect(201);
        let partner = self.purser.app_with("partner", json!({ "trust": "third_party" }));
        let claimed = json!({
            "email": "lovelace@example.com", "profile": { "first_name": "Ada-at-the-partner" },
            "connection": { "app_profile": { "custom_fields": { "toy": "toy-at-the-partner" } } },
        });
        partner.post("/v1/users", claimed).expect(202);
        self.meet_somebody();
        let frozen = json!({ "reason": "asked-to-be-frozen" });
        let once = admin.with("Idempotency-Key", "freeze");
        once.post(&format!("{about}/wallet/freeze"), frozen).expect(200);
    }

    /// Somebody comes by her code, gets credits from her, and is mistaken for her.
    fn meet_somebody(&self) {
        let Self { admin, shop, ada, me, .. } = self;
        let programme = json!({
            "programme": "standard", "display_name": "A programme", "event": "first_debit",
            "referrer_credits": 1,
        });
        admin.post("/v1/admin/programmes", programme).expect(201);
        let once = me.with("Idempotency-Key", "code");
        once.post("/v1/users/me/referrals/code", json!({ "code": "ADA-1" })).expect(201);
        self.purser.step_clock(1000);
        let (bob, he) = shop.register_with(json!({
            "email": "babbage@example.com", "verified": ["email", "phone"],
            "profile": { "first_name": "Charles", "phone": "+12345678902" },
            "connection": { "app_username": "charles_at_shop",
                "app_profile": { "custom_fields": { "loom": "Jacquard" } } },
        }));
        let redeem = json!({ "code": "ADA-1", "device": "his" });
        let once = he.with("Idempotency-Key", "redeem");
        once.post("/v1/users/me/referrals/redeem", redeem).expect(201);
        let transfer = json!({ "amount": 5, "to": { "user_id": bob } });
        let once = shop.with("Idempotency-Key", "transfer");
        once.post(&format!("/v1/users/{ada}/wallet/transfers"), transfer).expect(201);
        let both = json!({
            "email": "lovelace@example.com", "verified": ["email", "phone"],
            "profile": { "first_name": "Charles", "phone": "+12345678902" },
        });
        shop.post("/v1/users", both).expect(202);
    }

    fn export(&self) -> Value {
        self.admin.get(&self.path()).expect(200)
    }

    fn path(&self) -> String {
        format!("/v1/admin/users/{}/export?reason=Ticket%204711", self.ada)
    }

    fn exports(&self) -> Vec<bson::Document> {
        self.purser.db_entries(doc! { "action": "user_exported" })
    }
}

fn found(words: &[&'static str], document: &Value) -> Vec<&'static str> {
    let text = document.to_string();
    words.iter().filter(|word| text.contains(**word)).copied().collect()
}

/// What is stored sealed, hashed or as a MAC, of whomever.
fn secrets(purser: &Purser) -> Vec<String> {
    let mut secrets = Vec::new();
    let places = [
        ("users", &["password"][..]),
        ("user_apps", &["api_key", "key_mac"]),
        ("user_keys", &["wrapped"]),
        ("registrations", &["sealed", "fingerprint"]),
        ("wallet_entries", &["note"]),
    ];
    for (collection, fields) in places {
        for record in purser.db_find(collection, doc! {}) {
            secrets
                .extend(fields.iter().filter_map(|it| record.get_str(it).ok().map(str::to_owned)));
        }
    }
    for user in purser.db_find("users", doc! {}) {
        let referrals = user.get_document("modules").and_then(|it| it.get_document("referrals"));
        let recent = referrals.and_then(|it| it.get_array("recent")).cloned().unwrap_or_default();
        let macs = recent.iter().filter_map(Bson::as_document).flat_map(|place| {
            ["address", "device"].into_iter().filter_map(|mac| place.get_str(mac).ok())
        });
        secrets.extend(macs.map(str::to_owned));
    }
    secrets
}

#[test]
fn an_export_holds_whatever_was_said_of_the_person_and_nothing_secret_or_of_anybody_else() {
    let stage = stage();
    let secrets = secrets(&stage.purser);
    assert!(secrets.len() > 10, "what must not be found is there");

    let export = stage.export();

    assert_eq!(found(WORDS, &export), WORDS);
    assert_eq!(found(&[EARLIER], &export["trail"]), [EARLIER], "the trail is opened");
    assert_eq!(found(OTHERS, &export), Vec::<&str>::new());
    let text = export.to_string();
    for secret in secrets.iter().chain(&stage.keys) {
        assert!(!text.contains(secret.as_str()), "{secret} is in the export");
    }
    for secret in [PASSWORD, "$argon2", "[masked]", "v1.m1."] {
        let only = export["trail"].to_string().matches("[masked]").count();
        let there = text.matches(secret).count();
        assert!(there == 0 || secret == "[masked]" && there == only, "{secret} is in the export");
    }
    let operators = export["trail"].as_array().expect("a list").iter();
    let mut operators = operators.filter(|entry| entry["actor"]["kind"] == "operator").peekable();
    assert!(operators.peek().is_some(), "an admin has left entries");
    assert!(operators.all(|entry| entry["ip_address"].is_null()), "where an admin was");
}

#[test]
fn an_export_has_each_part_in_its_place() {
    let stage = stage();

    let export = stage.export();

    assert_eq!(export["user_id"], json!(stage.ada));
    assert_eq!(export["person"]["status"], "active");
    assert_eq!(export["person"]["has_password"], true);
    assert_eq!(export["person"]["identities"].as_array().expect("a list").len(), 2);
    assert_eq!(export["customer"]["accounts"].as_array().expect("a list").len(), 1);
    let apps = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|it| it["app_id"].as_str().expect("an app").to_owned()).collect()
    };
    assert_eq!(apps(&export["connections"]), ["shop", "games"]);
    assert_eq!(export["connections"][0]["roles"], json!(["helper"]));
    assert!(export["connections"][0]["key_hint"].is_string());
    assert_eq!(apps(&export["registrations"]), ["partner", "shop"]);
    let several = &export["registrations"][1];
    let hers = json!([{ "kind": "email", "value": "lovelace@example.com" }]);
    assert_eq!((&several["identifiers"], &several["request"]), (&hers, &Value::Null));
    assert_eq!(export["subscription"]["plan"], "premium");
    assert_eq!(export["bills"].as_array().expect("a list").len(), 1);
    let changes = export["wallet_entries"].as_array().expect("a list").iter();
    let changes: Vec<_> = changes.map(|it| it["balance_change"].as_i64().expect("one")).collect();
    assert_eq!(changes, [100, -10, -5]);
    assert_eq!(export["referrals"]["codes"][0]["referral_code"], "ADA1");
    assert_eq!(export["referrals"]["own"], json!([]));
    let brought = &export["referrals"]["brought"];
    assert_eq!(brought.as_array().expect("a list").len(), 1);
    assert!(brought[0]["flags"].is_null(), "what is held against somebody else");
    let numbers = export["trail"].as_array().expect("a list").iter();
    let numbers: Vec<_> = numbers.map(|it| it["seq"].as_i64().expect("a number")).collect();
    assert_eq!(numbers, (1..=i64::try_from(numbers.len()).expect("few")).collect::<Vec<_>>());
    assert_eq!(export["security_trail"], json!([]), "nothing was seen of her yet");
}

#[test]
fn what_was_seen_of_a_person_and_changed_nothing_is_in_their_export_too() {
    let stage = stage();
    let wrong = json!({ "identifier": "lovelace@example.com", "password": "wrong horse" });
    stage.shop.post("/v1/auth/login", wrong).refused(401);
    stage.purser.block_on(stage.purser.inner.write_security_events()).expect("written");

    let seen = stage.export()["security_trail"].clone();

    let seen: Vec<_> = seen.as_array().expect("a list").iter().collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0]["action"], "sign_in_failed");
    assert_eq!(seen[0]["subject"], json!(format!("security:user.{}", stage.ada)));
}

#[test]
fn each_export_leaves_an_entry_that_says_who_was_given_it_and_why() {
    let stage = stage();
    let before = stage.me.get("/v1/users/me").expect(200);

    let first = stage.export();
    stage.export();

    let entries = stage.exports();
    assert_eq!(entries.len(), 2);
    let operator = stage.purser.db_find("operators", doc! { "name": "Admin" });
    let ids: Vec<_> =
        operator.iter().map(|it| it.get_object_id("_id").expect("an id").to_hex()).collect();
    for entry in &entries {
        assert_eq!(entry.get_str("reference").ok(), Some("Ticket 4711"));
        assert_eq!(entry.get_object_id("user_id").expect("whose").to_hex(), stage.ada);
        let actor = entry.get_document("actor").expect("an actor");
        let id = actor.get_str("id").expect("an id");
        assert!(ids.iter().any(|known| known == id), "{actor}");
    }
    let newest = first["trail"].as_array().and_then(|trail| trail.last()).expect("an entry");
    assert_eq!(newest["action"], "user_exported");
    assert_eq!(stage.me.get("/v1/users/me").expect(200), before, "no app sees it");
}

#[test]
fn nobody_but_an_admin_is_given_an_export_and_none_of_nobody() {
    let stage = stage();
    let path = stage.path();

    for other in [&stage.shop, &stage.me, &stage.purser.auditor()] {
        assert_eq!(other.get(&path).refused(403), "wrong_credential");
    }
    assert_eq!(stage.purser.nobody().get(&path).refused(401), "unauthenticated");
    let admin = &stage.admin;
    let nobody = "/v1/admin/users/0123456789abcdef01234567/export";
    assert_eq!(admin.get(nobody).refused(404), "not_found");
    assert_eq!(admin.get("/v1/admin/users/ada/export").refused(404), "not_found");
    let long = format!("/v1/admin/users/{}/export?reason={}", stage.ada, "a".repeat(256));
    assert_eq!(admin.get(&long).refused(422), "invalid");
    assert!(stage.exports().is_empty());
}

#[test]
fn of_an_erased_person_an_export_shows_what_is_left_and_leaves_no_entry() {
    let stage = stage();
    let about = format!("/v1/admin/users/{}", stage.ada);
    let once = stage.admin.with("Idempotency-Key", "unfreeze");
    once.post(&format!("{about}/wallet/unfreeze"), json!({})).expect(200);
    let body = json!({ "reason": "Ticket 4712", "credits": "forfeit" });
    stage.admin.post(&format!("{about}/erase"), body).expect(200);

    let export = stage.export();

    assert_eq!(export["person"]["status"], "erased");
    // Versions, codes and what apps call their operations are nobody's words; requests of apps end by
    // themselves.
    let left = ["7.8.9", "order-of-hers", "ADA-1"];
    let mut without_registrations = export.clone();
    without_registrations["registrations"] = Value::Null;
    assert_eq!(found(WORDS, &without_registrations), left);
    assert!(stage.exports().is_empty());
}

#[test]
fn a_long_ledger_is_exported_to_its_last_line() {
    let stage = stage();
    let once = stage.admin.with("Idempotency-Key", "unfreeze");
    once.post(&format!("/v1/admin/users/{}/wallet/unfreeze", stage.ada), json!({})).expect(200);
    for number in 0..220 {
        if number % 50 == 0 {
            stage.purser.step_clock(60_000);
        }
        let once = stage.shop.with("Idempotency-Key", &format!("debit-{number}"));
        let body = json!({ "amount": 1, "category": "promo" });
        once.post(&format!("/v1/users/{}/wallet/credits", stage.ada), body).expect(201);
    }

    let export = stage.export();

    let lines = export["wallet_entries"].as_array().expect("a list");
    let numbers: Vec<_> = lines.iter().map(|it| it["seq"].as_i64().expect("a number")).collect();
    assert_eq!(numbers, (1..=223).collect::<Vec<_>>());
    let sum: i64 = lines.iter().map(|it| it["balance_change"].as_i64().expect("one")).sum();
    assert_eq!(export["person"]["modules"]["wallet"]["balance"], json!(sum));
}
