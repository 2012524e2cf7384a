//! Rules for text that comes from outside: what it may hold, and the one form it is stored in.

use std::borrow::Cow;

use chrono_tz::{TZ_VARIANTS, Tz};
use oxilangtag::LanguageTag;
use unicode_normalization::UnicodeNormalization;
use url::Url;

use super::phone::is_separator;

pub const URL_BYTES_MAX: usize = 2048;
/// RFC 5646 asks for room for 35 at least; longer tags exist only in its examples.
const LANGUAGE_BYTES_MAX: usize = 35;
const LANGUAGE_LETTERS_MAX: usize = 3;
const PHONE_DIGITS_MIN: usize = 7;

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// As a cell of a table: spreadsheets take for a formula what begins like one.
pub fn cell(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if is_formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// One line: NFC, trimmed, 1 to `chars_max` characters.
pub fn line(text: &str, chars_max: usize) -> Result<String, &'static str> {
    let text = bounded(text, chars_max)?;
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err("must be one line without control characters");
    }
    Ok(text)
}

/// Like [`line()`], with line breaks and tabs. Browsers send line breaks as CR LF; stored is LF.
pub fn multiline(text: &str, chars_max: usize) -> Result<String, &'static str> {
    let text = bounded(&text.replace("\r\n", "\n"), chars_max)?;
    if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err("must not contain control characters other than line breaks and tabs");
    }
    Ok(text)
}

/// An IANA time zone in the case of the database: `europe/berlin` is stored as `Europe/Berlin`.
pub fn time_zone(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let zone = text.parse::<Tz>().ok().or_else(|| {
        TZ_VARIANTS.iter().copied().find(|zone| zone.name().eq_ignore_ascii_case(text))
    });
    zone.map(|zone| zone.name().to_owned()).ok_or("must be an IANA time zone, as in Europe/Berlin")
}

/// A BCP 47 tag in its usual case: `EN-us` is stored as `en-US`.
pub fn language(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.len() > LANGUAGE_BYTES_MAX {
        return Err("must be a language tag of at most 35 characters, as in en-US");
    }
    // BCP 47 reserves longer ones, and none was ever registered: `english` is a word, no tag.
    if text.split('-').next().is_some_and(|language| language.len() > LANGUAGE_LETTERS_MAX) {
        return Err("must be a language tag, as in en or en-US");
    }
    LanguageTag::parse_and_normalize(text)
        .map(LanguageTag::into_inner)
        .map_err(|_| "must be a language tag, as in en or en-US")
}

/// An absolute address on the web. Credentials are refused, since the text is shown and logged.
pub fn web_url(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    // The parser would silently drop line breaks and tabs from the middle.
    if text.contains(char::is_control) {
        return Err("must not contain control characters");
    }
    if text.len() > URL_BYTES_MAX {
        return Err(URL_TOO_LONG);
    }
    let url = Url::parse(text).map_err(|_| NO_URL)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(NO_URL);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or a password");
    }
    let url = String::from(url);
    // Once more: escaping makes it longer.
    if url.len() > URL_BYTES_MAX { Err(URL_TOO_LONG) } else { Ok(url) }
}

const NO_URL: &str = "must be an address that begins with https:// or http://";
const URL_TOO_LONG: &str = "must have at most 2048 bytes";

/// Whether a username could be taken for an e-mail address or a phone number. Compared as it looks
/// (NFKC), or a full-width `＠` would get through.
pub fn looks_like_address(text: &str) -> bool {
    let text: String = text.nfkc().collect();
    let text = text.trim();
    let mut rest = text.chars().filter(|c| !is_separator(*c)).peekable();
    let starts_like_a_phone = rest.peek() == Some(&'+');
    let digits = rest.clone().count();
    let is_number = digits >= PHONE_DIGITS_MIN && rest.all(char::is_numeric);
    text.contains('@') || starts_like_a_phone || is_number
}

/// Characters that are not seen but change what is: with a bidirectional override the text reads
/// as another one than it is.
pub(super) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// And those of no width. Refused where two texts that look alike must be one; elsewhere they are
/// needed, as joiners in Persian and in emoji.
pub(super) fn is_invisible(c: char) -> bool {
    is_bidi_control(c) || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Of the invisible ones those that no script needs inside a name: soft hyphen, zero-width space,
/// word joiner, byte order mark. With one of them a name looks like another person's.
fn is_needless(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

fn bounded(text: &str, chars_max: usize) -> Result<String, &'static str> {
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err("must not be empty");
    }
    if text.chars().count() > chars_max {
        return Err("is longer than this field allows");
    }
    if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err("must hold a character that can be seen");
    }
    if text.contains(is_needless) {
        return Err("must not contain characters that are not seen and join nothing");
    }
    if text.contains(is_bidi_control) {
        return Err("must not contain characters that override the direction of writing");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_formula_is_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        for text in ["", "order-1", "a=1", "'=1"] {
            assert_eq!(cell(text), text);
        }
    }
    use proptest::prelude::*;

    #[test]
    fn a_line_is_trimmed_composed_and_counted_in_characters() {
        assert_eq!(line("  Jose\u{301} ", 4).as_deref(), Ok("Jos\u{e9}"));
        assert!(line("Jos\u{e9}s", 4).is_err());
        for wrong in [
            "",
            "   ",
            "a\nb",
            "a\tb",
            "a\0b",
            "a\u{85}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{2028}b",
            "\u{200d}\u{200e}",
            "a\u{200b}b",
            "\u{feff}a",
        ] {
            assert!(line(wrong, 50).is_err(), "{wrong:?}");
        }
        let persian = "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}";
        assert_eq!(line(persian, 50).as_deref(), Ok(persian));
    }

    #[test]
    fn many_lines_keep_their_line_breaks_and_nothing_else() {
        assert_eq!(multiline(" a\r\n\tb\n", 9).as_deref(), Ok("a\n\tb"));
        for wrong in ["", "\n", "a\rb", "a\0b", "a\u{1b}[0m", "a\u{2069}b"] {
            assert!(multiline(wrong, 50).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn time_zones_are_those_of_the_database_in_its_case() {
        assert_eq!(time_zone("europe/berlin").as_deref(), Ok("Europe/Berlin"));
        assert_eq!(time_zone("America/New_York").as_deref(), Ok("America/New_York"));
        assert_eq!(time_zone("utc").as_deref(), Ok("UTC"));
        for wrong in ["", "Berlin", "+01:00", "Europe/Berlin/Mitte", "Europe\\Berlin"] {
            assert!(time_zone(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn languages_are_tags_in_their_usual_case() {
        for (typed, stored) in [("EN", "en"), ("en-us", "en-US"), ("zh-hant-tw", "zh-Hant-TW")] {
            assert_eq!(language(typed).as_deref(), Ok(stored));
        }
        for wrong in
            ["", "e", "en_US", "english", "engl-GB", "english language", &"en-x-".repeat(9), "en-"]
        {
            assert!(language(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_on_the_web_has_a_host_and_no_credentials() {
        assert_eq!(
            web_url(" HTTPS://Example.com/a b ").as_deref(),
            Ok("https://example.com/a%20b")
        );
        assert!(web_url("http://localhost:8080/hook").is_ok());
        let long = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));
        let long_escaped = format!("https://example.com/{}", "\u{e9}".repeat(900));
        for wrong in [
            "",
            "example.com",
            "/path",
            "ftp://example.com",
            "javascript:alert(1)",
            "https://",
            "data:,x",
            "https://user@example.com",
            "https://user:pw@example.com",
            "https://exa\nmple.com",
            &long,
            &long_escaped,
        ] {
            assert!(web_url(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_username_that_could_be_an_address_is_recognised() {
        for text in [
            "john@example",
            "@john",
            "john\u{ff20}example.com",
            "+49",
            " +49 30",
            "(+49) 30",
            "1234567",
            "030 90-18.20",
            "\u{ff11}234567",
            "٠١٢٣٤٥٦",
        ] {
            assert!(looks_like_address(text), "{text}");
        }
        for text in ["johndoe", "john.doe", "123456", "agent-007", "c++", "1234567x", "", "-"] {
            assert!(!looks_like_address(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_accepted_again_unchanged(text in "[\\PC\\r\\n\\t]{0,40}") {
            for rule in [line, multiline] {
                if let Ok(stored) = rule(&text, 40) {
                    prop_assert_eq!(rule(&stored, 40), Ok(stored.clone()));
                }
            }
            for rule in [language, time_zone, web_url] {
                if let Ok(stored) = rule(&text) {
                    prop_assert_eq!(rule(&stored), Ok(stored.clone()));
                }
            }
        }
    }
}
