//! What a unit has changed, told by subject: from the records before and after to the changes of an
//! entry.

use bson::{Bson, RawDocument, RawDocumentBuf};

use super::record::{Kind, Locator, REVISED_AT, REVISION, Root, value};
use crate::audit::actor::Subject;
use crate::audit::bytes;
use crate::audit::change::Change;
use crate::audit::seal::{self, Classified};

/// An entry that a unit has caused, before it has its number and time.
pub(super) struct Draft {
    pub subject: Subject,
    /// The slot of its subject's root.
    pub root: String,
    pub changes: Vec<Classified>,
}

pub(super) type Sides<'a> = (Option<&'a RawDocument>, Option<&'a RawDocument>);

/// A part that goes to another subject, or to another place of its own, leaves the one and comes to
/// the other: each history tells its side.
pub(super) fn moved<'a>(
    kind: &Kind,
    before: Option<&'a RawDocument>,
    after: Option<&'a RawDocument>,
) -> Vec<Sides<'a>> {
    let home = |document| ((kind.subject)(document), (kind.place)(document));
    match (before, after) {
        (Some(old), Some(new)) if home(old) != home(new) => vec![(before, None), (None, after)],
        sides => vec![sides],
    }
}

/// Whose record has changed, and how; `None` where it has not.
pub(super) fn classified(
    kind: &Kind,
    (before, after): Sides<'_>,
) -> bson::error::Result<Option<(Subject, Vec<Classified>)>> {
    let nothing = RawDocumentBuf::new();
    let mut changes = bytes::diff(before.unwrap_or(&nothing), after.unwrap_or(&nothing))?;
    changes.retain(|change| is_change(kind, &change.path));
    let owner = after.or(before).filter(|_| !changes.is_empty());
    let home = owner.and_then(|owner| Some(((kind.subject)(owner)?, (kind.place)(owner)?)));
    let Some((subject, place)) = home else { return Ok(None) };
    let classify = |change: Change| {
        let sensitivity = (kind.sensitivity)(&change.path);
        let redacted = |value: Bson| seal::redact(&change.path, value, kind.sensitivity);
        let (old, new) = (change.old.map(redacted), change.new.map(redacted));
        let path = if place.is_empty() { change.path } else { format!("{place}.{}", change.path) };
        Classified { change: Change { path, old, new }, sensitivity }
    };
    Ok(Some((subject, changes.into_iter().map(classify).collect())))
}

fn is_change(kind: &Kind, path: &str) -> bool {
    path != REVISION.as_str() && path != REVISED_AT.as_str() && !(kind.volatile)(path)
}

pub(super) fn root_of(kind: &Kind, (before, after): Sides<'_>) -> Option<Locator> {
    let document = after.or(before)?;
    let (collection, field) = match kind.root {
        Root::Own => (kind.collection, "_id"),
        Root::Of { collection, field } => (collection, field),
        Root::None => return None,
    };
    Some(Locator::id(collection, value(document, field)?))
}
