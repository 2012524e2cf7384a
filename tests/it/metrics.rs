//! `/metrics`: figures that a Prometheus can read, and nothing that is anybody's business.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Purser, person};

const ON: (&str, &str) = ("PURSER__METRICS__LISTENER", "on");

fn figures(purser: &Purser) -> String {
    let mut stream = TcpStream::connect(purser.metrics.expect("a listener")).expect("connects");
    let request = b"GET /metrics HTTP/1.1\r\nHost: purser\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    text.to_owned()
}

/// The value of the one line that begins so.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.trim().parse().expect("a number")
}

#[test]
fn requests_are_counted_by_route_app_and_outcome() {
    let purser = Purser::start_with(&[ON]);
    let shop = purser.app("shop");
    let (id, _) = shop.register("ada@example.com");
    shop.get(&format!("/v1/users/{id}")).expect(200);
    shop.get("/v1/users/000000000000000000000000").refused(404);
    purser.nobody().get("/v1/users/ada@example.com/nowhere").refused(404);

    let text = figures(&purser);

    let of = |labels: &str| value(&text, &format!("purser_http_requests_total{{{labels}}}"));
    let user = "route=\"/v1/users/{user}\",method=\"GET\"";
    let users = "route=\"/v1/users\",method=\"POST\",app=\"shop\"";
    assert!((of(&format!("{users},outcome=\"2xx\"")) - 1.0).abs() < 0.1);
    assert!((of(&format!("{user},app=\"shop\",outcome=\"2xx\"")) - 1.0).abs() < 0.1);
    assert!((of(&format!("{user},app=\"none\",outcome=\"not_found\"")) - 1.0).abs() < 0.1);
    let none = "route=\"none\",method=\"GET\",app=\"none\",outcome=\"not_found\"";
    assert!((of(none) - 1.0).abs() < 0.1);
    let count = format!("purser_http_request_duration_seconds_count{{{users}}}");
    assert!((value(&text, &count) - 1.0).abs() < 0.1);
}

#[test]
fn every_room_has_its_figures_and_each_line_can_be_read() {
    let purser = Purser::start_with(&[ON, ("PURSER__STORE__COMMAND_TIMES", "on")]);
    purser.app("shop").register("ada@example.com");

    let text = figures(&purser);

    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, number) = line.rsplit_once(' ').expect("a name and a number");
        assert!(series.starts_with("purser_"), "{line}");
        assert!(number.parse::<f64>().is_ok(), "{line}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(value(&text, "purser_commit_units_count") >= 1.0);
    assert!(value(&text, "purser_mongodb_pool_wait_seconds_count") >= 1.0);
    let commits = "purser_mongodb_command_duration_seconds_count{command=\"commitTransaction\"}";
    assert!(value(&text, commits) >= 1.0);
    assert!(value(&text, "purser_resident_memory_bytes") > 1_000_000.0);
    for quiet in [
        "purser_queue_waiting",
        "purser_lane_waiting",
        "purser_mongodb_pool_in_use",
        "purser_password_hashes_waiting",
        "purser_password_hashes_refused_total",
        "purser_limited_total{by=\"minute\"}",
        "purser_cache_hits_total",
        "purser_commit_splits_total",
    ] {
        assert!(value(&text, quiet) < 100.0);
    }
    for present in ["purser_http_connections", "purser_uptime_seconds"] {
        assert!(value(&text, present) >= 0.0);
    }
    assert!(text.contains("purser_build_info{version=\""));
}

#[test]
fn no_figure_tells_of_a_person_or_a_key() {
    let purser = Purser::start_with(&[ON]);
    let shop = purser.app("shop");
    let (id, connection) = shop.register("ada@example.com");
    shop.post("/v1/users", person("grace@example.com")).expect(201);
    connection.get("/v1/users/me").expect(200);
    shop.get("/v1/users?email=ada@example.com").expect(200);
    shop.get(&format!("/v1/users/{id}?x=grace@example.com")).refused(422);
    shop.send("ADA-EXAMPLE-COM", "/v1/users", None).refused(405);

    let text = figures(&purser);

    let parts = ["ada", "grace", "example", "@", "prs_", &id, "127.0.0.1", "me\",", "ADA"];
    for part in parts {
        let told =
            text.lines().filter(|line| !line.starts_with('#')).find(|line| line.contains(part));
        assert_eq!(told, None, "{part}");
    }
    assert!(!text.contains(&shop.key()[4..]) && !text.contains(&connection.key()[4..]));
}

#[test]
fn who_was_refused_for_asking_too_often_is_counted() {
    let purser = Purser::start_with(&[ON, ("PURSER__LIMITS__ANONYMOUS_PER_MINUTE", "1")]);
    purser.nobody().get("/openapi.json").expect(200);
    purser.nobody().get("/openapi.json").refused(429);

    let text = figures(&purser);

    assert!((value(&text, "purser_limited_total{by=\"anonymous\"}") - 1.0).abs() < 0.1);
}

#[test]
fn figures_are_not_served_where_the_api_is() {
    let purser = Purser::start();
    assert_eq!(purser.metrics, None);
    assert_eq!(purser.nobody().get("/metrics").refused(404), "not_found");
}

#[test]
fn workers_of_modules_show_what_waits_and_for_how_long() {
    let purser = Purser::start_with(&[ON]);
    let all = ["read", "write", "wallet_access", "subscription_access"];
    let shop = purser.app_with("shop", serde_json::json!({ "permissions": all }));
    let plan = serde_json::json!({ "plan": "free", "display_name": "Free", "price": 0,
        "period": { "unit": "day", "count": 1 }, "apps": ["shop"] });
    purser.admin().post("/v1/admin/plans", plan).expect(201);
    let (id, _) = shop.register("ada@example.com");
    let start = shop.with("Idempotency-Key", "start");
    let path = format!("/v1/users/{id}/subscription");
    start.post(&path, serde_json::json!({ "plan": "free" })).expect(201);
    let renew = || purser.block_on(purser.inner.renew_subscriptions()).expect("renews");
    purser.block_on(purser.inner.reward_referrals()).expect("rewards");

    purser.step_clock(24 * 3600 * 1000 + 7000);
    let grant = purser.inner.gate.itself::<purser::modules::subscription::RenewSubscription>(
        purser::app::build::job("test"),
        purser.inner.context(),
    );
    let (store, backlog) = (&purser.inner.store, &purser.inner.renewals);
    let pass = grant.pass();
    let survey = purser::modules::subscription::survey(&pass, store, backlog, grant.now());
    purser.block_on(survey).expect("surveys");
    let before = figures(&purser);
    renew();
    let after = figures(&purser);

    let of = |text: &str, name: &str| value(text, &format!("purser_subscription_renewals{name}"));
    assert!((of(&before, "_waiting") - 1.0).abs() < 0.1);
    assert!((of(&before, "_late_seconds") - 7.0).abs() < 0.1);
    assert!(of(&after, "_waiting").abs() < 0.1 && of(&after, "_late_seconds").abs() < 0.1);
    assert!((of(&after, "_total{outcome=\"paid\"}") - 1.0).abs() < 0.1);
    assert!(value(&after, "purser_referral_rewards_waiting").abs() < 0.1);
}
