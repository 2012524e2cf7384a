//! `[trail]`: how the trail is sealed.

use url::{Host, Url};

use super::section::Section;
use crate::kernel::secret::Secret;

const KEY_ACCEPTED: &str = "empty, or <name>:<base64 of 32 bytes>";

const URL_ACCEPTED: &str = "empty, or https://…, without a user name or a password; http://… on this \
    machine alone";
const TOKEN_ACCEPTED: &str = "empty, or visible ASCII characters without blanks";

#[derive(Debug, Clone)]
pub struct Trail {
    pub sequencer: Sequencer,
    /// Empty: nothing is signed.
    pub signing_key: Secret<String>,
    pub checkpoint_seconds: u64,
    /// Empty: nowhere.
    pub checkpoint_file: String,
    /// Empty: nowhere.
    pub checkpoint_url: String,
    /// Empty: none is sent.
    pub checkpoint_url_token: Secret<String>,
    /// 0: none are made.
    pub snapshot_entries: u32,
}

/// Whether this node may seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequencer {
    On,
    Off,
}

impl Trail {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            sequencer: section
                .choice("sequencer", &[("on", Sequencer::On), ("off", Sequencer::Off)]),
            signing_key: section.secret("signing_key", KEY_ACCEPTED, |_| true),
            checkpoint_seconds: section.number("checkpoint_seconds", 1..=3600),
            checkpoint_file: section.text("checkpoint_file", "empty, or a path", |_| true),
            checkpoint_url: section
                .text("checkpoint_url", URL_ACCEPTED, |text| text.is_empty() || is_keeper(text)),
            checkpoint_url_token: section.secret("checkpoint_url_token", TOKEN_ACCEPTED, is_token),
            snapshot_entries: section.number("snapshot_entries", 0..=1_000_000),
        }
    }
}

/// Whether checkpoints may be handed there: what goes to another machine is encrypted, since a token
/// goes with it.
pub fn is_keeper(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let is_open = url.username().is_empty() && url.password().is_none();
    is_open && (url.scheme() == "https" || url.scheme() == "http" && is_here)
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_leave_this_machine_encrypted_alone() {
        for accepted in [
            "https://witness.example.com/purser",
            "http://127.0.0.1:8000/",
            "http://[::1]:8000/",
            "http://localhost/kept",
        ] {
            assert!(is_keeper(accepted), "{accepted}");
        }
        for refused in [
            "http://witness.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
            "https://ada:secret@witness.example.com/",
            "ftp://witness.example.com/",
            "https://",
            "witness.example.com",
        ] {
            assert!(!is_keeper(refused), "{refused}");
        }
    }
}
