//! Query parameters: each known by name, none twice, none unknown.

use url::form_urlencoded;

use crate::kernel::fault::{Code, Fault};
use crate::kernel::page::{LIMIT_MAX, Limit};

pub struct Parameters(Vec<(String, String)>);

/// Longer values are no ids.
const TOLD_MAX: usize = 128;
const KEY_NAMES: &[&str] = &["api_key", "apikey", "access_token", "token", "key"];

impl Parameters {
    /// Refuses a key in the query string whatever the parameter is called: it would stand in the
    /// logs of everything between the client and us.
    pub fn read(query: &str) -> Result<Self, Fault> {
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let is_key = |(name, value): &(String, String)| {
            KEY_NAMES.contains(&name.to_ascii_lowercase().as_str()) || value.starts_with("prs_")
        };
        if pairs.iter().any(is_key) {
            return Err(Fault::of(Code::KeyInQuery));
        }
        Ok(Self(pairs))
    }

    /// Every parameter must be one of `known`, and there once.
    pub fn only(&self, known: &[&str]) -> Result<(), Fault> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let detail = match known {
                    [] => "no parameters are accepted".to_owned(),
                    known => format!("not a parameter; expected one of {}", known.join(", ")),
                };
                let name: String = name.chars().take(64).collect();
                return Err(Fault::invalid(name, "unknown_parameter", detail));
            }
            if self.0[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Fault::invalid(name.clone(), "repeated", "send it once"));
            }
        }
        Ok(())
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn parsed<T>(
        &self,
        name: &'static str,
        accepted: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let refuse = || Fault::invalid(name, "not_accepted", accepted);
        self.text(name).map(|text| parse(text).ok_or_else(refuse)).transpose()
    }

    /// `dry_run=true`: what would happen is asked, and nothing is to be done.
    pub fn dry_run(&self) -> Result<bool, Fault> {
        let parse = |text: &str| text.parse().ok();
        Ok(self.parsed("dry_run", "`true` or `false`", parse)?.unwrap_or(false))
    }

    pub fn limit(&self) -> Result<Limit, Fault> {
        let parse = |text: &str| text.parse().ok().and_then(Limit::new);
        let limit = self.parsed("limit", "an integer from 1 to 200", parse)?;
        debug_assert_eq!(LIMIT_MAX, 200, "the message says so");
        Ok(limit.unwrap_or_default())
    }

    pub fn cursor(&self) -> Option<&str> {
        self.text("cursor")
    }

    /// The filter as one text: what a cursor is bound to.
    pub fn filter(&self) -> String {
        let mut filter: Vec<_> = self
            .0
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "cursor" | "limit"))
            .collect();
        filter.sort();
        form_urlencoded::Serializer::new(String::new()).extend_pairs(filter).finish()
    }

    /// The filter as the trail tells it: what could be an address or a name is not repeated there,
    /// where it could never be erased.
    pub fn told(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.:/,-".contains(c);
        let word = |text: &str| {
            let is_plain = text.len() <= TOLD_MAX && text.chars().all(plain);
            if is_plain { text.to_owned() } else { "[masked]".to_owned() }
        };
        let pairs = self.0.iter().filter(|(name, _)| name != "cursor");
        let pairs = pairs.map(|(name, value)| format!("{}={}", word(name), word(value)));
        let told = pairs.collect::<Vec<_>>().join("&");
        if told.is_empty() { told } else { format!("?{told}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_the_query_string_are_refused_by_name_and_by_look() {
        for query in ["api_key=x", "Token=x", "note=prs_app_123"] {
            let code = Parameters::read(query).err().map(|fault| fault.code());
            assert_eq!(code, Some(Code::KeyInQuery), "{query}");
        }
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        let read = |query| Parameters::read(query).expect("no key in it");
        assert!(read("email=a").only(&["email"]).is_ok());
        assert!(read("$where=a").only(&["email"]).is_err());
        assert!(read("email=a&email=b").only(&["email"]).is_err());
        assert!(read("limit=0").limit().is_err());
    }

    #[test]
    fn what_could_be_personal_in_a_filter_is_not_told() {
        let told = |query| Parameters::read(query).expect("no key in it").told();
        assert_eq!(told("ip=192.0.2.0/24&limit=5&cursor=x"), "?ip=192.0.2.0/24&limit=5");
        assert_eq!(told("reference=ada@example.com&b=2"), "?reference=[masked]&b=2");
        assert_eq!(told("reference=%2B436641234567"), "?reference=[masked]");
        assert_eq!(told("cursor=x"), "");
    }

    #[test]
    fn a_filter_is_the_same_in_any_order_and_without_the_page() {
        let filter = |query| Parameters::read(query).expect("no key in it").filter();
        assert_eq!(filter("b=2&a=1&limit=5&cursor=x"), filter("a=1&b=2"));
    }
}
