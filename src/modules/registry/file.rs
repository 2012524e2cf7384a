//! Modules from files, for the command line: what `POST /v1/admin/modules` and `…/versions` take, in
//! one; `schemas/modules/*.json` have the same form.

use serde_json::{Map, Value, json};

use super::actions::LoadModule;
use super::commands::{self, NewModule, NewVersion};
use super::custom::Custom;
use super::queries;
use super::record::Registered;
use super::wire::{self, ModuleBody, VersionBody};
use crate::access::grant::Granted;
use crate::audit::warrant::Pass;
use crate::http::json;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::Name;
use crate::kernel::time::Timestamp;
use crate::store::Store;

pub struct ModuleFile {
    module: NewModule,
    /// The same version, with what makes older data fit.
    version: NewVersion,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    Registered,
    /// A newer version, active now.
    Published,
    /// This version was there already.
    Same,
}

/// What would become of it.
pub enum Prospect {
    New,
    Same,
    /// A newer version, and everybody's data as data of it.
    Next {
        migrates: bool,
        custom: Box<Custom>,
    },
}

impl ModuleFile {
    pub fn read(text: &str) -> Result<Self, Fault> {
        let no_json = |error: serde_json::Error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Fault::new(Code::MalformedRequest, format!("The file is no JSON: see {place}."))
        };
        let mut fields: Map<String, Value> = serde_json::from_str(text).map_err(no_json)?;
        let migration = fields.remove("migration").unwrap_or_else(|| json!([]));
        let part = |name: &str, otherwise: Value| fields.get(name).cloned().unwrap_or(otherwise);
        let version = json!({
            "version": part("version", json!("1.0.0")),
            "schema": part("schema", json!({})),
            "defaults": part("defaults", json!({})),
            "migration": migration,
        });
        let module = wire::new_module(json::typed::<ModuleBody>(Value::Object(fields))?)?;
        let (version, _) = wire::new_version(&json::typed::<VersionBody>(version)?)?;
        Ok(Self { module, version })
    }

    pub fn name(&self) -> &Name {
        &self.module.name
    }

    pub fn version(&self) -> String {
        self.version.version.to_string()
    }

    async fn line(&self, pass: &Pass, store: &Store) -> Result<Option<Registered>, Fault> {
        match queries::find(pass, store, self.name()).await {
            Ok(line) => Ok(Some(line)),
            Err(fault) if fault.code() == Code::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    pub async fn prospect(
        &self,
        pass: &Pass,
        store: &Store,
        now: Timestamp,
    ) -> Result<Prospect, Fault> {
        let Some(line) = self.line(pass, store).await? else { return Ok(Prospect::New) };
        if line.published(&self.version()).is_some() {
            return self.same(&line).map(|()| Prospect::Same);
        }
        self.same_line(&line)?;
        let migrates = self.version.fits(&line)?;
        let custom = Box::new(self.version.rehearsed(&line, now)?);
        Ok(Prospect::Next { migrates, custom })
    }

    /// A version never changes: a file that says something else of one would be lost without a word.
    fn same(&self, line: &Registered) -> Result<(), Fault> {
        let known = line.published(&self.version());
        if known.is_none_or(|known| self.version.is(known)) {
            return self.same_line(line);
        }
        let detail = format!(
            "{} {} is registered with another schema, other defaults or another migration: raise the \
             version.",
            self.name(),
            self.version()
        );
        Err(Fault::new(Code::AlreadyExists, detail))
    }

    /// Texts, permission and status of a module that is there are changed by `PATCH`, not by a file.
    fn same_line(&self, line: &Registered) -> Result<(), Fault> {
        let NewModule { display_name, description, permission, required_kyc_level, .. } =
            &self.module;
        let same = [
            ("display_name", *display_name == line.display_name),
            ("description", *description == line.description),
            ("permission", *permission == line.permission),
            ("required_kyc_level", *required_kyc_level == line.required_kyc_level),
        ];
        let others: Vec<_> =
            same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect();
        if others.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "The module is there with other values of {}: change them with `PATCH \
             /v1/admin/modules/{}` (the permission stays), or write what is there into the file.",
            others.join(", "),
            self.name()
        );
        Err(Fault::new(Code::AlreadyExists, detail))
    }

    pub async fn load(self, grant: &Granted<LoadModule>, store: &Store) -> Result<Loaded, Fault> {
        match self.line(&grant.pass(), store).await? {
            None => {
                commands::register(grant, store, self.module).await?;
                Ok(Loaded::Registered)
            }
            Some(line) if line.published(&self.version()).is_some() => {
                self.same(&line).map(|()| Loaded::Same)
            }
            Some(line) => {
                self.same_line(&line)?;
                let name = self.name().clone();
                commands::publish(grant, store, name, self.version, true).await?;
                Ok(Loaded::Published)
            }
        }
    }
}
