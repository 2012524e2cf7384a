//! Operators as admins add, change and remove them.

use bson::doc;
use purser::kernel::time::DAY_MS;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser};

const OPERATORS: &str = "/v1/admin/operators";

fn path(id: &str) -> String {
    format!("{OPERATORS}/{id}")
}

/// Adds an operator; the id, and a principal with the new key.
fn added(admin: &Principal, role: &str) -> (String, Principal) {
    let body = json!({ "name": "Grace", "role": role, "days": 30 });
    let answer = admin.post(OPERATORS, body).expect(201);
    let id = answer["operator"]["id"].as_str().expect("an id").to_owned();
    (id, admin.with_other_key(answer["key"].as_str().expect("a key")))
}

/// Who this admin is: the only one who was there before.
fn own_id(admin: &Principal) -> String {
    let page = admin.get(OPERATORS).expect(200);
    page["items"][0]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn an_added_operator_works_at_once_and_its_key_is_shown_this_once() {
    let purser = Purser::start();
    let admin = purser.admin();
    purser.step_clock(1000);

    let body = json!({
        "name": "Grace", "role": "auditor", "auditor_pii": true, "days": 7,
        "allowed_ips": ["127.0.0.1/8", "::1"],
    });
    let answer = admin.post(OPERATORS, body);
    assert_eq!(answer.header("etag"), Some("\"1\""));
    let answer = answer.expect(201);

    let operator = &answer["operator"];
    assert_eq!((&operator["role"], &operator["auditor_pii"]), (&json!("auditor"), &json!(true)));
    assert_eq!(operator["expires_at"], "2026-01-08T00:00:01.000Z");
    assert_eq!(operator["allowed_ips"], json!(["127.0.0.0/8", "::1"]));
    let key = answer["key"].as_str().expect("a key");
    purser.with_key(key).get("/v1/audit/logs").expect(200);
    let id = operator["id"].as_str().expect("an id");
    let one = admin.get(&path(id)).expect(200);
    let listed = admin.get(OPERATORS).expect(200);
    assert_eq!(&one, operator);
    assert_eq!(&listed["items"][1], operator);
    for shown in [one.to_string(), listed.to_string(), operator.to_string()] {
        assert!(!shown.contains(key) && !shown.contains("_mac") && !shown.contains("key_id"));
    }
    purser.step_clock(7 * DAY_MS);
    assert_eq!(purser.with_key(key).get("/v1/audit/logs").refused(401), "unauthenticated");
}

#[test]
fn an_operator_who_is_added_again_under_one_idempotency_key_has_one_key() {
    let purser = Purser::start();
    let admin = purser.admin().with("Idempotency-Key", "operator-1");
    let body = json!({ "name": "Grace", "role": "admin", "days": 30 });

    let first = admin.post(OPERATORS, body.clone()).expect(201);
    let again = admin.post(OPERATORS, body);

    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
    assert_eq!(purser.db_find("operators", doc! {}).len(), 2);
}

#[test]
fn the_list_of_operators_goes_on_where_the_cursor_says() {
    let purser = Purser::start();
    let admin = purser.admin();
    let add = |_| {
        purser.step_clock(1000);
        added(&admin, "auditor").0
    };
    let ids: Vec<_> = (0..3).map(add).collect();

    let first = admin.get(&format!("{OPERATORS}?limit=2")).expect(200);
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = admin.get(&format!("{OPERATORS}?limit=2&cursor={cursor}")).expect(200);

    assert_eq!(first["items"][1]["id"], ids[0]);
    let rest: Vec<_> = second["items"].as_array().expect("items").iter().collect();
    assert_eq!((&rest[0]["id"], &rest[1]["id"]), (&json!(ids[1]), &json!(ids[2])));
    assert_eq!(second["next_cursor"], Value::Null);
    let other = purser.admin().get(&format!("{OPERATORS}?limit=2&cursor={cursor}"));
    assert_eq!(other.refused(400), "invalid_cursor");
}

#[test]
fn an_operator_that_cannot_be_is_refused_and_named() {
    let purser = Purser::start();
    let admin = purser.admin();
    let cases = [
        ("/name", json!({ "name": "", "role": "admin", "days": 1 })),
        ("/name", json!({ "name": "a\u{0}b", "role": "admin", "days": 1 })),
        ("/role", json!({ "name": "Grace", "role": "root", "days": 1 })),
        ("/days", json!({ "name": "Grace", "role": "admin", "days": 91 })),
        ("/days", json!({ "name": "Grace", "role": "admin", "days": 0 })),
        ("/days", json!({ "name": "Grace", "role": "admin" })),
        (
            "/allowed_ips/0",
            json!({ "name": "G", "role": "admin", "days": 1, "allowed_ips": ["x"] }),
        ),
        ("/key_mac", json!({ "name": "G", "role": "admin", "days": 1, "key_mac": "x" })),
    ];

    for (pointer, body) in cases {
        let reply = admin.post(OPERATORS, body.clone());
        assert_eq!(reply.pointers(), [pointer], "{body}");
        assert_eq!(reply.refused(422), "invalid", "{body}");
    }

    assert_eq!(purser.db_find("operators", doc! {}).len(), 1);
}

#[test]
fn an_operator_is_changed_and_what_it_was_may_no_longer_be_done() {
    let purser = Purser::start();
    let admin = purser.admin();
    let (id, grace) = added(&admin, "admin");
    grace.get(OPERATORS).expect(200);

    let change = json!({ "name": "Grace H.", "role": "auditor", "auditor_pii": true });
    assert_eq!(admin.patch(&path(&id), change.clone()).refused(428), "precondition_required");
    let stale = admin.with("If-Match", "\"7\"").patch(&path(&id), change.clone());
    assert_eq!(stale.refused(412), "revision_mismatch");
    let changed = admin.with("If-Match", "\"1\"").patch(&path(&id), change);

    assert_eq!(changed.header("etag"), Some("\"2\""));
    let changed = changed.expect(200);
    assert_eq!((&changed["name"], &changed["revision"]), (&json!("Grace H."), &json!(2)));
    assert_eq!(grace.get(OPERATORS).refused(403), "wrong_credential");
    grace.get("/v1/audit/logs").expect(200);
    for (pointer, patch) in [
        ("/name", json!({ "name": null })),
        ("/role", json!({ "role": "root" })),
        ("/status", json!({ "status": "active" })),
        ("/auditor_pii", json!({ "auditor_pii": 1 })),
    ] {
        let reply = admin.with("If-Match", "*").patch(&path(&id), patch);
        assert_eq!(reply.pointers(), [pointer]);
        assert_eq!(reply.refused(422), "invalid");
    }
}

#[test]
fn a_key_ends_earlier_or_later_but_never_beyond_ninety_days() {
    let purser = Purser::start();
    let admin = purser.admin().with("If-Match", "*");
    let (id, grace) = added(&admin, "auditor");
    let end = |at: &str| admin.patch(&path(&id), json!({ "expires_at": at }));

    for wrong in
        ["2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z", "2026-04-01T00:00:00.001Z", "soon"]
    {
        let reply = end(wrong);
        assert_eq!(reply.pointers(), ["/expires_at"], "{wrong}");
        assert_eq!(reply.refused(422), "invalid", "{wrong}");
    }
    assert_eq!(end("2026-04-01T00:00:00Z").expect(200)["expires_at"], "2026-04-01T00:00:00.000Z");
    end("2026-01-02T00:00:00Z").expect(200);

    purser.step_clock(2 * DAY_MS);
    assert_eq!(grace.get("/v1/audit/logs").refused(401), "unauthenticated");
}

#[test]
fn a_removed_operator_is_refused_at_once_and_stays_so() {
    let purser = Purser::start();
    let admin = purser.admin();
    let (id, grace) = added(&admin, "admin");

    let stale = admin.with("If-Match", "\"9\"").delete(&path(&id));
    assert_eq!(stale.refused(412), "revision_mismatch");
    admin.delete(&path(&id)).expect(204);
    admin.delete(&path(&id)).expect(204);

    assert_eq!(grace.get(OPERATORS).refused(401), "unauthenticated");
    assert_eq!(admin.get(&path(&id)).expect(200)["status"], "revoked");
    let back = admin.with("If-Match", "*").patch(&path(&id), json!({ "role": "admin" }));
    assert_eq!(back.refused(409), "already_resolved");
    assert_eq!(
        purser
            .db_entries(doc! { "action": "operator_removed", "subject": format!("operator:{id}") })
            .len(),
        1
    );
    for nobody in ["0123456789abcdef01234567", "me", "%24where"] {
        assert_eq!(admin.delete(&path(nobody)).refused(404), "not_found");
        assert_eq!(admin.get(&path(nobody)).refused(404), "not_found");
    }
}

#[test]
fn the_last_admin_keeps_role_and_key() {
    let purser = Purser::start();
    let admin = purser.admin().with("If-Match", "*");
    let own = own_id(&admin);
    added(&admin, "auditor");
    let (gone, _) = added(&admin, "admin");
    admin.delete(&path(&gone)).expect(204);

    let removed = admin.delete(&path(&own));
    let demoted = admin.patch(&path(&own), json!({ "role": "auditor" }));

    assert_eq!(removed.refused(409), "last_admin");
    assert_eq!(demoted.refused(409), "last_admin");
    admin.patch(&path(&own), json!({ "name": "Still here" })).expect(200);
}

#[test]
fn an_admin_whose_key_has_ended_does_not_count_as_one_who_remains() {
    let purser = Purser::start();
    let admin = purser.admin();
    let own = own_id(&admin);
    let body = json!({ "name": "Short", "role": "admin", "days": 1 });
    admin.post(OPERATORS, body).expect(201);
    purser.step_clock(2 * DAY_MS);

    assert_eq!(admin.delete(&path(&own)).refused(409), "last_admin");
}

#[test]
fn an_admin_may_go_while_another_remains() {
    let purser = Purser::start();
    let admin = purser.admin();
    let own = own_id(&admin);
    let (_, grace) = added(&admin, "admin");

    admin.delete(&path(&own)).expect(204);

    assert_eq!(admin.get(OPERATORS).refused(401), "unauthenticated");
    grace.get(OPERATORS).expect(200);
}

#[test]
fn of_two_admins_who_remove_each_other_one_remains() {
    let purser = Purser::start();
    let admin = purser.admin();
    for _ in 0..5 {
        let (ada, ada_key) = added(&admin, "admin");
        let (grace, grace_key) = added(&admin, "admin");
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let one = scope.spawn(|| ada_key.delete(&path(&grace)).status);
            let other = scope.spawn(|| grace_key.delete(&path(&ada)).status);
            [one, other].into_iter().map(|sent| sent.join().expect("answered")).collect()
        });

        statuses.sort_unstable();
        assert_eq!(statuses, [204, 401]);
        let active = [&ada, &grace]
            .into_iter()
            .filter(|id| admin.get(&path(id)).expect(200)["status"] == "active");
        assert_eq!(active.count(), 1);
    }
}

#[test]
fn an_auditor_administers_no_operators() {
    let purser = Purser::start();
    let auditor = purser.auditor();
    let body = json!({ "name": "Mine", "role": "admin", "days": 90 });
    assert_eq!(auditor.get(OPERATORS).refused(403), "wrong_credential");
    assert_eq!(auditor.post(OPERATORS, body).refused(403), "wrong_credential");
}

#[test]
fn nobody_locks_themself_out_by_a_list_of_addresses() {
    let purser = Purser::start();
    let admin = purser.admin();
    let listed = admin.get("/v1/admin/operators").expect(200);
    let me = format!("/v1/admin/operators/{}", listed["items"][0]["id"].as_str().expect("an id"));
    let change = |ips: Value| admin.with("If-Match", "*").patch(&me, json!({ "allowed_ips": ips }));

    let refused = change(json!(["203.0.113.7"]));
    assert_eq!(refused.pointers(), ["/allowed_ips"]);
    assert_eq!(refused.refused(422), "invalid");
    change(json!(["203.0.113.7", "127.0.0.0/8"])).expect(200);
    admin.get(&me).expect(200);
}
