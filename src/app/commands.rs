//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use super::audit::{self, Audit};
use super::bench;
use super::build::{self, Purser, StopBy, job};
use super::keys::{self, Keys};
use super::modules::{self, Modules};
use super::seed;
use crate::access::address::Network;
use crate::apps::{self, NewOperator, OperatorRole};
use crate::config::{self, Config};
use crate::kernel::chance::Chance;
use crate::kernel::ids::OperatorId;
use crate::kernel::text;
use crate::kernel::time::Clock;
use crate::store;

/// One record per person for all the apps of a company.
#[derive(Parser)]
#[command(name = "purser", version)]
struct CommandLine {
    /// A configuration file; `src/config/defaults.toml` documents every key. Environment:
    /// `PURSER__SECTION__KEY`, and `…_FILE` for secrets.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or Ctrl-C; what was accepted is finished.
    Serve,
    /// Create collections, validators, indexes and built-in modules; safe to repeat.
    Migrate {
        /// Only say what would be done.
        #[arg(long)]
        plan: bool,
        /// Make the roles of the MongoDB users that serve and migrate, and nothing else; for a user
        /// who may make roles.
        #[arg(long, conflicts_with = "plan")]
        roles: bool,
    },
    /// Load the demo: apps, people and operators. Safe to repeat.
    Seed(seed::Options),
    /// Admins and auditors of Purser.
    #[command(subcommand)]
    Operators(Operators),
    /// The master keys that everything secret is sealed under.
    #[command(subcommand)]
    Keys(Keys),
    /// The trail: verify it, export it.
    #[command(subcommand)]
    Audit(Audit),
    /// The registry of modules.
    #[command(subcommand)]
    Modules(Modules),
    /// Measure on this machine.
    #[command(subcommand)]
    Bench(bench::Bench),
}

#[derive(Subcommand)]
enum Operators {
    /// Create an operator and print its key, once.
    Create {
        #[arg(long, value_enum)]
        role: OperatorRole,
        /// Who it is, as `purser operators list` shows it.
        #[arg(long, default_value = "operator")]
        name: String,
        /// Show this operator personal values in the trail.
        #[arg(long)]
        auditor_pii: bool,
        /// How long the key lives.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=90))]
        days: u16,
        /// An address or network that the key may be used from; may be repeated. Everywhere,
        /// unless given.
        #[arg(long = "allowed-ip", value_parser = network)]
        allowed_ips: Vec<Network>,
    },
    /// All operators, the newest first.
    List,
    /// Refuse an operator's key from now on.
    Revoke {
        /// The operator's id, as `create` and `list` print it.
        id: OperatorId,
    },
}

/// Runs what the command line says.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    match execute(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("purser: {message}");
            ExitCode::FAILURE
        }
    }
}

fn execute(line: CommandLine) -> Result<(), String> {
    if let Command::Audit(command) = &line.command
        && let Some(done) = audit::without_database(command)
    {
        return done;
    }
    let config = Config::load(line.config.as_deref(), config::environment());
    let mut config = config.map_err(|error| error.to_string())?;
    if matches!(line.command, Command::Bench(_)) {
        config.store.database.push_str("_bench");
    }
    let runtime = build::runtime(&config)?;
    let purser = Purser::assemble(config, &runtime, Clock::system(), Chance::from_os()?)?;
    let done = match line.command {
        Command::Serve => serve(&purser),
        Command::Migrate { roles: true, .. } => runtime.block_on(roles(&purser)),
        Command::Migrate { plan, .. } => runtime.block_on(migrate(&purser, plan)),
        Command::Seed(options) => with_database(&runtime, &purser, seed::run(&purser, &options)),
        Command::Operators(command) => {
            with_database(&runtime, &purser, operators(&purser, command))
        }
        Command::Audit(command) => with_database(&runtime, &purser, audit::run(&purser, command)),
        Command::Modules(command) => {
            with_database(&runtime, &purser, modules::run(&purser, command))
        }
        Command::Keys(command) => with_database(&runtime, &purser, keys::run(&purser, command)),
        Command::Bench(bench) => bench::run(&purser, &runtime, &bench, line.config.as_deref()),
    };
    runtime.block_on(purser.store.drain());
    // The process ends here: taking the runtime apart would only end the driver's tasks in an order
    // that they do not expect.
    std::mem::forget(runtime);
    done
}

fn with_database<T>(
    runtime: &Runtime,
    purser: &Purser,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    runtime.block_on(async {
        purser.check().await?;
        work.await
    })
}

fn serve(purser: &Purser) -> Result<(), String> {
    purser.runtime.block_on(purser.check())?;
    build::serve(purser, StopBy::Signals, |listening| {
        tracing::info!(address = %listening.address, "listening");
    })
}

async fn roles(purser: &Purser) -> Result<(), String> {
    for done in purser.store.make_roles().await? {
        println!("{done}");
    }
    println!("{}", store::advice(&purser.config.store.database));
    Ok(())
}

async fn migrate(purser: &Purser, plan: bool) -> Result<(), String> {
    if plan {
        let plan = purser.store.plan().await?;
        plan.lines().for_each(|line| println!("would {line}"));
        if plan.is_empty() {
            println!("nothing to do");
        }
        return Ok(());
    }
    let done = purser.migrate().await?;
    for line in &done {
        println!("{line}");
    }
    println!("the database is up to date");
    Ok(())
}

fn network(text: &str) -> Result<Network, String> {
    Network::parse(text).ok_or_else(|| "an IP address or a network, as 192.0.2.0/24".to_owned())
}

async fn operators(purser: &Purser, command: Operators) -> Result<(), String> {
    let fault = |fault: crate::kernel::fault::Fault| fault.to_string();
    match command {
        Operators::Create { role, name, auditor_pii, days, allowed_ips } => {
            let name = text::line(&name, 100).map_err(|accepted| format!("--name: {accepted}"))?;
            let grant = purser.gate.itself(job("command_line"), purser.context());
            let allowed_ips = allowed_ips.iter().map(Network::to_string).collect();
            let new = NewOperator { name, role, auditor_pii, days, allowed_ips };
            let (id, key) =
                apps::create_operator(&grant, &purser.store, new).await.map_err(fault)?;
            eprintln!("operator {id}; its key is shown this once:");
            println!("{}", key.expose());
            Ok(())
        }
        Operators::List => {
            let grant = purser.gate.itself(job("command_line"), purser.context());
            for operator in apps::list_operators(&grant, &purser.store).await.map_err(fault)? {
                println!("{operator}");
            }
            Ok(())
        }
        Operators::Revoke { id } => {
            let grant = purser.gate.itself(job("command_line"), purser.context());
            apps::revoke_operator(&grant, &purser.store, id).await.map_err(fault)?;
            println!("operator {id} is revoked");
            Ok(())
        }
    }
}
