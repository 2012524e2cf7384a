//! E-mail addresses in the one form that is stored, compared and unique.

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use super::text::is_invisible;

const LOCAL_BYTES_MAX: usize = 64;
const ADDRESS_BYTES_MAX: usize = 254;
/// Legal only inside quotes, which no provider hands out, and dangerous in the header of a letter.
const SPECIAL: &str = "\"(),:;<>[\\]";

/// Normalised: trimmed, NFC, lower case, the domain in ASCII. Two addresses that differ only in
/// these are one person's; strictly the part before the `@` is case sensitive, but nowhere in use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        // Before anything else: what follows takes time in proportion to the length.
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(TOO_LONG);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c)) {
            return Err("an e-mail address has no spaces or invisible characters");
        }
        let (local, domain) = text
            .split_once('@')
            .filter(|(local, domain)| !local.is_empty() && !domain.contains('@'))
            .ok_or("an e-mail address is a name, one @ and a domain")?;
        let (local, domain) = (normal_local(local)?, ascii_domain(domain)?);
        let address = format!("{local}@{domain}");
        if address.len() > ADDRESS_BYTES_MAX { Err(TOO_LONG) } else { Ok(Self(address)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which `identities` holds it.
    pub fn identity(&self) -> String {
        format!("email:{}", self.0)
    }
}

const TOO_LONG: &str = "an e-mail address has at most 254 bytes";

fn normal_local(local: &str) -> Result<String, &'static str> {
    // Once more after lower-casing, which takes some letters apart.
    let local: String = local.nfc().flat_map(char::to_lowercase).nfc().collect();
    if local.contains(|c| SPECIAL.contains(c)) {
        return Err("the part before the @ holds a character that is only allowed inside quotes");
    }
    if local.len() > LOCAL_BYTES_MAX {
        return Err("the part before the @ has at most 64 bytes");
    }
    Ok(local)
}

fn ascii_domain(domain: &str) -> Result<String, &'static str> {
    let ascii = Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        )
        .map_err(|_| "the part after the @ is not a domain name")?;
    if ascii.contains('.') {
        Ok(ascii.into_owned())
    } else {
        Err("the part after the @ needs a dot, as in example.com")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<String, &'static str> {
        Email::parse(text).map(|email| email.as_str().to_owned())
    }

    #[test]
    fn one_address_has_one_form() {
        for (typed, stored) in [
            (" John.Doe@Example.COM ", "john.doe@example.com"),
            ("a+tag@sub.example.co.uk", "a+tag@sub.example.co.uk"),
            ("Jose\u{301}@example.com", "jos\u{e9}@example.com"),
            ("info@B\u{dc}cher.example", "info@xn--bcher-kva.example"),
            ("info@xn--bcher-kva.example", "info@xn--bcher-kva.example"),
            ("a..b@docomo.example", "a..b@docomo.example"),
        ] {
            assert_eq!(parsed(typed).as_deref(), Ok(stored), "{typed}");
        }
        let email = Email::parse("A@b.example").expect("valid");
        assert_eq!(email.identity(), "email:a@b.example");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@example.com", "x".repeat(65));
        let long = format!("x@{}example.com", "x.".repeat(130));
        let long_label = format!("x@{}.com", "x".repeat(64));
        for text in [
            "",
            "@",
            "john",
            "john@",
            "@example.com",
            "a@b@example.com",
            "john@localhost",
            "john@example.com.",
            "john@.com",
            "john@-a.com",
            "john@exa_mple.com",
            "john@[127.0.0.1]",
            "jo hn@example.com",
            "john@exam ple.com",
            "john\0@example.com",
            "john\r\n@example.com",
            "john\u{202e}@example.com",
            "jo\u{200b}hn@example.com",
            "\"john\"@example.com",
            "John <john@example.com>",
            "john,jane@example.com",
            &long_local,
            &long,
            &long_label,
        ] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_stored_form_is_its_own_form(local in "\\PC{1,20}", domain in "\\PC{1,10}\\.(com|de)") {
            if let Ok(email) = Email::parse(&format!("{local}@{domain}")) {
                prop_assert!(email.as_str().len() <= ADDRESS_BYTES_MAX);
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email.clone()));
            }
        }
    }
}
