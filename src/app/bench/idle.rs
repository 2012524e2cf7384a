//! What a Purser weighs: at rest, and with many idle connections and many people read.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use mongodb::Database;
use tokio::task::JoinSet;

use super::load::{Asker, Seen, runtime};
use super::servers::{Options, Server, Settings, What};
use super::{People, people, sealed};
use crate::app::build::Purser;
use crate::config::Level;

#[derive(Clone, Copy, Args)]
pub struct Scale {
    /// Keep-alive connections that stay open, idle after their requests.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// People that are read, shared out among the connections.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
}

/// What must be reached, in MiB.
const AT_REST_MIB: u64 = 60;
const BUSY_MIB: u64 = 150;

/// Connections that are being opened at one time: the queue of a listening socket is short.
const OPENING: usize = 64;
/// Files that a process has open besides its connections.
const OTHER_FILES: u64 = 200;
/// Until what a start or a burst leaves behind is cleared away.
const SETTLE: Duration = Duration::from_secs(3);

pub async fn run(
    purser: &Purser,
    database: &Database,
    scale: Scale,
    file: Option<&Path>,
) -> Result<(), String> {
    check_files(scale)?;
    let people = people(purser, database, scale.users).await?;
    sealed(purser).await?;
    let file = file.map(Path::to_path_buf);
    let measured =
        tokio::task::spawn_blocking(move || measure(&people, scale, file.as_deref())).await;
    measured.map_err(|_| "the bench panicked")?
}

/// Both sides of a connection are a file; the server inherits this process's limit.
fn check_files(scale: Scale) -> Result<(), String> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let needed = u64::from(scale.connections) + OTHER_FILES;
    match soft {
        Some(soft) if soft < needed => Err(format!(
            "{} connections need {needed} open files, and this shell allows {soft}. Run \
             `ulimit -n {needed}` in it first, and this again.",
            scale.connections
        )),
        _ => Ok(()),
    }
}

fn measure(people: &People, scale: Scale, file: Option<&Path>) -> Result<(), String> {
    let options = Options { what: What::Purser, bytes: 0 };
    let settings = Settings { node: "idle", level: Level::Warn, more: Vec::new() };
    let server = Server::start(&options, &settings, file)?;
    std::thread::sleep(SETTLE);
    let rested = tell("at rest", &server, AT_REST_MIB)?;
    let callers = runtime()?.block_on(async {
        let callers = callers(&server, people, scale).await?;
        tokio::time::sleep(SETTLE).await;
        Ok::<_, String>(callers)
    })?;
    let what = format!("{} idle connections, {} people read", callers.len(), people.ids.len());
    let busy = tell(&what, &server, BUSY_MIB)?;
    drop(callers);
    if rested && busy { Ok(()) } else { Err("it takes more memory than wanted".to_owned()) }
}

/// Each has read its share of the people, one at least.
async fn callers(server: &Server, people: &People, scale: Scale) -> Result<Vec<Asker>, String> {
    let mut opening = JoinSet::new();
    let mut open = Vec::new();
    let connections = scale.connections as usize;
    for number in 0..connections {
        if opening.len() >= OPENING {
            open.push(opened(opening.join_next().await)?);
        }
        let (address, key) = (server.address, people.key.clone());
        let first = number % people.ids.len();
        let share: Vec<_> = people.ids[first..].iter().step_by(connections).cloned().collect();
        opening.spawn(async move {
            let mut caller = Asker::connect(address, &key, Seen::Forgotten).await?;
            for id in share {
                caller.read(&id).await?;
            }
            Ok(caller)
        });
    }
    while let Some(done) = opening.join_next().await {
        open.push(opened(Some(done))?);
    }
    Ok(open)
}

type Opened = Result<Result<Asker, String>, tokio::task::JoinError>;

fn opened(done: Option<Opened>) -> Result<Asker, String> {
    done.ok_or("no connection is being opened")?.map_err(|_| "a caller panicked")?
}

/// Says what the server weighs; whether that is what is wanted.
fn tell(when: &str, server: &Server, wanted_mib: u64) -> Result<bool, String> {
    let kib = server.process().resident_kib().ok_or("the server has ended")?;
    let mib = kib.div_ceil(1024);
    println!("{when}: {mib} MiB resident (wanted at most {wanted_mib})");
    Ok(mib <= wanted_mib)
}
