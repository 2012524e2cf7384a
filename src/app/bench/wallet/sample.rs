//! Purser beside a service that people would write themselves (`scripts/sample_service.py`): the same
//! requests, on the same MongoDB, in turns.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mongodb::Database;

use super::bank::{Bank, Wallets};
use super::slice::{Numbers, Slice};
use super::{WARM_UP, WARM_UP_CLIENTS, ledger, over_http};
use crate::app::bench::load::{Load, Seen, runtime};
use crate::app::bench::servers::{Options, Server, Settings, What};
use crate::app::bench::{median, sealed};
use crate::app::build::Purser;
use crate::config::Level;

#[derive(Args)]
pub struct Scale {
    /// Where the other service listens.
    #[arg(long)]
    address: SocketAddr,
    /// What it takes for a key.
    #[arg(long)]
    key: String,
    /// A file with the ids of its people, a line for each.
    #[arg(long)]
    ids: PathBuf,
    /// Clients at one time.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Interleaved rounds; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each side in each part of a round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// What is asked for, and how many times faster Purser must be.
const PARTS: [(Part, &str, f64); 3] = [
    (Part::Read, "reading random users", 10.0),
    (Part::Debit, "debiting random users", 5.0),
    (Part::DebitOne, "debiting one hot user", 40.0),
];

#[derive(Debug, Clone, Copy)]
enum Part {
    Read,
    Debit,
    DebitOne,
}

pub async fn run(
    purser: &Purser,
    database: &Database,
    scale: &Scale,
    file: Option<&Path>,
) -> Result<(), String> {
    let ids = std::fs::read_to_string(&scale.ids);
    let ids = ids.map_err(|error| format!("{}: {error}", scale.ids.display()))?;
    let ids: Arc<[String]> = ids.lines().map(str::to_owned).collect();
    let count = u32::try_from(ids.len()).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| format!("{} names nobody", scale.ids.display()))?;
    let sample = Wallets { key: scale.key.as_str().into(), ids };
    let ours = Bank::open(purser, database, count).await?.wallets();
    sealed(purser).await?;
    // Else this Purser would go on listening to what the server changes.
    purser.store.drain().await;
    let settings = Settings { node: "bench", level: Level::Warn, more: Vec::new() };
    let server = Server::start(&Options { what: What::Purser, bytes: 0 }, &settings, file)?;
    let numbers = Arc::new(Numbers::default());
    let sides = [
        Side { address: scale.address, wallets: sample, numbers: Arc::default() },
        Side { address: server.address, wallets: ours, numbers: Arc::clone(&numbers) },
    ];
    let mut factors = PARTS.map(|_| Vec::new());
    for round in 1..=scale.rounds {
        for (at, (part, name, _)) in PARTS.into_iter().enumerate() {
            let [theirs, ours] = [sides[0].measure(part, scale)?, sides[1].measure(part, scale)?];
            println!("round {round}, {name}: {theirs:.0}/s, Purser {ours:.0}/s");
            factors[at].push(ours / theirs);
        }
    }
    ledger::check(database, numbers.done()).await?;
    let mut reached = true;
    for ((_, name, wanted), factors) in PARTS.into_iter().zip(factors) {
        let factor = median(factors);
        println!("{name}: {factor:.1} times (wanted at least {wanted})");
        reached &= factor >= wanted;
    }
    if reached { Ok(()) } else { Err("not all of it was reached".to_owned()) }
}

struct Side {
    address: SocketAddr,
    wallets: Wallets,
    numbers: Arc<Numbers>,
}

impl Side {
    /// How many in a second, on a thread of its own: the load must not share one with anything else.
    fn measure(&self, part: Part, scale: &Scale) -> Result<f64, String> {
        let work = || match part {
            Part::Read => self.reads(scale.clients, Duration::from_secs(scale.seconds)),
            Part::Debit => self.debits(self.wallets.ids.len(), scale),
            Part::DebitOne => self.debits(1, scale),
        };
        let done = std::thread::scope(|scope| scope.spawn(work).join());
        done.unwrap_or_else(|_| Err("the clients panicked".to_owned()))
    }

    fn reads(&self, connections: usize, lasts: Duration) -> Result<f64, String> {
        let (key, ids) = (Arc::clone(&self.wallets.key), Arc::clone(&self.wallets.ids));
        let load =
            Load { address: self.address, key, ids, connections, seen: Seen::Forgotten, lasts };
        Load { lasts: WARM_UP, ..load.clone() }.run()?;
        load.run().map(|done| done.per_second)
    }

    fn debits(&self, among: usize, scale: &Scale) -> Result<f64, String> {
        let lasts = Duration::from_secs(scale.seconds);
        let slice = |clients, lasts| Slice::new(clients, lasts, among, &self.numbers);
        runtime()?.block_on(async {
            let warm_up = slice(WARM_UP_CLIENTS, WARM_UP).in_turn();
            over_http::load(&warm_up, self.address, &self.wallets).await?;
            let slice = slice(scale.clients, lasts);
            let done = over_http::load(&slice, self.address, &self.wallets).await?;
            Ok(done.per_second)
        })
    }
}
