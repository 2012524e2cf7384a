//! The sign-in itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::actions::SignIn;
use crate::access::attempts::{Attempt, Attempts, Paid};
use crate::access::grant::Granted;
use crate::access::watch::{Event, Watch};
use crate::apps::{App, Trust};
use crate::connections::{Desk, Materials, View, activate, view};
use crate::kernel::email::Email;
use crate::kernel::fault::{Class, Code, Fault};
use crate::kernel::ids::{AppId, UserId};
use crate::kernel::phone::Phone;
use crate::kernel::secret::Secret;
use crate::store::{Done, Hints, Key, Stop, Work};
use crate::users::{Connection, ConnectionStatus, Identifier, Identity, User, UserStatus};

pub struct Credentials {
    /// An e-mail address or a phone number.
    pub identifier: String,
    pub password: Secret<String>,
    /// The person's address, as the app tells it.
    pub address: Option<IpAddr>,
}

#[derive(Serialize, Deserialize)]
pub struct SignedIn {
    pub user_id: UserId,
    pub view: View,
    pub password_must_change: bool,
    /// Where a waiting registration became a connection.
    pub key: Option<String>,
}

pub async fn sign_in(
    grant: &Granted<SignIn>,
    desk: &Desk,
    attempts: &Attempts,
    watch: &Watch,
    credentials: Credentials,
) -> Result<Done<SignedIn>, Fault> {
    let app: App = grant.target().record.record()?;
    first_party(&app)?;
    let Credentials { identifier: text, password, address } = credentials;
    let identifier = identifier(&text);
    let name = identifier.as_ref().map_or(text, Identifier::name);
    let paid = attempts.pay(&Attempt { app: &app.id, identifier: &name, address });
    let found = find(grant, desk, identifier.as_ref()).await?;
    let known = found.as_ref().map(|user| grant.seen_failing(user.id, address));
    let is_locked = paid.is_none();
    let candidate = Candidate { app: app.id, identifier, password, found };
    let done = admit(grant, desk, attempts, paid, candidate).await;
    if let (Err(fault), Some(known)) = (&done, known)
        && matches!(fault.code().class(), Class::Unauthenticated | Class::Forbidden)
    {
        let why = if is_locked { "locked" } else { fault.code().name() };
        watch.note(Event::SignInFailed, known, Some(why));
    }
    done
}

/// Whoever claims to be somebody, and who that would be.
struct Candidate {
    app: AppId,
    identifier: Option<Identifier>,
    password: Secret<String>,
    found: Option<User>,
}

async fn admit(
    grant: &Granted<SignIn>,
    desk: &Desk,
    attempts: &Attempts,
    paid: Option<Paid>,
    candidate: Candidate,
) -> Result<Done<SignedIn>, Fault> {
    let Candidate { app, identifier, password, found } = candidate;
    let hash = found.as_ref().and_then(|user| user.password.clone());
    let verified = verify(desk, hash.clone(), password.clone()).await;
    // What was not looked at was no guess, and neither was the right password.
    if let (Some(paid), Err(_) | Ok(true)) = (&paid, &verified) {
        attempts.give_back(paid);
    }
    let (Some(_), Some(user), Some(identifier), true) = (paid, found, identifier, verified?) else {
        return Err(Fault::of(Code::SignInFailed));
    };
    let weak = hash.is_some_and(|hash| desk.hasher.is_weak(&hash));
    let stronger = if weak { Some(desk.hasher.hash(password).await?) } else { None };
    let entry = Entry {
        app,
        identifier,
        materials: Materials::make(desk, desk.modules(&grant.pass()).await?, grant.now()),
        desk: desk.clone(),
        stronger,
        user,
    };
    let hints = Hints::none().and(&User::by_id(entry.user.id));
    desk.store.unit(grant.warrant(), hints, move |work| entry.enter(work)).await
}

fn first_party(app: &App) -> Result<(), Fault> {
    match app.trust {
        Trust::FirstParty => Ok(()),
        Trust::ThirdParty => Err(Fault::of(Code::NotFirstParty)),
    }
}

fn identifier(text: &str) -> Option<Identifier> {
    let email = Email::parse(text).map(|email| Identifier::email(&email));
    email.or_else(|_| Phone::parse(text).map(|phone| Identifier::phone(&phone))).ok()
}

/// Two reads, whether or not there is anybody to be found.
async fn find(
    grant: &Granted<SignIn>,
    desk: &Desk,
    identifier: Option<&Identifier>,
) -> Result<Option<User>, Fault> {
    let (pass, store) = (grant.pass(), &desk.store);
    let key = identifier.map_or_else(|| Key::id("nobody"), Identifier::key);
    let identity: Option<Identity> = store.find(&pass, &key).await?;
    let nobody = || UserId::new(store.chance(), grant.now());
    let id = identity.map_or_else(nobody, |identity| identity.user_id);
    store.find(&pass, &User::by_id(id)).await
}

async fn verify(
    desk: &Desk,
    hash: Option<String>,
    password: Secret<String>,
) -> Result<bool, Fault> {
    match hash {
        Some(hash) => desk.hasher.verify(hash, password).await,
        None => desk.hasher.verify_decoy(password).await.map(|()| false),
    }
}

/// A person whose password was right.
struct Entry {
    app: AppId,
    identifier: Identifier,
    materials: Materials,
    desk: Desk,
    /// The same password's hash at today's cost, where the stored one costs less.
    stronger: Option<String>,
    /// As they were when the password was verified.
    user: User,
}

impl Entry {
    fn enter(&self, work: &mut Work) -> Result<SignedIn, Stop> {
        let app = work.get(&App::by_id(&self.app))?;
        first_party(&app)?;
        let before = work.find(&User::by_id(self.user.id))?;
        let before = before.filter(|user| self.has_same_password(user));
        let before = before.ok_or_else(|| Fault::of(Code::SignInFailed))?;
        admissible(&before)?;
        let (connection, key) = self.connection(work, &app, &before)?;
        let mut after = before.clone();
        after.audit.last_login = Some(work.now());
        after.audit.login_count += 1;
        if before.password == self.user.password && self.stronger.is_some() {
            after.password.clone_from(&self.stronger);
        }
        work.revise(&before, &after)?;
        Ok(SignedIn {
            user_id: after.id,
            view: view(&after, &connection, &app, self.materials.modules()),
            password_must_change: after.password_must_change,
            key,
        })
    }

    /// Another sign-in may have replaced the hash meanwhile; that is still the same password.
    fn has_same_password(&self, user: &User) -> bool {
        let changed = user.audit.password_changed_at != self.user.audit.password_changed_at;
        user.password == self.user.password || (user.password.is_some() && !changed)
    }

    /// The person's connection with the app, made now where a registration waits for them.
    fn connection(
        &self,
        work: &mut Work,
        app: &App,
        user: &User,
    ) -> Result<(Connection, Option<String>), Stop> {
        let tie = work.find(&Connection::between(user.id, &app.id))?;
        let otherwise = match tie.as_ref().map(|tie| tie.connection_status) {
            Some(ConnectionStatus::Suspended) => {
                return Err(Fault::of(Code::ConnectionSuspended).into());
            }
            Some(ConnectionStatus::Revoked) => {
                return Err(Fault::of(Code::ConnectionRevoked).into());
            }
            Some(ConnectionStatus::Inactive) => Code::ConnectionInactive,
            Some(ConnectionStatus::Active) | None => Code::NotConnected,
        };
        if let Some(tie) = tie.filter(|it| it.connection_status == ConnectionStatus::Active) {
            return Ok((tie, None));
        }
        let activated = activate(work, app, user, &self.identifier, &self.desk, &self.materials)?;
        let tied = activated.ok_or_else(|| Fault::of(otherwise))?;
        Ok((tied.connection, tied.key.map(|key| key.expose().clone())))
    }
}

/// Whoever is gone is told what strangers are told.
fn admissible(user: &User) -> Result<(), Fault> {
    match user.status {
        UserStatus::Active => Ok(()),
        UserStatus::Suspended => Err(Fault::of(Code::UserSuspended)),
        UserStatus::Inactive => Err(Fault::of(Code::UserInactive)),
        UserStatus::Merged | UserStatus::Erased => Err(Fault::of(Code::SignInFailed)),
    }
}
