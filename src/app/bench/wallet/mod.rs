//! Audited debits, side by side: what the raw driver does with a transaction for each (`naive`), what
//! Purser's write path does, and what arrives over HTTP (`over_http`); for several numbers of clients,
//! and for users who are many, fewer, or one.
//!
//! All sides debit the same people, by the same amount with the same note, each debit under an
//! Idempotency-Key of its own. They take turns in each round, and each is warmed up before it counts.
//! None of them runs, or listens to changes, while another is measured. Over HTTP what is written is
//! sealed meanwhile, and what the others have left is sealed before. In the end every wallet is
//! compared with its ledger (`ledger`).
//!
//! To add a side: a variant of `Side` with its name, and how it is measured in `Contest::round`.

mod bank;
pub mod beside;
mod ledger;
mod naive;
mod over_http;
mod plot;
mod report;
pub mod sample;
mod slice;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::Document;
use clap::{Args, ValueEnum};
use mongodb::Database;

use super::load::runtime;
use super::process::Process;
use super::servers::{Options, Server, Settings, What};
use crate::access::cursor::Repetition;
use crate::access::gate::Gate;
use crate::access::principal::Repeatable;
use crate::app::build::Purser;
use crate::audit::entry::Entry;
use crate::config::Level;
use crate::config::trail::Sequencer;
use crate::http::json;
use crate::kernel::credits::Credits;
use crate::kernel::fault::Fault;
use crate::modules::wallet::{self, Note, Terms};
use crate::store::{LEAVES, Parts, Store};
use bank::{AMOUNT, Bank, DESCRIPTION, METHOD, ROUTE};
use naive::{Naive, Retry};
use report::{Measured, Results};
use slice::{Done, Ended, Numbers, Slice, Turn, load};

#[derive(Args)]
pub struct Scale {
    /// People to choose from.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Interleaved rounds; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each side in each round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Clients at one time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 256])]
    clients: Vec<usize>,
    /// Whose wallets.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Spread::ALL)]
    spreads: Vec<Spread>,
    /// Who is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Side::ALL)]
    sides: Vec<Side>,
    /// Draw what was measured into this file, as SVG.
    #[arg(long)]
    plot: Option<PathBuf>,
}

/// Whose wallets are debited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Spread {
    /// Random ones of all.
    All,
    /// Random ones of a thousand.
    Thousand,
    /// One that everybody wants.
    Hot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// A transaction for each debit by the raw driver, which is tried again at once.
    Naive,
    /// The same with the pauses of the driver's own loop; only for the one user, where they matter.
    Pauses,
    /// The same at once, the clients of this process taking turns at a user; only for the one user.
    Mutex,
    /// Purser's write path, without HTTP.
    WritePath,
    /// Purser over HTTP.
    Http,
}

/// What is measured at one time, but for the side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub spread: Spread,
    pub clients: usize,
}

/// Before what counts: connections are opened, and Purser meets the people.
const WARM_UP: Duration = Duration::from_secs(3);
const WARM_UP_CLIENTS: usize = 64;
const SEALED_WITHIN: Duration = Duration::from_secs(120);

pub async fn run(
    purser: &Purser,
    database: &Database,
    scale: &Scale,
    file: Option<&Path>,
) -> Result<(), String> {
    let contest = Contest::open(purser, database, scale, file).await?;
    let mut results = Results::default();
    for round in 1..=scale.rounds {
        for cell in scale.cells() {
            for side in scale.sides.iter().filter(|side| side.runs_in(cell.spread)) {
                let measured = contest.round(*side, cell).await;
                let measured = measured.map_err(|e| format!("{}: {e}", side.name()))?;
                let (spread, clients) = (cell.spread.name(), cell.clients);
                eprintln!("round {round}, {spread}, {clients} clients: {} {measured}", side.name());
                results.add(cell, *side, measured);
            }
        }
    }
    println!("{}", results.table(scale));
    ledger::check(database, contest.numbers.done()).await?;
    if let Some(plot) = &scale.plot {
        let drawn = std::fs::write(plot, plot::draw(&results, scale));
        drawn.map_err(|error| format!("{}: {error}", plot.display()))?;
    }
    results.verdict()
}

impl Scale {
    fn cells(&self) -> impl Iterator<Item = Cell> {
        let cell =
            |spread| self.clients.iter().map(move |clients| Cell { spread, clients: *clients });
        self.spreads.iter().flat_map(move |spread| cell(*spread))
    }
}

impl Spread {
    const ALL: [Self; 3] = [Self::All, Self::Thousand, Self::Hot];

    pub fn name(self) -> &'static str {
        match self {
            Self::All => "random users",
            Self::Thousand => "1,000 users",
            Self::Hot => "one hot user",
        }
    }

    fn among(self, all: usize) -> usize {
        match self {
            Self::All => all,
            Self::Thousand => all.min(1000),
            Self::Hot => 1,
        }
    }
}

impl Side {
    pub const ALL: [Self; 5] =
        [Self::Naive, Self::Pauses, Self::Mutex, Self::WritePath, Self::Http];

    pub fn name(self) -> &'static str {
        match self {
            Self::Naive => "transaction each",
            Self::Pauses => "… with pauses",
            Self::Mutex => "… with a mutex",
            Self::WritePath => "write path",
            Self::Http => "over HTTP",
        }
    }

    fn runs_in(self, spread: Spread) -> bool {
        match self {
            Self::Naive | Self::WritePath | Self::Http => true,
            Self::Pauses | Self::Mutex => spread == Spread::Hot,
        }
    }
}

/// What all rounds have in common.
struct Contest {
    purser: Purser,
    bank: Arc<Bank>,
    naive: Naive,
    database: Database,
    numbers: Arc<Numbers>,
    mongod: Option<Process>,
    lasts: Duration,
    file: Option<PathBuf>,
}

impl Contest {
    async fn open(
        purser: &Purser,
        database: &Database,
        scale: &Scale,
        file: Option<&Path>,
    ) -> Result<Self, String> {
        let bank = Arc::new(Bank::open(purser, database, scale.users).await?);
        let numbers = Arc::new(Numbers::default());
        let lasts = Duration::from_secs(scale.seconds);
        // One debit by Purser is the sample of all others.
        let first = Slice::new(1, lasts, 1, &numbers).begin();
        let asked = Instant::now();
        let turn = first.next().ok_or("the first debit came too late")?;
        debit(&purser.gate, &purser.store, &bank, turn).await.map_err(|fault| fault.to_string())?;
        first.note(&mut slice::Times::default(), asked);
        // Else this Purser would go on listening to what the others change.
        purser.store.drain().await;
        let (uri, name) = (purser.config.store.uri.expose(), &purser.config.store.database);
        let (clock, chance) = (purser.clock.clone(), purser.chance.clone());
        let naive = Naive::connect(uri, name, &bank, clock, chance).await?;
        let mongod = Process::of_mongod(database).await;
        let (purser, file) = (purser.clone(), file.map(Path::to_path_buf));
        let database = database.clone();
        Ok(Self { purser, bank, naive, database, numbers, mongod, lasts, file })
    }

    async fn round(&self, side: Side, cell: Cell) -> Result<Measured, String> {
        let among = cell.spread.among(self.bank.holders.len());
        let slice = Slice::new(cell.clients, self.lasts, among, &self.numbers);
        let warm_up = Slice::new(WARM_UP_CLIENTS, WARM_UP, among, &self.numbers).in_turn();
        match side {
            Side::Naive => self.naive(&warm_up, &slice, Retry::AtOnce).await,
            Side::Pauses => self.naive(&warm_up, &slice, Retry::WithPauses).await,
            Side::Mutex => self.naive(&warm_up, &slice, Retry::InTurns).await,
            Side::WritePath => self.write_path(&warm_up, &slice).await,
            Side::Http => self.http(warm_up, slice).await,
        }
    }

    async fn naive(
        &self,
        warm_up: &Slice,
        slice: &Slice,
        retry: Retry,
    ) -> Result<Measured, String> {
        let naive = self.naive.clone();
        let work = move |turn| {
            let naive = naive.clone();
            async move { naive.debit(turn, retry).await }
        };
        load(warm_up, work.clone()).await?;
        let scales = Scales::set(Process::this(), self.mongod);
        Ok(scales.read(load(slice, work).await?))
    }

    async fn write_path(&self, warm_up: &Slice, slice: &Slice) -> Result<Measured, String> {
        let (store, gate, bank) = (self.store().await?, self.purser.gate.clone(), &self.bank);
        let (bank, lent) = (Arc::clone(bank), store.clone());
        let work = move |turn| {
            let (store, gate, bank) = (lent.clone(), gate.clone(), Arc::clone(&bank));
            async move {
                let done = debit(&gate, &store, &bank, turn).await;
                done.map(|()| Ended::Done).map_err(|fault| fault.to_string())
            }
        };
        load(warm_up, work.clone()).await?;
        let scales = Scales::set(Process::this(), self.mongod);
        let measured = scales.read(load(slice, work).await?);
        store.drain().await;
        Ok(measured)
    }

    /// One that lives for its turn alone, as the server does.
    async fn store(&self) -> Result<Store, String> {
        let Purser { config, store, chance, clock, runtime, .. } = &self.purser;
        let keyring = Arc::new(store.keyring().clone());
        let (runtime, chance, clock) = (runtime.clone(), chance.clone(), clock.clone());
        let parts = Parts { runtime, keyring, chance, clock, node: "bench".to_owned() };
        Store::connect(&config.store, parts).await
    }

    async fn http(&self, warm_up: Slice, slice: Slice) -> Result<Measured, String> {
        let (wallets, mongod, file) = (self.bank.wallets(), self.mongod, self.file.clone());
        let (database, config) = (self.database.clone(), &self.purser.config);
        let seals = config.trail.sequencer == Sequencer::On;
        let measured = tokio::task::spawn_blocking(move || {
            let options = Options { what: What::Purser, bytes: 0 };
            let settings = Settings { node: "bench", level: Level::Warn, more: Vec::new() };
            let server = Server::start(&options, &settings, file.as_deref())?;
            runtime()?.block_on(async {
                if seals {
                    caught_up(&database).await?;
                }
                over_http::load(&warm_up, server.address, &wallets).await?;
                let scales = Scales::set(server.process(), mongod);
                Ok(scales.read(over_http::load(&slice, server.address, &wallets).await?))
            })
        });
        measured.await.map_err(|_| "the clients panicked")?
    }
}

/// Until the server has sealed what the other sides have written: it pays for its own entries only.
async fn caught_up(database: &Database) -> Result<(), String> {
    let count = async |name: &str| {
        let counted = database.collection::<Document>(name).estimated_document_count().await;
        counted.map_err(|error| format!("counting {name}: {error}"))
    };
    let until = Instant::now() + SEALED_WITHIN;
    while Instant::now() < until {
        if count(LEAVES).await? == count(Entry::COLLECTION).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the trail was not sealed in time".to_owned())
}

/// As a handler does it, after the gate.
async fn debit(gate: &Gate, store: &Store, bank: &Bank, turn: Turn) -> Result<(), Fault> {
    let holder = &bank.holders[turn.person];
    let idempotency = gate.idempotency(&Repetition {
        scope: holder.grant.scope(),
        place: &holder.user.to_string(),
        key: &bank::key(turn.number),
        method: METHOD,
        route: ROUTE,
        parameters: &holder.path,
        body: &json::canonical(&bank::body()),
    });
    let grant = holder.grant.repeated(Repeatable(Some(idempotency)));
    let amount = Credits::new(AMOUNT).expect("a whole number of credits");
    let note = Note { description: Some(DESCRIPTION.to_owned()), ..Note::default() };
    let terms = Terms { note, ..Terms::default() };
    wallet::debit(&grant, store, amount, terms).await.map(drop)
}

/// What the processes had used when the slice began.
struct Scales {
    own: (Process, Duration),
    mongod: Option<(Process, Duration)>,
}

impl Scales {
    fn set(own: Process, mongod: Option<Process>) -> Self {
        let used = |process: Process| (process, process.cpu());
        Self { own: used(own), mongod: mongod.map(used) }
    }

    fn read(&self, done: Done) -> Measured {
        let debits = u32::try_from(done.debits.max(1)).unwrap_or(u32::MAX);
        let each =
            |(process, before): (Process, Duration)| process.cpu().saturating_sub(before) / debits;
        Measured { done, mongod: self.mongod.map(each), own: each(self.own) }
    }
}
