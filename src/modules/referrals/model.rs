//! The rules of referrals, without I/O: what a code is, who may redeem one, what is suspicious, and
//! when a cap is reached.
//!
//! Nobody is turned away by a guess: a *refusal* is a fact (too late, redeemed before, the same
//! person), a *flag* is a signal that an admin looks at.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::record::{Case, Member, Recent};
use crate::kernel::chance::Chance;
use crate::kernel::time::{self, DAY_MS, Timestamp, rfc3339};

/// How long after they were registered somebody can redeem a code.
pub const REDEEM_DAYS: i64 = 30;
/// Of one code within an hour; more look like a farm.
const BURST: usize = 5;
const HOUR_MS: i64 = DAY_MS / 24;
/// Uses of a person's codes that are kept to compare others with.
pub const RECENT_MAX: usize = 20;

/// Crockford's base32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_CHARACTERS: usize = 8;
pub const CUSTOM_RULE: &str = "4 to 20 letters (A to Z, but not U), digits and hyphens";

/// A code as it is shown, and as it is compared: in capitals, and what looks alike is alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub shown: String,
    pub key: String,
}

impl Code {
    pub fn random(chance: &Chance) -> Self {
        let bytes: [u8; CODE_CHARACTERS] = chance.bytes();
        let shown: String =
            bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
        Self { key: shown.clone(), shown }
    }

    /// As somebody chose it, or typed it in.
    pub fn parse(text: &str) -> Option<Self> {
        let shown = text.trim().to_ascii_uppercase();
        let fits = |c: u8| (c.is_ascii_alphanumeric() && c != b'U') || c == b'-';
        let key: String = shown
            .chars()
            .filter(|c| *c != '-')
            .map(|c| match c {
                'I' | 'L' => '1',
                'O' => '0',
                other => other,
            })
            .collect();
        let long_enough = (4..=20).contains(&shown.len()) && key.len() >= 4;
        (long_enough && shown.bytes().all(fits)).then_some(Self { shown, key })
    }
}

/// Why a code is not redeemed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReferralRefusal)]
pub enum Refusal {
    AlreadyReferred,
    TooLate,
    /// The code is the person's own.
    OwnCode,
    /// The code is one of somebody who is the same customer.
    SameCustomer,
    /// The code is one of somebody who came later: else referrals could go round in a ring.
    ReferrerYounger,
}

/// Signals that an admin looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReferralFlag)]
pub enum Flag {
    SameAddress,
    SameDevice,
    Burst,
}

/// How far a referral has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReferralStatus)]
pub enum Status {
    /// Waits for the event that qualifies.
    Pending,
    /// Waits for an admin.
    Flagged,
    Rewarded,
    /// An admin has said no, or one of the two is gone.
    Void,
    /// The referrer had as many rewards as there are.
    Capped,
    /// It was not redeemed.
    Refused,
}

/// What makes a referral worth its reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReferralEvent)]
pub enum Event {
    /// That the person has come at all.
    Registered,
    /// That they have spent credits since.
    FirstDebit,
    /// That they have paid for a subscription since.
    SubscriptionPaid,
}

/// Whether this person may redeem a code of that one, as the facts are.
pub fn judge(
    referee: &Member,
    referrer: &Member,
    earlier: Option<&Case>,
    at: Timestamp,
) -> Result<(), Refusal> {
    if earlier.is_some() || referee.referrals().referred_by.is_some() {
        return Err(Refusal::AlreadyReferred);
    }
    if at > time::plus(referee.created_at, REDEEM_DAYS * DAY_MS) {
        return Err(Refusal::TooLate);
    }
    if referee.id == referrer.id {
        return Err(Refusal::OwnCode);
    }
    if referee.customer_id == referrer.customer_id {
        return Err(Refusal::SameCustomer);
    }
    // A total order: who refers is always before who is referred, so that no ring can close.
    if (referee.created_at, referee.id) <= (referrer.created_at, referrer.id) {
        return Err(Refusal::ReferrerYounger);
    }
    Ok(())
}

/// What is suspicious about one more use of somebody's codes.
pub fn flags(earlier: &[Recent], this: &Recent) -> Vec<Flag> {
    let same = |of: fn(&Recent) -> Option<&String>| {
        of(this).is_some_and(|mine| earlier.iter().any(|one| of(one) == Some(mine)))
    };
    let since = time::plus(this.at, -HOUR_MS);
    let burst = earlier.iter().filter(|one| !one.own && one.at > since).count() >= BURST;
    [
        (same(|it| it.address.as_ref()), Flag::SameAddress),
        (same(|it| it.device.as_ref()), Flag::SameDevice),
        (burst, Flag::Burst),
    ]
    .into_iter()
    .filter_map(|(raised, flag)| raised.then_some(flag))
    .collect()
}

/// The day of which rewards are counted, in UTC.
pub fn day(at: Timestamp) -> String {
    rfc3339(at)[..10].to_owned()
}

impl Refusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyReferred => "already_referred",
            Self::TooLate => "too_late",
            Self::OwnCode => "own_code",
            Self::SameCustomer => "same_customer",
            Self::ReferrerYounger => "referrer_younger",
        }
    }
}

impl Status {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Flagged, Self::Rewarded, Self::Void, Self::Capped, Self::Refused];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Flagged => "flagged",
            Self::Rewarded => "rewarded",
            Self::Void => "void",
            Self::Capped => "capped",
            Self::Refused => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use proptest::prelude::*;

    use super::super::record::Referrals;
    use super::*;
    use crate::kernel::ids::{CustomerId, UserId};
    use crate::users::UserStatus;

    fn member(number: u8, created: i64) -> Member {
        Member::new(
            UserId(ObjectId::from_bytes([number; 12])),
            UserStatus::Active,
            Timestamp::from_millis(created),
            CustomerId(ObjectId::from_bytes([number; 12])),
            Referrals::default(),
        )
    }

    fn used(at: i64, address: &str) -> Recent {
        let address = Some(address.to_owned());
        Recent { at: Timestamp::from_millis(at), address, device: None, own: false }
    }

    #[test]
    fn codes_are_compared_as_they_look() {
        let key = |text: &str| Code::parse(text).map(|code| code.key);
        assert_eq!(key("ilo-0"), Some("1100".to_owned()));
        assert_eq!(key("Oliver-20"), key("0l1ver20"));
        for wrong in ["abc", "a-b-c", "würste", "UNDER", "four four", &"x".repeat(21)] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
        let random = Code::random(&Chance::from_seed(4));
        assert_eq!(Code::parse(&random.shown.to_lowercase()), Some(random));
    }

    #[test]
    fn facts_refuse_and_signals_only_flag() {
        let (old, young) = (member(1, 0), member(2, 1000));
        let at = Timestamp::from_millis(2000);
        assert_eq!(judge(&young, &old, None, at), Ok(()));
        assert_eq!(judge(&old, &young, None, at), Err(Refusal::ReferrerYounger));
        assert_eq!(judge(&old, &old, None, at), Err(Refusal::OwnCode));
        let mut twin = young.clone();
        twin.customer_id = old.customer_id;
        assert_eq!(judge(&twin, &old, None, at), Err(Refusal::SameCustomer));
        let late = Timestamp::from_millis(1001 + REDEEM_DAYS * DAY_MS);
        assert_eq!(judge(&young, &old, None, late), Err(Refusal::TooLate));
        assert_eq!(flags(&[used(0, "here")], &used(1, "there")), []);
        assert_eq!(flags(&[used(0, "here")], &used(1, "here")), [Flag::SameAddress]);
        let many: Vec<_> = (0..5).map(|n| used(n, &n.to_string())).collect();
        assert_eq!(flags(&many, &used(9, "there")), [Flag::Burst]);
        assert_eq!(flags(&many, &used(HOUR_MS + 9, "there")), []);
    }

    proptest! {
        #[test]
        fn whoever_redeems_what_in_whatever_order_no_ring_closes(
            created in prop::collection::vec(0_i64..20, 2..12),
            tries in prop::collection::vec((0_usize..12, 0_usize..12), 1..60),
        ) {
            let mut people: Vec<_> =
                created.iter().zip(1..).map(|(at, number)| member(number, *at)).collect();
            for (referee, referrer) in tries {
                let (referee, referrer) = (referee % people.len(), referrer % people.len());
                let by = people[referrer].clone();
                if judge(&people[referee], &by, None, Timestamp::from_millis(30)).is_ok() {
                    let referrals = people[referee].referrals().clone();
                    let referrals = Referrals { referred_by: Some(by.id), ..referrals };
                    people[referee] = people[referee].with(referrals);
                }
            }
            for start in &people {
                let mut here = start.clone();
                for _ in 0..=people.len() {
                    let Some(by) = here.referrals().referred_by else { break };
                    prop_assert_ne!(by, start.id, "a ring");
                    here = people.iter().find(|one| one.id == by).expect("known").clone();
                }
            }
        }
    }
}
