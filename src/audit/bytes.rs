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
        match (old, new) {
            (old, Some(new)) if old == new => {}
            (RawBsonRef::Document(old), Some(RawBsonRef::Document(new))) => {
                documents(&join(prefix, key.as_str()), old, new, out)?;
            }
            _ => {
                let (old, new) = (Bson::try_from(old)?, new.map(Bson::try_from).transpose()?);
                values(&join(prefix, key.as_str()), Some(&old), new.as_ref(), out);
            }
        }
    }
    let rest = if alike { beside } else { after.iter() };
    for field in rest {
        let (key, new) = field?;
        if alike || before.get(key)?.is_none() {
            values(&join(prefix, key.as_str()), None, Some(&Bson::try_from(new)?), out);
        }
    }
    Ok(())
}

/// `document` with the changes made to it. A path that does not fit it is an error: the trail and the
/// record have parted.
pub fn apply(
    document: &RawDocument,
    changes: &[Change],
) -> std::result::Result<RawDocumentBuf, String> {
    let steps: Vec<Step> = changes.iter().map(|it| (it.path.as_str(), it.new.as_ref())).collect();
    applied(document, &steps)
}

/// A path from here on, and what is to stand there.
type Step<'a> = (&'a str, Option<&'a Bson>);
/// The same below a field, or of the field itself.
type Below<'a> = (Option<&'a str>, Option<&'a Bson>);

fn applied(
    document: &RawDocument,
    steps: &[Step<'_>],
) -> std::result::Result<RawDocumentBuf, String> {
    let mut rest: Vec<(&str, Vec<Below>)> = Vec::new();
    for (path, new) in steps {
        let (head, tail) = path.split_once('.').map_or((*path, None), |(h, t)| (h, Some(t)));
        match rest.iter_mut().find(|(name, _)| *name == head) {
            Some((_, steps)) => steps.push((tail, *new)),
            None => rest.push((head, vec![(tail, *new)])),
        }
    }
    let broken = |_| "a record that is no BSON".to_owned();
    let mut result = RawDocumentBuf::new();
    for field in document {
        let (key, value) = field.map_err(broken)?;
        match rest.iter().position(|(name, _)| *name == key.as_str()) {
            None => result.append(key, value),
            Some(at) => {
                let (name, steps) = rest.remove(at);
                put(&mut result, name, Some(value), &steps)?;
            }
        }
    }
    rest.iter().try_for_each(|(name, steps)| put(&mut result, name, None, steps))?;
    Ok(result)
}

/// Appends what the steps make of a field.
fn put(
    result: &mut RawDocumentBuf,
    name: &str,
    before: Option<RawBsonRef<'_>>,
    steps: &[Below<'_>],
) -> std::result::Result<(), String> {
    let unfit = || format!("{name} does not fit the record");
    let key: &CStr = name.try_into().map_err(|_| unfit())?;
    let further: Option<Vec<Step>> =
        steps.iter().map(|(path, new)| path.map(|path| (path, *new))).collect();
    match (before, further) {
        (Some(RawBsonRef::Document(inner)), Some(further)) => {
            result.append(key, applied(inner, &further)?);
        }
        (None, Some(further)) => result.append(key, applied(&RawDocumentBuf::new(), &further)?),
        (before, _) => {
            // Elements of an array, or the field as a whole.
            let before = before.map(Bson::try_from).transpose().map_err(|_| unfit())?;
            let mut taken_apart = Document::new();
            taken_apart.extend(before.map(|before| (name.to_owned(), before)));
            let whole = steps.iter().map(|(path, new)| Change {
                path: path.map_or_else(|| name.to_owned(), |path| join(name, path)),
                old: None,
                new: new.cloned(),
            });
            change::apply(&mut taken_apart, &whole.collect::<Vec<_>>())?;
            if let Some(after) = taken_apart.remove(name) {
                result.append(key, RawBson::try_from(after).map_err(|_| unfit())?);
            }
        }
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

/// The difference as an update for MongoDB: `$set` and `$unset` by path, an array always whole (its
/// elements have no stable address there). `None` when nothing changed.
pub fn update(before: &RawDocument, after: &RawDocument) -> Result<Option<RawDocumentBuf>> {
    let (mut sets, mut unsets) = (RawDocumentBuf::new(), RawDocumentBuf::new());
    let changes = diff(before, after)?;
    let mut last = "";
    for change in &changes {
        let path = address(before, after, &change.path)?;
        // What lies below one address comes one after the other.
        if path == last {
            continue;
        }
        last = path;
        let key: &CStr = path.try_into()?;
        match value_at(after, path)? {
            Some(value) => sets.append(key, value),
            None => unsets.append(key, ""),
        }
    }
    let mut update = RawDocumentBuf::new();
    if !sets.is_empty() {
        update.append(cstr!("$set"), &sets);
    }
    if !unsets.is_empty() {
        update.append(cstr!("$unset"), &unsets);
    }
    Ok((!update.is_empty()).then_some(update))
}

/// The longest part of `path` that leads through documents only, on both sides, and does not
/// start below something that is not there yet (that is set as a whole).
fn address<'a>(before: &RawDocument, after: &RawDocument, path: &'a str) -> Result<&'a str> {
    for (end, _) in path.match_indices('.') {
        let part = &path[..end];
        let leads_on = |side: &RawDocument| -> Result<bool> {
            Ok(matches!(value_at(side, part)?, Some(RawBsonRef::Document(_))))
        };
        if !leads_on(before)? || !leads_on(after)? {
            return Ok(part);
        }
    }
    Ok(path)
}

fn value_at<'a>(document: &'a RawDocument, path: &str) -> Result<Option<RawBsonRef<'a>>> {
    match path.split_once('.') {
        None => document.get(path),
        Some((head, rest)) => match document.get(head)? {
            Some(RawBsonRef::Document(inner)) => value_at(inner, rest),
            _ => Ok(None),
        },
    }
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
        let change = Change { path: "plan.name".to_owned(), old: None, new: Some("gold".into()) };
        assert!(apply(&bytes(&doc! { "plan": null }), std::slice::from_ref(&change)).is_err());
        let made = apply(&bytes(&doc! {}), &[change]).expect("fits");
        assert_eq!(made, bytes(&doc! { "plan": { "name": "gold" } }));
    }

    proptest! {
        #[test]
        fn bytes_differ_as_documents_do(a in document(), b in document()) {
            let changes = diff(&bytes(&a), &bytes(&b)).expect("BSON");
            prop_assert_eq!(&changes, &change::diff(&a, &b));
            let mut expected = a.clone();
            change::apply(&mut expected, &changes).expect("fits");
            prop_assert_eq!(&expected, &b);
            let made = apply(&bytes(&a), &changes).expect("fits");
            prop_assert_eq!(Document::try_from(&made).expect("BSON"), b);
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
