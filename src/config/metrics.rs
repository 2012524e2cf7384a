//! `[metrics]`: where the figures of this process are read.

use std::net::{IpAddr, Ipv4Addr};

use super::section::Section;

#[derive(Debug, Clone)]
pub struct Metrics {
    pub listener: Listener,
    pub bind: IpAddr,
    /// 0: any free port.
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    On,
    Off,
}

impl Metrics {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listener: section.choice("listener", &[("on", Listener::On), ("off", Listener::Off)]),
            bind: section.parsed("bind", "an IP address", localhost),
            port: section.number("port", 0..=65_535),
        }
    }
}
