//! What is answered about referrals. An app learns neither who else is part of one nor that it is
//! looked at: both would help whoever farms them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::model::{Event, Flag, Refusal, Status};
use super::record::{Case, CodeOf, Programme, Referrals};
use crate::kernel::time::rfc3339;

/// Where it stands what addresses and devices are recognised by, those of other people too.
pub const RECOGNISED: &str = "modules.referrals.recent";

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeReferralsView)] // the user record has a ReferralsView
pub struct ReferralsView {
    enabled: bool,
    /// `null` until it is first asked for: `POST …/referrals/code`.
    #[schema(required = true, example = "7K3M9QXZ")]
    referral_code: Option<String>,
    /// People who came by it, and for whom there was a reward.
    #[schema(minimum = 0)]
    referrals_count: i64,
    /// Whether the person came by somebody's code.
    referred: bool,
    /// Whether there was a reward for that.
    rewarded: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ReferralCodeView)]
pub struct CodeView {
    #[schema(example = "7K3M9QXZ")]
    referral_code: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = RedeemedCodeView)]
pub struct RedeemedView {
    #[schema(example = "7K3M9QXZ")]
    referral_code: String,
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "standard")]
    programme: String,
    event: Event,
    /// What the person gets once the event has come and nothing speaks against it.
    #[schema(minimum = 0)]
    credits: i64,
    created_at: String,
}

/// A referral as admins see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ReferralCaseView)]
pub struct CaseView {
    /// Who redeemed the code; their referral is named by it.
    user_id: String,
    #[schema(pattern = "^[0-9a-f]{24}$", example = "65f1a2b3c4d5e6f7a8b9c0d1")]
    referrer_id: String,
    #[schema(example = "7K3M9QXZ")]
    referral_code: String,
    status: Status,
    /// Why it was not redeemed.
    #[schema(required = true)]
    refusal: Option<Refusal>,
    flags: Vec<Flag>,
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "standard")]
    programme: String,
    event: Event,
    app_id: String,
    created_at: String,
    /// When it was rewarded, closed, approved or voided.
    #[schema(required = true)]
    decided_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct CaseItems {
    #[schema(max_items = 200)]
    pub items: Vec<CaseView>,
    /// `null` on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProgrammeView {
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "standard")]
    programme: String,
    #[schema(example = "Bring a friend")]
    display_name: String,
    active: bool,
    event: Event,
    #[schema(minimum = 1)]
    referrer_credits: i64,
    #[schema(minimum = 0)]
    referee_credits: i64,
    /// How long they last; for good where it is `null`.
    #[schema(required = true, minimum = 1)]
    credits_days: Option<i64>,
    /// Rewards of one referrer on one day (UTC).
    #[schema(minimum = 1)]
    per_day_max: i64,
    /// Rewards of one referrer in all.
    #[schema(minimum = 1)]
    in_all_max: i64,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize, ToSchema)]
pub struct ProgrammeItems {
    #[schema(max_items = 200)]
    pub items: Vec<ProgrammeView>,
    /// `null` on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl ReferralsView {
    pub fn of(referrals: &Referrals) -> Self {
        Self {
            enabled: referrals.enabled,
            referral_code: referrals.referral_code.clone(),
            referrals_count: referrals.referrals_count,
            referred: referrals.referred_by.is_some(),
            rewarded: referrals.rewarded,
        }
    }
}

/// For the person themself: a code of theirs.
pub fn code_view(code: &CodeOf) -> Value {
    json!({ "referral_code": code.id, "created_at": rfc3339(code.created_at) })
}

/// The referral that they came by, or why there is none.
pub fn case_view(case: &Case) -> CaseView {
    CaseView::of(case)
}

/// One that they have brought, without what concerns the other.
pub fn brought(case: &Case) -> Value {
    json!({
        "user_id": case.user_id.to_string(),
        "referral_code": case.code,
        "status": case.status,
        "programme": case.terms.programme.as_str(),
        "created_at": rfc3339(case.created_at),
        "decided_at": case.decided_at.map(rfc3339),
    })
}

impl CodeView {
    pub fn of(code: &str) -> Self {
        Self { referral_code: code.to_owned() }
    }
}

impl RedeemedView {
    pub fn of(case: &Case) -> Self {
        Self {
            referral_code: case.code.clone(),
            programme: case.terms.programme.to_string(),
            event: case.terms.event,
            credits: case.terms.referee_credits,
            created_at: rfc3339(case.created_at),
        }
    }
}

impl CaseView {
    pub fn of(case: &Case) -> Self {
        Self {
            user_id: case.user_id.to_string(),
            referrer_id: case.referrer_id.to_string(),
            referral_code: case.code.clone(),
            status: case.status,
            refusal: case.refusal,
            flags: case.flags.clone(),
            programme: case.terms.programme.to_string(),
            event: case.terms.event,
            app_id: case.app_id.to_string(),
            created_at: rfc3339(case.created_at),
            decided_at: case.decided_at.map(rfc3339),
        }
    }
}

impl ProgrammeView {
    pub fn of(programme: &Programme) -> Self {
        Self {
            programme: programme.id.to_string(),
            display_name: programme.display_name.clone(),
            active: programme.active,
            event: programme.event,
            referrer_credits: programme.referrer_credits,
            referee_credits: programme.referee_credits,
            credits_days: programme.credits_days,
            per_day_max: programme.per_day_max,
            in_all_max: programme.in_all_max,
            created_at: rfc3339(programme.created_at),
            updated_at: rfc3339(programme.updated_at),
        }
    }
}
