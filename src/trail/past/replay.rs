//! What a subject's entries came to at a moment.

use bson::{Document, doc};
use serde::Deserialize;

use super::snapshots::Snapshot;
use crate::audit::entry::{Entry, changes_of};
use crate::audit::state::State;
use crate::audit::warrant::Pass;
use crate::kernel::fault::Fault;
use crate::kernel::ids::EntryId;
use crate::kernel::time::Timestamp;
use crate::store::{Query, Store};

/// The last entry that counts.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// At this time, or before it.
    Time(Timestamp),
    /// Of this number, or one before it.
    Number(i64),
}

/// A subject at one of its entries.
pub struct Moment {
    pub entry_id: EntryId,
    pub seq: i64,
    pub timestamp: Timestamp,
    pub state: State,
}

/// What is needed of an entry.
#[derive(Deserialize)]
struct Step {
    #[serde(rename = "_id")]
    id: EntryId,
    seq: i64,
    timestamp: Timestamp,
    changes: Document,
}

/// Entries that are read at once, and then taken in: what a replay holds of them.
const STEPS: usize = 250;

impl Moment {
    /// From the nearest snapshot on; `None` before the first entry.
    pub async fn of(
        pass: &Pass,
        store: &Store,
        subject: &str,
        until: Until,
    ) -> Result<Option<Self>, Fault> {
        let snapshot = Snapshot::before(pass, store, subject, until).await?;
        Self::go_on(pass, store, subject, snapshot.map(Self::from), until).await
    }

    /// From where it stands, or from the first entry.
    pub async fn go_on(
        pass: &Pass,
        store: &Store,
        subject: &str,
        from: Option<Self>,
        until: Until,
    ) -> Result<Option<Self>, Fault> {
        let mut moment = from;
        loop {
            let after = moment.as_ref().map_or(0, |moment| moment.seq);
            let steps = steps(pass, store, subject, after, until).await?;
            let is_last = steps.len() < STEPS;
            for step in steps {
                if until.is_before(&step) {
                    return Ok(moment);
                }
                let state = moment.take().map(|moment| moment.state).unwrap_or_default();
                moment = Some(Self::at(state, step)?);
            }
            if is_last {
                return Ok(moment);
            }
        }
    }

    fn at(mut state: State, step: Step) -> Result<Self, Fault> {
        let Step { id, seq, timestamp, changes } = step;
        // Which path it is, no log is to say: an app may have named it.
        let misfit = |_| Fault::internal("a subject's entries do not fit each other");
        state.take(id, changes_of(&changes)).map_err(misfit)?;
        Ok(Self { entry_id: id, seq, timestamp, state })
    }
}

/// The next entries. Number and time run alike, so the first that is too late is the end; a filter by
/// time would go through all that come after it.
async fn steps(
    pass: &Pass,
    store: &Store,
    subject: &str,
    after: i64,
    until: Until,
) -> Result<Vec<Step>, Fault> {
    let mut seq = doc! { "$gt": after };
    if let Until::Number(number) = until {
        seq.insert("$lte", number);
    }
    let query = Query::of(Entry::COLLECTION, doc! { "subject": subject, "seq": seq })
        .sort(doc! { "seq": 1 })
        .limit(STEPS)
        .only(doc! { "seq": 1, "timestamp": 1, "changes": 1 });
    store.list(pass, query).await
}

impl Until {
    fn is_before(self, step: &Step) -> bool {
        match self {
            Self::Time(time) => time < step.timestamp,
            Self::Number(number) => number < step.seq,
        }
    }
}
