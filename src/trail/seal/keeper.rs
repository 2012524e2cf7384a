//! Somebody else, who keeps checkpoints: an address that takes them, and may give back what it keeps.
//!
//! Handing over holds nobody up. Whoever signs leaves the newest checkpoint in one place (`Handed`); a
//! worker takes it from there, and what it could not hand over it tries again until there is a newer one.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use ureq::Agent;

use crate::kernel::secret::Secret;
use crate::kernel::time::{SECOND_MS, Timestamp};

/// For all of it: finding the address, connecting, sending, being answered.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// A checkpoint has a few hundred; this is what `docs/trail.md` allows.
const NOTE_BYTES_MAX: u64 = 65_536;
/// Of an answer to a push, of which nothing is kept.
const ANSWER_BYTES_MAX: u64 = 65_536;
const ELSEWHERE: &str = "it pointed to another address";

/// Over HTTPS, where it is not this machine itself.
#[derive(Clone)]
pub struct Keeper {
    url: String,
    token: Secret<String>,
    agent: Agent,
}

impl Keeper {
    /// `url` is one that the configuration has accepted; without a token nothing is said of who asks.
    pub fn new(url: &str, token: &Secret<String>, timeout: Duration) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(timeout))
            // A token is for this address, and for no other that it points to.
            .max_redirects(0)
            // Where it goes is said by the configuration alone.
            .proxy(None)
            .user_agent(concat!("purser/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { url: url.to_owned(), token: token.clone(), agent: agent.into() }
    }

    /// Blocks. What went wrong is told without the address, which may be nobody's business.
    pub fn hand_over(&self, note: &str) -> Result<(), String> {
        let mut request =
            self.agent.post(&self.url).header("Content-Type", "text/plain; charset=utf-8");
        if let Some(bearer) = self.bearer() {
            request = request.header("Authorization", bearer);
        }
        let mut answer = request.send(note).map_err(|error| told(&error))?;
        // A body is not sent twice, so this one comes back as an answer.
        if answer.status().is_redirection() {
            return Err(ELSEWHERE.to_owned());
        }
        // Read, so that the connection can be used again.
        let read = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        read.map(drop).map_err(|error| told(&error))
    }

    /// Blocks: what it keeps.
    pub fn kept(&self) -> Result<String, String> {
        let mut request = self.agent.get(&self.url).header("Accept", "text/plain");
        if let Some(bearer) = self.bearer() {
            request = request.header("Authorization", bearer);
        }
        let mut answer = request.call().map_err(|error| told(&error))?;
        let read = answer.body_mut().with_config().limit(NOTE_BYTES_MAX).read_to_string();
        read.map_err(|error| told(&error))
    }

    fn bearer(&self) -> Option<String> {
        let token = self.token.expose();
        (!token.is_empty()).then(|| format!("Bearer {token}"))
    }
}

fn told(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => format!("it answered {status}"),
        ureq::Error::Timeout(_) => "it did not answer in time".to_owned(),
        ureq::Error::TooManyRedirects => ELSEWHERE.to_owned(),
        ureq::Error::BodyExceedsLimit(_) => "it answered too much".to_owned(),
        ureq::Error::HostNotFound => "its host was not found".to_owned(),
        ureq::Error::Io(error) => format!("the connection failed: {}", error.kind()),
        ureq::Error::Rustls(_) => "its certificate was not accepted, or TLS failed".to_owned(),
        _ => "it was not reached".to_owned(),
    }
}

/// The newest checkpoint on its way to whoever keeps it. Clones are of the same one.
#[derive(Clone)]
pub struct Handed {
    newest: watch::Sender<Option<Newest>>,
    size: Gauge,
    at_seconds: Gauge,
    failed: Counter,
}

#[derive(Clone)]
pub struct Newest {
    pub size: u64,
    pub note: String,
}

impl Default for Handed {
    fn default() -> Self {
        let newest = watch::Sender::new(None);
        Self {
            newest,
            size: Gauge::default(),
            at_seconds: Gauge::default(),
            failed: Counter::default(),
        }
    }
}

impl Handed {
    pub fn leave(&self, size: u64, note: &str) {
        self.newest.send_replace(Some(Newest { size, note: note.to_owned() }));
    }

    /// Told of each that is left; of several only of the last.
    pub fn left(&self) -> watch::Receiver<Option<Newest>> {
        self.newest.subscribe()
    }

    pub fn succeeded(&self, size: u64, now: Timestamp) {
        self.size.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.at_seconds.set(now.timestamp_millis() / SECOND_MS);
    }

    pub fn failed(&self) {
        self.failed.inc();
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "checkpoint_pushed_size",
            "Entries of the last checkpoint that this node handed to trail.checkpoint_url",
            self.size.clone(),
        );
        registry.register(
            "checkpoint_pushed_timestamp_seconds",
            "When this node last handed one over; 0: not since its start",
            self.at_seconds.clone(),
        );
        registry.register(
            "checkpoint_push_failures",
            "Checkpoints that were not taken, each attempt",
            self.failed.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers one request with this, or never.
    fn keeper(answer: Option<&'static str>, timeout: Duration) -> Keeper {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/kept", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody");
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).expect("a request");
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).expect("answered"),
                // Until the other side gives up.
                None => while stream.read(&mut asked).is_ok_and(|bytes| bytes > 0) {},
            }
        });
        Keeper::new(&url, &Secret::new(String::new()), timeout)
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnote\n";
        assert_eq!(keeper(Some(answer), TIMEOUT).kept(), Ok("note\n".to_owned()));
    }

    #[test]
    fn another_address_and_an_error_are_no_success() {
        let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n\
            Content-Length: 0\r\n\r\n";
        let refused = keeper(Some(elsewhere), TIMEOUT).hand_over("note");
        assert_eq!(refused, Err("it pointed to another address".to_owned()));
        let broken = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
        let refused = keeper(Some(broken), TIMEOUT).hand_over("note");
        assert_eq!(refused, Err("it answered 500".to_owned()));
    }

    #[test]
    fn whoever_does_not_answer_is_waited_for_only_so_long() {
        let silent = keeper(None, Duration::from_millis(100));
        assert_eq!(silent.hand_over("note"), Err("it did not answer in time".to_owned()));
    }
}
