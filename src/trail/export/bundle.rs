//! Entries as they are stored, with their proofs, up to the newest checkpoint.

use std::collections::HashMap;

use bson::{Document, RawDocumentBuf, doc};
use serde::Deserialize;
use tokio::task::JoinHandle;

use super::{Piece, Reader};
use crate::audit::bundle::Writer;
use crate::audit::entry::Entry;
use crate::audit::leaf;
use crate::audit::tree::Hash;
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::EntryId;
use crate::kernel::time::Timestamp;
use crate::store::{LEAVES, Leaf, Query, Store};
use crate::trail::queries::{Filter, Position, condition};
use crate::trail::seal::{Stored, inclusions};

/// Leaves of a piece.
const LEAVES_TOGETHER: u64 = 1000;
/// Numbers of leaves that are kept in memory; where a filter finds more, all leaves are looked at.
const FOUND_MAX: usize = 200_000;

pub struct Bundle {
    reader: Reader,
    /// `None` once the end was written.
    writer: Option<Writer>,
    first: Option<String>,
    size: u64,
    leaves: Leaves,
    ahead: Option<Reading>,
}

enum Leaves {
    /// All from this one on whose entry the condition finds.
    From { next: u64, condition: Document },
    /// These, in their order.
    These { numbers: Vec<i64>, taken: usize },
}

impl Bundle {
    pub async fn begin(reader: Reader, filter: &Filter, since: u64) -> Result<Self, Fault> {
        let newest = Stored::newest(&(reader.leave)().await?, &reader.store).await?;
        let newest = newest.ok_or_else(|| Fault::of(Code::NotYetSealed).retry_after(10))?;
        let begun = Writer::begin(newest.text());
        let (writer, first) = begun.map_err(|why| Fault::internal(why.to_string()))?;
        let size = newest.size();
        let leaves = match found(&reader, filter).await? {
            Some(mut numbers) => {
                let range = number(since)..number(size);
                numbers.retain(|number| range.contains(number));
                Leaves::These { numbers, taken: 0 }
            }
            None => Leaves::From { next: since, condition: condition(filter, None) },
        };
        Ok(Self { reader, writer: Some(writer), first: Some(first), size, leaves, ahead: None })
    }

    /// While this piece is written, the next one is read.
    pub async fn next(&mut self) -> Result<Option<Piece>, Fault> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        let mut text = self.first.take().unwrap_or_default();
        let reading = match self.ahead.take() {
            Some(reading) => Some(reading),
            None => self.read().await?,
        };
        let Some(reading) = reading else {
            text += &writer.end();
            return Ok(Some(Piece { bytes: text.into_bytes(), entries: 0 }));
        };
        let read = reading.await.map_err(|_| Fault::internal("reading leaves panicked"))??;
        self.ahead = self.read().await?;
        for Proved { leaf, canonical, proof } in &read {
            text += &writer.entry(*leaf, canonical, proof).map_err(Fault::internal)?;
        }
        self.writer = Some(writer);
        let entries = u64::try_from(read.len()).unwrap_or(0);
        Ok(Some(Piece { bytes: text.into_bytes(), entries }))
    }

    /// Begins to read the next leaves, if there are more.
    async fn read(&mut self) -> Result<Option<Reading>, Fault> {
        let (wanted, condition) = self.leaves.next(self.size);
        let Some(wanted) = wanted else { return Ok(None) };
        let (pass, store, size) =
            ((self.reader.leave)().await?, self.reader.store.clone(), self.size);
        let reading = async move { proved(&pass, &store, wanted, condition, size).await };
        Ok(Some(tokio::spawn(reading)))
    }
}

type Reading = JoinHandle<Result<Vec<Proved>, Fault>>;

/// An entry in its canonical form, and its proof.
struct Proved {
    leaf: u64,
    canonical: String,
    proof: Vec<Hash>,
}

async fn proved(
    pass: &Pass,
    store: &Store,
    wanted: Document,
    condition: Document,
    size: u64,
) -> Result<Vec<Proved>, Fault> {
    let is_filtered = !condition.is_empty();
    let query = Query::of(LEAVES, wanted).sort(doc! { "_id": 1 });
    let mut leaves: Vec<Leaf> = store.list(pass, query).await?;
    let ids: Vec<_> = leaves.iter().map(|leaf| leaf.entry_id).collect();
    let mut of_leaves = doc! { "_id": { "$in": ids } };
    of_leaves.extend(condition);
    let entries = Query::of(Entry::COLLECTION, of_leaves);
    let found: Vec<RawDocumentBuf> = store.list(pass, entries).await?;
    let keyed =
        found.into_iter().filter_map(|entry| Some((entry.get_object_id("_id").ok()?, entry)));
    let entries: HashMap<_, _> = keyed.collect();
    if is_filtered {
        leaves.retain(|leaf| entries.contains_key(&leaf.entry_id));
    }
    let proofs = inclusions(pass, store, &leaves, size).await?;
    let proved = |(leaf, proof): (Leaf, Vec<Hash>)| {
        let id = EntryId(leaf.entry_id);
        let missing = || Fault::internal(format!("entry {id} of a leaf is missing"));
        let entry = entries.get(&leaf.entry_id).ok_or_else(missing)?;
        let canonical = leaf::canonical(entry).map_err(|_| missing())?;
        Ok(Proved { leaf: u64::try_from(leaf.number).unwrap_or(0), canonical, proof })
    };
    leaves.into_iter().zip(proofs).map(proved).collect()
}

impl Leaves {
    /// Which leaves come next, and what their entries must be besides; `None` at the end.
    fn next(&mut self, size: u64) -> (Option<Document>, Document) {
        match self {
            Self::From { next, condition } => {
                let (start, end) = (*next, size.min(*next + LEAVES_TOGETHER));
                *next = end.max(start);
                let between = doc! { "_id": { "$gte": number(start), "$lt": number(end) } };
                ((start < end).then_some(between), condition.clone())
            }
            Self::These { numbers, taken } => {
                let together = usize::try_from(LEAVES_TOGETHER).unwrap_or(1);
                let these: Vec<i64> = numbers.iter().skip(*taken).take(together).copied().collect();
                *taken += these.len();
                let any = !these.is_empty();
                (any.then(|| doc! { "_id": { "$in": these } }), Document::new())
            }
        }
    }
}

fn number(leaf: u64) -> i64 {
    i64::try_from(leaf).unwrap_or(i64::MAX)
}

#[derive(Deserialize)]
struct Place {
    #[serde(rename = "_id")]
    id: EntryId,
    timestamp: Timestamp,
}

#[derive(Deserialize)]
struct Number {
    #[serde(rename = "_id")]
    number: i64,
}

/// Which leaves a filter finds, in their order; `None` where they are all or too many.
async fn found(reader: &Reader, filter: &Filter) -> Result<Option<Vec<i64>>, Fault> {
    if condition(filter, None).is_empty() {
        return Ok(None);
    }
    let (mut numbers, mut after) = (Vec::new(), None);
    let rows = usize::try_from(LEAVES_TOGETHER).unwrap_or(1);
    while numbers.len() <= FOUND_MAX {
        let pass = (reader.leave)().await?;
        let query = Query::of(Entry::COLLECTION, condition(filter, after))
            .sort(doc! { "timestamp": -1, "_id": -1 })
            .only(doc! { "timestamp": 1 });
        let places: Vec<Place> = reader.store.list(&pass, query.limit(rows)).await?;
        let ids: Vec<_> = places.iter().map(|place| place.id.0).collect();
        let of_entries = Query::of(LEAVES, doc! { "entry_id": { "$in": ids } });
        let found: Vec<Number> =
            reader.store.list(&pass, of_entries.only(doc! { "_id": 1 })).await?;
        numbers.extend(found.into_iter().map(|leaf| leaf.number));
        if places.len() < rows {
            numbers.sort_unstable();
            return Ok(Some(numbers));
        }
        after = places.last().map(|last| Position::at(last.timestamp, last.id));
    }
    Ok(None)
}
