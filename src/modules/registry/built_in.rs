//! The modules that come with this binary, as lines of the registry.

use bson::Document;
use serde::Deserialize;
use serde_json::Value;

use super::actions::RegisterBuiltIn;
use super::record::{Published, Registered, Status};
use crate::access::grant::Granted;
use crate::kernel::fault::Fault;
use crate::kernel::free::{self, Rules};
use crate::kernel::ids::{ModuleId, Name};
use crate::kernel::time::Timestamp;
use crate::modules::BuiltIn;
use crate::store::{Hints, Store};

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
    grant: &Granted<RegisterBuiltIn>,
    store: &Store,
    module: &dyn BuiltIn,
) -> Result<bool, Fault> {
    let registered = read(module, ModuleId::new(store.chance(), grant.now()), grant.now())?;
    let key = Registered::by_name(&registered.module_name);
    let done = store.unit(grant.warrant(), Hints::none().and(&key), move |work| {
        let key = Registered::by_name(&registered.module_name);
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
        versions.push(Published {
            id: Published::id_of(&self.version),
            version: self.version.clone(),
            schema: self.schema.clone(),
            defaults: self.defaults.clone(),
            migration: Vec::new(),
            published_at: Some(self.updated_at),
        });
        Self { id: self.id, created_at: self.created_at, versions, ..newer.clone() }
    }
}

fn read(module: &dyn BuiltIn, id: ModuleId, now: Timestamp) -> Result<Registered, Fault> {
    let broken =
        |what: &str| Fault::internal(format!("schemas/modules/{}.json: {what}", module.name()));
    let described: Described =
        serde_json::from_str(module.schema()).map_err(|_| broken("not a module's description"))?;
    let document = |value: &Value| -> Result<Document, Fault> {
        let value = free::from_json(value, "", &Rules::CUSTOM_FIELDS).ok();
        value.and_then(|value| value.as_document().cloned()).ok_or_else(|| broken("not an object"))
    };
    Ok(Registered {
        id,
        module_name: Name::parse(&described.module_name).ok_or_else(|| broken("its name"))?,
        display_name: described.display_name,
        description: described.description,
        status: Status::Active,
        version: described.version,
        schema: document(&described.schema)?,
        created_at: now,
        updated_at: now,
        permission: described.permission,
        defaults: document(&described.defaults)?,
        required_kyc_level: 0,
        deprecated_at: None,
        versions: Vec::new(),
        revision: 1,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernel::chance::Chance;
    use crate::modules::registry::schema::Schema;
    use crate::users::BUILT_IN;

    #[test]
    fn every_built_in_module_is_described_as_it_is() {
        for module in crate::modules::ALL {
            let now = Timestamp::from_millis(0);
            let id = ModuleId::new(&Chance::from_seed(1), now);
            let registered = read(*module, id, now).expect("its description is well-formed");
            assert_eq!(registered.module_name.as_str(), module.name());
            assert_eq!(registered.permission, module.permission());
            let defaults = module.defaults(now).expect("everybody has it");
            let fields: BTreeSet<_> = defaults.keys().cloned().collect();
            let name = |key: &String| key.trim_end_matches(['[', ']', '?']).to_owned();
            let described: BTreeSet<_> = registered.schema.keys().map(name).collect();
            assert_eq!(described, fields, "{}", module.name());
            let schema = Schema::parse(&free::to_json(&registered.schema.into()));
            let schema = schema.expect("a schema as admins write them");
            let defaults = free::to_json(&registered.defaults.into());
            schema.check_defaults(&defaults).expect("defaults that fit it");
        }
    }

    #[test]
    fn the_user_record_knows_which_modules_are_built_in() {
        let names: Vec<_> = crate::modules::ALL.iter().map(|module| module.name()).collect();
        assert_eq!(names, BUILT_IN);
    }
}
