//! `[server]`: the socket, its bounds and deadlines, whom it believes, and the name of this process.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

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
    /// The deadline of the request holds too.
    pub body_timeout_ms: u64,
    pub keep_alive_seconds: u64,
    pub refusal_hold_ms: u64,
    pub unread_timeout_seconds: u64,
    pub shutdown_seconds: u64,
    /// Of all workers together.
    pub connections_max: usize,
    pub backlog: u32,
    /// Empty: no page of another origin may read an answer.
    pub cors_origins: Vec<String>,
    /// 0: no Strict-Transport-Security.
    pub hsts_seconds: u64,
    pub trusted_proxies: Vec<IpNet>,
    pub forwarded_header: Forwarding,
    /// Empty: host name and port.
    pub node: String,
}

/// The one header in which the trusted proxies say whom they speak for. Only one: a proxy that
/// writes the one hands the other on as the client has sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    XForwardedFor,
    Forwarded,
}

impl Server {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let forwarding =
            [("x-forwarded-for", Forwarding::XForwardedFor), ("forwarded", Forwarding::Forwarded)];
        let bind = section.parsed("bind", "an IP address", localhost);
        let port = section.number("port", 0..=65_535);
        let workers = section.number("workers", 0..=256);
        Self {
            bind,
            port,
            workers,
            request_timeout_ms: section.number("request_timeout_ms", 100..=120_000),
            head_timeout_ms: section.number("head_timeout_ms", 100..=60_000),
            body_timeout_ms: section.number("body_timeout_ms", 100..=120_000),
            keep_alive_seconds: section.number("keep_alive_seconds", 1..=3_600),
            refusal_hold_ms: section.number("refusal_hold_ms", 10..=60_000),
            unread_timeout_seconds: section.number("unread_timeout_seconds", 1..=3_600),
            shutdown_seconds: section.number("shutdown_seconds", 1..=300),
            connections_max: section.number("connections_max", 64..=1_000_000),
            backlog: section.number("backlog", 16..=65_535),
            cors_origins: section.list("cors_origins", ORIGINS_ACCEPTED, origin),
            hsts_seconds: section.number("hsts_seconds", 0..=63_072_000),
            trusted_proxies: section.list("trusted_proxies", NETWORKS_ACCEPTED, network),
            forwarded_header: section.choice("forwarded_header", &forwarding),
            node: section.text("node", "at most 64 of A-Z a-z 0-9 _ . : -", is_node),
        }
    }
}

const ORIGINS_ACCEPTED: &str =
    "exact origins such as https://shop.example.com, no wildcard and no path";
const NETWORKS_ACCEPTED: &str = "IP addresses and networks in CIDR form";

/// As a browser sends it: scheme, host, and a port where it is not the scheme's own.
fn origin(text: &str) -> Option<String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(allowed)).then(|| text.to_owned())
}

fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some(network.trunc())
}

fn is_node(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    text.len() <= NODE_CHARACTERS_MAX && text.bytes().all(allowed)
}
