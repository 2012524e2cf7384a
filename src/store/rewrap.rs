//! Putting everything that is sealed under the newest master key, while others read and write.
//!
//! The secret stays the same and only its envelope is new: the record does not change. So this goes
//! round the trail, whose entry could only say that "secret" is now "secret", and leaves `revision`
//! alone. Each update is guarded by the envelope that was read: what was replaced meanwhile is left
//! as it is, and a transaction that has read the record before fails on it and reads again. What is
//! done is told by the values themselves, so a run that was ended is taken up by the next one.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::Database;

use super::client::Store;
use super::trouble;
use super::write::IDEMPOTENCY;
use crate::crypto::envelope::Context;
use crate::crypto::keyring::Keyring;

/// Where sealed values live. Whoever seals something new and stores it adds a line.
const PLACES: &[Place] = &[
    Place { collection: "user_keys", values: Values::Field("wrapped"), holders: by_id },
    Place { collection: "user_apps", values: Values::Field("api_key"), holders: by_id },
    Place {
        collection: "apps",
        values: Values::Elements { array: "keys", field: "sealed", sealed_as: "api_key" },
        holders: by_id,
    },
    Place { collection: "registrations", values: Values::EveryField, holders: by_request },
    Place { collection: IDEMPOTENCY, values: Values::Field("answer"), holders: by_id },
];

const RECORDS_PER_BATCH: i64 = 500;
/// Values that do not open, and are told one by one.
const TOLD_MAX: usize = 20;

struct Place {
    collection: &'static str,
    values: Values,
    /// The ids that its contexts may name, the likeliest first.
    holders: fn(&Document) -> Vec<String>,
}

enum Values {
    Field(&'static str),
    Elements {
        array: &'static str,
        field: &'static str,
        /// The field that the context names.
        sealed_as: &'static str,
    },
    /// Every text of the record that is sealed.
    EveryField,
}

/// One sealed value of a record.
#[derive(Debug, PartialEq)]
struct Value {
    path: String,
    sealed_as: String,
    sealed: String,
}

/// How much is sealed under which key in one place.
#[derive(Debug, Default)]
pub struct Tally {
    pub newest: u64,
    /// By the id of the key.
    pub older: BTreeMap<String, u64>,
}

/// What did not open: how much, and some of it in words.
#[derive(Debug, Default)]
pub struct Unopened {
    pub count: u64,
    pub told: Vec<String>,
}

impl Store {
    /// Everything that is sealed, as `collection.field`.
    pub async fn sealed(&self) -> Result<BTreeMap<String, Tally>, String> {
        let mut all = BTreeMap::new();
        for place in PLACES {
            let database = self.inner().database.clone();
            let counted = self.spawn(async move { place.count(&database).await });
            for (name, key, count) in counted.await.map_err(|fault| fault.to_string())?? {
                let tally: &mut Tally = all.entry(name).or_default();
                if key == self.keyring().newest_master_id() {
                    tally.newest += count;
                } else {
                    *tally.older.entry(key).or_default() += count;
                }
            }
        }
        Ok(all)
    }

    /// One pass over everything; `rewrapped` is told how many values each batch has moved.
    pub async fn rewrap(&self, mut rewrapped: impl FnMut(u64)) -> Result<Unopened, String> {
        let mut unopened = Unopened::default();
        for place in PLACES {
            let mut after = None;
            loop {
                let records = self.batch(place, after.take()).await?;
                let Some(last) = records.last() else { break };
                after = last.get("_id").cloned();
                let statements = self.statements(place, &records, &mut unopened);
                rewrapped(self.replace(place, statements).await?);
            }
        }
        Ok(unopened)
    }

    async fn batch(
        &self,
        place: &'static Place,
        after: Option<Bson>,
    ) -> Result<Vec<Document>, String> {
        let records = self.inner().database.collection::<Document>(place.collection);
        let filter = after.map_or_else(Document::new, |after| doc! { "_id": { "$gt": after } });
        let found = async move {
            let found = records.find(filter).sort(doc! { "_id": 1 }).limit(RECORDS_PER_BATCH);
            found.projection(place.projection()).await?.try_collect::<Vec<_>>().await
        };
        let found = self.spawn(found).await.map_err(|fault| fault.to_string())?;
        found.map_err(|error| trouble::describe(&error))
    }

    /// The updates of a batch; what does not open is noted and left.
    fn statements(
        &self,
        place: &Place,
        records: &[Document],
        unopened: &mut Unopened,
    ) -> Vec<Bson> {
        let mut statements = Vec::new();
        for record in records {
            let id = record.get("_id").cloned().unwrap_or(Bson::Null);
            for value in place.outdated(record, self.keyring()) {
                let Some(rewrapped) = self.rewrapped(place, record, &value) else {
                    unopened.note(place, &id, &value, self.keyring());
                    continue;
                };
                let guard = doc! { "_id": id.clone(), &value.path: { "$eq": value.sealed } };
                let update = doc! { "$set": { value.path: rewrapped } };
                statements.push(doc! { "q": guard, "u": update }.into());
            }
        }
        statements
    }

    fn rewrapped(&self, place: &Place, record: &Document, value: &Value) -> Option<String> {
        let (keyring, chance) = (self.keyring(), self.chance());
        (place.holders)(record).iter().find_map(|id| {
            let context = Context { collection: place.collection, id, field: &value.sealed_as };
            keyring.rewrap(chance, &context, &value.sealed).ok()
        })
    }

    async fn replace(&self, place: &'static Place, updates: Vec<Bson>) -> Result<u64, String> {
        if updates.is_empty() {
            return Ok(0);
        }
        let database = self.inner().database.clone();
        let command = doc! {
            "update": place.collection, "updates": updates, "ordered": false,
            "writeConcern": { "w": "majority", "j": true },
        };
        let reply = self.spawn(async move { database.run_command(command).await }).await;
        let reply = reply.map_err(|fault| fault.to_string())?;
        let reply = reply.map_err(|error| trouble::describe(&error))?;
        if let Some(trouble) = trouble::of_write_errors(place.collection, &reply) {
            return Err(format!("{}: {trouble:?}", place.collection));
        }
        Ok(reply.get_i32("n").ok().and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }
}

impl Unopened {
    fn note(&mut self, place: &Place, id: &Bson, value: &Value, keyring: &Keyring) {
        self.count += 1;
        if self.told.len() < TOLD_MAX {
            let key = Keyring::sealed_under(&value.sealed).unwrap_or("?");
            let why = if keyring.has_master(key) {
                "does not open with it: it was damaged, or moved from another record"
            } else {
                "which is not in crypto.master_keys"
            };
            let (collection, path) = (place.collection, &value.path);
            self.told.push(format!("{collection}.{path} of {id}: sealed under `{key}`, {why}"));
        }
    }
}

impl Place {
    /// Each field, key id and count.
    async fn count(&self, database: &Database) -> Result<Vec<(String, String, u64)>, String> {
        let mut stages = self.stages();
        stages.extend([
            doc! { "$match": { "sealed": { "$type": "string", "$regex": "^v1\\.[a-z0-9_]+\\." } } },
            doc! { "$group": {
                "_id": { "field": "$field", "key": { "$arrayElemAt": [{ "$split": ["$sealed", "."] }, 1] } },
                "count": { "$sum": 1_i64 },
            } },
        ]);
        let counted = async {
            let records = database.collection::<Document>(self.collection);
            records.aggregate(stages).await?.try_collect::<Vec<_>>().await
        };
        let rows = counted.await.map_err(|error| trouble::describe(&error))?;
        let row = |row: Document| {
            let group = row.get_document("_id").ok()?;
            let (field, key) = (group.get_str("field").ok()?, group.get_str("key").ok()?);
            let count = u64::try_from(row.get_i64("count").ok()?).ok()?;
            Some((format!("{}.{field}", self.collection), key.to_owned(), count))
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }

    /// From a record to `field` and `sealed` of each of its values.
    fn stages(&self) -> Vec<Document> {
        match self.values {
            Values::Field(field) => vec![
                doc! { "$project": { "field": { "$literal": field }, "sealed": format!("${field}") } },
            ],
            Values::Elements { array, field, .. } => vec![
                doc! { "$unwind": format!("${array}") },
                doc! { "$project": {
                    "field": { "$literal": format!("{array}.{field}") },
                    "sealed": format!("${array}.{field}"),
                } },
            ],
            Values::EveryField => vec![
                doc! { "$project": { "fields": { "$objectToArray": "$$ROOT" } } },
                doc! { "$unwind": "$fields" },
                doc! { "$project": { "field": "$fields.k", "sealed": "$fields.v" } },
            ],
        }
    }

    fn projection(&self) -> Document {
        match self.values {
            Values::Field(field) => doc! { field: 1 },
            Values::Elements { array, field, .. } => doc! { format!("{array}.{field}"): 1 },
            Values::EveryField => Document::new(),
        }
    }

    /// What is sealed under another key than the newest.
    fn outdated(&self, record: &Document, keyring: &Keyring) -> Vec<Value> {
        let newest = Some(keyring.newest_master_id());
        let mut values = self.values.of(record);
        values.retain(|value| {
            let key = Keyring::sealed_under(&value.sealed);
            key.is_some() && key != newest
        });
        values
    }
}

impl Values {
    fn of(&self, record: &Document) -> Vec<Value> {
        let value = |path: String, sealed_as: &str, value: Option<&Bson>| {
            let sealed = value.and_then(Bson::as_str)?.to_owned();
            Some(Value { path, sealed_as: sealed_as.to_owned(), sealed })
        };
        match *self {
            Self::Field(field) => {
                value(field.to_owned(), field, record.get(field)).into_iter().collect()
            }
            Self::Elements { array, field, sealed_as } => {
                let elements = record.get_array(array).map(Vec::as_slice).unwrap_or_default();
                let of = |(at, element): (usize, &Bson)| {
                    let sealed = element.as_document()?.get(field);
                    value(format!("{array}.{at}.{field}"), sealed_as, sealed)
                };
                elements.iter().enumerate().filter_map(of).collect()
            }
            Self::EveryField => record
                .iter()
                .filter_map(|(name, held)| value(name.clone(), name, Some(held)))
                .collect(),
        }
    }
}

fn by_id(record: &Document) -> Vec<String> {
    match record.get("_id") {
        Some(Bson::ObjectId(id)) => vec![id.to_hex()],
        Some(Bson::String(id)) => vec![id.clone()],
        _ => Vec::new(),
    }
}

/// A registration is sealed for its request, whichever record comes to hold it.
fn by_request(record: &Document) -> Vec<String> {
    let fingerprint = record.get_str("fingerprint").ok().map(str::to_owned);
    fingerprint.into_iter().chain(by_id(record)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    #[test]
    fn what_is_outdated_is_found_wherever_a_record_keeps_it() {
        let keyring = Keyring::parse(&format!("m2:{KEY}"), &format!("p1:{KEY}")).expect("keys");
        let paths = |values: Values, record: Document| -> Vec<String> {
            let place = Place { collection: "test", values, holders: by_id };
            place.outdated(&record, &keyring).into_iter().map(|value| value.path).collect()
        };
        assert_eq!(paths(Values::Field("wrapped"), doc! { "wrapped": "v1.m1.x" }), ["wrapped"]);
        assert!(paths(Values::Field("wrapped"), doc! { "wrapped": "v1.m2.x" }).is_empty());
        assert!(paths(Values::Field("wrapped"), doc! {}).is_empty());
        let keys = Values::Elements { array: "keys", field: "sealed", sealed_as: "api_key" };
        let record = doc! { "keys": [{ "sealed": "v1.m2.x" }, { "sealed": "v1.m.x" }, {}] };
        assert_eq!(paths(keys, record), ["keys.1.sealed"]);
        let record =
            doc! { "_id": 1, "sealed": "v1.m1.x", "sealed_key": "v1.m2.x", "status": "v1" };
        assert_eq!(paths(Values::EveryField, record), ["sealed"]);
    }

    #[test]
    fn a_registration_opens_by_its_request_or_by_its_id() {
        let record = doc! { "_id": "id", "fingerprint": "request" };
        assert_eq!(by_request(&record), ["request", "id"]);
        assert_eq!(by_request(&doc! { "_id": "id" }), ["id"]);
    }
}
