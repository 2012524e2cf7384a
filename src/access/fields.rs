//! Looking into a record in the database's own form: so it is at the door and in the transaction.

use bson::{RawBsonRef, RawDocument};

use crate::kernel::time::Timestamp;

/// What is not there, or of another type, is `None`.
pub trait Fields {
    fn text(&self, name: &str) -> Option<&str>;
    fn time(&self, name: &str) -> Option<Timestamp>;
    fn number(&self, name: &str) -> Option<i64>;
    fn flag(&self, name: &str) -> bool;
    fn part(&self, name: &str) -> Option<&Self>;
    fn texts(&self, name: &str) -> Vec<&str>;
    /// The element of an array whose `id` is this one.
    fn element(&self, name: &str, id: &str) -> Option<&Self>;

    fn lists(&self, name: &str, text: &str) -> bool {
        self.texts(name).contains(&text)
    }
}

impl Fields for RawDocument {
    fn text(&self, name: &str) -> Option<&str> {
        self.get_str(name).ok()
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.get_datetime(name).ok()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.get_i64(name).ok()
    }

    fn flag(&self, name: &str) -> bool {
        self.get_bool(name).unwrap_or(false)
    }

    fn part(&self, name: &str) -> Option<&Self> {
        self.get_document(name).ok()
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        let elements = self.get_array(name).into_iter().flatten().filter_map(Result::ok);
        elements.filter_map(RawBsonRef::as_str).collect()
    }

    fn element(&self, name: &str, id: &str) -> Option<&Self> {
        let elements = self.get_array(name).into_iter().flatten().filter_map(Result::ok);
        let mut elements = elements.filter_map(RawBsonRef::as_document);
        elements.find(|element| element.text("id") == Some(id))
    }
}
