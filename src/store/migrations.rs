//! Collections, validators and indexes: made before traffic, never while serving.
//!
//! A migration looks at what is there and does what is missing, so it can be run again at any time;
//! `VERSION` in `meta` tells a process whether the database is the one it was built for.

use std::collections::HashMap;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::options::{CreateCollectionOptions, ValidationAction, ValidationLevel};

use super::client::Store;
use super::dues::{self, DUES};
use super::indexes;
use super::memory::USERS;
use super::node::META;
use super::trouble;
use crate::kernel::time::Timestamp;

/// Raised with every change of a validator or an index.
const VERSION: i32 = 9;

/// Every collection with its validator, in the order in which they are made.
const COLLECTIONS: &[(&str, &str)] = &[
    ("meta", include_str!("../../schemas/meta.json")),
    ("users", include_str!("../../schemas/users.json")),
    ("user_apps", include_str!("../../schemas/user_apps.json")),
    ("user_modules", include_str!("../../schemas/user_modules.json")),
    ("user_audit_logs", include_str!("../../schemas/user_audit_logs.json")),
    ("trail_leaves", include_str!("../../schemas/trail_leaves.json")),
    ("trail_checkpoints", include_str!("../../schemas/trail_checkpoints.json")),
    ("trail_snapshots", include_str!("../../schemas/trail_snapshots.json")),
    ("apps", include_str!("../../schemas/apps.json")),
    ("operators", include_str!("../../schemas/operators.json")),
    ("identities", include_str!("../../schemas/identities.json")),
    ("registrations", include_str!("../../schemas/registrations.json")),
    ("customers", include_str!("../../schemas/customers.json")),
    ("accounts", include_str!("../../schemas/accounts.json")),
    ("user_keys", include_str!("../../schemas/user_keys.json")),
    ("wallet_entries", include_str!("../../schemas/wallet_entries.json")),
    ("wallet_tallies", include_str!("../../schemas/wallet_tallies.json")),
    ("plans", include_str!("../../schemas/plans.json")),
    ("programmes", include_str!("../../schemas/programmes.json")),
    ("referral_codes", include_str!("../../schemas/referral_codes.json")),
    ("referrals", include_str!("../../schemas/referrals.json")),
    ("jobs", include_str!("../../schemas/jobs.json")),
    ("watches", include_str!("../../schemas/watches.json")),
    ("dues", include_str!("../../schemas/dues.json")),
    ("rate_leases", include_str!("../../schemas/rate_leases.json")),
    ("idempotency", include_str!("../../schemas/idempotency.json")),
];

pub(super) fn collections() -> impl Iterator<Item = &'static str> {
    COLLECTIONS.iter().map(|(name, _)| *name)
}

/// What is missing, as commands and in words.
pub struct Plan {
    steps: Vec<Step>,
}

struct Step {
    what: String,
    command: Document,
}

impl Plan {
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| step.what.as_str())
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Store {
    /// What `migrate` would do now.
    pub async fn plan(&self) -> Result<Plan, String> {
        let database = self.inner().database.clone();
        let planned = async move { plan(&database).await };
        self.spawn(planned).await.map_err(|fault| fault.to_string())?
    }

    /// Does what `plan` says, and notes the version.
    pub async fn migrate(&self, plan: Plan, now: Timestamp) -> Result<(), String> {
        let database = self.inner().database.clone();
        let migrated = async move {
            for Step { what, command } in plan.steps {
                let reply = database.run_command(command).await;
                reply.map_err(|error| format!("{what}: {}", trouble::describe(&error)))?;
            }
            note_version(&database, now).await
        };
        self.spawn(migrated).await.map_err(|fault| fault.to_string())?
    }

    /// Whether the database is the one that this binary was built for.
    pub async fn check_version(&self) -> Result<(), String> {
        let meta = self.inner().database.collection::<Document>(META);
        let version = async move { meta.find_one(doc! { "_id": "schema" }).await };
        let version = self.spawn(version).await.map_err(|fault| fault.to_string())?;
        let version = version.map_err(|error| trouble::describe(&error))?;
        match version.as_ref().and_then(|version| version.get_i32("version").ok()) {
            Some(VERSION) => Ok(()),
            Some(newer) if newer > VERSION => Err(format!(
                "The database has version {newer}, this binary knows {VERSION}: install the newer one."
            )),
            Some(older) => Err(format!(
                "The database has version {older}, this binary needs {VERSION}: run `purser migrate`."
            )),
            None => Err("The database is not set up: run `purser migrate`.".to_owned()),
        }
    }
}

async fn plan(database: &mongodb::Database) -> Result<Plan, String> {
    let broken = |error: mongodb::error::Error| trouble::describe(&error);
    let mut existing = HashMap::new();
    let mut listed = database.list_collections().await.map_err(broken)?;
    while let Some(collection) = listed.try_next().await.map_err(broken)? {
        existing.insert(collection.name, collection.options);
    }
    let (mut steps, mut last) = (Vec::new(), Vec::new());
    for (name, schema) in COLLECTIONS {
        let validator = validator(name, schema)?;
        let indexed = match existing.get(*name) {
            None => {
                let command = doc! { "create": *name, "validator": validator };
                steps.push(Step { what: format!("create collection {name}"), command });
                HashMap::new()
            }
            Some(options) => {
                if !enforces(options, &validator) {
                    let command = doc! { "collMod": *name, "validator": validator,
                    "validationLevel": "strict", "validationAction": "error" };
                    steps.push(Step { what: format!("change the validator of {name}"), command });
                }
                indexed(database, name).await.map_err(broken)?
            }
        };
        for index in indexes::of(name) {
            steps.extend(missing(name, &index, indexed.get(&index.name())));
        }
        let gone =
            indexes::GONE.iter().filter(|(of, index)| of == name && indexed.contains_key(*index));
        last.extend(gone.map(|(of, index)| Step {
            what: format!("drop index {index} of {of}"),
            command: doc! { "dropIndexes": *of, "index": *index },
        }));
    }
    // What an index was for is noted before it goes.
    steps.extend(notes(database).await.map_err(broken)?);
    steps.extend(last);
    Ok(Plan { steps })
}

/// Whether every write is checked by this validator, and refused by it.
fn enforces(options: &CreateCollectionOptions, validator: &Document) -> bool {
    options.validator.as_ref() == Some(validator)
        && matches!(options.validation_level, None | Some(ValidationLevel::Strict))
        && matches!(options.validation_action, None | Some(ValidationAction::Error))
}

/// The indexes of a collection by name, as the database describes them.
async fn indexed(
    database: &mongodb::Database,
    collection: &str,
) -> Result<HashMap<String, Document>, mongodb::error::Error> {
    let mut indexed = HashMap::new();
    let mut listed = database.run_cursor_command(doc! { "listIndexes": collection }).await?;
    while let Some(index) = listed.try_next().await? {
        indexed.insert(index.get_str("name").unwrap_or_default().to_owned(), index);
    }
    Ok(indexed)
}

/// Marks that are not there, or say something else than their records. Looks at everybody.
async fn notes(database: &mongodb::Database) -> Result<Vec<Step>, mongodb::error::Error> {
    let mut steps = Vec::new();
    for (field, behind) in dues::behind() {
        let users = database.collection::<Document>(USERS);
        let any = behind.iter().cloned().chain([doc! { "$limit": 1 }]);
        if users.aggregate(any).await?.try_next().await?.is_some() {
            let mut pipeline = behind;
            pipeline.push(doc! { "$merge": { "into": DUES } });
            let command = doc! { "aggregate": USERS, "pipeline": pipeline, "cursor": {} };
            steps.push(Step { what: format!("note in {DUES} whose {field} is due when"), command });
        }
    }
    Ok(steps)
}

/// An index of this name that is another one goes first.
fn missing(collection: &str, index: &indexes::Index, found: Option<&Document>) -> Vec<Step> {
    let name = index.name();
    let create = Step {
        what: format!("create index {name} of {collection}"),
        command: doc! { "createIndexes": collection, "indexes": [index.specification()] },
    };
    match found {
        Some(found) if index.is(found) => Vec::new(),
        None => vec![create],
        Some(_) => {
            let what = format!("drop index {name} of {collection}, which is another one");
            let command = doc! { "dropIndexes": collection, "index": name };
            vec![Step { what, command }, create]
        }
    }
}

fn validator(name: &str, schema: &str) -> Result<Document, String> {
    let schema: serde_json::Value = serde_json::from_str(schema)
        .map_err(|error| format!("schemas/{name}.json is no JSON: {error}"))?;
    let schema = bson::serialize_to_bson(&schema)
        .map_err(|_| format!("schemas/{name}.json is no schema"))?;
    Ok(doc! { "$jsonSchema": schema })
}

async fn note_version(database: &mongodb::Database, now: Timestamp) -> Result<(), String> {
    let meta = database.collection::<Document>(META);
    let noted = doc! { "$set": { "version": VERSION }, "$setOnInsert": { "created_at": now } };
    #[expect(clippy::disallowed_methods, reason = "the schema's version is no record of anybody")]
    let written = meta.update_one(doc! { "_id": "schema" }, noted).upsert(true).await;
    written.map(|_| ()).map_err(|error| trouble::describe(&error))
}
