//! Clients over HTTP: keep-alive connections on one thread, and one request for each of them, in which
//! only the person and the Idempotency-Key change.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::bank::{KEY_DIGITS, KEY_PREFIX, ROUTE, Wallets, body};
use super::slice::{Done, Slice, Times, Turn};
use crate::app::bench::socket::Socket;

const CREATED: u16 = 201;
const ID_LENGTH: usize = 24;

/// To be run on a runtime of one thread.
pub async fn load(slice: &Slice, address: SocketAddr, wallets: &Wallets) -> Result<Done, String> {
    let mut debtors = Vec::with_capacity(slice.clients);
    for _ in 0..slice.clients {
        debtors.push(Debtor::connect(address, &wallets.key).await?);
    }
    let slice = slice.begin();
    let mut clients = JoinSet::new();
    for mut debtor in debtors {
        let (slice, ids) = (slice.clone(), Arc::clone(&wallets.ids));
        clients.spawn(async move {
            let mut times = Times::default();
            while let Some(turn) = slice.next() {
                slice.wait(turn).await;
                let asked = Instant::now();
                debtor.debit(&ids[turn.person], turn).await?;
                slice.note(&mut times, asked);
            }
            Ok::<_, String>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(client) = clients.join_next().await {
        all.push(client.map_err(|_| "a client panicked")??);
    }
    Ok(slice.done(all))
}

struct Debtor {
    socket: Socket,
    request: Vec<u8>,
    /// Where in it the id stands, and the digits of the key.
    id: Range<usize>,
    key: Range<usize>,
}

impl Debtor {
    async fn connect(address: SocketAddr, key: &str) -> Result<Self, String> {
        let socket = Socket::connect(address).await?;
        let (request, id, key) = request(&address.to_string(), key);
        Ok(Self { socket, request, id, key })
    }

    async fn debit(&mut self, id: &str, turn: Turn) -> Result<(), String> {
        self.request[self.id.clone()].copy_from_slice(id.as_bytes());
        let mut rest = turn.number;
        for digit in self.request[self.key.clone()].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        self.socket.ask(&self.request, CREATED).await.map(drop)
    }
}

fn request(host: &str, key: &str) -> (Vec<u8>, Range<usize>, Range<usize>) {
    let (before, after) = ROUTE.split_once("{user}").unwrap_or_default();
    let mut request = format!("POST {before}").into_bytes();
    let id = request.len()..request.len() + ID_LENGTH;
    request.extend_from_slice(&[b'0'; ID_LENGTH]);
    let head = format!(
        "{after} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
        Content-Type: application/json\r\nIdempotency-Key: {KEY_PREFIX}"
    );
    request.extend_from_slice(head.as_bytes());
    let digits = request.len()..request.len() + KEY_DIGITS;
    request.extend_from_slice(&[b'0'; KEY_DIGITS]);
    let body = body().to_string();
    request
        .extend_from_slice(format!("\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    (request, id, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_places_where_it_says() {
        let (mut request, id, key) = request("127.0.0.1:1", "prs_app_x");
        request[id].copy_from_slice(&[b'a'; 24]);
        request[key].copy_from_slice(&[b'7'; 18]);
        let text = String::from_utf8(request).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let path = "POST /v1/users/aaaaaaaaaaaaaaaaaaaaaaaa/wallet/debits HTTP/1.1\r\n";
        assert!(head.starts_with(path), "{head}");
        assert!(head.contains("\r\nIdempotency-Key: bench-777777777777777777\r\n"), "{head}");
        assert!(head.ends_with(&format!("\r\nContent-Length: {}", body.len())), "{head}");
    }
}
