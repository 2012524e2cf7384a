//! What the store must know of a record: where it lives, whose it is, and what of it may be shown.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::raw::{CStr, cstr};
use bson::{Bson, Document, RawDocument};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;

/// A stored type. Never serialised to the wire.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    const KIND: &'static Kind;

    fn key(&self) -> Key<Self>;
}

/// One static per record type.
pub struct Kind {
    pub collection: &'static str,
    /// Where the aggregate's `revision` stands: in this record, or in a record of another kind.
    pub root: Root,
    pub subject: fn(&RawDocument) -> Option<Subject>,
    /// Where the record's paths begin in its subject's entries: empty for a root.
    pub place: fn(&RawDocument) -> Option<String>,
    /// By path inside the record.
    pub sensitivity: fn(&str) -> Sensitivity,
    /// Paths that change without being a change of the record; only `touch` writes them.
    pub volatile: fn(&str) -> bool,
    /// Other unique ways to find the record.
    pub alternates: &'static [&'static [&'static str]],
}

pub enum Root {
    Own,
    /// The root's collection, and the field of this record that holds the root's `_id`.
    Of {
        collection: &'static str,
        field: &'static str,
    },
    /// Nowhere: lines of a ledger and their sums. They are no aggregate and have no entry of their
    /// own, and are written only beside a change that has one.
    None,
}

pub const NO_VOLATILE: fn(&str) -> bool = |_| false;

/// Fields that the write path keeps in every root; they are no change by themselves.
pub(super) const REVISION: &CStr = cstr!("revision");
pub(super) const REVISED_AT: &CStr = cstr!("revised_at");

/// How to find one record: by `_id`, or by the values of one of its alternates.
pub struct Key<R: ?Sized> {
    pub(super) locator: Locator,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> Key<R> {
    pub fn id(id: impl Into<Bson>) -> Self {
        Self::of(By::Id(id.into()))
    }

    /// `fields` is one of the kind's `alternates`.
    pub fn fields(fields: &'static [&'static str], values: Vec<Bson>) -> Self {
        debug_assert!(R::KIND.alternates.contains(&fields), "not a unique way to find it");
        Self::of(By::Fields(fields, values))
    }

    fn of(by: By) -> Self {
        let locator = Locator { collection: R::KIND.collection, by };
        Self { locator, record: PhantomData }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Locator {
    pub collection: &'static str,
    pub by: By,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum By {
    Id(Bson),
    Fields(&'static [&'static str], Vec<Bson>),
}

impl Locator {
    pub fn id(collection: &'static str, id: Bson) -> Self {
        Self { collection, by: By::Id(id) }
    }

    pub fn filter(&self) -> Document {
        match &self.by {
            By::Id(id) => bson::doc! { "_id": { "$eq": id } },
            By::Fields(fields, values) => fields
                .iter()
                .zip(values)
                .map(|(field, value)| ((*field).to_owned(), bson::bson!({ "$eq": value })))
                .collect(),
        }
    }

    /// A text that is equal exactly for equal locators: BSON values cannot be hashed.
    pub fn name(&self) -> String {
        match &self.by {
            By::Id(id) => [self.collection, "/", &text(id)].concat(),
            By::Fields(fields, values) => {
                let mut name = [self.collection, "?"].concat();
                for (field, value) in fields.iter().zip(values) {
                    let value = text(value);
                    // Its length, so that no value can be taken for the end of one and another.
                    let parts = [field, "=", &value.len().to_string(), ":", &value, ","];
                    name.extend(parts);
                }
                name
            }
        }
    }

    /// The locators under which `document` can also be found.
    pub fn alternates(kind: &Kind, document: &RawDocument) -> Vec<Self> {
        let values = |fields: &[&str]| -> Option<Vec<Bson>> {
            fields.iter().map(|field| value(document, field)).collect()
        };
        kind.alternates
            .iter()
            .filter_map(|fields| Some(By::Fields(fields, values(fields)?)))
            .map(|by| Self { collection: kind.collection, by })
            .collect()
    }
}

/// The `_id` of a record that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RecordId {
    Object(ObjectId),
    Text(Arc<str>),
}

impl RecordId {
    pub(super) fn of(id: &Bson) -> Option<Self> {
        match id {
            Bson::ObjectId(id) => Some(Self::Object(*id)),
            Bson::String(text) => Some(Self::Text(text.as_str().into())),
            _ => None,
        }
    }

    pub(super) fn to_bson(&self) -> Bson {
        match self {
            Self::Object(id) => (*id).into(),
            Self::Text(text) => text.as_ref().into(),
        }
    }
}

/// A field of a record; what is no BSON is not there.
pub(super) fn value(document: &RawDocument, field: &str) -> Option<Bson> {
    Bson::try_from(document.get(field).ok()??).ok()
}

fn text(value: &Bson) -> Cow<'_, str> {
    match value {
        Bson::ObjectId(id) => id.to_hex().into(),
        Bson::String(text) => text.into(),
        other => other.to_string().into(),
    }
}
