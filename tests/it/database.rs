//! The database as somebody finds it who knows the source document, and what must never be in it.

use std::collections::BTreeSet;

use bson::spec::ElementType;
use bson::{Bson, Document, RawDocumentBuf, doc};
use serde_json::json;

use crate::harness::{Purser, explain, person, stages};

/// The sample person of the source document.
fn register_sample(purser: &Purser) -> bson::oid::ObjectId {
    let external = purser.app_with(
        "external_app_001",
        json!({ "name": "External Application",
            "permissions": ["read", "write", "wallet_access"] }),
    );
    let (id, _) = external.register_with(json!({
        "email": "john.doe@example.com", "verified": ["email"], "username": "johndoe",
        "password": "correct horse battery staple",
        "profile": { "first_name": "John", "last_name": "Doe", "phone": "+12025550123",
            "timezone": "America/New_York", "language": "en" },
        "preferences": { "notifications": { "email": true, "sms": false, "push": true },
            "privacy": { "profile_visible": true, "activity_visible": false } },
        "connection": { "app_version": "1.0.0", "app_username": "johndoe_ext",
            "app_display_name": "John D.",
            "app_profile": { "nickname": "JD", "avatar_url": "https://app.com/avatar.jpg",
                "preferences": { "theme": "dark", "language": "en", "notifications": true },
                "custom_fields": { "department": "Engineering", "employee_id": "EMP001" } },
            "permissions": ["read", "write", "wallet_access"], "sync_frequency": "realtime",
            "sync_settings": { "wallet_updates": true, "profile_updates": true,
                "transaction_history": true } },
    }));
    external.get(&format!("/v1/users/{id}")).expect(200);
    let rename = json!({ "profile": { "last_name": "Doer" } });
    external.patch(&format!("/v1/users/{id}"), rename).expect(200);
    purser.block_on(purser.inner.flush_last_used()).expect("flushed");
    id.parse().expect("an id")
}

fn only(mut documents: Vec<Document>) -> Document {
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// The document has exactly these fields with these types, and besides them exactly `added`.
#[track_caller]
fn has(document: &Document, fields: &[(&str, ElementType)], added: &[&str]) {
    for (name, expected) in fields {
        let value = document.get(name).unwrap_or_else(|| panic!("there is no {name}"));
        assert_eq!(value.element_type(), *expected, "{name}: {value}");
    }
    let expected = names(fields.iter().map(|(name, _)| *name).chain(added.iter().copied()));
    assert_eq!(names(document.keys().map(String::as_str)), expected);
}

use ElementType::{
    Array, Boolean, DateTime, EmbeddedDocument as Object, Int64, Null, ObjectId, String as Text,
};

#[test]
fn a_stored_person_is_the_document_that_the_model_describes() {
    let purser = Purser::start();
    let id = register_sample(&purser);
    let user = only(purser.db_find("users", doc! { "_id": id }));

    has(
        &user,
        &[
            ("_id", ObjectId),
            ("email", Text),
            ("username", Text),
            ("password", Text),
            ("status", Text),
            ("created_at", DateTime),
            ("updated_at", DateTime),
            ("profile", Object),
            ("preferences", Object),
            ("modules", Object),
            ("audit", Object),
        ],
        &["customer_id", "account_number", "revision", "revised_at"],
    );
    let part = |name: &str| user.get_document(name).expect(name).clone();
    let profile = ["first_name", "last_name", "phone", "timezone", "language"];
    has(&part("profile"), &profile.map(|name| (name, Text)), &[]);
    let preferences = part("preferences");
    has(&preferences, &[("notifications", Object), ("privacy", Object)], &[]);
    let notifications = preferences.get_document("notifications").expect("notifications");
    has(notifications, &[("email", Boolean), ("sms", Boolean), ("push", Boolean)], &[]);
    let privacy = preferences.get_document("privacy").expect("privacy");
    has(privacy, &[("profile_visible", Boolean), ("activity_visible", Boolean)], &[]);
    // Nobody has signed in yet.
    let audit = [
        ("last_login", Null),
        ("login_count", Int64),
        ("password_changed_at", DateTime),
        ("profile_updated_at", DateTime),
    ];
    has(&part("audit"), &audit, &[]);
    let modules = part("modules");
    has(&modules, &[("wallet", Object), ("subscription", Object), ("referrals", Object)], &[]);
    let module = |name: &str| modules.get_document(name).expect(name).clone();
    let wallet =
        [("enabled", Boolean), ("balance", Int64), ("currency", Text), ("last_updated", DateTime)];
    has(&module("wallet"), &wallet, &["held", "seq", "lots", "holds", "frozen"]);
    let subscription = [("enabled", Boolean), ("plan", Null), ("expires_at", Null)];
    let added =
        ["status", "current_period", "cancel_at_period_end", "seq", "price", "pending_change"];
    has(&module("subscription"), &subscription, &added);
    let referrals = [("enabled", Boolean), ("referral_code", Null), ("referrals_count", Int64)];
    has(&module("referrals"), &referrals, &["referred_by", "rewarded"]);
    assert_eq!(user.get_str("email").ok(), Some("john.doe@example.com"));
    assert_eq!(user.get_str("status").ok(), Some("active"));
    assert!(user.get_str("password").expect("a password").starts_with("$argon2id$"));
}

#[test]
fn a_stored_connection_is_the_document_that_the_model_describes() {
    let purser = Purser::start();
    let id = register_sample(&purser);
    let tie = only(purser.db_find("user_apps", doc! { "user_id": id }));

    has(
        &tie,
        &[
            ("_id", ObjectId),
            ("user_id", ObjectId),
            ("app_id", Text),
            ("app_name", Text),
            ("app_version", Text),
            ("app_username", Text),
            ("app_display_name", Text),
            ("app_profile", Object),
            ("connection_status", Text),
            ("permissions", Array),
            ("api_key", Text),
            ("sync_frequency", Text),
            ("connected_at", DateTime),
            ("last_sync", DateTime),
            ("sync_settings", Object),
            ("rate_limits", Object),
        ],
        &["roles", "key_id", "key_mac", "key_hint", "key_created_at"],
    );
    let part = |name: &str| tie.get_document(name).expect(name).clone();
    let profile = [
        ("nickname", Text),
        ("avatar_url", Text),
        ("preferences", Object),
        ("custom_fields", Object),
    ];
    has(&part("app_profile"), &profile, &[]);
    let settings = ["wallet_updates", "profile_updates", "transaction_history"];
    has(&part("sync_settings"), &settings.map(|name| (name, Boolean)), &[]);
    let limits = ["requests_per_minute", "requests_per_hour"];
    has(&part("rate_limits"), &limits.map(|name| (name, Int64)), &[]);
    assert_eq!(tie.get_str("app_name").ok(), Some("External Application"));
    assert_eq!(tie.get_str("sync_frequency").ok(), Some("realtime"));
    assert!(tie.get_str("api_key").expect("a key").starts_with("v1.m1."));
    let permissions = ["read", "write", "wallet_access"].map(Bson::from);
    assert_eq!(tie.get_array("permissions").map(Vec::as_slice).ok(), Some(&permissions[..]));
}

#[test]
fn a_stored_entry_is_the_document_that_the_model_describes() {
    let purser = Purser::start();
    let id = register_sample(&purser);
    let changed = doc! { "user_id": id, "action": "profile_updated" };
    let entry = only(purser.db_find("user_audit_logs", changed));

    has(
        &entry,
        &[
            ("_id", ObjectId),
            ("user_id", ObjectId),
            ("app_id", Text),
            ("action", Text),
            ("module", Text),
            ("changes", Object),
            ("timestamp", DateTime),
            ("ip_address", Text),
        ],
        &["subject", "seq", "actor", "connection_id", "request_id", "paths", "outcome"],
    );
    let changes = entry.get_document("changes").expect("changes");
    let name = changes.get_document("profile.last_name").expect("the path is the key");
    has(name, &[("old", Text), ("new", Text)], &[]);
    assert_eq!(entry.get_str("app_id").ok(), Some("external_app_001"));
    assert_eq!(entry.get_str("module").ok(), Some("core"));
    assert_eq!(entry.get_str("ip_address").ok(), Some("127.0.0.1"));
}

#[test]
fn the_registry_holds_the_three_modules_with_the_schemas_of_the_model() {
    let purser = Purser::start();
    let modules = purser.db_find("user_modules", doc! {});

    for module in &modules {
        has(
            module,
            &[
                ("_id", ObjectId),
                ("module_name", Text),
                ("display_name", Text),
                ("description", Text),
                ("status", Text),
                ("version", Text),
                ("schema", Object),
                ("created_at", DateTime),
                ("updated_at", DateTime),
            ],
            &["permission", "defaults", "required_kyc_level", "versions", "revision", "revised_at"],
        );
    }
    let schema = |name: &str| {
        let module = modules.iter().find(|module| module.get_str("module_name").ok() == Some(name));
        let module = module.unwrap_or_else(|| panic!("there is no {name}"));
        assert_eq!(module.get_str("status").ok(), Some("active"));
        let version = if name == "wallet" { "1.3.0" } else { "1.2.0" };
        assert_eq!(module.get_str("version").ok(), Some(version));
        module.get_document("schema").expect("a schema").clone()
    };
    assert_eq!(modules.len(), 3);
    let of_wallet = schema("wallet");
    for (field, kind) in [("enabled", "boolean"), ("balance", "number"), ("last_updated", "date")] {
        assert_eq!(of_wallet.get_str(field).ok(), Some(kind));
    }
    let of_subscription = schema("subscription");
    for (field, kind) in [("enabled", "boolean"), ("plan", "string?"), ("expires_at", "date?")] {
        assert_eq!(of_subscription.get_str(field).ok(), Some(kind));
    }
    let of_referrals = schema("referrals");
    for (field, kind) in
        [("enabled", "boolean"), ("referral_code", "string?"), ("referrals_count", "number")]
    {
        assert_eq!(of_referrals.get_str(field).ok(), Some(kind));
    }
    let wallet = modules.iter().find(|module| module.get_str("module_name").ok() == Some("wallet"));
    let wallet = wallet.expect("checked above");
    assert_eq!(wallet.get_str("display_name").ok(), Some("Wallet Module"));
    assert_eq!(
        wallet.get_str("description").ok(),
        Some("Credit balance and transaction management")
    );
}

/// The indexes of a collection: their keys, and whether they are unique.
fn indexes(purser: &Purser, collection: &str) -> Vec<(Document, bool)> {
    let reply = purser.db_command(doc! { "listIndexes": collection });
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let index = |index: &Bson| {
        let index = index.as_document().expect("an index");
        let keys = index.get_document("key").expect("keys").clone();
        (keys, index.get_bool("unique").unwrap_or(false))
    };
    batch.expect("indexes").iter().map(index).collect()
}

#[test]
fn every_index_of_the_model_exists() {
    let purser = Purser::start();
    let newest_first = |field: &str| doc! { field: 1, "timestamp": -1, "_id": -1 };
    let documented = [
        ("users", doc! { "email": 1 }, true),
        ("users", doc! { "username": 1 }, false),
        ("users", doc! { "status": 1 }, false),
        ("users", doc! { "created_at": 1 }, false),
        ("users", doc! { "updated_at": 1 }, false),
        ("user_apps", doc! { "user_id": 1 }, false),
        ("user_apps", doc! { "app_id": 1 }, false),
        ("user_apps", doc! { "user_id": 1, "app_id": 1 }, true),
        ("user_apps", doc! { "connection_status": 1 }, false),
        ("user_apps", doc! { "connected_at": 1 }, false),
        ("user_apps", doc! { "last_sync": 1 }, false),
        ("user_modules", doc! { "module_name": 1 }, true),
        ("user_modules", doc! { "status": 1 }, false),
        ("user_modules", doc! { "created_at": 1 }, false),
        ("user_audit_logs", newest_first("user_id"), false),
        ("user_audit_logs", newest_first("action"), false),
        ("user_audit_logs", doc! { "timestamp": -1, "_id": -1 }, false),
        ("user_audit_logs", newest_first("module"), false),
        ("user_audit_logs", newest_first("app_id"), false),
    ];
    for (collection, keys, unique) in documented {
        let there = indexes(&purser, collection);
        assert!(there.contains(&(keys.clone(), unique)), "{collection} {keys}: {there:?}");
    }
}

#[test]
fn every_query_of_the_model_uses_an_index_and_sorts_nothing() {
    let purser = Purser::start();
    let id = register_sample(&purser);
    let long_ago = bson::DateTime::from_millis(0);
    let newest = doc! { "timestamp": -1 };
    let (due, lines) = (doc! { "modules.wallet.due_at": 1 }, doc! { "created_at": -1, "seq": -1 });
    let marks = doc! { "subscription": 1, "_id": 1 };
    let queries = [
        ("users", doc! { "_id": id }, None),
        ("users", doc! { "email": "john.doe@example.com" }, None),
        ("users", doc! { "username": "johndoe" }, None),
        ("users", doc! { "status": "active" }, None),
        ("users", doc! { "created_at": { "$gte": long_ago } }, Some(doc! { "created_at": -1 })),
        ("users", doc! { "updated_at": { "$gte": long_ago } }, Some(doc! { "updated_at": -1 })),
        ("user_apps", doc! { "user_id": id }, None),
        ("user_apps", doc! { "app_id": "external_app_001" }, None),
        ("user_apps", doc! { "user_id": id, "app_id": "external_app_001" }, None),
        (
            "user_apps",
            doc! { "user_id": id, "app_id": "external_app_001", "connection_status": "active" },
            None,
        ),
        ("user_apps", doc! { "connection_status": "active" }, None),
        (
            "user_apps",
            doc! { "connected_at": { "$gte": long_ago } },
            Some(doc! { "connected_at": -1 }),
        ),
        ("user_apps", doc! { "last_sync": { "$gte": long_ago } }, Some(doc! { "last_sync": -1 })),
        ("user_modules", doc! { "module_name": "wallet" }, None),
        ("user_modules", doc! { "status": "active" }, None),
        (
            "user_modules",
            doc! { "created_at": { "$gte": long_ago } },
            Some(doc! { "created_at": -1 }),
        ),
        ("user_audit_logs", doc! { "user_id": id }, Some(newest.clone())),
        ("user_audit_logs", doc! { "action": "profile_updated" }, Some(newest.clone())),
        ("user_audit_logs", doc! { "timestamp": { "$gte": long_ago } }, Some(newest.clone())),
        ("user_audit_logs", doc! { "module": "core" }, Some(newest.clone())),
        ("user_audit_logs", doc! { "app_id": "external_app_001" }, Some(newest.clone())),
        (
            "user_audit_logs",
            doc! { "user_id": id, "timestamp": { "$gte": long_ago } },
            Some(doc! { "timestamp": -1, "_id": -1 }),
        ),
        ("user_audit_logs", doc! { "user_id": id, "app_id": "external_app_001" }, Some(newest)),
        ("users", doc! { "modules.wallet.due_at": { "$lte": long_ago } }, Some(due)),
        ("dues", doc! { "subscription": { "$lte": long_ago } }, Some(marks.clone())),
        ("dues", due_after(long_ago, id), Some(marks)),
        (
            "users",
            doc! { "modules.subscription.owes": { "$exists": true },
            "$expr": { "$gte": ["$modules.wallet.balance", "$modules.subscription.owes"] } },
            None,
        ),
        ("plans", doc! { "apps": "shop", "status": "active" }, Some(doc! { "_id": 1 })),
        (
            "referrals",
            doc! { "status": "pending", "look_at": { "$not": { "$gt": long_ago } } },
            Some(doc! { "look_at": 1 }),
        ),
        ("referrals", doc! { "status": "flagged" }, Some(doc! { "_id": 1 })),
        ("users", doc! { "account_number": { "$eq": "12345678901287" } }, None),
        (
            "wallet_entries",
            doc! { "reference": { "$in": ["a", "b"] }, "scope": { "$in": ["app:shop"] },
            "kind": { "$in": ["debit", "hold"] } },
            None,
        ),
        ("wallet_entries", doc! { "user_id": id }, Some(lines.clone())),
        (
            "wallet_entries",
            doc! { "user_id": id, "created_at": { "$gte": long_ago, "$lte": long_ago },
            "seq": { "$lt": 9_i64 } },
            Some(lines.clone()),
        ),
        (
            "wallet_entries",
            doc! { "user_id": id, "app_id": { "$in": ["external_app_001", null] },
            "created_at": { "$lte": long_ago }, "seq": { "$lt": 9_i64 } },
            Some(lines),
        ),
    ];
    for (collection, filter, sort) in queries {
        let mut find = doc! { "find": collection, "filter": filter.clone() };
        if let Some(sort) = sort {
            find.insert("sort", sort);
        }
        let stages = stages(&explain(&purser, find));
        let by_index = stages.iter().any(|stage| stage == "IXSCAN" || stage == "IDHACK");
        let slow = stages.iter().any(|stage| stage == "COLLSCAN" || stage == "SORT");
        assert!(by_index && !slow, "{collection} {filter}: {stages:?}");
    }
}

fn due_after(at: bson::DateTime, id: bson::oid::ObjectId) -> Document {
    let later = doc! { "subscription": { "$gt": at, "$lte": at } };
    doc! { "$or": [{ "subscription": at, "_id": { "$gt": id } }, later] }
}

#[test]
fn a_migration_that_is_repeated_does_nothing() {
    let purser = Purser::start();
    let plan = purser.block_on(purser.inner.store.plan()).expect("a plan");
    assert!(plan.is_empty(), "{:?}", plan.lines().collect::<Vec<_>>());

    let done = purser.migrate();
    assert_eq!(done, Vec::<String>::new());
    purser.block_on(purser.inner.store.check_version()).expect("its own version");
}

#[test]
fn a_migration_restores_a_dropped_index_and_a_changed_validator_and_says_so_before() {
    let purser = Purser::start();
    let (id, _) = purser.app("shop").register("ada@example.com");
    let indexes_before = indexes(&purser, "users");
    purser.db_command(doc! { "dropIndexes": "users", "index": "username_1" });
    purser.db_command(doc! { "collMod": "users", "validator": {} });
    purser.db_command(doc! { "drop": "idempotency" });

    let plan = purser.block_on(purser.inner.store.plan()).expect("a plan");
    let expected = [
        "change the validator of users",
        "create index username_1 of users",
        "create collection idempotency",
        "create index expires_at_1 of idempotency",
    ];
    assert_eq!(plan.lines().collect::<Vec<_>>(), expected);
    let done = purser.migrate();
    assert_eq!(done, expected);

    assert!(purser.block_on(purser.inner.store.plan()).expect("a plan").is_empty());
    let sorted = |mut indexes: Vec<(Document, bool)>| {
        indexes.sort_by_key(|(keys, _)| keys.to_string());
        indexes
    };
    assert_eq!(sorted(indexes(&purser, "users")), sorted(indexes_before));
    refused_by_validator(&purser, "users", &id, doc! { "modules.wallet.balance": -1_i64 });
}

#[test]
fn a_migration_notes_who_is_due_before_it_drops_the_index_that_said_so() {
    let purser = Purser::start().without_replay();
    let shop = purser.app("shop");
    let (ada, _) = shop.register("ada@example.com");
    shop.register("ben@example.com");
    let path = "modules.subscription.due_at";
    let due = bson::DateTime::from_millis(1_767_225_600_000);
    purser.db_update("users", doc! { "email": "ada@example.com" }, doc! { "$set": { path: due } });
    let name = format!("{path}_1");
    let index = doc! { "key": { path: 1 }, "name": &name };
    purser.db_command(doc! { "createIndexes": "users", "indexes": [index] });

    let expected =
        ["note in dues whose subscription is due when", &format!("drop index {name} of users")];
    assert_eq!(purser.migrate(), expected);
    // As an older version that still ran would leave it.
    purser.db_command(doc! { "delete": "dues", "deletes": [{ "q": {}, "limit": 0 }] });
    assert_eq!(purser.migrate(), expected[..1]);

    let ada = bson::oid::ObjectId::parse_str(&ada).expect("an id");
    assert_eq!(purser.db_find("dues", doc! {}), [doc! { "_id": ada, "subscription": due }]);
    assert!(purser.block_on(purser.inner.store.plan()).expect("a plan").is_empty());
}

#[test]
fn a_migration_restores_an_index_that_lost_its_uniqueness_and_a_validator_that_only_warns() {
    let purser = Purser::start();
    let (id, _) = purser.app("shop").register("ada@example.com");
    purser.db_command(doc! { "dropIndexes": "users", "index": "email_1" });
    let weaker = doc! { "key": { "email": 1 }, "name": "email_1" };
    purser.db_command(doc! { "createIndexes": "users", "indexes": [weaker] });
    purser.db_command(doc! { "collMod": "users", "validationAction": "warn" });

    purser.migrate();

    assert!(purser.block_on(purser.inner.store.plan()).expect("a plan").is_empty());
    assert!(indexes(&purser, "users").contains(&(doc! { "email": 1 }, true)));
    refused_by_validator(&purser, "users", &id, doc! { "modules.wallet.balance": -1_i64 });
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what is set is written where it is set")]
fn refused_by_validator(purser: &Purser, collection: &str, id: &str, set: Document) {
    const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
    let id: bson::oid::ObjectId = id.parse().expect("an id");
    let updates = vec![doc! { "q": { "_id": id }, "u": { "$set": set.clone() } }];
    let reply = purser.db_command(doc! { "update": collection, "updates": updates });
    let errors = reply.get_array("writeErrors").unwrap_or_else(|_| panic!("{set} was taken"));
    let error = errors[0].as_document().expect("an error");
    assert_eq!(error.get_i32("code").ok(), Some(DOCUMENT_VALIDATION_FAILURE), "{set}");
}

#[test]
fn a_balance_that_is_negative_or_no_whole_number_is_refused_by_the_database_itself() {
    let purser = Purser::start();
    let (id, _) = purser.app("shop").register("ada@example.com");
    let wrong: [Bson; 5] = [(-1_i64).into(), 1.5.into(), 2.0.into(), "5".into(), Bson::Null];
    for balance in wrong {
        let set = doc! { "modules.wallet.balance": balance };
        refused_by_validator(&purser, "users", &id, set);
    }
    refused_by_validator(&purser, "users", &id, doc! { "status": "new_fangled" });
    refused_by_validator(&purser, "users", &id, doc! { "password": "in the clear" });
}

/// Every document of the database, as its bytes.
fn raw(purser: &Purser) -> Vec<(String, RawDocumentBuf)> {
    purser.db(|database| async move {
        let mut all = Vec::new();
        for name in database.list_collection_names().await.expect("names") {
            let collection = database.collection::<RawDocumentBuf>(&name);
            let mut cursor = collection.find(doc! {}).await.expect("found");
            while cursor.advance().await.expect("advances") {
                all.push((name.clone(), cursor.deserialize_current().expect("a document")));
            }
        }
        all
    })
}

fn holds(document: &RawDocumentBuf, text: &str) -> bool {
    document.as_bytes().windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
}

/// The collections that are not the person's own record, and in which no personal value may stand.
const IMPERSONAL: &[&str] = &[
    "user_audit_logs",
    "idempotency",
    "registrations",
    "meta",
    "user_keys",
    "apps",
    "operators",
    "customers",
    "accounts",
    "user_modules",
];

#[test]
fn no_secret_stands_anywhere_in_plain_text_and_no_personal_value_outside_of_the_person() {
    let purser = Purser::start();
    let admin = purser.admin();
    let auditor = purser.auditor();
    let shop = purser.app("shop").with("Idempotency-Key", "keystone-registration");
    let issued = admin
        .with("Idempotency-Key", "keystone-issue")
        .post("/v1/admin/apps/shop/keys", json!({}))
        .expect(201);
    let second_key = issued["key"].as_str().expect("a key").to_owned();
    let (id, tie) = shop.register_with(json!({
        "email": "zephyrine@example.org", "verified": ["email"], "username": "quixotry",
        "password": "Obelisk-Marmalade-77",
        "profile": { "first_name": "Wilhelmina", "last_name": "Featherstonehaugh",
            "phone": "+442079460321", "timezone": "Antarctica/Troll", "language": "zh-Hant-HK" },
        "connection": { "app_username": "jabberwock", "app_display_name": "Bandersnatch",
            "app_profile": { "nickname": "Snicketty",
                "avatar_url": "https://pictures.example.com/frumious.png",
                "preferences": { "shade": "heliotrope" },
                "custom_fields": { "department": "Thaumaturgy" } } },
    }));
    let shop = purser.with_key(shop.key());
    let mut of_phone = person("polyhymnia@example.org");
    of_phone["verified"] = json!(["email", "phone"]);
    of_phone["profile"] = json!({ "first_name": "Peregrine", "phone": "+442079460999" });
    shop.register_with(of_phone);
    // A case for an admin: the identifiers of two people.
    let mut both = person("zephyrine@example.org");
    both["verified"] = json!(["email", "phone"]);
    both["profile"] = json!({ "first_name": "Nobody", "phone": "+442079460999" });
    shop.with("Idempotency-Key", "keystone-two").post("/v1/users", both).expect(202);
    let change = json!({ "username": "vorpal", "profile": { "first_name": "Ermentrude",
        "phone": "+442079460777" } });
    tie.patch("/v1/users/me", change).expect(200);
    let change = json!({ "app_username": "tulgey", "app_profile": { "nickname": null } });
    tie.patch("/v1/users/me/connection", change).expect(200);
    auditor.get(&format!("/v1/audit/logs?user_id={id}")).expect(200);
    shop.delete(&format!("/v1/users/{id}/connection")).expect(204);
    purser.block_on(purser.inner.flush_last_used()).expect("flushed");

    let documents = raw(&purser);
    let keys = [admin.key(), auditor.key(), shop.key(), tie.key(), &second_key];
    // The id inside a key is no secret; the 43 characters after it are.
    let secrets = keys.iter().map(|key| &key[20..63]);
    let others = ["Obelisk-Marmalade-77", "keystone-"];
    for secret in secrets.chain(others) {
        for (collection, document) in &documents {
            assert!(!holds(document, secret), "{collection} holds {secret}: {document:?}");
        }
    }
    let personal = [
        "zephyrine",
        "polyhymnia",
        "quixotry",
        "vorpal",
        "Wilhelmina",
        "Ermentrude",
        "Peregrine",
        "Featherstonehaugh",
        "2079460321",
        "2079460999",
        "2079460777",
        "Antarctica",
        "zh-Hant",
        "jabberwock",
        "tulgey",
        "Bandersnatch",
        "Snicketty",
        "frumious",
        "heliotrope",
        "Thaumaturgy",
    ];
    for value in personal {
        let mut stored = false;
        for (collection, document) in &documents {
            let held = holds(document, value);
            stored |= held;
            let impersonal = IMPERSONAL.contains(&collection.as_str());
            assert!(!(impersonal && held), "{collection} holds {value}: {document:?}");
        }
        // What is there shows that the search finds what it looks for.
        let replaced = ["quixotry", "Wilhelmina", "2079460321", "jabberwock", "Snicketty"];
        assert_eq!(stored, !replaced.contains(&value), "{value}");
    }
    for collection in IMPERSONAL {
        assert!(documents.iter().any(|(name, _)| name == collection), "{collection} is empty");
    }
}
