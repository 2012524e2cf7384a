//! `[server]`: the socket, its deadlines, and the name of this process.

use std::net::{IpAddr, Ipv4Addr};

use super::section::Section;

const NODE_CHARACTERS_MAX: usize = 64;

#[derive(Debug, Clone)]
pub struct Server {
    pub bind: IpAddr,
    /// 0: any free port.
    pub port: u16,
    /// 0: one per core.
    pub workers: usize,
    pub request_timeout_ms: u64,
    pub head_timeout_ms: u64,
    pub keep_alive_seconds: u64,
    pub shutdown_seconds: u64,
    /// Empty: host name and port.
    pub node: String,
}

impl Server {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            bind: section.parsed("bind", "an IP address", localhost),
            port: section.number("port", 0..=65_535),
            workers: section.number("workers", 0..=256),
            request_timeout_ms: section.number("request_timeout_ms", 100..=120_000),
            head_timeout_ms: section.number("head_timeout_ms", 100..=60_000),
            keep_alive_seconds: section.number("keep_alive_seconds", 1..=3_600),
            shutdown_seconds: section.number("shutdown_seconds", 1..=300),
            node: section.text("node", "at most 64 of A-Z a-z 0-9 _ . : -", is_node),
        }
    }
}

fn is_node(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    text.len() <= NODE_CHARACTERS_MAX && text.bytes().all(allowed)
}
