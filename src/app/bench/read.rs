//! One person over HTTP: what authentication, limits and the view cost on top of two finds, and
//! what the caches gain.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mongodb::Database;

use super::load::{Asker, Done, Load, Seen, runtime};
use super::servers::{Options, Server, Settings, What};
use super::{People, median, people, sealed};
use crate::app::build::Purser;
use crate::config::Level;

#[derive(Clone, Copy, Args)]
pub struct Scale {
    /// People to choose from; warm are the first of them.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// People that are read from warm caches.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    warm: u32,
    /// Interleaved rounds; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each server in each round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Callers at one time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// What the Pursers log; `info` shows what a line for each request costs.
    #[arg(long, value_enum, default_value_t = LogLevel::Warn)]
    log_level: LogLevel,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogLevel {
    Warn,
    Info,
}

/// What must be reached: one side's rate over the other's.
const WANTED: [(&str, usize, usize, f64); 3] = [
    ("uncached / bare", UNCACHED, BARE, 0.8),
    ("warm / bare", WARM, BARE, 8.0),
    ("warm / constant", WARM, CONSTANT, 0.4),
];

/// Before what counts: connections are opened, caches filled, limits taken.
const WARM_UP: Duration = Duration::from_secs(4);

const BARE: usize = 0;
const CONSTANT: usize = 1;
const UNCACHED: usize = 2;
const WARM: usize = 3;

/// One server and the load on it. A Purser lives for its turn alone: two on one database would share
/// their limits, and that is not what is measured.
struct Side {
    name: &'static str,
    options: Options,
    copies: u32,
    ids: Arc<[String]>,
    seen: Seen,
    /// What runs all the time.
    standing: Option<Server>,
}

/// What one side did in one round.
struct Round {
    done: Done,
    cpu: Duration,
}

pub async fn run(
    purser: &Purser,
    database: &Database,
    scale: &Scale,
    file: Option<&Path>,
) -> Result<(), String> {
    let people = people(purser, database, scale.users).await?;
    sealed(purser).await?;
    let (scale, file) = (*scale, file.map(Path::to_path_buf));
    let measured =
        tokio::task::spawn_blocking(move || measure(&people, &scale, file.as_deref())).await;
    measured.map_err(|_| "the bench panicked")?
}

fn measure(people: &People, scale: &Scale, file: Option<&Path>) -> Result<(), String> {
    let sides = sides(people, scale, file)?;
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); WANTED.len()];
    for number in 1..=scale.rounds {
        println!("round {number}");
        let mut rounds = Vec::new();
        for side in &sides {
            let round = side.round(&people.key, scale, file)?;
            println!("  {:<9} {round}", side.name);
            rounds.push(round);
        }
        for (ratios, (_, over, under, _)) in ratios.iter_mut().zip(WANTED) {
            ratios.push(rounds[over].done.per_second / rounds[under].done.per_second);
        }
    }
    println!(
        "{} people, {} warm, {} connections, log level {}; medians of {} rounds:",
        scale.users,
        scale.warm.min(scale.users),
        scale.connections,
        scale.log_level.level().as_str(),
        scale.rounds
    );
    let mut reached = true;
    for ((name, _, _, wanted), ratios) in WANTED.into_iter().zip(ratios) {
        let ratio = median(ratios);
        println!("  {name:<16} {ratio:.2} (wanted {wanted})");
        reached &= ratio >= wanted;
    }
    if reached { Ok(()) } else { Err("not all of the ratios were reached".to_owned()) }
}

/// In the order of `BARE`, `CONSTANT`, `UNCACHED`, `WARM`.
fn sides(people: &People, scale: &Scale, file: Option<&Path>) -> Result<[Side; 4], String> {
    let all: Arc<[String]> = people.ids.clone().into();
    let few: Arc<[String]> = people.ids.iter().take(scale.warm as usize).cloned().collect();
    let purser = |name, copies, ids: &Arc<[String]>, seen| Side {
        name,
        options: Options { what: What::Purser, bytes: 0 },
        copies,
        ids: Arc::clone(ids),
        seen,
        standing: None,
    };
    let uncached = purser("uncached", 0, &all, Seen::Forgotten);
    let warm = purser("warm", scale.warm, &few, Seen::Kept);
    let standing = |name, what, bytes| {
        let side = Side {
            options: Options { what, bytes },
            name,
            ..purser(name, 0, &all, Seen::Forgotten)
        };
        let server = side.start(scale, file)?;
        Ok::<_, String>(Side { standing: Some(server), ..side })
    };
    let bare = standing("bare", What::Bare, 0)?;
    let bytes = answer_bytes(&uncached.start(scale, file)?, people)?;
    let bare_bytes = bare.standing.as_ref().map_or(Ok(0), |bare| answer_bytes(bare, people))?;
    println!("an answer has {bytes} bytes, of the bare handler {bare_bytes}");
    let constant = standing("constant", What::Constant, bytes)?;
    Ok([bare, constant, uncached, warm])
}

fn answer_bytes(server: &Server, people: &People) -> Result<usize, String> {
    runtime()?.block_on(async {
        let mut caller = Asker::connect(server.address, &people.key, Seen::Forgotten).await?;
        caller.read(&people.ids[0]).await
    })
}

impl Side {
    fn start(&self, scale: &Scale, file: Option<&Path>) -> Result<Server, String> {
        let more = vec![("PURSER__STORE__COPIES", self.copies.to_string())];
        // One name for all: whoever starts takes the place of the one before.
        let settings = Settings { node: "bench", level: scale.log_level.level(), more };
        Server::start(&self.options, &settings, file)
    }

    fn round(&self, key: &str, scale: &Scale, file: Option<&Path>) -> Result<Round, String> {
        let own = if self.standing.is_none() { Some(self.start(scale, file)?) } else { None };
        let server = own.as_ref().or(self.standing.as_ref());
        let server = server.ok_or_else(|| format!("{}: no server", self.name))?;
        let named = |error| format!("{}: {error}", self.name);
        let load = |lasts| Load {
            address: server.address,
            key: key.into(),
            ids: Arc::clone(&self.ids),
            connections: scale.connections,
            seen: self.seen,
            lasts,
        };
        load(WARM_UP).run().map_err(named)?;
        let before = server.process().cpu();
        let done = load(Duration::from_secs(scale.seconds)).run().map_err(named)?;
        Ok(Round { done, cpu: server.process().cpu().saturating_sub(before) })
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { done, cpu } = self;
        let requests = u32::try_from(done.requests.max(1)).unwrap_or(u32::MAX);
        write!(
            f,
            "{:>7.0}/s  p50 {:>6.2} ms  p99 {:>6.2} ms  {:>4} us of processor each",
            done.per_second,
            done.p50.as_secs_f64() * 1_000.0,
            done.p99.as_secs_f64() * 1_000.0,
            (*cpu / requests).as_micros()
        )
    }
}

impl LogLevel {
    fn level(self) -> Level {
        match self {
            Self::Warn => Level::Warn,
            Self::Info => Level::Info,
        }
    }
}
