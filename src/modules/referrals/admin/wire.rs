//! What is accepted about programmes: bodies and their checks.

use serde::Deserialize;
use utoipa::ToSchema;

use super::commands::ProgrammeChange;
use crate::http::checks::Checks;
use crate::kernel::credits::CREDITS_MAX;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{NAME_RULE, Name};
use crate::kernel::text;
use crate::kernel::time::Timestamp;
use crate::modules::referrals::model::Event;
use crate::modules::referrals::record::Programme;

/// A programme to be started.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgrammeBody {
    /// Chosen for good. Apps that name none redeem for `standard`.
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "standard")]
    programme: String,
    #[schema(min_length = 1, max_length = 200, example = "Bring a friend")]
    display_name: String,
    event: Event,
    /// For whoever brings somebody.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 100)]
    referrer_credits: i64,
    /// For whoever is brought; 0, unless sent.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    #[serde(default)]
    referee_credits: i64,
    /// How many days the credits last; for good, unless sent.
    #[schema(minimum = 1, maximum = 3660)]
    #[serde(default)]
    credits_days: Option<i64>,
    /// Rewards of one referrer on one day (UTC); 10, unless sent.
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000, example = 10)]
    #[serde(default = "per_day")]
    per_day_max: i64,
    /// Rewards of one referrer in all; 100, unless sent.
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000, example = 100)]
    #[serde(default = "in_all")]
    in_all_max: i64,
}

/// What is to be changed of a programme, for codes that are redeemed later.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgrammePatch {
    #[schema(min_length = 1, max_length = 200, example = "Bring a friend")]
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    active: Option<bool>,
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    #[serde(default)]
    referrer_credits: Option<i64>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    #[serde(default)]
    referee_credits: Option<i64>,
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(default)]
    per_day_max: Option<i64>,
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(default)]
    in_all_max: Option<i64>,
}

const NAME_CHARACTERS_MAX: usize = 200;
const CREDITS_DAYS_MAX: i64 = 3660;
const REWARDS_MAX: i64 = 1_000_000;

fn per_day() -> i64 {
    10
}

fn in_all() -> i64 {
    100
}

pub fn new_programme(body: &ProgrammeBody, now: Timestamp) -> Result<Programme, Fault> {
    let mut checks = Checks::default();
    let id = Name::parse(&body.programme);
    if id.is_none() {
        checks.add("/programme", "not_accepted", NAME_RULE);
    }
    if let Some(days) = body.credits_days {
        checks.number("/credits_days", days, 1, CREDITS_DAYS_MAX);
    }
    checks.number("/referrer_credits", body.referrer_credits, 1, CREDITS_MAX);
    checks.number("/referee_credits", body.referee_credits, 0, CREDITS_MAX);
    checks.number("/per_day_max", body.per_day_max, 1, REWARDS_MAX);
    checks.number("/in_all_max", body.in_all_max, 1, REWARDS_MAX);
    let display_name = checks.programme_name(&body.display_name);
    let id = checks.or(id)?;
    let id = id.ok_or_else(|| Fault::invalid("/programme", "not_accepted", NAME_RULE))?;
    Ok(Programme {
        id,
        display_name,
        active: true,
        event: body.event,
        referrer_credits: body.referrer_credits,
        referee_credits: body.referee_credits,
        credits_days: body.credits_days,
        per_day_max: body.per_day_max,
        in_all_max: body.in_all_max,
        created_at: now,
        updated_at: now,
        revision: 1,
    })
}

pub fn programme_change(body: &ProgrammePatch) -> Result<ProgrammeChange, Fault> {
    let mut checks = Checks::default();
    for (pointer, value, least, most) in [
        ("/referrer_credits", body.referrer_credits, 1, CREDITS_MAX),
        ("/referee_credits", body.referee_credits, 0, CREDITS_MAX),
        ("/per_day_max", body.per_day_max, 1, REWARDS_MAX),
        ("/in_all_max", body.in_all_max, 1, REWARDS_MAX),
    ] {
        if let Some(value) = value {
            checks.number(pointer, value, least, most);
        }
    }
    let change = ProgrammeChange {
        display_name: body.display_name.as_ref().map(|name| checks.programme_name(name)),
        active: body.active,
        referrer_credits: body.referrer_credits,
        referee_credits: body.referee_credits,
        per_day_max: body.per_day_max,
        in_all_max: body.in_all_max,
    };
    checks.or(change)
}

impl Checks {
    fn programme_name(&mut self, name: &str) -> String {
        self.parsed("/display_name", name, |name| text::line(name, NAME_CHARACTERS_MAX))
    }
}
