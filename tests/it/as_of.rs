//! A person's record as it was, the life of one field, and the snapshots behind them.

use bson::{Bson, Document, doc};
use purser::kernel::free;
use purser::kernel::time::{parse_rfc3339, plus, rfc3339};
use serde_json::{Map, Value, json};

use crate::command_line::{KEY, command_with};
use crate::harness::{Principal, Purser, Reply, SIGNING_KEY, explain, person, stages};

const NOBODY: &str = "0123456789abcdef01234567";
const MASK: &str = "[masked]";

fn as_of(who: &Principal, user: &str, at: &str) -> Reply {
    who.get(&format!("/v1/audit/users/{user}/as-of?at={at}"))
}

fn before(at: &str) -> String {
    rfc3339(plus(parse_rfc3339(at).expect("a time"), -1))
}

fn snapshots(purser: &Purser) -> usize {
    purser.block_on(purser.inner.seal_trail()).expect("sealed");
    purser.block_on(purser.inner.snapshot_trail()).expect("made")
}

/// Without what no entry tells: times of use, and that an object became empty.
fn told(value: Value) -> Value {
    const VOLATILE: &[&str] = &["key_last_used_at", "last_sync", "last_used_at", "look_at"];
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
            let fields = fields.map(|(name, value)| (name, told(value)));
            fields.filter(|(_, value)| !is_empty(value)).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(told).collect(),
        other => other,
    }
}

/// The record as it stood after a write.
struct Page {
    at: String,
    seq: i64,
    record: Value,
}

/// A person's life: after each write it is noted what stands in the database.
struct Story {
    purser: Purser,
    shop: Principal,
    ada: String,
    pages: Vec<Page>,
}

impl Story {
    fn begin(settings: &[(&str, &str)]) -> Self {
        let purser = Purser::start_with(settings);
        let module = json!({
            "module_name": "loyalty", "display_name": "Loyalty",
            "schema": { "nickname": "string?", "points": "integer?", "tags": "string[]?" },
            "defaults": {},
        });
        purser.admin().post("/v1/admin/modules", module).expect(201);
        let shop = purser.app_with(
            "shop",
            json!({ "permissions": ["read", "write", "wallet_access", "loyalty_access"],
                "may_issue": { "categories": ["promo"], "per_day": 1000 } }),
        );
        purser.step_clock(1000);
        let mut body = person("ada@example.com");
        body["connection"] = json!({ "app_username": "ada_at_shop",
            "app_profile": { "custom_fields": { "toy": "engine" } } });
        let (ada, _) = shop.register_with(body);
        let mut story = Self { purser, shop, ada, pages: Vec::new() };
        story.note();
        story
    }

    fn note(&mut self) {
        let (seq, record) = self.purser.db_record(&format!("user:{}", self.ada));
        let record = told(free::to_json(&Bson::Document(record)));
        self.pages.push(Page { at: rfc3339(self.purser.now()), seq, record });
    }

    /// One second later.
    fn write(&mut self, write: impl FnOnce(&Principal, &str) -> Reply) -> Value {
        self.purser.step_clock(1000);
        let number = self.pages.len().to_string();
        let shop = self.shop.with("Idempotency-Key", &number);
        let reply = write(&shop, &format!("/v1/users/{}", self.ada));
        assert!((200..300).contains(&reply.status), "{:#}", reply.body);
        self.note();
        reply.body
    }

    fn first_half(&mut self) {
        let (club, ada) = (self.purser.app("club"), self.ada.clone());
        self.write(|shop, path| {
            let profile = json!({ "first_name": "Augusta", "phone": "+12345678901" });
            shop.patch(path, json!({ "profile": profile }))
        });
        for parts in [
            json!([{ "id": "x", "n": 1 }, { "id": "y", "n": 2 }]),
            json!([{ "id": "y", "n": 3 }]),
            json!([{ "id": "y", "n": 3 }, { "id": "x", "n": 1 }]),
            json!(null),
        ] {
            let custom = json!({ "custom_fields": { "toy": { "parts": parts } } });
            self.write(|shop, path| {
                shop.patch(&format!("{path}/connection"), json!({ "app_profile": custom }))
            });
        }
        self.write(|_, _| club.post("/v1/users", person("ada@example.com")));
        self.write(|_, path| club.patch(path, json!({ "username": "s1.countess" })));
        let loyalty = json!({ "nickname": "Ada", "points": 3, "tags": ["a", "b"] });
        self.write(|shop, path| shop.patch(&format!("{path}/modules/loyalty"), loyalty));
        self.write(|_, _| club.delete(&format!("/v1/users/{ada}/connection")));
    }

    fn second_half(&mut self) {
        let credit = json!({ "amount": 100, "category": "promo" });
        self.write(|shop, path| shop.post(&format!("{path}/wallet/credits"), credit.clone()));
        self.write(|shop, path| shop.post(&format!("{path}/wallet/credits"), credit));
        let hold = json!({ "amount": 150 });
        let hold = self.write(|shop, path| shop.post(&format!("{path}/wallet/holds"), hold));
        let id = hold["hold"]["id"].as_str().expect("an id");
        self.write(|shop, path| {
            shop.post(&format!("{path}/wallet/holds/{id}/capture"), json!({ "amount": 120 }))
        });
        self.write(|shop, path| {
            shop.post(&format!("{path}/wallet/debits"), json!({ "amount": 80 }))
        });
        self.write(|shop, path| {
            shop.patch(&format!("{path}/modules/loyalty"), json!({ "tags": null, "points": 4 }))
        });
        self.write(|shop, path| shop.post(&format!("{path}/connection/key"), json!({})));
        self.write(|shop, path| shop.patch(path, json!({ "profile": { "phone": null } })));
    }

    /// Every page is what an auditor is told of its moment, and of the last one before the next.
    fn is_told(&self) {
        let auditor = self.purser.auditor();
        let ends = self.pages.iter().skip(1).map(|page| before(&page.at));
        let ends = ends.chain(["2030-01-01T00:00:00Z".to_owned()]);
        for (page, end) in self.pages.iter().zip(ends) {
            for at in [&page.at, &end] {
                let told_then = as_of(&auditor, &self.ada, at).expect(200);
                assert_eq!(told_then["seq"], page.seq, "{at}");
                assert_eq!(told_then["timestamp"], page.at.as_str());
                assert_eq!(told_then["status"], "active");
                assert_eq!(told(told_then["record"].clone()), page.record, "{at}");
            }
        }
    }
}

#[test]
fn a_record_is_told_as_it_was_after_each_of_its_changes() {
    let mut story = Story::begin(&[]);
    story.first_half();
    story.second_half();

    story.is_told();

    let pages = &story.pages;
    assert_eq!(pages.last().expect("one").seq, 18);
    let without = |page: &Page| page.record["apps"].get("club").is_none();
    assert!(without(&pages[0]) && !without(&pages[17]), "an app came in between");
    assert_eq!(pages[17].record["apps"]["club"]["connection_status"], "inactive");
    assert_eq!(pages[17].record["password"], Value::Null, "there was none");
    assert_eq!(pages[17].record["data_key"]["wrapped"], "secret");
    assert_eq!(snapshots(&story.purser), 0, "they are off");
}

#[test]
fn snapshots_change_no_answer_wherever_they_stand() {
    for every in ["1", "3", "7"] {
        let mut story = Story::begin(&[("PURSER__TRAIL__SNAPSHOT_ENTRIES", every)]);
        story.first_half();
        snapshots(&story.purser);
        story.second_half();
        snapshots(&story.purser);

        let made = story.purser.db_find("trail_snapshots", doc! {});
        let every: i64 = every.parse().expect("a number");
        let mut numbers: Vec<_> = made.iter().map(|it| it.get_i64("seq").expect("one")).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=18).filter(|seq| seq % every == 0).collect::<Vec<_>>());
        story.is_told();
        assert_eq!(snapshots(&story.purser), 0, "all are there");
        let all = format!("{made:?}");
        for word in ["Augusta", "12345678901", "ada@example.com", "ada_at_shop", "countess"] {
            assert!(!all.contains(word), "{word} stands in a snapshot");
        }
    }
}

#[test]
fn what_was_thrown_away_or_never_made_is_made_by_whoever_asks_for_more() {
    let mut story = Story::begin(&[("PURSER__TRAIL__SNAPSHOT_ENTRIES", "6")]);
    story.first_half();
    snapshots(&story.purser);
    let count = |purser: &Purser| purser.db_find("trail_snapshots", doc! {}).len();
    assert_eq!(count(&story.purser), 1);

    let settings = [("PURSER__TRAIL__SNAPSHOT_ENTRIES", "2"), ("PURSER__SERVER__NODE", "other")];
    let other = Purser::start_on(&story.purser.uri, &story.purser.database, &settings);
    other.step_clock(600_000);
    snapshots(&other);
    assert_eq!(count(&other), 5, "the one of number 6 was there");
    story.is_told();
    let all = vec![doc! { "q": {}, "limit": 0 }];
    other.db_command(doc! { "delete": "trail_snapshots", "deletes": all });
    story.is_told();

    other.end();
}

#[test]
fn a_moment_before_the_first_entry_and_somebody_unknown_are_not_found() {
    let story = Story::begin(&[]);
    let auditor = story.purser.auditor();
    let at = &story.pages[0].at;

    as_of(&auditor, &story.ada, at).expect(200);
    assert_eq!(as_of(&auditor, &story.ada, &before(at)).refused(404), "not_found");
    assert_eq!(as_of(&auditor, NOBODY, at).refused(404), "not_found");
    assert_eq!(as_of(&auditor, "me", at).refused(404), "not_found");
    let history = |user: &str| auditor.get(&format!("/v1/audit/users/{user}/history?path=email"));
    assert_eq!(history(NOBODY).refused(404), "not_found");
    assert_eq!(history("ada").refused(404), "not_found");
}

#[test]
fn a_question_that_cannot_be_understood_is_refused_and_named_and_only_auditors_may_ask() {
    let story = Story::begin(&[]);
    let (auditor, ada) = (story.purser.auditor(), &story.ada);
    let long = format!("history?path={}", "x".repeat(256));
    let cases = [
        ("as-of", "at"),
        ("as-of?at=", "at"),
        ("as-of?at=yesterday", "at"),
        ("as-of?at=2026-01-01", "at"),
        ("as-of?at=2026-01-01T00:00:00Z&seq=1", "seq"),
        ("as-of?at=2026-01-01T00:00:00Z&at=2026-01-01T00:00:00Z", "at"),
        ("history", "path"),
        ("history?path=", "path"),
        (&long, "path"),
        ("history?path=email&from=2026-01-01T00:00:00Z", "from"),
        ("history?path=email&limit=0", "limit"),
    ];
    for (question, parameter) in cases {
        let reply = auditor.get(&format!("/v1/audit/users/{ada}/{question}"));
        assert_eq!(reply.pointers(), [parameter], "{question}");
        assert_eq!(reply.refused(422), "invalid", "{question}");
    }
    for question in ["as-of?at=2030-01-01T00:00:00Z", "history?path=email"] {
        let path = format!("/v1/audit/users/{ada}/{question}");
        story.purser.admin().get(&path).expect(200);
        assert_eq!(story.shop.get(&path).refused(403), "wrong_credential");
        assert_eq!(story.purser.nobody().get(&path).refused(401), "unauthenticated");
    }
}

#[test]
fn an_auditor_who_may_not_see_personal_values_sees_that_there_are_some() {
    let mut story = Story::begin(&[]);
    story.first_half();
    let (purser, ada) = (&story.purser, &story.ada);
    let masked = purser.masked_auditor();
    let later = "2030-01-01T00:00:00Z";

    let record = as_of(&masked, ada, later).expect(200)["record"].clone();

    for personal in ["email", "username"] {
        assert_eq!(record[personal], MASK, "{personal}");
    }
    assert_eq!(record["profile"]["first_name"], MASK);
    assert_eq!(record["apps"]["shop"]["app_username"], MASK);
    assert_eq!(record["modules"]["loyalty"]["nickname"], MASK);
    assert_eq!(record["status"], "active");
    assert_eq!(record["apps"]["shop"]["permissions"][0], "read");
    assert_eq!(record["modules"]["wallet"]["balance"], 0);
    let text = format!("{record} {}", history(&masked, ada, "profile"));
    for word in ["Augusta", "12345678901", "ada@example.com", "ada_at_shop", "countess"] {
        assert!(!text.contains(word), "{word}");
    }
    assert_eq!(
        as_of(&purser.auditor(), ada, later).expect(200)["record"]["email"],
        "ada@example.com"
    );
}

#[test]
fn of_an_erased_person_nobody_sees_anything_more_at_any_moment() {
    for every in ["0", "2"] {
        let mut story = Story::begin(&[("PURSER__TRAIL__SNAPSHOT_ENTRIES", every)]);
        story.first_half();
        snapshots(&story.purser);
        let (purser, ada) = (&story.purser, &story.ada);
        purser.step_clock(1000);
        let body = json!({ "reason": "Ticket 4711" });
        purser.admin().post(&format!("/v1/admin/users/{ada}/erase"), body).expect(200);
        let erased_at = rfc3339(purser.now());
        snapshots(purser);

        let auditor = purser.auditor();
        let then = as_of(&auditor, ada, &before(&erased_at)).expect(200);
        let now = as_of(&auditor, ada, &erased_at).expect(200);

        assert_eq!((&then["status"], &now["status"]), (&json!("active"), &json!("erased")));
        assert_eq!(then["record"]["profile"]["first_name"], MASK);
        assert_eq!(then["record"]["modules"]["loyalty"]["points"], MASK);
        assert_eq!(then["record"]["apps"]["club"]["connection_status"], "inactive");
        assert_eq!(now["record"]["data_key"], Value::Null);
        let text = format!("{then} {now} {}", history(&auditor, ada, "profile"));
        for word in ["Augusta", "12345678901", "ada@example.com", "ada_at_shop", "countess"] {
            assert!(!text.contains(word), "{word}");
        }
        let kept = format!("{:?}", purser.db_find("trail_snapshots", doc! {}));
        assert_eq!(kept.contains("parts"), every == "2");
        assert!(!kept.contains("Augusta"));
    }
}

#[test]
fn an_answer_says_where_in_the_sealed_tree_its_last_entry_stands() {
    let story = Story::begin(&[]);
    let (auditor, at) = (story.purser.auditor(), &story.pages[0].at);
    let early = as_of(&auditor, &story.ada, at).expect(200);
    story.purser.block_on(story.purser.inner.seal_trail()).expect("sealed");

    let sealed = as_of(&auditor, &story.ada, at).expect(200);

    assert_eq!(early["leaf"], Value::Null);
    let entry = sealed["entry_id"].as_str().expect("an id");
    assert_eq!(early["entry_id"], entry);
    let proof = auditor.get(&format!("/v1/audit/logs/{entry}/proof")).expect(200);
    assert_eq!(sealed["leaf"], proof["leaf"]);
}

#[test]
fn a_snapshot_that_somebody_has_changed_is_found_and_one_that_nobody_has_is_not() {
    let mut story = Story::begin(&[("PURSER__TRAIL__SNAPSHOT_ENTRIES", "4")]);
    story.first_half();
    story.second_half();
    snapshots(&story.purser);
    let purser = &story.purser;
    let verify = || {
        let more = [("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY)];
        let (well, report, error) =
            command_with(purser, KEY, &["audit", "verify", "--json"], &more);
        let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{error}"));
        (well, report)
    };
    let (well, report) = verify();
    assert!(well, "{report:#}");
    assert_eq!(report["snapshots"], 4);

    let pull = doc! { "$pull": { "parts": { "path": "status" } } };
    purser.db_update("trail_snapshots", doc! { "seq": 8 }, pull);

    let (well, report) = verify();
    assert!(!well);
    assert_eq!(report["found"], 1, "{report:#}");
    assert_eq!(report["snapshots"], 3);
    assert_eq!(report["findings"][0]["code"], "snapshot_differs");
    let wrong = as_of(&purser.auditor(), &story.ada, &story.pages[8].at).expect(200);
    assert_eq!(wrong["status"], Value::Null, "snapshots are what answers are made of");
}

fn history(who: &Principal, user: &str, path: &str) -> Value {
    let question = format!("/v1/audit/users/{user}/history?limit=200&path={path}");
    let page = who.get(&question).expect(200);
    assert_eq!(page["next_cursor"], Value::Null);
    page["items"].clone()
}

/// Old and new of one path, the oldest first.
fn sides(items: &Value, path: &str) -> Vec<(Value, Value)> {
    let items = items.as_array().expect("items").iter().rev();
    items
        .map(|it| (it["changes"][path]["old"].clone(), it["changes"][path]["new"].clone()))
        .collect()
}

#[test]
fn the_life_of_a_field_is_every_change_of_it_and_of_what_it_was_a_part_of() {
    let mut story = Story::begin(&[]);
    story.first_half();
    story.second_half();
    let (auditor, ada) = (story.purser.auditor(), &story.ada);
    let told = |path: &str| history(&auditor, ada, path);

    let phone = told("profile.phone");
    assert_eq!(
        sides(&phone, "profile.phone"),
        [(Value::Null, json!("+12345678901")), (json!("+12345678901"), Value::Null)]
    );
    let newest = &phone[0];
    assert_eq!((&newest["seq"], &newest["timestamp"]), (&json!(18), &json!(story.pages[17].at)));
    assert_eq!((&newest["actor"]["id"], &newest["app_id"]), (&json!("shop"), &json!("shop")));
    let entry = auditor.get(&format!("/v1/audit/logs/{}", newest["id"].as_str().expect("an id")));
    let changed = &entry.expect(200)["changes"]["profile.phone"];
    assert_eq!(newest["changes"], json!({ "profile.phone": changed }), "that field alone");

    let profile = told("profile");
    assert_eq!(profile.as_array().expect("items").len(), 3, "made, and changed twice");
    assert!(profile[1]["changes"]["profile.first_name"]["new"] == "Augusta");
    let within = |items: &Value, start: &str| {
        let items = items.as_array().expect("items").iter();
        let mut paths = items.flat_map(|it| it["changes"].as_object().expect("changes").keys());
        paths.all(|path| path.starts_with(start))
    };
    assert!(within(&profile, "profile."), "nothing else of those entries");

    let toy = "apps.shop.app_profile.custom_fields.toy.parts.y.n";
    let lived = [(Value::Null, json!(2)), (json!(2), json!(3)), (json!(3), Value::Null)];
    assert_eq!(sides(&told(toy), toy), lived, "also where the whole list came and went");
    for never in ["profile.fax", "profile.phon", "phone", "profile.phone.x", "%20", "apps.bank"] {
        assert_eq!(told(never), json!([]), "{never}");
    }
    let masked = history(&story.purser.masked_auditor(), ada, "profile.phone");
    assert_eq!(sides(&masked, "profile.phone")[0], (Value::Null, json!(MASK)));
}

#[test]
fn a_history_that_is_paged_while_it_grows_neither_repeats_nor_skips_anything() {
    let mut story = Story::begin(&[]);
    let rename = |story: &mut Story, number: i64| {
        let name = format!("ada{number}");
        story.write(|shop, path| shop.patch(path, json!({ "username": name })));
        let version = number.to_string();
        story.write(|shop, path| {
            shop.patch(&format!("{path}/connection"), json!({ "app_version": version }))
        });
    };
    for number in 0..7 {
        rename(&mut story, number);
    }
    let auditor = story.purser.auditor();
    let question = format!("/v1/audit/users/{}/history?path=username&limit=3", story.ada);
    let (mut seen, mut next) = (Vec::new(), String::new());

    loop {
        let page = auditor.get(&format!("{question}{next}")).expect(200);
        seen.extend(page["items"].as_array().expect("items").clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
        let number = i64::try_from(story.pages.len()).expect("few");
        rename(&mut story, number);
    }

    let seen: Vec<_> = seen.iter().map(|it| it["changes"]["username"]["new"].clone()).collect();
    assert_eq!(seen[..7], ["ada6", "ada5", "ada4", "ada3", "ada2", "ada1", "ada0"]);
    assert_eq!(seen[7..], [Value::Null], "and that it was none when the record was made");
    let (bob, _) = story.shop.register("bob@example.com");
    let elsewhere = question.replace(&story.ada, &bob);
    assert_eq!(auditor.get(&format!("{elsewhere}{next}")).refused(400), "invalid_cursor");
}

/// So many more entries of the person, each of another time, none of which changes what is asked for.
fn db_much_more(purser: &Purser, ada: &str, more: i64) {
    let subject = format!("user:{ada}");
    let mut entry = purser.db_entries(doc! { "subject": &subject }).pop().expect("one");
    let (last, at) =
        (entry.get_i64("seq").expect("one"), *entry.get_datetime("timestamp").expect("one"));
    let mut one = |number: i64| -> Document {
        let id = format!("{:024x}", last + number);
        entry.insert("_id", bson::oid::ObjectId::parse_str(id).expect("an id"));
        entry.insert("seq", last + number);
        entry.insert("timestamp", plus(at, number));
        entry.insert("paths", vec!["score"]);
        entry.insert("changes", doc! { "score": { "old": number - 1, "new": number } });
        entry.clone()
    };
    let all: Vec<Document> = (1..=more).map(&mut one).collect();
    for some in all.chunks(2000) {
        purser.db_command(doc! { "insert": "user_audit_logs", "documents": some.to_vec() });
    }
}

#[test]
fn a_request_goes_through_a_bounded_number_of_entries_and_the_cursor_goes_on() {
    let mut story = Story::begin(&[]);
    let rename = json!({ "profile": { "first_name": "Augusta" } });
    story.write(|shop, path| shop.patch(path, rename));
    let purser = story.purser.without_replay();
    db_much_more(&purser, &story.ada, 21_000);
    let auditor = purser.auditor();
    let question = format!("/v1/audit/users/{}/history?path=profile.first_name", story.ada);

    let first = auditor.get(&question).expect(200);
    let cursor = first["next_cursor"].as_str().expect("more to look through");
    let second = auditor.get(&format!("{question}&cursor={cursor}")).expect(200);

    assert_eq!(first["items"], json!([]));
    assert_eq!(
        sides(&second["items"], "profile.first_name"),
        [(Value::Null, json!("Ada")), (json!("Ada"), json!("Augusta"))]
    );
    assert_eq!(second["next_cursor"], Value::Null);
    let now = as_of(&auditor, &story.ada, "2030-01-01T00:00:00Z").expect(200);
    assert_eq!((&now["seq"], &now["record"]["score"]), (&json!(21_002), &json!(21_000)));
}

#[test]
fn every_query_of_a_past_uses_an_index_and_sorts_nothing() {
    let story = Story::begin(&[]);
    let (subject, latest) = (format!("user:{}", story.ada), doc! { "timestamp": -1, "seq": -1 });
    let (entries, snapshots) = ("user_audit_logs", "trail_snapshots");
    let paths = doc! { "$in": ["profile", "profile.phone"] };
    let then = doc! { "$lte": story.purser.now() };
    let cases = [
        (entries, doc! { "subject": &subject, "seq": { "$gt": 5_i64 } }, doc! { "seq": 1 }),
        (
            entries,
            doc! { "subject": &subject, "seq": { "$gte": 1_i64, "$lt": 9_i64 },
            "$or": [{ "paths": paths }, { "paths": { "$elemMatch": { "$gte": "a.", "$lt": "a/" } } }] },
            doc! { "seq": -1 },
        ),
        (snapshots, doc! { "subject": &subject, "timestamp": then }, latest.clone()),
        (snapshots, doc! { "subject": &subject, "seq": { "$lte": 9_i64 } }, latest),
        (
            snapshots,
            doc! { "subject": { "$gt": "" } },
            doc! { "subject": -1, "timestamp": 1, "seq": 1 },
        ),
        (
            "trail_leaves",
            doc! { "_id": { "$gte": 1_i64, "$lt": 9_i64 }, "seq": { "$mod": [5_i64, 0_i64] } },
            doc! { "_id": 1 },
        ),
    ];
    for (collection, filter, sort) in cases {
        let find = doc! { "find": collection, "filter": filter.clone(), "sort": sort };
        let stages = stages(&explain(&story.purser, find));
        let by_index = stages.iter().any(|stage| stage == "IXSCAN");
        let slow = stages.iter().any(|stage| stage == "COLLSCAN" || stage == "SORT");
        assert!(by_index && !slow, "{collection} {filter}: {stages:?}");
    }
}
