//! Each subject's entries: no gaps, and replayed they are the record as it stands.

use std::collections::HashMap;

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};

use super::replay::{pruned, put, replayed, shown, without_nothing};
use super::{Finding, Report, Task};
use crate::audit::entry::Entry;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::store::{Kind, Path, Root};

const BATCH: u32 = 1000;
/// Subjects whose records are read together; a person has few connections.
const TOGETHER: usize = 100;
/// What is written meanwhile is looked at again so often.
const LOOKS: usize = 3;

type History = (String, Vec<Entry>);

pub async fn verify(task: &mut Task<'_>, report: &mut Report) -> Result<(), Fault> {
    let mut walk = task.store.walk::<Entry>(Path {
        collection: Entry::COLLECTION,
        filter: doc! {},
        sort: doc! { "subject": 1, "seq": 1 },
        only: doc! {},
        batch: BATCH,
    });
    let mut histories: Vec<History> = Vec::new();
    while let Some(batch) = walk.next().await? {
        for entry in batch {
            match histories.last_mut() {
                Some((subject, entries)) if *subject == entry.subject => entries.push(entry),
                _ => histories.push((entry.subject.clone(), vec![entry])),
            }
        }
        if histories.len() > TOGETHER {
            // The last one may go on.
            let last = histories.pop();
            together(task, std::mem::take(&mut histories), report).await?;
            histories.extend(last);
        }
    }
    together(task, histories, report).await
}

async fn together(
    task: &mut Task<'_>,
    histories: Vec<History>,
    report: &mut Report,
) -> Result<(), Fault> {
    let mut gapless = Vec::new();
    for (subject, entries) in histories {
        match gap(&entries) {
            None => gapless.push((subject, entries)),
            Some(seq) => {
                let detail = format!("its number {seq} is missing");
                report.add(Finding::new("number_missing", detail).about(&subject));
            }
        }
    }
    let mut differing = differing(task, &gapless, report).await?;
    for look in 1.. {
        if differing.is_empty() || look == LOOKS {
            break;
        }
        let again = again(task, &differing).await?;
        differing = self::differing(task, &again, report).await?;
    }
    for (subject, why) in differing {
        report.add(Finding::new("record_differs", why).about(&subject));
    }
    Ok(())
}

/// The first number that is not there.
fn gap(entries: &[Entry]) -> Option<i64> {
    (1..).zip(entries).find(|(seq, entry)| entry.seq != *seq).map(|(seq, _)| seq)
}

async fn again(task: &Task<'_>, differing: &[(String, String)]) -> Result<Vec<History>, Fault> {
    let mut histories = Vec::new();
    for (subject, _) in differing {
        let mut walk = task.store.walk::<Entry>(Path {
            collection: Entry::COLLECTION,
            filter: doc! { "subject": subject },
            sort: doc! { "seq": 1 },
            only: doc! {},
            batch: BATCH,
        });
        let mut entries = Vec::new();
        while let Some(batch) = walk.next().await? {
            entries.extend(batch);
        }
        histories.push((subject.clone(), entries));
    }
    Ok(histories)
}

/// Those whose record is another one, and why.
async fn differing(
    task: &Task<'_>,
    histories: &[History],
    report: &mut Report,
) -> Result<Vec<(String, String)>, Fault> {
    let mut users: Vec<UserId> =
        histories.iter().flat_map(|(_, entries)| entries).filter_map(|it| it.user_id).collect();
    users.sort_unstable();
    users.dedup();
    let keys = task.store.data_keys(&(task.pass)(), &users).await?;
    let mut records = records(task, histories).await?;
    let mut differing = Vec::new();
    for (subject, entries) in histories {
        let record = records.remove(subject).unwrap_or_default();
        match differs(entries, &replayed(entries, &keys), record) {
            None => report.subjects += 1,
            Some(why) => differing.push((subject.clone(), why)),
        }
    }
    Ok(differing)
}

fn differs(
    entries: &[Entry],
    replayed: &Result<Document, String>,
    (revision, record): (Option<i64>, Document),
) -> Option<String> {
    let newest = entries.last().map_or(0, |entry| entry.seq);
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
            let (record, replayed) = (only_what_is(pruned(record)), only_what_is(replayed.clone()));
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
    for kind in task.kinds {
        let ids: Vec<Bson> =
            histories.iter().filter_map(|(subject, _)| id_in(subject, kind)).collect();
        if ids.is_empty() {
            continue;
        }
        let mut walk = task.store.walk::<Document>(Path {
            collection: kind.collection,
            filter: doc! { field(kind): { "$in": ids } },
            sort: doc! { "_id": 1 },
            only: doc! {},
            batch: BATCH,
        });
        while let Some(batch) = walk.next().await? {
            for document in batch {
                add(&mut records, kind, document);
            }
        }
    }
    Ok(records)
}

fn add(records: &mut HashMap<String, (Option<i64>, Document)>, kind: &Kind, document: Document) {
    let (Some(subject), Some(place)) = ((kind.subject)(&document), (kind.place)(&document)) else {
        return;
    };
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
