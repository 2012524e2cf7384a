//! Phone numbers in E.164, the one form that is stored, compared and unique.

/// Digits of a whole number: E.164 ends at 15; below 8 there is no number that can be called from
/// abroad.
const DIGITS_MIN: usize = 8;
const DIGITS_MAX: usize = 15;
/// Room for spaces and hyphens between the digits, and an end to it.
const TYPED_BYTES_MAX: usize = 64;

/// Always `+` and 8 to 15 digits.
///
/// Whether the national plan knows the number is not asked: plans change faster than our copy of
/// them, so a person with a number from a new range would be turned away, and the numbers that
/// documents use as samples (`+12345678901`) are valid nowhere. That a number reaches its person is
/// shown by proving it, not by its digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

impl Phone {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let e164 = normalised(&bare(text)?)?;
        // The trunk prefix in `+44 (0)20 …` is dropped. Where dropping one leaves another, it is
        // not certain which number is meant, and a stored number must be its own form.
        if normalised(&e164)? == e164 { Ok(Self(e164)) } else { Err(UNKNOWN) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which `identities` holds it.
    pub fn identity(&self) -> String {
        format!("phone:{}", self.0)
    }
}

/// What people put between digits.
pub(super) fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '(' | ')' | '.' | '\u{a0}')
}

const UNKNOWN: &str = "not a phone number that can be called from abroad: check the country code";

/// `+` and digits, nothing else: letters and extensions would be understood by the parser, but are
/// no part of what can be proven.
fn bare(text: &str) -> Result<String, &'static str> {
    if text.len() > TYPED_BYTES_MAX {
        return Err("a phone number has at most 15 digits");
    }
    let bare: String = text.trim().chars().filter(|c| !is_separator(*c)).collect();
    let digits = bare
        .strip_prefix('+')
        .ok_or("a phone number begins with + and its country code, as in +49 30 901820")?;
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(bare)
    } else {
        Err(
            "a phone number holds a + and digits; spaces, hyphens, dots and brackets may stand between",
        )
    }
}

fn normalised(bare: &str) -> Result<String, &'static str> {
    let digits = bare.len() - 1;
    if digits < DIGITS_MIN {
        return Err("a phone number has at least 8 digits with its country code");
    }
    // A trunk prefix may stand in excess; more than that no plan allows.
    if digits > DIGITS_MAX + 2 {
        return Err("a phone number has at most 15 digits");
    }
    let number = phonenumber::parse(None, bare).map_err(|_| UNKNOWN)?;
    // Written out by hand: the crate's formatter panics when it does not know the country.
    let e164 = format!("+{}{}", number.code().value(), number.national());
    match e164.len() - 1 {
        DIGITS_MIN..=DIGITS_MAX => Ok(e164),
        _ => Err(UNKNOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<String, &'static str> {
        Phone::parse(text).map(|phone| phone.as_str().to_owned())
    }

    #[test]
    fn one_number_has_one_form() {
        for (typed, stored) in [
            (" +44 (0)20 7946-0958 ", "+442079460958"),
            ("+442079460958", "+442079460958"),
            ("+49 (30) 901.820", "+4930901820"),
            ("+39 06 698 00000", "+390669800000"),
            ("+1 201 555 0123", "+12015550123"),
        ] {
            assert_eq!(parsed(typed).as_deref(), Ok(stored), "{typed}");
        }
        let phone = Phone::parse("+49 30 901820").expect("valid");
        assert_eq!(phone.identity(), "phone:+4930901820");
    }

    #[test]
    fn sample_numbers_of_the_documents_are_kept_as_they_are() {
        assert_eq!(parsed("+12345678901").as_deref(), Ok("+12345678901"));
        assert_eq!(parsed("+1234567890").as_deref(), Ok("+1234567890"));
    }

    #[test]
    fn what_cannot_be_called_from_abroad_is_refused() {
        let long = format!("+49{}", " ".repeat(99));
        for text in [
            "",
            "+",
            "030 901820",
            "0049 30 901820",
            "+49",
            "+49 30 1",
            "+999 1234567",
            "+0 1234567890",
            "+49 30 901820 ext. 5",
            "+1 800 FLOWERS",
            "+49 30 901820 1234567890",
            "++4930901820",
            "+49+30901820",
            "+49 30 901820\0",
            "tel:+4930901820",
            "+٤٩٣٠٩٠١٨٢٠",
            &long,
        ] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_stored_form_is_its_own_form(text in "\\+[0-9]{1,18}") {
            if let Ok(phone) = Phone::parse(&text) {
                prop_assert!((9..=16).contains(&phone.as_str().len()));
                prop_assert_eq!(Phone::parse(phone.as_str()), Ok(phone.clone()));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\+?\\PC{0,30}") {
            let _ = Phone::parse(&text);
        }
    }
}
