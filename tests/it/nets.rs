//! Three nets under everything that the OpenAPI document lists: every bad credential is refused,
//! every change leaves one entry for each subject, and who may do what is written down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bson::doc;
use purser::app::build::job;
use purser::apps::{self, NewOperator, OperatorRole};
use purser::crypto::token::{ApiKey, KeyKind};
use purser::kernel::chance::Chance;
use purser::kernel::time::DAY_MS;
use serde_json::{Value, json};

use crate::harness::{Principal, Purser, Reply, person};
use crate::papers;

/// Operations that need no key: the load balancer's and the document itself. May only shrink.
const OPEN: &[&str] = &["healthz", "openapi", "readyz"];

/// Operations on one person that are for the app key alone.
const BY_APP: &[&str] = &["rotate_connection_key", "reveal_connection_key", "assign_roles"];
/// Mounted, and no operation: what they answer is for browsers. May only shrink.
const UNDOCUMENTED: &[&str] = &[
    // The page that shows the document.
    "/docs",
    // Its scripts, styles and icon.
    "/docs/{file}",
];

/// An operation of the document, with a request that succeeds for the right caller.
struct Operation {
    id: String,
    method: String,
    path: String,
    audience: String,
    keyed: bool,
}

fn operations() -> Vec<Operation> {
    let document: Value =
        serde_json::from_str(&purser::app::papers::openapi()).expect("an OpenAPI document");
    let all = papers::operations(&document).into_iter();
    all.map(|(path, method, operation)| Operation {
        id: operation["operationId"].as_str().expect("an id").to_owned(),
        method,
        path,
        audience: operation["tags"][0].as_str().expect("an audience").to_owned(),
        keyed: operation["security"].is_null(),
    })
    .collect()
}

/// What the operations are tried on: a person of the app `shop`, and an app to administer.
struct Stage<'a> {
    purser: &'a Purser,
    shop: Principal,
    admin: Principal,
    auditor: Principal,
    made: std::cell::Cell<u32>,
    /// Somebody to pay, and the account.
    payee: (String, String),
    /// An entry that is sealed, and the size of the checkpoint.
    sealed: (String, u64),
}

const PASSWORD: &str = "correct horse battery";

fn settings() -> Value {
    json!({
        "reveal_keys": true, "roles": [{ "name": "helper", "permissions": [] }],
        "may_issue": { "categories": ["promo"], "per_day": 1_000_000_000 },
        "permissions": ALL,
    })
}

/// One person and one app, made anew for each try, because some operations end what they are
/// tried on.
struct Props {
    number: u32,
    user: String,
    connection: Principal,
    app: String,
    key: String,
    entry: String,
    tie: String,
    operator: String,
    /// One that waits.
    registration: String,
    /// What is in the wallet, where the permissions let the app put something there.
    hold: String,
    debit: String,
    /// A check of the module `target`.
    job: String,
    /// A version of it.
    version: String,
    sealed: (String, u64),
    payee: String,
    account: String,
}

impl<'a> Stage<'a> {
    fn new(purser: &'a Purser) -> Self {
        let (admin, auditor) = (purser.admin(), purser.auditor());
        for (name, status) in [("loyalty", "active"), ("target", "active"), ("spare", "draft")] {
            admin.post("/v1/admin/modules", module(name, status)).expect(201);
        }
        for name in ["basic", "premium"] {
            admin.post("/v1/admin/plans", plan(name)).expect(201);
        }
        admin.post("/v1/admin/programmes", programme("standard")).expect(201);
        let shop = purser.app_with("shop", settings());
        let (payee, me) = shop.register("payee@example.com");
        let account = me.get("/v1/users/me").expect(200)["shared"]["account_number"].clone();
        let code = json!({ "code": "PAYEE-1", "device": "one" });
        let once = me.with("Idempotency-Key", "code");
        once.post("/v1/users/me/referrals/code", json!({ "code": "PAYEE-1" })).expect(201);
        // Whoever is registered from now on is younger; whoever else has this device is flagged.
        purser.step_clock(1000);
        let (_, first) = shop.register("first@example.com");
        let once = first.with("Idempotency-Key", "redeem");
        once.post("/v1/users/me/referrals/redeem", code).expect(201);
        let payee = (payee, account.as_str().expect("a number").to_owned());
        let entry = purser.db_entries(doc! { "app_id": "shop" }).remove(0);
        let entry = entry.get_object_id("_id").expect("an id").to_hex();
        let size = purser.block_on(purser.inner.seal_trail()).expect("sealed");
        let (made, sealed) = (std::cell::Cell::new(0), (entry, size));
        Self { purser, shop, admin, auditor, made, payee, sealed }
    }

    fn props(&self, permissions: &[&str]) -> Props {
        let number = self.made.replace(self.made.get() + 1);
        let mut body = person(&format!("person{number}@example.com"));
        body["connection"] = json!({ "permissions": permissions });
        body["password"] = json!(PASSWORD);
        let (user, connection) = self.shop.register_with(body);
        let app = format!("target_{number}");
        let body = json!({
            "app_id": app, "name": "A target", "trust": "first_party", "permissions": ["read"],
        });
        let made = self.admin.post("/v1/admin/apps", body).expect(201);
        let key = made["app"]["keys"][0]["id"].as_str().expect("a key's id").to_owned();
        let claimed = json!({ "email": format!("waiting{number}@example.com") });
        let waiting = self.shop.post("/v1/users", claimed).expect(202);
        let registration = waiting["registration_id"].as_str().expect("an id").to_owned();
        let newest = &self.purser.db_entries(doc! { "app_id": "shop" })[0];
        let entry = newest.get_object_id("_id").expect("an id").to_hex();
        let user_id = bson::oid::ObjectId::parse_str(&user).expect("an id");
        let tie = &self.purser.db_find("user_apps", doc! { "user_id": user_id })[0];
        let tie = tie.get_object_id("_id").expect("an id").to_hex();
        let body = json!({ "name": "A target", "role": "auditor", "days": 1 });
        let added = self.admin.post("/v1/admin/operators", body).expect(201);
        let operator = added["operator"]["id"].as_str().expect("an id").to_owned();
        let (hold, debit) = self.spent(&user, number, permissions);
        let check = "/v1/admin/modules/target/versions/1.0.0/check";
        let check = self.admin.post(check, json!({})).expect(202);
        let job = check["id"].as_str().expect("an id").to_owned();
        let (payee, account) = self.payee.clone();
        Props {
            number,
            user,
            connection,
            app,
            key,
            entry,
            tie,
            operator,
            registration,
            hold,
            debit,
            job,
            version: "1.0.0".to_owned(),
            sealed: self.sealed.clone(),
            payee,
            account,
        }
    }

    /// A hold and a debit, where the app may; else the ids of none.
    fn spent(&self, user: &str, number: u32, permissions: &[&str]) -> (String, String) {
        if !permissions.contains(&"wallet_access") {
            return (user.to_owned(), user.to_owned());
        }
        let post = |what: &str, amount: i64| {
            let who = self.shop.with("Idempotency-Key", &format!("props-{number}-{what}"));
            let path = format!("/v1/users/{user}/wallet/{what}");
            let entry = &who.post(&path, json!({ "amount": amount })).expect(201)["entry"];
            entry["id"].as_str().expect("an id").to_owned()
        };
        post("credits", 100);
        (post("holds", 10), post("debits", 10))
    }

    /// Connects the person to a first-party app, which is third-party from then on.
    fn connect(&self, partner: &Principal, props: &Props) {
        let trust = |trust: &str| {
            let change = json!({ "trust": trust });
            self.admin.with("If-Match", "*").patch("/v1/admin/apps/partner", change).expect(200);
        };
        trust("first_party");
        let known = person(&format!("person{}@example.com", props.number));
        partner.post("/v1/users", known).expect(201);
        trust("third_party");
    }

    /// A caller of this audience who may.
    fn right(&self, audience: &str) -> Principal {
        match audience {
            "apps" => self.shop.clone(),
            "admins" => self.admin.clone(),
            "auditors" => self.auditor.clone(),
            _ => self.purser.nobody(),
        }
    }
}

fn plan(name: &str) -> Value {
    json!({
        "plan": name, "display_name": "A plan", "price": 0,
        "period": { "unit": "month", "count": 1 }, "apps": ["shop", "partner"],
    })
}

fn programme(name: &str) -> Value {
    json!({
        "programme": name, "display_name": "A programme", "event": "first_debit",
        "referrer_credits": 1,
    })
}

fn module(name: &str, status: &str) -> Value {
    json!({
        "module_name": name, "display_name": "A module", "status": status,
        "schema": { "points": "integer" }, "defaults": { "points": 0 },
    })
}

/// What `{module}` is in the path of an operation.
fn module_of(operation: &Operation) -> &'static str {
    match operation.id.as_str() {
        "delete_module" => "spare",
        _ if operation.path.starts_with("/v1/admin/modules") => "target",
        _ => "loyalty",
    }
}

/// Sends what the operation wants, to these props.
fn attempt(operation: &Operation, who: &Principal, props: &Props) -> Reply {
    let consistency = format!("?from={0}&to={0}", props.sealed.1);
    let path = operation
        .path
        .replace("{user}", &props.user)
        .replace("{app}", &props.app)
        .replace("{key}", &props.key)
        .replace(
            "{entry}",
            match operation.id.as_str() {
                "refund_entry" => &props.debit,
                "prove_entry" => &props.sealed.0,
                _ => &props.entry,
            },
        )
        .replace("{hold}", &props.hold)
        .replace("{account_number}", &props.account)
        .replace("{connection}", &props.tie)
        .replace("{operator}", &props.operator)
        .replace("{registration}", &props.registration)
        .replace("{module}", module_of(operation))
        .replace("{version}", &props.version)
        .replace("{job}", &props.job)
        .replace("{plan}", "basic")
        .replace("{programme}", "standard")
        + match operation.id.as_str() {
            "check_access" => "?permission=help",
            "read_balance" => "?at=2026-01-01T00:00:00Z",
            "read_statement" => "?from=2026-01-01T00:00:00Z",
            "prove_consistency" => &consistency,
            _ => "",
        };
    let body = body(&operation.id, props);
    let mut who = who.with("If-Match", "*");
    let keyed = ["/wallet", "/subscription", "/referrals"];
    if keyed.iter().any(|part| operation.path.contains(part)) {
        who = who.with("Idempotency-Key", &format!("{}-{}", operation.id, props.number));
    }
    who.send(&operation.method, &path, body.map(|body| body.to_string().into_bytes()))
}

fn body(operation: &str, props: &Props) -> Option<Value> {
    let number = props.number;
    Some(match operation {
        "register_user" => person(&format!("new{number}@example.com")),
        "update_user" => json!({ "profile": { "first_name": "Grace" } }),
        "update_connection" => json!({ "app_display_name": "Grace H." }),
        "register_app" => json!({
            "app_id": format!("app_{number}"), "name": "New", "trust": "third_party",
            "permissions": ["read"],
        }),
        "change_app" | "change_operator" => json!({ "name": "Another name" }),
        "capture_hold"
        | "capture_any_hold"
        | "release_hold"
        | "release_any_hold"
        | "refund_entry"
        | "issue_app_key"
        | "rotate_connection_key"
        | "reactivate_user"
        | "approve_registration"
        | "decline_registration"
        | "backfill_module"
        | "make_referral_code" => json!({}),
        "register_module" => module(&format!("new_{number}"), "active"),
        "change_module" => json!({ "description": format!("The {number}th") }),
        "publish_module_version" => json!({
            "version": format!("1.{}.0", number + 1),
            "schema": { "points": "integer" }, "defaults": { "points": 0 },
        }),
        "update_user_module" => json!({ "points": i64::from(number) + 1 }),
        "switch_user_module" => json!({ "enabled": false }),
        "credit_wallet" | "debit_wallet" | "place_hold" => json!({ "amount": 1 }),
        "transfer_credits" => json!({ "amount": 1, "to": { "user_id": props.payee } }),
        "start_subscription" => json!({ "plan": "basic" }),
        "change_subscription" => json!({ "plan": "premium" }),
        "redeem_referral_code" => json!({ "code": "PAYEE-1", "device": "one" }),
        "create_programme" => programme(&format!("programme_{number}")),
        "change_programme" => json!({ "referee_credits": i64::from(number) + 1 }),
        "create_plan" => plan(&format!("plan_{number}")),
        "change_plan" => json!({ "price": i64::from(number) + 1 }),
        "adjust_wallet" => json!({ "amount": 1, "direction": "credit", "reason": "asked for" }),
        "assign_roles" => json!({ "roles": ["helper"] }),
        "suspend_user" | "freeze_wallet" => json!({ "reason": "asked for" }),
        "erase_user" => json!({ "reason": "asked for", "credits": "forfeit" }),
        "change_email" => json!({ "email": format!("other{number}@example.com") }),
        "set_password" => json!({ "password": "correct horse battery" }),
        "change_connection" => json!({ "permissions": [] }),
        "add_operator" => json!({ "name": "New", "role": "auditor", "days": 30 }),
        "sign_in" => json!({
            "identifier": format!("person{number}@example.com"), "password": PASSWORD,
        }),
        _ => return None,
    })
}

#[test]
fn every_operation_refuses_every_bad_credential() {
    let purser = Purser::start();
    let expired = expired_operator(&purser);
    let stage = Stage::new(&purser);
    let revoked = revoked_app_key(&stage.admin);
    let props = stage.props(ALL);
    let mistyped = mistyped(stage.shop.key());
    let unknown = |kind| ApiKey::generate(kind, &Chance::from_seed(99)).text().expose().clone();
    let mut open = Vec::new();
    for operation in operations() {
        if !operation.keyed {
            open.push(operation.id);
            continue;
        }
        let name = format!("{} {}", operation.method, operation.path);
        let refused = |key: Option<&str>| {
            let who = key.map_or_else(|| purser.nobody(), |key| purser.with_key(key));
            let reply = attempt(&operation, &who, &props);
            let status = reply.status;
            (status, reply.refused(status))
        };
        let unauthenticated = (401, "unauthenticated".to_owned());
        let unknown = [KeyKind::App, KeyKind::Connection, KeyKind::Operator].map(unknown);
        let mut bad = vec![None, Some("nonsense"), Some(&mistyped), Some(&revoked), Some(&expired)];
        bad.extend(unknown.iter().map(|key| Some(key.as_str())));
        for key in bad {
            assert_eq!(refused(key), unauthenticated, "{name} with {key:?}");
        }
        for wrong in wrong_kinds(&stage, &operation, &props) {
            assert_eq!(refused(Some(wrong.key())), (403, "wrong_credential".to_owned()), "{name}");
        }
    }
    assert_eq!(open, OPEN, "operations without a key");
}

/// Keys that are in use, and of a kind that can never do this.
fn wrong_kinds(stage: &Stage<'_>, operation: &Operation, props: &Props) -> Vec<Principal> {
    let (app, connection) = (stage.shop.clone(), props.connection.clone());
    match operation.audience.as_str() {
        "apps"
            if !operation.path.starts_with("/v1/users/")
                || BY_APP.contains(&operation.id.as_str()) =>
        {
            vec![connection, stage.admin.clone(), stage.auditor.clone()]
        }
        "apps" => vec![stage.admin.clone(), stage.auditor.clone()],
        "admins" => vec![app, connection, stage.auditor.clone()],
        "auditors" => vec![app, connection],
        audience => panic!("{}: say who is wrong for {audience}", operation.id),
    }
}

fn expired_operator(purser: &Purser) -> String {
    let grant = purser.inner.gate.itself(job("test"), purser.inner.context());
    let new = NewOperator {
        name: "expired".to_owned(),
        role: OperatorRole::Admin,
        auditor_pii: true,
        days: 1,
        allowed_ips: Vec::new(),
    };
    let created = apps::create_operator(&grant, &purser.inner.store, new);
    let (_, key) = purser.block_on(created).expect("an operator");
    purser.step_clock(2 * DAY_MS);
    key.expose().clone()
}

fn revoked_app_key(admin: &Principal) -> String {
    let issued = admin.post("/v1/admin/apps/shop/keys", json!({})).expect(201);
    let keys = issued["app"]["keys"].as_array().expect("keys");
    let id = keys.last().and_then(|key| key["id"].as_str()).expect("an id");
    admin.delete(&format!("/v1/admin/apps/shop/keys/{id}")).expect(204);
    issued["key"].as_str().expect("a key").to_owned()
}

/// The last character is part of the checksum.
fn mistyped(key: &str) -> String {
    let (start, last) = key.split_at(key.len() - 1);
    format!("{start}{}", if last == "0" { "1" } else { "0" })
}

#[test]
fn every_mounted_route_is_in_the_document_and_nothing_else_answers() {
    let purser = Purser::start();
    let operations = operations();
    let documented: BTreeSet<_> = operations.iter().map(|it| it.path.clone()).collect();
    let exempt: BTreeSet<_> = UNDOCUMENTED.iter().map(|path| (*path).to_owned()).collect();
    let mut known = documented.clone();
    known.extend(exempt.clone());
    assert_eq!(mounted(), known);
    let stage = Stage::new(&purser);
    let props = stage.props(&["read"]);
    for path in documented.into_iter().chain(exempt) {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let known = operations.iter().any(|it| it.path == path && it.method == method)
                || (UNDOCUMENTED.contains(&path.as_str()) && method == "GET");
            if !known {
                let probe = Operation {
                    id: String::new(),
                    method: method.to_owned(),
                    path: path.clone(),
                    audience: String::new(),
                    keyed: true,
                };
                let code = attempt(&probe, &stage.admin, &props).refused(405);
                assert_eq!(code, "method_not_allowed", "{method} {path}");
            }
        }
    }
    assert_eq!(stage.admin.get("/v1/nowhere").refused(404), "not_found");
}

/// What the sources mount.
fn mounted() -> BTreeSet<String> {
    let (mut paths, mut open) =
        (BTreeSet::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let inner = fs::read_dir(path).expect("a folder");
            open.extend(inner.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let resources = text.split("web::resource(\"").skip(1);
        paths.extend(resources.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        for other in ["web::scope(", ".route(\"", "#[get(", "#[post("] {
            assert!(!text.contains(other), "{}: mount with web::resource", path.display());
        }
    }
    paths
}

#[test]
fn a_write_leaves_one_entry_for_each_subject_and_a_read_none() {
    let purser = Purser::start();
    let stage = Stage::new(&purser);
    for operation in operations() {
        let mut props = stage.props(ALL);
        if operation.id == "reactivate_user" {
            let path = format!("/v1/admin/users/{}/suspend", props.user);
            stage.admin.post(&path, json!({})).expect(200);
        }
        if operation.id == "unfreeze_wallet" {
            let path = format!("/v1/admin/users/{}/wallet/freeze", props.user);
            let once = stage.admin.with("Idempotency-Key", "freeze");
            once.post(&path, json!({ "reason": "asked for" })).expect(200);
        }
        if operation.id == "erase_user" {
            let path = format!("/v1/users/{}/wallet/holds/{}/release", props.user, props.hold);
            let once = stage.shop.with("Idempotency-Key", "release");
            once.post(&path, json!({})).expect(201);
        }
        let running = ["change_subscription", "cancel_subscription", "resume_subscription"];
        if running.contains(&operation.id.as_str()) {
            let path = format!("/v1/users/{}/subscription", props.user);
            let once = stage.shop.with("Idempotency-Key", &format!("start-{}", props.number));
            once.post(&path, json!({ "plan": "basic" })).expect(201);
            if operation.id == "resume_subscription" {
                let once = stage.shop.with("Idempotency-Key", "cancel");
                once.post(&format!("{path}/cancel"), json!({})).expect(201);
            }
        }
        if ["approve_referral", "void_referral"].contains(&operation.id.as_str()) {
            let redeem = body("redeem_referral_code", &props).expect("a code");
            let path = format!("/v1/users/{}/referrals/redeem", props.user);
            let once = stage.shop.with("Idempotency-Key", &format!("redeem-{}", props.number));
            once.post(&path, redeem).expect(201);
        }
        if operation.id == "resume_job" {
            stage.admin.post(&format!("/v1/admin/jobs/{}/pause", props.job), json!({})).expect(200);
        }
        if operation.id == "activate_module_version" {
            let body = body("publish_module_version", &props).expect("a version");
            stage.admin.post("/v1/admin/modules/target/versions", body.clone()).expect(201);
            props.version = body["version"].as_str().expect("a version").to_owned();
        }
        let before = purser.db_entries(doc! {}).len();
        let request = format!("req_{}", operation.id);
        let who = stage.right(&operation.audience).with("X-Request-Id", &request);
        let reply = attempt(&operation, &who, &props);
        assert!((200..300).contains(&reply.status), "{}: {:#}", operation.id, reply.body);
        let left = purser.db_entries(doc! { "request_id": &request });
        let since = purser.db_entries(doc! {}).len() - before;
        if operation.method == "GET" {
            assert_eq!(since, 0, "{request} is a read and left entries");
            continue;
        }
        let mut by_subject: BTreeMap<&str, u32> = BTreeMap::new();
        for entry in &left {
            *by_subject.entry(entry.get_str("subject").expect("a subject")).or_default() += 1;
        }
        assert_eq!(since, by_subject.len(), "{request}: {by_subject:?}");
        assert!(since > 0, "{request} is a write and left no entry");
        let actions: BTreeSet<_> = left.iter().map(|entry| entry.get_str("action").ok()).collect();
        assert_eq!(actions.len(), 1, "{request} has one name");
    }
}

const THIRD_PARTY: &str = "app key of a third-party app";
const READ: &[&str] = &["read"];
const BOTH: &[&str] = &["read", "write"];
const WALLET: &[&str] = &["wallet_access"];
const ALL: &[&str] = &[
    "read",
    "write",
    "wallet_access",
    "loyalty_access",
    "subscription_access",
    "referrals_access",
];

#[test]
fn who_may_do_what_is_written_down() {
    let purser = Purser::start();
    let stage = Stage::new(&purser);
    let stranger = purser.app("stranger");
    let partner = purser.app_with("partner", settings());
    let someone = stage.props(ALL).connection;
    let mut text = String::from(
        "Who may do what: each operation, tried by each kind of caller on a person of the app\n\
         `shop` or on an app of the operators. Made by `PURSER_UPDATE=1 cargo test --test it nets`.\n",
    );
    // Made anew only where something was done to them.
    let mut made: HashMap<&str, Props> = HashMap::new();
    for operation in operations() {
        // There are more operations than one connection may ask in a minute.
        purser.step_clock(1000);
        writeln!(text, "\n{} {} ({})", operation.method, operation.path, operation.id)
            .expect("a String takes all");
        let columns = [
            ("nobody", Some(purser.nobody()), ALL),
            ("app key", Some(stage.shop.clone()), ALL),
            ("app key, connection with read", Some(stage.shop.clone()), READ),
            ("app key of another app", Some(stranger.clone()), ALL),
            (THIRD_PARTY, Some(partner.clone()), ALL),
            ("connection key with read", None, READ),
            ("connection key with read, write", None, BOTH),
            ("connection key with wallet_access", None, WALLET),
            ("connection key of another person", Some(someone.clone()), ALL),
            ("admin", Some(stage.admin.clone()), ALL),
            ("auditor", Some(stage.auditor.clone()), ALL),
        ];
        for (name, who, permissions) in columns {
            let props = made.remove(name).unwrap_or_else(|| {
                let props = stage.props(permissions);
                if name == THIRD_PARTY {
                    stage.connect(&partner, &props);
                }
                props
            });
            let who = who.unwrap_or_else(|| props.connection.clone());
            let reply = attempt(&operation, &who, &props);
            if operation.method == "GET" || reply.status >= 300 {
                made.insert(name, props);
            }
            let code = reply.body["code"].as_str().unwrap_or_default();
            let line = format!("  {name:<36}{} {code}", reply.status);
            writeln!(text, "{}", line.trim_end()).expect("a String takes all");
        }
    }
    papers::check("policy.txt", &text);
}
