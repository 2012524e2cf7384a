//! Writing: codes, and their use.

use serde::{Deserialize, Serialize};

use super::actions::{MakeCode, RedeemCode};
use super::model::{self, Code, RECENT_MAX, Refusal, Status};
use super::record::{Case, CodeOf, Member, Programme, Recent, Referrals};
use super::view::{CodeView, RedeemedView};
use crate::access::action::Mutating;
use crate::access::grant::{Granted, OnTie};
use crate::kernel::fault::{self, Fault};
use crate::kernel::ids::{Name, UserId};
use crate::kernel::text::hex;
use crate::kernel::time::Timestamp;
use crate::store::{Done, Hints, Stop, Store, Work};
use crate::users::UserStatus;

/// Codes that one person may have had.
const CODES_MAX: i64 = 5;
/// Random codes that are tried: one is nearly always free.
const CANDIDATES: usize = 4;

/// What is to be redeemed.
pub struct Redemption {
    pub code: Code,
    pub programme: Name,
    /// What tells the person's device from others, in the app's words.
    pub device: Option<String>,
}

/// The person's code. The first is made when it is first asked for; a custom one comes in its place,
/// and the old one still counts.
pub async fn code(
    grant: &Granted<MakeCode>,
    store: &Store,
    custom: Option<Code>,
) -> Result<Done<CodeView>, Fault> {
    let user = grant.target().user;
    let this = place(grant, store, None, true);
    let candidates = match &custom {
        Some(code) => vec![code.clone()],
        None => (0..CANDIDATES).map(|_| Code::random(store.chance())).collect(),
    };
    let mut hints = Hints::none().and(&Member::by_id(user));
    for candidate in &candidates {
        hints = hints.look(&CodeOf::by_key(&candidate.key));
    }
    let unit = store.unit(grant.warrant(), hints, move |work| {
        let member = enabled(work, user)?;
        let before = member.referrals();
        if let (Some(code), None) = (&before.referral_code, &custom) {
            return Ok(CodeView::of(code));
        }
        let code = match free(work, user, &candidates)? {
            Free::Own(code) => code,
            Free::New(code) => {
                if before.codes >= CODES_MAX {
                    let detail = format!("This person has had {CODES_MAX} codes.");
                    return Err(Fault::new(fault::Code::WrongState, detail).into());
                }
                let created_at = work.now();
                work.create(&CodeOf { id: code.key.clone(), user_id: user, created_at })?;
                code
            }
        };
        let made = before.referral_code.as_ref() != Some(&code.shown);
        let after = Referrals {
            referral_code: Some(code.shown.clone()),
            codes: before.codes + i64::from(made),
            recent: if made { remembered(before, &this) } else { before.recent.clone() },
            ..before.clone()
        };
        work.revise(&member, &member.with(after))?;
        Ok(CodeView::of(&code.shown))
    });
    unit.await
}

enum Free {
    New(Code),
    Own(Code),
}

/// The first that is nobody's, or this person's own.
fn free(work: &mut Work, user: UserId, candidates: &[Code]) -> Result<Free, Stop> {
    for code in candidates {
        match work.find(&CodeOf::by_key(&code.key))? {
            None => return Ok(Free::New(code.clone())),
            Some(known) if known.user_id == user => return Ok(Free::Own(code.clone())),
            Some(_) => {}
        }
    }
    Err(Fault::new(fault::Code::AlreadyExists, "Somebody else has this code, for good.").into())
}

/// What the unit answers: a refusal is an answer too, since it leaves a line for admins.
#[derive(Serialize, Deserialize)]
enum Answer {
    Redeemed(RedeemedView),
    Refused(Refusal),
}

/// Redeems somebody's code, once. The reward comes later, when it is earned.
pub async fn redeem(
    grant: &Granted<RedeemCode>,
    store: &Store,
    redemption: Redemption,
) -> Result<Done<RedeemedView>, Fault> {
    let (user, app) = (grant.target().user, grant.target().app.clone());
    let Redemption { code, programme, device } = redemption;
    let this = place(grant, store, device.as_deref(), false);
    let hints = Hints::none()
        .and(&Member::by_id(user))
        .and(&Case::of(user))
        .look(&CodeOf::by_key(&code.key))
        .look(&Programme::by_id(&programme));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        let referee = enabled(work, user)?;
        let terms = work.find(&Programme::by_id(&programme))?.filter(|it| it.active);
        let terms = terms.ok_or_else(|| missing("programme"))?.terms();
        let code_of = work.find(&CodeOf::by_key(&code.key))?.ok_or_else(|| missing("code"))?;
        let referrer = work.find(&Member::by_id(code_of.user_id))?;
        let referrer = referrer.filter(|it| it.status == UserStatus::Active);
        let referrer = referrer.ok_or_else(|| missing("code"))?;
        let earlier = work.find(&Case::of(user))?;
        let judged =
            model::judge(&referee, &referrer, earlier.as_ref(), referee.moment(work.now()));
        let flags = model::flags(&referrer.referrals().recent, &this);
        let case = Case {
            id: user.to_string(),
            user_id: user,
            referrer_id: referrer.id,
            code: code.shown.clone(),
            status: if flags.is_empty() { Status::Pending } else { Status::Flagged },
            refusal: None,
            flags,
            terms,
            app_id: app.clone(),
            created_at: work.now(),
            decided_at: None,
        };
        match judged {
            Ok(()) => taken(work, &referee, &referrer, &case, &this).map(Answer::Redeemed),
            Err(refusal) => noted(work, case, refusal).map(Answer::Refused),
        }
    });
    let done = unit.await?;
    match done.answer {
        Answer::Redeemed(view) => {
            let Done { replayed, written, .. } = done;
            Ok(Done { answer: view, replayed, written })
        }
        Answer::Refused(refusal) if done.replayed => Err(refused(refusal).replayed()),
        Answer::Refused(refusal) => Err(refused(refusal)),
    }
}

fn taken(
    work: &mut Work,
    referee: &Member,
    referrer: &Member,
    case: &Case,
    this: &Recent,
) -> Result<RedeemedView, Stop> {
    work.create(case)?;
    let before = referee.referrals().clone();
    let after = Referrals { referred_by: Some(referrer.id), ..before };
    work.revise(referee, &referee.with(after))?;
    let before = referrer.referrals();
    let after = Referrals { recent: remembered(before, this), ..before.clone() };
    work.revise(referrer, &referrer.with(after))?;
    Ok(RedeemedView::of(case))
}

/// A line for admins, once for each reason.
fn noted(work: &mut Work, case: Case, refusal: Refusal) -> Result<Refusal, Stop> {
    if work.find(&Case::refused(case.user_id, refusal))?.is_none() {
        let id = Case::refused_id(case.user_id, refusal);
        let (status, refusal) = (Status::Refused, Some(refusal));
        work.create(&Case { id, status, refusal, ..case })?;
    }
    Ok(refusal)
}

fn remembered(before: &Referrals, this: &Recent) -> Vec<Recent> {
    let mut recent = before.recent.clone();
    recent.push(this.clone());
    // Where the codes were made is kept; of the uses the latest.
    while recent.len() > RECENT_MAX {
        let oldest = recent.iter().position(|one| !one.own).unwrap_or(0);
        recent.remove(oldest);
    }
    recent
}

/// Where this happens, so that two such places can be told apart and nothing else.
fn place<A: Mutating<Target = OnTie>>(
    grant: &Granted<A>,
    store: &Store,
    device: Option<&str>,
    own: bool,
) -> Recent {
    let warrant = grant.warrant();
    let mac =
        |what: &str| hex(&store.keyring().mac_bytes("referral_place", &[what.as_bytes()])[..12]);
    // The app's own address says nothing about people: only what it asserts of theirs counts.
    let asserted = warrant.ip_address.clone().filter(|_| warrant.asserted_by.is_some());
    Recent { at: grant.now(), address: asserted.as_deref().map(mac), device: device.map(mac), own }
}

fn enabled(work: &mut Work, user: UserId) -> Result<Member, Stop> {
    let member = work.get(&Member::by_id(user))?;
    if member.referrals().enabled {
        return Ok(member);
    }
    Err(Fault::of(fault::Code::ModuleDisabled).into())
}

fn missing(what: &str) -> Fault {
    Fault::new(fault::Code::NotFound, format!("There is no such {what}."))
}

fn refused(refusal: Refusal) -> Fault {
    let (code, detail) = match refusal {
        Refusal::AlreadyReferred => (fault::Code::AlreadyReferred, None),
        Refusal::TooLate => (
            fault::Code::NotEligible,
            Some("A code is redeemed within 30 days of the person's registration."),
        ),
        Refusal::OwnCode => (fault::Code::NotEligible, Some("The code is the person's own.")),
        Refusal::SameCustomer => {
            (fault::Code::NotEligible, Some("The code belongs to the same customer."))
        }
        Refusal::ReferrerYounger => (
            fault::Code::NotEligible,
            Some("The code is one of somebody who was registered later."),
        ),
    };
    detail.map_or_else(|| Fault::of(code), |detail| Fault::new(code, detail))
}

/// For those who decide later: the same moment in every attempt.
pub(super) fn decided(case: &Case, status: Status, at: Timestamp) -> Case {
    Case { status, decided_at: Some(at), ..case.clone() }
}
