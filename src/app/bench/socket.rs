//! One keep-alive connection of a load: a request is bytes that are ready, and of an answer only the
//! status, the length and `Purser-Seen` are read. The load shares the cores with what is measured.

use std::net::SocketAddr;
use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Socket {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Socket {
    pub async fn connect(address: SocketAddr) -> Result<Self, String> {
        let lost = |error: std::io::Error| format!("{address}: {error}");
        let stream = TcpStream::connect(address).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// Sends the request and waits for all of its answer. Another status than this one is an error:
    /// what is refused is quick.
    pub async fn ask(&mut self, request: &[u8], status: u16) -> Result<Head, String> {
        let lost = |error: std::io::Error| format!("a server did not answer: {error}");
        self.stream.write_all(request).await.map_err(lost)?;
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
        if head.status != status {
            let answer = String::from_utf8_lossy(&self.answer).into_owned();
            return Err(format!("a server refused to be measured: {answer}"));
        }
        Ok(head)
    }

    /// The last answer, head and body.
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }
}

/// What matters of an answer's head.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub bytes: usize,
    pub body: usize,
    /// Where the value of `Purser-Seen` stands.
    pub seen: Option<Range<usize>>,
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
