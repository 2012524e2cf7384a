//! Reading inside a transaction: the records that its units ask for, one query for each collection.

use std::collections::{BTreeMap, HashMap, HashSet};

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;

use super::batch::Batch;
use super::client::Inner;
use super::copies::is_few;
use super::memory::{CONNECTIONS, Memory, user_of};
use super::record::{By, Locator, REVISION, value};
use super::transaction::Transaction;
use super::trouble::{self, Trouble};
use super::write::{IDEMPOTENCY, Units};

/// What the units have said that they are going to ask for, and what their provisos are about. What
/// the batch presumes or recalls is not asked for.
pub(super) fn wanted_first(units: &Units, about: &[Locator], batch: &Batch) -> Vec<Locator> {
    let mut wanted: Vec<Locator> = Vec::new();
    for unit in units {
        let hints = unit.hints();
        wanted.extend(hints.changes.iter().chain(&hints.looks).chain(&hints.creates).cloned());
    }
    wanted.extend(about.iter().filter(|locator| !batch.is_on_record(locator)).cloned());
    wanted
}

/// What the provisos of the units are about, each once.
pub(super) fn about(units: &Units) -> Vec<Locator> {
    let mut about: Vec<Locator> = Vec::new();
    for proviso in units.iter().flat_map(|unit| &unit.warrant().provisos) {
        let is_it = |known: &Locator| {
            known.collection == proviso.collection
                && matches!(&known.by, By::Id(id) if *id == proviso.id)
        };
        if !about.iter().rev().any(is_it) {
            about.push(Locator::id(proviso.collection, proviso.id.clone()));
        }
    }
    about
}

/// Takes those whom the units are going to change as they were left, and of what provisos are about
/// what is remembered (`memory`).
pub(super) fn recall(memory: &Memory, units: &Units, about: &[Locator], batch: &mut Batch) {
    let mut asked: HashSet<ObjectId> = HashSet::new();
    for locator in about {
        match (locator.collection, &locator.by) {
            (CONNECTIONS, By::Id(Bson::ObjectId(id))) => drop(asked.insert(*id)),
            (collection, _) if is_few(collection) && !batch.is_on_record(locator) => {
                if let Some(record) = memory.record(&locator.name()) {
                    batch.recall_record(locator, record);
                }
            }
            _ => {}
        }
    }
    for locator in units.iter().flat_map(|unit| &unit.hints().changes) {
        let person = user_of(locator).filter(|_| !batch.knows(locator));
        if let Some(person) = person.and_then(|user| memory.recall(&user)) {
            batch.recall(locator, &person, &asked);
        }
    }
}

/// Loads what the batch does not know yet: one query for each collection.
pub(super) async fn load(
    store: &Inner,
    transaction: &mut Transaction<'_>,
    batch: &mut Batch,
    mut wanted: Vec<Locator>,
) -> Result<(), Trouble> {
    wanted.retain(|locator| !batch.knows(locator));
    let mut by_collection: HashMap<&'static str, Vec<&Locator>> = HashMap::new();
    for locator in &wanted {
        let locators = by_collection.entry(locator.collection).or_default();
        if !locators.contains(&locator) {
            locators.push(locator);
        }
    }
    let mut found = Vec::new();
    for (collection, locators) in by_collection {
        for raw in find::<RawDocumentBuf>(store, transaction, collection, filter(&locators)).await?
        {
            if raw.iter().any(|field| field.is_err()) {
                return Err(Trouble::Broken(format!("{collection} answered no BSON")));
            }
            found.push((collection, raw));
        }
    }
    batch.admit(&wanted, found);
    Ok(())
}

/// Reads whether what was recalled, and what no write proves, is still as it was: beside the transaction
/// while that is written, and so not earlier than it would see it itself.
pub(super) async fn confirm(store: &Inner, recalled: &[(Locator, i64)]) -> Result<(), Trouble> {
    let mut by_collection: BTreeMap<&'static str, Vec<&Locator>> = BTreeMap::new();
    for (locator, _) in recalled {
        by_collection.entry(locator.collection).or_default().push(locator);
    }
    for (collection, locators) in by_collection {
        let only = doc! { REVISION.as_str(): 1 };
        let records = store.database.collection::<RawDocumentBuf>(collection);
        let found = records.find(filter(&locators)).projection(only);
        let found: Vec<RawDocumentBuf> = async { found.await?.try_collect().await }
            .await
            .map_err(|error| trouble::of(&error))?;
        let stands = |locator: &Locator, revision: i64| {
            found.iter().any(|record| {
                let id = value(record, "_id").map(By::Id);
                id.as_ref() == Some(&locator.by) && record.get_i64(REVISION).ok() == Some(revision)
            })
        };
        let mut of_these = recalled.iter().filter(|(it, _)| it.collection == collection);
        if !of_these.all(|(locator, revision)| stands(locator, *revision)) {
            store.memory.forget_records();
            return Err(Trouble::Conflict);
        }
    }
    Ok(())
}

/// One branch for all look-ups by the same fields, whose values are asked for each by itself: every
/// branch of an `$or` is planned on its own. What it finds besides is left out by `Batch::admit`.
fn filter(locators: &[&Locator]) -> Document {
    let mut asked: BTreeMap<&[&str], Vec<Vec<Bson>>> = BTreeMap::new();
    for locator in locators {
        let (fields, values) = match &locator.by {
            By::Id(id) => (ID, std::slice::from_ref(id)),
            By::Fields(fields, values) => (*fields, values.as_slice()),
        };
        let columns = asked.entry(fields).or_insert_with(|| vec![Vec::new(); fields.len()]);
        for (column, value) in columns.iter_mut().zip(values) {
            if !column.contains(value) {
                column.push(value.clone());
            }
        }
    }
    let branch = |(fields, columns): (&[&str], Vec<Vec<Bson>>)| -> Document {
        let each = fields.iter().zip(columns);
        each.map(|(field, values)| ((*field).to_owned(), doc! { "$in": values }.into())).collect()
    };
    let mut branches: Vec<Document> = asked.into_iter().map(branch).collect();
    if branches.len() == 1 {
        branches.remove(0)
    } else {
        doc! { "$or": branches }
    }
}

const ID: &[&str] = &["_id"];

async fn find<T: DeserializeOwned + Send + Sync>(
    store: &Inner,
    transaction: &mut Transaction<'_>,
    collection: &str,
    filter: Document,
) -> Result<Vec<T>, Trouble> {
    let session = transaction.session();
    let collection = store.database.collection::<T>(collection);
    let mut cursor =
        collection.find(filter).session(&mut *session).await.map_err(|e| trouble::of(&e))?;
    let mut documents: Vec<T> = Vec::new();
    while let Some(document) = cursor.next(session).await {
        documents.push(document.map_err(|error| trouble::of(&error))?);
    }
    Ok(documents)
}

/// Earlier answers to these idempotency keys.
pub(super) async fn load_answers(
    store: &Inner,
    transaction: &mut Transaction<'_>,
    ids: &[String],
) -> Result<HashMap<String, Document>, Trouble> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let answers: Vec<Document> =
        find(store, transaction, IDEMPOTENCY, doc! { "_id": { "$in": ids } }).await?;
    let by_id = |answer: Document| Some((answer.get_str("_id").ok()?.to_owned(), answer));
    Ok(answers.into_iter().filter_map(by_id).collect())
}
