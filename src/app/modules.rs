//! `purser modules`: the registry from the command line.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};

use super::build::{Purser, job};
use super::progress::Progress;
use crate::access::grant::Granted;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{JobId, Name};
use crate::kernel::page::Limit;
use crate::modules::registry::jobs::{
    self, Job, JobKind, JobStatus, JobView, Step, Survey, Wanted,
};
use crate::modules::registry::{self, LoadModule, Loaded, ModuleFile, Prospect};

#[derive(Subcommand)]
pub enum Modules {
    /// All modules: name, version, status, permission.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One module, with its schema, defaults and versions.
    Show {
        #[arg(value_parser = name)]
        name: Name,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Register the module of a file, or publish and activate the file's version of it.
    Register {
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say whether the file's version could be registered: what it would break, and whose data would
    /// not fit. Nothing is changed; the exit status is 0 only where nothing would.
    Check {
        file: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a module to everybody, in the version in use. Safe to end and to repeat: what is left
    /// goes on by itself while a Purser serves.
    Backfill {
        #[arg(value_parser = name)]
        name: Name,
        /// A first-party app whose connections get the module's permission; may be repeated.
        #[arg(long = "app", value_parser = name)]
        apps: Vec<Name>,
        /// At most so many people a second.
        #[arg(long, default_value_t = 2500, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        per_second: i64,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// How often a job that another process works on is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

pub async fn run(purser: &Purser, command: Modules) -> Result<(), String> {
    let as_json = match &command {
        Modules::List { json }
        | Modules::Show { json, .. }
        | Modules::Register { json, .. }
        | Modules::Check { json, .. }
        | Modules::Backfill { json, .. } => *json,
    };
    execute(purser, command).await.map_err(|failure| failure.told(as_json))
}

async fn execute(purser: &Purser, command: Modules) -> Result<(), Failure> {
    match command {
        Modules::List { json } => list(purser, json).await,
        Modules::Show { name, json } => show(purser, &name, json).await,
        Modules::Register { file, json } => register(purser, &file, json).await,
        Modules::Check { file, json } => check(purser, &file, json).await,
        Modules::Backfill { name, apps, per_second, json } => {
            backfill(purser, name, apps, per_second, json).await
        }
    }
}

enum Failure {
    Fault(Fault),
    /// Everything was told already, but for this.
    Text(String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Failure {
    /// What is wrong, each at its place; for programs on the output, too.
    fn told(self, as_json: bool) -> String {
        let fault = match self {
            Self::Text(text) => return text,
            Self::Fault(fault) => fault,
        };
        if as_json {
            let (code, detail) = (fault.code().name(), fault.detail());
            print(&json!({ "code": code, "detail": detail, "errors": fault.errors() }));
        }
        let mut text = fault.to_string();
        if let [_, _, ..] = fault.errors() {
            for error in fault.errors() {
                let _ = write!(text, "\n  {}: {} ({})", error.pointer, error.detail, error.code);
            }
        }
        text
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).ok_or_else(|| crate::kernel::ids::NAME_RULE.to_owned())
}

fn grant(purser: &Purser) -> Granted<LoadModule> {
    purser.gate.itself::<LoadModule>(job("command_line"), purser.context())
}

fn print(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("a view is JSON");
    println!("{text}");
}

async fn list(purser: &Purser, as_json: bool) -> Result<(), Failure> {
    let (mut lines, mut after) = (Vec::new(), None);
    loop {
        let pass = grant(purser).pass();
        let page = registry::list(&pass, &purser.store, Limit::default(), after).await?;
        lines.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let views: Vec<_> = lines.iter().map(registry::view).collect();
    if as_json {
        print(&views);
        return Ok(());
    }
    for line in &lines {
        let status = serde_json::to_value(line.status).unwrap_or_default();
        let status = status.as_str().unwrap_or_default().to_owned();
        let name = line.module_name.as_str();
        println!("{name:<24} {:<10} {status:<11} {}", line.version, line.permission);
    }
    Ok(())
}

async fn show(purser: &Purser, name: &Name, as_json: bool) -> Result<(), Failure> {
    let line = registry::find(&grant(purser).pass(), &purser.store, name).await?;
    let (view, versions) = (registry::view(&line), registry::versions(&line));
    let mut all = serde_json::to_value(&view).unwrap_or_default();
    all["versions"] = serde_json::to_value(&versions).unwrap_or_default()["items"].take();
    if as_json {
        print(&all);
        return Ok(());
    }
    println!("{}: {} ({})", line.module_name, line.display_name, line.description);
    for field in ["status", "version", "newest_version", "permission", "required_kyc_level"] {
        println!("{field:<20} {}", plain(&all[field]));
    }
    println!("{:<20} {}\n{:<20} {}", "schema", all["schema"], "defaults", all["defaults"]);
    for version in all["versions"].as_array().into_iter().flatten() {
        let active = if version["active"] == true { "active" } else { "" };
        println!("{:<20} {} {active}", "version", plain(&version["version"]));
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn read(file: &Path) -> Result<ModuleFile, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::Text(format!("{}: {error}", file.display())))?;
    Ok(ModuleFile::read(&text)?)
}

async fn register(purser: &Purser, file: &Path, as_json: bool) -> Result<(), Failure> {
    let module = read(file)?;
    let (name, version) = (module.name().clone(), module.version());
    let loaded = module.load(&grant(purser), &purser.store).await?;
    let (outcome, text) = match loaded {
        Loaded::Registered => ("registered", "is registered"),
        Loaded::Published => {
            ("published", "is published and active; `backfill` rewrites older data")
        }
        Loaded::Same => ("same", "was there already"),
    };
    if as_json {
        print(&json!({ "module_name": name, "version": version, "outcome": outcome }));
    } else {
        println!("{name} {version} {text}");
    }
    Ok(())
}

async fn check(purser: &Purser, file: &Path, as_json: bool) -> Result<(), Failure> {
    let module = read(file)?;
    let (name, version) = (module.name().clone(), module.version());
    let asked = grant(purser);
    let prospect = module.prospect(&asked.pass(), &purser.store, asked.now()).await?;
    let (outcome, migrates, custom) = match prospect {
        Prospect::New => ("new", false, None),
        Prospect::Same => ("same", false, None),
        Prospect::Next { migrates, custom } => ("next", migrates, Some(custom)),
    };
    let mut survey = Survey::default();
    if let Some(custom) = custom {
        survey_all(purser, &mut survey, &custom).await?;
    }
    let Survey { checked, failed, .. } = survey;
    if as_json {
        print(&json!({
            "module_name": name, "version": version, "outcome": outcome,
            "migrates": migrates, "checked": checked, "failed": failed,
            "samples": survey.samples(),
        }));
    } else {
        println!(
            "{name} {version}: {outcome}; of {checked} people with data, {failed} would not fit"
        );
        for sample in survey.samples() {
            let reasons = sample.reasons.iter().map(|it| format!("{} {}", it.pointer, it.code));
            println!("  {}: {}", sample.user_id, reasons.collect::<Vec<_>>().join(", "));
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::Text(format!("{failed} people's data would not fit")))
}

async fn survey_all(
    purser: &Purser,
    survey: &mut Survey,
    custom: &registry::Custom,
) -> Result<(), Fault> {
    let total = purser.store.estimate(&grant(purser).pass(), "users").await?;
    let mut progress = Progress::new(count(total), "people looked at");
    while survey.page(&grant(purser).pass(), &purser.store, custom).await? {
        progress.come_to(count(survey.checked), count(total.max(survey.checked)));
    }
    progress.come_to(count(survey.checked), count(survey.checked));
    progress.end();
    Ok(())
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

async fn backfill(
    purser: &Purser,
    module: Name,
    apps: Vec<Name>,
    per_second: i64,
    as_json: bool,
) -> Result<(), Failure> {
    let kind = JobKind::Backfill;
    let wanted = Wanted { kind, module, version: None, apps, per_second };
    let started = jobs::start(&grant(purser), &purser.store, wanted).await?;
    let ended = follow(purser, started.answer.id).await?;
    let view = JobView::of(&ended);
    if as_json {
        print(&view);
    } else {
        println!("{} of {} people changed, {} do not fit", view.changed, view.seen, view.failed);
    }
    match ended.status {
        JobStatus::Done => Ok(()),
        status => Err(Failure::Text(format!("job {} is {}", ended.id, status.as_str()))),
    }
}

/// Works on a job, or watches another process do it, until it is over.
async fn follow(purser: &Purser, id: JobId) -> Result<Job, Fault> {
    let own = || purser.gate.itself::<jobs::WorkOnJob>(job("jobs"), purser.context());
    let mut shift = None;
    let mut progress = Progress::new(0, "people");
    loop {
        let found = purser.store.find(&own().pass(), &Job::by_id(id)).await?;
        let found = found.ok_or_else(|| Fault::of(Code::NotFound))?;
        progress.come_to(count(found.progress.seen), count(found.progress.total));
        if !found.status.is_open() {
            progress.end();
            return Ok(found);
        }
        if shift.is_none() {
            shift = jobs::claim(&own(), &purser.store, Some(id)).await?;
        }
        let rest = match &mut shift {
            None => LOOK_EVERY,
            Some(turn) => match jobs::step(&own(), &purser.store, turn).await? {
                Step::More(rest) => rest,
                Step::Over => {
                    shift = None;
                    Duration::ZERO
                }
            },
        };
        tokio::time::sleep(rest).await;
    }
}
