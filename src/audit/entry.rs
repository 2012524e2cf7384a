//! One line of the trail, with the field names of the source document.

use bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};

use super::actor::Actor;
use super::change::Change;
use crate::kernel::ids::{AppId, ConnectionId, EntryId, UserId};
use crate::kernel::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    Refused,
}

/// `user_id` is whose record changed, `actor` is who did it; `app_id` is the app through which.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    #[serde(rename = "_id")]
    pub id: EntryId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
    pub action: String,
    pub module: String,
    /// Dotted path → `{old, new}`; a side that was not there is left out.
    pub changes: Document,
    pub timestamp: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    pub subject: String,
    /// 1 for the subject's first entry, without gaps.
    pub seq: i64,
    pub actor: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<ConnectionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The app that told us the person's address; absent when it is the peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asserted_by: Option<AppId>,
    /// The keys of `changes`, so that they can be searched.
    pub paths: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub outcome: Outcome,
}

impl Entry {
    pub const COLLECTION: &'static str = "user_audit_logs";

    /// The changes as they are stored; for replay, once their values are opened or unmarked.
    pub fn read_changes(&self) -> Vec<Change> {
        changes_of(&self.changes)
    }
}

/// What stands in the field `changes` of an entry.
pub fn changes_of(changes: &Document) -> Vec<Change> {
    let side = |sides: &Document, name: &str| sides.get(name).cloned();
    changes
        .iter()
        .filter_map(|(path, sides)| Some((path, sides.as_document()?)))
        .map(|(path, sides)| Change {
            path: path.clone(),
            old: side(sides, "old"),
            new: side(sides, "new"),
        })
        .collect()
}

/// An entry without its values: for whom they are not, and for lists that are not about them.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    #[serde(rename = "_id")]
    pub id: EntryId,
    pub user_id: Option<UserId>,
    pub app_id: Option<AppId>,
    pub action: String,
    pub module: String,
    pub timestamp: Timestamp,
    pub actor: Actor,
    pub connection_id: Option<ConnectionId>,
    pub request_id: Option<String>,
    pub paths: Vec<String>,
    pub outcome: Outcome,
}

impl Line {
    /// What must be read of an entry.
    pub fn projection() -> Document {
        doc! { "changes": 0 }
    }
}

/// The two sides of a change as they stand in an entry.
pub fn sides(old: Option<Bson>, new: Option<Bson>) -> Document {
    let mut sides = Document::new();
    if let Some(old) = old {
        sides.insert("old", old);
    }
    if let Some(new) = new {
        sides.insert("new", new);
    }
    sides
}
