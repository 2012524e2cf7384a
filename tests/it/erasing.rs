//! Erasing: nothing of the person is left that could be read, and the trail is proved as before.

use bson::{Bson, doc};
use serde_json::{Value, json};

use crate::command_line::{KEY, command_with};
use crate::harness::{Principal, Purser, SIGNING_KEY};

/// What must be found nowhere afterwards: an address, a number, names, an app's own fields, a note,
/// what stands in a module.
const WORDS: &[&str] = &[
    "lovelace@example.com",
    "+12345678901",
    "Augusta",
    "Byron-King",
    "countess",
    "Enchantress",
    "ada_at_shop",
    "Difference-Engine",
    "Analytical-Engine",
    "Bernoulli",
];

fn person(purser: &Purser) -> (Principal, String, Principal) {
    let admin = purser.admin();
    let module = json!({
        "module_name": "loyalty", "display_name": "Loyalty",
        "schema": { "nickname": "string?" }, "defaults": {},
    });
    admin.post("/v1/admin/modules", module).expect(201);
    let permissions = json!(["read", "write", "wallet_access", "loyalty_access"]);
    let shop = purser.app_with(
        "shop",
        json!({ "permissions": permissions,
        "may_issue": { "categories": ["promo"], "per_day": 1000 } }),
    );
    let (ada, me) = shop.register_with(json!({
        "email": "lovelace@example.com", "verified": ["email", "phone"], "username": "countess",
        "password": "correct horse battery",
        "profile": { "first_name": "Augusta", "last_name": "Byron-King", "phone": "+12345678901" },
        "connection": { "app_username": "ada_at_shop", "app_display_name": "Enchantress",
            "app_profile": { "custom_fields": { "toy": "Difference-Engine" } } },
    }));
    shop.patch(&format!("/v1/users/{ada}/modules/loyalty"), json!({ "nickname": "Bernoulli" }))
        .expect(200);
    let credit = shop.with("Idempotency-Key", "credit");
    let body = json!({ "amount": 10, "description": "Analytical-Engine" });
    credit.post(&format!("/v1/users/{ada}/wallet/credits"), body).expect(201);
    (shop, ada, me)
}

fn found_in(value: &Bson) -> Vec<&'static str> {
    let within = |text: &str| WORDS.iter().filter(|word| text.contains(**word)).copied().collect();
    match value {
        Bson::String(text) => within(text),
        Bson::Document(fields) => {
            let names = fields.keys().flat_map(|name| within(name) as Vec<_>);
            names.chain(fields.values().flat_map(found_in)).collect()
        }
        Bson::Array(items) => items.iter().flat_map(found_in).collect(),
        _ => Vec::new(),
    }
}

fn everywhere(purser: &Purser) -> Vec<(String, &'static str)> {
    let names = purser.db(|database| async move { database.list_collection_names().await });
    let names = names.expect("collections");
    let found = names.into_iter().flat_map(|name| {
        let all = purser.db_find(&name, doc! {}).into_iter().map(Bson::Document);
        let words: Vec<_> = all.flat_map(|it| found_in(&it)).collect();
        words.into_iter().map(move |word| (name.clone(), word))
    });
    found.collect()
}

fn erase(admin: &Principal, user: &str, body: Value) -> crate::harness::Reply {
    admin.post(&format!("/v1/admin/users/{user}/erase"), body)
}

#[test]
fn nothing_of_an_erased_person_is_left_and_the_trail_verifies() {
    let purser = Purser::start();
    let (shop, ada, me) = person(&purser);
    let admin = purser.admin();
    assert!(!everywhere(&purser).is_empty(), "what is searched for is there before");

    let body = json!({ "reason": "Ticket 4711", "credits": "forfeit" });
    let erased = erase(&admin, &ada, body.clone()).expect(200);

    assert_eq!((&erased["status"], &erased["forfeited"]), (&json!("erased"), &json!(10)));
    assert_eq!(everywhere(&purser), Vec::<(String, &str)>::new());
    assert_eq!(shop.get(&format!("/v1/users/{ada}")).refused(403), "connection_revoked");
    assert_eq!(me.get("/v1/users/me").refused(401), "unauthenticated");
    let again = erase(&admin, &ada, body).expect(200);
    assert_eq!((&again["forfeited"], &again["erased_at"]), (&json!(0), &Value::Null));
    let entries = purser.db_entries(doc! { "action": "user_erased" });
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].get_str("reference").ok(), Some("Ticket 4711"));
    purser.block_on(purser.inner.seal_trail()).expect("sealed");
    let more = [("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY)];
    let (well, report, error) = command_with(&purser, KEY, &["audit", "verify", "--json"], &more);
    assert!(well, "{report}{error}");
    // Whoever comes by the same address is somebody new.
    let (other, _) = shop.register("lovelace@example.com");
    assert_ne!(other, ada);
}

#[test]
fn a_person_who_has_credits_left_is_erased_only_if_they_are_to_be_taken() {
    let purser = Purser::start();
    let (shop, ada, _) = person(&purser);
    let admin = purser.admin();

    let refused = erase(&admin, &ada, json!({ "reason": "Ticket 4711" }));
    assert!(refused.body["detail"].as_str().expect("a text").contains("10 credits"));
    assert_eq!(refused.refused(409), "wallet_not_empty");
    let hold = shop.with("Idempotency-Key", "hold");
    hold.post(&format!("/v1/users/{ada}/wallet/holds"), json!({ "amount": 4 })).expect(201);
    let held = erase(&admin, &ada, json!({ "reason": "Ticket 4711", "credits": "forfeit" }));

    assert_eq!(held.refused(409), "wallet_not_empty");
    assert_eq!(erase(&admin, &ada, json!({})).refused(422), "invalid");
    assert_eq!(
        erase(&admin, "0123456789abcdef01234567", json!({ "reason": "x" })).refused(404),
        "not_found"
    );
    let shared = shop.get(&format!("/v1/users/{ada}")).expect(200);
    assert_eq!(shared["shared"]["modules"]["wallet"]["balance"], 10, "nothing was taken");
}
