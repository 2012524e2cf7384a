//! `user_modules`: which modules there are, and their schemas.

use bson::{Document, doc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::grant::{Granted, OnItself};
use crate::access::permission::Permission;
use crate::actions;
use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::fault::Fault;
use crate::kernel::free::{self, Rules};
use crate::kernel::ids::{ModuleId, Name};
use crate::kernel::time::Timestamp;
use crate::store::{Hints, Key, Kind, NO_VOLATILE, Record, Root, Store};
use crate::users::Module;

actions! {
    RegisterModule "module_registered" Permission::Itself => OnItself, writes, "A module is added to the registry.";
}

/// A line of the registry, with the field names of the source document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registered {
    #[serde(rename = "_id")]
    id: ModuleId,
    module_name: Name,
    display_name: String,
    description: String,
    status: String,
    version: String,
    schema: Document,
    created_at: Timestamp,
    updated_at: Timestamp,
    permission: String,
    defaults: Document,
    versions: Vec<Document>,
}

const BY_NAME: &[&str] = &["module_name"];

impl Record for Registered {
    const KIND: &'static Kind = &Kind {
        collection: "user_modules",
        root: Root::Own,
        subject: |it| it.get_str("module_name").ok().and_then(Name::parse).map(Subject::Module),
        place: |_| Some(String::new()),
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[BY_NAME],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.0)
    }
}

/// What `schemas/modules/<name>.json` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    module_name: String,
    display_name: String,
    description: String,
    version: String,
    permission: String,
    schema: Value,
    defaults: Value,
}

/// Puts a built-in module into the registry, unless this version is there; whether it was put there
/// now.
pub async fn register(
    grant: &Granted<RegisterModule>,
    store: &Store,
    module: &dyn Module,
) -> Result<bool, Fault> {
    let registered = read(module, ModuleId::new(store.chance(), grant.now()), grant.now())?;
    let key = Key::<Registered>::fields(BY_NAME, vec![module.name().into()]);
    let done = store.unit(grant.warrant(), Hints::none().and(&key), move |work| {
        let key = Key::fields(BY_NAME, vec![registered.module_name.as_str().into()]);
        match work.find::<Registered>(&key)? {
            None => work.create(&registered)?,
            Some(before) if before.version == registered.version => return Ok(false),
            Some(before) => work.revise(&before, &before.succeeded_by(&registered))?,
        }
        Ok(true)
    });
    Ok(done.await?.answer)
}

impl Registered {
    /// A newer version in its place; the one before is kept.
    fn succeeded_by(&self, newer: &Self) -> Self {
        let mut versions = self.versions.clone();
        versions.push(doc! { "version": &self.version, "schema": self.schema.clone() });
        Self { id: self.id, created_at: self.created_at, versions, ..newer.clone() }
    }
}

fn read(module: &dyn Module, id: ModuleId, now: Timestamp) -> Result<Registered, Fault> {
    let broken =
        |what: &str| Fault::internal(format!("schemas/modules/{}.json: {what}", module.name()));
    let described: Described =
        serde_json::from_str(module.schema()).map_err(|_| broken("not a module's description"))?;
    let document = |value: &Value| {
        let value = free::from_json(value, "", &Rules::CUSTOM_FIELDS).ok();
        value.and_then(|value| value.as_document().cloned()).ok_or_else(|| broken("not an object"))
    };
    Ok(Registered {
        id,
        module_name: Name::parse(&described.module_name).ok_or_else(|| broken("its name"))?,
        display_name: described.display_name,
        description: described.description,
        status: "active".to_owned(),
        version: described.version,
        schema: document(&described.schema)?,
        created_at: now,
        updated_at: now,
        permission: described.permission,
        defaults: document(&described.defaults)?,
        versions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernel::chance::Chance;

    #[test]
    fn every_built_in_module_is_described_as_it_is() {
        for module in super::super::ALL {
            let now = Timestamp::from_millis(0);
            let id = ModuleId::new(&Chance::from_seed(1), now);
            let registered = read(*module, id, now).expect("its description is well-formed");
            assert_eq!(registered.module_name.as_str(), module.name());
            assert_eq!(registered.permission, module.permission());
            let fields: BTreeSet<_> = module.defaults(now).keys().cloned().collect();
            let described: BTreeSet<_> = registered.schema.keys().cloned().collect();
            assert_eq!(described, fields, "{}", module.name());
        }
    }
}
