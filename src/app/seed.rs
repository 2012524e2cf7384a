//! `purser seed`: the demo, through the same commands as the API. Safe to repeat: what is there
//! stays, keys that still work are kept, others are issued anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::build::{Purser, job};
use super::bulk;
use crate::access::action::Action;
use crate::access::gate::Resolve;
use crate::access::grant::Granted;
use crate::access::principal::Head;
use crate::apps::{self, NewKey, NewOperator, OperatorRole};
use crate::connections::{self, Outcome};
use crate::http::json;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AppId, UserId};
use crate::modules::{referrals, subscription, wallet};

#[derive(Args)]
pub struct Options {
    /// Write URL and keys to this file as shell variables, and keep those in it that still work.
    #[arg(long)]
    env_file: Option<PathBuf>,
    /// Where this Purser will be reached.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// This many people without passwords, of an app of their own; with an env file besides the demo,
    /// else instead of it.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=bulk::PEOPLE_MAX))]
    users: u32,
}

/// A person of `seed/people.json`, and the apps that register it, in this order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeededPerson {
    /// The variables that hold this person's id and the first connection's key.
    variables: Option<[String; 2]>,
    /// What the first of the apps credits.
    credits: Option<i64>,
    registrations: Vec<SeededRegistration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeededRegistration {
    app: String,
    body: Value,
}

/// An app of `seed/apps.json`: the variable for its key, and the body of its registration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeededApp {
    variable: String,
    body: Value,
}

const APPS: &str = include_str!("../../seed/apps.json");
const PEOPLE: &str = include_str!("../../seed/people.json");
const PLANS: &str = include_str!("../../seed/plans.json");
const PROGRAMMES: &str = include_str!("../../seed/programmes.json");

pub(super) type Variables = BTreeMap<String, String>;

pub async fn run(purser: &Purser, options: &Options) -> Result<(), String> {
    if options.users > 0 && options.env_file.is_none() {
        return many(purser, options.users).await;
    }
    let mut variables = options.env_file.as_deref().map(read).transpose()?.unwrap_or_default();
    load(purser, &mut variables).await.map_err(|fault| fault.to_string())?;
    variables.insert("PURSER_URL".to_owned(), options.url.clone());
    let uri = purser.config.store.uri.expose().clone();
    variables.insert("MONGODB_URI".to_owned(), uri);
    if options.users > 0 {
        let registered = bulk::load(purser, &mut variables, options.users).await;
        registered.map_err(|fault| format!("{fault}\n{}", bulk::AGAIN))?;
    }
    if let Some(file) = &options.env_file {
        return write(file, &variables);
    }
    print!("{}", lines(&variables));
    Ok(())
}

/// Only the many, without the demo: its keys would be issued anew where no file keeps them. The
/// admin who registers their app is revoked at the end.
async fn many(purser: &Purser, users: u32) -> Result<(), String> {
    let told = |fault: Fault| format!("{fault}\n{}", bulk::AGAIN);
    let new = NewOperator {
        name: "seed".to_owned(),
        role: OperatorRole::Admin,
        auditor_pii: false,
        days: 1,
        allowed_ips: Vec::new(),
    };
    let grant = purser.gate.itself(job("seed"), purser.context());
    let (id, key) = apps::create_operator(&grant, &purser.store, new).await.map_err(told)?;
    let admin = ("PURSER_ADMIN_KEY".to_owned(), key.expose().clone());
    let mut variables = Variables::from([admin]);
    let registered = bulk::load(purser, &mut variables, users).await;
    let grant = purser.gate.itself(job("seed"), purser.context());
    apps::revoke_operator(&grant, &purser.store, id).await.map_err(told)?;
    registered.map_err(told)
}

/// Everything of `seed/`, with its keys in `variables`.
pub async fn load(purser: &Purser, variables: &mut Variables) -> Result<(), Fault> {
    let broken = |file: &str| Fault::internal(format!("seed/{file} is not what seeding expects"));
    let apps: Vec<SeededApp> = serde_json::from_str(APPS).map_err(|_| broken("apps.json"))?;
    let people: Vec<SeededPerson> =
        serde_json::from_str(PEOPLE).map_err(|_| broken("people.json"))?;
    operator(purser, variables, "PURSER_ADMIN_KEY", OperatorRole::Admin).await?;
    operator(purser, variables, "PURSER_AUDITOR_KEY", OperatorRole::Auditor).await?;
    let mut keys = BTreeMap::new();
    for SeededApp { variable, body } in apps {
        let id = app(purser, variables, &variable, body).await?;
        keys.insert(id.to_string(), variables[&variable].clone());
    }
    for person in people {
        seed_person(purser, variables, &keys, person).await?;
    }
    offers(purser, variables).await
}

/// What is on sale, and what is promised for referrals.
async fn offers(purser: &Purser, variables: &Variables) -> Result<(), Fault> {
    let bodies = |text: &str| -> Result<Vec<Value>, Fault> {
        serde_json::from_str(text).map_err(|_| Fault::internal("seed/ is not what seeding expects"))
    };
    for body in bodies(PLANS)? {
        let grant = as_admin::<subscription::CreatePlan>(purser, variables).await?;
        let plan = subscription::new_plan(&json::typed(body)?, grant.now())?;
        unless_there(subscription::create_plan(&grant, &purser.store, plan).await)?;
    }
    for body in bodies(PROGRAMMES)? {
        let grant = as_admin::<referrals::CreateProgramme>(purser, variables).await?;
        let programme = referrals::new_programme(&json::typed(body)?, grant.now())?;
        unless_there(referrals::create_programme(&grant, &purser.store, programme).await)?;
    }
    Ok(())
}

fn unless_there<T>(created: Result<T, Fault>) -> Result<(), Fault> {
    match created {
        Err(fault) if fault.code() == Code::AlreadyExists => Ok(()),
        created => created.map(drop),
    }
}

/// An operator's key that works: the one that is known, or a new operator's.
pub(super) async fn operator(
    purser: &Purser,
    variables: &mut Variables,
    variable: &str,
    role: OperatorRole,
) -> Result<(), Fault> {
    let known = variables.get(variable).cloned();
    if admitted::<apps::ReadApps>(purser, known.as_deref(), None).await?.is_some() {
        return Ok(());
    }
    if role == OperatorRole::Auditor
        && admitted::<crate::trail::ReadTrail>(purser, known.as_deref(), None).await?.is_some()
    {
        return Ok(());
    }
    let grant = purser.gate.itself(job("seed"), purser.context());
    let new = NewOperator {
        name: format!("demo {role:?}").to_lowercase(),
        role,
        auditor_pii: true,
        days: 90,
        allowed_ips: Vec::new(),
    };
    let (_, key) = apps::create_operator(&grant, &purser.store, new).await?;
    variables.insert(variable.to_owned(), key.expose().clone());
    Ok(())
}

pub(super) async fn app(
    purser: &Purser,
    variables: &mut Variables,
    variable: &str,
    body: Value,
) -> Result<AppId, Fault> {
    let new = apps::new_app(json::typed(body)?)?;
    let id = new.id.clone();
    let known = variables.get(variable).cloned();
    if admitted::<connections::FindUsers>(purser, known.as_deref(), None).await?.is_some() {
        return Ok(id);
    }
    let grant = as_admin::<apps::RegisterApp>(purser, variables).await?;
    let issued = match apps::register(&grant, &purser.store, new).await {
        Err(fault) if fault.code() == Code::AlreadyExists => {
            let grant = as_admin::<apps::IssueAppKey>(purser, variables).await?;
            apps::issue_key(&grant, &purser.store, id.clone(), NewKey::default()).await?
        }
        registered => registered?,
    };
    variables.insert(variable.to_owned(), issued.answer.key().to_owned());
    Ok(id)
}

async fn seed_person(
    purser: &Purser,
    variables: &mut Variables,
    keys: &BTreeMap<String, String>,
    person: SeededPerson,
) -> Result<(), Fault> {
    let (mut names, mut credits) = (person.variables, person.credits);
    for SeededRegistration { app, body } in person.registrations {
        let key = keys.get(&app).map(String::as_str);
        let outcome = register(purser, key, body.clone()).await?;
        if let (Some(amount), Some(user)) = (credits.take(), outcome.user()) {
            starting_balance(purser, key, user, amount).await?;
        }
        let Some([id_variable, key_variable]) = names.take() else { continue };
        let known = variables.get(&key_variable).cloned();
        let (user_id, key) = match outcome {
            Outcome::Connected { user_id, key, .. } => (user_id, key),
            Outcome::Known { user_id, .. } => match still_working(purser, known, user_id).await? {
                Some(known) => (user_id, known),
                None => connected(connect_anew(purser, key, user_id, body).await?)?,
            },
            Outcome::Waiting { .. } => return Err(Fault::internal("a seeded person waits")),
        };
        variables.insert(id_variable, user_id.to_string());
        variables.insert(key_variable, key);
    }
    Ok(())
}

/// As an app would issue it: a credit with an entry. Its reference lets it happen once.
async fn starting_balance(
    purser: &Purser,
    key: Option<&str>,
    user: UserId,
    amount: i64,
) -> Result<(), Fault> {
    let id = user.to_string();
    let grant = admitted::<wallet::Credit>(purser, key, Some(&id)).await?;
    let grant = grant.ok_or_else(|| Fault::internal("a seeded app issues no credits"))?;
    let issue = wallet::Issue::of(amount).ok_or_else(|| Fault::internal("a seeded balance"))?;
    let reference = Some(format!("starting-balance:{user}"));
    let terms = wallet::Terms { reference, ..wallet::Terms::default() };
    match wallet::credit(&grant, &purser.store, issue, terms).await {
        Err(fault) if fault.code() == Code::DuplicateReference => Ok(()),
        credited => credited.map(drop),
    }
}

async fn still_working(
    purser: &Purser,
    key: Option<String>,
    user_id: UserId,
) -> Result<Option<String>, Fault> {
    let id = user_id.to_string();
    let works = admitted::<connections::ReadUser>(purser, key.as_deref(), Some(&id)).await?;
    Ok(key.filter(|_| works.is_some()))
}

/// The connection's key is lost: the app lets go and connects anew.
async fn connect_anew(
    purser: &Purser,
    key: Option<&str>,
    user_id: UserId,
    body: Value,
) -> Result<Outcome, Fault> {
    let id = user_id.to_string();
    let grant = admitted::<connections::LetGo>(purser, key, Some(&id)).await?;
    let grant = grant.ok_or_else(|| Fault::internal("the demo app has no key"))?;
    connections::let_go(&grant, &purser.desk).await?;
    register(purser, key, body).await
}

fn connected(outcome: Outcome) -> Result<(UserId, String), Fault> {
    match outcome {
        Outcome::Connected { user_id, key, .. } => Ok((user_id, key)),
        _ => Err(Fault::internal("a connection was not taken up again")),
    }
}

async fn register(purser: &Purser, key: Option<&str>, body: Value) -> Result<Outcome, Fault> {
    let grant = admitted::<connections::RegisterUser>(purser, key, None).await?;
    let grant = grant.ok_or_else(|| Fault::internal("a seeded app has no key"))?;
    let person = connections::person(json::typed(body)?)?;
    Ok(connections::register(&grant, &purser.desk, person).await?.answer)
}

async fn as_admin<A: Action>(purser: &Purser, variables: &Variables) -> Result<Granted<A>, Fault>
where
    A::Target: Resolve,
{
    let key = variables.get("PURSER_ADMIN_KEY").map(String::as_str);
    let grant = admitted::<A>(purser, key, None).await?;
    grant.ok_or_else(|| Fault::internal("the demo's admin key does not work"))
}

/// Through the same gate as a request; `None` where the key does not work for this.
async fn admitted<A: Action>(
    purser: &Purser,
    key: Option<&str>,
    user: Option<&str>,
) -> Result<Option<Granted<A>>, Fault>
where
    A::Target: Resolve,
{
    let head = Head {
        credential: key.map(str::to_owned),
        user: user.map(str::to_owned),
        module: None,
        peer: None,
        client: None,
        seen: None,
        context: purser.context(),
    };
    match purser.gate.admit::<A>(&head).await {
        Ok(grant) => Ok(Some(grant)),
        Err(fault)
            if matches!(
                fault.code(),
                Code::Unauthenticated | Code::WrongCredential | Code::NotFound
            ) =>
        {
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

fn read(file: &Path) -> Result<Variables, String> {
    if !file.exists() {
        return Ok(Variables::new());
    }
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let variable = |line: &str| {
        let (name, value) = line.trim_start_matches("export ").split_once('=')?;
        Some((name.trim().to_owned(), value.trim().trim_matches('\'').to_owned()))
    };
    Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(variable).collect())
}

/// Written aside and moved into place, readable by its owner alone: it holds keys.
fn write(file: &Path, variables: &Variables) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt;
    let told = |error: std::io::Error| format!("{}: {error}", file.display());
    let aside = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let opened = options.create(true).write(true).truncate(true).mode(0o600).open(&aside);
    std::io::Write::write_all(&mut opened.map_err(told)?, lines(variables).as_bytes())
        .map_err(told)?;
    std::fs::rename(&aside, file).map_err(told)
}

fn lines(variables: &Variables) -> String {
    let mut text = String::from("# Written by `purser seed`; the keys are for this demo only.\n");
    for (name, value) in variables {
        writeln!(text, "export {name}='{value}'").expect("writing to a String cannot fail");
    }
    text
}
