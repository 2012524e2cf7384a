//! Where a period ends: counted in the person's own days and months, from the day it all began.
//!
//! Each end is counted from the *anchor*, never from the end before: who begins on the 31st is billed
//! on 28 February and on 31 March again.

use std::fmt;

use chrono::{
    DateTime, Duration, LocalResult, Months, NaiveDateTime, TimeZone as _, Timelike as _, Utc,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kernel::time::Timestamp;

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlanPeriod)]
pub struct Cycle {
    pub unit: Unit,
    #[schema(minimum = 1, maximum = 366)]
    pub count: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PlanPeriodUnit)]
pub enum Unit {
    Day,
    Week,
    Month,
    Year,
}

/// The most units that one period has.
pub const COUNT_MAX: i64 = 366;

/// The clock on the person's wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

/// What a clock on somebody's wall showed, without saying where: `2026-01-31T09:30:00.000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Civil(NaiveDateTime);

impl Zone {
    /// UTC where the person has not said where they live.
    pub fn of(name: Option<&str>) -> Self {
        Self(name.and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC))
    }

    pub fn civil(self, at: Timestamp) -> Civil {
        let at = DateTime::<Utc>::from_timestamp_millis(at.timestamp_millis()).unwrap_or_default();
        Civil(at.with_timezone(&self.0).naive_local())
    }

    /// The first moment at which clocks show this; where they jump over it, the first one after.
    pub fn moment(self, civil: Civil) -> Timestamp {
        let mut shown = civil.0;
        for _ in 0..MINUTES_MAX {
            match self.0.from_local_datetime(&shown) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => {
                    return Timestamp::from_millis(at.timestamp_millis());
                }
                // Clocks jump from one whole minute to another.
                LocalResult::None => {
                    shown = whole_minute(shown) + Duration::minutes(1);
                }
            }
        }
        Timestamp::from_millis(civil.0.and_utc().timestamp_millis())
    }
}

/// A zone has once skipped a whole day.
const MINUTES_MAX: u32 = 60 * 25;

fn whole_minute(shown: NaiveDateTime) -> NaiveDateTime {
    shown.with_second(0).and_then(|it| it.with_nanosecond(0)).unwrap_or(shown)
}

impl Civil {
    /// `steps` periods later; months end on their last day where they lack this one.
    pub fn plus(self, cycle: Cycle, steps: i64) -> Self {
        let count = cycle.count.saturating_mul(steps);
        let months = |count: i64| {
            let months = Months::new(u32::try_from(count).unwrap_or(u32::MAX));
            self.0.checked_add_months(months)
        };
        let days = |count: i64| self.0.checked_add_signed(Duration::try_days(count)?);
        let later = match cycle.unit {
            Unit::Day => days(count),
            Unit::Week => days(count.saturating_mul(7)),
            Unit::Month => months(count),
            Unit::Year => months(count.saturating_mul(12)),
        };
        Self(later.unwrap_or(NaiveDateTime::MAX))
    }
}

const CIVIL: &str = "%Y-%m-%dT%H:%M:%S%.3f";

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format(CIVIL))
    }
}

impl From<Civil> for String {
    fn from(civil: Civil) -> Self {
        civil.to_string()
    }
}

impl TryFrom<String> for Civil {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parsed = NaiveDateTime::parse_from_str(&text, CIVIL);
        parsed.map(Self).map_err(|_| "no time that a clock shows")
    }
}
