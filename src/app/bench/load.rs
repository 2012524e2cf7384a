//! The load of readers: callers on keep-alive connections (`socket`), all on one thread, since they
//! share the cores with what is measured.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::pick;
use super::socket::Socket;

/// Who asks a server for whom, and for how long.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub key: Arc<str>,
    pub ids: Arc<[String]>,
    pub connections: usize,
    pub seen: Seen,
    pub lasts: Duration,
}

/// What becomes of the `Purser-Seen` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is sent with the next request for the same person.
    Kept,
    Forgotten,
}

/// What a server has done under a load.
pub struct Done {
    pub per_second: f64,
    pub requests: usize,
    pub p50: Duration,
    pub p99: Duration,
}

impl Load {
    /// Blocks this thread. An answer other than 200 ends it: what is refused is quick.
    pub fn run(&self) -> Result<Done, String> {
        runtime()?.block_on(async {
            let started = Instant::now();
            let mut callers = JoinSet::new();
            for number in 0..self.connections {
                callers.spawn(call(self.clone(), number, started + self.lasts));
            }
            let mut times = Vec::new();
            while let Some(done) = callers.join_next().await {
                times.extend(done.map_err(|_| "a caller panicked")??);
            }
            Ok(Done::of(times, started.elapsed()))
        })
    }
}

pub fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| format!("no runtime for the load: {error}"))
}

impl Done {
    fn of(mut times: Vec<Duration>, lasted: Duration) -> Self {
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let per_second = times.len() as f64 / lasted.as_secs_f64();
        Self { per_second, requests: times.len(), p50: at(50), p99: at(99) }
    }
}

async fn call(load: Load, number: usize, until: Instant) -> Result<Vec<Duration>, String> {
    let mut caller = Asker::connect(load.address, &load.key, load.seen).await?;
    let mut times = Vec::new();
    let mut turn = number;
    loop {
        let asked = Instant::now();
        if asked >= until {
            return Ok(times);
        }
        caller.read(&load.ids[pick(turn, load.ids.len())]).await?;
        times.push(asked.elapsed());
        turn += load.connections;
    }
}

/// Reads people on one keep-alive connection.
pub struct Asker {
    socket: Socket,
    /// The head, where in it the id stands, and how much of it is the same in every request.
    request: Vec<u8>,
    id: Range<usize>,
    fixed: usize,
    /// By person, where it is kept.
    tokens: Option<HashMap<String, Vec<u8>>>,
}

impl Asker {
    pub async fn connect(address: SocketAddr, key: &str, seen: Seen) -> Result<Self, String> {
        let before = "GET /v1/users/";
        let id = before.len()..before.len() + 24;
        let request = format!(
            "{before}{:024} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n",
            0
        );
        let request = request.into_bytes();
        let fixed = request.len();
        let tokens = (seen == Seen::Kept).then(HashMap::new);
        Ok(Self { socket: Socket::connect(address).await?, request, id, fixed, tokens })
    }

    /// Reads one person; how many bytes the body had.
    pub async fn read(&mut self, id: &str) -> Result<usize, String> {
        self.write(id);
        let head = self.socket.ask(&self.request, 200).await?;
        if let (Some(tokens), Some(seen)) = (&mut self.tokens, head.seen) {
            let token = &self.socket.answer()[seen];
            match tokens.get_mut(id) {
                Some(kept) => {
                    kept.clear();
                    kept.extend_from_slice(token);
                }
                None => drop(tokens.insert(id.to_owned(), token.to_vec())),
            }
        }
        Ok(head.body)
    }

    fn write(&mut self, id: &str) {
        self.request[self.id.clone()].copy_from_slice(id.as_bytes());
        self.request.truncate(self.fixed);
        if let Some(token) = self.tokens.as_ref().and_then(|tokens| tokens.get(id)) {
            self.request.extend_from_slice(b"Purser-Seen: ");
            self.request.extend_from_slice(token);
            self.request.extend_from_slice(b"\r\n");
        }
        self.request.extend_from_slice(b"\r\n");
    }
}
