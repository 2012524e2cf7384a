//! Registering: a person meets an app.
//!
//! A first-party app vouches for identifiers. All unknown: a new person. All of one person: that
//! person gets a connection, and nothing else of the request is taken. Of two people: a case for an
//! admin. Everything that is random or slow is made before the unit, for known and unknown alike.

use serde::{Deserialize, Serialize};

use super::actions::RegisterUser;
use super::change::{ConnectionChange, PreferencesChange, ProfileChange};
use super::commands::Desk;
use super::roles::known;
use super::view::{View, view};
use super::waiting::Registration;
use crate::access::grant::Granted;
use crate::access::key::StoredKey;
use crate::apps::{App, Trust};
use crate::crypto::token::{ApiKey, KeyKind};
use crate::kernel::email::Email;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{
    AccountNumber, AppId, ConnectionId, CustomerId, IdentityId, Name, RegistrationId, UserId,
};
use crate::kernel::phone::Phone;
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;
use crate::store::{Done, Hints, Record, Stop, UserKey, Work};
use crate::users::{
    Account, AppProfile, Audit, Connection, ConnectionStatus, Customer, Identity, IdentityKind,
    Modules, Preferences, Profile, SyncFrequency, SyncSettings, User, UserStatus, Voucher,
};

/// A checked request to register a person.
pub struct Person {
    /// Vouched for by the app.
    pub email: Option<Email>,
    /// The profile's phone number, where the app vouches for it.
    pub phone: Option<Phone>,
    pub username: Option<String>,
    pub password: Option<Secret<String>>,
    pub profile: ProfileChange,
    pub preferences: PreferencesChange,
    pub connection: ConnectionChange,
    /// `None`: the app's defaults.
    pub permissions: Option<Vec<String>>,
    pub roles: Option<Vec<Name>>,
}

/// What became of a registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// A connection was made (or taken up again), with a new key.
    Connected { user_id: UserId, key: String, view: View },
    /// It was there already.
    Known { user_id: UserId, view: View },
    /// An admin must look at it.
    Waiting { registration_id: RegistrationId },
}

/// Account numbers to choose from: that all are taken is less likely than a broken disk.
const CANDIDATES: usize = 3;

/// Everything that is made once, so that the pure function can be repeated.
#[derive(Clone)]
struct Prepared {
    app: AppId,
    modules: Modules,
    user: User,
    identities: Vec<Identity>,
    customer: Customer,
    accounts: Vec<Account>,
    data_key: std::sync::Arc<UserKey>,
    connection_id: ConnectionId,
    key: StoredKey,
    key_text: Secret<String>,
    change: ConnectionChange,
    permissions: Option<Vec<String>>,
    roles: Option<Vec<Name>>,
    waiting: Registration,
}

pub async fn register(
    grant: &Granted<RegisterUser>,
    desk: &Desk,
    person: Person,
) -> Result<Done<Outcome>, Fault> {
    let app: App = grant.target().record.record()?;
    if app.trust != Trust::FirstParty {
        return Err(Fault::of(Code::RegistrationNotAllowed));
    }
    let prepared = prepare(grant, desk, person).await?;
    let mut hints = Hints::none().and(&prepared.data_key.key());
    for identity in &prepared.identities {
        hints = hints.and(&identity.key());
    }
    for account in &prepared.accounts {
        hints = hints.and(&account.key());
    }
    hints = hints.and(&prepared.user.key());
    desk.store.unit(grant.warrant(), hints, move |work| decide(work, &prepared)).await
}

async fn prepare(
    grant: &Granted<RegisterUser>,
    desk: &Desk,
    person: Person,
) -> Result<Prepared, Fault> {
    let (store, now, app) = (&desk.store, grant.now(), &grant.target().app);
    let (chance, keyring) = (store.chance(), store.keyring());
    let password = match person.password.clone() {
        Some(password) => Some(desk.hasher.hash(password).await?),
        None => None,
    };
    let user_id = UserId::new(chance, now);
    let customer_id = CustomerId::new(chance, now);
    let connection_id = ConnectionId::new(chance, now);
    let key = ApiKey::generate(KeyKind::Connection, chance);
    let identities = identities(&person, user_id, app, now, || IdentityId::new(chance, now));
    let candidate = |_| Account::open(AccountNumber::random(chance), customer_id, now);
    let accounts: Vec<_> = (0..CANDIDATES).map(candidate).collect();
    let number = accounts[0].number.clone();
    Ok(Prepared {
        app: app.clone(),
        modules: desk.modules,
        user: user(&person, user_id, customer_id, password, number, now, desk.modules),
        waiting: Registration::pending(
            RegistrationId::new(chance, now),
            app,
            &identities,
            person.username.as_deref(),
            now,
            store,
        )?,
        identities,
        customer: Customer::personal(customer_id, now),
        accounts,
        data_key: UserKey::generate(user_id, keyring, chance, now).into(),
        connection_id,
        key: StoredKey::seal(&key, "user_apps", &connection_id.to_string(), keyring, chance),
        key_text: key.text(),
        change: person.connection,
        permissions: person.permissions,
        roles: person.roles,
    })
}

fn identities(
    person: &Person,
    user_id: UserId,
    app: &AppId,
    now: Timestamp,
    new_id: impl Fn() -> IdentityId,
) -> Vec<Identity> {
    let email = person.email.as_ref().map(|e| (e.identity(), IdentityKind::Email, e.as_str()));
    let phone = person.phone.as_ref().map(|p| (p.identity(), IdentityKind::Phone, p.as_str()));
    let identity = |(name, kind, value): (String, IdentityKind, &str)| Identity {
        name,
        id: new_id(),
        user_id,
        kind,
        value: value.to_owned(),
        vouched_by: Voucher::App(app.clone()),
        created_at: now,
    };
    email.into_iter().chain(phone).map(identity).collect()
}

fn user(
    person: &Person,
    id: UserId,
    customer_id: CustomerId,
    password: Option<String>,
    account_number: AccountNumber,
    now: Timestamp,
    modules: Modules,
) -> User {
    let data = |module: &&dyn crate::users::Module| -> (String, bson::Bson) {
        (module.name().to_owned(), module.defaults(now).into())
    };
    User {
        id,
        email: person.email.as_ref().map(|email| email.as_str().to_owned()),
        username: person.username.clone(),
        password_must_change: false,
        status: UserStatus::Active,
        status_reason: None,
        created_at: now,
        updated_at: now,
        profile: person.profile.applied_to(&Profile::default()),
        preferences: person.preferences.applied_to(&Preferences::default()),
        modules: modules.iter().map(data).collect(),
        audit: Audit {
            last_login: None,
            login_count: 0,
            password_changed_at: password.as_ref().map(|_| now),
            profile_updated_at: None,
        },
        password,
        customer_id,
        account_number,
        revision: 1,
    }
}

/// The pure function: who are the identifiers, and what follows.
fn decide(work: &mut Work, new: &Prepared) -> Result<Outcome, Stop> {
    let app = work.get(&App::by_id(&new.app))?;
    if app.trust != Trust::FirstParty {
        return Err(Fault::of(Code::RegistrationNotAllowed).into());
    }
    let (permissions, roles) = (permissions(&app, new)?, roles(&app, new)?);
    let mut owners: Vec<UserId> = Vec::new();
    let mut missing = None;
    for identity in &new.identities {
        match work.find::<Identity>(&identity.key()) {
            Ok(Some(known)) if !owners.contains(&known.user_id) => owners.push(known.user_id),
            Ok(_) => {}
            Err(stop) => missing = Some(stop),
        }
    }
    if let Some(stop) = missing {
        return Err(stop);
    }
    match owners.as_slice() {
        [] => create(work, new, &app, permissions, roles),
        [one] => link(work, new, &app, *one, permissions, roles),
        _ => {
            let registration_id = new.waiting.wait(work, owners)?;
            Ok(Outcome::Waiting { registration_id })
        }
    }
}

fn create(
    work: &mut Work,
    new: &Prepared,
    app: &App,
    permissions: Vec<String>,
    roles: Vec<String>,
) -> Result<Outcome, Stop> {
    let mut free = None;
    for account in &new.accounts {
        if work.find::<Account>(&account.key())?.is_none() {
            free.get_or_insert(account);
        }
    }
    let account = free.ok_or_else(|| Fault::internal("no account number is free"))?;
    let user = User { account_number: account.number.clone(), ..new.user.clone() };
    let connection = connection(work.now(), new, app, user.id, permissions, roles)?;
    work.create(&user)?;
    work.create(&*new.data_key)?;
    for identity in &new.identities {
        work.create(identity)?;
    }
    work.create(&connection)?;
    work.create(&new.customer)?;
    work.create(account)?;
    Ok(connected(&user, &connection, app, new))
}

/// A known person: only the connection is taken.
fn link(
    work: &mut Work,
    new: &Prepared,
    app: &App,
    user: UserId,
    permissions: Vec<String>,
    roles: Vec<String>,
) -> Result<Outcome, Stop> {
    let user = work.get(&User::by_id(user))?;
    let tie = work.find(&Connection::between(user.id, &app.id))?;
    user.usable()?;
    let Some(before) = tie else {
        let connection = connection(work.now(), new, app, user.id, permissions, roles)?;
        work.create(&connection)?;
        return Ok(connected(&user, &connection, app, new));
    };
    match before.connection_status {
        ConnectionStatus::Active => {
            let view = view(&user, &before, app, new.modules);
            Ok(Outcome::Known { user_id: user.id, view })
        }
        ConnectionStatus::Inactive => {
            let mut after = new.change.applied_to(&before, "/connection")?;
            after.connection_status = ConnectionStatus::Active;
            after.inactive_at = None;
            after.permissions = permissions;
            after.roles = roles;
            after.set_key(new.key.clone(), work.now(), app.connection_key_epoch);
            work.revise(&before, &after)?;
            Ok(connected(&user, &after, app, new))
        }
        ConnectionStatus::Suspended => Err(Fault::of(Code::ConnectionSuspended).into()),
        ConnectionStatus::Revoked => Err(Fault::of(Code::ConnectionRevoked).into()),
    }
}

fn connection(
    now: Timestamp,
    new: &Prepared,
    app: &App,
    user_id: UserId,
    permissions: Vec<String>,
    roles: Vec<String>,
) -> Result<Connection, Fault> {
    let mut connection = Connection {
        id: new.connection_id,
        user_id,
        app_id: app.id.clone(),
        app_name: app.name.clone(),
        app_version: None,
        app_username: None,
        app_display_name: None,
        app_profile: AppProfile::default(),
        connection_status: ConnectionStatus::Active,
        permissions,
        roles,
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
    connection.set_key(new.key.clone(), now, app.connection_key_epoch);
    new.change.applied_to(&connection, "/connection")
}

fn connected(user: &User, connection: &Connection, app: &App, new: &Prepared) -> Outcome {
    let view = view(user, connection, app, new.modules);
    Outcome::Connected { user_id: user.id, key: new.key_text.expose().clone(), view }
}

/// What the connection may hold: as asked for, within the app's ceiling.
fn permissions(app: &App, new: &Prepared) -> Result<Vec<String>, Fault> {
    let Some(asked) = &new.permissions else { return Ok(app.default_permissions.clone()) };
    match asked.iter().position(|permission| !app.permissions.contains(permission)) {
        None => Ok(asked.clone()),
        Some(at) => {
            let accepted = format!("within the app's ceiling: {}", app.permissions.join(", "));
            Err(Fault::invalid(format!("/connection/permissions/{at}"), "beyond_ceiling", accepted))
        }
    }
}

fn roles(app: &App, new: &Prepared) -> Result<Vec<String>, Fault> {
    let Some(asked) = &new.roles else { return Ok(app.default_roles()) };
    known(app, "/connection/roles", asked)
}
