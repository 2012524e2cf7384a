//! What happens to somebody without changing them, and what is read of the trail, as entries.

use std::thread;

use bson::{Document, doc};
use purser::crypto::token::ApiKey;
use purser::kernel::time::SECOND_MS;
use serde_json::{Value, json};

use crate::command_line::{KEY, command_with};
use crate::harness::{Mongod, Principal, Purser, Reply, SIGNING_KEY, person};

const PASSWORD: &str = "correct horse battery";
/// When the minute that the clock stands in at the start is over, with those who were still waiting.
const MINUTE_OVER: i64 = 70 * SECOND_MS;

fn write(purser: &Purser) {
    purser.block_on(purser.inner.write_security_events()).expect("written");
}

fn login(app: &Principal, identifier: &str, password: &str) -> Reply {
    app.post("/v1/auth/login", json!({ "identifier": identifier, "password": password }))
}

fn registered(app: &Principal, email: &str) -> (String, Principal) {
    let mut body = person(email);
    body["password"] = json!(PASSWORD);
    app.register_with(body)
}

fn text<'a>(document: &'a Document, field: &str) -> &'a str {
    document.get_str(field).unwrap_or("none")
}

fn number(document: &Document, field: &str) -> i64 {
    document.get_i64(field).expect("a number")
}

/// What entries of an action tell: each with its last tally.
fn told(purser: &Purser, action: &str) -> Vec<(Document, Document)> {
    let entries = purser.db_entries(doc! { "action": action }).into_iter();
    let latest = |entry: Document| {
        let path = format!("seen.{action}");
        let sides = entry.get_document("changes").and_then(|all| all.get_document(path));
        let latest = sides.and_then(|sides| sides.get_array("new")).expect("a tally");
        (entry.clone(), latest[0].as_document().expect("a tally").clone())
    };
    entries.map(latest).collect()
}

fn counts(purser: &Purser, action: &str) -> Vec<i64> {
    let told = told(purser, action);
    told.iter().map(|(_, tally)| number(tally, "count")).collect()
}

fn revoked_key(purser: &Purser, app: &str) -> String {
    let keys = format!("/v1/admin/apps/{app}/keys");
    let admin = purser.admin();
    let issued = admin.post(&keys, json!({})).expect(201);
    let key = issued["key"].as_str().expect("a key").to_owned();
    let id = ApiKey::parse(&key).expect("a key").id().to_owned();
    admin.delete(&format!("{keys}/{id}")).expect(204);
    key
}

/// The same key with another secret, and the check digits that go with it.
fn forged(key: &str) -> String {
    let (before, last) = key[..63].split_at(62);
    let forged = format!("{before}{}", if last == "0" { "1" } else { "0" });
    let mut crc = !0_u32;
    for byte in forged.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (mut rest, mut text) = (!crc, Vec::new());
    for _ in 0..6 {
        text.insert(0, digits[rest as usize % 62]);
        rest /= 62;
    }
    format!("{forged}{}", String::from_utf8(text).expect("digits"))
}

#[test]
fn a_failed_sign_in_stands_in_a_history_of_its_own_and_the_person_is_untouched() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (ada, me) = registered(&shop, "ada@example.com");
    let id = bson::oid::ObjectId::parse_str(&ada).expect("an id");
    let stored = || purser.db_find("users", doc! { "_id": id });
    let etag = || me.get("/v1/users/me").header("etag").expect("a tag").to_owned();
    let (before, seen) = (stored(), etag());

    let wrong = |ip: &str, password: &str| {
        let reply = login(&shop.with("Purser-Client-IP", ip), "ada@example.com", password);
        assert_eq!(reply.refused(401), "sign_in_failed");
    };
    wrong("203.0.113.1", "wrong horse");
    login(&shop, "nobody@example.com", "wrong horse").refused(401);
    write(&purser);

    let entries = told(&purser, "sign_in_failed");
    assert_eq!(entries.len(), 1, "of a known person alone");
    let (entry, tally) = &entries[0];
    for (field, value) in [
        ("subject", format!("security:user.{ada}").as_str()),
        ("outcome", "refused"),
        ("module", "security"),
        ("app_id", "shop"),
        ("ip_address", "203.0.113.1"),
        ("asserted_by", "shop"),
    ] {
        assert_eq!(text(entry, field), value, "{field}");
    }
    assert_eq!(entry.get_object_id("user_id").ok(), Some(id));
    assert!(entry.get_str("request_id").is_ok());
    assert_eq!(text(tally, "reason"), "sign_in_failed");

    wrong("203.0.113.1", "wrong mare");
    wrong("203.0.113.2", "wrong foal");
    wrong("203.0.113.2", "");
    write(&purser);
    assert_eq!(counts(&purser, "sign_in_failed"), [1], "the minute is not over");
    purser.step_clock(MINUTE_OVER);
    write(&purser);
    let entries = told(&purser, "sign_in_failed");
    let (entry, tally) = entries.last().expect("one more");
    assert_eq!((entries.len(), number(tally, "count"), number(tally, "addresses")), (2, 3, 2));
    assert!(entry.get_str("ip_address").is_err(), "they came from several");
    assert_eq!(number(tally, "total"), 4);

    wrong("203.0.113.1", "wrong again");
    write(&purser);
    assert_eq!(counts(&purser, "sign_in_failed"), [1, 3, 1], "the next minute begins anew");
    assert_eq!((stored(), etag()), (before, seen));
    let all = purser.db_entries(doc! { "action": "sign_in_failed" });
    assert!(all.iter().all(|entry| !entry.to_string().contains("example.com")));
}

#[test]
fn a_right_password_of_somebody_who_may_not_come_in_is_told_with_its_reason() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (ada, _) = registered(&shop, "ada@example.com");
    let suspend = format!("/v1/admin/users/{ada}/suspend");
    purser.admin().with("If-Match", "*").post(&suspend, json!({ "reason": "fraud" })).expect(200);

    login(&shop, "ada@example.com", PASSWORD).refused(403);
    login(&shop, "ada@example.com", PASSWORD).refused(403);
    write(&purser);

    let entries = told(&purser, "sign_in_failed");
    assert_eq!(entries.len(), 1);
    assert_eq!(text(&entries[0].1, "reason"), "user_suspended");
}

/// The one entry of an action: its subject, its reason, its outcome.
fn only(purser: &Purser, action: &str, subject: &str) -> (String, String) {
    let entries = told(purser, action).into_iter();
    let mut entries = entries.filter(|(entry, _)| text(entry, "subject") == subject);
    let (entry, tally) = entries.next().unwrap_or_else(|| panic!("no {action} of {subject}"));
    assert!(entries.next().is_none(), "one entry of {subject}");
    (text(&tally, "reason").to_owned(), text(&entry, "outcome").to_owned())
}

#[test]
fn a_known_key_that_is_refused_is_told_of_its_holder_and_an_unknown_one_of_nobody() {
    let purser = Purser::start();
    let (shop, _club) = (purser.app("shop"), purser.app("club"));
    purser.app_with("bank", json!({ "permissions": ["read"] }));
    let (ada, me) = shop.register("ada@example.com");
    let revoked = revoked_key(&purser, "club");
    let elsewhere = json!({ "allowed_ips": ["203.0.113.0/24"] });
    let admin = purser.admin();
    let tie = purser.db_find("user_apps", doc! { "app_id": "shop" }).remove(0);
    let tie = tie.get_object_id("_id").expect("an id").to_hex();

    purser.with_key(&revoked).get("/v1/users").refused(401);
    purser.with_key(&forged(shop.key())).get("/v1/users").refused(401);
    purser.with_key(&forged(me.key())).get("/v1/users/me").refused(401);
    purser.with_key(&forged(admin.key())).get("/v1/admin/apps").refused(401);
    let unknown = purser::crypto::token::KeyKind::App;
    let unknown = ApiKey::generate(unknown, &purser::kernel::chance::Chance::from_seed(99));
    purser.with_key(unknown.text().expose()).get("/v1/users").refused(401);
    let change = format!("/v1/admin/connections/{tie}");
    admin.with("If-Match", "*").patch(&change, elsewhere).expect(200);
    purser.step_clock(MINUTE_OVER);
    me.get("/v1/users/me").refused(403);
    write(&purser);

    let refused = |why: &str| (why.to_owned(), "refused".to_owned());
    assert_eq!(only(&purser, "key_refused", "security:app.club"), refused("not_in_use"));
    assert_eq!(only(&purser, "key_refused", "security:app.shop"), refused("wrong_secret"));
    let of_tie = format!("security:connection.{tie}");
    let entries = told(&purser, "key_refused");
    let reasons: Vec<_> = entries
        .iter()
        .filter(|(entry, _)| text(entry, "subject") == of_tie)
        .map(|(entry, tally)| {
            let user = entry.get_object_id("user_id").expect("the person").to_hex();
            assert_eq!((user, text(entry, "app_id")), (ada.clone(), "shop"));
            assert_eq!(entry.get_object_id("connection_id").expect("a tie").to_hex(), tie);
            tally.get_str("reason").expect("a reason").to_owned()
        })
        .collect();
    assert_eq!(reasons, ["wrong_secret", "address_not_allowed"]);
    let of_operators = entries
        .iter()
        .filter(|(entry, _)| text(entry, "subject").starts_with("security:operator."));
    assert_eq!(of_operators.count(), 1);
    assert_eq!(entries.len(), 5, "nothing of the unknown one");
    assert!(entries.iter().all(|(entry, _)| {
        text(entry.get_document("actor").expect("an actor"), "id") == "door"
    }));
}

#[test]
fn what_a_holder_may_not_do_and_how_often_they_may_not_ask_is_told() {
    let purser = Purser::start();
    let limits = json!({ "requests_per_minute": 3, "requests_per_hour": 100 });
    let shop = purser.app_with("shop", json!({ "rate_limits": limits }));
    let mut body = person("ada@example.com");
    body["connection"] = json!({ "permissions": ["read"] });
    let (ada, me) = shop.register_with(body);
    let auditor = purser.auditor();
    let tie = purser.db_find("user_apps", doc! {}).remove(0);
    let of_tie = format!("security:connection.{}", tie.get_object_id("_id").expect("an id"));

    let rename = json!({ "profile": { "first_name": "Augusta" } });
    assert_eq!(me.patch("/v1/users/me", rename).refused(403), "permission_denied");
    assert_eq!(shop.get("/v1/admin/apps").refused(403), "wrong_credential");
    assert_eq!(auditor.get("/v1/admin/apps").refused(403), "wrong_credential");
    me.get("/v1/users/me").expect(200);
    me.get("/v1/users/me").expect(200);
    me.get("/v1/users/me").refused(429);
    // What is not theirs looks as if it were not there, and is no trespass.
    shop.get("/v1/users/0123456789abcdef01234567").refused(404);
    write(&purser);

    let refused = |why: &str| (why.to_owned(), "refused".to_owned());
    assert_eq!(only(&purser, "permission_denied", &of_tie), refused("permission_denied"));
    assert_eq!(
        only(&purser, "permission_denied", "security:app.shop"),
        refused("wrong_credential")
    );
    assert_eq!(counts(&purser, "permission_denied").len(), 3);
    assert_eq!(only(&purser, "limit_tripped", &of_tie), refused("rate_limited"));
    assert_eq!(counts(&purser, "limit_tripped").len(), 1);
    let (entry, _) = &told(&purser, "limit_tripped")[0];
    assert_eq!(entry.get_object_id("user_id").expect("the person").to_hex(), ada);
    let actor = entry.get_document("actor").expect("an actor");
    assert_eq!((text(actor, "kind"), text(actor, "id")), ("app", "shop"));
}

#[test]
fn a_module_that_is_hidden_from_a_connection_is_told_as_a_refusal() {
    let purser = Purser::start();
    let admin = purser.admin();
    let module = json!({
        "module_name": "loyalty", "display_name": "Loyalty", "status": "active",
        "schema": { "points": "integer" }, "defaults": { "points": 0 },
    });
    admin.post("/v1/admin/modules", module).expect(201);
    let shop = purser.app("shop");
    let (ada, _) = shop.register("ada@example.com");

    shop.get(&format!("/v1/users/{ada}/modules/loyalty")).refused(404);
    shop.get(&format!("/v1/users/{ada}/modules/no_such_module")).refused(404);
    write(&purser);

    let (reason, _) = only(&purser, "permission_denied", "security:app.shop");
    assert_eq!(
        (reason.as_str(), counts(&purser, "permission_denied")),
        ("module_not_granted", vec![1])
    );
}

#[test]
fn an_operators_key_is_told_once_a_minute_with_how_often_it_was_used() {
    let purser = Purser::start();
    let admin = purser.admin();
    for _ in 0..5 {
        admin.get("/v1/admin/apps").expect(200);
    }
    write(&purser);
    purser.step_clock(MINUTE_OVER);
    write(&purser);
    write(&purser);

    assert_eq!(counts(&purser, "operator_used"), [1, 4]);
    let (entry, _) = &told(&purser, "operator_used")[1];
    let subject = entry.get_str("subject").expect("a subject");
    let operator = entry.get_document("actor").expect("an actor").get_str("id").expect("an id");
    assert_eq!(subject, format!("security:operator.{operator}"));
    assert_eq!(text(entry, "outcome"), "done");
    let revision = number(&purser.db_find("operators", doc! {})[0], "revision");
    assert_eq!(revision, 1, "the operator is not changed by it");
}

#[test]
fn a_thousand_refusals_in_a_minute_on_two_nodes_leave_two_entries_each_and_none_is_lost() {
    let purser = Purser::start();
    purser.app("shop");
    let key = revoked_key(&purser, "shop");
    let other = purser.beside("two");

    let nodes = [&purser, &other];
    thread::scope(|scope| {
        for (node, nth) in [0, 1, 0, 1].map(|nth| (nodes[nth], nth)) {
            let key = &key;
            scope.spawn(move || {
                for at in 0..250 {
                    node.with_key(key).get("/v1/users").refused(401);
                    if at % 50 == nth {
                        write(node);
                    }
                }
            });
        }
    });
    purser.step_clock(MINUTE_OVER);
    thread::scope(|scope| {
        for node in nodes {
            scope.spawn(move || write(node));
        }
    });

    let counts = counts(&purser, "key_refused");
    assert!((2..=4).contains(&counts.len()), "{counts:?}");
    assert_eq!(counts.iter().sum::<i64>(), 1000);
    let record = purser.db_find("watches", doc! { "_id": "security:app.shop" }).remove(0);
    let seen = record.get_document("seen").and_then(|seen| seen.get_array("key_refused"));
    assert_eq!(number(seen.expect("seen")[0].as_document().expect("a tally"), "total"), 1000);
}

#[test]
fn what_is_counted_is_written_when_purser_stops() {
    let mut purser = Purser::start();
    purser.app("shop");
    let key = revoked_key(&purser, "shop");
    for _ in 0..3 {
        purser.with_key(&key).get("/v1/users").refused(401);
    }
    assert!(counts(&purser, "key_refused").is_empty());

    purser.stop();

    assert_eq!(counts(&purser, "key_refused"), [1, 2]);
}

#[test]
fn the_worker_writes_the_first_of_a_minute_as_it_comes() {
    let purser = Purser::start_with(&[("PURSER__AUDIT__SECURITY_SECONDS", "60")]);
    purser.app("shop");
    let key = revoked_key(&purser, "shop");

    purser.with_key(&key).get("/v1/users").refused(401);

    let started = std::time::Instant::now();
    while counts(&purser, "key_refused").is_empty() {
        assert!(started.elapsed().as_secs() < 20, "nobody has written it");
    }
}

#[test]
fn an_auditor_finds_events_by_the_usual_filters_and_an_app_does_not_see_them() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (ada, _) = registered(&shop, "ada@example.com");
    login(&shop, "ada@example.com", "wrong horse").refused(401);
    write(&purser);

    let auditor = purser.masked_auditor();
    for filter in [
        "action=sign_in_failed".to_owned(),
        format!("subject=security:user.{ada}"),
        format!("user_id={ada}&outcome=refused"),
        "app_id=shop&outcome=refused".to_owned(),
        "module=security&path=seen.sign_in_failed".to_owned(),
    ] {
        let page = auditor.get(&format!("/v1/audit/logs?{filter}")).expect(200);
        let items = page["items"].as_array().expect("items");
        assert_eq!(items.len(), 1, "{filter}");
        assert_eq!(items[0]["action"], "sign_in_failed", "{filter}");
        let tally = &items[0]["changes"]["seen.sign_in_failed"]["new"][0];
        assert_eq!(tally["count"], 1, "{filter}");
    }
    let own = shop.get("/v1/app/audit").expect(200);
    let own = own["items"].as_array().expect("items");
    assert!(!own.is_empty() && own.iter().all(|line| line["action"] == "user_registered"));
    let page = purser.admin().get(&format!("/v1/admin/users/{ada}")).expect(200);
    assert!(!page["recent"].to_string().contains("sign_in_failed"));
}

fn reads(purser: &Purser) -> Vec<Document> {
    purser.db_entries(doc! { "action": "audit_read" })
}

#[test]
fn each_answer_that_shows_of_the_trail_leaves_an_entry_with_who_has_asked_for_what() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (ada, _) = shop.register("ada@example.com");
    let auditor = purser.auditor();
    let by_ip = format!("/v1/audit/logs?user_id={ada}&ip=127.0.0.1&limit=1");
    let first = auditor.with("X-Request-Id", "first").get(&by_ip).expect(200);
    let cursor = first["next_cursor"].as_str();
    assert_eq!(cursor, None);
    auditor.get("/v1/audit/logs?reference=ada@example.com").expect(200);
    let entry = first["items"][0]["id"].as_str().expect("an id").to_owned();
    auditor.get(&format!("/v1/audit/logs/{entry}")).expect(200);

    // What is refused shows nothing.
    auditor.get("/v1/audit/logs?nonsense=1").refused(422);
    auditor.get("/v1/audit/logs/0123456789abcdef01234567").refused(404);
    shop.get("/v1/audit/logs").refused(403);
    purser.admin().get("/v1/admin/apps").expect(200);

    let entries = reads(&purser);
    let asked: Vec<_> = entries.iter().map(|entry| text(entry, "reference")).collect();
    assert_eq!(
        asked,
        [
            by_ip.as_str(),
            "/v1/audit/logs?reference=[masked]",
            format!("/v1/audit/logs/{entry}").as_str(),
        ]
    );
    let actor = entries[0].get_document("actor").expect("an actor");
    let operator = actor.get_str("id").expect("an id");
    assert_eq!(text(actor, "kind"), "operator");
    assert_eq!(text(&entries[0], "subject"), format!("reads:{operator}"));
    assert_eq!(text(&entries[0], "request_id"), "first");
    assert_eq!(text(&entries[0], "outcome"), "done");
    assert!(entries[0].get_str("ip_address").is_ok());
    let operators = purser.db_find("operators", doc! {});
    assert!(operators.iter().all(|it| number(it, "revision") == 1));
    // And an auditor finds who has read.
    let by_operator = format!("/v1/audit/logs?action=audit_read&actor={operator}");
    let found = purser.auditor().get(&by_operator).expect(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(3));
}

#[test]
fn who_may_not_see_personal_values_is_shown_masks_and_leaves_the_same_entry() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (ada, _) = shop.register("ada@example.com");
    let path = format!("/v1/audit/logs?user_id={ada}");

    let masked = purser.masked_auditor().get(&path).expect(200).to_string();
    let open = purser.auditor().get(&path).expect(200).to_string();

    assert!(masked.contains("[masked]") && !masked.contains("ada@example.com"));
    assert!(open.contains("ada@example.com") && !open.contains("[masked]"));
    assert_eq!(reads(&purser).len(), 2);
    assert!(reads(&purser).iter().all(|entry| text(entry, "reference") == path));
}

#[test]
fn what_cannot_be_written_down_is_not_shown() {
    let mongod = Mongod::start();
    let settings = [("PURSER__SERVER__REQUEST_TIMEOUT_MS", "1000")];
    let purser = Purser::start_on(&mongod.uri, "reads", &settings);
    purser.app("shop");
    let auditor = purser.auditor();
    auditor.get("/v1/audit/logs").expect(200);

    mongod.fail("alwaysOn", doc! { "failCommands": ["insert", "update"], "errorCode": 11600 });
    let reply = auditor.get("/v1/audit/logs");
    mongod.fail("off", doc! { "failCommands": ["insert", "update"], "errorCode": 11600 });

    assert!(reply.body["items"].is_null());
    assert_eq!(reply.refused(503), "store_unavailable");
    assert_eq!(reads(&purser).len(), 1);
}

#[test]
fn what_the_database_does_not_take_waits_and_is_written_later() {
    let mongod = Mongod::start();
    let settings = [("PURSER__SERVER__REQUEST_TIMEOUT_MS", "1000")];
    let purser = Purser::start_on(&mongod.uri, "events", &settings);
    purser.app("shop");
    let key = revoked_key(&purser, "shop");
    for _ in 0..3 {
        purser.with_key(&key).get("/v1/users").refused(401);
    }

    mongod.fail("alwaysOn", doc! { "failCommands": ["insert", "update"], "errorCode": 11600 });
    let failed = purser.block_on(purser.inner.write_security_events());
    mongod.fail("off", doc! { "failCommands": ["insert", "update"], "errorCode": 11600 });
    assert!(failed.is_err() && counts(&purser, "key_refused").is_empty());
    write(&purser);
    assert_eq!(counts(&purser, "key_refused"), [1]);
    purser.step_clock(MINUTE_OVER);
    write(&purser);

    assert_eq!(counts(&purser, "key_refused"), [1, 2]);
}

#[test]
fn events_and_reads_are_sealed_and_verified_like_every_other_entry() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    registered(&shop, "ada@example.com");
    for _ in 0..2 {
        login(&shop, "ada@example.com", "wrong horse").refused(401);
    }
    write(&purser);
    purser.step_clock(MINUTE_OVER);
    write(&purser);
    purser.auditor().get("/v1/audit/logs").expect(200);
    let leaves = purser.block_on(purser.inner.seal_trail()).expect("sealed");
    assert_eq!(leaves, purser.db_entries(doc! {}).len() as u64);

    let verify = || {
        let key = [("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY)];
        let (well, out, err) = command_with(&purser, KEY, &["audit", "verify", "--json"], &key);
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        (well, report)
    };
    let (well, report) = verify();
    assert!(well, "{report:#}");

    // And what is changed behind Purser's back is found.
    let id = doc! { "_id": { "$regex": "^security:user" } };
    let tamper = |total: i64| {
        let set = doc! { "$set": { "seen.sign_in_failed.0.total": total } };
        purser.db_update("watches", id.clone(), set);
    };
    tamper(1);
    let (well, report) = verify();
    assert!(!well && report["findings"].to_string().contains("record_differs"), "{report:#}");
    tamper(2);
}
