//! Connecting a person to an app, inside a unit: a new person is created, of a known one only the
//! connection is made. Shared by registration, by admins who approve one, and by sign-in.

use std::sync::Arc;

use super::commands::Desk;
use super::request::Request;
use super::roles::known;
use crate::access::key::StoredKey;
use crate::apps::App;
use crate::crypto::token::{ApiKey, KeyKind};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AccountNumber, ConnectionId, CustomerId, IdentityId, Name, UserId};
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;
use crate::store::{Hints, Record, Stop, Store, UserKey, Work};
use crate::users::{
    Account, AppProfile, Audit, Connection, ConnectionStatus, Customer, Identity, IdentityKind,
    Modules, Preferences, Profile, SyncFrequency, SyncSettings, User, UserStatus, Voucher,
};

/// Account numbers to choose from: that all are taken is less likely than a broken disk.
const CANDIDATES: usize = 3;

/// Everything that is made once, for known and unknown people alike, so that the pure function can
/// be repeated.
#[derive(Clone)]
pub struct Materials {
    store: Store,
    modules: Modules,
    user: UserId,
    customer: CustomerId,
    /// One for an e-mail address, one for a phone number.
    identities: [IdentityId; 2],
    accounts: Vec<Account>,
    data_key: Arc<UserKey>,
    connection: ConnectionId,
    key: ApiKey,
}

/// What the connection is to hold.
pub struct Terms {
    permissions: Vec<String>,
    roles: Vec<String>,
}

/// One request, inside a unit.
pub struct Meeting<'a> {
    pub app: &'a App,
    pub request: &'a Request,
    pub terms: Terms,
    pub materials: &'a Materials,
    /// Who says that the identifiers are the person's.
    pub vouched_by: Voucher,
}

/// A person and their connection.
pub struct Tied {
    pub user: User,
    pub connection: Connection,
    /// Where the connection was made or taken up again; else it was there already.
    pub key: Option<Secret<String>>,
}

impl Materials {
    pub fn make(desk: &Desk, modules: Modules, now: Timestamp) -> Self {
        let (store, chance) = (desk.store.clone(), desk.store.chance());
        let (user, customer) = (UserId::new(chance, now), CustomerId::new(chance, now));
        let candidate = |_| Account::open(AccountNumber::random(chance), customer, now);
        Self {
            modules,
            user,
            customer,
            identities: [IdentityId::new(chance, now), IdentityId::new(chance, now)],
            accounts: (0..CANDIDATES).map(candidate).collect(),
            data_key: UserKey::generate(user, store.keyring(), chance, now).into(),
            connection: ConnectionId::new(chance, now),
            key: ApiKey::generate(KeyKind::Connection, chance),
            store,
        }
    }

    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// What a new person would be made of.
    pub fn hints(&self, request: &Request) -> Hints {
        let mut hints = Hints::none().and(&self.data_key.key());
        for identifier in &request.identifiers {
            hints = hints.and(&identifier.key());
        }
        for account in &self.accounts {
            hints = hints.and(&account.key());
        }
        hints.and(&User::by_id(self.user))
    }

    /// Sealed for the connection that gets it, which is known only inside the unit.
    fn stored_key(&self, connection: ConnectionId) -> StoredKey {
        let (keyring, chance) = (self.store.keyring(), self.store.chance());
        StoredKey::seal(&self.key, "user_apps", &connection.to_string(), keyring, chance)
    }
}

impl Terms {
    /// As asked for: within the app's ceiling, or refused.
    pub fn asked(app: &App, request: &Request) -> Result<Self, Fault> {
        Ok(Self { permissions: permissions(app, request)?, roles: roles(app, request)? })
    }

    /// As asked for then; what the app has lost since is left out.
    pub fn left(app: &App, request: &Request) -> Self {
        let permissions = request.permissions.as_ref().map(|asked| {
            asked.iter().filter(|one| app.permissions.contains(one)).cloned().collect()
        });
        let roles = request.roles.as_ref().map(|asked| {
            asked.iter().filter(|role| app.role(role).is_some()).map(Name::to_string).collect()
        });
        Self {
            permissions: permissions.unwrap_or_else(|| app.default_permissions.clone()),
            roles: roles.unwrap_or_else(|| app.default_roles()),
        }
    }
}

/// Whose the identifiers are. All are asked for before any is missed.
pub fn owners(work: &mut Work, request: &Request) -> Result<Vec<UserId>, Stop> {
    let mut owners: Vec<UserId> = Vec::new();
    let mut missing = None;
    for identifier in &request.identifiers {
        match work.find::<Identity>(&identifier.key()) {
            Ok(Some(known)) if !owners.contains(&known.user_id) => owners.push(known.user_id),
            Ok(_) => {}
            Err(stop) => missing = Some(stop),
        }
    }
    missing.map_or(Ok(owners), Err)
}

impl Meeting<'_> {
    /// A person nobody knows.
    pub fn create(self, work: &mut Work) -> Result<Tied, Stop> {
        let mut free = None;
        for account in &self.materials.accounts {
            if work.find::<Account>(&account.key())?.is_none() {
                free.get_or_insert(account);
            }
        }
        let account = free.ok_or_else(|| Fault::internal("no account number is free"))?;
        let user = self.user(account, work.now());
        let connection = self.connection(work.now(), user.id)?;
        work.create(&user)?;
        work.create(&*self.materials.data_key)?;
        for identity in self.identities(work.now()) {
            work.create(&identity)?;
        }
        work.create(&connection)?;
        work.create(&Customer::personal(self.materials.customer, work.now()))?;
        work.create(account)?;
        Ok(self.tied(user, connection))
    }

    /// A known person: only the connection is taken.
    pub fn link(self, work: &mut Work, user: UserId) -> Result<Tied, Stop> {
        let user = work.get(&User::by_id(user))?;
        let tie = work.find(&Connection::between(user.id, &self.app.id))?;
        user.usable()?;
        let Some(before) = tie else {
            let connection = self.connection(work.now(), user.id)?;
            work.create(&connection)?;
            return Ok(self.tied(user, connection));
        };
        match before.connection_status {
            ConnectionStatus::Active => Ok(Tied { user, connection: before, key: None }),
            ConnectionStatus::Inactive => {
                let mut after = self.request.connection.applied_to(&before, "/connection")?;
                after.connection_status = ConnectionStatus::Active;
                after.inactive_at = None;
                after.permissions.clone_from(&self.terms.permissions);
                after.roles.clone_from(&self.terms.roles);
                let key = self.materials.stored_key(before.id);
                after.set_key(key, work.now(), self.app.connection_key_epoch);
                work.revise(&before, &after)?;
                Ok(self.tied(user, after))
            }
            ConnectionStatus::Suspended => Err(Fault::of(Code::ConnectionSuspended).into()),
            ConnectionStatus::Revoked => Err(Fault::of(Code::ConnectionRevoked).into()),
        }
    }

    fn tied(&self, user: User, connection: Connection) -> Tied {
        Tied { user, connection, key: Some(self.materials.key.text()) }
    }

    fn identities(&self, now: Timestamp) -> Vec<Identity> {
        let identity = |(identifier, id): (&crate::users::Identifier, &IdentityId)| Identity {
            name: identifier.name(),
            id: *id,
            user_id: self.materials.user,
            kind: identifier.kind,
            value: identifier.value.clone(),
            vouched_by: self.vouched_by.clone(),
            created_at: now,
        };
        self.request.identifiers.iter().zip(&self.materials.identities).map(identity).collect()
    }

    fn user(&self, account: &Account, now: Timestamp) -> User {
        let Self { request, materials, .. } = self;
        let data = |module: &dyn crate::users::Module| -> Option<(String, bson::Bson)> {
            Some((module.name().to_owned(), module.defaults(now)?.into()))
        };
        let email = request.identifiers.iter().find(|it| it.kind == IdentityKind::Email);
        User {
            id: materials.user,
            email: email.map(|email| email.value.clone()),
            username: request.username.clone(),
            password: request.password.clone(),
            password_must_change: false,
            status: UserStatus::Active,
            status_reason: None,
            created_at: now,
            updated_at: now,
            profile: request.profile.applied_to(&Profile::default()),
            preferences: request.preferences.applied_to(&Preferences::default()),
            modules: materials.modules.iter().filter_map(data).collect(),
            audit: Audit {
                last_login: None,
                login_count: 0,
                password_changed_at: request.password.as_ref().map(|_| now),
                profile_updated_at: None,
            },
            kyc_level: 0,
            customer_id: materials.customer,
            account_number: account.number.clone(),
            exported_at: None,
            revision: 1,
        }
    }

    fn connection(&self, now: Timestamp, user_id: UserId) -> Result<Connection, Fault> {
        let (app, id) = (self.app, self.materials.connection);
        let mut connection = Connection {
            id,
            user_id,
            app_id: app.id.clone(),
            app_name: app.name.clone(),
            app_version: None,
            app_username: None,
            app_display_name: None,
            app_profile: AppProfile::default(),
            connection_status: ConnectionStatus::Active,
            permissions: self.terms.permissions.clone(),
            roles: self.terms.roles.clone(),
            api_key: None,
            key_id: None,
            key_mac: None,
            key_hint: None,
            key_created_at: None,
            key_last_used_at: None,
            key_expires_at: None,
            key_revealed_at: None,
            key_epoch: None,
            previous_key: None,
            allowed_ips: Vec::new(),
            sync_frequency: SyncFrequency::default(),
            connected_at: now,
            last_sync: None,
            sync_settings: SyncSettings::default(),
            rate_limits: app.rate_limits,
            inactive_at: None,
        };
        connection.set_key(self.materials.stored_key(id), now, app.connection_key_epoch);
        self.request.connection.applied_to(&connection, "/connection")
    }
}

/// What the connection may hold: as asked for, within the app's ceiling.
fn permissions(app: &App, request: &Request) -> Result<Vec<String>, Fault> {
    let Some(asked) = &request.permissions else { return Ok(app.default_permissions.clone()) };
    match asked.iter().position(|permission| !app.permissions.contains(permission)) {
        None => Ok(asked.clone()),
        Some(at) => {
            let accepted = format!("within the app's ceiling: {}", app.permissions.join(", "));
            Err(Fault::invalid(format!("/connection/permissions/{at}"), "beyond_ceiling", accepted))
        }
    }
}

fn roles(app: &App, request: &Request) -> Result<Vec<String>, Fault> {
    let Some(asked) = &request.roles else { return Ok(app.default_roles()) };
    known(app, "/connection/roles", asked)
}
