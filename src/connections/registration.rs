//! Registering: a person meets an app.
//!
//! A first-party app vouches for identifiers. All unknown: a new person. All of one person: that
//! person gets a connection, and nothing else of the request is taken. Of two people: a case for an
//! admin. What is only claimed waits, and nobody is looked up for it, so that neither the answer nor
//! its time tells whether a person exists. Everything that is random or slow is made before the
//! unit.

use serde::{Deserialize, Serialize};

use super::actions::RegisterUser;
use super::commands::Desk;
use super::roles::known;
use super::connect::{Materials, Meeting, Terms, Tied, owners};
use super::request::{Person, Request, Standing, suits};
use super::view::{View, view};
use super::waiting::{Reason, Registration, Status};
use crate::access::grant::Granted;
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
use crate::kernel::fault::Fault;
use crate::kernel::ids::{AppId, RegistrationId, UserId};
use crate::store::{Done, Hints, Stop, Work};
use crate::users::Modules;

/// What became of a registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// A connection was made (or taken up again), with a new key.
    Connected { user_id: UserId, key: String, view: View },
    /// It was there already.
    Known { user_id: UserId, view: View },
    /// It waits, or has waited and was decided.
    Waiting { registration_id: RegistrationId, status: Status },
}

pub async fn register(
    grant: &Granted<RegisterUser>,
    desk: &Desk,
    person: Person,
) -> Result<Done<Outcome>, Fault> {
    let app: App = grant.target().record.record()?;
    person.suits(&app)?;
    let password = match person.password {
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
    let request = Request { password, ..person.request };
    match person.standing {
        Standing::Vouched => connect(grant, desk, request).await,
        Standing::Claimed => wait(grant, desk, app.trust, request).await,
    }
}

async fn connect(
    grant: &Granted<RegisterUser>,
    desk: &Desk,
    request: Request,
) -> Result<Done<Outcome>, Fault> {
    let (app, now) = (grant.target().app.clone(), grant.now());
    let materials = Materials::make(desk, now);
    let waiting = Registration::asked(&app, &request, Reason::Duplicate, now, &desk.store)?;
    let hints = materials.hints(&request);
    let decided = desk.store.unit(grant.warrant(), hints, move |work| {
        decide(work, &app, &request, &materials, &waiting)
    });
    decided.await
}

/// The pure function: who are the identifiers, and what follows.
fn decide(
    work: &mut Work,
    app: &AppId,
    request: &Request,
    materials: &Materials,
    waiting: &Registration,
) -> Result<Outcome, Stop> {
    let app = work.get(&App::by_id(app))?;
    suits(Standing::Vouched, request.password.is_some(), &app)?;
    let terms = Terms::asked(&app, request)?;
    let owners = owners(work, request)?;
    let meeting = Meeting { app: &app, request, terms, materials, vouched_by: &app.id };
    let tied = match owners.as_slice() {
        [] => meeting.create(work)?,
        [one] => meeting.link(work, *one)?,
        _ => return waiting.wait(work, owners),
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
    Ok(outcome(tied, &app, materials.modules()))
}

fn outcome(tied: Tied, app: &App, modules: Modules) -> Outcome {
    let Tied { user, connection, key } = tied;
    let (user_id, view) = (user.id, view(&user, &connection, app, modules));
    match key {
        Some(key) => Outcome::Connected { user_id, key: key.expose().clone(), view },
        None => Outcome::Known { user_id, view },
    }
}

async fn wait(
    grant: &Granted<RegisterUser>,
    desk: &Desk,
    trust: Trust,
    request: Request,
) -> Result<Done<Outcome>, Fault> {
    let app = grant.target().app.clone();
    let reason = match trust {
        Trust::FirstParty => Reason::Unproven,
        Trust::ThirdParty => Reason::ThirdParty,
    };
    let waiting = Registration::asked(&app, &request, reason, grant.now(), &desk.store)?;
    let hints = Hints::none().and(&waiting.as_requested());
    let waited = desk.store.unit(grant.warrant(), hints, move |work| {
        let app = work.get(&App::by_id(&app))?;
        suits(Standing::Claimed, request.password.is_some(), &app)?;
        Terms::asked(&app, &request)?;
        waiting.wait(work, Vec::new())
    });
    waited.await
}
