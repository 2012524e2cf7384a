//! Exporting the trail: the same entries in every format, in any length, and what has broken off never
//! looks like a whole.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Document, doc};
use purser::app::build::job;
use purser::apps;
use purser::audit::bundle;
use purser::kernel::ids::OperatorId;
use serde_json::{Value, json};

use crate::command_line::{KEY, command_with};
use crate::harness::{Principal, Purser, SIGNING_KEY};

/// A shop, and a person whose name has changed so often.
fn history(purser: &Purser, renamed: usize) -> (Principal, String) {
    let shop = purser.app("shop");
    let (ada, _) = shop.register("ada@example.com");
    for number in 0..renamed {
        purser.step_clock(1000);
        let patch = json!({ "profile": { "first_name": format!("Ada {number}") } });
        shop.patch(&format!("/v1/users/{ada}"), patch).expect(200);
    }
    (shop, ada)
}

/// More entries, each with a text of so many bytes; nobody has made them.
#[expect(clippy::disallowed_methods, reason = "a test that goes round the API says db_")]
fn db_more(purser: &Purser, count: usize, bytes: usize) {
    let sample = purser.db_entries(doc! { "action": "profile_updated" }).remove(0);
    let text = "x".repeat(bytes);
    let entry = |number: usize| {
        let mut entry = sample.clone();
        let mut id = [7; 12];
        id[4..].copy_from_slice(&number.to_be_bytes());
        entry.insert("_id", ObjectId::from_bytes(id));
        entry.insert("subject", "user:000000000000000000000000");
        entry.insert("seq", i64::try_from(number).expect("a number") + 1);
        entry.insert("changes", doc! { "note": { "new": &text } });
        entry
    };
    let entries: Vec<Document> = (0..count).map(entry).collect();
    purser
        .db(|database| async move {
            for some in entries.chunks(500) {
                database.collection::<Document>("user_audit_logs").insert_many(some).await?;
            }
            Ok::<_, mongodb::error::Error>(())
        })
        .expect("inserted");
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Without what the test itself has left by reading.
fn without_reads(entries: &[Value]) -> Vec<Value> {
    entries.iter().filter(|entry| entry["action"] != "audit_read").cloned().collect()
}

fn export(who: &Principal, query: &str) -> String {
    let reply = who.get(&format!("/v1/audit/export?{query}"));
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text
}

#[test]
fn ndjson_is_the_list_line_by_line_and_its_last_line_counts_them() {
    let purser = Purser::start();
    let (_, ada) = history(&purser, 3);
    for auditor in [purser.auditor(), purser.masked_auditor()] {
        for filter in ["", "&action=profile_updated", &format!("&user_id={ada}&path=profile")] {
            let listed = auditor.get(&format!("/v1/audit/logs?limit=200{filter}")).expect(200);
            let listed = without_reads(listed["items"].as_array().expect("items"));
            let mut exported = lines(&export(&auditor, &format!("format=ndjson{filter}")));
            let end = exported.pop().expect("an end");
            assert_eq!(end, json!({ "end": { "entries": exported.len() } }));
            assert_eq!(without_reads(&exported), listed, "{filter}");
        }
    }
    assert!(!export(&purser.masked_auditor(), "").contains("Ada 1"));
    assert!(export(&purser.auditor(), "").contains("Ada 1"), "ndjson, unless another is asked for");
}

#[test]
fn an_export_of_many_pieces_has_each_entry_once() {
    let purser = Purser::start().without_replay();
    history(&purser, 1);
    db_more(&purser, 1_700, 10);
    let auditor = purser.masked_auditor();
    let there = purser.db_entries(doc! {}).len();

    let mut exported = lines(&export(&auditor, "format=ndjson"));
    let end = exported.pop();
    assert_eq!(end, Some(json!({ "end": { "entries": exported.len() } })));
    let exported = without_reads(&exported);
    let ids: std::collections::HashSet<_> =
        exported.iter().map(|entry| entry["id"].as_str().expect("an id")).collect();
    assert_eq!((exported.len(), ids.len()), (there, there));
}

#[test]
fn csv_has_a_line_for_each_entry_and_no_formula() {
    let purser = Purser::start();
    let (shop, ada) = history(&purser, 1);
    let may = json!({ "may_issue": { "categories": ["paid"], "per_day": 100 } });
    purser.admin().with("If-Match", "*").patch("/v1/admin/apps/shop", may).expect(200);
    let credit =
        json!({ "amount": 10, "category": "paid", "reference": "=HYPERLINK(\"x\",\"y\")" });
    let shop = shop.with("Idempotency-Key", "c");
    shop.post(&format!("/v1/users/{ada}/wallet/credits"), credit).expect(201);
    let auditor = purser.auditor();

    let reply = auditor.get(&format!("/v1/audit/export?format=csv&user_id={ada}"));
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(reply.header("content-disposition"), Some("attachment; filename=\"trail.csv\""));
    let mut table = csv::Reader::from_reader(reply.text.as_bytes());
    let column = |name: &str, table: &mut csv::Reader<&[u8]>| {
        let header = table.headers().expect("a header").clone();
        header.iter().position(|it| it == name).unwrap_or_else(|| panic!("no {name}"))
    };
    let (id, reference, changes) =
        (column("id", &mut table), column("reference", &mut table), column("changes", &mut table));
    let rows: Vec<_> = table.records().map(|row| row.expect("a row of the same length")).collect();
    let (last, rows) = rows.split_last().expect("an end");
    let listed = auditor.get(&format!("/v1/audit/logs?user_id={ada}&limit=200")).expect(200);
    let listed = listed["items"].as_array().expect("items");
    assert_eq!(rows.len(), listed.len());
    for (row, entry) in rows.iter().zip(listed) {
        assert_eq!(row[id], *entry["id"].as_str().expect("an id"));
        let told: Value = serde_json::from_str(&row[changes]).expect("JSON");
        assert_eq!(told, entry["changes"]);
    }
    assert!(rows.iter().any(|row| row[reference] == *"'=HYPERLINK(\"x\",\"y\")"), "{}", reply.text);
    assert_eq!((&last[0], &last[1]), ("end", listed.len().to_string().as_str()));
}

#[test]
fn a_bundle_is_proved_whatever_of_the_trail_is_in_it() {
    let purser = Purser::start();
    let (_, ada) = history(&purser, 5);
    let auditor = purser.masked_auditor();
    let early = auditor.get("/v1/audit/export?format=bundle");
    assert!(early.header("retry-after").is_some());
    assert_eq!(early.refused(409), "not_yet_sealed");
    let size = purser.block_on(purser.inner.seal_trail()).expect("sealed");
    let key = purser.inner.checkpoints.public_key().expect("a key").clone();
    let proved = |text: &str| {
        let verdict = bundle::verify(text.as_bytes(), std::slice::from_ref(&key), |problem| {
            panic!("{problem}\n{text}")
        });
        let verdict = verdict.expect("read");
        assert!(verdict.is_sound());
        verdict.proved
    };

    assert_eq!(proved(&export(&auditor, "format=bundle")), size);
    assert_eq!(proved(&export(&auditor, "format=bundle&since=4")), size - 4);
    let of_ada = purser.db_entries(doc! { "subject": format!("user:{ada}") }).len() as u64;
    let bundle = export(&auditor, &format!("format=bundle&subject=user:{ada}"));
    assert_eq!(proved(&bundle), of_ada);
    let of_others = bundle.lines().skip(1).filter(|line| !line.contains(&ada)).count();
    assert_eq!(of_others, 1, "the end alone");
    assert_eq!(proved(&export(&auditor, "format=bundle&action=none")), 0);
    let since = export(&auditor, &format!("format=bundle&subject=user:{ada}&since={size}"));
    assert_eq!(proved(&since), 0);
}

#[test]
fn what_is_asked_for_in_the_wrong_way_is_refused_and_named() {
    let purser = Purser::start();
    let auditor = purser.auditor();
    for (query, pointer) in [
        ("format=xml", "format"),
        ("format=csv&since=3", "since"),
        ("format=bundle&since=-1", "since"),
        ("limit=5", "limit"),
        ("cursor=x", "cursor"),
        ("outcome=maybe", "outcome"),
        ("from=yesterday", "from"),
    ] {
        let reply = auditor.get(&format!("/v1/audit/export?{query}"));
        assert_eq!(reply.pointers(), [pointer], "{query}");
        assert_eq!(reply.refused(422), "invalid", "{query}");
    }
}

/// Somebody who has asked for an export and has read no more than its first bytes.
struct Slow(TcpStream);

impl Slow {
    fn asks(purser: &Purser, who: &Principal) -> Self {
        let mut stream = TcpStream::connect(purser.address).expect("connected");
        let (address, key) = (purser.address, who.key());
        let request = format!(
            "GET /v1/audit/export HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("asked");
        let mut first = [0; 15];
        stream.read_exact(&mut first).expect("answered");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        Self(stream)
    }

    /// What comes until the other side ends it, however it does.
    fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// More than fits into the buffers between us.
const LARGE: (usize, usize) = (3_000, 20_000);

#[test]
fn an_operator_exports_one_thing_at_a_time_and_who_goes_away_leaves_room_for_the_next() {
    let purser = Purser::start().without_replay();
    history(&purser, 1);
    db_more(&purser, LARGE.0, LARGE.1);
    let (auditor, other) = (purser.masked_auditor(), purser.masked_auditor());
    let slow = Slow::asks(&purser, &auditor);

    let small = "/v1/audit/export?action=user_registered";
    let refused = auditor.get(small);
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert_eq!(refused.refused(429), "rate_limited");
    assert_eq!(other.get(small).status, 200, "somebody else may");
    drop(slow);
    let patience = Instant::now() + Duration::from_secs(30);
    while auditor.get(small).status != 200 {
        assert!(Instant::now() < patience, "nobody reads it any more");
        std::thread::yield_now();
    }
}

#[test]
fn an_export_ends_without_an_end_when_its_operator_may_not_read_any_more() {
    let purser = Purser::start().without_replay();
    history(&purser, 1);
    db_more(&purser, LARGE.0, LARGE.1);
    let auditor = purser.masked_auditor();
    let slow = Slow::asks(&purser, &auditor);

    let operator = purser.db_find("operators", doc! { "role": "auditor" }).remove(0);
    let id = OperatorId(operator.get_object_id("_id").expect("an id"));
    let grant = purser.inner.gate.itself(job("test"), purser.inner.context());
    let revoked = apps::revoke_operator(&grant, &purser.inner.store, id);
    purser.block_on(revoked).expect("revoked");

    let text = slow.rest();
    assert!(!text.contains("{\"end\":"), "{}", &text[text.len().saturating_sub(300)..]);
    assert!(!text.ends_with("0\r\n\r\n"), "the body has no end");
}

#[test]
fn the_command_line_exports_the_same() {
    let purser = Purser::start();
    let (_, ada) = history(&purser, 2);
    purser.block_on(purser.inner.seal_trail()).expect("sealed");
    let more = [("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY)];
    let file = std::env::temp_dir().join(format!("purser-export-{}", std::process::id()));
    let path = file.to_str().expect("a path");
    let filter = format!("user_id={ada}");
    let asked = |more_arguments: &[&str]| {
        let arguments = [&["audit", "export", path, "--filter", &filter], more_arguments].concat();
        let (well, _, err) = command_with(&purser, KEY, &arguments, &more);
        assert!(well, "{err}");
        std::fs::read_to_string(&file).expect("written")
    };

    let (masked, seeing) = (purser.masked_auditor(), purser.auditor());
    assert_eq!(asked(&["--format", "ndjson"]), export(&masked, &filter));
    assert_eq!(
        asked(&["--format", "csv", "--personal-values"]),
        export(&seeing, &format!("{filter}&format=csv"))
    );
    assert_eq!(asked(&[]), export(&masked, &format!("{filter}&format=bundle")));
    let _ = std::fs::remove_file(&file);
}
