//! API keys as text: `prs_<kind>_<id 12><secret 43><crc 6>` in base62.
//!
//! The prefix lets secret scanners find a leaked key, the id finds the record, and the check digits
//! turn a typo away before anything is looked up. They are no protection: only the secret is.

use zeroize::Zeroizing;

use crate::kernel::chance::Chance;
use crate::kernel::secret::Secret;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "prs_";
const ID_CHARS: usize = 12;
/// 62^43 is just above 2^256, so 43 digits hold 32 bytes.
const SECRET_CHARS: usize = 43;
const SECRET_BYTES: usize = 32;
/// 62^6 is above 2^32.
const CRC_CHARS: usize = 6;
const TEXT_CHARS: usize = PREFIX.len() + 3 + 1 + ID_CHARS + SECRET_CHARS + CRC_CHARS;
const HINT_CHARS: usize = 4;

/// Who a key speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    App,
    Connection,
    Operator,
}

impl KeyKind {
    pub const ALL: [Self; 3] = [Self::App, Self::Connection, Self::Operator];

    pub fn tag(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Connection => "con",
            Self::Operator => "opr",
        }
    }

    fn from_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
}

/// A key whose shape and check digits are right; whether it is in use is another question.
#[derive(Debug, Clone)]
pub struct ApiKey {
    kind: KeyKind,
    id: String,
    secret: Secret<String>,
}

impl ApiKey {
    pub fn generate(kind: KeyKind, chance: &Chance) -> Self {
        let digit = || usize::try_from(chance.below(62)).expect("below 62");
        let id = (0..ID_CHARS).map(|_| char::from(DIGITS[digit()])).collect();
        let bytes = Secret::new(chance.bytes::<SECRET_BYTES>());
        Self { kind, id, secret: Secret::new(base62(bytes.expose(), SECRET_CHARS)) }
    }

    /// `None` for everything that no key of ours can be: first by its shape, which costs next to
    /// nothing, then by its check digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TEXT_CHARS || !text.is_ascii() {
            return None;
        }
        let (before, crc) = text.split_at(TEXT_CHARS - CRC_CHARS);
        let (tag, body) = before.strip_prefix(PREFIX)?.split_once('_')?;
        let kind = KeyKind::from_tag(tag)?;
        // A tag has three characters, so here `body` has exactly the length of id and secret.
        if !body.bytes().all(|b| b.is_ascii_alphanumeric()) || crc != check_digits(before) {
            return None;
        }
        let (id, secret) = body.split_at(ID_CHARS);
        Some(Self { kind, id: id.to_owned(), secret: Secret::new(secret.to_owned()) })
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// What the record is found by. Not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the record holds only a MAC of.
    pub fn secret(&self) -> &Secret<String> {
        &self.secret
    }

    /// The whole key, as its owner sees it once.
    pub fn text(&self) -> Secret<String> {
        // With room from the start: growing would leave a copy of the secret behind.
        let mut text = String::with_capacity(TEXT_CHARS);
        for part in [PREFIX, self.kind.tag(), "_", &self.id, self.secret.expose()] {
            text.push_str(part);
        }
        let crc = check_digits(&text);
        text.push_str(&crc);
        Secret::new(text)
    }

    /// Enough to tell one's keys apart in a list: `prs_con_4fGa…`.
    pub fn hint(&self) -> String {
        format!("{PREFIX}{}_{}…", self.kind.tag(), &self.id[..HINT_CHARS])
    }
}

fn check_digits(text: &str) -> String {
    base62(&crc32fast::hash(text.as_bytes()).to_be_bytes(), CRC_CHARS)
}

/// A big-endian number in exactly `width` digits: long division by 62, last digit first.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut digits = vec![DIGITS[0]; width];
    for place in digits.iter_mut().rev() {
        let rest = number.iter_mut().fold(0_usize, |rest, byte| {
            let value = rest * 256 + usize::from(*byte);
            *byte = u8::try_from(value / 62).expect("rest is below 62");
            value % 62
        });
        *place = DIGITS[rest];
    }
    String::from_utf8(digits).expect("digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_reads_back_as_what_it_was_written_from() {
        let chance = Chance::from_seed(1);
        for kind in KeyKind::ALL {
            let key = ApiKey::generate(kind, &chance);
            let text = key.text();
            assert_eq!(text.expose().len(), 69);
            assert!(text.expose().starts_with(&format!("prs_{}_{}", kind.tag(), key.id())));

            let back = ApiKey::parse(text.expose()).expect("our own key");
            assert_eq!((back.kind(), back.id()), (kind, key.id()));
            assert_eq!(back.secret().expose(), key.secret().expose());
        }
    }

    #[test]
    fn hint_and_debug_do_not_show_the_secret() {
        let key = ApiKey::generate(KeyKind::Connection, &Chance::from_seed(1));
        assert_eq!(key.hint(), format!("prs_con_{}…", &key.id()[..4]));
        assert!(!format!("{key:?}").contains(key.secret().expose()));
    }

    #[test]
    fn numbers_have_a_fixed_width_and_the_largest_fit() {
        assert_eq!(base62(&[0; 32], SECRET_CHARS), "0".repeat(43));
        assert_eq!(base62(&[0, 0, 0, 61], 6), "00000z");
        assert_eq!(base62(&[0, 0, 0, 62], 6), "000010");
        assert_eq!(base62(&u32::MAX.to_be_bytes(), 6), "4gfFC3");
        assert_ne!(base62(&[255; 32], SECRET_CHARS), base62(&[254; 32], SECRET_CHARS));
        // Nothing is lost at the top: 2^256 - 1 needs its first digit.
        assert!(!base62(&[255; 32], SECRET_CHARS).starts_with('0'));
    }

    #[test]
    fn another_shape_is_no_key() {
        let text = ApiKey::generate(KeyKind::App, &Chance::from_seed(1)).text();
        let text = text.expose();
        let wrong = [
            String::new(),
            text[1..].to_owned(),
            format!("{text}0"),
            format!(" {}", &text[..68]),
            text.replace("_app_", "_usr_"),
            text.replace("_app_", "_apps"),
            text.replace("prs_", "sk__"),
            "é".repeat(34) + "x",
        ];
        assert!(wrong.iter().all(|text| ApiKey::parse(text).is_none()));
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_always_noticed(seed: u64, at in 0usize..69, digit in 0usize..62) {
            let key = ApiKey::generate(KeyKind::App, &Chance::from_seed(seed)).text();
            let mut typo = key.expose().clone().into_bytes();
            prop_assume!(typo[at] != DIGITS[digit]);
            typo[at] = DIGITS[digit];
            let typo = String::from_utf8(typo).expect("ASCII");
            prop_assert!(ApiKey::parse(&typo).is_none());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(prs_(app|con)_)?\\PC{0,70}") {
            prop_assert!(ApiKey::parse(&text).is_none());
        }
    }
}
