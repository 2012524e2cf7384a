//! Writing the registry.

use bson::{Bson, Document};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::actions::{ActivateVersion, ChangeModule, DeleteModule};
use super::custom::Custom;
use super::queries;
use super::record::{MODULES_MAX, Published, Registered, Status, VERSIONS_MAX};
use super::schema::{Breaking, Migration, Schema, breaking};
use crate::access::action::Mutating;
use crate::access::grant::Granted;
use crate::http::call::Preconditions;
use crate::kernel::fault::{Code, Fault, FieldError};
use crate::kernel::free;
use crate::kernel::ids::{ModuleId, Name};
use crate::kernel::time::{self, Timestamp};
use crate::modules::ALL;
use crate::store::{Done, Hints, Stop, Store};

/// A checked request to register a module.
#[derive(Clone)]
pub struct NewModule {
    pub name: Name,
    pub display_name: String,
    pub description: String,
    pub status: Status,
    pub permission: String,
    pub required_kyc_level: i64,
    pub version: NewVersion,
}

/// A version that fits itself: its defaults are values of its schema.
#[derive(Clone)]
pub struct NewVersion {
    pub version: Version,
    pub written: Document,
    pub schema: Schema,
    pub defaults: Map<String, Value>,
    pub migration: Migration,
}

#[derive(Clone, Default)]
pub struct Change {
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub status: Option<Status>,
    pub required_kyc_level: Option<i64>,
}

/// A version that was published, and the line that it belongs to.
#[derive(Serialize, Deserialize)]
pub struct Publication {
    pub line: Registered,
    pub version: String,
}

/// Requests that began while the module was in use are over after that.
const SETTLED_MS: i64 = 30 * time::SECOND_MS;

impl NewVersion {
    fn published(&self, now: Timestamp) -> Published {
        let version = self.version.to_string();
        let migration = self.migration.to_json();
        Published {
            id: Published::id_of(&version),
            version,
            schema: self.written.clone(),
            defaults: document(&self.defaults),
            migration: migration.as_array().into_iter().flatten().map(stored).collect(),
            published_at: Some(now),
        }
    }

    /// Whether it migrates older data; refused unless it comes later than all others and breaks nothing
    /// that the migration does not mend. A migration is announced by the major version.
    ///
    /// The newest version is the only one to compare with: data of those before it becomes data of
    /// it first, one version after another.
    pub fn fits(&self, line: &Registered) -> Result<bool, Fault> {
        let built_in = ALL.iter().any(|module| module.name() == line.module_name.as_str());
        let newest = line.versions.last().filter(|_| !built_in);
        let newest = newest.ok_or_else(|| Fault::of(Code::ModuleBuiltIn))?;
        let before = parsed(&newest.version)?;
        if self.version <= before {
            let detail = format!("later than {before}, the newest version");
            return Err(Fault::invalid("/version", "version_too_low", detail));
        }
        let older = Schema::restore(&free::to_json(&newest.schema.clone().into()));
        let older = older.map_err(|_| Fault::internal("a published schema cannot be read"))?;
        let left = breaking(&older, &self.migration, &self.schema, &self.defaults);
        if !left.is_empty() {
            let errors = left.iter().map(Breaking::as_error).collect();
            return Err(Fault::of(Code::BreakingChange).with_errors(errors));
        }
        let migrates = self.migration != Migration::default();
        if migrates && self.version.major == before.major {
            let next = before.major + 1;
            let detail = format!("{next}.0.0 or later: its migration changes data of {before}");
            return Err(Fault::invalid("/version", "version_too_low", detail));
        }
        Ok(migrates)
    }
}

fn parsed(version: &str) -> Result<Version, Fault> {
    Version::parse(version).map_err(|_| Fault::internal("a published version is none"))
}

fn document(fields: &Map<String, Value>) -> Document {
    fields.iter().map(|(name, value)| (name.clone(), stored(value))).collect()
}

/// What was checked already, as BSON.
pub fn stored(value: &Value) -> Bson {
    match value {
        Value::Object(fields) => document(fields).into(),
        Value::Array(items) => Bson::Array(items.iter().map(stored).collect()),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Bool(truth) => (*truth).into(),
        Value::Null => Bson::Null,
    }
}

pub async fn register<A: Mutating>(
    grant: &Granted<A>,
    store: &Store,
    new: NewModule,
) -> Result<Done<Registered>, Fault> {
    if queries::count(&grant.pass(), store).await? >= MODULES_MAX {
        let detail = format!("At most {MODULES_MAX} modules are registered.");
        return Err(Fault::new(Code::WrongState, detail));
    }
    let (now, id) = (grant.now(), ModuleId::new(store.chance(), grant.now()));
    let hints = Hints::none().and(&Registered::by_name(&new.name));
    let unit = store.unit(grant.concerning(&new.name).warrant(), hints, move |work| {
        let line = new.line(id, now);
        match work.find::<Registered>(&Registered::by_name(&new.name))? {
            None => {
                work.create(&line)?;
                Ok(Numbered::of(line))
            }
            Some(gone) if gone.status == Status::Deleted => {
                let (id, revision) = (gone.id, gone.revision + 1);
                let line = Registered { id, revision, ..line };
                work.revise(&gone, &line)?;
                Ok(Numbered::of(line))
            }
            Some(_) => {
                let detail = format!("There is a module `{}` already.", new.name);
                Err(Fault::new(Code::AlreadyExists, detail).into())
            }
        }
    });
    Ok(unit.await?.map(Numbered::line))
}

/// A line with its revision, which is not stored with it but must be told again.
#[derive(Serialize, Deserialize)]
struct Numbered {
    line: Registered,
    revision: i64,
}

impl Numbered {
    fn of(line: Registered) -> Self {
        Self { revision: line.revision, line }
    }

    fn line(self) -> Registered {
        Registered { revision: self.revision, ..self.line }
    }
}

impl NewModule {
    fn line(&self, id: ModuleId, now: Timestamp) -> Registered {
        let first = self.version.published(now);
        Registered {
            id,
            module_name: self.name.clone(),
            display_name: self.display_name.clone(),
            description: self.description.clone(),
            status: self.status,
            version: first.version.clone(),
            schema: first.schema.clone(),
            created_at: now,
            updated_at: now,
            permission: self.permission.clone(),
            defaults: first.defaults.clone(),
            required_kyc_level: self.required_kyc_level,
            deprecated_at: None,
            versions: vec![first],
            revision: 1,
        }
    }
}

pub async fn change(
    grant: &Granted<ChangeModule>,
    store: &Store,
    name: Name,
    change: Change,
    preconditions: Preconditions,
) -> Result<Done<Registered>, Fault> {
    let now = grant.now();
    revise(grant, store, &name, move |before| {
        preconditions.check(|| before.revision.to_string())?;
        change.applied_to(before, now)
    })
    .await
}

impl Change {
    fn applied_to(&self, before: &Registered, now: Timestamp) -> Result<Registered, Fault> {
        let mut after = before.clone();
        after.display_name = self.display_name.clone().unwrap_or(after.display_name);
        after.description = self.description.clone().unwrap_or(after.description);
        after.required_kyc_level = self.required_kyc_level.unwrap_or(after.required_kyc_level);
        if let Some(status) = self.status.filter(|status| *status != before.status) {
            if status == Status::Draft {
                let detail = "active, inactive or deprecated: what was in use is no draft again";
                return Err(Fault::invalid("/status", "not_accepted", detail));
            }
            after.status = status;
            after.deprecated_at = (status == Status::Deprecated).then_some(now);
        }
        if after != *before {
            after.updated_at = now;
        }
        Ok(after)
    }
}

pub async fn publish<A: Mutating>(
    grant: &Granted<A>,
    store: &Store,
    name: Name,
    new: NewVersion,
    activate: bool,
) -> Result<Done<Publication>, Fault> {
    let now = grant.now();
    let version = new.version.to_string();
    let done = revise(grant, store, &name, move |before| {
        new.fits(before)?;
        if before.versions.len() >= VERSIONS_MAX {
            let detail = format!("A module has at most {VERSIONS_MAX} versions.");
            return Err(Fault::new(Code::WrongState, detail));
        }
        let mut after = before.clone();
        let published = new.published(now);
        after.versions.push(published.clone());
        after.updated_at = now;
        Ok(if activate { after.with_active(&published, now) } else { after })
    });
    Ok(done.await?.map(|line| Publication { line, version }))
}

impl NewVersion {
    /// Whether it says the same as what was published under its number.
    pub fn is(&self, published: &Published) -> bool {
        let own = self.published(Timestamp::MIN);
        own.schema == published.schema
            && own.defaults == published.defaults
            && own.migration == published.migration
    }

    /// The module as it would be if this were its version in use.
    pub fn rehearsed(&self, line: &Registered, now: Timestamp) -> Result<Custom, Fault> {
        let (published, mut line) = (self.published(now), line.clone());
        line.versions.push(published.clone());
        Custom::of(line.with_active(&published, now))
    }
}

impl Publication {
    pub fn published(&self) -> Result<&Published, Fault> {
        let published = self.line.published(&self.version);
        published.ok_or_else(|| Fault::internal("a version was published and is not there"))
    }
}

/// Only forward: data of a newer version cannot become data of an older one.
pub async fn activate(
    grant: &Granted<ActivateVersion>,
    store: &Store,
    name: Name,
    version: String,
) -> Result<Done<Registered>, Fault> {
    let now = grant.now();
    revise(grant, store, &name, move |before| {
        let published = before.published(&version).ok_or_else(|| Fault::of(Code::NotFound))?;
        if published.version == before.version {
            return Ok(before.clone());
        }
        if parsed(&published.version)? < parsed(&before.version)? {
            let detail = format!(
                "{} is in use, and there is no way back from it: publish a newer version.",
                before.version
            );
            return Err(Fault::new(Code::WrongState, detail));
        }
        Ok(before.clone().with_active(published, now))
    })
    .await
}

pub async fn delete(
    grant: &Granted<DeleteModule>,
    store: &Store,
    name: Name,
) -> Result<Done<Registered>, Fault> {
    let now = grant.now();
    let uses = queries::uses(&grant.pass(), store, &name).await?;
    revise(grant, store, &name, move |before| {
        let in_use = |what: String| Err(Fault::new(Code::ModuleInUse, what));
        match before.status {
            Status::Draft => {}
            Status::Inactive if time::plus(before.updated_at, SETTLED_MS) <= now => {}
            Status::Inactive => {
                let seconds = u32::try_from(SETTLED_MS / time::SECOND_MS).unwrap_or(u32::MAX);
                let detail = "It was made inactive just now: requests that use it may be running.";
                return in_use(detail.to_owned()).map_err(|fault| fault.retry_after(seconds));
            }
            _ => return in_use("Set its status to `inactive` first.".to_owned()),
        }
        if let Some(what) = &uses {
            return in_use(what.clone());
        }
        let mut after = before.clone();
        after.status = Status::Deleted;
        after.updated_at = now;
        Ok(after)
    })
    .await
}

/// A registered module; of a built-in one nothing is changed here.
async fn revise<A: Mutating>(
    grant: &Granted<A>,
    store: &Store,
    name: &Name,
    change: impl Fn(&Registered) -> Result<Registered, Fault> + Send + Sync + 'static,
) -> Result<Done<Registered>, Fault> {
    let key = Registered::by_name(name);
    let built_in = ALL.iter().any(|module| module.name() == name.as_str());
    let (hints, name) = (Hints::none().and(&key), name.clone());
    let unit = store.unit(grant.concerning(&name).warrant(), hints, move |work| {
        let before = Registered::existing(work.find(&Registered::by_name(&name))?)?;
        if built_in {
            return Err(Stop::from(Fault::of(Code::ModuleBuiltIn)));
        }
        let mut after = change(&before)?;
        if after != before {
            after.revision += 1;
        }
        work.revise(&before, &after)?;
        Ok(Numbered::of(after))
    });
    Ok(unit.await?.map(Numbered::line))
}

impl Breaking {
    pub fn as_error(&self) -> FieldError {
        FieldError::new(self.pointer.clone(), self.code, self.detail.clone())
    }
}
