//! What is stored of referrals: a part of the user record, who has which code, and what became of each
//! code that was redeemed.

use bson::RawDocument;
use serde::{Deserialize, Serialize};

use super::model::{Event, Flag, Refusal, Status};
use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::ids::{AppId, CustomerId, Name, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root};
use crate::users::{User, UserStatus};

/// `modules.referrals`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the source document")]
pub struct Referrals {
    pub enabled: bool,
    /// The one that is shown; others that the person had still count.
    pub referral_code: Option<String>,
    /// People who came by one of them, and for whom there was a reward.
    pub referrals_count: i64,
    #[serde(default)]
    pub referred_by: Option<UserId>,
    /// Whether there was a reward for having come by somebody's code.
    #[serde(default)]
    pub rewarded: bool,
    /// How many codes were made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub codes: i64,
    /// The latest uses of the codes, the last one at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Recent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewards: Option<Rewards>,
}

/// Where a code was made or used, as far as two such places can be told apart: MACs, no addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The person's own: where the code was made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

/// How many rewards a referrer has had on the last day (UTC) with one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewards {
    pub day: String,
    pub count: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// The part of a user record that referrals work with. Written through the same kind as the whole
/// record: what is not here stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    #[serde(rename = "_id")]
    pub id: UserId,
    pub status: UserStatus,
    pub created_at: Timestamp,
    pub customer_id: CustomerId,
    pub modules: Held,
    #[serde(skip_serializing)]
    pub revised_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub referrals: Referrals,
}

impl Record for Member {
    const KIND: &'static Kind = User::KIND;

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Member {
    #[cfg(test)]
    pub fn new(
        id: UserId,
        status: UserStatus,
        created_at: Timestamp,
        customer_id: CustomerId,
        referrals: Referrals,
    ) -> Self {
        let (modules, revised_at) = (Held { referrals }, created_at);
        Self { id, status, created_at, customer_id, modules, revised_at }
    }

    pub fn by_id(id: UserId) -> Key<Self> {
        Key::id(id.0)
    }

    pub fn referrals(&self) -> &Referrals {
        &self.modules.referrals
    }

    /// The same person with these referrals.
    pub fn with(&self, referrals: Referrals) -> Self {
        Self { modules: Held { referrals }, ..self.clone() }
    }

    /// The moment at which a decision is made: never before the last one about this person.
    pub fn moment(&self, now: Timestamp) -> Timestamp {
        self.revised_at.max(now)
    }
}

/// `referral_codes`: whose a code is, for good. Its `_id` is what it looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeOf {
    #[serde(rename = "_id")]
    pub id: String,
    pub user_id: UserId,
    pub created_at: Timestamp,
}

impl Record for CodeOf {
    const KIND: &'static Kind = &Kind {
        collection: "referral_codes",
        root: PERSON,
        subject: person,
        place: |code| code.get_str("_id").ok().map(|id| format!("referral_codes.{id}")),
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Self::by_key(&self.id)
    }
}

impl CodeOf {
    pub fn by_key(key: &str) -> Key<Self> {
        Key::id(key)
    }
}

const PERSON: Root = Root::Of { collection: "users", field: "user_id" };

fn person(record: &RawDocument) -> Option<Subject> {
    record.get_object_id("user_id").ok().map(|id| Subject::User(UserId(id)))
}

/// `referrals`: one for each person who came by a code (`_id` is theirs, so there is one), and one for
/// each reason why somebody could not (`<person>:<reason>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    #[serde(rename = "_id")]
    pub id: String,
    /// Who redeemed it.
    pub user_id: UserId,
    /// Whose code it was.
    pub referrer_id: UserId,
    pub code: String,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// The programme as it was then.
    pub terms: Terms,
    pub app_id: AppId,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
}

/// What a programme promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub programme: Name,
    pub event: Event,
    pub referrer_credits: i64,
    pub referee_credits: i64,
    /// How long the credits last; for good, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits_days: Option<i64>,
    /// Rewards of one referrer on one day, and in all.
    pub per_day_max: i64,
    pub in_all_max: i64,
}

impl Record for Case {
    const KIND: &'static Kind = &Kind {
        collection: "referrals",
        root: PERSON,
        subject: person,
        place: |case| {
            let id = case.get_str("_id").ok()?;
            let reason = id.split_once(':').map(|(_, reason)| reason);
            Some(reason.map_or("referral".to_owned(), |it| format!("referral_refusals.{it}")))
        },
        sensitivity: |_| Sensitivity::Plain,
        volatile: |path| path == LOOK_AT,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.as_str())
    }
}

/// When it is looked for the event again.
pub const LOOK_AT: &str = "look_at";

impl Case {
    pub fn of(user: UserId) -> Key<Self> {
        Key::id(user.to_string())
    }

    pub fn refused(user: UserId, refusal: Refusal) -> Key<Self> {
        Key::id(Self::refused_id(user, refusal))
    }

    pub fn refused_id(user: UserId, refusal: Refusal) -> String {
        format!("{user}:{}", refusal.as_str())
    }
}

/// `programmes`: what admins promise for referrals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programme {
    #[serde(rename = "_id")]
    pub id: Name,
    pub display_name: String,
    pub active: bool,
    pub event: Event,
    pub referrer_credits: i64,
    pub referee_credits: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits_days: Option<i64>,
    pub per_day_max: i64,
    pub in_all_max: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing)]
    pub revision: i64,
}

impl Record for Programme {
    const KIND: &'static Kind = &Kind {
        collection: "programmes",
        root: Root::Own,
        subject: |it| it.get_str("_id").ok().and_then(Name::parse).map(Subject::Programme),
        place: |_| Some(String::new()),
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(&self.id)
    }
}

impl Programme {
    pub fn by_id(id: &Name) -> Key<Self> {
        Key::id(id.as_str())
    }

    pub fn terms(&self) -> Terms {
        Terms {
            programme: self.id.clone(),
            event: self.event,
            referrer_credits: self.referrer_credits,
            referee_credits: self.referee_credits,
            credits_days: self.credits_days,
            per_day_max: self.per_day_max,
            in_all_max: self.in_all_max,
        }
    }
}
