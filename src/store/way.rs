//! How the door finds records: by the ids of keys, or by who is tied to whom.

use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Document, RawDocument, doc};

/// Ways to a record besides its `_id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Way {
    AppKey(Arc<str>),
    ConnectionKey(Arc<str>),
    OperatorKey(Arc<str>),
    Tie(ObjectId, Arc<str>),
}

impl Way {
    pub(super) fn collection(&self) -> &'static str {
        match self {
            Self::AppKey(_) => "apps",
            Self::OperatorKey(_) => "operators",
            Self::ConnectionKey(_) | Self::Tie(..) => "user_apps",
        }
    }

    pub(super) fn filter(&self) -> Document {
        match self {
            Self::AppKey(id) => doc! { "keys.id": id.as_ref() },
            Self::OperatorKey(id) => doc! { "key_id": id.as_ref() },
            Self::ConnectionKey(id) => {
                let id = id.as_ref();
                doc! { "$or": [{ "key_id": id }, { "previous_key.key_id": id }] }
            }
            Self::Tie(user, app) => doc! { "user_id": *user, "app_id": app.as_ref() },
        }
    }

    /// Whether it still leads there.
    pub(super) fn leads_to(&self, raw: &RawDocument) -> bool {
        let text = |raw: &RawDocument, field| raw.get_str(field).ok().map(str::to_owned);
        match self {
            Self::AppKey(id) => raw.get_array("keys").is_ok_and(|keys| {
                let mut keys = keys.into_iter().filter_map(Result::ok);
                keys.any(|key| key.as_document().and_then(|key| key.get_str("id").ok()) == Some(id))
            }),
            Self::OperatorKey(id) => raw.get_str("key_id").ok() == Some(id),
            Self::ConnectionKey(id) => {
                let previous = raw.get_document("previous_key").ok();
                raw.get_str("key_id").ok() == Some(id)
                    || previous.and_then(|key| text(key, "key_id")).as_deref() == Some(id)
            }
            Self::Tie(user, app) => {
                raw.get_object_id("user_id").ok() == Some(*user)
                    && raw.get_str("app_id").ok() == Some(app)
            }
        }
    }

    /// A key that is not there today is not there in five seconds; a tie may be.
    pub(super) fn is_key(&self) -> bool {
        !matches!(self, Self::Tie(..))
    }
}
