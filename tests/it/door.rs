//! The door under clients that are slow, huge, many, or not who they say they are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bson::doc;
use serde_json::json;

use crate::harness::{Principal, Purser, person};

/// Far longer than what any test here waits for.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: &str = "300";

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

fn registration(shop: &Principal, headers: &str) -> Vec<u8> {
    let key = shop.key();
    format!(
        "POST /v1/users HTTP/1.1\r\nHost: purser\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\n{headers}\r\n\r\n"
    )
    .into_bytes()
}

/// Everything until the other end closes the connection. A reset is an end, too: it is what is left
/// of a connection whose last bytes nobody has read.
fn to_the_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => all.extend_from_slice(&part[..length]),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                break;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn is_problem(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
}

#[test]
fn a_body_that_trickles_is_cut_off_with_a_problem() {
    let purser = Purser::start_with(&[("PURSER__SERVER__BODY_TIMEOUT_MS", SHORT)]);
    let shop = purser.app("shop");
    let mut stream = connect(purser.address);
    let started = Instant::now();
    stream.write_all(&registration(&shop, "Content-Length: 1000")).expect("sent");

    let mut trickle = stream.try_clone().expect("the same stream");
    let writing = std::thread::spawn(move || {
        while trickle.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let answer = to_the_end(&mut stream);

    is_problem(&answer, 408, "request_timeout");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    stream.shutdown(std::net::Shutdown::Both).ok();
    writing.join().expect("ends");
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let purser = Purser::start_with(&[("PURSER__SERVER__HEAD_TIMEOUT_MS", SHORT)]);
    let mut stream = connect(purser.address);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: pur").expect("sent");

    let answer = to_the_end(&mut stream);

    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn a_body_that_says_it_is_huge_is_refused_before_any_of_it_is_read() {
    let purser = Purser::start_with(&[("PURSER__SERVER__REFUSAL_HOLD_MS", "100")]);
    let shop = purser.app("shop");
    let mut stream = connect(purser.address);
    stream.write_all(&registration(&shop, "Content-Length: 1073741824")).expect("sent");

    is_problem(&to_the_end(&mut stream), 413, "body_too_large");
}

/// Kernel buffers on both sides, actix's, and ours.
const TAKEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Sends chunks until the other end has had enough; what it answered.
fn pour(stream: &mut TcpStream) -> String {
    let chunk = [b"8000\r\n".as_slice(), &vec![b' '; 0x8000], b"\r\n"].concat();
    let mut reading = stream.try_clone().expect("the same stream");
    let answer = std::thread::spawn(move || to_the_end(&mut reading));
    let mut taken = 0;
    while stream.write_all(&chunk).is_ok() {
        taken += chunk.len();
        assert!(taken < TAKEN_BYTES_MAX, "it is still being read");
    }
    answer.join().expect("an answer")
}

#[test]
fn a_body_without_end_is_refused_and_its_connection_closed() {
    let purser = Purser::start_with(&[("PURSER__SERVER__REFUSAL_HOLD_MS", "100")]);
    let shop = purser.app("shop");
    let stranger = purser.with_key("nonsense");
    for (who, status, code) in [(&shop, 413, "body_too_large"), (&stranger, 401, "unauthenticated")]
    {
        let mut stream = connect(purser.address);
        stream.write_all(&registration(who, "Transfer-Encoding: chunked")).expect("sent");

        is_problem(&pour(&mut stream), status, code);
    }
}

#[test]
fn a_small_body_that_nobody_wants_leaves_the_connection_open_and_delays_nothing() {
    let purser = Purser::start_with(&[("PURSER__SERVER__REFUSAL_HOLD_MS", "60000")]);
    let stranger = purser.with_key("nonsense");
    let mut stream = connect(purser.address);
    for _ in 0..2 {
        let request = [registration(&stranger, "Content-Length: 2"), b"{}".to_vec()].concat();
        stream.write_all(&request).expect("sent");
        let mut answer = vec![0; 65_536];
        let length = stream.read(&mut answer).expect("an answer");

        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(!answer.to_lowercase().contains("connection: close"), "{answer}");
    }
}

#[test]
fn a_body_that_was_read_leaves_the_connection_open() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut stream = connect(purser.address);
    for number in 0..2 {
        let body = person(&format!("person{number}@example.com")).to_string();
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        stream.write_all(&registration(&shop, "Transfer-Encoding: chunked")).expect("sent");
        stream.write_all(chunked.as_bytes()).expect("sent");
        let mut answer = vec![0; 65_536];
        let length = stream.read(&mut answer).expect("an answer");

        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
}

#[test]
fn idle_connections_hinder_nobody() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let mut idle: Vec<_> = (0..400).map(|_| connect(purser.address)).collect();
    for stream in &mut idle {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: purser\r\n\r\n").expect("sent");
        let mut answer = [0; 1024];
        assert!(stream.read(&mut answer).expect("answered") > 0);
    }

    shop.post("/v1/users", person("ada@example.com")).expect(201);
    drop(idle);
}

#[test]
fn every_answer_has_the_headers_that_protect_a_browser() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    let large = vec![b' '; 70_000];
    for (reply, status) in [
        (purser.nobody().get("/healthz"), 200),
        (purser.nobody().get("/v1/nowhere"), 404),
        (shop.post("/v1/users", person("ada@example.com")), 201),
        (shop.get("/v1/users/000000000000000000000000"), 404),
        (shop.delete("/v1/users"), 405),
        (purser.nobody().get("/v1/users"), 401),
        (shop.send("POST", "/v1/users", Some(large)), 413),
        (shop.post("/v1/users", json!({})), 422),
    ] {
        assert_eq!(reply.status, status, "{:#}", reply.body);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{name} of {status}");
        }
        assert!(reply.header("x-request-id").is_some());
        assert_eq!(reply.header("server"), None);
        assert_eq!(reply.header("strict-transport-security"), None);
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
}

#[test]
fn https_is_insisted_on_where_the_configuration_says_so() {
    let purser = Purser::start_with(&[("PURSER__SERVER__HSTS_SECONDS", "3600")]);
    let reply = purser.nobody().get("/healthz");
    assert_eq!(reply.header("strict-transport-security"), Some("max-age=3600"));
}

fn preflight(purser: &Purser, origin: &str) -> crate::harness::Reply {
    let page = purser.nobody().with("Origin", origin);
    let page = page.with("Access-Control-Request-Method", "POST");
    let page = page.with("Access-Control-Request-Headers", "authorization,content-type");
    page.send("OPTIONS", "/v1/users", None)
}

#[test]
fn pages_of_other_origins_are_told_nothing() {
    let purser = Purser::start();
    let reply = preflight(&purser, "https://shop.example.com");
    assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("access-control-")));
    assert_eq!(reply.refused(405), "method_not_allowed");
}

#[test]
fn a_page_of_a_listed_origin_may_read_answers_and_problems_and_no_other_may() {
    let origins =
        ("PURSER__SERVER__CORS_ORIGINS", "https://shop.example.com, http://localhost:3000");
    let purser = Purser::start_with(&[origins]);
    let allowed = "access-control-allow-origin";

    let listed = preflight(&purser, "https://shop.example.com");
    assert_eq!((listed.status, listed.header(allowed)), (200, Some("https://shop.example.com")));
    assert_eq!(listed.header("access-control-allow-credentials"), None);
    let page = purser.nobody().with("Origin", "http://localhost:3000");
    let problem = page.get("/v1/users");
    assert_eq!(problem.header(allowed), Some("http://localhost:3000"));
    assert!(problem.header("access-control-expose-headers").is_some_and(|it| it.contains("etag")));
    assert_eq!(problem.refused(401), "unauthenticated");

    for stranger in ["https://shop.example.com.evil.example", "https://example.com", "null"] {
        let reply = preflight(&purser, stranger);
        assert_eq!((reply.status, reply.header(allowed)), (400, None), "{stranger}");
        let reply = purser.nobody().with("Origin", stranger).get("/healthz");
        assert_eq!(reply.header(allowed), None, "{stranger}");
    }
}

/// The address that the trail has for a registration with this header.
fn noted(purser: &Purser, shop: &Principal, name: &str, value: &str) -> String {
    let number = purser.db_entries(doc! { "action": "user_registered" }).len();
    let who = shop.with(name, value);
    let (id, _) = who.register(&format!("person{number}@example.com"));
    let id = bson::oid::ObjectId::parse_str(id).expect("an id");
    let entries = purser.db_entries(doc! { "user_id": id });
    entries[0].get_str("ip_address").expect("an address").to_owned()
}

#[test]
fn nobody_but_a_listed_proxy_says_where_a_request_comes_from() {
    let purser = Purser::start();
    let shop = purser.app("shop");
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        assert_eq!(noted(&purser, &shop, name, "192.0.2.1"), "127.0.0.1", "{name}");
    }
}

#[test]
fn a_listed_proxy_is_believed_in_its_one_header() {
    let purser = Purser::start_with(&[("PURSER__SERVER__TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.1")]);
    let shop = purser.app("shop");
    let said = "198.51.100.9, 192.0.2.1, 10.0.0.1";
    assert_eq!(noted(&purser, &shop, "X-Forwarded-For", said), "192.0.2.1");
    assert_eq!(noted(&purser, &shop, "Forwarded", "for=192.0.2.1"), "127.0.0.1");
}

#[test]
fn who_shows_no_key_is_limited_by_address_and_a_load_balancer_is_not() {
    let purser = Purser::start_with(&[
        ("PURSER__LIMITS__ANONYMOUS_PER_MINUTE", "2"),
        ("PURSER__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let nobody = purser.nobody();
    nobody.get("/openapi.json").expect(200);
    nobody.get("/openapi.json").expect(200);

    let refused = nobody.get("/openapi.json");
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(refused.refused(429), "rate_limited");
    nobody.get("/healthz").expect(200);
    nobody.get("/readyz").expect(200);
    nobody.with("X-Forwarded-For", "192.0.2.1").get("/openapi.json").expect(200);

    purser.step_clock(30_000);
    nobody.get("/openapi.json").expect(200);
}
