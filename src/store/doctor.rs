//! Whether the deployment can do what Purser needs, with a message that says how to mend it.

use bson::{Document, doc};
use mongodb::Client;

use super::trouble;

const OLDEST_MAJOR: i32 = 6;
/// An orphaned transaction locks its records this long at most, in seconds.
const LIFETIME_WANTED_SECONDS: i64 = 5;

pub(super) async fn check(client: &Client) -> Result<(), String> {
    let admin = client.database("admin");
    let hello = admin.run_command(doc! { "hello": 1 }).await.map_err(|error| {
        format!(
            "MongoDB does not answer: {}. Is it running, does store.uri name it, and is \
             its replica set initiated (`rs.initiate()`, once, in mongosh)? \
             `scripts/mongod start` starts one here.",
            trouble::describe(&error)
        )
    })?;
    replica_set(&hello)?;
    let build = admin.run_command(doc! { "buildInfo": 1 }).await;
    version(&build.map_err(|error| trouble::describe(&error))?)?;
    let command = doc! { "getParameter": 1, "transactionLifetimeLimitSeconds": 1 };
    // A role that may not ask for parameters is no reason not to start.
    if let Ok(answer) = admin.run_command(command).await {
        lifetime(&answer);
    }
    Ok(())
}

fn replica_set(hello: &Document) -> Result<(), String> {
    if hello.contains_key("setName") {
        return Ok(());
    }
    Err("MongoDB runs without a replica set, and Purser needs its transactions. Start mongod with \
         `--replSet rs0`, run `rs.initiate()` once in mongosh, and add `?replicaSet=rs0` to \
         store.uri. One node is enough."
        .to_owned())
}

fn version(build: &Document) -> Result<(), String> {
    let version = build.get_str("version").unwrap_or("unknown");
    let major = version.split('.').next().and_then(|major| major.parse::<i32>().ok()).unwrap_or(0);
    if major >= OLDEST_MAJOR {
        return Ok(());
    }
    Err(format!("MongoDB {version} is too old: Purser needs {OLDEST_MAJOR}.0 or newer."))
}

fn lifetime(answer: &Document) {
    let field = "transactionLifetimeLimitSeconds";
    let seconds = answer.get_i32(field).map(i64::from).or_else(|_| answer.get_i64(field));
    if let Ok(seconds) = seconds
        && seconds > LIFETIME_WANTED_SECONDS
    {
        tracing::warn!(
            seconds,
            "transactionLifetimeLimitSeconds is high: a killed process can keep records locked \
             for that long. Set it to 5: db.adminCommand({{setParameter: 1, \
             transactionLifetimeLimitSeconds: 5}})"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standalone_server_is_refused_with_the_way_to_mend_it() {
        let message = replica_set(&doc! { "isWritablePrimary": true }).expect_err("standalone");
        assert!(message.contains("--replSet") && message.contains("rs.initiate()"));
        assert!(replica_set(&doc! { "setName": "rs0" }).is_ok());
    }

    #[test]
    fn versions_before_6_are_refused() {
        assert!(version(&doc! { "version": "5.0.9" }).is_err());
        assert!(version(&doc! { "version": "6.0.5" }).is_ok());
        assert!(version(&doc! { "version": "8.0.0" }).is_ok());
    }
}
