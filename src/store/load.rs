//! Reading inside a transaction: the records that its units ask for, one query for each collection.

use std::collections::{BTreeMap, HashMap};

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::ClientSession;
use serde::de::DeserializeOwned;

use super::batch::Batch;
use super::client::Inner;
use super::record::{By, Locator};
use super::trouble::{self, Trouble};
use super::write::{IDEMPOTENCY, Units};

/// What the units have said that they are going to ask for, and what their provisos are about. What
/// the batch presumes is not asked for.
pub(super) fn wanted_first(units: &Units) -> Vec<Locator> {
    let mut wanted: Vec<Locator> = Vec::new();
    for unit in units {
        let hints = unit.hints();
        wanted.extend(hints.changes.iter().chain(&hints.looks).chain(&hints.creates).cloned());
        let provisos = unit.warrant().provisos.iter();
        wanted.extend(provisos.map(|p| Locator::id(p.collection, p.id.clone())));
    }
    wanted
}

/// Loads what the batch does not know yet: one query for each collection.
pub(super) async fn load(
    store: &Inner,
    session: &mut ClientSession,
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
        for raw in find::<RawDocumentBuf>(store, session, collection, filter(&locators)).await? {
            if raw.iter().any(|field| field.is_err()) {
                return Err(Trouble::Broken(format!("{collection} answered no BSON")));
            }
            found.push((collection, raw));
        }
    }
    batch.admit(&wanted, found);
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
    session: &mut ClientSession,
    collection: &str,
    filter: Document,
) -> Result<Vec<T>, Trouble> {
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
    session: &mut ClientSession,
    ids: &[String],
) -> Result<HashMap<String, Document>, Trouble> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let answers: Vec<Document> =
        find(store, session, IDEMPOTENCY, doc! { "_id": { "$in": ids } }).await?;
    let by_id = |answer: Document| Some((answer.get_str("_id").ok()?.to_owned(), answer));
    Ok(answers.into_iter().filter_map(by_id).collect())
}
