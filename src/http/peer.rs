//! Where a request comes from: the other end of its connection, or what a trusted proxy says.
//!
//! A proxy writes on the right of what it was sent, so the header is read from the right, and only as
//! far as those who wrote it are trusted. What stands left of the first stranger is his own tale.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::config::server::Forwarding;

/// More proxies than this in a row are not followed.
const HOPS_MAX: usize = 16;

/// Whose word on the origin of a request counts, and in which header they give it.
#[derive(Clone)]
pub struct Proxies {
    networks: Arc<[IpNet]>,
    header: Forwarding,
}

impl Proxies {
    pub fn new(networks: &[IpNet], header: Forwarding) -> Self {
        Self { networks: networks.into(), header }
    }

    pub fn peer(&self, request: &HttpRequest) -> Option<IpAddr> {
        let socket = request.peer_addr().map(|peer| peer.ip())?;
        Some(self.origin(socket, request.headers()))
    }

    /// An IPv4 address in IPv6 clothes is the IPv4 address.
    fn origin(&self, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut origin = socket.to_canonical();
        if !self.trusts(origin) {
            return origin;
        }
        let lines: Vec<_> = headers.get_all(self.name()).map(header::HeaderValue::to_str).collect();
        let said = lines.iter().rev().map_while(|line| line.as_ref().ok());
        for said in said.flat_map(|line| line.rsplit(',')).take(HOPS_MAX) {
            // What cannot be read was not written by a proxy that we know: the last one stands.
            let Some(address) = self.address(said.trim()) else { break };
            origin = address;
            if !self.trusts(origin) {
                break;
            }
        }
        origin
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    fn name(&self) -> HeaderName {
        match self.header {
            Forwarding::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Forwarding::Forwarded => header::FORWARDED,
        }
    }

    fn address(&self, element: &str) -> Option<IpAddr> {
        let node = match self.header {
            Forwarding::XForwardedFor => element,
            Forwarding::Forwarded => node(element)?,
        };
        let bare = node.strip_prefix('[').and_then(|node| node.strip_suffix(']')).unwrap_or(node);
        let address = bare
            .parse::<IpAddr>()
            .or_else(|_| node.parse::<SocketAddr>().map(|address| address.ip()));
        address.ok().map(|address| address.to_canonical())
    }
}

/// What `for=` of one element of `Forwarded` (RFC 7239) says. A quoted text that holds a separator
/// is cut in two here, neither half of which can be read: so nobody hides a proxy's word in quotes.
fn node(element: &str) -> Option<&str> {
    let mut node = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = quoted.unwrap_or(value);
        if value.contains(['"', '\\']) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn proxies(header: Forwarding) -> Proxies {
        let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().expect("valid"));
        Proxies::new(&networks, header)
    }

    fn origin(header: Forwarding, socket: &str, lines: &[&str]) -> IpAddr {
        let proxies = proxies(header);
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).expect("a value");
            headers.append(proxies.name(), value);
        }
        proxies.origin(ip(socket), &headers)
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_origin() {
        let at = |socket, lines: &[&str]| origin(Forwarding::XForwardedFor, socket, lines);
        assert_eq!(at("10.0.0.1", &["192.0.2.1"]), ip("192.0.2.1"));
        assert_eq!(at("::ffff:10.0.0.1", &["::ffff:192.0.2.1"]), ip("192.0.2.1"));
        assert_eq!(at("10.0.0.1", &["1.1.1.1, 192.0.2.1, 10.0.0.9"]), ip("192.0.2.1"));
        assert_eq!(at("10.0.0.1", &["1.1.1.1", "192.0.2.1"]), ip("192.0.2.1"));
        assert_eq!(at("2001:db8:1::1", &["2001:db8:2::7"]), ip("2001:db8:2::7"));
        assert_eq!(at("10.0.0.1", &["[2001:db8:2::7]:443"]), ip("2001:db8:2::7"));
        assert_eq!(at("10.0.0.1", &["192.0.2.1:4711"]), ip("192.0.2.1"));
        assert_eq!(at("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), ip("10.0.0.3"));
        assert_eq!(at("10.0.0.1", &[]), ip("10.0.0.1"));
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain_at_the_last_proxy() {
        let at = |lines: &[&str]| origin(Forwarding::XForwardedFor, "10.0.0.1", lines);
        assert_eq!(at(&["192.0.2.1, unknown"]), ip("10.0.0.1"));
        assert_eq!(at(&["192.0.2.1, unknown, 10.0.0.2"]), ip("10.0.0.2"));
        assert_eq!(at(&["192.0.2.1,"]), ip("10.0.0.1"));
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        let at = |lines: &[&str]| origin(Forwarding::Forwarded, "10.0.0.1", lines);
        assert_eq!(at(&["for=192.0.2.60;proto=http;by=203.0.113.43"]), ip("192.0.2.60"));
        assert_eq!(at(&["For=\"[2001:db8:cafe::17]:4711\""]), ip("2001:db8:cafe::17"));
        assert_eq!(at(&["for=1.1.1.1, for=192.0.2.1, for=10.0.0.2"]), ip("192.0.2.1"));
        assert_eq!(at(&["for=_hidden"]), ip("10.0.0.1"));
    }

    #[test]
    fn quotes_do_not_hide_what_the_proxy_has_written() {
        let at = |lines: &[&str]| origin(Forwarding::Forwarded, "10.0.0.1", lines);
        assert_eq!(at(&["for=1.1.1.1;x=\", for=192.0.2.1"]), ip("192.0.2.1"));
        assert_eq!(at(&["for=192.0.2.1;host=\"a, for=1.1.1.1\""]), ip("10.0.0.1"));
        assert_eq!(at(&["for=192.0.2.1;host=\"a, for=1.1.1.1;x=\\\"\""]), ip("10.0.0.1"));
        assert_eq!(at(&["for=192.0.2.1;for=1.1.1.1"]), ip("10.0.0.1"));
    }

    proptest! {
        /// Whatever a client sends: from outside its own address counts, and behind a proxy what the
        /// proxy has added.
        #[test]
        fn a_client_never_chooses_its_address(sent in "[ -~]{0,60}", last in any::<[u8; 4]>()) {
            let client = IpAddr::from(last);
            let listed = proxies(Forwarding::Forwarded).trusts(client);
            prop_assume!(!listed);
            for header in [Forwarding::XForwardedFor, Forwarding::Forwarded] {
                let socket = client.to_string();
                prop_assert_eq!(origin(header, &socket, &[&sent]), client);
                let added = match header {
                    Forwarding::XForwardedFor => format!("{sent}, {client}"),
                    Forwarding::Forwarded => format!("{sent}, for={client};proto=https"),
                };
                prop_assert_eq!(origin(header, "10.0.0.1", &[&added]), client);
                prop_assert_eq!(origin(header, "10.0.0.1", &[&sent, &client_line(header, client)]), client);
            }
        }
    }

    fn client_line(header: Forwarding, client: IpAddr) -> String {
        match header {
            Forwarding::XForwardedFor => client.to_string(),
            Forwarding::Forwarded => format!("for={client}"),
        }
    }
}
