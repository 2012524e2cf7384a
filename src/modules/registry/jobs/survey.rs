//! Looking, without a job, whether people's data would fit a version: page by page, by whoever waits.

use bson::{Document, doc};
use serde::Deserialize;

use super::person::Outcome;
use super::record::{SAMPLES_MAX, Sample};
use super::view::SampleView;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::modules::registry::custom::Custom;
use crate::store::{Query, Store};

const PAGE: usize = 500;

#[derive(Default)]
pub struct Survey {
    pub checked: i64,
    pub failed: i64,
    /// Whether everybody was looked at.
    pub complete: bool,
    samples: Vec<Sample>,
    after: Option<UserId>,
}

/// A person, as far as one module goes.
#[derive(Clone, Deserialize)]
pub struct Row {
    #[serde(rename = "_id")]
    pub user: UserId,
    #[serde(default)]
    modules: Document,
}

impl Row {
    pub fn stored(&self, name: &str) -> Option<&Document> {
        self.modules.get_document(name).ok()
    }

    /// Whether its data, read as data of the version in use, is valid in it.
    pub fn checked(&self, custom: &Custom) -> Outcome {
        let stored = self.stored(custom.line.module_name.as_str());
        let data = stored.and_then(|stored| custom.read(Some(stored)));
        let checked = data.map_or(Ok(()), |data| custom.admitted(&data).map(drop));
        checked.map_or_else(Outcome::failed, |()| Outcome::Same)
    }
}

impl Survey {
    /// The next page of people who have data in the module; whether there may be more.
    pub async fn page(
        &mut self,
        pass: &Pass,
        store: &Store,
        custom: &Custom,
    ) -> Result<bool, Fault> {
        let module = format!("modules.{}", custom.line.module_name);
        let mut filter = doc! { &module: { "$exists": true } };
        if let Some(after) = self.after {
            filter.insert("_id", doc! { "$gt": after.0 });
        }
        let query = Query::of("users", filter).sort(doc! { "_id": 1 }).only(doc! { &module: 1 });
        let rows: Vec<Row> = store.list(pass, query.limit(PAGE)).await?;
        for row in &rows {
            self.checked += 1;
            if let Outcome::Failed(reasons) = row.checked(custom) {
                self.failed += 1;
                if self.samples.len() < SAMPLES_MAX {
                    self.samples.push(Sample { user_id: row.user.0, reasons });
                }
            }
        }
        self.after = rows.last().map_or(self.after, |row| Some(row.user));
        self.complete = rows.len() < PAGE;
        Ok(!self.complete)
    }

    pub fn samples(&self) -> Vec<SampleView> {
        self.samples.iter().map(SampleView::of).collect()
    }
}
