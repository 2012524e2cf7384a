//! The feed of changes: what an app is told, in which order, and what it is not told.

use std::collections::{BTreeMap, BTreeSet};

use bson::doc;
use bson::oid::ObjectId;
use purser::kernel::time::DAY_MS;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, explain, person, stages};

/// An app that reads its feed, page by page, and never loses its place.
struct Follower {
    app: Principal,
    cursor: String,
    /// People as the feed has shown them last.
    users: BTreeMap<String, Value>,
}

impl Follower {
    /// From the snapshot on.
    fn begin(app: &Principal) -> Self {
        let (views, cursor) = snapshot(app, 200);
        let id = |view: &Value| view["shared"]["id"].as_str().expect("an id").to_owned();
        let users = views.into_iter().map(|view| (id(&view), view)).collect();
        Self { app: app.clone(), cursor, users }
    }

    /// Everything until the end of what is sealed, in pages of this length.
    fn read(&mut self, limit: usize) -> Vec<Value> {
        let mut items = Vec::new();
        loop {
            let page = self.page(limit);
            items.extend(page["items"].as_array().expect("items").clone());
            if page["more"] == false {
                return items;
            }
        }
    }

    fn page(&mut self, limit: usize) -> Value {
        let path = format!("/v1/changes?limit={limit}&cursor={}", self.cursor);
        let page = self.app.get(&path).expect(200);
        page["next_cursor"].as_str().expect("always a cursor").clone_into(&mut self.cursor);
        assert!(page["items"].as_array().expect("items").len() <= limit);
        let items = page["items"].as_array().expect("items");
        for (id, view) in page["users"].as_object().expect("users") {
            assert!(items.iter().any(|item| item["user_id"] == *id), "shown for nothing");
            self.users.insert(id.clone(), view.clone());
        }
        page
    }

    /// Seals what was written, and reads it.
    fn news(&mut self, purser: &Purser) -> Vec<Value> {
        seal(purser);
        self.read(200)
    }

    /// The kinds of each item that is new.
    fn kinds(&mut self, purser: &Purser) -> Vec<Vec<String>> {
        self.news(purser).iter().map(kinds).collect()
    }
}

/// All pages, and where the feed goes on.
fn snapshot(app: &Principal, limit: usize) -> (Vec<Value>, String) {
    let (mut views, mut cursor, mut feed) = (Vec::new(), String::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/changes/snapshot?limit={limit}{cursor}")).expect(200);
        views.extend(page["items"].as_array().expect("items").clone());
        if feed.is_empty() {
            page["feed_cursor"].as_str().expect("a cursor").clone_into(&mut feed);
        }
        let Some(next) = page["next_cursor"].as_str() else { return (views, feed) };
        cursor = format!("&cursor={next}");
    }
}

fn seal(purser: &Purser) {
    purser.block_on(purser.inner.seal_trail()).expect("sealed");
}

fn kinds(item: &Value) -> Vec<String> {
    let kinds = item["kinds"].as_array().expect("kinds").iter();
    kinds.map(|kind| kind.as_str().expect("a kind").to_owned()).collect()
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

const ALL: &[&str] = &["read", "write", "wallet_access"];

/// An app that may do everything, also put credits into wallets.
fn app(purser: &Purser, name: &str) -> Principal {
    let issue = json!({ "categories": ["promo"], "per_day": 1_000_000 });
    purser.app_with(name, json!({ "permissions": ALL, "may_issue": issue }))
}

fn rename(who: &Principal, user: &str, name: &str) {
    let patch = json!({ "profile": { "first_name": name } });
    who.patch(&format!("/v1/users/{user}"), patch).expect(200);
}

fn credit(who: &Principal, user: &str, key: &str) {
    let body = json!({ "amount": 10, "description": "a gift" });
    let who = who.with("Idempotency-Key", key);
    who.post(&format!("/v1/users/{user}/wallet/credits"), body).expect(201);
}

fn show_activity(who: &Principal, user: &str, shown: bool) {
    let patch = json!({ "preferences": { "privacy": { "activity_visible": shown } } });
    who.patch(&format!("/v1/users/{user}"), patch).expect(200);
}

fn settings(who: &Principal, user: &str, settings: &Value) {
    let patch = json!({ "sync_settings": settings });
    who.patch(&format!("/v1/users/{user}/connection"), patch).expect(200);
}

/// The admin's view of the tie between an app and a person: its path.
fn tie(purser: &Purser, app: &str, user: &str) -> String {
    let user = ObjectId::parse_str(user).expect("an id");
    let tie = &purser.db_find("user_apps", doc! { "app_id": app, "user_id": user })[0];
    format!("/v1/admin/connections/{}", tie.get_object_id("_id").expect("an id").to_hex())
}

#[test]
fn the_feed_goes_on_where_the_snapshot_began_without_a_gap() {
    let purser = Purser::start();
    let shop = app(&purser, "shop");
    let people: Vec<String> =
        (0..5).map(|at| shop.register(&format!("p{at}@example.com")).0).collect();
    seal(&purser);

    let first = shop.get("/v1/changes/snapshot?limit=2").expect(200);
    rename(&shop, &people[0], "Changed meanwhile");
    let (late, _) = shop.register("late@example.com");
    seal(&purser);
    let next = first["next_cursor"].as_str().expect("more");
    let rest = shop.get(&format!("/v1/changes/snapshot?limit=200&cursor={next}")).expect(200);

    assert_eq!(rest["next_cursor"], Value::Null);
    let views = [&first, &rest].map(|page| page["items"].as_array().expect("items").clone());
    let found: BTreeSet<_> =
        views.iter().flatten().map(|view| view["shared"]["id"].as_str().expect("an id")).collect();
    assert!(people.iter().all(|id| found.contains(id.as_str())));
    let cursor = rest["feed_cursor"].as_str().expect("a cursor").to_owned();
    let mut shop = Follower { app: shop, cursor, users: BTreeMap::new() };
    let news = shop.read(50);
    let whose: BTreeSet<_> =
        news.iter().map(|item| item["user_id"].as_str().expect("an id")).collect();
    assert_eq!((whose, news.len()), (BTreeSet::from([people[0].as_str(), &late]), 2));
    assert_eq!(shop.users[&people[0]]["shared"]["profile"]["first_name"], "Changed meanwhile");
    assert!(shop.read(50).is_empty(), "once");
}

#[test]
fn a_feed_without_a_cursor_begins_now() {
    let purser = Purser::start();
    let shop = app(&purser, "shop");
    let (ada, _) = shop.register("ada@example.com");
    seal(&purser);

    let now = shop.get("/v1/changes").expect(200);

    assert_eq!(
        (&now["items"], &now["users"], &now["more"]),
        (&json!([]), &json!({}), &json!(false))
    );
    rename(&shop, &ada, "Augusta");
    let cursor = now["next_cursor"].as_str().expect("a cursor").to_owned();
    let mut shop = Follower { app: shop, cursor, users: BTreeMap::new() };
    assert!(shop.read(50).is_empty(), "not before it is sealed");
    let news = shop.news(&purser);
    assert_eq!(news.len(), 1);
    let item = &news[0];
    assert_eq!(item["paths"], json!(["shared.profile.first_name"]));
    assert_eq!((&item["action"], &item["by_this_app"]), (&json!("profile_updated"), &json!(true)));
    assert_eq!(item["connection_status"], "active");
    assert_eq!(shop.users[&ada], shop.app.get(&format!("/v1/users/{ada}")).expect(200));
}

/// Two nodes write, the trail is sealed and read meanwhile, in pages of several lengths.
#[test]
fn every_change_comes_once_in_leaf_order_while_two_nodes_write() {
    let purser = Purser::start();
    let other = purser.beside("other");
    let (shop, club) = (app(&purser, "shop"), app(&purser, "club"));
    let there = Principal::new(other.address, Some(shop.key().to_owned()));
    let mine: Vec<String> =
        (0..4).map(|at| shop.register(&format!("s{at}@example.com")).0).collect();
    let theirs: Vec<String> =
        (0..4).map(|at| club.register(&format!("c{at}@example.com")).0).collect();
    seal(&purser);
    let mut follower = Follower::begin(&shop);

    let mut items = Vec::new();
    std::thread::scope(|scope| {
        let write = |who: Principal, whose: &[String], mark: &'static str| {
            let whose = whose.to_vec();
            scope.spawn(move || {
                for round in 0..15 {
                    for id in &whose {
                        rename(&who, id, &format!("{mark}{round}"));
                    }
                }
            })
        };
        let writers = [
            write(shop.clone(), &mine[..2], "here"),
            write(there.clone(), &mine[1..], "there"),
            write(club.clone(), &theirs, "club"),
        ];
        let mut lengths = [1, 2, 3, 7, 50].into_iter().cycle();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            seal(&purser);
            items.extend(follower.read(lengths.next().expect("for ever")));
        }
    });
    items.extend(follower.news(&purser));

    let ours: BTreeSet<ObjectId> =
        mine.iter().map(|id| ObjectId::parse_str(id).expect("an id")).collect();
    let entries = purser.db_entries(doc! { "action": "profile_updated" });
    let entries: BTreeSet<ObjectId> = entries
        .iter()
        .filter(|entry| ours.contains(&entry.get_object_id("user_id").expect("whose")))
        .map(|entry| entry.get_object_id("_id").expect("an id"))
        .collect();
    let mut leaves = purser.db_find("trail_leaves", doc! {});
    leaves.sort_by_key(|leaf| leaf.get_i64("_id").expect("a number"));
    let leaves = leaves.iter().map(|leaf| leaf.get_object_id("entry_id").expect("an id"));
    let expected: Vec<String> =
        leaves.filter(|id| entries.contains(id)).map(ObjectId::to_hex).collect();
    assert!(expected.len() > 60, "{}", expected.len());
    assert_eq!(ids(&items), expected);
}

#[test]
fn each_sync_setting_only_takes_away() {
    let purser = Purser::start();
    let (shop, club) = (app(&purser, "shop"), app(&purser, "club"));
    let (ada, _) = shop.register("ada@example.com");
    club.register("ada@example.com");
    show_activity(&shop, &ada, true);
    seal(&purser);
    let mut follower = Follower::begin(&shop);
    let mut round = 0;
    let mut happens = || {
        round += 1;
        rename(&club, &ada, &format!("Ada {round}"));
        show_activity(&club, &ada, round % 2 == 0);
        show_activity(&club, &ada, true);
        credit(&club, &ada, &format!("gift-{round}"));
    };

    happens();
    let items = follower.news(&purser);
    let told: Vec<_> = items.iter().map(kinds).collect();
    assert_eq!(told, [["profile"], ["preferences"], ["preferences"], ["wallet"]]);
    let line = &items[3]["wallet_entries"][0];
    assert_eq!((&line["kind"], &line["amount"]), (&json!("credit"), &json!(10)));
    assert_eq!(line.as_object().expect("a line").len(), 4, "others' lines are short: {line}");

    settings(&shop, &ada, &json!({ "transaction_history": false }));
    happens();
    let items = follower.news(&purser);
    assert_eq!(kinds(items.last().expect("items")), ["wallet"]);
    assert!(items.iter().all(|item| item["wallet_entries"].is_null()));

    settings(&shop, &ada, &json!({ "wallet_updates": false }));
    happens();
    let told = follower.kinds(&purser);
    assert_eq!(told, [["connection"], ["profile"], ["preferences"], ["preferences"]]);
    let view = &follower.users[&ada]["shared"];
    assert!(view["modules"]["wallet"].is_null() && !view["profile"].is_null(), "{view}");

    settings(&shop, &ada, &json!({ "wallet_updates": true, "profile_updates": false }));
    happens();
    assert_eq!(follower.kinds(&purser), [["connection"], ["wallet"]]);
    let view = &follower.users[&ada]["shared"];
    let hidden = ["profile", "preferences", "username", "email"];
    assert!(hidden.iter().all(|field| view[*field].is_null()), "{view}");
    assert_eq!(snapshot(&shop, 200).0, [follower.users[&ada].clone()], "the snapshot as the feed");
}

#[test]
fn a_permission_counts_for_the_feed_as_soon_as_it_is_taken_or_given() {
    let purser = Purser::start();
    let (shop, club) = (app(&purser, "shop"), app(&purser, "club"));
    let (ada, _) = shop.register("ada@example.com");
    club.register("ada@example.com");
    show_activity(&shop, &ada, true);
    seal(&purser);
    let mut follower = Follower::begin(&shop);
    let admin = purser.admin().with("If-Match", "*");
    let path = tie(&purser, "shop", &ada);

    credit(&club, &ada, "before");
    admin.patch(&path, json!({ "permissions": ["read"] })).expect(200);
    credit(&club, &ada, "without");
    let items = follower.news(&purser);
    let told: Vec<_> = items.iter().map(kinds).collect();
    assert_eq!(told, [["connection"]], "nor what was before it was taken");
    assert_eq!(items[0]["paths"], json!(["app_specific.permissions"]));
    assert!(follower.users[&ada]["shared"]["modules"].get("wallet").is_none());

    admin.patch(&path, json!({ "permissions": ["wallet_access"] })).expect(200);
    rename(&club, &ada, "Unseen");
    credit(&club, &ada, "with");
    assert_eq!(follower.kinds(&purser), [["connection"], ["wallet"]]);
    assert!(follower.users[&ada]["shared"]["profile"].is_null());

    let ceiling = json!({ "permissions": ["read"], "default_permissions": ["read"] });
    admin.patch("/v1/admin/apps/shop", ceiling).expect(200);
    credit(&club, &ada, "above");
    let items = follower.news(&purser);
    assert_eq!(items.iter().map(kinds).collect::<Vec<_>>(), [["app"]]);
    assert_eq!((&items[0]["user_id"], &items[0]["paths"]), (&Value::Null, &json!(["permissions"])));
    assert_eq!(items[0]["connection_status"], Value::Null);
}

#[test]
fn a_third_party_app_is_told_only_of_the_fields_that_it_sees() {
    let purser = Purser::start();
    let (shop, partner) = (app(&purser, "shop"), app(&purser, "partner"));
    let (ada, _) = shop.register("ada@example.com");
    partner.register("ada@example.com");
    let admin = purser.admin().with("If-Match", "*");
    let stranger = json!({ "trust": "third_party", "visible_fields": ["username", "updated_at"] });
    admin.patch("/v1/admin/apps/partner", stranger).expect(200);
    seal(&purser);
    let mut follower = Follower::begin(&partner);

    rename(&shop, &ada, "Unseen");
    assert!(follower.news(&purser).is_empty());
    let both = json!({ "username": "ada", "profile": { "first_name": "Unseen too" } });
    shop.patch(&format!("/v1/users/{ada}"), both).expect(200);

    seal(&purser);
    let page = follower.page(50);
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["paths"], json!(["shared.username"]));
    assert_eq!((&items[0]["action"], &items[0]["by_this_app"]), (&Value::Null, &json!(false)));
    let text = page.to_string();
    assert!(!text.contains("Unseen") && !text.contains("shop"), "{text}");
}

#[test]
fn what_another_app_does_to_a_wallet_is_told_only_where_the_person_shows_it() {
    let purser = Purser::start();
    let (shop, club) = (app(&purser, "shop"), app(&purser, "club"));
    let (ada, _) = shop.register("ada@example.com");
    let (_, at_club) = club.register("ada@example.com");
    seal(&purser);
    let mut follower = Follower::begin(&shop);

    credit(&club, &ada, "unseen");
    let nick = json!({ "app_profile": { "nickname": "clubber" } });
    at_club.patch("/v1/users/me/connection", nick).expect(200);
    assert!(follower.news(&purser).is_empty(), "nothing of it, by default");
    credit(&shop, &ada, "own");
    seal(&purser);
    let page = follower.page(50);
    let own = &page["items"][0];
    assert_eq!((&own["action"], &own["by_this_app"]), (&json!("wallet_credited"), &json!(true)));
    assert_eq!(own["wallet_entries"][0]["description"], "a gift", "one's own is told whole");
    assert_eq!(own["wallet_entries"][0]["reference"], "own");
    let entries = shop.get(&format!("/v1/users/{ada}/wallet/entries")).expect(200);
    assert_eq!(own["wallet_entries"], entries["items"], "as the wallet shows it");

    show_activity(&club, &ada, true);
    follower.news(&purser);
    credit(&club, &ada, "seen");
    seal(&purser);
    let page = follower.page(50);
    let theirs = &page["items"][0];
    assert_eq!(kinds(theirs), ["wallet"]);
    assert_eq!((&theirs["action"], &theirs["by_this_app"]), (&Value::Null, &json!(false)));
    assert_eq!(theirs["wallet_entries"][0]["amount"], 10);
    let text = page.to_string();
    assert!(!text.contains("club") && !text.contains("gift"), "{text}");
}

#[test]
fn of_a_connection_that_ends_the_end_is_told_and_nothing_after_it() {
    let purser = Purser::start();
    let (shop, club) = (app(&purser, "shop"), app(&purser, "club"));
    let admin = purser.admin().with("If-Match", "*");
    let people = ["let_go", "suspended", "revoked", "erased"].map(|how| {
        let (id, _) = shop.register(&format!("{how}@example.com"));
        club.register(&format!("{how}@example.com"));
        id
    });
    seal(&purser);
    let mut follower = Follower::begin(&shop);
    let [let_go, suspended, revoked, erased] = &people;

    for id in &people {
        rename(&club, id, "Before");
    }
    shop.delete(&format!("/v1/users/{let_go}/connection")).expect(204);
    for (id, status) in [(suspended, "suspended"), (revoked, "revoked")] {
        admin.patch(&tie(&purser, "shop", id), json!({ "connection_status": status })).expect(200);
    }
    for id in [let_go, suspended, revoked] {
        rename(&club, id, "After");
    }
    let reason = json!({ "reason": "asked for" });
    admin.post(&format!("/v1/admin/users/{erased}/erase"), reason.clone()).expect(200);

    seal(&purser);
    let page = follower.page(200);
    let items = page["items"].as_array().expect("items");
    let told: BTreeMap<_, _> = items
        .iter()
        .map(|item| (item["user_id"].as_str().expect("whose"), &item["connection_status"]))
        .collect();
    let status = ["inactive", "suspended", "revoked", "revoked"].map(Value::from);
    assert_eq!(told, people.iter().map(String::as_str).zip(&status).collect());
    assert!(items.len() == 4 && items.iter().all(|item| kinds(item) == ["connection"]));
    assert_eq!(page["users"], json!({}));
    assert!(items.iter().all(|item| item["user_status"].is_null()), "{items:?}");

    // What is taken up again is told again.
    let body = person("let_go@example.com");
    shop.post("/v1/users", body).expect(201);
    admin
        .patch(&tie(&purser, "shop", suspended), json!({ "connection_status": "active" }))
        .expect(200);
    assert_eq!(follower.kinds(&purser), [["connection"], ["connection"]]);
    assert_eq!(follower.users[let_go]["shared"]["profile"]["first_name"], "After");

    admin.post(&format!("/v1/admin/users/{suspended}/suspend"), reason).expect(200);
    let items = follower.news(&purser);
    let item = &items[0];
    assert_eq!(
        (kinds(item), &item["user_status"]),
        (vec!["person".to_owned()], &json!("suspended"))
    );
}

#[test]
fn nothing_is_told_of_what_was_before_the_connection() {
    let purser = Purser::start();
    let (shop, club) = (app(&purser, "shop"), app(&purser, "club"));
    let (ada, _) = club.register("ada@example.com");
    seal(&purser);
    let mut follower = Follower::begin(&shop);

    rename(&club, &ada, "Before");
    purser.step_clock(1);
    shop.register("ada@example.com");
    rename(&club, &ada, "After");

    let items = follower.news(&purser);
    assert_eq!(items.iter().map(kinds).collect::<Vec<_>>(), [["connection"], ["profile"]]);
    assert_eq!(items[0]["action"], "user_registered");
}

#[test]
fn a_cursor_is_for_one_app_and_one_list_and_an_app_key_reads_the_feed() {
    let purser = Purser::start();
    let (shop, club) = (app(&purser, "shop"), app(&purser, "club"));
    let (_, me) = shop.register("ada@example.com");
    shop.register("bob@example.com");
    seal(&purser);
    let page = shop.get("/v1/changes/snapshot?limit=1").expect(200);
    let (feed, next) = (page["feed_cursor"].as_str(), page["next_cursor"].as_str());
    let (feed, next) = (feed.expect("a cursor"), next.expect("a cursor"));

    let feed_at = |who: &Principal, cursor: &str| who.get(&format!("/v1/changes?cursor={cursor}"));
    assert_eq!(feed_at(&club, feed).refused(400), "invalid_cursor");
    assert_eq!(feed_at(&shop, next).refused(400), "invalid_cursor");
    assert_eq!(feed_at(&shop, "v1.m1.AAAA").refused(400), "invalid_cursor");
    let whole = format!("/v1/changes/snapshot?cursor={feed}");
    assert_eq!(shop.get(&whole).refused(400), "invalid_cursor");
    for path in ["/v1/changes", "/v1/changes/snapshot"] {
        assert_eq!(me.get(path).refused(403), "wrong_credential");
        assert_eq!(shop.get(&format!("{path}?limit=201")).refused(422), "invalid");
        assert_eq!(shop.get(&format!("{path}?user_id=me")).refused(422), "invalid");
    }
    feed_at(&shop, feed).expect(200);
}

#[test]
fn a_cursor_that_is_too_old_is_gone_and_the_snapshot_leads_on() {
    let purser = Purser::start_with(&[
        ("PURSER__DELIVERY__FEED_DAYS", "2"),
        ("PURSER__DELIVERY__FEED_LEAVES", "8"),
    ]);
    let shop = app(&purser, "shop");
    let (ada, _) = shop.register("ada@example.com");
    seal(&purser);
    let mut follower = Follower::begin(&shop);
    let read = |follower: &Follower| shop.get(&format!("/v1/changes?cursor={}", follower.cursor));

    purser.step_clock(2 * DAY_MS);
    follower.read(50);
    purser.step_clock(2 * DAY_MS + 1);
    rename(&shop, &ada, "Late");
    seal(&purser);
    let gone = read(&follower);
    assert!(gone.body["detail"].as_str().is_some_and(|text| text.contains("/v1/changes/snapshot")));
    assert_eq!(gone.refused(410), "cursor_expired");
    let mut follower = Follower::begin(&shop);
    assert_eq!(follower.users[&ada]["shared"]["profile"]["first_name"], "Late");

    (0..8).for_each(|at| rename(&shop, &ada, &format!("Name {at}")));
    seal(&purser);
    assert_eq!(follower.read(3).len(), 8, "as many as may lie between");
    (0..9).for_each(|at| rename(&shop, &ada, &format!("Other {at}")));
    seal(&purser);
    assert_eq!(read(&follower).refused(410), "cursor_expired");
    let mut follower = Follower::begin(&shop);
    rename(&shop, &ada, "Then");
    assert_eq!(follower.news(&purser).len(), 1);
}

#[test]
fn asking_on_says_that_the_page_before_was_read() {
    let purser = Purser::start();
    let (shop, club) = (app(&purser, "shop"), app(&purser, "club"));
    let (ada, _) = shop.register("ada@example.com");
    let (bob, _) = shop.register("bob@example.com");
    club.register("bob@example.com");
    seal(&purser);
    let mut follower = Follower::begin(&shop);
    let last_sync = |id: &str| {
        purser.block_on(purser.inner.flush_last_used()).expect("written");
        let id = ObjectId::parse_str(id).expect("an id");
        let tie = &purser.db_find("user_apps", doc! { "user_id": id, "app_id": "shop" })[0];
        tie.get_datetime("last_sync").ok().copied()
    };
    let begun = purser.now();
    assert_eq!((last_sync(&ada), last_sync(&bob)), (Some(begun), Some(begun)), "the snapshot");

    purser.step_clock(1000);
    rename(&club, &bob, "Unseen at first");
    rename(&shop, &ada, "Augusta");
    settings(&shop, &bob, &json!({ "profile_updates": false }));
    follower.news(&purser);
    // Bob's connection and Ada's name were delivered, and nobody knows whether that came to anything.
    assert_eq!((last_sync(&ada), last_sync(&bob)), (Some(begun), Some(begun)));
    purser.step_clock(1000);
    follower.read(50);
    let read = Some(purser.now());
    assert_eq!((last_sync(&ada), last_sync(&bob)), (read, read));

    // What the app is not told of leaves no trace in what it is shown.
    purser.step_clock(1000);
    rename(&club, &bob, "Unseen");
    assert!(follower.news(&purser).is_empty());
    purser.step_clock(1000);
    follower.read(50);
    assert_eq!(last_sync(&bob), read);
}

/// Every way in which an app can be kept from a wallet, each with a person of its own.
#[test]
fn without_wallet_access_or_with_wallet_updates_off_no_wallet_event_is_ever_seen() {
    let purser = Purser::start();
    let (shop, partner, club) =
        (app(&purser, "shop"), app(&purser, "partner"), app(&purser, "club"));
    let admin = purser.admin().with("If-Match", "*");
    let mut cases = BTreeMap::new();
    for bits in 0..16_u32 {
        let is = |bit: u32| bits & (1 << bit) != 0;
        let email = format!("p{bits}@example.com");
        let mut body = person(&email);
        let permissions = if is(0) { json!(ALL) } else { json!(["read", "write"]) };
        body["connection"] = json!({ "permissions": permissions, "sync_settings": {
            "wallet_updates": is(1), "profile_updates": is(2), "transaction_history": true,
        } });
        let (user, _) = shop.register_with(body.clone());
        partner.register_with(body);
        club.register(&email);
        show_activity(&club, &user, is(3));
        cases.insert(user, (is(0) && is(1), is(2), is(3)));
    }
    let stranger = json!({ "trust": "third_party", "visible_fields": ["username"] });
    admin.patch("/v1/admin/apps/partner", stranger).expect(200);
    seal(&purser);
    let mut followers = [(&shop, true), (&partner, false)]
        .map(|(app, is_first_party)| (Follower::begin(app), is_first_party));

    for user in cases.keys() {
        credit(&club, user, &format!("credit-{user}"));
        rename(&club, user, "Augusta");
    }
    seal(&purser);

    for (follower, is_first_party) in &mut followers {
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for item in follower.read(5) {
            let user = item["user_id"].as_str().expect("whose").to_owned();
            told.entry(user).or_default().extend(kinds(&item));
            let with_lines = item["wallet_entries"].is_array();
            assert_eq!(with_lines, kinds(&item).contains(&"wallet".to_owned()));
        }
        for (user, (wallet, profile, shows_activity)) in &cases {
            let told = told.remove(user).unwrap_or_default();
            assert_eq!(told.contains("wallet"), *wallet && *shows_activity, "{user}");
            assert_eq!(told.contains("profile"), *profile && *is_first_party, "{user}");
            let shown = follower.users[user]["shared"]["modules"].get("wallet").is_some();
            assert_eq!(shown, *wallet, "{user}");
        }
        assert!(told.is_empty());
    }
}

#[test]
fn every_question_of_the_feed_is_answered_from_an_index() {
    let purser = Purser::start();
    let [ada, bob] = [1, 2].map(|byte| ObjectId::from_bytes([byte; 12]));
    let booked = |user: ObjectId| {
        doc! { "user_id": user, "created_at": { "$in": [bson::DateTime::from_millis(0)] },
        "trail_seq": { "$in": [1_i64] } }
    };
    let by_number = |order: i32| doc! { "_id": order };
    let questions = [
        ("trail_leaves", doc! { "_id": { "$gte": 5_i64 } }, by_number(1)),
        ("trail_leaves", doc! {}, by_number(-1)),
        ("trail_leaves", doc! { "_id": { "$in": [5_i64, 7] } }, doc! {}),
        ("user_apps", doc! { "app_id": "shop", "user_id": { "$in": [ada, bob] } }, doc! {}),
        ("wallet_entries", doc! { "$or": [booked(ada), booked(bob)] }, doc! {}),
    ];
    for (collection, filter, sort) in questions {
        let find = doc! { "find": collection, "filter": filter.clone(), "sort": sort };
        let stages = stages(&explain(&purser, find));
        assert!(stages.iter().any(|stage| stage == "IXSCAN"), "{collection} {filter}: {stages:?}");
        let slow = stages.iter().any(|stage| stage == "COLLSCAN" || stage == "SORT");
        assert!(!slow, "{collection} {filter}: {stages:?}");
    }
}
