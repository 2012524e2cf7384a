//! The command line: what stops a start says what is wrong and how to mend it.

use std::process::{Command, Output};

use bson::{Document, doc};
use purser::kernel::time::parse_rfc3339;
use serde_json::{Value, json};

use crate::harness::{MIGRATES, Mongod, Principal, Purser, SERVES, person, uri_as};

pub const KEY: &str = "m1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn purser(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let user = match arguments {
        ["migrate", "--roles"] => None,
        ["migrate", ..] => Some(MIGRATES),
        _ => Some(SERVES),
    };
    let known_as = |text: &str| user.map_or(text.to_owned(), |user| uri_as(text, user));
    let mut command = Command::new(env!("CARGO_BIN_EXE_purser"));
    command.args(arguments).env_clear();
    command.envs(environment.iter().map(|(name, value)| (name, known_as(value))));
    command.output().expect("runs")
}

fn refusal(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = purser(arguments, environment);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_wrong_an_unknown_and_a_missing_key_are_told_in_one_message() {
    let message = refusal(
        &["serve"],
        &[
            ("PURSER__SERVER__PORT", "many"),
            ("PURSER__SERVER__PROT", "8080"),
            ("PURSER__STORE__URI", "mongodb://127.0.0.1:1/?replicaSet=rs0"),
            ("PURSER__CRYPTO__PEPPERS", KEY),
        ],
    );

    for part in [
        "server.port = \"many\"",
        "PURSER__SERVER__PORT",
        "PURSER__SERVER__PROT",
        "crypto.master_keys",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
}

#[test]
fn a_published_example_secret_stops_the_start() {
    let example = "example:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let message = refusal(
        &["serve"],
        &[
            ("PURSER__STORE__URI", "mongodb://127.0.0.1:1/?replicaSet=rs0"),
            ("PURSER__CRYPTO__MASTER_KEYS", example),
            ("PURSER__CRYPTO__PEPPERS", KEY),
        ],
    );

    assert!(message.contains("openssl rand -base64 32"), "{message}");
    assert!(!message.contains("AAAA"), "{message}");
}

#[test]
fn a_database_that_is_not_set_up_is_set_up_by_migrate_and_then_takes_operators() {
    let mongod = Mongod::start();
    let environment = [
        ("PURSER__STORE__URI", mongod.uri.as_str()),
        ("PURSER__CRYPTO__MASTER_KEYS", KEY),
        ("PURSER__CRYPTO__PEPPERS", KEY),
        ("PURSER__LOG__LEVEL", "error"),
    ];
    let text = |output: Output| String::from_utf8(output.stdout).expect("text");

    let message = refusal(&["operators", "create", "--role", "admin"], &environment);
    assert!(message.contains("purser migrate"), "{message}");
    let plan = text(purser(&["migrate", "--plan"], &environment));
    assert!(plan.contains("would create collection users"), "{plan}");
    let done = text(purser(&["migrate"], &environment));
    assert!(done.contains("register module wallet"), "{done}");
    assert_eq!(text(purser(&["migrate", "--plan"], &environment)), "nothing to do\n");

    let bounded = ["operators", "create", "--role", "auditor", "--allowed-ip"];
    let key = [&bounded[..], &["192.0.2.7/24", "--allowed-ip", "::1"]].concat();
    assert!(text(purser(&key, &environment)).starts_with("prs_opr_"));
    let refused = purser(&[&bounded[..], &["here"]].concat(), &environment);
    let message = String::from_utf8(refused.stderr).expect("text");
    assert!(message.contains("192.0.2.0/24") && !refused.status.success(), "{message}");
    let key = text(purser(&["operators", "create", "--role", "admin"], &environment));
    assert!(key.starts_with("prs_opr_") && key.trim().len() == 69, "{key}");
}

#[test]
fn a_master_key_or_pepper_other_than_the_databases_own_stops_the_start() {
    let mongod = Mongod::start();
    let other = "m1:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
    let newer = format!("m2:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA= {KEY}");
    let with = |masters: &str, peppers: &str| {
        let environment = [
            ("PURSER__STORE__URI", mongod.uri.as_str()),
            ("PURSER__CRYPTO__MASTER_KEYS", masters),
            ("PURSER__CRYPTO__PEPPERS", peppers),
            ("PURSER__LOG__LEVEL", "error"),
        ];
        let migrated = purser(&["migrate"], &environment);
        let listed = purser(&["operators", "list"], &environment);
        let said = String::from_utf8(listed.stderr).expect("text");
        (migrated.status.success(), listed.status.success(), said)
    };
    assert!(with(KEY, KEY).1);

    let (migrated, listed, said) = with(other, KEY);
    assert!(
        !migrated && !listed && said.contains("crypto.master_keys: `m1` is not the key"),
        "{said}"
    );
    let (migrated, listed, said) = with(KEY, other);
    assert!(!migrated && !listed && said.contains("crypto.peppers: `m1` is not the key"), "{said}");
    assert!(with(&newer, KEY).1);
    // It was only put in front, and has sealed nothing: it may be taken back.
    let (_, listed, said) = with(KEY, KEY);
    assert!(listed, "{said}");
}

const NEW_MASTER: &str = "m2:MTIzNDU2Nzg5MGFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A database in which each place holds something that is sealed under `m1`, and its person.
struct Sealed {
    purser: Purser,
    shop: Principal,
    id: String,
    connection: Principal,
    rotated: Value,
}

fn sealed() -> Sealed {
    let mut purser = Purser::start();
    let shop = purser.app_with("shop", json!({ "reveal_keys": true }));
    let (id, _) = shop.register("ada@example.com");
    let mut bob = person("bob@example.com");
    bob["profile"]["phone"] = "+12345678901".into();
    bob["verified"] = json!(["email", "phone"]);
    shop.register_with(bob);
    let mut both = person("ada@example.com");
    both["profile"]["phone"] = "+12345678901".into();
    both["verified"] = json!(["email", "phone"]);
    shop.post("/v1/users", both).expect(202);
    let rotated = rotate(&shop, &id, "rotation").expect(201);
    let connection = shop.with_other_key(rotated["connection_key"].as_str().expect("a key"));
    purser.stop();
    Sealed { purser, shop, id, connection, rotated }
}

fn rotate(shop: &Principal, id: &str, repeatable: &str) -> crate::harness::Reply {
    let shop = shop.with("Idempotency-Key", repeatable);
    shop.post(&format!("/v1/users/{id}/connection/key"), json!({}))
}

fn both_keys() -> String {
    format!("{NEW_MASTER} {KEY}")
}

pub fn command(purser: &Purser, masters: &str, arguments: &[&str]) -> (bool, String, String) {
    command_with(purser, masters, arguments, &[])
}

/// For a database without a Purser.
pub fn command_at(
    uri: &str,
    database: &str,
    masters: &str,
    peppers: &str,
    arguments: &[&str],
) -> (bool, String, String) {
    let environment = [
        ("PURSER__STORE__URI", uri),
        ("PURSER__STORE__DATABASE", database),
        ("PURSER__CRYPTO__MASTER_KEYS", masters),
        ("PURSER__CRYPTO__PEPPERS", peppers),
        ("PURSER__LOG__LEVEL", "error"),
    ];
    told(&self::purser(arguments, &environment))
}

fn told(output: &Output) -> (bool, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

pub fn command_with(
    purser: &Purser,
    masters: &str,
    arguments: &[&str],
    more: &[(&str, &str)],
) -> (bool, String, String) {
    let peppers = purser.inner.config.crypto.peppers.expose();
    let environment = [
        ("PURSER__STORE__URI", purser.uri.as_str()),
        ("PURSER__STORE__DATABASE", purser.database.as_str()),
        ("PURSER__CRYPTO__MASTER_KEYS", masters),
        ("PURSER__CRYPTO__PEPPERS", peppers),
        ("PURSER__LOG__LEVEL", "error"),
    ];
    let environment: Vec<_> = environment.iter().chain(more).copied().collect();
    told(&self::purser(arguments, &environment))
}

/// A Purser that has the new key alone replays the whole trail when it ends.
fn opens_under_the_new_key(purser: &Purser) {
    let settings = [("PURSER__CRYPTO__MASTER_KEYS", NEW_MASTER)];
    drop(Purser::start_on(&purser.uri, &purser.database, &settings));
}

/// Places of the table with what is sealed there under older keys.
fn older(table: &str) -> Vec<(&str, &str)> {
    let rows = table.lines().skip(1).take_while(|line| line.contains('.'));
    rows.map(|row| {
        let mut columns = row.splitn(2, char::is_whitespace);
        let (place, rest) = (columns.next().expect("a place"), columns.next().expect("counts"));
        (place, rest.trim().split_once("  ").expect("two counts").1)
    })
    .collect()
}

const PLACES: [&str; 5] = [
    "apps.keys.sealed",
    "idempotency.answer",
    "registrations.sealed",
    "user_apps.api_key",
    "user_keys.wrapped",
];

#[test]
fn what_is_sealed_is_put_under_the_newest_master_key_and_the_old_one_can_go() {
    let Sealed { purser, shop, id, connection, rotated } = sealed();
    let trail = purser.db_entries(doc! {}).len();

    let (_, plan, _) = command(&purser, &both_keys(), &["keys", "rotate", "--plan"]);
    let rows = older(&plan);
    assert_eq!(rows.iter().map(|(place, _)| *place).collect::<Vec<_>>(), PLACES, "{plan}");
    assert!(rows.iter().all(|(_, older)| older.starts_with("m1: ")), "{plan}");
    let (done, said, why) = command(&purser, &both_keys(), &["keys", "rotate"]);

    assert!(done, "{why}");
    assert_eq!(older(&said), PLACES.map(|place| (place, "0")), "{said}");
    assert!(said.contains("`m1` can be removed from crypto.master_keys"), "{said}");
    assert_eq!(purser.db_entries(doc! {}).len(), trail, "no record has changed");
    // A start with both keys does not bring the old one back.
    assert!(command(&purser, &both_keys(), &["operators", "list"]).0);
    let (again, said, _) = command(&purser, &both_keys(), &["keys", "rotate"]);
    assert!(again && said.contains("nothing is left") && !said.contains("can be removed"));
    let (listed, _, why) = command(&purser, NEW_MASTER, &["operators", "list"]);
    assert!(listed, "{why}");

    let settings = [("PURSER__CRYPTO__MASTER_KEYS", NEW_MASTER)];
    let after = Purser::start_on(&purser.uri, &purser.database, &settings);
    let shop = after.with_key(shop.key());
    let again = rotate(&shop, &id, "rotation");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), rotated);
    let shown = shop.send("POST", &format!("/v1/users/{id}/connection/key/reveal"), None);
    assert_eq!(shown.expect(200)["connection_key"], connection.key());
    let change = json!({ "profile": { "first_name": "Augusta" } });
    after.with_key(connection.key()).patch("/v1/users/me", change).expect(200);
    let entries = after.auditor().get("/v1/audit/logs?action=profile_updated").expect(200);
    let names = &entries["items"][0]["changes"]["profile.first_name"];
    assert_eq!(names, &json!({ "old": "Ada", "new": "Augusta" }));
}

#[test]
fn a_value_that_does_not_open_is_named_and_the_rest_is_done_and_the_next_run_ends_it() {
    let Sealed { purser, id, .. } = sealed();
    let user = bson::oid::ObjectId::parse_str(&id).expect("an id");
    let stored = purser.db_find("user_keys", doc! { "_id": user }).remove(0);
    let good = stored.get_str("wrapped").expect("sealed").to_owned();
    let other = purser.db_find("user_keys", doc! { "_id": { "$ne": user } }).remove(0);
    let moved = other.get_str("wrapped").expect("sealed").to_owned();
    let set = |wrapped: &str| {
        let change = doc! { "$set": { "wrapped": wrapped } };
        purser.db_update("user_keys", doc! { "_id": user }, change);
    };

    set(&good.replace("v1.m1.", "v1.m0."));
    let (done, _, why) = command(&purser, &both_keys(), &["keys", "rotate"]);
    assert!(!done);
    assert!(why.contains("1 values do not open; everything else is rewrapped"), "{why}");
    let named =
        format!("user_keys.wrapped of ObjectId(\"{id}\"): sealed under `m0`, which is not in");
    assert!(why.contains(&named), "{why}");
    set(&moved);
    let (done, _, why) = command(&purser, &both_keys(), &["keys", "rotate"]);
    assert!(!done && why.contains("it was damaged, or moved"), "{why}");
    let (_, plan, _) = command(&purser, &both_keys(), &["keys", "rotate", "--dry-run"]);
    let left = |place| if place == "user_keys.wrapped" { "m1: 1" } else { "0" };
    assert_eq!(older(&plan), PLACES.map(|place| (place, left(place))), "{plan}");
    let (started, _, why) = command(&purser, NEW_MASTER, &["operators", "list"]);
    assert!(!started && why.contains("`m1` is missing"), "the old key is still asked for: {why}");
    set(&good);
    let (done, said, why) = command(&purser, &both_keys(), &["keys", "rotate"]);

    assert!(done, "{why}");
    assert_eq!(older(&said), PLACES.map(|place| (place, "0")), "{said}");
    opens_under_the_new_key(&purser);
}

#[test]
fn what_is_written_while_keys_are_rewrapped_is_neither_lost_nor_left_behind() {
    let Sealed { purser, shop, id, .. } = sealed();
    let masters = both_keys();
    let settings = [("PURSER__CRYPTO__MASTER_KEYS", masters.as_str())];
    let during = Purser::start_on(&purser.uri, &purser.database, &settings);
    let (shop, admin) = (during.with_key(shop.key()), during.admin());

    let (newest, outcome) = std::thread::scope(|scope| {
        let rotating = scope.spawn(|| command(&purser, &masters, &["keys", "rotate"]));
        let (mut newest, mut issue) = (None, json!({}));
        for number in 0.. {
            newest = Some(rotate(&shop, &id, &format!("during-{number}")).expect(201));
            shop.register(&format!("new{number}@example.com"));
            // The keys of an app are written as a whole, those that were sealed before too.
            let issued = admin.post("/v1/admin/apps/shop/keys", issue.clone()).expect(201);
            let keys = issued["app"]["keys"].as_array().expect("keys");
            let newest_key = &keys.last().expect("one")["id"];
            issue = json!({ "replaces": newest_key, "overlap_seconds": 0 });
            if rotating.is_finished() {
                break;
            }
        }
        (newest.expect("one at least"), rotating.join().expect("ends"))
    });

    let (done, said, why) = outcome;
    assert!(done, "{why}");
    assert_eq!(older(&said), PLACES.map(|place| (place, "0")), "{said}");
    let (_, plan, _) = command(&purser, NEW_MASTER, &["keys", "rotate", "--plan"]);
    assert_eq!(older(&plan), PLACES.map(|place| (place, "0")), "{plan}");
    let shown = shop.send("POST", &format!("/v1/users/{id}/connection/key/reveal"), None);
    assert_eq!(shown.expect(200)["connection_key"], newest["connection_key"]);
}

#[test]
fn while_a_running_process_seals_under_another_key_the_old_one_is_not_given_up() {
    let Sealed { purser, .. } = sealed();
    let line = |sealing_with: Document| {
        let mut node = doc! {
            "_id": "node:other:8080", "beat_at": parse_rfc3339("2100-01-01T00:00:00Z"),
        };
        node.extend(sealing_with);
        purser.db_command(doc! { "update": "meta", "updates": [
            { "q": { "_id": "node:other:8080" }, "u": node, "upsert": true },
        ] });
    };

    line(doc! { "sealing_with": "m1" });
    let (done, _, why) = command(&purser, &both_keys(), &["keys", "rotate"]);
    assert!(!done && why.contains("other:8080 seals under `m1`"), "{why}");
    assert!(why.contains("Restart them with `m2` in front of crypto.master_keys"), "{why}");
    line(doc! {});
    let (done, _, why) = command(&purser, &both_keys(), &["keys", "rotate"]);
    assert!(!done && why.contains("other:8080 does not say what it seals under"), "{why}");
    line(doc! { "sealing_with": "m2" });

    assert!(command(&purser, &both_keys(), &["keys", "rotate"]).0);
    opens_under_the_new_key(&purser);
}

#[test]
fn a_process_says_which_master_key_it_seals_with() {
    let purser = Purser::start();
    let nodes = purser.db_find("meta", doc! { "sessions": { "$exists": true } });
    assert_eq!(nodes[0].get_str("sealing_with").ok(), Some("m1"));
}
