//! `plans`: what admins put on sale. Who has one keeps it as it was when they agreed to it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::Terms;
use super::model::calendar::Cycle;
use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::ids::{AppId, Name};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    #[serde(rename = "_id")]
    pub id: Name,
    pub display_name: String,
    pub status: PlanStatus,
    /// In credits, for each period; 0 is free.
    pub price: i64,
    pub period: Cycle,
    pub trial_days: i64,
    /// Granted with each period that is paid for.
    pub credits: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits_days: Option<i64>,
    /// What apps can ask about.
    pub features: Vec<String>,
    /// Who may sell it.
    pub apps: Vec<AppId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing)]
    pub revision: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    Active,
    /// Not sold any more; who has it keeps it.
    Retired,
}

impl Record for Plan {
    const KIND: &'static Kind = &Kind {
        collection: "plans",
        root: Root::Own,
        subject: |plan| plan.get_str("_id").ok().and_then(Name::parse).map(Subject::Plan),
        place: |_| Some(String::new()),
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(&self.id)
    }
}

impl Plan {
    pub fn by_id(id: &Name) -> Key<Self> {
        Key::id(id.as_str())
    }

    pub fn is_sold_by(&self, app: &AppId) -> bool {
        self.status == PlanStatus::Active && self.apps.contains(app)
    }

    pub fn terms(&self) -> Terms {
        Terms {
            plan: self.id.clone(),
            price: self.price,
            period: self.period,
            credits: self.credits,
            credits_days: self.credits_days,
            features: self.features.clone(),
        }
    }
}
