//! The main job: one person, two apps, every change traced.

use serde_json::json;

use crate::harness::{Purser, person};

#[test]
fn two_apps_share_one_person_and_the_auditor_sees_each_change_with_its_app() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let club = purser.app("club");
    let (id, _) = shop.register("ada@example.com");

    let linked = club.post("/v1/users", person("ADA@example.com ")).expect(201);
    assert_eq!(linked["user_id"], id.as_str());
    shop.patch(&format!("/v1/users/{id}"), json!({ "profile": { "first_name": "Augusta" } }))
        .expect(200);
    club.patch(&format!("/v1/users/{id}"), json!({ "profile": { "last_name": "King" } }))
        .expect(200);

    let trail = purser.auditor().get(&format!("/v1/audit/logs?user_id={id}")).expect(200);
    let seen: Vec<_> = trail["items"].as_array().expect("items").iter().collect();
    let line = |n: usize| (&seen[n]["app_id"], &seen[n]["action"], &seen[n]["seq"]);
    let mut lines: Vec<_> = (0..seen.len()).map(line).collect();
    lines.sort_by_key(|(_, _, seq)| seq.as_i64());
    assert_eq!(
        json!(lines),
        json!([
            ["shop", "user_registered", 1],
            ["club", "user_registered", 2],
            ["shop", "profile_updated", 3],
            ["club", "profile_updated", 4],
        ])
    );
    let change = seen.iter().find(|entry| entry["seq"] == 3).expect("the third");
    assert_eq!(change["changes"]["profile.first_name"], json!({ "old": "Ada", "new": "Augusta" }));
}
