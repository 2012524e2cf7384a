//! Least privilege: the database user that serves can add to the trail, and not change it.

use bson::{Document, doc};
use mongodb::Client;
use purser::store::{INSERT_ONLY, MIGRATION, SERVICE};
use serde_json::json;

use crate::command_line::{KEY, command_at};
use crate::harness::{Mongod, Purser};

const DATABASE: &str = "least_privilege";
const UNAUTHORIZED: i32 = 13;

/// What the server answers a user, and the code where it refuses.
fn ask(uri: &str, command: Document) -> Result<Document, i32> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = Client::with_uri_str(uri).await.expect("a client");
        client.database(DATABASE).run_command(command).await.map_err(|error| {
            match error.kind.as_ref() {
                mongodb::error::ErrorKind::Command(error) => error.code,
                other => panic!("{other:?}"),
            }
        })
    })
}

#[test]
fn the_user_that_serves_can_add_to_the_trail_and_neither_change_nor_remove_anything_there() {
    let mongod = Mongod::start();
    let root = mongod.uri.clone();
    let (made, said, error) = command_at(&root, DATABASE, KEY, KEY, &["migrate", "--roles"]);
    assert!(made && said.contains(SERVICE), "{said}{error}");
    let (again, said, _) = command_at(&root, DATABASE, KEY, KEY, &["migrate", "--roles"]);
    assert!(again && said.contains("set role"), "{said}");
    for (user, role) in [("serves", SERVICE), ("migrates", MIGRATION)] {
        let create = doc! { "createUser": user, "pwd": user, "roles": [role] };
        ask(&root, create).expect("made");
    }
    let (serving, migrating) =
        (mongod.uri_of("serves", DATABASE), mongod.uri_of("migrates", DATABASE));
    let (refused, _, error) = command_at(&serving, DATABASE, KEY, KEY, &["migrate"]);
    assert!(!refused, "who serves makes no collections: {error}");
    let (migrated, _, error) = command_at(&migrating, DATABASE, KEY, KEY, &["migrate"]);
    assert!(migrated, "{error}");

    // All that Purser does, it may: what fails is logged, and fails this test.
    let purser = Purser::serve_on(&serving, DATABASE).without_replay();
    let shop =
        purser.app_with("shop", json!({ "may_issue": { "categories": ["paid"], "per_day": 100 } }));
    let (ada, me) = shop.register("ada@example.com");
    shop.patch(&format!("/v1/users/{ada}"), json!({ "username": "ada" })).expect(200);
    let credit = shop.with("Idempotency-Key", "credit");
    let body = json!({ "amount": 10, "category": "paid" });
    credit.post(&format!("/v1/users/{ada}/wallet/credits"), body).expect(201);
    shop.delete(&format!("/v1/users/{ada}/connection")).expect(204);
    purser.block_on(purser.inner.seal_trail()).expect("sealed");
    purser.block_on(purser.inner.snapshot_trail()).expect("snapshots were made");
    assert!(!purser.db_find("trail_snapshots", doc! {}).is_empty());
    purser.block_on(purser.inner.flush_last_used()).expect("flushed");
    purser.block_on(purser.inner.expire_credits()).expect("expired");
    drop(me);

    for collection in INSERT_ONLY {
        let update =
            doc! { "update": *collection, "updates": [{ "q": {}, "u": { "$set": { "a": 1 } } }] };
        let delete = doc! { "delete": *collection, "deletes": [{ "q": {}, "limit": 0 }] };
        for command in [update, delete, doc! { "drop": *collection }] {
            for user in [&serving, &migrating] {
                assert_eq!(ask(user, command.clone()), Err(UNAUTHORIZED), "{command}");
            }
        }
        assert!(ask(&serving, doc! { "find": *collection }).is_ok());
    }
    purser.end();
}
