//! `wallet_entries`, the ledger: one immutable line for each step of a wallet, inserted in the
//! transaction of the change itself. And the sums of it that a decision needs inside that transaction
//! (`wallet_tallies`): what an app has issued in a day, what was refunded of an entry.
//!
//! Neither is a subject of the trail: the change of the user record is, and its entry carries the same
//! reference and, as its `seq`, the line's `trail_seq`.

use std::collections::BTreeMap;

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::model::LineKind;
use super::record::Slice;
use crate::audit::actor::Actor;
use crate::audit::seal::Sensitivity;
use crate::crypto::envelope::DataKey;
use crate::kernel::ids::{AccountNumber, AppId, ConnectionId, LedgerId, UserId};
use crate::kernel::time::{Timestamp, rfc3339};
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root, Sealed};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(rename = "_id")]
    pub id: LedgerId,
    pub user_id: UserId,
    pub account_number: AccountNumber,
    /// Gapless for each wallet, from 1.
    pub seq: i64,
    /// The number of the entry of the person's trail that was written with it.
    pub trail_seq: i64,
    pub kind: LineKind,
    pub amount: i64,
    pub balance_change: i64,
    pub held_change: i64,
    pub balance_after: i64,
    pub held_after: i64,
    pub available_after: i64,
    pub slices: Vec<Slice>,
    /// Whose it is: the app's that did it, or for which a module, an admin or time did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<ConnectionId>,
    pub actor: Actor,
    /// The hold that was ended, or the entry that was refunded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<LedgerId>,
    /// When the credits of a capture had been set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
    /// When a hold runs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The account on the other side of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterpart: Option<AccountNumber>,
    /// Whose references are told apart from everybody else's: `app:<id>`, `operator:<id>`,
    /// `module:<name>`, `system`.
    pub scope: String,
    /// Used once for ever in its scope for each kind.
    pub reference: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    pub created_at: Timestamp,
    /// [`Note`], sealed under the person's data key.
    #[serde(default, skip_serializing)]
    pub note: Option<String>,
}

/// What a caller writes about an operation; it may name people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Why an admin did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

const NOTE: &str = "note";
const BY_REFERENCE: &[&str] = &["reference", "scope", "kind"];

impl Record for Entry {
    const KIND: &'static Kind = &Kind {
        collection: "wallet_entries",
        root: Root::None,
        subject: |_| None,
        place: |_| None,
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[BY_REFERENCE],
    };

    fn key(&self) -> Key<Self> {
        Self::by_id(self.id)
    }
}

impl Entry {
    pub fn by_id(id: LedgerId) -> Key<Self> {
        Key::id(id.0)
    }

    pub fn by_reference(scope: &str, kind: LineKind, reference: &str) -> Key<Self> {
        Key::fields(BY_REFERENCE, vec![reference.into(), scope.into(), kind.as_str().into()])
    }

    pub fn seal(&self, note: &Note) -> Option<Sealed> {
        let plain = bson::serialize_to_document(note).ok().filter(|note| !note.is_empty())?;
        Some(Sealed { user: self.user_id, id: self.id.0, field: NOTE, plain })
    }

    /// What was written about it; nothing, once the person's data key is destroyed.
    pub fn read_note(&self, key: Option<&DataKey>) -> Option<Note> {
        let plain = key?.open_value(&self.id.0, NOTE, self.note.as_deref()?).ok()?;
        bson::deserialize_from_document(Document::from_reader(plain.as_slice()).ok()?).ok()
    }
}

/// A sum of lines of the ledger. It can always be computed anew from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    #[serde(rename = "_id")]
    pub id: String,
    pub amount: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Record for Tally {
    const KIND: &'static Kind = &Kind {
        collection: "wallet_tallies",
        root: Root::None,
        subject: |_| None,
        place: |_| None,
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.as_str())
    }
}

impl Tally {
    pub fn key_of(id: &str) -> Key<Self> {
        Key::id(id)
    }

    /// What an app issues on the day (UTC) of `at`.
    pub fn issued(app: &AppId, at: Timestamp) -> String {
        format!("issued:{app}:{}", &rfc3339(at)[..10])
    }

    pub fn refunded(entry: LedgerId) -> String {
        format!("refunded:{entry}")
    }
}

/// The entries of one wallet, the newest first.
pub fn newest_first() -> Document {
    doc! { "created_at": -1, "seq": -1 }
}
