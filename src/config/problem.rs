//! How a problem is worded: key, value, source, what is accepted.

use std::fmt::{self, Display};
use std::io;

use super::found::{Key, Kind, Source};

/// No known path is nearly as long; bounds `edits`, which is quadratic.
const PATH_CHARACTERS_MAX: usize = 100;

/// One line says that the configuration was refused; each further line is one problem.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// `None` when there is nothing to complain about.
    pub(super) fn of(problems: Vec<String>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }
}

impl From<String> for ConfigError {
    fn from(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration was refused:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
    }
}

impl std::error::Error for ConfigError {}

pub(super) fn missing(key: &Key) -> String {
    let variables = match key.kind {
        Kind::Secret => format!("{} or {}", key.variable(), key.file_variable()),
        Kind::Plain => key.variable(),
    };
    format!(
        "{} is missing from all sources; accepted: {}; set {variables}, or `{}` under [{}] in the \
         configuration file",
        key.path(),
        key.accepted,
        key.name,
        key.section,
    )
}

pub(super) fn named_twice(key: &Key) -> String {
    format!(
        "{} = [secret] (environment variables {} and {}); accepted: only one of the two",
        key.path(),
        key.variable(),
        key.file_variable(),
    )
}

pub(super) fn unreadable(key: &Key, source: &Source, cause: &io::Error) -> String {
    format!(
        "{} = [secret] ({source}): the file cannot be read: {cause}; accepted: a readable file with {}",
        key.path(),
        key.accepted,
    )
}

/// The value is left out on purpose: an unknown key may be a misspelt secret.
pub(super) fn unknown(name: &str, source: &dyn Display, nearest: Option<String>) -> String {
    let nearest = nearest.map_or(String::new(), |key| format!("; the nearest known key is {key}"));
    format!("{} ({source}) is not a known key{nearest}", name.escape_debug())
}

/// The key whose path takes the fewest edits. A path in the wrong section, or in none, is compared
/// by its last part as well.
pub(super) fn nearest<'a>(path: &str, known: &'a [Key]) -> Option<&'a Key> {
    let path: String = path.to_lowercase().chars().take(PATH_CHARACTERS_MAX).collect();
    let last_part = path.rsplit('.').next().unwrap_or(&path);
    known.iter().min_by_key(|key| edits(&path, &key.path()).min(1 + edits(last_part, key.name)))
}

/// Levenshtein's distance, one row at a time.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_of(path: &str) -> String {
        let known =
            [("server", "port"), ("server", "workers"), ("store", "queue"), ("log", "level")];
        let key =
            |(section, name)| Key { section, name, kind: Kind::Plain, accepted: String::new() };
        nearest(path, &known.map(key)).expect("there are keys").path()
    }

    #[test]
    fn the_nearest_key_is_found_through_slips_wrong_sections_and_capitals() {
        assert_eq!(nearest_of("server.prot"), "server.port");
        assert_eq!(nearest_of("sever.workers"), "server.workers");
        assert_eq!(nearest_of("port"), "server.port");
        assert_eq!(nearest_of("audit.level"), "log.level");
        assert_eq!(nearest_of("Store.Queue"), "store.queue");
    }

    #[test]
    fn edits_are_insertions_deletions_and_replacements() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
