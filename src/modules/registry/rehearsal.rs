//! What publishing a version would come to, without publishing it.

use serde::Serialize;
use utoipa::ToSchema;

use super::actions::PublishVersion;
use super::commands::NewVersion;
use super::jobs::{SampleView, Survey};
use super::queries;
use crate::access::grant::Granted;
use crate::kernel::fault::Fault;
use crate::kernel::ids::Name;
use crate::store::Store;

/// Pages of people that a rehearsal looks at.
const SURVEYED_PAGES: usize = 10;

/// What publishing would come to.
#[derive(Serialize, ToSchema)]
pub struct RehearsalView {
    /// Whether data of the version before is changed by its migration.
    migrates: bool,
    /// Of the first of those who have data in the module.
    #[schema(minimum = 0)]
    checked: i64,
    /// Whose data would not fit.
    #[schema(minimum = 0)]
    failed: i64,
    /// Whether that was everybody; else publish it and have it checked before it is activated.
    complete: bool,
    #[schema(max_items = 20)]
    samples: Vec<SampleView>,
}

/// Everything but doing it: whether the version could be published, and whose data would not fit.
pub async fn would_publish(
    grant: &Granted<PublishVersion>,
    store: &Store,
    name: &Name,
    new: &NewVersion,
) -> Result<RehearsalView, Fault> {
    let line = queries::find(&grant.pass(), store, name).await?;
    let migrates = new.fits(&line)?;
    let (mut survey, custom) = (Survey::default(), new.rehearsed(&line, grant.now())?);
    for _ in 0..SURVEYED_PAGES {
        if !survey.page(&grant.pass(), store, &custom).await? {
            break;
        }
    }
    let Survey { checked, failed, complete, .. } = survey;
    Ok(RehearsalView { migrates, checked, failed, complete, samples: survey.samples() })
}
