//! What is known of somebody who is watched: how often what was seen, and what came last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root, Stop, Work};

/// A subject without a record of its own besides this one: its `_id` is the subject's text.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Watched {
    #[serde(rename = "_id")]
    id: String,
    /// What was seen: the last of it, alone in a list. So an entry shows all of it, not only what
    /// differs from the one before.
    seen: BTreeMap<String, [Seen; 1]>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    /// Since the beginning, on all nodes.
    total: i64,
    #[serde(flatten)]
    lately: Lately,
}

/// What one entry tells of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lately {
    pub count: i64,
    /// From how many addresses; 64: or more.
    pub addresses: i64,
    pub since: Timestamp,
    pub until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Record for Watched {
    const KIND: &'static Kind = &Kind {
        collection: "watches",
        root: Root::Own,
        subject: |it| Subject::of_watch(it.get_str("_id").ok()?),
        place: |_| Some(String::new()),
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.as_str())
    }
}

impl Watched {
    pub(super) fn of(subject: &Subject) -> Key<Self> {
        Key::id(subject.to_string())
    }

    /// So many more of `what`.
    pub(super) fn add(
        work: &mut Work,
        subject: &Subject,
        what: &str,
        lately: Lately,
    ) -> Result<(), Stop> {
        let before = work.find(&Self::of(subject))?;
        let fresh = || Self { id: subject.to_string(), ..Self::default() };
        let mut after = before.clone().unwrap_or_else(fresh);
        let total = after.seen.get(what).map_or(0, |[seen]| seen.total);
        let seen = Seen { total: total + lately.count, lately };
        after.seen.insert(what.to_owned(), [seen]);
        match before {
            Some(before) => work.revise(&before, &after),
            None => work.create(&after),
        }
    }
}
