//! Network addresses: where a caller is, and where its key may be used from.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// An address, or a network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    pub fn parse(text: &str) -> Option<Self> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
        Some(Self(network.trunc()))
    }

    /// An IPv4 address that arrives in IPv6 clothes is the IPv4 address.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// A single address without its prefix length.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(f);
        }
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).expect("a network")
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(network("192.0.2.0/24").holds(address("192.0.2.77")));
        assert!(network("192.0.2.7").holds(address("::ffff:192.0.2.7")));
        assert!(!network("192.0.2.7").holds(address("192.0.2.8")));
        assert!(!network("0.0.0.0/0").holds(address("2001:db8::1")));
        assert!(network("2001:db8::/32").holds(address("2001:db8:1::1")));
    }

    #[test]
    fn a_network_is_kept_in_one_form() {
        assert_eq!(network("192.0.2.77/24").to_string(), "192.0.2.0/24");
        assert_eq!(network("192.0.2.7/32").to_string(), "192.0.2.7");
        assert_eq!(network("2001:DB8::1").to_string(), "2001:db8::1");
        assert!(
            ["", "192.0.2", "192.0.2.0/33", "example.com"]
                .iter()
                .all(|t| Network::parse(t).is_none())
        );
    }
}
