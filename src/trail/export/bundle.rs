//! Entries as they are stored, with their proofs, up to the newest checkpoint.

use std::collections::HashMap;

use bson::{Document, RawDocumentBuf, doc};
use serde::Deserialize;

use super::{Piece, Reader};
use crate::audit::bundle::Writer;
use crate::audit::entry::Entry;
use crate::audit::leaf;
use crate::audit::warrant::Pass;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::EntryId;
use crate::kernel::time::Timestamp;
use crate::store::{LEAVES, Leaf, Query};
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
        Ok(Self { reader, writer: Some(writer), first: Some(first), size, leaves })
    }

    pub async fn next(&mut self) -> Result<Option<Piece>, Fault> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        let mut text = self.first.take().unwrap_or_default();
        let (wanted, condition) = self.leaves.next(self.size);
        let Some(wanted) = wanted else {
            text += &writer.end();
            return Ok(Some(Piece { bytes: text.into_bytes(), entries: 0 }));
        };
        let pass = (self.reader.leave)().await?;
        let entries = self.write(&pass, &mut writer, wanted, condition, &mut text).await?;
        self.writer = Some(writer);
        Ok(Some(Piece { bytes: text.into_bytes(), entries }))
    }

    async fn write(
        &self,
        pass: &Pass,
        writer: &mut Writer,
        wanted: Document,
        condition: Document,
        text: &mut String,
    ) -> Result<u64, Fault> {
        let store = &self.reader.store;
        let is_filtered = !condition.is_empty();
        let query = Query::of(LEAVES, wanted).sort(doc! { "_id": 1 });
        let mut leaves: Vec<Leaf> = store.list(pass, query).await?;
        let ids: Vec<_> = leaves.iter().map(|leaf| leaf.entry_id).collect();
        let mut of_leaves = doc! { "_id": { "$in": ids } };
        of_leaves.extend(condition);
        let found: Vec<RawDocumentBuf> =
            store.list(pass, Query::of(Entry::COLLECTION, of_leaves)).await?;
        let keyed = found.into_iter().filter_map(|raw| Some((raw.get_object_id("_id").ok()?, raw)));
        let entries: HashMap<_, _> = keyed.collect();
        if is_filtered {
            leaves.retain(|leaf| entries.contains_key(&leaf.entry_id));
        }
        let proofs = inclusions(pass, store, &leaves, self.size).await?;
        for (leaf, proof) in leaves.iter().zip(&proofs) {
            let entry = entries.get(&leaf.entry_id);
            let entry = entry.and_then(|raw| Document::try_from(raw.as_ref()).ok());
            let id = EntryId(leaf.entry_id);
            let missing = || Fault::internal(format!("entry {id} of a leaf is missing"));
            let canonical = leaf::canonical(&entry.ok_or_else(missing)?);
            let number = u64::try_from(leaf.number).unwrap_or(0);
            *text += &writer.entry(number, &canonical, proof).map_err(Fault::internal)?;
        }
        Ok(u64::try_from(leaves.len()).unwrap_or(0))
    }
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
