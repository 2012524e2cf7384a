//! `purser seed --users`: many people without passwords, by the same gate and the same command as
//! the API. Who is there already is skipped, so it can be broken off and repeated.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::doc;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::{JoinError, JoinSet};

use super::build::Purser;
use super::seed::{self, Variables};
use crate::access::grant::Granted;
use crate::access::limits::RATE_MAX;
use crate::access::principal::Head;
use crate::connections::{self, Outcome, RegisterUser};
use crate::http::json;
use crate::kernel::email::Email;
use crate::kernel::fault::Fault;
use crate::store::{Query, Record};
use crate::users::Identity;

/// An e-mail address here has six digits.
pub const PEOPLE_MAX: i64 = 999_999;

/// What to do when it failed half-way.
pub const AGAIN: &str = "Run the same again: it goes on where it stopped.";

/// An app of their own: they would blow up the demo's, and its limits are no limits for them.
pub const APP: &str = "bulk_app";
pub const APP_KEY: &str = "PURSER_BULK_APP_KEY";

/// Registrations under way at one time: two full transactions.
const AT_ONCE: usize = 256;
/// People that are looked for, and registered with one grant, at a time.
const CHUNK: usize = 500;
/// A chunk takes half a second; a machine that is busy with something else takes longer.
const CHUNK_SECONDS: u64 = 60;
/// Between two lines where nobody watches a bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// People 1 to `people`, whatever of them is there. `variables` hold an admin's key, and get the
/// app's.
pub async fn load(purser: &Purser, variables: &mut Variables, people: u32) -> Result<(), Fault> {
    seed::app(purser, variables, APP_KEY, app()).await?;
    let key = &variables[APP_KEY];
    let mut progress = Progress::new(people);
    let mut running = JoinSet::new();
    let numbers: Vec<u32> = (1..=people).collect();
    for chunk in numbers.chunks(CHUNK) {
        let grant = Arc::new(purser.gate.admit(&head(purser, key)).await?);
        let missing = missing(purser, &grant, chunk).await?;
        progress.skipped(chunk.len() - missing.len());
        for number in missing {
            if running.len() >= AT_ONCE {
                registered(running.join_next().await)?;
                progress.registered();
            }
            let (purser, grant) = (purser.clone(), Arc::clone(&grant));
            running.spawn(async move { register(&purser, &grant, number).await });
        }
    }
    while let Some(done) = running.join_next().await {
        registered(Some(done))?;
        progress.registered();
    }
    progress.finish();
    Ok(())
}

pub(super) fn app() -> Value {
    let limits = json!({ "requests_per_minute": RATE_MAX, "requests_per_hour": RATE_MAX });
    json!({
        "app_id": APP,
        "name": "Bulk",
        "description": "People for trying Purser out with many of them.",
        "trust": "first_party",
        "permissions": ["read", "write", "wallet_access"],
        "rate_limits": limits,
        "total_rate_limits": limits,
    })
}

fn head(purser: &Purser, key: &str) -> Head {
    let mut context = purser.context();
    context.deadline = Instant::now() + Duration::from_secs(CHUNK_SECONDS);
    let credential = Some(key.to_owned());
    Head { credential, user: None, module: None, peer: None, client: None, seen: None, context }
}

/// Those of the chunk whose address nobody has: one query instead of a unit for each.
async fn missing(
    purser: &Purser,
    grant: &Granted<RegisterUser>,
    chunk: &[u32],
) -> Result<Vec<u32>, Fault> {
    #[derive(Deserialize)]
    struct Known {
        #[serde(rename = "_id")]
        name: String,
    }
    let names = chunk.iter().map(|number| identity(*number)).collect::<Result<Vec<_>, _>>()?;
    let filter = doc! { "_id": { "$in": &names } };
    let query = Query::of(Identity::KIND.collection, filter).only(doc! { "_id": 1 });
    let known: Vec<Known> = purser.store.list(&grant.pass(), query).await?;
    let known: HashSet<String> = known.into_iter().map(|known| known.name).collect();
    let of_chunk = chunk.iter().zip(names);
    Ok(of_chunk.filter(|(_, name)| !known.contains(name)).map(|(number, _)| *number).collect())
}

fn identity(number: u32) -> Result<String, Fault> {
    let email = Email::parse(&email(number));
    Ok(email.map_err(|_| Fault::internal("a seeded address is none"))?.identity())
}

async fn register(
    purser: &Purser,
    grant: &Granted<RegisterUser>,
    number: u32,
) -> Result<(), Fault> {
    let person = connections::person(json::typed(body(number))?)?;
    match connections::register(grant, &purser.desk, person).await?.answer {
        Outcome::Connected { .. } | Outcome::Known { .. } => Ok(()),
        Outcome::Waiting { .. } => Err(Fault::internal("a seeded person waits")),
    }
}

fn registered(done: Option<Result<Result<(), Fault>, JoinError>>) -> Result<(), Fault> {
    done.unwrap_or(Ok(Ok(()))).map_err(|_| Fault::internal("a registration panicked"))?
}

fn email(number: u32) -> String {
    format!("bulk{number:06}@example.com")
}

const FIRST_NAMES: [&str; 20] = [
    "Ada",
    "Grace",
    "Alan",
    "Katherine",
    "Edsger",
    "Barbara",
    "Donald",
    "Hedy",
    "Ken",
    "Radia",
    "Linus",
    "Margaret",
    "Dennis",
    "Sophie",
    "Tim",
    "Anita",
    "Claude",
    "Frances",
    "Niklaus",
    "Joan",
];
const LAST_NAMES: [&str; 23] = [
    "Smith",
    "Garcia",
    "Müller",
    "Rossi",
    "Silva",
    "Novak",
    "Kim",
    "Tanaka",
    "Nguyen",
    "Okafor",
    "Dubois",
    "Jansen",
    "Larsson",
    "Kowalski",
    "Popescu",
    "Yılmaz",
    "Haddad",
    "Cohen",
    "Patel",
    "Wang",
    "Moreau",
    "O'Brien",
    "Fernández",
];
const HOMES: [(&str, &str); 11] = [
    ("America/New_York", "en"),
    ("Europe/Berlin", "de"),
    ("America/Sao_Paulo", "pt-BR"),
    ("Europe/Paris", "fr"),
    ("Asia/Tokyo", "ja"),
    ("Europe/London", "en-GB"),
    ("America/Mexico_City", "es-MX"),
    ("Asia/Kolkata", "en-IN"),
    ("Africa/Lagos", "en"),
    ("Europe/Istanbul", "tr"),
    ("Australia/Sydney", "en-AU"),
];

/// The same for the same number, on every machine.
fn body(number: u32) -> Value {
    let at = number as usize;
    let first = FIRST_NAMES[at % FIRST_NAMES.len()];
    let last = LAST_NAMES[at / FIRST_NAMES.len() % LAST_NAMES.len()];
    let (timezone, language) = HOMES[at % HOMES.len()];
    json!({
        "email": email(number),
        "verified": ["email"],
        "username": format!("bulk{number:06}"),
        "profile": {
            "first_name": first,
            "last_name": last,
            "timezone": timezone,
            "language": language,
        },
        "connection": { "app_username": format!("bulk_{number}") },
    })
}

/// A bar where a person watches, lines where a file does.
struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    told: Instant,
    people: usize,
    skipped: usize,
    registered: usize,
}

impl Progress {
    fn new(people: u32) -> Self {
        let style =
            ProgressStyle::with_template("{bar:40} {pos} of {len} people, {per_sec}, {eta} to go");
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(people.into()));
        if let (Some(bar), Ok(style)) = (&bar, style) {
            bar.set_style(style);
        }
        let now = Instant::now();
        let people = people as usize;
        Self { bar, started: now, told: now, people, skipped: 0, registered: 0 }
    }

    fn skipped(&mut self, people: usize) {
        self.skipped += people;
        self.show();
    }

    fn registered(&mut self) {
        self.registered += 1;
        self.show();
    }

    fn show(&mut self) {
        let done = self.skipped + self.registered;
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        } else if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            eprintln!("{done} of {} people", self.people);
        }
    }

    fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let Self { registered, skipped, .. } = self;
        let seconds = self.started.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "at most a million people")]
        let per_second = registered as f64 / seconds;
        eprintln!(
            "{registered} people registered in {seconds:.1} s ({per_second:.0}/s), {skipped} were \
             there already"
        );
    }
}
