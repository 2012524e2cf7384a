//! What of a change may stand in the trail, and in which form.

use bson::{Bson, Document, doc};

use super::change::Change;
use super::entry::sides;
use crate::crypto::envelope::DataKey;
use crate::kernel::chance::Chance;
use crate::kernel::ids::EntryId;

/// How a value may appear in the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensitivity {
    Plain,
    /// Sealed under the user's own data key: destroying that key erases the value everywhere.
    Personal,
    /// Never, in no form: the entry only says that it changed.
    Secret,
}

/// What stands where a secret changed.
pub const SECRET_MARK: &str = "secret";

/// A change with the sensitivity of its path.
#[derive(Debug, Clone)]
pub struct Classified {
    pub change: Change,
    pub sensitivity: Sensitivity,
}

/// The `changes` field of an entry. `key` must be there when a change is personal.
pub fn seal(
    changes: &[Classified],
    key: Option<&DataKey>,
    entry: EntryId,
    chance: &Chance,
) -> Result<Document, String> {
    let mut sealed = Document::new();
    for Classified { change, sensitivity } in changes {
        let form = |value: &Bson, side: &str| match sensitivity {
            Sensitivity::Plain => Ok(marked(value)),
            Sensitivity::Secret if *value == Bson::Null => Ok(Bson::Null),
            Sensitivity::Secret => Ok(SECRET_MARK.into()),
            Sensitivity::Personal => {
                seal_value(value, key, entry, &label(&change.path, side), chance)
            }
        };
        let old = change.old.as_ref().map(|value| form(value, "old")).transpose()?;
        let new = change.new.as_ref().map(|value| form(value, "new")).transpose()?;
        sealed.insert(&change.path, sides(old, new));
    }
    Ok(sealed)
}

fn seal_value(
    value: &Bson,
    key: Option<&DataKey>,
    entry: EntryId,
    label: &str,
    chance: &Chance,
) -> Result<Bson, String> {
    let key = key.ok_or("a personal value without a data key")?;
    let plain = doc! { "v": value }.to_vec().map_err(|_| "a value that is no BSON")?;
    Ok(Bson::String(key.seal_value(chance, &entry.0, label, &plain)))
}

/// The value without the secrets inside it: a secret may stand below the path that changed, in an
/// array that changed as a whole.
pub fn redact(path: &str, value: Bson, sensitivity: fn(&str) -> Sensitivity) -> Bson {
    match value {
        Bson::Document(fields) => {
            let field = |(name, value): (String, Bson)| {
                let path = format!("{path}.{name}");
                let value = match sensitivity(&path) {
                    Sensitivity::Secret if value != Bson::Null => SECRET_MARK.into(),
                    _ => redact(&path, value, sensitivity),
                };
                (name, value)
            };
            Bson::Document(fields.into_iter().map(field).collect())
        }
        Bson::Array(elements) => Bson::Array(
            elements.into_iter().map(|element| redact(path, element, sensitivity)).collect(),
        ),
        other => other,
    }
}

/// What a sealed value begins with, and what is put before a plain text that begins like one:
/// nobody can send a text that passes for a sealed value, and so is masked instead of shown.
const SEALED: &str = "s1.";
const PLAIN: &str = "s0.";

/// Whether a stored value is a sealed one.
pub fn is_sealed(value: &Bson) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(SEALED))
}

fn marked(value: &Bson) -> Bson {
    match value {
        Bson::String(text) if text.starts_with(SEALED) || text.starts_with(PLAIN) => {
            Bson::String(format!("{PLAIN}{text}"))
        }
        other => other.clone(),
    }
}

/// A stored plain value as it was before it was marked; a sealed one stays as it is.
pub fn unmarked(value: Bson) -> Bson {
    match value {
        Bson::String(text) => Bson::String(text.strip_prefix(PLAIN).unwrap_or(&text).to_owned()),
        other => other,
    }
}

/// The value behind a sealed one; `None` when the key does not open it.
pub fn open(sealed: &Bson, key: &DataKey, entry: EntryId, path: &str, side: &str) -> Option<Bson> {
    let plain = key.open_value(&entry.0, &label(path, side), sealed.as_str()?).ok()?;
    Document::from_reader(plain.as_slice()).ok()?.remove("v")
}

/// Binds a sealed value to its place, so that old and new cannot be exchanged.
fn label(path: &str, side: &str) -> String {
    format!("{path}|{side}")
}
