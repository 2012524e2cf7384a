//! The demo: loaded through the same commands as the API, as often as one likes.

use std::collections::BTreeMap;

use bson::doc;
use purser::app::{bulk, seed};
use serde_json::{Value, json};

use crate::harness::Purser;

fn load(purser: &Purser, variables: &mut BTreeMap<String, String>) {
    purser.block_on(seed::load(&purser.inner, variables)).expect("loads");
}

#[test]
fn the_demo_is_loaded_once_however_often_it_is_loaded() {
    let purser = Purser::start();
    let mut first = BTreeMap::new();
    load(&purser, &mut first);
    let entries = purser.db_find("user_audit_logs", doc! {}).len();

    let mut second = first.clone();
    load(&purser, &mut second);

    assert_eq!(first, second);
    assert_eq!(purser.db_find("user_audit_logs", doc! {}).len(), entries);
    assert_eq!(purser.db_find("users", doc! {}).len(), 3);
}

#[test]
fn the_sample_person_has_two_connections_as_the_model_shows_them() {
    let purser = Purser::start();
    let mut variables = BTreeMap::new();
    load(&purser, &mut variables);
    let id = &variables["PURSER_USER_ID"];

    let by =
        |key: &str| purser.with_key(&variables[key]).get(&format!("/v1/users/{id}")).expect(200);
    let (external, mobile) = (by("PURSER_APP_KEY"), by("PURSER_SECOND_APP_KEY"));
    let me = purser.with_key(&variables["PURSER_CONNECTION_KEY"]).get("/v1/users/me").expect(200);

    assert_eq!(external["shared"]["email"], "john.doe@example.com");
    assert_eq!(external["app_specific"]["app_username"], "johndoe_ext");
    assert_eq!(external["app_specific"]["permissions"], json!(["read", "write", "wallet_access"]));
    assert_eq!(external["app_specific"]["app_profile"]["custom_fields"]["employee_id"], "EMP001");
    assert_eq!(mobile["app_specific"]["app_username"], "john_mobile");
    assert_eq!(mobile["app_specific"]["permissions"], json!(["read", "wallet_access"]));
    assert_eq!(me["app_specific"]["connection_id"], external["app_specific"]["connection_id"]);
}

#[test]
fn one_person_is_admin_in_one_product_and_viewer_in_another() {
    let purser = Purser::start();
    let mut variables = BTreeMap::new();
    load(&purser, &mut variables);

    let roles = |key: &str, email: &str| -> Value {
        let app = purser.with_key(&variables[key]);
        let people = app.get(&format!("/v1/users?email={email}")).expect(200);
        people["items"][0]["app_specific"]["roles"].clone()
    };

    assert_eq!(roles("PURSER_ACCOUNTING_APP_KEY", "alice@example.com"), json!(["admin"]));
    assert_eq!(roles("PURSER_PAYROLL_APP_KEY", "alice@example.com"), json!(["viewer"]));
    assert_eq!(roles("PURSER_ACCOUNTING_APP_KEY", "bob@example.com"), json!(["user"]));
}

#[test]
fn keys_that_are_lost_or_no_longer_work_are_replaced_by_ones_that_do() {
    let purser = Purser::start();
    let mut variables = BTreeMap::new();
    load(&purser, &mut variables);
    let before = variables.clone();
    variables.retain(|name, _| name == "PURSER_ADMIN_KEY");
    variables.insert("PURSER_APP_KEY".to_owned(), "prs_app_nonsense".to_owned());

    load(&purser, &mut variables);

    assert_eq!(variables["PURSER_ADMIN_KEY"], before["PURSER_ADMIN_KEY"]);
    assert_eq!(variables["PURSER_USER_ID"], before["PURSER_USER_ID"]);
    for key in ["PURSER_APP_KEY", "PURSER_CONNECTION_KEY", "PURSER_AUDITOR_KEY"] {
        assert_ne!(variables[key], before[key], "{key}");
    }
    purser.with_key(&variables["PURSER_CONNECTION_KEY"]).get("/v1/users/me").expect(200);
    purser.with_key(&variables["PURSER_APP_KEY"]).get("/v1/users").expect(200);
    purser.with_key(&variables["PURSER_AUDITOR_KEY"]).get("/v1/audit/logs").expect(200);
}

#[test]
fn many_people_are_registered_by_an_app_of_their_own_and_each_of_them_once() {
    let purser = Purser::start();
    let mut variables = BTreeMap::new();
    load(&purser, &mut variables);
    let people = |count: u32, variables: &mut BTreeMap<String, String>| {
        purser.block_on(bulk::load(&purser.inner, variables, count)).expect("loads");
        purser.db_find("users", doc! { "username": { "$regex": "^bulk" } }).len()
    };

    assert_eq!(people(20, &mut variables), 20);
    let entries = purser.db_find("user_audit_logs", doc! {}).len();
    assert_eq!(people(20, &mut variables), 20);
    assert_eq!(purser.db_find("user_audit_logs", doc! {}).len(), entries);
    assert_eq!(people(30, &mut variables), 30);

    let app = purser.with_key(&variables[bulk::APP_KEY]);
    let found = app.get("/v1/users?email=bulk000021@example.com").expect(200);
    assert_eq!(found["items"][0]["shared"]["profile"]["last_name"], "Garcia");
    assert_eq!(found["items"][0]["app_specific"]["app_username"], "bulk_21");
    let demo = purser.with_key(&variables["PURSER_APP_KEY"]);
    let unknown = demo.get("/v1/users?email=bulk000021@example.com").expect(200);
    assert_eq!(unknown["items"], json!([]));
}

#[test]
fn what_bulk_seeding_left_undone_is_done_when_it_is_repeated() {
    let purser = Purser::start();
    let mut variables = BTreeMap::new();
    load(&purser, &mut variables);
    purser.block_on(bulk::load(&purser.inner, &mut variables, 1)).expect("loads");
    let app = purser.with_key(&variables[bulk::APP_KEY]);
    let third = json!({ "email": "bulk000003@example.com", "verified": ["email"] });
    app.post("/v1/users", third).expect(201);

    purser.block_on(bulk::load(&purser.inner, &mut variables, 5)).expect("loads");

    let by_address = |number: u32| {
        let path = format!("/v1/users?email=bulk{number:06}@example.com");
        app.get(&path).expect(200)["items"].as_array().expect("items").len()
    };
    assert_eq!((1..=6).map(by_address).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 0]);
}

#[test]
fn the_sample_persons_balance_is_a_credit_with_an_entry_made_once() {
    let purser = Purser::start();
    let mut variables = BTreeMap::new();
    load(&purser, &mut variables);
    load(&purser, &mut variables);

    let me = purser.with_key(&variables["PURSER_CONNECTION_KEY"]);
    let wallet = me.get("/v1/users/me/wallet").expect(200)["wallet"].clone();
    let entries = me.get("/v1/users/me/wallet/entries").expect(200)["items"].clone();

    assert_eq!((&wallet["balance"], &wallet["available"]), (&1500.into(), &1500.into()));
    assert_eq!(entries.as_array().map(Vec::len), Some(1));
    assert_eq!((&entries[0]["kind"], &entries[0]["amount"]), (&"credit".into(), &1500.into()));
}
