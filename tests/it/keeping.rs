//! Checkpoints handed to somebody else, by HTTP on this machine: taken, refused, and never answered.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::command_line::{KEY, command_with};
use crate::harness::{Purser, SIGNING_KEY};

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-of-the-keepers-own";

/// Somebody who keeps checkpoints, and is asked one thing after another.
struct Keeper {
    url: String,
    asked: Receiver<Asked>,
}

struct Asked {
    head: String,
    body: String,
    stream: TcpStream,
}

impl Keeper {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/kept", listener.local_addr().expect("an address"));
        let (tell, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if tell.send(Asked::read(stream.expect("somebody"))).is_err() {
                    return;
                }
            }
        });
        Self { url, asked }
    }

    fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("something was handed over")
    }
}

impl Asked {
    fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let (head, length) = loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            bytes.push(byte[0]);
            if bytes.ends_with(b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                break (
                    String::from_utf8_lossy(&bytes).into_owned(),
                    length.map_or(0, |length| length.trim().parse().expect("a number")),
                );
            }
        };
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("a body");
        Self { head, body: String::from_utf8(body).expect("a note"), stream }
    }

    fn answer(mut self, status: &str, body: &str) {
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(answer.as_bytes()).expect("answered");
    }

    fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line.eq_ignore_ascii_case(header))
    }
}

/// One more entry, sealed and signed: what it has come to.
fn signed(purser: &Purser, number: u32) -> String {
    purser.step_clock(60_000);
    purser.app(&format!("app_{number}"));
    purser.block_on(purser.inner.seal_trail()).expect("sealed");
    let latest = purser.auditor().get("/v1/audit/checkpoints/latest").expect(200);
    latest["note"].as_str().expect("a note").to_owned()
}

#[test]
fn the_newest_checkpoint_is_handed_over_with_the_token_and_verified_from_where_it_is_kept() {
    let keeper = Keeper::listen();
    let purser = Purser::start_with(&[
        ("PURSER__TRAIL__CHECKPOINT_URL", &keeper.url),
        ("PURSER__TRAIL__CHECKPOINT_URL_TOKEN", TOKEN),
    ]);
    let note = signed(&purser, 1);

    let asked = keeper.next();
    assert!(asked.head.starts_with("POST /kept HTTP/1.1"), "{}", asked.head);
    assert!(asked.has("content-type: text/plain; charset=utf-8"), "{}", asked.head);
    assert!(asked.has(&format!("authorization: Bearer {TOKEN}")), "{}", asked.head);
    assert_eq!(asked.body, note);
    asked.answer("200 OK", "");

    let verify = |url: &str, kept: &str| -> (bool, Value, bool) {
        let arguments = ["audit", "verify", "--checkpoint", url, "--json"];
        let settings = [
            ("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY),
            ("PURSER__TRAIL__CHECKPOINT_URL", &keeper.url),
            ("PURSER__TRAIL__CHECKPOINT_URL_TOKEN", TOKEN),
        ];
        std::thread::scope(|scope| {
            let verified = scope.spawn(|| command_with(&purser, KEY, &arguments, &settings));
            let asked = keeper.next();
            assert!(asked.head.starts_with("GET /"), "{}", asked.head);
            let knows_us = asked.has(&format!("authorization: Bearer {TOKEN}"));
            asked.answer("200 OK", kept);
            let (well, out, _) = verified.join().expect("ran");
            (well, serde_json::from_str(&out).unwrap_or(Value::Null), knows_us)
        })
    };
    let (well, report, knows_us) = verify(&keeper.url, &note);
    assert!(well && knows_us, "{report:#}");
    assert_eq!(report["kept"]["witness"], "agrees", "{report:#}");
    let elsewhere = keeper.url.replace("/kept", "/others");
    let (well, _, knows_us) = verify(&elsewhere, &note);
    assert!(well && !knows_us, "a token is for the address that it belongs to");
    let (well, report, _) = verify(&keeper.url, "something else");
    assert!(!well && report == Value::Null, "{report:#}");
}

#[test]
fn a_keeper_who_refuses_or_never_answers_holds_nobody_up_and_gets_the_newest_in_the_end() {
    let keeper = Keeper::listen();
    let purser = Purser::start_with(&[("PURSER__TRAIL__CHECKPOINT_URL", &keeper.url)]);

    let first = signed(&purser, 1);
    let asked = keeper.next();
    assert_eq!(asked.body, first);
    assert!(!asked.head.to_ascii_lowercase().contains("authorization"), "{}", asked.head);
    asked.answer("500 Internal Server Error", "");

    let second = signed(&purser, 2);
    let silent = keeper.next();
    assert_eq!(silent.body, second, "what was refused is not owed once there is a newer one");
    // It is not answered; the trail goes on being sealed and signed.
    let third = signed(&purser, 3);
    let fourth = signed(&purser, 4);
    assert_ne!(third, fourth);

    drop(silent);
    let asked = keeper.next();
    assert_eq!(asked.body, fourth);
    asked.answer("200 OK", "thank you");
}

#[test]
fn an_address_that_is_not_encrypted_stops_the_start() {
    let (well, _, err) = {
        let purser = Purser::start();
        let settings = [("PURSER__TRAIL__CHECKPOINT_URL", "http://witness.example.com/")];
        command_with(&purser, KEY, &["audit", "key"], &settings)
    };
    assert!(!well && err.contains("trail.checkpoint_url"), "{err}");
    let purser = Purser::start();
    let verify = ["audit", "verify", "--checkpoint", "http://192.0.2.1/kept"];
    let settings = [("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY)];
    let (well, _, err) = command_with(&purser, KEY, &verify, &settings);
    assert!(!well && err.contains("https://"), "{err}");
}
