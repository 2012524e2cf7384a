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
use super::connect::{Materials, Meeting, Terms, Tied, owners};
use super::request::{Person, Request, Standing, suits};
use super::view::{View, view};
use super::waiting::{Reason, Registration, Status};
use crate::access::grant::Granted;
use crate::apps::{App, Trust};
use crate::kernel::fault::Fault;
use crate::kernel::ids::{AppId, RegistrationId, UserId};
use crate::store::{Done, Hints, Stop, Work};
use crate::users::{Modules, Voucher};

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

impl Outcome {
    /// Who is connected; nobody, while it waits.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Connected { user_id, .. } | Self::Known { user_id, .. } => Some(*user_id),
            Self::Waiting { .. } => None,
        }
    }
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
    let materials = Materials::make(desk, desk.modules(&grant.pass()).await?, now);
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
    let vouched_by = Voucher::App(app.id.clone());
    let meeting = Meeting { app: &app, request, terms, materials, vouched_by };
    let tied = match owners.as_slice() {
        [] => meeting.create(work)?,
        [one] => meeting.link(work, *one)?,
        _ => return waiting.wait(work, owners),
    };
    Ok(outcome(tied, &app, materials.modules()))
}

fn outcome(tied: Tied, app: &App, modules: &Modules) -> Outcome {
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
