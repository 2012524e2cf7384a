//! The load: callers on keep-alive connections, all on one thread, since they share the cores with
//! what is measured. So requests are bytes that are ready, and of an answer only the status, the
//! length and `Purser-Seen` are read.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::pick;

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

/// One keep-alive connection.
pub struct Asker {
    stream: TcpStream,
    /// The head, where in it the id stands, and how much of it is the same in every request.
    request: Vec<u8>,
    id: Range<usize>,
    fixed: usize,
    answer: Vec<u8>,
    /// By person, where it is kept.
    tokens: Option<HashMap<String, Vec<u8>>>,
}

impl Asker {
    pub async fn connect(address: SocketAddr, key: &str, seen: Seen) -> Result<Self, String> {
        let lost = |error: std::io::Error| format!("{address}: {error}");
        let stream = TcpStream::connect(address).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let before = "GET /v1/users/";
        let id = before.len()..before.len() + 24;
        let request = format!(
            "{before}{:024} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n",
            0
        );
        let request = request.into_bytes();
        let fixed = request.len();
        let tokens = (seen == Seen::Kept).then(HashMap::new);
        Ok(Self { stream, request, id, fixed, answer: Vec::new(), tokens })
    }

    /// Reads one person; how many bytes the body had.
    pub async fn read(&mut self, id: &str) -> Result<usize, String> {
        self.write(id);
        let lost = |error: std::io::Error| format!("a server did not answer: {error}");
        self.stream.write_all(&self.request).await.map_err(lost)?;
        self.answer.clear();
        let head = loop {
            if let Some(head) = Head::parse(&self.answer)?
                && self.answer.len() >= head.bytes + head.body
            {
                break head;
            }
            if self.stream.read_buf(&mut self.answer).await.map_err(lost)? == 0 {
                return Err("a server closed the connection".to_owned());
            }
        };
        if head.status != 200 {
            let answer = String::from_utf8_lossy(&self.answer).into_owned();
            return Err(format!("a server refused to be measured: {answer}"));
        }
        if let (Some(tokens), Some(seen)) = (&mut self.tokens, head.seen) {
            let token = &self.answer[seen];
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

/// What matters of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    bytes: usize,
    body: usize,
    /// Where the value of `Purser-Seen` stands.
    seen: Option<Range<usize>>,
}

impl Head {
    /// `None` while it is not complete.
    fn parse(answer: &[u8]) -> Result<Option<Self>, String> {
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let odd = || "a server answered something that is no HTTP".to_owned();
        let status = answer.get(9..12).and_then(number).ok_or_else(odd)?;
        let status = u16::try_from(status).map_err(|_| odd())?;
        let mut head = Self { status, bytes: end + 4, body: 0, seen: None };
        let mut at = 0;
        while at < end {
            let line = &answer[at..end];
            let length = line.windows(2).position(|two| two == b"\r\n").unwrap_or(line.len());
            let line = &line[..length];
            if let Some(value) = value(line, "content-length:") {
                head.body = number(&line[value]).ok_or_else(odd)?;
            } else if let Some(value) = value(line, "purser-seen:") {
                head.seen = Some(at + value.start..at + value.end);
            }
            at += length + 2;
        }
        Ok(Some(head))
    }
}

/// Where the value of the header stands in its line.
fn value(line: &[u8], name: &str) -> Option<Range<usize>> {
    let is = line.get(..name.len())?.eq_ignore_ascii_case(name.as_bytes());
    let blanks = line[name.len()..].iter().take_while(|byte| **byte == b' ').count();
    is.then_some(name.len() + blanks..line.len())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_the_status_the_length_and_what_was_seen_are_read() {
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nPurser-Seen:  abc.1\r\n\
            Content-Length: 2\r\n\r\n{}";
        let head = Head::parse(answer).expect("HTTP").expect("complete");

        assert_eq!((head.status, head.body, head.bytes), (200, 2, answer.len() - 2));
        assert_eq!(&answer[head.seen.expect("seen")], b"abc.1");
    }

    #[test]
    fn an_answer_without_a_body_has_none() {
        let answer = b"HTTP/1.1 304 Not Modified\r\n\r\n";
        let head = Head { status: 304, bytes: answer.len(), body: 0, seen: None };

        assert_eq!(Head::parse(answer), Ok(Some(head)));
    }

    #[test]
    fn a_head_is_read_only_once_it_is_complete() {
        let answer = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 10\r\n\r\n";
        for end in 0..answer.len() {
            assert_eq!(Head::parse(&answer[..end]), Ok(None), "{end} bytes");
        }
        assert!(Head::parse(answer).expect("HTTP").is_some());
    }

    #[test]
    fn what_is_no_http_is_told() {
        for answer in [
            "\r\n\r\n",
            "hello, this is SMTP\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        ] {
            assert!(Head::parse(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
