//! Pages of the trail over HTTP: the first one, and one far behind it, in turns.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::median;
use super::super::socket::Socket;

/// Entries of a page that is measured.
const PAGE: usize = 50;
/// Of one on the way to it.
const STRIDE: usize = 200;
/// The page that is compared with the first.
const DEEP: usize = 1_000;
/// Requests of each kind in a round: an operator has 6,000 in a minute.
const IN_A_ROUND: usize = 40;
const ROUNDS: usize = 7;

/// What a page must cost at any depth, over what the first one does.
pub const FACTOR_WANTED: f64 = 1.2;

/// One question, and where its pages are.
pub struct Case {
    pub name: &'static str,
    first: String,
    deep: String,
    /// Entries before the deep page.
    depth: usize,
}

/// By depth: of each request, round by round.
pub struct Measured {
    pub first: Times,
    pub deep: Times,
    pub factor: f64,
    pub depth: usize,
}

pub struct Times {
    pub p50: Duration,
    pub p99: Duration,
}

pub struct Reader {
    socket: Socket,
    address: SocketAddr,
    key: String,
}

impl Reader {
    pub async fn connect(address: SocketAddr, key: &str) -> Result<Self, String> {
        Ok(Self { socket: Socket::connect(address).await?, address, key: key.to_owned() })
    }

    /// `filter` of `GET /v1/audit/logs`; the way to the deep page is gone by its cursors.
    pub async fn case(&mut self, name: &'static str, filter: &str) -> Result<Case, String> {
        let path =
            |limit: usize, cursor: &str| format!("/v1/audit/logs?limit={limit}{filter}{cursor}");
        let (mut depth, mut cursor) = (0, String::new());
        let wanted = (DEEP - 1) * PAGE;
        while depth < wanted {
            let stride = if wanted - depth >= STRIDE { STRIDE } else { PAGE };
            let page = self.page(&path(stride, &cursor)).await?;
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            depth += stride;
        }
        Ok(Case { name, first: path(PAGE, ""), deep: path(PAGE, &cursor), depth })
    }

    /// By leaf: the deep page is that of a number.
    pub fn by_leaf(name: &'static str, depth: usize) -> Case {
        let path = |from: usize| format!("/v1/audit/leaves?limit={PAGE}&from={from}");
        Case { name, first: path(0), deep: path(depth), depth }
    }

    /// Round after round, in turns, so that whatever else the machine does meets both alike.
    pub async fn measure(&mut self, cases: &[Case]) -> Result<Vec<Measured>, String> {
        let mut all: Vec<(Vec<Round>, Vec<Round>)> =
            cases.iter().map(|_| (Vec::new(), Vec::new())).collect();
        for round in 0..=ROUNDS {
            for (case, (firsts, deeps)) in cases.iter().zip(&mut all) {
                let (mut first, mut deep) = (Vec::new(), Vec::new());
                for _ in 0..IN_A_ROUND {
                    first.push(self.took(&case.first).await?);
                    deep.push(self.took(&case.deep).await?);
                }
                // The first round only warms up.
                if round > 0 {
                    firsts.push(first);
                    deeps.push(deep);
                }
            }
        }
        let measured = cases.iter().zip(all);
        Ok(measured.map(|(case, (first, deep))| Measured::of(case.depth, &first, &deep)).collect())
    }

    async fn took(&mut self, path: &str) -> Result<Duration, String> {
        let request = self.request(path);
        let asked = Instant::now();
        self.socket.ask(request.as_bytes(), 200).await?;
        Ok(asked.elapsed())
    }

    async fn page(&mut self, path: &str) -> Result<Value, String> {
        let request = self.request(path);
        let head = self.socket.ask(request.as_bytes(), 200).await?;
        let body = &self.socket.answer()[head.bytes..];
        serde_json::from_slice(body).map_err(|_| "a page is no JSON".to_owned())
    }

    fn request(&self, path: &str) -> String {
        let Self { address, key, .. } = self;
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n")
    }
}

type Round = Vec<Duration>;

impl Measured {
    fn of(depth: usize, first: &[Round], deep: &[Round]) -> Self {
        let middle = |round: &Round| Times::of(round.clone()).p50.as_secs_f64();
        let factors = first.iter().zip(deep).map(|(first, deep)| middle(deep) / middle(first));
        let factor = median(factors.collect());
        let (first, deep) = (Times::of(first.concat()), Times::of(deep.concat()));
        Self { first, deep, factor, depth }
    }
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        Self { p50: at(50), p99: at(99) }
    }
}
