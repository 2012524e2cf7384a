//! Deciding: by an admin, or by the person who signs in.

use super::actions::{ApproveRegistration, DeclineRegistration};
use super::record::Registration;
use crate::access::grant::Granted;
use crate::apps::App;
use crate::connections::commands::Desk;
use crate::connections::connect::{Materials, Meeting, Terms, Tied, owners};
use crate::kernel::fault::Fault;
use crate::kernel::ids::{RegistrationId, UserId};
use crate::store::{Done, Hints, Stop, Work};
use crate::users::{Identifier, User, Voucher};

/// The admin vouches for what was claimed. `chosen` is whose registration it is, where the
/// identifiers are of several people.
pub async fn approve(
    grant: &Granted<ApproveRegistration>,
    desk: &Desk,
    id: RegistrationId,
    chosen: Option<UserId>,
) -> Result<Done<Registration>, Fault> {
    let (store, now) = (desk.store.clone(), grant.now());
    let materials = Materials::make(desk, desk.modules(&grant.pass()).await?, now);
    let vouched_by = Voucher::Operator(grant.target().operator);
    let hints = Hints::none().and(&Registration::by_id(id));
    let unit = desk.store.unit(grant.warrant(), hints, move |work| {
        let before = work.get(&Registration::by_id(id))?;
        before.undecided(now)?;
        let request = before.request(store.keyring())?;
        let app = work.get(&App::by_id(&before.app_id))?;
        let owner = one_of(&owners(work, &request)?, chosen)?;
        let terms = Terms::left(&app, &request);
        let (app, request, materials) = (&app, &request, &materials);
        let vouched_by = vouched_by.clone();
        let meeting = Meeting { app, request, terms, materials, vouched_by };
        let tied = match owner {
            None => meeting.create(work)?,
            Some(owner) => meeting.link(work, owner)?,
        };
        let after = before.clone().active(&tied, now).with_key(&tied, &store);
        work.revise(&before, &after)?;
        Ok(after)
    });
    unit.await
}

fn one_of(owners: &[UserId], chosen: Option<UserId>) -> Result<Option<UserId>, Fault> {
    let listed = || owners.iter().map(UserId::to_string).collect::<Vec<_>>().join(", ");
    match (owners, chosen) {
        (_, Some(chosen)) if owners.contains(&chosen) => Ok(Some(chosen)),
        ([], Some(_)) => {
            let accepted = "nobody has these identifiers: leave `user_id` out to create the person";
            Err(Fault::invalid("/user_id", "not_accepted", accepted))
        }
        (_, Some(_)) => {
            let accepted = format!("whose identifiers these are: {}", listed());
            Err(Fault::invalid("/user_id", "not_accepted", accepted))
        }
        ([], None) => Ok(None),
        ([one], None) => Ok(Some(*one)),
        (_, None) => {
            let accepted =
                format!("the identifiers are of several people; choose one: {}", listed());
            Err(Fault::invalid("/user_id", "required", accepted))
        }
    }
}

pub async fn decline(
    grant: &Granted<DeclineRegistration>,
    desk: &Desk,
    id: RegistrationId,
    note: Option<String>,
) -> Result<Done<Registration>, Fault> {
    let now = grant.now();
    let note = note.map(|note| Registration::sealed_note(id, &note, &desk.store));
    let hints = Hints::none().and(&Registration::by_id(id));
    let unit = desk.store.unit(grant.warrant(), hints, move |work| {
        let before = work.get(&Registration::by_id(id))?;
        before.undecided(now)?;
        let after = before.clone().declined(note.clone(), now);
        work.revise(&before, &after)?;
        Ok(after)
    });
    unit.await
}

/// The person has proven to be the owner of `identifier`: what this app claims of it becomes a
/// connection. `None` where nothing waits.
pub fn activate(
    work: &mut Work,
    app: &App,
    user: &User,
    identifier: &Identifier,
    desk: &Desk,
    materials: &Materials,
) -> Result<Option<Tied>, Stop> {
    let keyring = desk.store.keyring();
    let key = Registration::claiming(&app.id, std::slice::from_ref(identifier), keyring);
    let waiting = work.find(&key)?.filter(|it: &Registration| it.is_waiting(work.now()));
    let Some(before) = waiting else { return Ok(None) };
    let request = before.request(keyring)?;
    let terms = Terms::left(app, &request);
    let vouched_by = Voucher::App(app.id.clone());
    let meeting = Meeting { app, request: &request, terms, materials, vouched_by };
    let tied = meeting.link(work, user.id)?;
    let after = before.clone().active(&tied, work.now());
    work.revise(&before, &after)?;
    Ok(Some(tied))
}
