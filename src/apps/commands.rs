//! Writing: apps and their keys.

use serde::{Deserialize, Serialize};

use super::actions::{ChangeApp, IssueAppKey, RegisterApp, RevokeAppKey};
use super::model::{App, AppKey, AppStatus, Issuance, Role, Trust};
use crate::access::action::Action;
use crate::access::grant::Granted;
use crate::access::key::StoredKey;
use crate::access::limits::RateLimits;
use crate::access::permission;
use crate::crypto::token::{ApiKey, KeyKind};
use crate::http::call::Preconditions;
use crate::http::json::Patch;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::AppId;
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;
use crate::store::{Done, Hints, Store};

/// A checked request to register an app.
#[derive(Clone)]
pub struct NewApp {
    pub id: AppId,
    pub name: String,
    pub description: String,
    pub trust: Trust,
    pub permissions: Vec<String>,
    pub default_permissions: Vec<String>,
    pub visible_fields: Option<Vec<String>>,
    pub may_issue: Issuance,
    pub roles: Vec<Role>,
    pub rate_limits: RateLimits,
    pub total_rate_limits: RateLimits,
    pub allowed_ips: Vec<String>,
    pub reveal_keys: bool,
}

/// A checked change: what is `None` stays.
#[derive(Clone, Default)]
pub struct AppChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub status: Option<AppStatus>,
    pub trust: Option<Trust>,
    pub permissions: Option<Vec<String>>,
    pub default_permissions: Option<Vec<String>>,
    pub visible_fields: Patch<Vec<String>>,
    pub categories: Option<Vec<String>>,
    pub per_day: Option<i64>,
    pub roles: Option<Vec<Role>>,
    pub rate_limits: LimitsChange,
    pub total_rate_limits: LimitsChange,
    pub allowed_ips: Option<Vec<String>>,
    pub reveal_keys: Option<bool>,
}

/// A further key, and the one that it takes the place of.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    pub expires_at: Option<Timestamp>,
    pub replaces: Option<Replaced>,
}

#[derive(Debug, Clone)]
pub struct Replaced {
    pub id: String,
    /// Until when it still counts, unless it ends sooner anyway.
    pub until: Timestamp,
}

/// How far the revocation of an app key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    TheKey,
    /// Every connection key too: who held the app key could have had any of them made anew.
    ConnectionKeysToo,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct LimitsChange {
    pub requests_per_minute: Option<i64>,
    pub requests_per_hour: Option<i64>,
}

impl LimitsChange {
    pub fn applied_to(self, before: RateLimits) -> RateLimits {
        RateLimits {
            requests_per_minute: self.requests_per_minute.unwrap_or(before.requests_per_minute),
            requests_per_hour: self.requests_per_hour.unwrap_or(before.requests_per_hour),
        }
    }
}

/// An app, and its new key where one was made: shown once, and again to a repeated request.
#[derive(Serialize, Deserialize)]
pub struct Issued {
    pub app: App,
    pub revision: i64,
    key: String,
}

impl Issued {
    fn new(app: App, revision: i64, key: &Secret<String>) -> Self {
        Self { app, revision, key: key.expose().clone() }
    }

    pub fn key(&self) -> &str {
        &self.key
    }
}

pub async fn register(
    grant: &Granted<RegisterApp>,
    store: &Store,
    new: NewApp,
) -> Result<Done<Issued>, Fault> {
    let now = grant.now();
    let (key, text) = new_key(&new.id, store, now, None);
    let app = App {
        id: new.id,
        name: new.name,
        description: new.description,
        status: AppStatus::Active,
        trust: new.trust,
        permissions: new.permissions,
        default_permissions: new.default_permissions,
        visible_fields: new.visible_fields,
        may_issue: new.may_issue,
        roles: new.roles,
        rate_limits: new.rate_limits,
        total_rate_limits: new.total_rate_limits,
        allowed_ips: new.allowed_ips,
        reveal_keys: new.reveal_keys,
        keys: vec![key],
        connection_key_epoch: None,
        connection_keys_revoked_at: None,
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    app.check()?;
    known(grant, store, &app.permissions).await?;
    let hints = Hints::none().and(&App::by_id(&app.id));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        if work.find(&App::by_id(&app.id))?.is_some() {
            let detail = format!("There is an app with the id {} already.", app.id);
            return Err(Fault::new(Code::AlreadyExists, detail).into());
        }
        work.create(&app)?;
        Ok(Issued::new(app.clone(), 1, &text))
    });
    unit.await
}

pub async fn change(
    grant: &Granted<ChangeApp>,
    store: &Store,
    id: AppId,
    change: AppChange,
    preconditions: Preconditions,
) -> Result<Done<App>, Fault> {
    let now = grant.now();
    known(grant, store, change.permissions.as_deref().unwrap_or_default()).await?;
    let unit = store.unit(grant.warrant(), Hints::none().and(&App::by_id(&id)), move |work| {
        let before = work.get(&App::by_id(&id))?;
        preconditions.check(|| before.revision.to_string())?;
        let mut after = change.clone().applied_to(&before);
        after.check()?;
        if after != before {
            after.updated_at = now;
            after.revision += 1;
        }
        work.revise(&before, &after)?;
        Ok(after)
    });
    unit.await
}

/// A permission exists once its module is registered.
async fn known<A: Action>(
    grant: &Granted<A>,
    store: &Store,
    permissions: &[String],
) -> Result<(), Fault> {
    let modules = store.modules(&grant.pass()).await?;
    match permission::unknown(permissions, modules.raw()) {
        None => Ok(()),
        Some(at) => {
            let accepted = "`read`, `write`, or the permission of a registered module";
            Err(Fault::invalid(format!("/permissions/{at}"), "unknown_permission", accepted))
        }
    }
}

pub async fn issue_key(
    grant: &Granted<IssueAppKey>,
    store: &Store,
    id: AppId,
    new: NewKey,
) -> Result<Done<Issued>, Fault> {
    let now = grant.now();
    let (key, text) = new_key(&id, store, now, new.expires_at);
    let unit = store.unit(grant.warrant(), Hints::none().and(&App::by_id(&id)), move |work| {
        let before = work.get(&App::by_id(&id))?;
        let mut after = before.clone();
        if let Some(Replaced { id, until }) = &new.replaces {
            let old = after.keys.iter_mut().find(|key| key.id == *id && key.in_use(now));
            let old = old.ok_or_else(not_in_use)?;
            old.expires_at = Some(old.expires_at.map_or(*until, |own| own.min(*until)));
        }
        after.make_room_for_a_key(now)?;
        after.keys.push(key.clone());
        after.revision += 1;
        work.revise(&before, &after)?;
        let revision = after.revision;
        Ok(Issued::new(after, revision, &text))
    });
    unit.await
}

pub async fn revoke_key(
    grant: &Granted<RevokeAppKey>,
    store: &Store,
    id: AppId,
    key_id: String,
    extent: Extent,
) -> Result<(), Fault> {
    let now = grant.now();
    let unit = store.unit(grant.warrant(), Hints::none().and(&App::by_id(&id)), move |work| {
        let before = work.get(&App::by_id(&id))?;
        let mut after = before.clone();
        let key = after.keys.iter_mut().find(|key| key.id == key_id);
        let key = key.ok_or_else(|| Fault::of(Code::NotFound))?;
        // Revoking twice is no change, and keeps the moment of the first time.
        let revoked_at = *key.revoked_at.get_or_insert(now);
        // What was made after the key had ended was not made with it: repeating ends nothing more.
        let ended = after.connection_keys_revoked_at.is_some_and(|at| at >= revoked_at);
        if extent == Extent::ConnectionKeysToo && !ended {
            after.revoke_connection_keys(now);
        }
        work.revise(&before, &after)
    });
    unit.await.map(drop)
}

fn not_in_use() -> Fault {
    let accepted = "the id of a key of this app that is in use";
    Fault::invalid("/replaces", "not_in_use", accepted)
}

fn new_key(
    app: &AppId,
    store: &Store,
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> (AppKey, Secret<String>) {
    let key = ApiKey::generate(KeyKind::App, store.chance());
    let stored = StoredKey::seal(&key, "apps", app.as_str(), store.keyring(), store.chance());
    (AppKey::new(stored, now, expires_at), key.text())
}

impl AppChange {
    fn applied_to(self, before: &App) -> App {
        let before = before.clone();
        let mut visible_fields = before.visible_fields;
        self.visible_fields.apply(&mut visible_fields);
        let trust = self.trust.unwrap_or(before.trust);
        // Who becomes a stranger sees what strangers see, unless the admin says more.
        if trust != before.trust && !self.visible_fields.is_named() && visible_fields.is_none() {
            visible_fields = trust.visible_by_default();
        }
        App {
            name: self.name.unwrap_or(before.name),
            description: self.description.unwrap_or(before.description),
            status: self.status.unwrap_or(before.status),
            trust,
            permissions: self.permissions.unwrap_or(before.permissions),
            default_permissions: self.default_permissions.unwrap_or(before.default_permissions),
            visible_fields,
            may_issue: Issuance {
                categories: self.categories.unwrap_or(before.may_issue.categories),
                per_day: self.per_day.unwrap_or(before.may_issue.per_day),
            },
            roles: self.roles.unwrap_or(before.roles),
            rate_limits: self.rate_limits.applied_to(before.rate_limits),
            total_rate_limits: self.total_rate_limits.applied_to(before.total_rate_limits),
            allowed_ips: self.allowed_ips.unwrap_or(before.allowed_ips),
            reveal_keys: self.reveal_keys.unwrap_or(before.reveal_keys),
            ..before
        }
    }
}

impl App {
    /// What must fit together.
    fn check(&self) -> Result<(), Fault> {
        if let Some(beyond) =
            self.default_permissions.iter().find(|p| !self.permissions.contains(p))
        {
            let detail = format!("`{beyond}` is not among the app's permissions");
            return Err(Fault::invalid("/default_permissions", "beyond_ceiling", detail));
        }
        Ok(())
    }
}
