//! What is accepted about plans: bodies and their checks.

use serde::Deserialize;
use utoipa::ToSchema;

use super::commands::PlanChange;
use crate::http::checks::Checks;
use crate::kernel::credits::CREDITS_MAX;
use crate::kernel::fault::Fault;
use crate::kernel::ids::{AppId, NAME_RULE, Name};
use crate::kernel::text;
use crate::kernel::time::Timestamp;
use crate::modules::subscription::model::calendar::{COUNT_MAX, Cycle};
use crate::modules::subscription::plan::{Plan, PlanStatus};

/// A plan to be put on sale.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    /// Chosen for good.
    #[schema(pattern = "^[a-z0-9_]{3,64}$", example = "premium")]
    plan: String,
    #[schema(min_length = 1, max_length = 200, example = "Premium")]
    display_name: String,
    /// In credits, for each period; 0 is free.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 100)]
    price: i64,
    period: Cycle,
    /// For people who never had one; 0, unless sent.
    #[schema(minimum = 0, maximum = 366)]
    #[serde(default)]
    trial_days: i64,
    /// Granted with each period that is paid for; 0, unless sent.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    #[serde(default)]
    credits: i64,
    /// How many days they last, from the beginning of the period; as long as it, unless sent.
    #[schema(minimum = 1, maximum = 3660)]
    #[serde(default)]
    credits_days: Option<i64>,
    /// Keys that apps can ask about.
    #[schema(value_type = Vec<String>, max_items = 100, example = json!(["export"]))]
    #[serde(default)]
    features: Vec<String>,
    /// Who may sell it.
    #[schema(value_type = Vec<String>, max_items = 100, example = json!(["external_app_001"]))]
    #[serde(default)]
    apps: Vec<String>,
}

/// What is to be changed of a plan, for those who come to it later.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanPatch {
    #[schema(min_length = 1, max_length = 200, example = "Premium")]
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    status: Option<PlanStatus>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    #[serde(default)]
    price: Option<i64>,
    #[schema(minimum = 0, maximum = 366)]
    #[serde(default)]
    trial_days: Option<i64>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    #[serde(default)]
    credits: Option<i64>,
    #[schema(value_type = Option<Vec<String>>, max_items = 100, example = json!(["export"]))]
    #[serde(default)]
    features: Option<Vec<String>>,
    #[schema(value_type = Option<Vec<String>>, max_items = 100, example = json!(["external_app_001"]))]
    #[serde(default)]
    apps: Option<Vec<String>>,
}

const NAME_CHARACTERS_MAX: usize = 200;
const FEATURES_MAX: usize = 100;
const APPS_MAX: usize = 100;
const TRIAL_DAYS_MAX: i64 = 366;
const CREDITS_DAYS_MAX: i64 = 3660;
const FEATURE_RULE: &str = "1 to 64 characters of a-z, 0-9, _, -, . and :";

pub fn new_plan(body: &PlanBody, now: Timestamp) -> Result<Plan, Fault> {
    let mut checks = Checks::default();
    let id = Name::parse(&body.plan);
    if id.is_none() {
        checks.add("/plan", "not_accepted", NAME_RULE);
    }
    if let Some(days) = body.credits_days {
        checks.number("/credits_days", days, 1, CREDITS_DAYS_MAX);
    }
    checks.number("/period/count", body.period.count, 1, COUNT_MAX);
    checks.number("/price", body.price, 0, CREDITS_MAX);
    checks.number("/trial_days", body.trial_days, 0, TRIAL_DAYS_MAX);
    checks.number("/credits", body.credits, 0, CREDITS_MAX);
    let display_name = checks.plan_name(&body.display_name);
    let features = checks.features(&body.features);
    let apps = checks.sellers(&body.apps);
    let id = checks.or(id)?.ok_or_else(|| Fault::invalid("/plan", "not_accepted", NAME_RULE))?;
    Ok(Plan {
        id,
        display_name,
        status: PlanStatus::Active,
        price: body.price,
        period: body.period,
        trial_days: body.trial_days,
        credits: body.credits,
        credits_days: body.credits_days,
        features,
        apps,
        created_at: now,
        updated_at: now,
        revision: 1,
    })
}

pub fn plan_change(body: &PlanPatch) -> Result<PlanChange, Fault> {
    let mut checks = Checks::default();
    for (pointer, value, most) in [
        ("/price", body.price, CREDITS_MAX),
        ("/trial_days", body.trial_days, TRIAL_DAYS_MAX),
        ("/credits", body.credits, CREDITS_MAX),
    ] {
        if let Some(value) = value {
            checks.number(pointer, value, 0, most);
        }
    }
    let change = PlanChange {
        display_name: body.display_name.as_ref().map(|name| checks.plan_name(name)),
        status: body.status,
        price: body.price,
        trial_days: body.trial_days,
        credits: body.credits,
        features: body.features.as_ref().map(|features| checks.features(features)),
        apps: body.apps.as_ref().map(|apps| checks.sellers(apps)),
    };
    checks.or(change)
}

impl Checks {
    fn plan_name(&mut self, name: &str) -> String {
        self.parsed("/display_name", name, |name| text::line(name, NAME_CHARACTERS_MAX))
    }

    fn features(&mut self, features: &[String]) -> Vec<String> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-.:".contains(&c);
        let fits = |one: &str| (1..=64).contains(&one.len()) && one.bytes().all(plain);
        self.each("/features", features, fits, FEATURE_RULE);
        self.at_most("/features", features.len(), FEATURES_MAX);
        features.to_vec()
    }

    fn sellers(&mut self, apps: &[String]) -> Vec<AppId> {
        self.each("/apps", apps, |app| Name::parse(app).is_some(), NAME_RULE);
        self.at_most("/apps", apps.len(), APPS_MAX);
        apps.iter().filter_map(|app| Name::parse(app)).collect()
    }
}
