//! Changing a person and a connection: merge patches, what values may be, and hostile bodies.

use std::io::{Read, Write};
use std::net::TcpStream;

use bson::{Document, doc};
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, START, person};

struct Case {
    purser: Purser,
    shop: Principal,
    path: String,
    tie: String,
}

/// A shop with one person.
fn case() -> Case {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut body = person("ada@example.com");
    body["username"] = json!("ada");
    body["profile"] = json!({
        "first_name": "Ada", "last_name": "King", "phone": "+442079460958",
        "timezone": "Europe/London", "language": "en-GB",
    });
    let (id, _) = shop.register_with(body);
    let path = format!("/v1/users/{id}");
    Case { purser, shop, tie: format!("{path}/connection"), path }
}

impl Case {
    fn user(&self) -> Document {
        self.purser.db_find("users", doc! {}).remove(0)
    }

    /// All that a refused change must leave as it was.
    fn stored(&self) -> Vec<Vec<Document>> {
        let names = ["users", "user_apps", "user_audit_logs", "identities", "idempotency"];
        names.map(|name| self.purser.db_find(name, doc! {})).into()
    }

    fn shared(&self, patch: Value) -> Value {
        self.shop.patch(&self.path, patch).expect(200)["shared"].clone()
    }

    fn own(&self, patch: Value) -> Value {
        self.shop.patch(&self.tie, patch).expect(200)["app_specific"].clone()
    }

    /// The refused field and its code.
    #[track_caller]
    fn refused(&self, path: &str, patch: &Value) -> Vec<String> {
        let reply = self.shop.patch(path, patch.clone());
        let pointers = reply.pointers().into_iter().map(str::to_owned).collect();
        assert_eq!(reply.refused(422), "invalid", "{patch}");
        pointers
    }
}

#[test]
fn a_field_that_is_not_sent_stays_and_null_removes_it() {
    let case = case();

    let changed = case.shared(json!({ "profile": { "first_name": "Augusta", "phone": null } }));
    let nameless = case.shared(json!({ "username": null }));
    let empty = case.shared(json!({ "profile": {}, "preferences": { "privacy": {} } }));

    assert_eq!(
        changed["profile"],
        json!({
            "first_name": "Augusta", "last_name": "King", "phone": null,
            "timezone": "Europe/London", "language": "en-GB",
        })
    );
    assert_eq!(changed["username"], "ada");
    assert_eq!((&nameless["username"], &nameless["profile"]), (&Value::Null, &changed["profile"]));
    assert_eq!(empty, nameless);
    assert!(!case.user().get_document("profile").expect("a profile").contains_key("phone"));
}

#[test]
fn a_preference_that_is_removed_is_back_at_its_default() {
    let case = case();

    let set = case.shared(json!({ "preferences": {
        "notifications": { "email": false, "sms": true },
        "privacy": { "profile_visible": false, "activity_visible": true },
    } }));
    let cleared = case.shared(json!({ "preferences": {
        "notifications": { "email": null, "sms": null }, "privacy": { "profile_visible": null },
    } }));

    assert_eq!(
        set["preferences"],
        json!({
            "notifications": { "email": false, "sms": true, "push": true },
            "privacy": { "profile_visible": false, "activity_visible": true },
        })
    );
    assert_eq!(
        cleared["preferences"],
        json!({
            "notifications": { "email": true, "sms": false, "push": true },
            "privacy": { "profile_visible": true, "activity_visible": true },
        })
    );
}

#[test]
fn an_app_changes_its_own_side_field_by_field() {
    let case = case();

    case.own(json!({
        "app_username": "ada_ext", "app_display_name": "Ada K.", "app_version": "1.0.0",
        "app_profile": { "nickname": "Ad", "avatar_url": "https://example.com/a.png" },
        "sync_frequency": "manual", "sync_settings": { "wallet_updates": false },
    }));
    let after = case.own(json!({
        "app_display_name": null, "app_version": "2.0.0", "app_profile": { "nickname": null },
        "sync_frequency": null, "sync_settings": { "wallet_updates": null, "profile_updates": false },
    }));

    assert_eq!(
        (&after["app_username"], &after["app_display_name"]),
        (&json!("ada_ext"), &Value::Null)
    );
    assert_eq!(after["app_version"], "2.0.0");
    assert_eq!(after["app_profile"]["nickname"], Value::Null);
    assert_eq!(after["app_profile"]["avatar_url"], "https://example.com/a.png");
    assert_eq!(after["sync_frequency"], "realtime");
    assert_eq!(
        after["sync_settings"],
        json!({ "wallet_updates": true, "profile_updates": false, "transaction_history": true })
    );
    assert_eq!(case.shop.get(&case.tie).expect(200)["app_specific"], after);
}

#[test]
fn free_form_fields_are_merged_as_deep_as_they_go() {
    let case = case();
    let fields = |patch: Value| {
        case.own(json!({ "app_profile": { "custom_fields": patch } }))["app_profile"]["custom_fields"]
            .clone()
    };

    let first = fields(json!({ "a": { "b": 1, "c": [1, 2] }, "d": "x", "gone": null }));
    let second = fields(json!({ "a": { "b": null, "c": [3], "e": 1.5 }, "d": { "f": true } }));
    let same = fields(json!({}));
    let cleared = fields(Value::Null);

    assert_eq!(first, json!({ "a": { "b": 1, "c": [1, 2] }, "d": "x" }));
    assert_eq!(second, json!({ "a": { "c": [3], "e": 1.5 }, "d": { "f": true } }));
    assert_eq!(same, second);
    assert_eq!(cleared, Value::Null);
}

#[test]
fn free_form_lists_keep_whatever_their_elements_call_id() {
    let case = case();
    let steps = [
        json!([{ "id": "a.b", "v": 1 }, { "id": "$x", "v": 1 }, { "id": "0", "v": 1 }]),
        json!([{ "id": "a.b", "v": 2 }, { "id": "$x", "v": 2 }, { "id": "0", "v": 2 }]),
        json!([{ "id": "one", "v": 1 }, { "id": "two", "v": 1 }]),
        json!([{ "id": "one", "v": { "w": 1 } }, { "id": "two" }, { "id": "three", "v": [] }]),
        json!([{ "id": "three", "v": [{ "id": "in" }] }, { "id": "one" }]),
        json!([{ "id": "three", "v": [{ "id": "in", "x": 1 }] }, { "id": "one", "0": "zero" }]),
        json!([{ "id": "three" }, { "id": "three" }]),
        json!([{ "id": 5 }, { "id": null }, "three"]),
        json!([]),
        json!({ "0": { "id": "one" }, "1": [{ "id": "1", "v": 1 }] }),
        json!({ "0": { "id": "two" }, "1": [{ "id": "1", "v": 2 }] }),
    ];

    for step in steps {
        case.own(json!({ "app_profile": { "custom_fields": { "list": null } } }));
        let own = case.own(json!({ "app_profile": { "custom_fields": { "list": step } } }));
        assert_eq!(own["app_profile"]["custom_fields"]["list"], step);
        let next = json!({ "app_profile": { "preferences": { "list": step } } });
        assert_eq!(case.own(next)["app_profile"]["preferences"]["list"], step);
    }

    assert_eq!(case.purser.db_find("users", doc! {}).len(), 1);
}

#[test]
fn values_are_stored_in_their_one_usual_form() {
    let case = case();
    let cases = [
        ("phone", "+44 (0)20 7946-0958", "+442079460958"),
        ("phone", "+1 201.555.0123", "+12015550123"),
        ("timezone", "america/new_york", "America/New_York"),
        ("language", "PT-br", "pt-BR"),
        ("first_name", "  Jose\u{301}  ", "Jos\u{e9}"),
    ];

    for (field, sent, stored) in cases {
        let shared = case.shared(json!({ "profile": { field: sent } }));
        assert_eq!(shared["profile"][field], stored, "{sent}");
    }

    let url = json!({ "app_profile": { "avatar_url": " HTTPS://Example.com/a b.png " } });
    assert_eq!(case.own(url)["app_profile"]["avatar_url"], "https://example.com/a%20b.png");
}

#[test]
fn a_value_that_is_none_is_refused_and_its_field_named() {
    let case = case();
    let before = case.stored();
    let shared = [
        ("/username", json!({ "username": "ada@example.com" })),
        ("/username", json!({ "username": "+49 30 901820" })),
        ("/username", json!({ "username": "" })),
        ("/profile/first_name", json!({ "profile": { "first_name": "   " } })),
        ("/profile/first_name", json!({ "profile": { "first_name": "a\nb" } })),
        ("/profile/last_name", json!({ "profile": { "last_name": "a\u{202e}b" } })),
        ("/profile/phone", json!({ "profile": { "phone": "030 901820" } })),
        ("/profile/phone", json!({ "profile": { "phone": "+49 30 1" } })),
        ("/profile/phone", json!({ "profile": { "phone": "+1 800 FLOWERS" } })),
        ("/profile/phone", json!({ "profile": { "phone": "" } })),
        ("/profile/timezone", json!({ "profile": { "timezone": "Berlin" } })),
        ("/profile/timezone", json!({ "profile": { "timezone": "+01:00" } })),
        ("/profile/language", json!({ "profile": { "language": "en_US" } })),
        ("/profile/language", json!({ "profile": { "language": "english language" } })),
    ];
    let own = [
        (
            "/app_profile/avatar_url",
            json!({ "app_profile": { "avatar_url": "javascript:alert(1)" } }),
        ),
        (
            "/app_profile/avatar_url",
            json!({ "app_profile": { "avatar_url": "ftp://example.com" } }),
        ),
        ("/app_profile/avatar_url", json!({ "app_profile": { "avatar_url": "/a.png" } })),
        (
            "/app_profile/avatar_url",
            json!({ "app_profile": { "avatar_url": "https://u:p@example.com" } }),
        ),
        ("/app_profile/nickname", json!({ "app_profile": { "nickname": "" } })),
        ("/app_username", json!({ "app_username": "\u{7}" })),
        ("/sync_frequency", json!({ "sync_frequency": "hourly" })),
    ];

    for (pointer, patch) in shared {
        assert_eq!(case.refused(&case.path, &patch), [pointer], "{patch}");
    }
    for (pointer, patch) in own {
        assert_eq!(case.refused(&case.tie, &patch), [pointer], "{patch}");
    }

    assert_eq!(case.stored(), before);
}

#[test]
fn lengths_are_counted_in_characters() {
    let case = case();
    let (fits, long) = ("\u{1f600}".repeat(100), "\u{e9}".repeat(101));

    let shared = case.shared(json!({ "username": fits, "profile": { "first_name": fits } }));
    let own = case.own(json!({ "app_username": fits, "app_profile": { "nickname": fits } }));

    assert_eq!(
        (&shared["username"], &shared["profile"]["first_name"]),
        (&json!(fits), &json!(fits))
    );
    assert_eq!(own["app_username"], fits.as_str());
    let both = json!({ "username": long, "profile": { "first_name": long, "last_name": long } });
    let pointers = case.refused(&case.path, &both);
    assert_eq!(pointers, ["/username", "/profile/first_name", "/profile/last_name"]);
    let names = json!({ "app_username": long, "app_profile": { "nickname": long } });
    assert_eq!(case.refused(&case.tie, &names), ["/app_username", "/app_profile/nickname"]);
}

#[test]
fn updated_at_moves_with_the_shared_part_only() {
    let case = case();
    let updated = || case.shop.get(&case.path).expect(200)["shared"]["updated_at"].clone();

    case.purser.step_clock(1000);
    case.own(json!({ "app_version": "2" }));
    assert_eq!(updated(), START);

    case.purser.step_clock(1000);
    case.shared(json!({ "username": "augusta" }));
    assert_eq!(updated(), "2026-01-01T00:00:02.000Z");

    case.purser.step_clock(1000);
    case.shared(json!({ "preferences": { "privacy": { "profile_visible": false } } }));
    assert_eq!(updated(), "2026-01-01T00:00:03.000Z");

    case.purser.step_clock(1000);
    case.shared(json!({ "username": "augusta" }));
    assert_eq!(updated(), "2026-01-01T00:00:03.000Z", "nothing has changed");
}

#[test]
fn profile_updated_at_moves_with_the_profile_only() {
    let case = case();
    let moved = || {
        let user = case.user();
        user.get_document("audit").expect("audit").get_datetime("profile_updated_at").ok().copied()
    };

    case.purser.step_clock(1000);
    case.shared(
        json!({ "username": "augusta", "preferences": { "notifications": { "sms": true } } }),
    );
    assert_eq!(moved(), None);

    case.shared(json!({ "profile": { "first_name": "Augusta" } }));
    assert_eq!(moved(), Some(case.purser.now()));
}

#[test]
fn a_change_to_what_is_there_already_leaves_no_entry_and_the_same_tag() {
    let case = case();
    case.own(json!({ "app_username": "x", "app_profile": { "custom_fields": { "a": [1] } } }));
    let before = case.stored();
    let tags =
        [&case.path, &case.tie].map(|path| case.shop.get(path).header("etag").map(str::to_owned));
    case.purser.step_clock(1000);

    for patch in [
        json!({}),
        json!({ "username": "ada" }),
        json!({ "username": " ada " }),
        json!({ "profile": { "first_name": "Ada", "phone": "+44 20 7946 0958" } }),
        json!({ "preferences": { "notifications": { "email": null } } }),
    ] {
        case.shop.patch(&case.path, patch).expect(200);
    }
    for patch in [
        json!({}),
        json!({ "app_username": "x", "sync_frequency": "realtime" }),
        json!({ "app_profile": { "custom_fields": { "a": [1], "b": null } } }),
        json!({ "app_profile": { "nickname": null, "preferences": null } }),
    ] {
        case.shop.patch(&case.tie, patch).expect(200);
    }

    assert_eq!(case.stored(), before);
    let after =
        [&case.path, &case.tie].map(|path| case.shop.get(path).header("etag").map(str::to_owned));
    assert_eq!(after, tags);
}

#[test]
fn a_phone_that_an_app_changes_is_contact_data_and_identifies_nobody() {
    let case = case();
    let club = case.purser.app("club");
    let id = case.path.rsplit('/').next().expect("an id").to_owned();

    case.shared(json!({ "profile": { "phone": "+4930901820" } }));
    let by_phone = json!({ "verified": ["phone"], "profile": { "phone": "+4930901820" } });
    let registered = club.post("/v1/users", by_phone).expect(201);

    assert_ne!(registered["user_id"], id.as_str());
    let found = case.shop.get("/v1/users?phone=%2B4930901820").expect(200);
    assert_eq!(found["items"], json!([]));
}

#[test]
fn fields_that_do_not_exist_or_are_not_the_apps_are_refused_by_name() {
    let case = case();
    let before = case.stored();
    let shared = [
        "email",
        "password",
        "status",
        "audit",
        "modules",
        "account_number",
        "customer_id",
        "_id",
        "id",
        "revision",
        "updated_at",
        "$set",
        "$where",
        "profile.first_name",
        "admin",
        "",
    ];
    let own = [
        "permissions",
        "roles",
        "connection_status",
        "api_key",
        "key_id",
        "key_mac",
        "rate_limits",
        "connected_at",
        "last_sync",
        "app_name",
        "connection_id",
        "$set",
        "app_profile.nickname",
    ];

    for field in shared {
        let pointers = case.refused(&case.path, &json!({ "username": "eve", field: "x" }));
        assert_eq!(pointers, [format!("/{field}")]);
    }
    for field in own {
        let pointers = case.refused(&case.tie, &json!({ "app_version": "9", field: "x" }));
        assert_eq!(pointers, [format!("/{field}")]);
    }
    for (path, place) in
        [(&case.path, "profile"), (&case.path, "preferences"), (&case.tie, "app_profile")]
    {
        for field in ["$set", "a.b", "__proto__", "x/y~z"] {
            let escaped = field.replace('~', "~0").replace('/', "~1");
            let pointers = case.refused(path, &json!({ place: { field: "x" } }));
            assert_eq!(pointers, [format!("/{place}/{escaped}")]);
        }
    }

    assert_eq!(case.stored(), before);
}

#[test]
fn a_value_of_another_type_is_refused_and_its_field_named() {
    let case = case();
    let before = case.stored();
    let shared = [
        ("", json!([])),
        ("", json!(["eve"])),
        ("", json!("eve")),
        ("", json!(5)),
        ("", json!(null)),
        ("", json!(true)),
        ("/username", json!({ "username": 5 })),
        ("/username", json!({ "username": ["eve"] })),
        ("/username", json!({ "username": { "$ne": null } })),
        ("/profile", json!({ "profile": 5 })),
        ("/profile", json!({ "profile": null })),
        ("/profile", json!({ "profile": [] })),
        ("/profile", json!({ "profile": ["Eve", "King"] })),
        ("/profile/first_name", json!({ "profile": { "first_name": true } })),
        ("/profile/first_name", json!({ "profile": { "first_name": { "$gt": "" } } })),
        ("/preferences", json!({ "preferences": "all" })),
        ("/preferences/notifications", json!({ "preferences": { "notifications": [true, true] } })),
        (
            "/preferences/notifications/email",
            json!({ "preferences": { "notifications": { "email": "yes" } } }),
        ),
        (
            "/preferences/privacy/profile_visible",
            json!({ "preferences": { "privacy": { "profile_visible": 1 } } }),
        ),
    ];
    let own = [
        ("", json!([])),
        ("/app_profile", json!({ "app_profile": ["Eve"] })),
        ("/app_profile/custom_fields", json!({ "app_profile": { "custom_fields": [] } })),
        ("/app_profile/custom_fields", json!({ "app_profile": { "custom_fields": "x" } })),
        ("/app_profile/preferences", json!({ "app_profile": { "preferences": 1 } })),
        ("/sync_settings", json!({ "sync_settings": [false] })),
        ("/sync_settings/wallet_updates", json!({ "sync_settings": { "wallet_updates": "no" } })),
        ("/sync_frequency", json!({ "sync_frequency": 5 })),
    ];

    for (pointer, patch) in shared {
        assert_eq!(case.refused(&case.path, &patch), [pointer], "{patch}");
    }
    for (pointer, patch) in own {
        assert_eq!(case.refused(&case.tie, &patch), [pointer], "{patch}");
    }

    assert_eq!(case.stored(), before);
}

#[test]
fn free_form_fields_cannot_hold_operators_paths_nul_or_too_much() {
    let case = case();
    let before = case.stored();
    let wide: serde_json::Map<_, _> = (0..257).map(|at| (format!("k{at}"), json!(1))).collect();
    let cases = [
        ("/$set", json!({ "$set": { "a": 1 } })),
        ("/a/$where", json!({ "a": { "$where": "1" } })),
        ("/a/$oid", json!({ "a": { "$oid": "0123456789abcdef01234567" } })),
        ("/a.b", json!({ "a.b": 1 })),
        ("/", json!({ "": 1 })),
        ("", json!({ "a\u{0}b": 1 })),
        ("/a", json!({ "a": "x\u{0}y" })),
        ("/a/0", json!({ "a": ["x\u{0}y"] })),
        ("", json!({ "x".repeat(65): 1 })),
        ("", json!(wide)),
        ("", json!({ "a": "x".repeat(17 * 1024) })),
        ("/a/b/c/d/e", json!({ "a": { "b": { "c": { "d": { "e": {} } } } } })),
        ("/a", json!({ "a": 1e300 })),
        ("/a", json!({ "a": 18_446_744_073_709_551_615_u64 })),
    ];

    for field in ["custom_fields", "preferences"] {
        for (place, value) in &cases {
            let pointers = case.refused(&case.tie, &json!({ "app_profile": { field: value } }));
            assert_eq!(pointers, [format!("/app_profile/{field}{place}")], "{value}");
        }
    }

    assert_eq!(case.stored(), before);
}

#[test]
fn free_form_fields_are_bounded_as_they_are_stored_not_as_they_are_sent() {
    let case = case();
    let half =
        |name: &str| json!({ "app_profile": { "custom_fields": { name: "x".repeat(9000) } } });
    case.own(half("one"));
    let before = case.stored();

    let pointers = case.refused(&case.tie, &half("two"));

    assert_eq!(pointers, ["/app_profile/custom_fields"]);
    assert_eq!(case.stored(), before);
}

#[test]
fn text_with_nul_is_refused_and_its_field_named() {
    let case = case();
    let before = case.stored();

    let nul = "a\u{0}b";
    let shared =
        json!({ "username": nul, "profile": { "first_name": nul, "phone": "+49\u{0}30901820" } });
    let own = json!({ "app_username": nul, "app_profile": { "nickname": nul, "avatar_url": "https://a.example/\u{0}" } });

    let pointers = case.refused(&case.path, &shared);
    assert_eq!(pointers, ["/username", "/profile/first_name", "/profile/phone"]);
    let pointers = case.refused(&case.tie, &own);
    assert_eq!(pointers, ["/app_username", "/app_profile/nickname", "/app_profile/avatar_url"]);
    assert_eq!(case.stored(), before);
}

#[test]
fn a_body_beyond_64_kib_is_not_read() {
    let case = case();
    let before = case.stored();
    let body = |bytes: usize| {
        let fixed = json!({ "username": "" }).to_string().len();
        json!({ "username": "x".repeat(bytes - fixed) }).to_string().into_bytes()
    };

    let just = case.shop.send("PATCH", &case.path, Some(body(64 * 1024)));
    let beyond = case.shop.send("PATCH", &case.path, Some(body(64 * 1024 + 1)));
    let far = case.shop.send("PATCH", &case.path, Some(body(65 * 1024)));
    let chunked = raw(&case, &["Content-Type: application/json", "Transfer-Encoding: chunked"], &{
        let chunk =
            [format!("{:x}\r\n", 33 * 1024).into_bytes(), vec![b' '; 33 * 1024], b"\r\n".to_vec()];
        [chunk.concat(), chunk.concat(), b"0\r\n\r\n".to_vec()].concat()
    });

    assert_eq!(just.pointers(), ["/username"], "64 KiB are read, and the name in them is too long");
    assert_eq!(just.refused(422), "invalid");
    assert_eq!(beyond.refused(413), "body_too_large");
    assert_eq!(far.refused(413), "body_too_large");
    assert_eq!(chunked.0, 413, "{}", chunked.1);
    assert_eq!(case.stored(), before);
}

#[test]
fn what_is_no_json_is_refused() {
    let case = case();
    let before = case.stored();
    let deep = |levels: usize| {
        format!(r#"{{"username":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels)).into_bytes()
    };
    let broken: [&[u8]; 10] = [
        b"",
        b"{",
        b"{\"username\":\"eve\"",
        b"{\"username\":\"eve\"} trailing",
        b"{username:\"eve\"}",
        b"{'username':'eve'}",
        b"{\"username\":\"\xff\xfe\"}",
        b"{\"username\":\"\\ud800\"}",
        b"{\"username\":NaN}",
        b"\xef\xbb\xbf{\"username\":\"eve\"}",
    ];

    for body in broken {
        let reply = case.shop.send("PATCH", &case.path, Some(body.to_vec()));
        let text = String::from_utf8_lossy(body);
        assert_eq!(reply.refused(400), "malformed_request", "{text}");
    }
    for levels in [8, 1000, 30_000] {
        let reply = case.shop.send("PATCH", &case.path, Some(deep(levels)));
        assert_eq!(reply.body["errors"][0]["code"], "too_deep");
        assert_eq!(reply.refused(422), "invalid");
    }

    assert_eq!(case.stored(), before);
}

#[test]
fn a_body_is_json_and_says_so_once() {
    let case = case();
    let before = case.stored();
    let body = br#"{"username":"eve"}"#.to_vec();
    let sent_as = |types: &[&str]| {
        let mut shop = case.shop.clone();
        for name in types {
            shop = shop.with("Content-Type", name);
        }
        shop.send("PATCH", &case.path, Some(body.clone()))
    };
    let length = format!("Content-Length: {}", body.len());

    for types in [
        vec!["text/plain"],
        vec!["application/x-www-form-urlencoded"],
        vec!["multipart/form-data; boundary=x"],
        vec![""],
        vec!["application/json, text/plain"],
        vec!["application/jsonp"],
        vec!["text/plain", "application/json"],
        vec!["application/json", "text/plain"],
        vec!["application/json", "application/json"],
    ] {
        let reply = sent_as(&types);
        assert_eq!(reply.refused(415), "unsupported_media_type", "{types:?}");
    }
    let (status, text) = raw(&case, &[&length], &body);
    assert!(status == 415 && text.contains("unsupported_media_type"), "{status}: {text}");
    assert_eq!(case.stored(), before);

    for (name, username) in [
        ("application/json; charset=utf-8", "one"),
        ("application/merge-patch+json", "two"),
        ("Application/JSON", "three"),
    ] {
        let body = json!({ "username": username }).to_string().into_bytes();
        let reply = case.shop.with("Content-Type", name).send("PATCH", &case.path, Some(body));
        assert_eq!(reply.expect(200)["shared"]["username"], username);
    }
}

#[test]
fn a_field_that_stands_twice_in_a_body_is_refused() {
    let case = case();
    let before = case.stored();

    for body in [
        r#"{"username":"eve","username":"mallory"}"#,
        r#"{"profile":{"first_name":"Eve","first_name":null}}"#,
        r#"{"profile":{"first_name":"Eve"},"profile":{}}"#,
    ] {
        let reply = case.shop.send("PATCH", &case.path, Some(body.as_bytes().to_vec()));
        assert_eq!(reply.refused(400), "malformed_request", "{body}");
    }

    assert_eq!(case.stored(), before);
}

/// A PATCH of the person byte by byte, for what a well-behaved client does not send.
fn raw(case: &Case, headers: &[&str], body: &[u8]) -> (u16, String) {
    let mut head = format!(
        "PATCH {} HTTP/1.1\r\nHost: purser\r\nConnection: close\r\nAuthorization: Bearer {}\r\n",
        case.path,
        case.shop.key()
    );
    for header in headers {
        head = format!("{head}{header}\r\n");
    }
    let mut stream = TcpStream::connect(case.purser.address).expect("connects");
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("sends");
    // The answer may come before all is sent.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
}
