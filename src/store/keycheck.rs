//! Whether the keyring is the one that this database was written with. A wrong key under a known id
//! would seal new data so that nobody can open it later, and recognise no API key at all.

use bson::{Bson, Document, doc};

use super::client::Store;
use super::node::META;
use super::trouble;

const ID: &str = "keyring";
const KEYS: &str = "keys";
const MASTER_KEYS: &str = "master_keys:";

impl Store {
    /// Refuses a key that differs from what was noted under its id, and the absence of one that is
    /// in use; notes those that come into use: the peppers, and the master key that seals. An older
    /// master key whose note is gone has nothing left to open, and is not noted again.
    pub async fn check_keyring(&self) -> Result<(), String> {
        let meta = self.inner().database.collection::<Document>(META);
        let present = self.keyring().fingerprints();
        let sealing = format!("{MASTER_KEYS}{}", self.keyring().newest_master_id());
        let checked = async move {
            let noted = meta.find_one(doc! { "_id": ID }).await;
            let noted = noted.map_err(|error| trouble::describe(&error))?.unwrap_or_default();
            let noted = noted.get_document(KEYS).cloned().unwrap_or_default();
            let Compared { unknown, missing } = compare(&noted, &present, &sealing)?;
            if unknown.is_empty() {
                return Ok(missing);
            }
            let noting = doc! { "$set": unknown };
            #[expect(
                clippy::disallowed_methods,
                reason = "which keys are in use is nobody's record"
            )]
            let written = meta.update_one(doc! { "_id": ID }, noting).upsert(true).await;
            written.map(|_| missing).map_err(|error| trouble::describe(&error))
        };
        let missing = self.spawn(checked).await.map_err(|fault| fault.to_string())??;
        if missing.is_empty() {
            return Ok(());
        }
        // One that was only put in front for a while has sealed nothing, and may be taken back.
        let sealed = self.sealed().await?;
        let used = |id: &String| sealed.values().any(|tally| tally.older.contains_key(id));
        missing.into_iter().find(used).map_or(Ok(()), |id| Err(absent("master_keys", &id)))
    }

    /// Drops the notes of all master keys but the newest, for when nothing is sealed under them any
    /// more: from then on a start does not ask for them. Their ids.
    pub async fn forget_older_master_keys(&self) -> Result<Vec<String>, String> {
        let meta = self.inner().database.collection::<Document>(META);
        let sealing = format!("{MASTER_KEYS}{}", self.keyring().newest_master_id());
        let forgotten = async move {
            let noted = meta.find_one(doc! { "_id": ID }).await;
            let noted = noted.map_err(|error| trouble::describe(&error))?.unwrap_or_default();
            let noted = noted.get_document(KEYS).cloned().unwrap_or_default();
            let older = |name: &&String| name.starts_with(MASTER_KEYS) && **name != sealing;
            let older: Vec<String> = noted.keys().filter(older).cloned().collect();
            if older.is_empty() {
                return Ok(older);
            }
            let unset = older.iter().map(|name| (format!("{KEYS}.{name}"), Bson::from("")));
            let dropping = doc! { "$unset": unset.collect::<Document>() };
            #[expect(
                clippy::disallowed_methods,
                reason = "which keys are in use is nobody's record"
            )]
            let dropped = meta.update_one(doc! { "_id": ID }, dropping).await;
            dropped.map_err(|error| trouble::describe(&error))?;
            let id = |name: String| name.trim_start_matches(MASTER_KEYS).to_owned();
            Ok(older.into_iter().map(id).collect())
        };
        self.spawn(forgotten).await.map_err(|fault| fault.to_string())?
    }
}

#[derive(Debug, PartialEq)]
struct Compared {
    /// What is in use and not noted yet, by its path.
    unknown: Document,
    /// Master keys that are noted and not there.
    missing: Vec<String>,
}

fn absent(list: &str, id: &str) -> String {
    format!(
        "crypto.{list}: `{id}` is missing, and this database was written with it. Keep it in the \
         list, behind the newer ones."
    )
}

/// `sealing` names the master key that seals.
fn compare(
    noted: &Document,
    present: &[(String, String)],
    sealing: &str,
) -> Result<Compared, String> {
    let mut missing = Vec::new();
    for (name, fingerprint) in noted {
        let (list, id) = name.split_once(':').unwrap_or((name, ""));
        let current = present.iter().find(|(present, _)| present == name);
        match current.map(|(_, value)| value.as_str()) {
            Some(value) if Some(value) == fingerprint.as_str() => {}
            Some(_) => {
                return Err(format!(
                    "crypto.{list}: `{id}` is not the key that this database was written with. \
                     Configure the right one; a new key needs an id of its own, in front of the old."
                ));
            }
            None if name.starts_with(MASTER_KEYS) => missing.push(id.to_owned()),
            None => return Err(absent(list, id)),
        }
    }
    let in_use = |name: &str| name == sealing || !name.starts_with(MASTER_KEYS);
    let unknown =
        present.iter().filter(|(name, _)| in_use(name) && !noted.contains_key(name.as_str()));
    let unknown = unknown.map(|(name, value)| (format!("{KEYS}.{name}"), value.into())).collect();
    Ok(Compared { unknown, missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_key_that_is_new_is_noted_and_one_that_is_known_is_not_noted_again() {
        let present = [key("master_keys:m2", "b"), key("master_keys:m1", "a")];
        let unknown = compare(&doc! { "master_keys:m1": "a" }, &present, "master_keys:m2");
        assert_eq!(unknown.map(|it| it.unknown), Ok(doc! { "keys.master_keys:m2": "b" }));
    }

    #[test]
    fn an_older_master_key_that_was_forgotten_is_neither_asked_for_nor_noted_again() {
        let noted = doc! { "master_keys:m2": "b" };
        let both = [key("master_keys:m2", "b"), key("master_keys:m1", "a")];
        let nothing = || Ok(Compared { unknown: doc! {}, missing: Vec::new() });
        assert_eq!(compare(&noted, &both, "master_keys:m2"), nothing());
        assert_eq!(compare(&noted, &both[..1], "master_keys:m2"), nothing());
        let back = compare(&noted, &both, "master_keys:m1");
        assert_eq!(back.map(|it| it.unknown), Ok(doc! { "keys.master_keys:m1": "a" }));
    }

    #[test]
    fn another_key_under_a_known_id_and_a_missing_key_are_refused_by_name() {
        let noted = doc! { "peppers:p1": "a" };
        let other =
            compare(&noted, &[key("peppers:p1", "b")], "master_keys:m1").expect_err("another key");
        assert!(other.contains("crypto.peppers: `p1` is not the key"), "{other}");
        let missing =
            compare(&noted, &[key("peppers:p2", "b")], "master_keys:m1").expect_err("missing");
        assert!(missing.contains("crypto.peppers: `p1` is missing"), "{missing}");
        let noted = doc! { "master_keys:m2": "b" };
        let gone = compare(&noted, &[key("master_keys:m1", "a")], "master_keys:m1");
        assert_eq!(
            gone.map(|it| it.missing),
            Ok(vec!["m2".to_owned()]),
            "if it has sealed nothing"
        );
    }
}
