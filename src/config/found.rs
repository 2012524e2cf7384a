//! A key, and what a source says about it.

use std::fmt::{self, Display};
use std::path::PathBuf;

use ::config::ValueKind;

pub(super) const PREFIX: &str = "PURSER__";
const SHOWN_CHARACTERS_MAX: usize = 80;

/// One row of the table of keys.
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) accepted: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Required, may come from a `_FILE`, and is never shown.
    Secret,
}

impl Key {
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}__{}", self.section, self.name).to_uppercase()
    }

    pub(super) fn file_variable(&self) -> String {
        format!("{}_FILE", self.variable())
    }
}

#[derive(Clone)]
pub(super) enum Source {
    Defaults,
    File(PathBuf),
    Variable(String),
    SecretFile { path: String, variable: String },
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("defaults"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {}", name.escape_debug()),
            Self::SecretFile { path, variable } => {
                write!(f, "file {} of environment variable {variable}", path.escape_debug())
            }
        }
    }
}

/// A value and where it came from.
pub(super) struct Found {
    pub(super) value: ValueKind,
    pub(super) source: Source,
}

impl Found {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// In TOML `"8080"` is a text and refused; the environment has nothing but texts.
    pub(super) fn integer(&self) -> Option<i64> {
        match (&self.value, &self.source) {
            (ValueKind::I64(number), _) => Some(*number),
            (ValueKind::String(text), Source::Variable(_)) => text.parse().ok(),
            _ => None,
        }
    }

    /// The environment has nothing but texts.
    pub(super) fn items(&self) -> Option<Vec<&str>> {
        match (&self.value, &self.source) {
            (ValueKind::Array(items), _) => items
                .iter()
                .map(|item| match &item.kind {
                    ValueKind::String(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            (ValueKind::String(text), Source::Variable(_)) => {
                Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())
            }
            _ => None,
        }
    }

    pub(super) fn refusal(&self, key: &Key) -> String {
        let value = match key.kind {
            Kind::Secret => "[secret]".to_owned(),
            Kind::Plain => self.shown(),
        };
        format!("{} = {value} ({}); accepted: {}", key.path(), self.source, key.accepted)
    }

    /// On one line and short, whatever it is.
    fn shown(&self) -> String {
        match &self.value {
            ValueKind::Array(_) => "an array".to_owned(),
            ValueKind::String(text) if text.chars().count() > SHOWN_CHARACTERS_MAX => {
                let start: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
                format!("{start:?}…")
            }
            ValueKind::String(text) => format!("{text:?}"),
            other => other.to_string(),
        }
    }
}
