//! Differences of records in their bytes, as they come from the database: what is equal is compared as
//! a whole and never taken apart. The same laws as in `change`, at a fraction of the cost.

use bson::error::Result;
use bson::raw::{CStr, cstr};
use bson::{Bson, Document, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::change::{self, Change, join, values};

/// What turns `before` into `after`. Empty exactly when they are equal.
pub fn diff(before: &RawDocument, after: &RawDocument) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    documents("", before, after, &mut changes)?;
    Ok(changes)
}

fn documents(
    prefix: &str,
    before: &RawDocument,
    after: &RawDocument,
    out: &mut Vec<Change>,
) -> Result<()> {
    pairs(before, after, &mut |key, old, new| {
        let path = join(prefix, key.as_str());
        if let (Some(RawBsonRef::Document(old)), Some(RawBsonRef::Document(new))) = (old, new) {
            return documents(&path, old, new, out);
        }
        let (old, new) =
            (old.map(Bson::try_from).transpose()?, new.map(Bson::try_from).transpose()?);
        values(&path, old.as_ref(), new.as_ref(), out);
        Ok(())
    })
}

/// Tells each field in which the two differ, with both of its values.
fn pairs<'a>(
    before: &'a RawDocument,
    after: &'a RawDocument,
    tell: &mut dyn FnMut(&'a CStr, Option<RawBsonRef<'a>>, Option<RawBsonRef<'a>>) -> Result<()>,
) -> Result<()> {
    // Mostly both have the same fields in the same order.
    let mut beside = after.iter();
    let mut alike = true;
    for field in before {
        let (key, old) = field?;
        let new = match beside.next().transpose()? {
            Some((name, new)) if alike && name == key => Some(new),
            _ => {
                alike = false;
                after.get(key)?
            }
        };
        if new != Some(old) {
            tell(key, Some(old), new)?;
        }
    }
    let rest = if alike { beside } else { after.iter() };
    for field in rest {
        let (key, new) = field?;
        if alike || before.get(key)?.is_none() {
            tell(key, None, Some(new))?;
        }
    }
    Ok(())
}

/// `document` with what differs between two sides of it. What they do not know stays as it is. A
/// difference that does not fit it is an error: the trail and the record have parted.
pub fn revise(
    document: &RawDocument,
    before: &RawDocument,
    after: &RawDocument,
) -> std::result::Result<RawDocumentBuf, String> {
    let (stored, before, after) = (fields(document)?, fields(before)?, fields(after)?);
    let mut result = RawDocumentBuf::new();
    for (key, value) in &stored {
        match (of(&before, key), of(&after, key)) {
            (old, new) if old == new => result.append(*key, *value),
            (old, new) => put(&mut result, key, Some(*value), old, new)?,
        }
    }
    for (key, new) in &after {
        let old = of(&before, key);
        if old != Some(*new) && of(&stored, key).is_none() {
            put(&mut result, key, None, old, Some(*new))?;
        }
    }
    Ok(result)
}

type Fields<'a> = Vec<(&'a CStr, RawBsonRef<'a>)>;

fn fields(document: &RawDocument) -> std::result::Result<Fields<'_>, String> {
    document.iter().collect::<Result<_>>().map_err(|_| "a record that is no BSON".to_owned())
}

fn of<'a>(fields: &Fields<'a>, name: &CStr) -> Option<RawBsonRef<'a>> {
    fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

/// Appends what becomes of a field that differs.
fn put(
    result: &mut RawDocumentBuf,
    key: &CStr,
    stored: Option<RawBsonRef<'_>>,
    old: Option<RawBsonRef<'_>>,
    new: Option<RawBsonRef<'_>>,
) -> std::result::Result<(), String> {
    let unfit = || format!("{} does not fit the record", key.as_str());
    let nothing = RawDocumentBuf::new();
    let below = |old: &RawDocument, new: &RawDocument| match stored {
        Some(RawBsonRef::Document(stored)) => revise(stored, old, new),
        None => revise(&nothing, old, new),
        Some(_) => Err(unfit()),
    };
    match (stored, old, new) {
        // Nothing stands there that the sides do not know.
        (Some(stored), Some(old), Some(new)) if stored == old => result.append(key, new),
        (_, Some(RawBsonRef::Document(old)), Some(RawBsonRef::Document(new))) => {
            result.append(key, below(old, new)?);
        }
        (_, None, Some(RawBsonRef::Document(new))) if !new.is_empty() => {
            result.append(key, below(&nothing, new)?);
        }
        (stored, Some(RawBsonRef::Array(old)), Some(RawBsonRef::Array(new))) => {
            // Elements by their id, or the field as a whole.
            let taken = |value: RawBsonRef<'_>| Bson::try_from(value).map_err(|_| unfit());
            let (old, new) = (taken(RawBsonRef::Array(old))?, taken(RawBsonRef::Array(new))?);
            let mut changes = Vec::new();
            values(key.as_str(), Some(&old), Some(&new), &mut changes);
            let mut taken_apart = Document::new();
            let stored = stored.map(taken).transpose()?;
            taken_apart.extend(stored.map(|stored| (key.as_str().to_owned(), stored)));
            change::apply(&mut taken_apart, &changes)?;
            if let Some(after) = taken_apart.remove(key.as_str()) {
                result.append(key, RawBson::try_from(after).map_err(|_| unfit())?);
            }
        }
        (_, _, Some(new)) => result.append(key, new),
        (_, _, None) => {}
    }
    Ok(())
}

/// `document` with these fields of its own, in the place of those of the same name.
pub fn with(document: &RawDocument, fields: &[(&CStr, RawBsonRef<'_>)]) -> Result<RawDocumentBuf> {
    let mut result = RawDocumentBuf::new();
    for field in document {
        let (key, value) = field?;
        if fields.iter().all(|(name, _)| *name != key) {
            result.append(key, value);
        }
    }
    for (name, value) in fields {
        result.append(*name, *value);
    }
    Ok(result)
}

/// The difference as an update for MongoDB: `$set` and `$unset` by the longest path that leads through
/// documents on both sides. An array is always whole (its elements have no stable address there), and so
/// is what is new. `None` when nothing changed.
pub fn update(before: &RawDocument, after: &RawDocument) -> Result<Option<RawDocumentBuf>> {
    let (mut sets, mut unsets) = (RawDocumentBuf::new(), RawDocumentBuf::new());
    pairs(before, after, &mut |key, old, new| {
        statements(key.as_str(), old, new, &mut sets, &mut unsets)
    })?;
    let mut update = RawDocumentBuf::new();
    if !sets.is_empty() {
        update.append(cstr!("$set"), &sets);
    }
    if !unsets.is_empty() {
        update.append(cstr!("$unset"), &unsets);
    }
    Ok((!update.is_empty()).then_some(update))
}

fn statements(
    path: &str,
    old: Option<RawBsonRef<'_>>,
    new: Option<RawBsonRef<'_>>,
    sets: &mut RawDocumentBuf,
    unsets: &mut RawDocumentBuf,
) -> Result<()> {
    match (old, new) {
        (Some(RawBsonRef::Document(old)), Some(RawBsonRef::Document(new))) => {
            pairs(old, new, &mut |key, old, new| {
                statements(&join(path, key.as_str()), old, new, sets, unsets)
            })?;
        }
        (_, Some(new)) => sets.append(<&CStr>::try_from(path)?, new),
        (_, None) => unsets.append(<&CStr>::try_from(path)?, ""),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use proptest::prelude::*;

    use super::*;
    use crate::audit::change::samples::document;

    fn bytes(document: &Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(document).expect("BSON")
    }

    /// Adds fields of names that nobody else uses, here and in documents below.
    fn widen(document: &mut Document, more: &Document) {
        for (key, value) in more {
            if let (Some(Bson::Document(inner)), Bson::Document(more)) =
                (document.get_mut(key), value)
            {
                widen(inner, more);
            }
            document.insert(format!("x{key}"), value.clone());
        }
    }

    fn updated(before: &Document, after: &Document) -> Document {
        let update = update(&bytes(before), &bytes(after)).expect("BSON");
        update.map(|update| Document::try_from(&update).expect("BSON")).unwrap_or_default()
    }

    #[test]
    fn a_field_is_set_by_its_dotted_path() {
        let before = doc! { "profile": { "first_name": "John", "phone": "+1" } };
        let after = doc! { "profile": { "first_name": "Jon", "phone": "+1" } };
        assert_eq!(updated(&before, &after), doc! { "$set": { "profile.first_name": "Jon" } });
        assert_eq!(updated(&before, &before), doc! {});
    }

    #[test]
    fn what_is_gone_is_unset_and_null_is_a_value() {
        let (missing, null) = (doc! {}, doc! { "plan": null });
        assert_eq!(updated(&null, &missing), doc! { "$unset": { "plan": "" } });
        assert_eq!(updated(&missing, &null), doc! { "$set": { "plan": null } });
    }

    #[test]
    fn an_array_is_stored_as_a_whole_and_so_is_what_is_new() {
        let before = doc! { "lots": [{ "id": "a", "left": 5 }, { "id": "b", "left": 7 }] };
        let after = doc! { "lots": [{ "id": "a", "left": 4 }, { "id": "c", "left": 1 }] };
        let lots = after.get("lots").cloned().expect("there");
        assert_eq!(updated(&before, &after), doc! { "$set": { "lots": lots } });
        let after = doc! { "app": { "key": { "hint": "x" }, "empty": {} } };
        assert_eq!(updated(&doc! {}, &after), doc! { "$set": after });
    }

    #[test]
    fn a_field_is_put_in_the_place_of_the_one_of_its_name() {
        let record = bytes(&doc! { "revision": 4_i64, "_id": "a" });
        let with = with(&record, &[(cstr!("revision"), RawBsonRef::Int64(5))]).expect("BSON");
        assert_eq!(Document::try_from(&with).ok(), Some(doc! { "_id": "a", "revision": 5_i64 }));
    }

    #[test]
    fn a_path_through_something_else_does_not_fit() {
        let (before, after) =
            (bytes(&doc! { "plan": {} }), bytes(&doc! { "plan": { "name": "gold" } }));
        assert!(revise(&bytes(&doc! { "plan": null }), &before, &after).is_err());
        assert_eq!(revise(&bytes(&doc! {}), &before, &after), Ok(after.clone()));
    }

    #[test]
    fn what_the_two_sides_do_not_know_stays_in_its_place() {
        let stored = doc! { "a": 1, "lots": [{ "id": "x", "left": 5, "more": true }], "p": { "q": 1, "r": 2 } };
        let before = doc! { "lots": [{ "id": "x", "left": 5 }], "p": { "q": 1 } };
        let after = doc! { "lots": [{ "id": "x", "left": 4 }], "p": { "q": 3 }, "new": true };
        let revised = revise(&bytes(&stored), &bytes(&before), &bytes(&after)).expect("fits");
        let expected = doc! {
            "a": 1, "lots": [{ "id": "x", "left": 4, "more": true }], "p": { "q": 3, "r": 2 }, "new": true,
        };
        assert_eq!(revised, bytes(&expected));
    }

    proptest! {
        #[test]
        fn bytes_differ_as_documents_do(a in document(), b in document()) {
            let changes = diff(&bytes(&a), &bytes(&b)).expect("BSON");
            prop_assert_eq!(&changes, &change::diff(&a, &b));
            let mut expected = a.clone();
            change::apply(&mut expected, &changes).expect("fits");
            prop_assert_eq!(&expected, &b);
        }

        #[test]
        fn a_record_is_revised_as_its_changes_say(
            before in document(), after in document(), more in document(),
        ) {
            let mut stored = before.clone();
            widen(&mut stored, &more);
            if more.is_empty() {
                stored.remove("a"); // what the record lacks, its type may fill in
            }
            let revised = revise(&bytes(&stored), &bytes(&before), &bytes(&after)).expect("fits");
            change::apply(&mut stored, &change::diff(&before, &after)).expect("fits");
            prop_assert_eq!(Document::try_from(&revised).expect("BSON"), stored);
        }

        #[test]
        fn an_update_names_no_path_twice_and_none_inside_another(a in document(), b in document()) {
            let update = updated(&a, &b);
            let paths: Vec<String> = update
                .iter()
                .flat_map(|(_, fields)| fields.as_document().expect("fields").keys().cloned())
                .collect();
            for (i, one) in paths.iter().enumerate() {
                for other in &paths[i + 1..] {
                    let inside = |x: &str, y: &str| x == y || x.starts_with(&format!("{y}."));
                    prop_assert!(!inside(one, other) && !inside(other, one), "{} {}", one, other);
                }
            }
        }
    }
}
