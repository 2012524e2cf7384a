//! The sources, laid on each other: what is asked for is taken out, so what is left is unknown.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::num::ParseIntError;
use std::path::{Path, PathBuf};

use ::config::{FileFormat, Map, Source as _, Value, ValueKind};

use super::found::{Found, Key, Kind, PREFIX, Source};
use super::problem::{self, ConfigError};
use super::section::Section;

pub(super) const DEFAULTS: &str = include_str!("defaults.toml");
const FILE_VARIABLE: &str = "PURSER_CONFIG";
/// Of the configuration file and of each secret's file; also ends the reading of a device.
const FILE_BYTES_MAX: u64 = 65_536;

pub(super) struct Loader {
    /// The lowest first.
    layers: Vec<Layer>,
    /// Only variables that start with `PURSER__`.
    environment: BTreeMap<String, String>,
    keys: Vec<Key>,
    problems: Vec<String>,
}

/// One TOML source: its values by dotted path.
struct Layer {
    source: Source,
    values: BTreeMap<String, ValueKind>,
}

impl Loader {
    pub(super) fn open(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut environment: BTreeMap<String, String> = environment
            .filter(|(name, _)| name == FILE_VARIABLE || name.starts_with(PREFIX))
            .collect();
        let named = environment.remove(FILE_VARIABLE).map(PathBuf::from);
        let mut layers = vec![Layer::parse(Source::Defaults, DEFAULTS)?];
        if let Some(path) = file.map(Path::to_path_buf).or(named) {
            layers.push(Layer::read(path)?);
        }
        Ok(Self { layers, environment, keys: Vec::new(), problems: Vec::new() })
    }

    pub(super) fn section(&mut self, name: &'static str) -> Section<'_> {
        Section::new(name, self)
    }

    /// Takes the key out of every source, and returns what the highest one says, or the problem.
    pub(super) fn take(&mut self, key: &Key) -> Result<Found, String> {
        let path = key.path();
        let mut found = None;
        for layer in &mut self.layers {
            if let Some(value) = layer.values.remove(&path) {
                found = Some(Found { value, source: layer.source.clone() });
            }
        }
        match (self.environment.remove(&key.variable()), self.take_secret_file(key)) {
            (None, None) => found.ok_or_else(|| problem::missing(key)),
            (Some(text), None) => {
                let source = Source::Variable(key.variable());
                Ok(Found { value: ValueKind::String(text), source })
            }
            (None, Some(path)) => read_secret(key, path),
            (Some(_), Some(_)) => Err(problem::named_twice(key)),
        }
    }

    fn take_secret_file(&mut self, key: &Key) -> Option<String> {
        match key.kind {
            Kind::Secret => self.environment.remove(&key.file_variable()),
            Kind::Plain => None,
        }
    }

    /// The key is known from now on; a problem with it is kept for `finish`.
    pub(super) fn note<T>(&mut self, key: Key, result: Result<T, String>) -> Option<T> {
        self.keys.push(key);
        result.map_err(|problem| self.problems.push(problem)).ok()
    }

    /// To be called when every section has been read.
    pub(super) fn finish(mut self) -> Result<(), ConfigError> {
        let in_layers = self.layers.iter().flat_map(|layer| {
            layer.values.keys().map(|path| self.unknown_path(path, &layer.source))
        });
        let in_environment = self.environment.keys().map(|name| self.unknown_variable(name));
        let unknown: Vec<String> = in_layers.chain(in_environment).collect();
        self.problems.extend(unknown);
        ConfigError::of(self.problems).map_or(Ok(()), Err)
    }

    fn unknown_path(&self, path: &str, source: &Source) -> String {
        let nearest = problem::nearest(path, &self.keys).map(Key::path);
        problem::unknown(path, source, nearest)
    }

    fn unknown_variable(&self, name: &str) -> String {
        let path = name[PREFIX.len()..].replace("__", ".").to_lowercase();
        let stem = path.strip_suffix("_file");
        let nearest =
            problem::nearest(stem.unwrap_or(&path), &self.keys).map(|key| match key.kind {
                Kind::Secret if stem.is_some() => key.file_variable(),
                _ => key.variable(),
            });
        problem::unknown(name, &"environment", nearest)
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

impl Layer {
    fn read(path: PathBuf) -> Result<Self, String> {
        let text = read_text(&path).map_err(|cause| {
            format!("the configuration file {} cannot be read: {cause}", path.display())
        })?;
        Self::parse(Source::File(path), &text)
    }

    fn parse(source: Source, text: &str) -> Result<Self, String> {
        let root = ::config::File::from_str(text, FileFormat::Toml)
            .collect()
            .map_err(|error| format!("{source} is not TOML{}", position(&error)))?;
        let mut values = BTreeMap::new();
        flatten("", root, &mut values);
        Ok(Self { source, values })
    }
}

/// Only the position: the rest of the message quotes the line, and with it perhaps a secret.
fn position(error: &::config::ConfigError) -> String {
    let ::config::ConfigError::FileParse { cause, .. } = error else {
        return String::new();
    };
    if cause.is::<ParseIntError>() {
        return ": it has an integer that is too large".to_owned();
    }
    let text = cause.to_string();
    let position = text.lines().next().and_then(|line| line.strip_prefix("TOML parse error "));
    position.map_or(String::new(), |position| format!(": see {position}"))
}

fn flatten(parent: &str, table: Map<String, Value>, values: &mut BTreeMap<String, ValueKind>) {
    for (name, value) in table {
        let path = if parent.is_empty() { name } else { format!("{parent}.{name}") };
        match value.kind {
            ValueKind::Table(table) => flatten(&path, table, values),
            kind => {
                values.insert(path, kind);
            }
        }
    }
}

/// Editors and `echo` end a file with a newline that is no part of the secret.
fn read_secret(key: &Key, path: String) -> Result<Found, String> {
    let text = read_text(Path::new(&path));
    let source = Source::SecretFile { path, variable: key.file_variable() };
    match text {
        Ok(text) => Ok(Found { value: ValueKind::String(text.trim().to_owned()), source }),
        Err(cause) => Err(problem::unreadable(key, &source, &cause)),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
