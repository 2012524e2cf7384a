//! The command line: what stops a start says what is wrong and how to mend it.

use std::process::{Command, Output};

use crate::harness::Mongod;

const KEY: &str = "m1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn purser(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_purser"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
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
    let (_, listed, said) = with(KEY, KEY);
    assert!(!listed && said.contains("crypto.master_keys: `m2` is missing"), "{said}");
}
