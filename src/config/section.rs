//! The typed view of one section: each method asks for one key and says what it accepts.
//!
//! A refused key is noted as a problem and answered with a placeholder, so that one start reports
//! all problems.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::kernel::secret::Secret;

use super::found::{Found, Key, Kind};
use super::loader::Loader;

pub(super) struct Section<'a> {
    name: &'static str,
    loader: &'a mut Loader,
}

impl<'a> Section<'a> {
    pub(super) fn new(name: &'static str, loader: &'a mut Loader) -> Self {
        Self { name, loader }
    }

    pub(super) fn number<T>(&mut self, name: &'static str, range: RangeInclusive<T>) -> T
    where
        T: Copy + Display + PartialOrd + TryFrom<i64>,
    {
        let accepted = format!("an integer from {} to {}", range.start(), range.end());
        self.number_described(name, range, &accepted)
    }

    /// The placeholder is the largest number, so that a key bounded by a refused one is not refused
    /// on its account.
    pub(super) fn number_described<T>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<T>,
        accepted: &str,
    ) -> T
    where
        T: Copy + PartialOrd + TryFrom<i64>,
    {
        let within = |number: &T| range.contains(number);
        self.read(name, Kind::Plain, accepted, |found| {
            found.integer().and_then(|number| T::try_from(number).ok()).filter(within)
        })
        .unwrap_or(*range.end())
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.read(name, Kind::Plain, &words.join(" | "), |found| {
            let text = found.text()?;
            choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
        })
        .unwrap_or(choices[0].1)
    }

    pub(super) fn text(
        &mut self,
        name: &'static str,
        accepted: &str,
        rule: impl Fn(&str) -> bool,
    ) -> String {
        let take = |found: &Found| found.text().filter(|text| rule(text)).map(str::to_owned);
        self.read(name, Kind::Plain, accepted, take).unwrap_or_default()
    }

    pub(super) fn parsed<T: FromStr>(
        &mut self,
        name: &'static str,
        accepted: &str,
        placeholder: T,
    ) -> T {
        self.read(name, Kind::Plain, accepted, |found| found.text()?.parse().ok())
            .unwrap_or(placeholder)
    }

    /// An array in TOML; in the environment its items with commas between them.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        accepted: &str,
        item: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let take = |found: &Found| found.items()?.into_iter().map(&item).collect();
        self.read(name, Kind::Plain, accepted, take).unwrap_or_default()
    }

    /// Secrets have no default: one that everybody knows would be none.
    pub(super) fn secret(
        &mut self,
        name: &'static str,
        accepted: &str,
        rule: impl Fn(&str) -> bool,
    ) -> Secret<String> {
        let take = |found: &Found| found.text().filter(|text| rule(text)).map(str::to_owned);
        Secret::new(self.read(name, Kind::Secret, accepted, take).unwrap_or_default())
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        kind: Kind,
        accepted: &str,
        parse: impl FnOnce(&Found) -> Option<T>,
    ) -> Option<T> {
        let key = Key { section: self.name, name, kind, accepted: accepted.to_owned() };
        let result = self
            .loader
            .take(&key)
            .and_then(|found| parse(&found).ok_or_else(|| found.refusal(&key)));
        self.loader.note(key, result)
    }
}
