//! Modules that admins register: their schemas, what apps keep in them, how they change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bson::doc;
use purser::app::build::job;
use purser::modules::registry::{LoadModule, Open};
use serde_json::{Value, json};

use crate::command_line::{KEY, command};
use crate::harness::{Principal, Purser, Reply};

fn loyalty() -> Value {
    json!({
        "module_name": "loyalty", "display_name": "Loyalty", "description": "Points and a tier",
        "schema": { "points": "integer", "tier": "string", "nickname": "string?", "home?": { "city": "string" } },
        "defaults": { "points": 0, "tier": "bronze" },
    })
}

/// An app that may hold the permission of `loyalty` besides, and does by default. The module is a
/// draft.
fn club(purser: &Purser) -> Principal {
    club_of(purser, loyalty())
}

fn club_of(purser: &Purser, mut module: Value) -> Principal {
    module["status"] = json!("draft");
    purser.admin().post("/v1/admin/modules", module).expect(201);
    with_permissions(purser, "club", &["read", "write", "loyalty_access"])
}

fn with_permissions(purser: &Purser, id: &str, permissions: &[&str]) -> Principal {
    purser.app_with(id, json!({ "permissions": permissions, "default_permissions": permissions }))
}

fn path(user: &str) -> String {
    format!("/v1/users/{user}/modules/loyalty")
}

/// The same with the newest entity tag of the module.
fn changing(admin: &Principal, name: &str) -> Principal {
    let read = admin.get(&format!("/v1/admin/modules/{name}"));
    admin.with("If-Match", read.header("etag").expect("an ETag"))
}

fn set_status(admin: &Principal, status: &str) -> Reply {
    changing(admin, "loyalty").patch("/v1/admin/modules/loyalty", json!({ "status": status }))
}

fn pointers(reply: &Reply) -> Vec<(String, String)> {
    let text = |error: &Value, field: &str| error[field].as_str().expect("a text").to_owned();
    let errors = reply.body["errors"].as_array();
    let errors = errors.unwrap_or_else(|| panic!("no errors: {}", reply.body));
    errors.iter().map(|error| (text(error, "pointer"), text(error, "code"))).collect()
}

fn run(purser: &Purser) {
    purser.block_on(purser.inner.work_on_jobs()).expect("worked on");
}

#[test]
fn a_module_that_is_registered_is_used_on_the_next_request_by_whoever_holds_its_permission() {
    let purser = Purser::start();
    let (admin, club, shop) = (purser.admin(), club(&purser), purser.app("shop"));
    let (ada, _) = club.register("ada@example.com");
    shop.register("ada@example.com");
    assert_eq!(club.get(&path(&ada)).refused(404), "not_found");

    let registered = set_status(&admin, "active").expect(200);
    let read = club.get(&path(&ada));
    let patched = club.patch(&path(&ada), json!({ "points": 25, "home": { "city": "Ulm" } }));

    assert_eq!(registered["permission"], "loyalty_access");
    assert_eq!(registered["version"], "1.0.0");
    assert_eq!(read.body, json!({ "enabled": true, "points": 0, "tier": "bronze" }));
    let after =
        json!({ "enabled": true, "points": 25, "tier": "bronze", "home": { "city": "Ulm" } });
    assert_eq!(patched.body, after);
    assert_eq!(club.get(&path(&ada)).header("etag"), patched.header("etag"));
    let view = club.get(&format!("/v1/users/{ada}")).expect(200);
    assert_eq!(view["shared"]["modules"]["loyalty"], after);
    let listed = club.get(&format!("/v1/users/{ada}/modules")).expect(200);
    assert_eq!(listed["items"].as_array().expect("items").len(), 1, "{listed}");
    assert_eq!(listed["items"][0]["module_name"], "loyalty");
    // Who was registered after the module has its data from the start.
    let (eve, _) = club.register("eve@example.com");
    let stored = purser.db_find(
        "users",
        doc! { "_id": eve.parse::<purser::kernel::ids::UserId>().expect("an id").0 },
    );
    let data = stored[0].get_document("modules").expect("modules").get_document("loyalty");
    assert_eq!(data.expect("data").get_str("_v").ok(), Some("1.0.0"));
}

#[test]
fn whoever_lacks_the_permission_cannot_tell_that_the_module_exists() {
    let purser = Purser::start();
    let (admin, club, shop) = (purser.admin(), club(&purser), purser.app("shop"));
    let (ada, _) = club.register("ada@example.com");
    shop.register("ada@example.com");
    set_status(&admin, "active").expect(200);
    let anonymous = |mut reply: Reply| {
        reply.body.as_object_mut().expect("an object").remove("request_id");
        (reply.status, reply.body)
    };
    let nowhere = format!("/v1/users/{ada}/modules/no_such_thing");

    for patch in [json!({ "points": 1 }), json!({ "nonsense": 1 })] {
        let hidden = anonymous(shop.patch(&path(&ada), patch.clone()));
        assert_eq!(hidden, anonymous(shop.patch(&nowhere, patch)));
        assert_eq!(hidden.0, 404);
    }
    assert_eq!(anonymous(shop.get(&path(&ada))), anonymous(shop.get(&nowhere)));
    let view = shop.get(&format!("/v1/users/{ada}")).expect(200);
    assert_eq!(view["shared"]["modules"].get("loyalty"), None);
    let listed = shop.get(&format!("/v1/users/{ada}/modules")).expect(200);
    assert!(!listed.to_string().contains("loyalty"), "{listed}");
    // Nor can an app whose ceiling was lowered since.
    let ceiling = json!({ "permissions": ["read", "write"], "default_permissions": ["read"] });
    let tag = admin.get("/v1/admin/apps/club");
    let tag = tag.header("etag").expect("an ETag").to_owned();
    admin.with("If-Match", &tag).patch("/v1/admin/apps/club", ceiling).expect(200);
    assert_eq!(club.get(&path(&ada)).refused(404), "not_found");
    assert_eq!(club.patch(&path(&ada), json!({ "points": 1 })).refused(404), "not_found");
}

#[test]
fn a_patch_is_merged_completed_and_held_against_the_schema() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");

    let patch = json!({ "tier": "gold", "nickname": "Lovelace", "home": { "city": "Ulm" } });
    club.patch(&path(&ada), patch).expect(200);
    // What is required and removed is back at its default; what is optional is gone.
    let back = club.patch(&path(&ada), json!({ "tier": null, "nickname": null })).expect(200);
    assert_eq!(
        back,
        json!({ "enabled": true, "points": 0, "tier": "bronze", "home": { "city": "Ulm" } })
    );
    for (patch, expected) in [
        (json!({ "points": "many" }), ("/points", "wrong_type")),
        (json!({ "points": 1.5 }), ("/points", "wrong_type")),
        (json!({ "color": "red" }), ("/color", "unknown_field")),
        (json!({ "home": { "city": null } }), ("/home/city", "required")),
        (json!({ "home": { "$where": 1 } }), ("/home/$where", "invalid_key")),
        (json!({ "a.b": 1 }), ("/a.b", "invalid_key")),
        (json!({ "enabled": false }), ("/enabled", "read_only")),
        (json!({ "_v": "9.0.0" }), ("/_v", "unknown_field")),
    ] {
        let refused = club.patch(&path(&ada), patch.clone());
        let (pointer, code) = expected;
        assert_eq!(pointers(&refused), [(pointer.to_owned(), code.to_owned())], "{patch}");
        assert_eq!(refused.refused(422), "invalid", "{patch}");
    }
    assert_eq!(club.patch(&path(&ada), json!([1])).refused(422), "invalid");
    let before = purser.db_entries(doc! { "action": "module_data_updated" }).len();
    club.patch(&path(&ada), json!({ "points": 0 })).expect(200);
    let entries = purser.db_entries(doc! { "action": "module_data_updated" });
    assert_eq!(entries.len(), before, "no change, no entry");
    assert_eq!(entries[0].get_str("module").ok(), Some("loyalty"));
}

#[test]
fn an_if_match_of_the_past_is_refused_and_what_is_written_is_sealed_in_the_trail() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");
    let tag = club.get(&path(&ada)).header("etag").expect("an ETag").to_owned();

    club.with("If-Match", &tag).patch(&path(&ada), json!({ "nickname": "Lovelace" })).expect(200);
    let late = club.with("If-Match", &tag).patch(&path(&ada), json!({ "nickname": "Byron" }));

    assert_eq!(late.refused(412), "revision_mismatch");
    let unchanged = club.with("If-None-Match", club.get(&path(&ada)).header("etag").expect("one"));
    assert_eq!(unchanged.get(&path(&ada)).status, 304);
    let entries = purser.db_entries(doc! { "action": "module_data_updated" });
    assert!(!format!("{entries:?}").contains("Lovelace"), "{entries:?}");
}

#[test]
fn an_admin_enables_and_disables_a_module_for_one_person() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");
    let switch = |name: &str, enabled: bool| {
        admin.put(&format!("/v1/admin/users/{ada}/modules/{name}"), json!({ "enabled": enabled }))
    };

    switch("loyalty", false).expect(200);
    assert_eq!(club.get(&path(&ada)).expect(200)["enabled"], false);
    assert_eq!(club.patch(&path(&ada), json!({ "points": 1 })).refused(403), "module_disabled");
    switch("loyalty", true).expect(200);
    club.patch(&path(&ada), json!({ "points": 1 })).expect(200);
    switch("wallet", false).expect(200);
    switch("wallet", false).expect(200);
    assert_eq!(switch("no_such_thing", true).refused(404), "not_found");
    assert_eq!(purser.db_entries(doc! { "action": "module_switched" }).len(), 3);
}

#[test]
fn the_status_decides_who_sees_a_module() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    let (ada, _) = club.register("ada@example.com");

    assert_eq!(club.get(&path(&ada)).refused(404), "not_found");
    set_status(&admin, "active").expect(200);
    assert_eq!(club.get(&path(&ada)).header("deprecation"), None);
    set_status(&admin, "deprecated").expect(200);
    let read = club.get(&path(&ada));
    let since = purser.now().timestamp_millis().div_euclid(1000);
    assert_eq!(read.header("deprecation"), Some(format!("@{since}").as_str()));
    club.patch(&path(&ada), json!({ "points": 3 })).expect(200);
    set_status(&admin, "inactive").expect(200);
    assert_eq!(club.get(&path(&ada)).refused(404), "not_found");
    assert_eq!(club.patch(&path(&ada), json!({ "points": 4 })).refused(404), "not_found");
    assert_eq!(set_status(&admin, "draft").refused(422), "invalid");
    set_status(&admin, "active").expect(200);
    assert_eq!(club.get(&path(&ada)).expect(200)["points"], 3);
    let unseen = admin.patch("/v1/admin/modules/loyalty", json!({ "status": "inactive" }));
    assert_eq!(unseen.refused(428), "precondition_required");
}

#[test]
fn a_module_is_deleted_only_while_nothing_uses_it_and_its_name_can_be_taken_again() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    set_status(&admin, "active").expect(200);
    let delete = || admin.delete("/v1/admin/modules/loyalty");
    assert_eq!(delete().refused(409), "module_in_use");

    set_status(&admin, "inactive").expect(200);
    let settling = delete();
    assert!(settling.header("retry-after").is_some(), "requests may be running");
    assert_eq!(settling.refused(409), "module_in_use");
    purser.step_clock(31_000);
    let held = delete();
    assert!(held.body["detail"].as_str().expect("a text").contains("loyalty_access"));
    assert_eq!(held.refused(409), "module_in_use");
    let tag = admin.get("/v1/admin/apps/club").header("etag").expect("one").to_owned();
    let ceiling = json!({ "permissions": ["read"], "default_permissions": ["read"] });
    admin.with("If-Match", &tag).patch("/v1/admin/apps/club", ceiling).expect(200);
    delete().expect(204);

    assert_eq!(delete().refused(404), "not_found");
    assert_eq!(admin.get("/v1/admin/modules/loyalty").refused(404), "not_found");
    let again = admin.post("/v1/admin/modules", loyalty()).expect(201);
    assert_eq!(again["status"], "active");
    assert_eq!(admin.post("/v1/admin/modules", loyalty()).refused(409), "already_exists");
    drop(club);
}

#[test]
fn what_is_built_in_is_shown_and_changes_only_by_its_own_operations() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let (ada, _) = shop.register("ada@example.com");
    let wallet = format!("/v1/users/{ada}/modules/wallet");

    assert_eq!(shop.get(&wallet).expect(200)["balance"], 0);
    let set = shop.patch(&wallet, json!({ "balance": 2000 }));
    assert_eq!(set.refused(403), "module_built_in");
    let status = json!({ "status": "inactive" });
    let patched = changing(&admin, "wallet").patch("/v1/admin/modules/wallet", status);
    assert_eq!(patched.refused(403), "module_built_in");
    assert_eq!(admin.delete("/v1/admin/modules/wallet").refused(403), "module_built_in");
    let version = json!({ "version": "9.0.0", "schema": { "a": "string?" } });
    let published = admin.post("/v1/admin/modules/wallet/versions", version);
    assert_eq!(published.refused(403), "module_built_in");
    let listed = admin.get("/v1/admin/modules").expect(200);
    let names: Vec<_> =
        listed["items"].as_array().expect("items").iter().map(|it| &it["module_name"]).collect();
    assert_eq!(names, ["referrals", "subscription", "wallet"]);
    let mut taken = loyalty();
    taken["module_name"] = json!("wallet");
    taken["permission"] = json!("purse_access");
    assert_eq!(admin.post("/v1/admin/modules", taken).refused(409), "already_exists");
    let mut disguised = loyalty();
    disguised["permission"] = json!("wallet_access");
    assert_eq!(admin.post("/v1/admin/modules", disguised).refused(422), "invalid");
}

#[test]
fn a_schema_that_is_not_acceptable_is_refused_with_the_place_and_what_would_be() {
    let purser = Purser::start();
    let admin = purser.admin();
    let register = |schema: Value, defaults: Value| {
        let body = json!({ "module_name": "loyalty", "display_name": "L", "schema": schema, "defaults": defaults });
        admin.post("/v1/admin/modules", body)
    };

    for (schema, defaults, pointer) in [
        (json!({ "points": "numeral" }), json!({}), "/schema/points"),
        (json!({ "points": "integer" }), json!({ "points": "none" }), "/defaults/points"),
        (json!({ "$where": "string" }), json!({}), "/schema/$where"),
        (json!({ "a.b": "string" }), json!({}), "/schema/a.b"),
        (json!({ "__proto__": "string" }), json!({}), "/schema/__proto__"),
        (json!({ "user_id": "string" }), json!({}), "/schema/user_id"),
        (
            json!({ "type": "object", "properties": { "a": { "$ref": "https://example.com/a" } } }),
            json!({}),
            "/schema/properties/a/$ref",
        ),
        (
            json!({ "type": "object", "properties": { "a": { "type": "string", "pattern": "(a{1000}){1000}" } } }),
            json!({}),
            "/schema/properties/a/pattern",
        ),
    ] {
        let refused = register(schema.clone(), defaults);
        let errors = pointers(&refused);
        assert!(errors.iter().any(|(place, _)| place == pointer), "{schema}: {errors:?}");
        assert_eq!(refused.refused(422), "invalid", "{schema}");
    }
    let deep = "{\"a\":".repeat(40) + "1" + &"}".repeat(40);
    let deep = format!("{{\"module_name\":\"x\",\"display_name\":\"x\",\"schema\":{deep}}}");
    assert_eq!(admin.send("POST", "/v1/admin/modules", Some(deep.into())).refused(422), "invalid");
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "$defs": { "name": { "type": "string", "maxLength": 20 } },
        "properties": { "first": { "$ref": "#/$defs/name" }, "tier": { "enum": ["bronze", "gold"] } },
        "required": ["tier"], "additionalProperties": false,
    });
    let registered = register(schema, json!({ "tier": "bronze" })).expect(201);
    assert_eq!(registered["schema"]["properties"]["first"]["maxLength"], 20);
}

#[test]
fn a_compatible_version_takes_over_and_older_data_is_read_as_if_it_were_of_it() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");
    club.patch(&path(&ada), json!({ "points": 7 })).expect(200);
    let mut next = json!({
        "version": "1.1.0",
        "schema": { "points": "number", "tier": "string", "nickname": "string?", "home?": { "city": "string" }, "visits": "integer" },
        "defaults": { "points": 0, "tier": "bronze" },
    });
    let versions = "/v1/admin/modules/loyalty/versions";

    let without_default = admin.post(versions, next.clone());
    assert_eq!(
        pointers(&without_default),
        [("/visits".to_owned(), "required_without_default".to_owned())]
    );
    assert_eq!(without_default.refused(409), "breaking_change");
    next["defaults"]["visits"] = json!(0);
    let rehearsed = admin.post(&format!("{versions}?dry_run=true"), next.clone()).expect(200);
    assert_eq!(rehearsed["migrates"], false);
    assert_eq!((&rehearsed["checked"], &rehearsed["failed"]), (&json!(1), &json!(0)));
    admin.post(versions, next.clone()).expect(201);
    assert_eq!(admin.post(versions, next).refused(422), "invalid", "it is there already");
    assert_eq!(club.get(&path(&ada)).expect(200).get("visits"), None, "not active yet");
    admin.post(&format!("{versions}/1.1.0/activate"), json!({})).expect(200);

    let read = club.get(&path(&ada)).expect(200);
    assert_eq!(read, json!({ "enabled": true, "points": 7, "tier": "bronze", "visits": 0 }));
    club.patch(&path(&ada), json!({ "points": 7.5 })).expect(200);
    let back = admin.post(&format!("{versions}/1.0.0/activate"), json!({}));
    assert_eq!(back.refused(409), "wrong_state");
    let listed = admin.get(versions).expect(200);
    assert_eq!(listed["items"][1]["active"], true);
    assert_eq!(listed["items"].as_array().expect("items").len(), 2);
}

#[test]
fn a_breaking_version_needs_a_migration_and_a_new_major_number() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");
    club.patch(&path(&ada), json!({ "points": 7, "tier": "gold" })).expect(200);
    let versions = "/v1/admin/modules/loyalty/versions";
    let version = |number: &str, migration: Value| {
        json!({
            "version": number, "migration": migration, "activate": true,
            "schema": { "score": "integer", "level": "string", "nickname": "string?", "home?": { "city": "string" } },
            "defaults": { "score": 0, "level": "bronze" },
        })
    };
    let steps = json!([
        { "rename": { "from": "/points", "to": "/score" } },
        { "rename": { "from": "/tier", "to": "/level" } },
    ]);

    let refused = admin.post(versions, version("2.0.0", json!([])));
    assert!(pointers(&refused).contains(&("/points".to_owned(), "field_removed".to_owned())));
    assert_eq!(refused.refused(409), "breaking_change");
    let minor = admin.post(versions, version("1.1.0", steps.clone()));
    assert_eq!(pointers(&minor), [("/version".to_owned(), "version_too_low".to_owned())]);
    admin.post(versions, version("2.0.0", steps)).expect(201);

    let migrated = json!({ "enabled": true, "score": 7, "level": "gold" });
    assert_eq!(club.get(&path(&ada)).expect(200), migrated);
    let started = admin.post("/v1/admin/modules/loyalty/backfill", json!({})).expect(202);
    run(&purser);
    let job = admin.get(&format!("/v1/admin/jobs/{}", started["id"].as_str().expect("an id")));
    assert_eq!(job.expect(200)["changed"], 1);
    let stored = purser.db_find("users", doc! { "modules.loyalty._v": "2.0.0" });
    assert_eq!(stored.len(), 1);
    assert_eq!(club.get(&path(&ada)).expect(200), migrated);
}

#[test]
fn a_backfill_gives_everybody_the_module_and_the_named_apps_its_permission_once() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    let people: Vec<_> = (0..7).map(|n| shop.register(&format!("p{n}@example.com")).0).collect();
    admin.post("/v1/admin/modules", loyalty()).expect(201);
    let backfill = "/v1/admin/modules/loyalty/backfill";
    let beyond = admin.post(backfill, json!({ "apps": ["shop"] }));
    assert_eq!(pointers(&beyond), [("/apps/0".to_owned(), "beyond_ceiling".to_owned())]);
    let tag = admin.get("/v1/admin/apps/shop").header("etag").expect("one").to_owned();
    let ceiling = json!({ "permissions": ["read", "write", "wallet_access", "loyalty_access"] });
    admin.with("If-Match", &tag).patch("/v1/admin/apps/shop", ceiling).expect(200);
    assert_eq!(shop.get(&path(&people[0])).refused(404), "not_found", "not in the connection");

    let job = admin.post(backfill, json!({ "apps": ["shop"] })).expect(202);
    assert_eq!(admin.post(backfill, json!({})).refused(409), "wrong_state", "one at a time");
    run(&purser);

    let job =
        admin.get(&format!("/v1/admin/jobs/{}", job["id"].as_str().expect("an id"))).expect(200);
    assert_eq!(
        (&job["status"], &job["seen"], &job["changed"]),
        (&json!("done"), &json!(7), &json!(7))
    );
    for id in &people {
        assert_eq!(shop.get(&path(id)).expect(200)["tier"], "bronze");
    }
    assert_eq!(
        purser
            .db_entries(doc! { "action": "job_worked_on", "subject": { "$regex": "^user:" } })
            .len(),
        7
    );
    admin.post(backfill, json!({ "apps": ["shop"] })).expect(202);
    run(&purser);
    assert_eq!(
        purser
            .db_entries(doc! { "action": "job_worked_on", "subject": { "$regex": "^user:" } })
            .len(),
        7
    );
}

#[test]
fn a_job_waits_goes_on_and_ends_as_it_is_told() {
    let purser = Purser::start();
    let (admin, shop) = (purser.admin(), purser.app("shop"));
    shop.register("ada@example.com");
    admin.post("/v1/admin/modules", loyalty()).expect(201);
    let start = || {
        let job = admin.post("/v1/admin/modules/loyalty/backfill", json!({})).expect(202);
        format!("/v1/admin/jobs/{}", job["id"].as_str().expect("an id"))
    };
    let tell = |job: &str, what: &str| admin.post(&format!("{job}/{what}"), json!({}));

    let job = start();
    assert_eq!(tell(&job, "pause").expect(200)["status"], "paused");
    run(&purser);
    assert_eq!(admin.get(&job).expect(200)["changed"], 0);
    assert_eq!(tell(&job, "resume").expect(200)["status"], "queued");
    run(&purser);
    assert_eq!(admin.get(&job).expect(200)["changed"], 1);
    assert_eq!(tell(&job, "cancel").refused(409), "wrong_state");
    let job = start();
    assert_eq!(tell(&job, "cancel").expect(200)["status"], "canceled");
    assert_eq!(tell(&job, "cancel").expect(200)["status"], "canceled");
    let listed = admin.get("/v1/admin/jobs?module=loyalty").expect(200);
    assert_eq!(listed["items"].as_array().expect("items").len(), 2);
    assert_eq!(admin.get("/v1/admin/jobs/0123456789abcdef01234567").refused(404), "not_found");
}

#[test]
fn a_check_counts_whose_data_would_not_fit_and_changes_nothing() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");
    club.register("eve@example.com");
    // As somebody did by hand, past Purser.
    let broken = doc! { "$set": { "modules.loyalty.points": "a secret" } };
    let ada_id = ada.parse::<purser::kernel::ids::UserId>().expect("an id").0;
    purser.db_update("users", doc! { "_id": ada_id }, broken);

    let job = admin.post("/v1/admin/modules/loyalty/versions/1.0.0/check", json!({})).expect(202);
    run(&purser);

    let job =
        admin.get(&format!("/v1/admin/jobs/{}", job["id"].as_str().expect("an id"))).expect(200);
    assert_eq!((&job["seen"], &job["failed"]), (&json!(2), &json!(1)));
    let sample =
        json!({ "user_id": ada, "reasons": [{ "pointer": "/points", "code": "wrong_type" }] });
    assert_eq!(job["samples"], json!([sample]));
    assert!(!job.to_string().contains("a secret"));
    purser.db_update(
        "users",
        doc! { "_id": ada_id },
        doc! { "$set": { "modules.loyalty.points": 0_i64 } },
    );
}

#[test]
fn a_module_with_incomplete_defaults_begins_with_the_first_patch() {
    let purser = Purser::start();
    let mut module = loyalty();
    module["defaults"] = json!({ "points": 0 });
    let (admin, club) = (purser.admin(), club_of(&purser, module));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");

    assert_eq!(club.get(&path(&ada)).refused(404), "not_found");
    let backfill = admin.post("/v1/admin/modules/loyalty/backfill", json!({}));
    assert_eq!(backfill.refused(409), "wrong_state");
    let missing = club.patch(&path(&ada), json!({ "points": 3 }));
    assert_eq!(pointers(&missing), [("/tier".to_owned(), "required".to_owned())]);
    let begun = club.patch(&path(&ada), json!({ "tier": "gold" })).expect(200);
    assert_eq!(begun, json!({ "enabled": true, "points": 0, "tier": "gold" }));
}

#[test]
fn a_module_that_wants_a_verified_person_is_refused_for_others_and_named_only_to_who_may_see_it() {
    let purser = Purser::start();
    let mut module = loyalty();
    module["required_kyc_level"] = json!(2);
    let (admin, club, shop) = (purser.admin(), club_of(&purser, module), purser.app("shop"));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");
    shop.register("ada@example.com");

    assert_eq!(club.get(&path(&ada)).refused(403), "kyc_level_too_low");
    assert_eq!(club.patch(&path(&ada), json!({ "points": 1 })).refused(403), "kyc_level_too_low");
    assert_eq!(shop.get(&path(&ada)).refused(404), "not_found");
    let view = club.get(&format!("/v1/users/{ada}")).expect(200);
    assert_eq!(view["shared"]["modules"].get("loyalty"), None);
}

#[test]
fn a_module_comes_into_use_while_everybody_reads_and_writes() {
    let purser = Purser::start();
    let limits = json!({ "requests_per_minute": 1_000_000, "requests_per_hour": 1_000_000 });
    let mut draft = loyalty();
    draft["status"] = json!("draft");
    purser.admin().post("/v1/admin/modules", draft).expect(201);
    let permissions = json!(["read", "write", "loyalty_access"]);
    let club = purser.app_with(
        "club",
        json!({ "permissions": permissions,
        "default_permissions": permissions, "rate_limits": limits, "total_rate_limits": limits }),
    );
    let people: Vec<_> = (0..8).map(|n| club.register(&format!("p{n}@example.com")).0).collect();
    let over = AtomicBool::new(false);

    std::thread::scope(|scope| {
        for caller in 0..32_usize {
            let (club, id, over) = (&club, &people[caller % people.len()], &over);
            scope.spawn(move || {
                let (mut points, mut turn) = (0, 0);
                while !over.load(Ordering::Acquire) {
                    turn += 1;
                    club.get(&format!("/v1/users/{id}")).expect(200);
                    let reply = club.patch(&path(id), json!({ "points": turn }));
                    assert!([200, 404].contains(&reply.status), "{}", reply.body);
                    assert!(reply.status == 200 || points == 0, "gone again");
                    points += usize::from(reply.status == 200);
                    let profile = json!({ "profile": { "first_name": format!("N{turn}") } });
                    club.patch(&format!("/v1/users/{id}"), profile).expect(200);
                }
            });
        }
        set_status(&purser.admin(), "active").expect(200);
        let next = club.patch(&path(&people[0]), json!({ "points": 1_000_000 }));
        assert_eq!(next.status, 200, "the very next request: {}", next.body);
        over.store(true, Ordering::Release);
    });

    assert_eq!(club.get(&path(&people[1])).expect(200)["tier"], "bronze");
}

#[test]
fn a_permission_exists_once_its_module_is_registered() {
    let purser = Purser::start();
    let admin = purser.admin();
    let app = json!({ "app_id": "club", "name": "Club", "trust": "first_party",
        "permissions": ["read", "loyalty_access"] });

    let early = admin.post("/v1/admin/apps", app.clone());
    admin.post("/v1/admin/modules", loyalty()).expect(201);
    admin.post("/v1/admin/apps", app).expect(201);

    assert_eq!(pointers(&early), [("/permissions/1".to_owned(), "unknown_permission".to_owned())]);
    assert_eq!(early.refused(422), "invalid");
}

#[test]
fn what_is_compiled_is_shared_and_made_anew_only_of_what_changed() {
    let purser = Purser::start();
    let (admin, inner) = (purser.admin(), &purser.inner);
    let mut other = loyalty();
    other["module_name"] = json!("other");
    admin.post("/v1/admin/modules", loyalty()).expect(201);
    admin.post("/v1/admin/modules", other).expect(201);
    let compiled = |name: &str| {
        let grant = inner.gate.itself::<LoadModule>(job("test"), inner.context());
        let modules = purser.block_on(inner.store.modules(&grant.pass())).expect("read");
        match inner.catalogue.of(&modules).named(name) {
            Some(Open::Custom(custom)) => Arc::clone(custom),
            _ => panic!("{name} is not registered"),
        }
    };
    let (before, untouched) = (compiled("loyalty"), compiled("other"));

    assert!(Arc::ptr_eq(&before, &compiled("loyalty")));
    let change = json!({ "description": "Another text" });
    changing(&admin, "loyalty").patch("/v1/admin/modules/loyalty", change).expect(200);

    assert!(!Arc::ptr_eq(&before, &compiled("loyalty")));
    assert!(Arc::ptr_eq(&untouched, &compiled("other")));
}

/// A file that is gone with its test.
struct File(std::path::PathBuf);

impl File {
    fn of(module: &Value) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("purser-module-{}-{number}.json", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        std::fs::write(&file.0, module.to_string()).expect("written");
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_command_line_registers_checks_and_gives_to_everybody() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let (ada, _) = shop.register("ada@example.com");
    let run = |arguments: &[&str]| {
        let arguments: Vec<_> = ["modules"].iter().chain(arguments).copied().collect();
        command(&purser, KEY, &arguments)
    };
    let said = |arguments: &[&str]| -> Value {
        let (well, out, err) = run(arguments);
        assert!(well, "{err}");
        serde_json::from_str(&out).expect("JSON")
    };
    let first = File::of(&loyalty());
    let mut next = loyalty();
    next["version"] = json!("1.1.0");
    next["schema"]["visits"] = json!("integer");
    let breaking = File::of(&next);
    next["defaults"]["visits"] = json!(0);
    let next = File::of(&next);
    let mut other = loyalty();
    other["schema"]["tier"] = json!("string?");
    let other = File::of(&other);

    assert_eq!(said(&["check", first.path(), "--json"])["outcome"], "new");
    assert_eq!(said(&["register", first.path(), "--json"])["outcome"], "registered");
    assert_eq!(said(&["register", first.path(), "--json"])["outcome"], "same");
    assert_eq!(said(&["backfill", "loyalty", "--json"])["changed"], 1);
    let (well, out, told) = run(&["check", breaking.path(), "--json"]);
    assert!(!well && told.contains("breaking_change"), "{told}");
    let refused: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(refused["errors"][0]["pointer"], "/visits");
    for what in ["register", "check"] {
        let (well, _, told) = run(&[what, other.path()]);
        assert!(!well && told.contains("raise the version"), "{told}");
    }
    let checked = said(&["check", next.path(), "--json"]);
    assert_eq!((&checked["checked"], &checked["failed"]), (&json!(1), &json!(0)));
    assert_eq!(said(&["register", next.path(), "--json"])["outcome"], "published");
    let again = said(&["backfill", "loyalty", "--json"]);
    assert_eq!((&again["status"], &again["changed"]), (&json!("done"), &json!(1)));

    let listed = said(&["list", "--json"]);
    assert_eq!(listed.as_array().expect("modules").len(), 4);
    assert_eq!(said(&["show", "loyalty", "--json"])["versions"][1]["active"], true);
    let (well, text, _) = run(&["list"]);
    assert!(well && text.contains("loyalty_access"), "{text}");
    let filter = doc! { "modules.loyalty.visits": 0_i64 };
    assert_eq!(purser.db_find("users", filter).len(), 1, "{ada}");
    let (well, _, told) = run(&["show", "no_such_thing"]);
    assert!(!well && told.contains("not_found"), "{told}");
}

#[test]
fn what_is_kept_is_what_was_held_against_the_schema_and_what_is_answered() {
    let purser = Purser::start();
    let mut module = loyalty();
    module["schema"] = json!({
        "type": "object", "additionalProperties": false, "required": ["points"],
        "properties": { "points": { "type": "integer" }, "name": { "type": "string", "maxLength": 2 } },
    });
    module["defaults"] = json!({ "points": 1.0 });
    let (admin, club) = (purser.admin(), club_of(&purser, module));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");
    assert_eq!(club.get(&path(&ada)).expect(200)["points"], json!(1));

    // Two letters once they are composed.
    let patch = json!({ "name": "e\u{301}e\u{301}", "points": 2e2 });
    let patched = club.patch(&path(&ada), patch);

    assert_eq!(patched.body, json!({ "enabled": true, "points": 200, "name": "\u{e9}\u{e9}" }));
    assert_eq!(club.get(&path(&ada)).header("etag"), patched.header("etag"));
    club.patch(&path(&ada), json!({ "points": 3 })).expect(200);
    assert_eq!(club.patch(&path(&ada), Value::Null).refused(422), "invalid");
}

#[test]
fn a_person_whose_data_grows_too_large_is_counted_and_holds_nobody_up() {
    let purser = Purser::start();
    let (admin, club) = (purser.admin(), club(&purser));
    set_status(&admin, "active").expect(200);
    let (ada, _) = club.register("ada@example.com");
    club.register("eve@example.com");
    club.patch(&path(&ada), json!({ "nickname": "n".repeat(9000) })).expect(200);
    let mut schema = loyalty()["schema"].clone();
    schema["copy"] = json!("string?");
    let next = json!({
        "version": "2.0.0", "schema": schema, "defaults": { "points": 0, "tier": "bronze" },
        "migration": [{ "copy": { "from": "/nickname", "to": "/copy" } }],
    });
    let versions = "/v1/admin/modules/loyalty/versions";

    let rehearsed = admin.post(&format!("{versions}?dry_run=true"), next.clone()).expect(200);
    assert_eq!((&rehearsed["checked"], &rehearsed["failed"]), (&json!(2), &json!(1)));
    let mut activated = next;
    activated["activate"] = json!(true);
    admin.post(versions, activated).expect(201);
    let job = admin.post("/v1/admin/modules/loyalty/backfill", json!({})).expect(202);
    run(&purser);

    let job = admin.get(&format!("/v1/admin/jobs/{}", job["id"].as_str().expect("an id")));
    let job = job.expect(200);
    assert_eq!(
        (&job["status"], &job["changed"], &job["failed"]),
        (&json!("done"), &json!(1), &json!(1))
    );
    assert_eq!(job["samples"][0]["reasons"], json!([{ "pointer": "", "code": "too_large" }]));
}

#[test]
fn a_registration_that_is_repeated_under_its_key_is_answered_as_the_first_time() {
    let purser = Purser::start();
    let once = purser.admin().with("Idempotency-Key", "once");
    let first = once.post("/v1/admin/modules", loyalty());
    let again = once.post("/v1/admin/modules", loyalty());

    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((again.header("etag"), &again.body), (first.header("etag"), &first.body));
    for reserved in ["core", "constructor"] {
        let mut module = loyalty();
        module["module_name"] = json!(reserved);
        let refused = purser.admin().post("/v1/admin/modules", module);
        assert_eq!(pointers(&refused), [("/module_name".to_owned(), "reserved".to_owned())]);
    }
}
