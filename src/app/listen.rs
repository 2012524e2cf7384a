//! The sockets: how they are opened, how many connections they take, and what that needs.

use std::any::Any;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Extensions;
use prometheus_client::metrics::gauge::Gauge;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Config, Server};

/// A whole request fits in: a larger body is refused anyway.
const RECEIVED_BYTES: usize = 128 * 1024;
/// Log, listeners, event loops, and the database's monitors.
const FILES_BESIDES: u64 = 128;
/// A replica set has three servers as a rule, and each has a pool.
const POOLS: u64 = 3;

/// Opens the API's socket. What is set here, each connection inherits.
pub fn api(config: &Server) -> Result<TcpListener, String> {
    open(config).map_err(|error| cannot("server.port", config.bind, config.port, &error))
}

pub fn metrics(bind: IpAddr, port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((bind, port)).map_err(|error| cannot("metrics.port", bind, port, &error))
}

fn cannot(key: &str, bind: IpAddr, port: u16, error: &std::io::Error) -> String {
    format!("{key}: cannot listen on {}: {error}", SocketAddr::new(bind, port))
}

fn open(config: &Server) -> std::io::Result<TcpListener> {
    let address = SocketAddr::new(config.bind, config.port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Nothing above the socket notices a client that takes no more of its answer.
    let unread = Duration::from_secs(config.unread_timeout_seconds);
    socket.set_tcp_user_timeout(Some(unread))?;
    // Left to itself, the kernel would let each of many connections have megabytes.
    socket.set_recv_buffer_size(RECEIVED_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

pub fn workers(config: &Server) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

pub fn connections_per_worker(config: &Server) -> usize {
    config.connections_max.div_ceil(workers(config))
}

/// Counts a connection for as long as it is open.
pub fn counted(open: Gauge) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    move |_, extensions| {
        open.inc();
        extensions.insert(Open(open.clone()));
    }
}

struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Without enough file descriptors, connections are refused long before their own bound.
pub fn check_descriptors(config: &Config) {
    let Some(limit) = descriptors() else { return };
    let needed = needed(config);
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            "too few file descriptors for server.connections_max and store.pool_max: raise \
             `ulimit -n`, or lower them"
        );
    }
}

fn needed(config: &Config) -> u64 {
    let connections = u64::try_from(config.server.connections_max).unwrap_or(u64::MAX);
    let pools = POOLS * u64::from(config.store.pool_max);
    connections.saturating_add(pools + FILES_BESIDES)
}

/// `None` where there is no /proc, or no limit.
fn descriptors() -> Option<u64> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_number_of_its_line() {
        let line =
            |soft| format!("Max processes 1 2\nMax open files            {soft} 524288 files\n");
        assert_eq!(soft_limit(&line("1024")), Some(1024));
        assert_eq!(soft_limit(&line("unlimited")), None);
        assert_eq!(soft_limit(""), None);
    }
}
