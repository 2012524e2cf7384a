//! Each subject's entries: no gaps, and replayed they are the record as it stands.

use std::collections::HashMap;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};

use super::replay::{Replay, pruned, put, shown, without_nothing};
use super::{Finding, Report, Task};
use crate::audit::entry::Entry;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::store::{Kind, Path, Root, Walk};

const BATCH: u32 = 1000;
/// Subjects whose records are read together; a person has few connections.
const TOGETHER: usize = 200;
/// What is written meanwhile is looked at again so often.
const LOOKS: usize = 3;

/// A subject, and its entries so far.
type History = (String, Replay);

pub async fn verify(task: &mut Task<'_>, report: &mut Report) -> Result<(), Fault> {
    let mut walk = walk(task, doc! {});
    let mut histories: Vec<History> = Vec::new();
    while let Some(batch) = walk.next().await? {
        add(task, &batch, &mut histories).await?;
        if histories.len() > TOGETHER {
            // The last one may go on.
            let last = histories.pop();
            together(task, std::mem::take(&mut histories), report).await?;
            histories.extend(last);
        }
    }
    together(task, histories, report).await
}

fn walk(task: &Task<'_>, filter: Document) -> Walk<Entry> {
    task.store.walk(Path {
        collection: Entry::COLLECTION,
        filter,
        sort: doc! { "subject": 1, "seq": 1 },
        only: doc! {},
        batch: BATCH,
    })
}

/// The next entries, in the order of subjects and numbers.
async fn add(
    task: &Task<'_>,
    entries: &[Entry],
    histories: &mut Vec<History>,
) -> Result<(), Fault> {
    let mut users: Vec<UserId> = entries.iter().filter_map(|entry| entry.user_id).collect();
    users.sort_unstable();
    users.dedup();
    let keys = task.store.data_keys(&(task.pass)(), &users).await?;
    for entry in entries {
        if histories.last().is_none_or(|(subject, _)| *subject != entry.subject) {
            histories.push((entry.subject.clone(), Replay::default()));
        }
        if let Some((_, replay)) = histories.last_mut() {
            replay.add(entry, entry.user_id.and_then(|user| keys.get(&user)));
        }
    }
    Ok(())
}

async fn together(
    task: &mut Task<'_>,
    histories: Vec<History>,
    report: &mut Report,
) -> Result<(), Fault> {
    let mut gapless = Vec::new();
    for (subject, replay) in histories {
        match replay.gap {
            None => gapless.push((subject, replay)),
            Some(seq) => {
                let detail = format!("its number {seq} is missing");
                report.add(Finding::new("number_missing", detail).about(&subject));
            }
        }
    }
    let mut differing = differing(task, gapless, report).await?;
    for look in 1.. {
        if differing.is_empty() || look == LOOKS {
            break;
        }
        let again = again(task, &differing).await?;
        differing = self::differing(task, again, report).await?;
    }
    for (subject, why) in differing {
        report.add(Finding::new("record_differs", why).about(&subject));
    }
    Ok(())
}

async fn again(task: &Task<'_>, differing: &[(String, String)]) -> Result<Vec<History>, Fault> {
    let mut histories = Vec::new();
    for (subject, _) in differing {
        let mut walk = walk(task, doc! { "subject": subject });
        while let Some(batch) = walk.next().await? {
            add(task, &batch, &mut histories).await?;
        }
    }
    Ok(histories)
}

/// Those whose record is another one, and why.
async fn differing(
    task: &Task<'_>,
    histories: Vec<History>,
    report: &mut Report,
) -> Result<Vec<(String, String)>, Fault> {
    let mut records = records(task, &histories).await?;
    let mut differing = Vec::new();
    for (subject, replay) in histories {
        let record = records.remove(&subject).unwrap_or_default();
        match differs(replay.newest, replay.record(), record) {
            None => report.subjects += 1,
            Some(why) => differing.push((subject, why)),
        }
    }
    Ok(differing)
}

fn differs(
    newest: i64,
    replayed: Result<Document, String>,
    (revision, record): (Option<i64>, Document),
) -> Option<String> {
    match (replayed, revision) {
        (Err(why), _) => Some(format!("its entries do not fit each other: {why}")),
        (Ok(replayed), None) if replayed.is_empty() => None,
        (Ok(_), None) => Some("it has entries and no record".to_owned()),
        (Ok(_), Some(revision)) if revision != newest => {
            Some(format!("its record is of number {revision}, its newest entry {newest}"))
        }
        (Ok(replayed), Some(_)) => {
            let is_erased = record.get_str("status").ok() == Some("erased");
            let only_what_is = |document: Document| {
                if is_erased { without_nothing(document) } else { document }
            };
            let (record, replayed) = (only_what_is(pruned(record)), only_what_is(replayed));
            let other = replayed
                .keys()
                .chain(record.keys())
                .find(|name| replayed.get(name.as_str()) != record.get(name.as_str()));
            other.map(|name| format!("`{name}` is not what its entries come to"))
        }
    }
}

/// Each subject's revision and its record: all parts at their places.
async fn records(
    task: &Task<'_>,
    histories: &[History],
) -> Result<HashMap<String, (Option<i64>, Document)>, Fault> {
    let mut records: HashMap<String, (Option<i64>, Document)> = HashMap::new();
    let mut walks: Vec<(&'static Kind, Walk<Document>)> = Vec::new();
    for kind in task.kinds {
        let ids: Vec<Bson> =
            histories.iter().filter_map(|(subject, _)| id_in(subject, kind)).collect();
        if ids.is_empty() {
            continue;
        }
        // Each begins to read at once.
        let walk = task.store.walk(Path {
            collection: kind.collection,
            filter: doc! { field(kind): { "$in": ids } },
            sort: doc! {},
            only: doc! {},
            batch: BATCH,
        });
        walks.push((kind, walk));
    }
    for (kind, mut walk) in walks {
        while let Some(batch) = walk.next().await? {
            for document in batch {
                put_part(&mut records, kind, document);
            }
        }
    }
    Ok(records)
}

fn put_part(
    records: &mut HashMap<String, (Option<i64>, Document)>,
    kind: &Kind,
    document: Document,
) {
    let raw = RawDocumentBuf::try_from(&document).expect("what was read is BSON");
    let (Some(subject), Some(place)) = ((kind.subject)(&raw), (kind.place)(&raw)) else { return };
    let (revision, record) = records.entry(subject.to_string()).or_default();
    if matches!(kind.root, Root::Own) {
        *revision = document.get_i64("revision").ok();
    }
    put(record, &place, shown(document, kind));
}

/// By which field a kind's records are found for a subject.
fn field(kind: &Kind) -> &'static str {
    match kind.root {
        Root::Of { field, .. } => field,
        Root::Own if kind.collection == "user_modules" => "module_name",
        Root::Own | Root::None => "_id",
    }
}

/// A subject's id as records of this kind hold it; `None` where it has none of them.
fn id_in(subject: &str, kind: &Kind) -> Option<Bson> {
    let (name, id) = subject.split_once(':')?;
    let root = match kind.root {
        Root::Of { collection, .. } => collection,
        Root::Own => kind.collection,
        Root::None => return None,
    };
    let collection = match name {
        "user" => "users",
        "app" => "apps",
        "module" => "user_modules",
        "operator" => "operators",
        "customer" => "customers",
        "registration" => "registrations",
        "job" => "jobs",
        "plan" => "plans",
        "programme" => "programmes",
        "security" | "reads" => "watches",
        _ => return None,
    };
    let id = match name {
        // Names, even where they look like ids.
        "app" | "module" | "plan" | "programme" => id.into(),
        "security" | "reads" => subject.into(),
        _ => Bson::ObjectId(ObjectId::parse_str(id).ok()?),
    };
    (collection == root).then_some(id)
}
