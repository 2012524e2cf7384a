//! Roles for MongoDB users: the service may add to what is never changed, and not change it; what
//! makes collections is somebody else.

use bson::{Bson, Document, doc};

use super::client::Store;
use super::dues::DUES;
use super::leaves::LEAVES;
use super::migrations;
use super::trouble;

/// For the user that `purser serve` and all commands but `migrate` connect as.
pub const SERVICE: &str = "purser_service";
/// For the user that `purser migrate` connects as.
pub const MIGRATION: &str = "purser_migration";

/// Only added to, by whomever.
pub const INSERT_ONLY: &[&str] =
    &["user_audit_logs", "wallet_entries", LEAVES, "trail_checkpoints"];
/// What a migration writes besides: who is running, the built-in modules, and marks that were an index.
const MIGRATED: &[&str] = &["meta", "user_modules", DUES];

impl Store {
    /// Makes both roles, or makes them what they should be; to be run by a user who may.
    pub async fn make_roles(&self) -> Result<Vec<String>, String> {
        let database = self.inner().database.clone();
        let made = async move {
            let name = database.name().to_owned();
            let mut done = Vec::new();
            for role in [SERVICE, MIGRATION] {
                let known = database.run_command(doc! { "rolesInfo": role }).await?;
                let is_known = known.get_array("roles").is_ok_and(|roles| !roles.is_empty());
                let command = if is_known { "updateRole" } else { "createRole" };
                database.run_command(role_command(command, role, &name)).await?;
                done.push(format!("{} role {role}", if is_known { "set" } else { "create" }));
            }
            Ok(done)
        };
        let made = self.spawn(made).await.map_err(|fault| fault.to_string())?;
        made.map_err(|error: mongodb::error::Error| trouble::describe(&error))
    }
}

/// `createRole` or `updateRole` with what a role may do in a database: in all of them, where its name
/// is empty.
pub fn role_command(command: &str, role: &str, database: &str) -> Document {
    let privileges = if role == MIGRATION { migration(database) } else { service(database) };
    doc! { command: role, "privileges": privileges, "roles": [] }
}

fn on(database: &str, collection: &str, actions: &[&str]) -> Bson {
    let resource = doc! { "db": database, "collection": collection };
    doc! { "resource": resource, "actions": actions.to_vec() }.into()
}

fn service(database: &str) -> Vec<Bson> {
    let everywhere = ["find", "changeStream", "listCollections", "listIndexes", "collStats"];
    let mut privileges = vec![on(database, "", &everywhere)];
    for collection in migrations::collections() {
        let only_added_to = INSERT_ONLY.contains(&collection);
        let actions: &[&str] =
            if only_added_to { &["insert"] } else { &["insert", "update", "remove"] };
        privileges.push(on(database, collection, actions));
    }
    privileges
}

fn migration(database: &str) -> Vec<Bson> {
    let everywhere = [
        "find",
        "insert",
        "changeStream",
        "listCollections",
        "listIndexes",
        "createCollection",
        "collMod",
        "createIndex",
        "dropIndex",
    ];
    let mut privileges = vec![on(database, "", &everywhere)];
    for collection in MIGRATED {
        privileges.push(on(database, collection, &["update", "remove"]));
    }
    privileges
}

/// What a user with each role is made with.
pub fn advice(database: &str) -> String {
    let user = |name: &str, role: &str| {
        format!(
            "db.getSiblingDB(\"{database}\").createUser({{user: \"{name}\", pwd: passwordPrompt(), roles: [\"{role}\"]}})"
        )
    };
    format!(
        "now make a user for each, once, in mongosh:\n  {}\n  {}",
        user("purser", SERVICE),
        user("purser_migration", MIGRATION)
    )
}
