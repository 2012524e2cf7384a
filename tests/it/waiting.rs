//! Registrations that wait: what an app only claims, and what becomes of it.

use std::thread;

use bson::{Document, doc};
use purser::kernel::time::DAY_MS;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, START, person};

fn third_party(purser: &Purser) -> Principal {
    purser.app_with("stranger", json!({ "trust": "third_party" }))
}

fn claim(email: &str) -> Value {
    json!({ "email": email, "profile": { "first_name": "Ada" } })
}

/// Asks for a connection that waits; the path under which the app reads it, and its id.
fn ask(app: &Principal, body: Value) -> (String, String) {
    let answer = app.post("/v1/users", body).expect(202);
    let id = answer["registration_id"].as_str().expect("an id").to_owned();
    (format!("/v1/registrations/{id}"), id)
}

fn admin_path(id: &str) -> String {
    format!("/v1/admin/registrations/{id}")
}

fn approve(admin: &Principal, id: &str) -> Value {
    admin.post(&format!("{}/approve", admin_path(id)), json!({})).expect(200)
}

fn only(mut documents: Vec<Document>) -> Document {
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

#[test]
fn the_answer_to_a_claim_is_the_same_whether_or_not_the_person_exists() {
    let purser = Purser::start();
    let (shop, stranger) = (purser.app("shop"), third_party(&purser));
    shop.register("known@example.com");
    let count = purser.db_entries(doc! {}).len();

    let known = stranger.post("/v1/users", claim("known@example.com"));
    let new = stranger.post("/v1/users", claim("new@example.com"));

    assert_eq!(known.headers.len(), new.headers.len());
    let (known, new) = (known.expect(202), new.expect(202));
    for answer in [&known, &new] {
        let id = answer["registration_id"].clone();
        assert_eq!(*answer, json!({ "registration_id": id, "status": "pending" }));
    }
    assert_eq!(purser.db_entries(doc! {}).len(), count + 2, "one entry for each claim");
    assert!(purser.db_find("user_apps", doc! { "app_id": "stranger" }).is_empty());
    for record in purser.db_find("registrations", doc! {}) {
        assert!(record.get_array("user_ids").expect("an array").is_empty());
        assert!(!format!("{record:?}").contains("example.com"), "what waits is sealed");
        assert_eq!(record.get_str("reason").ok(), Some("third_party"));
    }
    let trail = format!("{:?}", purser.db_entries(doc! { "app_id": "stranger" }));
    assert!(!trail.contains("example.com") && !trail.contains("Ada"));
}

#[test]
fn a_third_party_app_neither_vouches_nor_sends_passwords() {
    let purser = Purser::start();
    let stranger = third_party(&purser);
    let mut body = person("ada@example.com");
    body["password"] = json!("correct horse battery");

    let reply = stranger.post("/v1/users", body);

    assert_eq!(reply.pointers(), ["/verified", "/password"]);
    assert_eq!(reply.body["errors"][0]["code"], "not_first_party");
    assert_eq!(reply.refused(422), "invalid");
    assert!(purser.db_find("registrations", doc! {}).is_empty());
}

#[test]
fn what_is_beyond_the_ceiling_is_refused_before_it_waits() {
    let purser = Purser::start();
    let stranger =
        purser.app_with("stranger", json!({ "trust": "third_party", "permissions": ["read"] }));
    let mut body = claim("ada@example.com");
    body["connection"] = json!({ "permissions": ["read", "write"], "roles": ["owner"] });

    let reply = stranger.post("/v1/users", body);

    assert_eq!(reply.pointers(), ["/connection/permissions/1"]);
    assert_eq!(reply.refused(422), "invalid");
    assert!(purser.db_find("registrations", doc! {}).is_empty());
}

#[test]
fn the_same_claim_is_one_case_and_each_app_has_its_own() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));

    let (_, first) = ask(&shop, claim("ada@example.com"));
    let (_, again) = ask(&shop, json!({ "email": " ADA@Example.com ", "username": "ada" }));
    let (_, other) = ask(&club, claim("ada@example.com"));
    let (_, phone) = ask(&shop, json!({ "profile": { "phone": "+44 20 7946 0958" } }));
    let (_, same_phone) = ask(&shop, json!({ "profile": { "phone": "+442079460958" } }));

    assert_eq!(first, again);
    assert_eq!(phone, same_phone);
    assert!(first != other && first != phone);
    assert_eq!(purser.db_find("registrations", doc! { "reason": "unproven" }).len(), 3);
}

#[test]
fn only_the_app_that_asked_reads_it() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let (path, id) = ask(&shop, claim("ada@example.com"));
    let count = purser.db_entries(doc! {}).len();

    let read = shop.get(&path).expect(200);

    let expected = json!({
        "registration_id": id, "status": "pending", "created_at": START,
        "expires_at": "2026-01-31T00:00:00.000Z",
    });
    assert_eq!(read, expected);
    assert_eq!(purser.db_entries(doc! {}).len(), count);
    assert_eq!(club.get(&path).refused(404), "not_found");
    for nowhere in ["0123456789abcdef01234567", "nonsense", "%00"] {
        assert_eq!(shop.get(&format!("/v1/registrations/{nowhere}")).refused(404), "not_found");
    }
}

#[test]
fn an_approved_registration_makes_the_person_and_shows_its_key_once() {
    let purser = Purser::start();
    let (stranger, admin) = (third_party(&purser), purser.admin());
    let mut body = claim("ada@example.com");
    body["username"] = json!("ada");
    body["connection"] = json!({
        "app_username": "ada_ext", "permissions": ["read"],
        "app_profile": { "custom_fields": { "level": 5 }, "nickname": null },
    });
    let (path, id) = ask(&stranger, body);
    purser.step_clock(DAY_MS);

    let approved = approve(&admin, &id);

    assert_eq!(
        (&approved["status"], &approved["reason"]),
        (&json!("active"), &json!("third_party"))
    );
    assert!(!approved.to_string().contains("prs_con_"), "the admin does not see the key");
    let first = stranger.get(&path).expect(200);
    let again = stranger.get(&path).expect(200);
    assert_eq!(first["status"], "active");
    assert_eq!(first["user_id"], approved["user_id"]);
    assert_eq!(first["connection_id"], approved["connection_id"]);
    assert!(again.get("connection_key").is_none());
    assert_eq!(again["user_id"], first["user_id"]);
    let key = first["connection_key"].as_str().expect("a key");
    let seen = stranger.with_other_key(key).get("/v1/users/me").expect(200);
    let mut shared: Vec<_> = seen["shared"].as_object().expect("fields").keys().cloned().collect();
    shared.sort();
    assert_eq!(shared, ["id", "modules", "profile", "username"], "only what the app may see");
    assert_eq!(seen["app_specific"]["app_username"], "ada_ext");
    assert_eq!(seen["app_specific"]["permissions"], json!(["read"]));
    assert_eq!(seen["app_specific"]["app_profile"]["custom_fields"], json!({ "level": 5 }));
    let user = only(purser.db_find("users", doc! {}));
    assert_eq!(user.get_str("email").ok(), Some("ada@example.com"));
    let identity = only(purser.db_find("identities", doc! {}));
    assert!(identity.get_str("vouched_by").expect("a name").starts_with("operator:"));
    assert_eq!(purser.db_entries(doc! { "action": "registration_key_shown" }).len(), 1);
    let trail = format!("{:?}", purser.db_entries(doc! {}));
    assert!(!trail.contains(key) && !trail.contains("ada@example.com"));
}

#[test]
fn of_a_known_person_only_the_connection_is_taken() {
    let purser = Purser::start();
    let (shop, stranger, admin) = (purser.app("shop"), third_party(&purser), purser.admin());
    let (known, _) = shop.register("ada@example.com");
    let mut body = claim("ada@example.com");
    body["username"] = json!("somebody else");
    let (path, id) = ask(&stranger, body);

    let case = admin.get(&admin_path(&id)).expect(200);
    let approved = approve(&admin, &id);

    assert_eq!(case["user_ids"], json!([known]));
    assert_eq!(case["username"], "somebody else");
    assert_eq!(case["identifiers"], json!([{ "kind": "email", "value": "ada@example.com" }]));
    assert_eq!(approved["user_id"], known.as_str());
    assert_eq!(stranger.get(&path).expect(200)["user_id"], known.as_str());
    let user = only(purser.db_find("users", doc! {}));
    assert_eq!(user.get("username"), Some(&bson::Bson::Null));
}

#[test]
fn a_first_party_password_waits_with_the_claim() {
    let purser = Purser::start();
    let (shop, admin) = (purser.app("shop"), purser.admin());
    let mut body = claim("ada@example.com");
    body["password"] = json!("correct horse battery");
    let (_, id) = ask(&shop, body);

    approve(&admin, &id);

    let login = json!({ "identifier": "ada@example.com", "password": "correct horse battery" });
    shop.post("/v1/auth/login", login).expect(200);
}

#[test]
fn identifiers_of_two_people_need_an_admins_choice() {
    let purser = Purser::start();
    let (shop, club, admin) = (purser.app("shop"), purser.app("club"), purser.admin());
    let (ada, _) = shop.register("ada@example.com");
    let phone = json!({ "verified": ["phone"], "profile": { "phone": "+442079460958" } });
    let (bob, _) = shop.register_with(phone);
    let (eve, _) = shop.register("eve@example.com");
    let mut both = person("ada@example.com");
    both["verified"] = json!(["email", "phone"]);
    both["profile"]["phone"] = json!("+442079460958");
    let (_, id) = ask(&club, both);
    let path = format!("{}/approve", admin_path(&id));

    let case = admin.get(&admin_path(&id)).expect(200);
    let undecided = admin.post(&path, json!({}));
    let wrong = admin.post(&path, json!({ "user_id": eve }));
    let nonsense = admin.post(&path, json!({ "user_id": "me" }));
    let decided = admin.post(&path, json!({ "user_id": bob })).expect(200);

    assert_eq!((&case["reason"], &case["user_ids"]), (&json!("duplicate"), &json!([ada, bob])));
    assert_eq!(undecided.pointers(), ["/user_id"]);
    assert!(undecided.body["detail"].as_str().is_some_and(|it| it.contains(&ada)));
    for reply in [undecided, wrong, nonsense] {
        assert_eq!(reply.refused(422), "invalid");
    }
    assert_eq!(decided["user_id"], bob.as_str());
    let tie = only(purser.db_find("user_apps", doc! { "app_id": "club" }));
    assert_eq!(tie.get_object_id("user_id").map(bson::oid::ObjectId::to_hex).ok(), Some(bob));
}

#[test]
fn a_registration_is_decided_once() {
    let purser = Purser::start();
    let (stranger, admin) = (third_party(&purser), purser.admin());
    let (_, approved) = ask(&stranger, claim("ada@example.com"));
    let (path, declined) = ask(&stranger, claim("bob@example.com"));
    let decide = |id: &str, how: &str| admin.post(&format!("{}/{how}", admin_path(id)), json!({}));

    approve(&admin, &approved);
    let reason = json!({ "reason": "Not ours.\nAsked by letter." });
    let case = admin.post(&format!("{}/decline", admin_path(&declined)), reason).expect(200);

    for id in [&approved, &declined] {
        for how in ["approve", "decline"] {
            assert_eq!(decide(id, how).refused(409), "already_resolved", "{how}");
        }
    }
    assert_eq!(case["decline_reason"], "Not ours.\nAsked by letter.");
    let read = stranger.get(&path).expect(200);
    assert_eq!(read["status"], "declined");
    assert!(!read.to_string().contains("letter"), "the reason is for admins");
    let trail = format!("{:?}", purser.db_entries(doc! {}));
    assert!(!trail.contains("letter"));
    let again = stranger.post("/v1/users", claim("bob@example.com")).expect(202);
    assert_eq!(again, json!({ "registration_id": declined, "status": "declined" }));
    assert_eq!(purser.db_find("users", doc! {}).len(), 1);
    assert_eq!(decide("0123456789abcdef01234567", "approve").refused(404), "not_found");
}

#[test]
fn after_thirty_days_it_is_over_and_the_same_claim_begins_anew() {
    let purser = Purser::start();
    let (stranger, admin) = (third_party(&purser), purser.admin());
    let (path, id) = ask(&stranger, claim("ada@example.com"));
    purser.step_clock(30 * DAY_MS);

    let expired = stranger.get(&path).expect(200);
    let late = admin.post(&format!("{}/approve", admin_path(&id)), json!({}));
    let (_, revived) = ask(&stranger, claim("ada@example.com"));

    assert_eq!(expired["status"], "expired");
    assert!(late.body["detail"].as_str().is_some_and(|it| it.contains("expired")));
    assert_eq!(late.refused(409), "already_resolved");
    assert_eq!(revived, id);
    assert_eq!(stranger.get(&path).expect(200)["status"], "pending");
    approve(&admin, &id);
    assert!(stranger.get(&path).expect(200)["connection_key"].is_string());
}

#[test]
fn a_person_who_was_let_go_can_be_claimed_again() {
    let purser = Purser::start();
    let (stranger, admin) = (third_party(&purser), purser.admin());
    let (path, id) = ask(&stranger, claim("ada@example.com"));
    approve(&admin, &id);
    let active = stranger.get(&path).expect(200);
    let connected = stranger.post("/v1/users", claim("ada@example.com")).expect(202);
    let user = active["user_id"].as_str().expect("an id");
    stranger.delete(&format!("/v1/users/{user}/connection")).expect(204);

    let again = stranger.post("/v1/users", claim("ada@example.com")).expect(202);

    assert_eq!(connected["status"], "active");
    assert_eq!(again, json!({ "registration_id": id, "status": "pending" }));
    approve(&admin, &id);
    let read = stranger.get(&path).expect(200);
    assert_eq!(read["connection_id"], active["connection_id"]);
    let key = read["connection_key"].as_str().expect("a new key");
    stranger.with_other_key(key).get("/v1/users/me").expect(200);
}

#[test]
fn a_key_that_was_dropped_before_it_was_read_is_not_shown() {
    let purser = Purser::start();
    let (stranger, admin) = (third_party(&purser), purser.admin());
    let (path, id) = ask(&stranger, claim("ada@example.com"));
    let user = approve(&admin, &id)["user_id"].as_str().expect("an id").to_owned();
    stranger.delete(&format!("/v1/users/{user}/connection")).expect(204);

    let read = stranger.get(&path).expect(200);

    assert!(read.get("connection_key").is_none(), "{read:#}");
    let record = only(purser.db_find("registrations", doc! {}));
    assert!(!record.contains_key("sealed_key"));
}

#[test]
fn admins_list_what_waits_page_by_page() {
    let purser = Purser::start();
    let (shop, stranger, admin) = (purser.app("shop"), third_party(&purser), purser.admin());
    let mut asked = Vec::new();
    for number in 0..5 {
        purser.step_clock(1000);
        let app = if number == 4 { &shop } else { &stranger };
        asked.push(ask(app, claim(&format!("person{number}@example.com"))).1);
    }
    approve(&admin, &asked[1]);
    let listed = |query: &str| -> Vec<String> {
        let page = admin.get(&format!("/v1/admin/registrations{query}")).expect(200);
        let items = page["items"].as_array().expect("items").clone();
        items.iter().map(|it| it["registration_id"].as_str().expect("an id").to_owned()).collect()
    };

    assert_eq!(listed(""), asked);
    assert_eq!(listed("?status=active"), [asked[1].clone()]);
    assert_eq!(listed("?app_id=shop&status=pending"), [asked[4].clone()]);
    let first = admin.get("/v1/admin/registrations?status=pending&limit=3").expect(200);
    let cursor = first["next_cursor"].as_str().expect("more");
    let second =
        admin.get(&format!("/v1/admin/registrations?status=pending&limit=3&cursor={cursor}"));
    let second = second.expect(200);
    assert_eq!(second["items"][0]["registration_id"], asked[4].as_str());
    assert_eq!(second["next_cursor"], Value::Null);
    let wrong = admin.get("/v1/admin/registrations?status=open");
    assert_eq!(wrong.pointers(), ["status"]);
    purser.step_clock(30 * DAY_MS);
    assert!(listed("?status=pending").is_empty());
    assert_eq!(listed("?status=expired").len(), 4);
}

#[test]
fn two_admins_who_approve_at_once_make_one_connection_and_one_reader_gets_the_key() {
    let purser = Purser::start();
    let (stranger, admin) = (third_party(&purser), purser.admin());
    let (path, id) = ask(&stranger, claim("ada@example.com"));
    let at_once = |who: &Principal, method: &'static str, path: &str| {
        let threads: Vec<_> = (0..8)
            .map(|_| (who.clone(), path.to_owned()))
            .map(|(who, path)| {
                let body = (method == "POST").then(|| b"{}".to_vec());
                thread::spawn(move || who.send(method, &path, body))
            })
            .collect();
        threads.into_iter().map(|one| one.join().expect("answers")).collect::<Vec<_>>()
    };

    let approvals = at_once(&admin, "POST", &format!("{}/approve", admin_path(&id)));
    let reads = at_once(&stranger, "GET", &path);

    let mut statuses: Vec<_> = approvals.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![409; 7]].concat());
    assert!(reads.iter().all(|reply| reply.status == 200));
    let keys = reads.iter().filter(|reply| reply.body["connection_key"].is_string()).count();
    assert_eq!(keys, 1);
    assert_eq!(purser.db_find("users", doc! {}).len(), 1);
    assert_eq!(purser.db_find("user_apps", doc! {}).len(), 1);
}

#[test]
fn an_approval_repeated_under_its_idempotency_key_is_answered_the_same() {
    let purser = Purser::start();
    let (stranger, admin) = (third_party(&purser), purser.admin());
    let (_, id) = ask(&stranger, claim("ada@example.com"));
    let once = admin.with("Idempotency-Key", "approve-1");
    let path = format!("{}/approve", admin_path(&id));

    let first = once.post(&path, json!({}));
    let again = once.post(&path, json!({}));

    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect(200), again.expect(200));
}
