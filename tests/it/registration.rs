//! Registration: a person meets an app.

use std::thread;

use bson::{Document, doc};
use purser::kernel::ids::AccountNumber;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, START, person};

/// The registration of the design, field by field.
fn john() -> Value {
    json!({
        "email": "john.doe@example.com",
        "verified": ["email"],
        "username": "johndoe",
        "password": "correct horse battery",
        "profile": {
            "first_name": "John", "last_name": "Doe", "phone": "+12345678901",
            "timezone": "America/New_York", "language": "en",
        },
        "preferences": { "notifications": { "sms": true }, "privacy": { "profile_visible": false } },
        "connection": {
            "app_username": "johndoe_ext", "app_display_name": "John D.", "app_version": "1.0.0",
            "app_profile": {
                "nickname": "Johnny", "avatar_url": "https://example.com/a.png",
                "preferences": { "theme": "dark" }, "custom_fields": { "level": 5 },
            },
            "permissions": ["read", "write", "wallet_access"],
            "roles": ["editor"],
            "sync_frequency": "batch",
            "sync_settings": { "transaction_history": false },
        },
    })
}

fn shop_with_roles(purser: &Purser) -> Principal {
    let roles = json!([
        { "name": "editor", "permissions": ["pages:write"] },
        { "name": "guest", "default": true },
    ]);
    purser.app_with("shop", json!({ "roles": roles }))
}

fn id_of(answer: &Value) -> bson::oid::ObjectId {
    answer["user_id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

fn only(mut documents: Vec<Document>) -> Document {
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

fn entries(purser: &Purser) -> usize {
    purser.db_find("user_audit_logs", doc! {}).len()
}

#[test]
fn a_new_person_is_answered_with_an_id_a_key_and_the_whole_view() {
    let purser = Purser::start();
    let shop = shop_with_roles(&purser);

    let answer = shop.post("/v1/users", john()).expect(201);

    let fields: Vec<_> = answer.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(fields, ["connection_key", "connection_status", "user", "user_id"]);
    let key = answer["connection_key"].as_str().expect("a key");
    assert!(key.starts_with("prs_con_") && key.len() == 69, "{key}");
    assert_eq!(answer["connection_status"], "active");
    let (shared, own) = (&answer["user"]["shared"], &answer["user"]["app_specific"]);
    let number = shared["account_number"].as_str().expect("a number");
    assert!(AccountNumber::parse(number).is_some(), "{number}");
    assert_eq!(
        *shared,
        json!({
            "id": answer["user_id"], "account_number": number, "email": "john.doe@example.com",
            "username": "johndoe", "status": "active", "created_at": START, "updated_at": START,
            "profile": {
                "first_name": "John", "last_name": "Doe", "phone": "+12345678901",
                "timezone": "America/New_York", "language": "en",
            },
            "preferences": {
                "notifications": { "email": true, "sms": true, "push": true },
                "privacy": { "profile_visible": false, "activity_visible": false },
            },
            "modules": {
                "wallet": { "enabled": true, "balance": 0, "currency": "credits", "last_updated": START },
            },
        })
    );
    assert_eq!(
        *own,
        json!({
            "user_id": answer["user_id"], "app_id": "shop", "app_name": "The shop",
            "connection_id": own["connection_id"], "app_version": "1.0.0",
            "app_username": "johndoe_ext", "app_display_name": "John D.",
            "app_profile": {
                "nickname": "Johnny", "avatar_url": "https://example.com/a.png",
                "preferences": { "theme": "dark" }, "custom_fields": { "level": 5 },
            },
            "connection_status": "active", "permissions": ["read", "write", "wallet_access"],
            "roles": ["editor"], "key_hint": format!("{}…", &key[..12]), "key_created_at": START,
            "key_expires_at": null, "previous_key": null, "allowed_ips": [],
            "sync_frequency": "batch",
            "sync_settings": {
                "wallet_updates": true, "profile_updates": true, "transaction_history": false,
            },
            "connected_at": START, "last_sync": null,
            "rate_limits": { "requests_per_minute": 100, "requests_per_hour": 1000 },
        })
    );
    assert_eq!(shop.get(&format!("/v1/users/{}", id_of(&answer))).expect(200)["shared"], *shared);
}

#[test]
fn a_new_person_gets_module_defaults_a_customer_an_account_and_a_data_key() {
    let purser = Purser::start();
    let shop = purser.app("shop");

    let answer = shop.post("/v1/users", person("ada@example.com")).expect(201);

    let user = only(purser.db_find("users", doc! { "_id": id_of(&answer) }));
    assert_eq!(
        *user.get_document("modules").expect("modules"),
        doc! {
            "wallet": { "enabled": true, "balance": 0_i64, "currency": "credits",
                "last_updated": purser.now(), "held": 0_i64, "seq": 0_i64, "lots": [], "holds": [],
                "frozen": false },
            "subscription": { "enabled": false, "plan": null, "expires_at": null, "status": null,
                "current_period": null, "cancel_at_period_end": false, "seq": 0_i64,
                "price": 0_i64, "pending_change": null },
            "referrals": { "enabled": true, "referral_code": null, "referrals_count": 0_i64,
                "referred_by": null, "rewarded": false },
        }
    );
    assert_eq!(
        *user.get_document("audit").expect("audit"),
        doc! {
            "last_login": null, "login_count": 0_i64, "password_changed_at": null,
            "profile_updated_at": null,
        }
    );
    assert!(!user.contains_key("password"));
    let number = user.get_str("account_number").expect("a number");
    let account = only(purser.db_find("accounts", doc! {}));
    assert_eq!(account.get_str("_id").ok(), Some(number));
    assert!(number.len() == 14 && AccountNumber::parse(number).is_some(), "{number}");
    let customer = only(purser.db_find("customers", doc! {}));
    assert_eq!(customer.get_str("kind").ok(), Some("personal"));
    assert_eq!(customer.get_object_id("_id").ok(), user.get_object_id("customer_id").ok());
    assert_eq!(account.get_object_id("customer_id").ok(), user.get_object_id("customer_id").ok());
    let data_key = only(purser.db_find("user_keys", doc! {}));
    assert_eq!(data_key.get_object_id("_id").ok(), Some(id_of(&answer)));
}

#[test]
fn a_person_gets_an_identity_for_each_identifier_that_the_app_vouches_for_and_no_other() {
    let purser = Purser::start();
    let shop = shop_with_roles(&purser);
    let mut both = john();
    both["verified"] = json!(["email", "phone"]);
    let mut phone_alone = person("unused@example.com");
    phone_alone["email"].take();
    phone_alone["verified"] = json!(["phone"]);
    phone_alone["profile"]["phone"] = json!("+49 30 901820");

    let with_both = shop.post("/v1/users", both).expect(201);
    let with_phone = shop.post("/v1/users", phone_alone).expect(201);

    let names = |answer: &Value| {
        let found = purser.db_find("identities", doc! { "user_id": id_of(answer) });
        let mut names: Vec<_> =
            found.iter().map(|one| one.get_str("_id").expect("a name").to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&with_both), ["email:john.doe@example.com", "phone:+12345678901"]);
    assert_eq!(names(&with_phone), ["phone:+4930901820"]);
    let user = only(purser.db_find("users", doc! { "_id": id_of(&with_phone) }));
    assert!(!user.contains_key("email"), "an e-mail address is there once proven, and never null");
    assert_eq!(with_phone["user"]["shared"]["email"], Value::Null);
}

#[test]
fn of_a_known_person_only_the_connection_part_is_taken() {
    let purser = Purser::start();
    let (shop, club) = (shop_with_roles(&purser), purser.app("club"));
    let known = shop.post("/v1/users", person("john.doe@example.com")).expect(201);
    let before = only(purser.db_find("users", doc! {}));
    let mut sent = john();
    sent["connection"]["roles"].take();
    purser.step_clock(1000);

    let answer = club.post("/v1/users", sent).expect(201);

    assert_eq!(answer["user_id"], known["user_id"]);
    assert_eq!(answer["user"]["shared"]["username"], Value::Null);
    assert_eq!(answer["user"]["shared"]["profile"]["first_name"], "Ada");
    assert_eq!(answer["user"]["shared"]["updated_at"], START);
    assert_eq!(answer["user"]["app_specific"]["app_username"], "johndoe_ext");
    let mut after = only(purser.db_find("users", doc! {}));
    assert_eq!(after.get_i64("revision").ok(), Some(2), "the tie is part of the person's trail");
    for moved in ["revision", "revised_at"] {
        after.insert(moved, before.get(moved).expect("there").clone());
    }
    assert_eq!(after, before);
    assert_eq!(purser.db_find("identities", doc! {}).len(), 1);
    assert_eq!(purser.db_find("customers", doc! {}).len(), 1);
    assert_eq!(purser.db_find("accounts", doc! {}).len(), 1);
}

#[test]
fn the_answer_does_not_tell_whether_a_person_was_known() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    shop.register("known@example.com");

    let known = club.post("/v1/users", person("known@example.com"));
    let new = club.post("/v1/users", person("new@example.com"));

    let shape = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!((known.status, new.status), (201, 201));
    assert_eq!(shape(&known.body), shape(&new.body));
    assert_eq!(shape(&known.body["user"]["shared"]), shape(&new.body["user"]["shared"]));
    assert_eq!(
        shape(&known.body["user"]["app_specific"]),
        shape(&new.body["user"]["app_specific"])
    );
}

#[test]
fn a_person_who_is_connected_already_is_answered_without_a_key_and_nothing_changes() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let first = shop.post("/v1/users", person("john.doe@example.com")).expect(201);
    let (tie, count) = (purser.db_find("user_apps", doc! {}), entries(&purser));
    let mut again = john();
    again["connection"]["roles"].take();

    let answer = shop.post("/v1/users", again).expect(200);

    assert_eq!(answer["user_id"], first["user_id"]);
    assert!(answer.get("connection_key").is_none());
    assert_eq!(answer["connection_status"], "active");
    assert_eq!(answer["user"], first["user"]);
    assert_eq!(purser.db_find("user_apps", doc! {}), tie);
    assert_eq!(entries(&purser), count);
}

#[test]
fn a_person_who_was_let_go_is_taken_up_again_with_a_new_key() {
    let purser = Purser::start();
    let shop = shop_with_roles(&purser);
    let first = shop.post("/v1/users", john()).expect(201);
    let path = format!("/v1/users/{}", id_of(&first));
    let old_key = shop.with_other_key(first["connection_key"].as_str().expect("a key"));
    shop.delete(&format!("{path}/connection")).expect(204);
    assert_eq!(shop.get(&path).refused(403), "connection_inactive");
    assert_eq!(old_key.get("/v1/users/me").refused(401), "unauthenticated");
    let gone = only(purser.db_find("user_apps", doc! {}));
    assert_eq!(gone.get_str("connection_status").ok(), Some("inactive"));
    assert!(["api_key", "key_mac", "key_id"].iter().all(|field| !gone.contains_key(field)));

    let mut body = person("john.doe@example.com");
    body["connection"] = json!({ "app_version": "2.0.0", "permissions": ["read"] });
    let again = shop.post("/v1/users", body).expect(201);

    let own = &again["user"]["app_specific"];
    assert_eq!(again["user_id"], first["user_id"]);
    assert_ne!(again["connection_key"], first["connection_key"]);
    assert_eq!(own["connection_id"], first["user"]["app_specific"]["connection_id"]);
    assert_eq!(
        (&own["app_username"], &own["app_version"]),
        (&json!("johndoe_ext"), &json!("2.0.0"))
    );
    assert_eq!(own["app_profile"], first["user"]["app_specific"]["app_profile"]);
    assert_eq!((&own["permissions"], &own["roles"]), (&json!(["read"]), &json!(["guest"])));
    let new_key = shop.with_other_key(again["connection_key"].as_str().expect("a key"));
    assert_eq!(new_key.get("/v1/users/me").expect(200)["shared"]["id"], first["user_id"]);
    assert_eq!(old_key.get("/v1/users/me").refused(401), "unauthenticated");
}

#[test]
fn an_app_that_vouches_for_a_phone_finds_the_person_by_it() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let mut body = person("ada@example.com");
    body["verified"] = json!(["email", "phone"]);
    body["profile"]["phone"] = json!("+44 20 7946 0958");
    let (id, _) = shop.register_with(body);

    let by_phone = json!({ "verified": ["phone"], "profile": { "phone": "+44 (0)20 7946-0958" } });
    let answer = club.post("/v1/users", by_phone).expect(201);

    assert_eq!(answer["user_id"], id.as_str());
    assert_eq!(answer["user"]["shared"]["email"], "ada@example.com");
}

#[test]
fn a_phone_that_nobody_vouches_for_identifies_nobody() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut body = person("ada@example.com");
    body["profile"]["phone"] = json!("+442079460958");
    let (ada, _) = shop.register_with(body);

    let vouched = json!({ "verified": ["phone"], "profile": { "phone": "+442079460958" } });
    let answer = shop.post("/v1/users", vouched).expect(201);

    assert_ne!(answer["user_id"], ada.as_str());
}

#[test]
fn identifiers_of_two_people_wait_as_one_case_however_often_they_are_sent() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let (ada, _) = shop.register("ada@example.com");
    let phone = json!({ "verified": ["phone"], "profile": { "phone": "+442079460958" } });
    let (bob, _) = shop.register_with(phone);
    let mut both = person("ada@example.com");
    both["verified"] = json!(["email", "phone"]);
    both["profile"]["phone"] = json!("+442079460958");

    let first = club.post("/v1/users", both.clone()).expect(202);
    purser.step_clock(60_000);
    let again = club.post("/v1/users", both).expect(202);

    let id = first["registration_id"].as_str().expect("an id");
    assert_eq!(first, json!({ "registration_id": id, "status": "pending" }));
    assert_eq!(again, first);
    let case = only(purser.db_find("registrations", doc! {}));
    assert_eq!(
        case.get_object_id("_id").ok().map(bson::oid::ObjectId::to_hex),
        Some(id.to_owned())
    );
    assert_eq!(
        (case.get_str("app_id").ok(), case.get_str("reason").ok()),
        (Some("club"), Some("duplicate"))
    );
    let mut people: Vec<_> = case.get_array("user_ids").expect("people").clone();
    people.sort_by_key(ToString::to_string);
    let mut expected = [ada, bob].map(|id| bson::Bson::ObjectId(id.parse().expect("an id")));
    expected.sort_by_key(ToString::to_string);
    assert_eq!(people, expected);
    assert!(!case.to_string().contains("ada@example.com"), "what waits is sealed");
    assert!(purser.db_find("user_apps", doc! { "app_id": "club" }).is_empty());
}

#[test]
fn one_address_however_it_is_written_is_one_person() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (id, _) = shop.register("info@b\u{fc}cher.example");

    let forms =
        ["INFO@B\u{dc}CHER.example", "  info@bu\u{308}cher.example ", "info@xn--bcher-kva.example"];
    let answers = forms.map(|form| shop.post("/v1/users", person(form)).expect(200));

    assert!(answers.iter().all(|answer| answer["user_id"] == id.as_str()), "{answers:?}");
    let user = only(purser.db_find("users", doc! {}));
    assert_eq!(user.get_str("email").ok(), Some("info@xn--bcher-kva.example"));
}

#[test]
fn what_is_no_address_or_stands_for_none_registers_nobody() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let cases = [
        (json!({ "email": "ada", "verified": ["email"] }), "/email"),
        (json!({ "email": "ada@localhost", "verified": ["email"] }), "/email"),
        (json!({ "email": "a\u{0}da@example.com", "verified": ["email"] }), "/email"),
        (json!({ "verified": ["email"] }), "/email"),
        (json!({ "email": null, "verified": ["email"] }), "/email"),
        (json!({ "verified": ["phone"] }), "/profile/phone"),
        (json!({ "verified": ["phone"], "profile": { "phone": "12345" } }), "/profile/phone"),
        (
            json!({ "email": "a@b.example", "verified": ["phone"], "profile": { "phone": "+442079460958" } }),
            "/verified",
        ),
        (json!({ "email": "ada@localhost" }), "/email"),
        (json!({ "profile": { "phone": "12345" } }), "/profile/phone"),
        (json!({ "verified": ["name"] }), "/verified/0"),
        (json!({}), "/email"),
        (json!({ "verified": [], "username": "ada" }), "/email"),
    ];

    for (body, pointer) in cases {
        let reply = shop.post("/v1/users", body.clone());
        assert!(reply.pointers().contains(&pointer), "{body}: {:#}", reply.body);
        assert_eq!(reply.refused(422), "invalid", "{body}");
    }

    assert!(purser.db_find("users", doc! {}).is_empty());
    assert!(purser.db_find("registrations", doc! {}).is_empty());
}

#[test]
fn a_username_that_looks_like_an_address_is_refused() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let names = ["ada@example.com", "+49 30 901820", "0309018200", "ada\u{ff20}example"];

    for name in names {
        let mut body = person("ada@example.com");
        body["username"] = json!(name);
        let reply = shop.post("/v1/users", body);
        assert_eq!(reply.pointers(), ["/username"], "{name}");
        assert_eq!(reply.body["errors"][0]["code"], "looks_like_address", "{name}");
        assert_eq!(reply.refused(422), "invalid", "{name}");
    }

    assert!(purser.db_find("users", doc! {}).is_empty());
}

#[test]
fn all_that_is_wrong_with_a_registration_is_told_at_once() {
    let purser = Purser::start();
    let shop = purser.app("shop");

    let reply = shop.post(
        "/v1/users",
        json!({
            "email": "nobody", "verified": ["email"], "username": "a@b", "password": "short",
            "profile": { "first_name": "", "phone": "1", "timezone": "Mars/Olympus", "language": "?" },
            "connection": {
                "permissions": ["everything", "read", "read"], "roles": ["No Name"],
                "app_profile": { "avatar_url": "javascript:alert(1)", "custom_fields": { "$x": 1 } },
            },
        }),
    );

    let mut pointers = reply.pointers();
    pointers.sort_unstable();
    let expected = [
        "/connection/app_profile/avatar_url",
        "/connection/app_profile/custom_fields/$x",
        "/connection/permissions/0",
        "/connection/permissions/2",
        "/connection/roles/0",
        "/email",
        "/password",
        "/profile/first_name",
        "/profile/language",
        "/profile/phone",
        "/profile/timezone",
        "/username",
    ];
    assert_eq!(pointers, expected);
    assert!(!reply.body.to_string().contains("Mars"), "values are not repeated");
    assert_eq!(reply.refused(422), "invalid");
}

#[test]
fn permissions_beyond_the_apps_ceiling_are_refused() {
    let purser = Purser::start();
    let shop = purser.app_with("shop", json!({ "permissions": ["read"] }));
    let mut body = person("ada@example.com");
    body["connection"] = json!({ "permissions": ["read", "write"] });

    let reply = shop.post("/v1/users", body);

    assert_eq!(reply.pointers(), ["/connection/permissions/1"]);
    assert_eq!(reply.body["errors"][0]["code"], "beyond_ceiling");
    assert_eq!(reply.refused(422), "invalid");
    assert!(purser.db_find("users", doc! {}).is_empty());
}

#[test]
fn a_connection_holds_the_apps_default_permissions_and_roles_unless_others_are_sent() {
    let purser = Purser::start();
    let shop = purser.app_with(
        "shop",
        json!({
            "default_permissions": ["read"],
            "roles": [{ "name": "guest", "default": true }, { "name": "editor" }],
        }),
    );
    let mut chosen = person("bob@example.com");
    chosen["connection"] =
        json!({ "permissions": ["wallet_access"], "roles": ["editor", "guest"] });
    let mut none = person("eve@example.com");
    none["connection"] = json!({ "permissions": [], "roles": [] });

    let held = |body| {
        let answer = shop.post("/v1/users", body).expect(201);
        let own = answer["user"]["app_specific"].clone();
        json!([own["permissions"], own["roles"]])
    };

    assert_eq!(held(person("ada@example.com")), json!([["read"], ["guest"]]));
    assert_eq!(held(chosen), json!([["wallet_access"], ["editor", "guest"]]));
    assert_eq!(held(none), json!([[], []]));
}

#[test]
fn a_role_that_the_app_does_not_have_is_refused() {
    let purser = Purser::start();
    let shop = shop_with_roles(&purser);
    let mut body = person("ada@example.com");
    body["connection"] = json!({ "roles": ["editor", "owner"] });

    let reply = shop.post("/v1/users", body);

    assert_eq!(reply.pointers(), ["/connection/roles/1"]);
    assert_eq!(reply.body["errors"][0]["code"], "unknown_role");
    assert_eq!(reply.refused(422), "invalid");
    assert!(purser.db_find("users", doc! {}).is_empty());
}

#[test]
fn a_password_is_kept_as_an_argon2id_hash_and_nothing_else() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut body = person("ada@example.com");
    body["password"] = json!("correct horse battery");

    let answer = shop.post("/v1/users", body).expect(201);

    let user = only(purser.db_find("users", doc! { "_id": id_of(&answer) }));
    let hash = user.get_str("password").expect("a hash");
    assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
    let audit = user.get_document("audit").expect("audit");
    assert_eq!(audit.get_datetime("password_changed_at").ok(), Some(&purser.now()));
    let entry = only(purser.db_entries(doc! { "user_id": id_of(&answer) }));
    let changes = entry.get_document("changes").expect("changes");
    assert_eq!(changes.get_document("password").ok(), Some(&doc! { "new": "secret" }));
    for collection in ["users", "user_apps", "user_audit_logs", "registrations", "idempotency"] {
        let text = format!("{:?}", purser.db_find(collection, doc! {}));
        assert!(!text.contains("correct horse"), "{collection}");
    }
    assert!(!answer.to_string().contains("argon2id"));
}

#[test]
fn a_password_of_a_known_person_is_not_changed_by_a_registration() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));
    let with_password = |password: &str| {
        let mut body = person("ada@example.com");
        body["password"] = json!(password);
        body
    };
    shop.register_with(with_password("correct horse battery"));
    let hash = |user: Document| user.get_str("password").expect("a hash").to_owned();
    let before = hash(only(purser.db_find("users", doc! {})));

    club.post("/v1/users", with_password("another password")).expect(201);
    shop.post("/v1/users", with_password("a third password")).expect(200);

    assert_eq!(hash(only(purser.db_find("users", doc! {}))), before);
}

#[test]
fn a_body_that_names_the_calling_app_is_taken_and_one_that_names_another_is_refused() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    purser.app("club");
    let naming = |field: &str, value: Value| {
        let mut body = person("ada@example.com");
        body[field] = value;
        body
    };

    for wrong in [json!("club"), json!("none"), json!(5), json!(null), json!({ "$ne": "shop" })] {
        for field in ["app_id", "appId"] {
            let reply = shop.post("/v1/users", naming(field, wrong.clone()));
            assert_eq!(reply.refused(403), "context_mismatch", "{field}: {wrong}");
        }
    }
    assert!(purser.db_find("users", doc! {}).is_empty());
    let own = shop.post("/v1/users", naming("app_id", json!("shop"))).expect(201);

    let id = own["user_id"].as_str().expect("an id");
    let path = format!("/v1/users/{id}");
    let patch = |fields: Value| shop.patch(&path, fields);
    patch(json!({ "user_id": id, "appId": "shop", "username": "ada" })).expect(200);
    assert_eq!(
        patch(json!({ "user_id": "0123456789abcdef01234567" })).refused(403),
        "context_mismatch"
    );
    assert_eq!(patch(json!({ "userId": null })).refused(403), "context_mismatch");
    assert_eq!(patch(json!({ "app_id": "club" })).refused(403), "context_mismatch");
}

#[test]
fn a_registration_repeated_under_its_idempotency_key_is_answered_the_same_and_happens_once() {
    let purser = Purser::start();
    let shop = purser.app("shop").with("Idempotency-Key", "registration-1");
    let body = json!({ "email": "ada@example.com", "verified": ["email"], "username": "ada" });
    let reordered = r#"{ "username":"ada", "verified":["email"],"email":"ada@example.com" }"#;

    let first = shop.post("/v1/users", body);
    let count = entries(&purser);
    purser.step_clock(60_000);
    let again = shop.send("POST", "/v1/users", Some(reordered.as_bytes().to_vec()));

    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let (first, again) = (first.expect(201), again.expect(201));
    assert!(first["connection_key"].is_string());
    assert_eq!(again, first);
    assert_eq!(entries(&purser), count);
    let stored = format!("{:?}", purser.db_find("idempotency", doc! {}));
    for plain in
        ["ada@example.com", "registration-1", first["connection_key"].as_str().expect("a key")]
    {
        assert!(!stored.contains(plain), "{plain} stands in the idempotency record");
    }
}

#[test]
fn an_idempotency_key_belongs_to_its_app_and_its_body() {
    let purser = Purser::start();
    let shop = purser.app("shop").with("Idempotency-Key", "one");
    let club = purser.app("club").with("Idempotency-Key", "one");
    shop.register("ada@example.com");

    let other_body = shop.post("/v1/users", person("bob@example.com"));
    let other_app = club.post("/v1/users", person("eve@example.com"));

    assert_eq!(other_body.refused(422), "idempotency_key_reused");
    assert_eq!(other_app.header("idempotency-replayed"), None);
    other_app.expect(201);
    assert_eq!(purser.db_find("users", doc! {}).len(), 2);
}

#[test]
fn a_refusal_is_remembered_under_its_idempotency_key() {
    let purser = Purser::start();
    let shop = purser.app_with("shop", json!({ "permissions": ["read"] }));
    let once = shop.with("Idempotency-Key", "refused-1");
    let mut body = person("ada@example.com");
    body["connection"] = json!({ "permissions": ["write"] });
    let first = once.post("/v1/users", body.clone());
    assert_eq!(first.header("idempotency-replayed"), None);
    let ceiling = json!({ "permissions": ["read", "write"] });
    purser.admin().with("If-Match", "*").patch("/v1/admin/apps/shop", ceiling).expect(200);

    let again = once.post("/v1/users", body.clone());

    assert_eq!(again.pointers(), first.pointers());
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((first.refused(422), again.refused(422)), ("invalid".into(), "invalid".into()));
    shop.post("/v1/users", body).expect(201);
}

#[test]
fn an_idempotency_key_is_1_to_255_visible_characters() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let under =
        |key: &str| shop.with("Idempotency-Key", key).post("/v1/users", person("a@b.example"));

    for key in ["", "two words", &"x".repeat(256)] {
        assert_eq!(under(key).refused(400), "invalid_idempotency_key", "{key:?}");
    }
    assert!(purser.db_find("users", doc! {}).is_empty());

    under(&"x".repeat(255)).expect(201);
}

#[test]
fn sixteen_threads_that_register_the_same_new_person_at_once_make_one_person() {
    let purser = Purser::start();
    let (shop, club) = (purser.app("shop"), purser.app("club"));

    let threads: Vec<_> = (0..16)
        .map(|at| if at % 2 == 0 { shop.clone() } else { club.clone() })
        .map(|app| thread::spawn(move || app.post("/v1/users", person("ada@example.com"))))
        .collect();
    let replies: Vec<_> = threads.into_iter().map(|one| one.join().expect("answers")).collect();

    let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 14], vec![201; 2]].concat());
    let user = only(purser.db_find("users", doc! {}));
    let id = user.get_object_id("_id").expect("an id").to_hex();
    assert!(replies.iter().all(|reply| reply.body["user_id"] == id.as_str()));
    for collection in ["identities", "customers", "accounts", "user_keys"] {
        assert_eq!(purser.db_find(collection, doc! {}).len(), 1, "{collection}");
    }
    assert_eq!(purser.db_find("user_apps", doc! {}).len(), 2);
    assert_eq!(purser.db_entries(doc! { "subject": format!("user:{id}") }).len(), 2);
}
