//! The servers that are measured: processes started from this binary, each with two workers.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use actix_web::web::{self, Data};
use actix_web::{App as Actix, HttpResponse, HttpServer};
use bson::doc;
use bson::oid::ObjectId;
use clap::{Args, ValueEnum};
use mongodb::Collection;
use serde::Serialize;
use tokio::runtime::Handle;

use super::process::Process;
use super::raw;
use crate::app::build::{self, Purser, StopBy};
use crate::app::bulk;
use crate::config::Level;
use crate::users::{Connection, User};

const WORKERS: usize = 2;
/// Longer than any bench: an idle connection is to stay.
const KEEP_ALIVE_SECONDS: u64 = 3_600;

#[derive(Args)]
pub struct Options {
    #[arg(value_enum)]
    pub what: What,
    /// How long the constant is.
    #[arg(long, default_value_t = 0)]
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    Purser,
    /// The same two finds by the raw driver, as typed documents, answered as JSON; nobody is asked
    /// who they are.
    Bare,
    /// An answer that is there already.
    Constant,
}

/// Serves until it is killed. The address is its first line.
pub fn serve(purser: &Purser, options: &Options) -> Result<(), String> {
    let told = |address: SocketAddr| println!("{address}");
    match options.what {
        What::Purser => build::serve(purser, StopBy::Signals, |listening| told(listening.address)),
        What::Bare => {
            let database = purser.runtime.block_on(raw(purser))?;
            let both = Data::new(Both {
                users: database.collection("users"),
                ties: database.collection("user_apps"),
                runtime: purser.runtime.clone(),
            });
            listen(told, move |config| {
                config.app_data(both.clone()).route(PATH, web::get().to(answer_both));
            })
        }
        What::Constant => {
            let constant = Data::new("x".repeat(options.bytes));
            listen(told, move |config| {
                config.app_data(constant.clone()).route(PATH, web::get().to(answer_constant));
            })
        }
    }
}

const PATH: &str = "/v1/users/{user}";

fn listen(
    told: impl FnOnce(SocketAddr),
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> Result<(), String> {
    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(move || Actix::new().configure(routes.clone()));
        let server = server.workers(WORKERS).keep_alive(Duration::from_secs(KEEP_ALIVE_SECONDS));
        let server = server.bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        if let Some(address) = server.addrs().first() {
            told(*address);
        }
        server.run().await.map_err(|error| error.to_string())
    })
}

struct Both {
    users: Collection<User>,
    ties: Collection<Connection>,
    runtime: Handle,
}

#[derive(Serialize)]
struct Found {
    shared: User,
    app_specific: Connection,
}

/// The whole of the two queries is spawned on the driver's runtime: of the ways to call the driver
/// from a worker of actix this is the fastest one.
async fn answer_both(path: web::Path<String>, both: Data<Both>) -> HttpResponse {
    let Ok(id) = ObjectId::parse_str(path.as_str()) else {
        return HttpResponse::BadRequest().finish();
    };
    let (users, ties) = (both.users.clone(), both.ties.clone());
    let found = both.runtime.spawn(async move {
        let shared = users.find_one(doc! { "_id": id }).await.ok()??;
        let tie = doc! { "user_id": id, "app_id": bulk::APP };
        let mut app_specific = ties.find_one(tie).await.ok()??;
        app_specific.drop_key();
        Some(Found { shared, app_specific })
    });
    match found.await {
        Ok(Some(found)) => HttpResponse::Ok().json(found),
        _ => HttpResponse::InternalServerError().finish(),
    }
}

async fn answer_constant(constant: Data<String>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(constant.as_str().to_owned())
}

/// How a Purser is started besides.
pub struct Settings<'a> {
    pub node: &'a str,
    pub level: Level,
    /// Configuration keys, as in the environment.
    pub more: Vec<(&'a str, String)>,
}

/// A server in a process of its own, killed when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
}

impl Server {
    pub fn start(
        options: &Options,
        settings: &Settings<'_>,
        file: Option<&Path>,
    ) -> Result<Self, String> {
        let mut command = Command::new("/proc/self/exe");
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        let what = options.what.to_possible_value();
        let what = what.as_ref().map_or("purser", |what| what.get_name());
        command.args(["bench", "serve", what, "--bytes", &options.bytes.to_string()]);
        command
            .env("PURSER__SERVER__BIND", "127.0.0.1")
            .env("PURSER__SERVER__PORT", "0")
            .env("PURSER__METRICS__PORT", "0")
            .env("PURSER__SERVER__NODE", settings.node)
            .env("PURSER__SERVER__WORKERS", WORKERS.to_string())
            .env("PURSER__SERVER__KEEP_ALIVE_SECONDS", KEEP_ALIVE_SECONDS.to_string())
            .env("PURSER__LOG__LEVEL", settings.level.as_str())
            .envs(settings.more.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // Lines about each request would fill the screen; writing them costs the same.
        if matches!(settings.level, Level::Info | Level::Debug | Level::Trace) {
            command.stderr(Stdio::null());
        }
        let mut child = command.spawn().map_err(|error| format!("no server starts: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let Ok(address) = line.trim().parse() else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("the server `{what}` did not start"));
        };
        Ok(Self { address, child })
    }

    pub fn process(&self) -> Process {
        Process::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
