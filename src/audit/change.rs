//! The computed difference between two documents, and its inverse.
//!
//! A change names a dotted path and what stood there before and after; an absent side means that
//! the field was not there. Documents differ by path; arrays of objects that carry an `id` differ by
//! that id (`lots.<id>.remaining`); every other array is one value.

use std::collections::{HashMap, HashSet};

use bson::{Bson, Document};

#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub path: String,
    pub old: Option<Bson>,
    pub new: Option<Bson>,
}

/// What turns `before` into `after`. Empty exactly when they are equal. Records are compared in their
/// bytes (`bytes`), to the same result.
pub fn diff(before: &Document, after: &Document) -> Vec<Change> {
    let mut changes = Vec::new();
    documents("", before, after, &mut changes);
    changes
}

fn documents(prefix: &str, before: &Document, after: &Document, out: &mut Vec<Change>) {
    for (key, old) in before {
        let new = after.get(key);
        if new != Some(old) {
            values(&join(prefix, key), Some(old), new, out);
        }
    }
    for (key, new) in after.iter().filter(|(key, _)| !before.contains_key(key)) {
        values(&join(prefix, key), None, Some(new), out);
    }
}

pub(super) fn values(path: &str, old: Option<&Bson>, new: Option<&Bson>, out: &mut Vec<Change>) {
    match (old, new) {
        (Some(old), Some(new)) if old == new => {}
        (Some(Bson::Document(old)), Some(Bson::Document(new))) => documents(path, old, new, out),
        // A new document is shown leaf by leaf, so that each of its fields can be found by its path.
        (None, Some(Bson::Document(new))) if !new.is_empty() => {
            documents(path, &Document::new(), new, out);
        }
        (Some(Bson::Array(before)), Some(Bson::Array(after))) => {
            match keep_their_order(before, after) {
                Some(ids) => elements(path, before, after, &ids, out),
                None => out.push(whole(path, old, new)),
            }
        }
        _ => out.push(whole(path, old, new)),
    }
}

fn whole(path: &str, old: Option<&Bson>, new: Option<&Bson>) -> Change {
    Change { path: path.to_owned(), old: old.cloned(), new: new.cloned() }
}

fn elements(path: &str, old: &[Bson], new: &[Bson], ids: &Ids, out: &mut Vec<Change>) {
    for (before, id) in old.iter().zip(&ids.old) {
        let after = ids.place_in_new.get(id.as_str()).map(|at| &new[*at]);
        match (before, after) {
            (before, Some(after)) if before == after => {}
            (Bson::Document(before), Some(Bson::Document(after))) => {
                documents(&join(path, id), before, after, out);
            }
            _ => out.push(Change { path: join(path, id), old: Some(before.clone()), new: None }),
        }
    }
    for (after, id) in new.iter().zip(&ids.new).skip(ids.kept) {
        out.push(Change { path: join(path, id), old: None, new: Some(after.clone()) });
    }
}

/// The ids of two arrays whose elements can be told apart by them.
struct Ids {
    old: Vec<String>,
    new: Vec<String>,
    place_in_new: HashMap<String, usize>,
    /// How many of the old ones stay: the first of the new.
    kept: usize,
}

/// Whether the two arrays can be told apart by id: every element has a unique one, what stays
/// keeps its order and what is new comes after it. Otherwise the array is one value.
fn keep_their_order(old: &[Bson], new: &[Bson]) -> Option<Ids> {
    // An array that becomes empty or was empty is one value too: there is nothing to tell apart.
    if old.is_empty() || new.is_empty() {
        return None;
    }
    let (old, new) = (ids(old)?, ids(new)?);
    let place_in_new: HashMap<_, _> =
        new.iter().enumerate().map(|(at, id)| (id.clone(), at)).collect();
    let mut kept = 0;
    for id in &old {
        match place_in_new.get(id) {
            Some(at) if *at == kept => kept += 1,
            Some(_) => return None,
            None => {}
        }
    }
    Some(Ids { old, new, place_in_new, kept })
}

fn ids(array: &[Bson]) -> Option<Vec<String>> {
    let ids: Option<Vec<_>> = array.iter().map(id_of).collect();
    let ids = ids?;
    let unique: HashSet<_> = ids.iter().collect();
    (unique.len() == ids.len()).then_some(ids)
}

fn id_of(element: &Bson) -> Option<String> {
    let id = match element.as_document()?.get("id")? {
        Bson::String(id) => id.clone(),
        Bson::ObjectId(id) => id.to_hex(),
        _ => return None,
    };
    (!id.is_empty() && !id.contains('.')).then_some(id)
}

pub(super) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// Makes the changes to `document`. A path that does not fit it is an error: the trail and the
/// record have parted.
pub fn apply(document: &mut Document, changes: &[Change]) -> Result<(), String> {
    changes.iter().try_for_each(|change| {
        set(document, &change.path, change.new.as_ref())
            .ok_or_else(|| format!("{} does not fit the record", change.path))
    })
}

fn set(document: &mut Document, path: &str, new: Option<&Bson>) -> Option<()> {
    let Some((head, rest)) = path.split_once('.') else {
        match new {
            Some(new) => document.insert(path, new.clone()),
            None => document.remove(path),
        };
        return Some(());
    };
    if !document.contains_key(head) {
        document.insert(head, Document::new());
    }
    match document.get_mut(head)? {
        Bson::Document(inner) => set(inner, rest, new),
        Bson::Array(elements) => set_element(elements, rest, new),
        _ => None,
    }
}

fn set_element(elements: &mut Vec<Bson>, path: &str, new: Option<&Bson>) -> Option<()> {
    let (id, rest) = path.split_once('.').map_or((path, None), |(id, rest)| (id, Some(rest)));
    let at = elements.iter().position(|element| id_of(element).as_deref() == Some(id));
    match (at, rest, new) {
        (Some(at), Some(rest), new) => set(elements[at].as_document_mut()?, rest, new),
        (Some(at), None, Some(new)) => {
            elements[at] = new.clone();
            Some(())
        }
        (Some(at), None, None) => {
            elements.remove(at);
            Some(())
        }
        (None, None, Some(new)) => {
            elements.push(new.clone());
            Some(())
        }
        (None, ..) => None,
    }
}

/// What stands at a path inside a value: elements of arrays by their id.
pub fn value_in<'a>(value: &'a Bson, path: &str) -> Option<&'a Bson> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let inner = match value {
        Bson::Document(fields) => fields.get(head),
        Bson::Array(items) => items.iter().find(|item| id_of(item).as_deref() == Some(head)),
        _ => None,
    }?;
    rest.map_or(Some(inner), |rest| value_in(inner, rest))
}

#[cfg(test)]
pub(super) mod samples {
    use bson::{Bson, Document, bson};
    use proptest::prelude::*;

    fn bson_value() -> impl Strategy<Value = Bson> {
        let leaf = prop_oneof![
            Just(Bson::Null),
            any::<bool>().prop_map(Bson::Boolean),
            (0i64..4).prop_map(Bson::Int64),
            "[a-c]{0,2}".prop_map(Bson::String),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Bson::Array),
                prop::collection::vec(("[a-d]", inner.clone()), 0..4)
                    .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
                prop::collection::vec(("[a-d]", inner), 0..4).prop_map(|elements| {
                    let object = |(id, value)| bson!({ "id": Bson::String(id), "value": value });
                    Bson::Array(elements.into_iter().map(object).collect())
                }),
            ]
        })
    }

    pub fn document() -> impl Strategy<Value = Document> {
        prop::collection::vec(("[a-d]", bson_value()), 0..5)
            .prop_map(|fields| fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use proptest::prelude::*;

    use super::samples::document;
    use super::*;

    fn one(path: &str, old: Option<Bson>, new: Option<Bson>) -> Vec<Change> {
        vec![Change { path: path.to_owned(), old, new }]
    }

    #[test]
    fn a_field_is_named_by_its_dotted_path_with_what_was_and_what_is() {
        let before = doc! { "profile": { "first_name": "John", "phone": "+1" } };
        let after = doc! { "profile": { "first_name": "Jon", "phone": "+1" } };
        let expected = one("profile.first_name", Some("John".into()), Some("Jon".into()));
        assert_eq!(diff(&before, &after), expected);
    }

    #[test]
    fn null_and_missing_are_different() {
        let (missing, null) = (doc! {}, doc! { "plan": null });
        assert_eq!(diff(&missing, &null), one("plan", None, Some(Bson::Null)));
        assert_eq!(diff(&null, &missing), one("plan", Some(Bson::Null), None));
    }

    #[test]
    fn elements_with_an_id_are_named_by_it() {
        let before = doc! { "lots": [{ "id": "a", "left": 5 }, { "id": "b", "left": 7 }] };
        let after = doc! { "lots": [{ "id": "a", "left": 4 }, { "id": "c", "left": 1 }] };
        let paths: Vec<_> = diff(&before, &after).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["lots.a.left", "lots.b", "lots.c"]);
    }

    #[test]
    fn a_new_document_is_shown_leaf_by_leaf() {
        let after = doc! { "app": { "key": { "hint": "x" }, "empty": {} } };
        let paths: Vec<_> = diff(&doc! {}, &after).into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["app.key.hint", "app.empty"]);
    }

    proptest! {
        #[test]
        fn applying_the_difference_to_the_old_gives_the_new(a in document(), b in document()) {
            let mut replayed = a.clone();
            apply(&mut replayed, &diff(&a, &b)).expect("fits");
            prop_assert_eq!(&replayed, &b);
            prop_assert!(diff(&b, &b).is_empty());
        }
    }
}
