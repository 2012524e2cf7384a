//! The sequencer: entries become leaves, one process at a time.

use std::collections::HashSet;

use bson::{Document, RawDocumentBuf, doc};

use super::checkpoints::Checkpoints;
use super::missing::{Mark, Missing};
use super::nodes::{frontier, number};
use crate::access::grant::Granted;
use crate::audit::entry::Entry;
use crate::audit::leaf;
use crate::audit::tree::Frontier;
use crate::kernel::fault::Fault;
use crate::kernel::time::{self, SECOND_MS, Timestamp};
use crate::store::{BATCH, LEAVES, Leaf, Lost, News, Path, Query, Store, Stream, Term, hash};
use crate::trail::actions::SealTrail;

/// Longer than a batch takes; after that another process goes on.
const LEASE_MS: i64 = 10 * SECOND_MS;

/// Entries that are hashed before others have their turn on this thread.
const AT_A_STRETCH: usize = 32;

/// A process that appends.
pub struct Sequencer {
    store: Store,
    term: Term,
    /// From then on the lease is renewed before anything else.
    renew_at: Timestamp,
    tree: Frontier,
    stream: Option<Stream>,
    /// Whether the stream may bring what has a leaf already: until it has told everything that there was
    /// when this process took over, and caught up.
    overlaps: bool,
}

impl Sequencer {
    /// Takes the lease and goes on where the last leaf stands; `None` where it is somebody else's turn.
    pub async fn begin(grant: &Granted<SealTrail>, store: &Store) -> Result<Option<Self>, Fault> {
        let now = grant.now();
        let Some(term) = store.lead(now, time::plus(now, LEASE_MS)).await? else { return Ok(None) };
        let size = newest(grant, store).await?.map_or(0, |leaf| leaf.number + 1);
        let tree = frontier(&grant.pass(), store, u64::try_from(size).unwrap_or(0)).await?;
        let (store, renew_at) = (store.clone(), time::plus(now, LEASE_MS / 2));
        Ok(Some(Self { store, term, renew_at, tree, stream: None, overlaps: true }))
    }

    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// What has come, sealed: how many entries; `None` where it is somebody else's turn by now.
    pub async fn step(&mut self, grant: &Granted<SealTrail>) -> Result<Option<usize>, Fault> {
        if !self.leads(grant).await? {
            return Ok(None);
        }
        let Some(stream) = self.stream.take() else { return self.open(grant).await };
        let (stream, News { mut entries, position }) = match self.store.news(stream).await {
            Ok(news) => news,
            // The next step opens another one, and looks what was missed.
            Err(Lost::History) => return Ok(Some(0)),
            Err(Lost::Fault(fault)) => return Err(fault),
        };
        self.stream = Some(stream);
        if self.overlaps {
            // Less than a batch: there was no more.
            self.overlaps = entries.len() == BATCH;
            entries = self.without_leaf(grant, entries).await?;
        }
        self.append(&entries, Some(position)).await
    }

    /// Behind the last leaf, where that tells where; else from now on, once everything before has its leaf.
    async fn open(&mut self, grant: &Granted<SealTrail>) -> Result<Option<usize>, Fault> {
        let newest = newest(grant, &self.store).await?;
        let newest = newest.filter(|leaf| leaf.number + 1 == number(self.size()));
        let position = newest.and_then(|leaf| leaf.position);
        if let Some(position) = position {
            match self.store.stream(Some(position)).await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(Some(0));
                }
                Err(Lost::History) => {}
                Err(Lost::Fault(fault)) => return Err(fault),
            }
        }
        let stream = match self.store.stream(None).await {
            Ok(stream) => stream,
            Err(Lost::Fault(fault)) => return Err(fault),
            Err(Lost::History) => return Err(Fault::internal("a new stream has lost its history")),
        };
        let caught_up = self.catch_up(grant).await?;
        (self.stream, self.overlaps) = (Some(stream), true);
        Ok(caught_up)
    }

    /// Every entry without a leaf gets one, in the order of subjects and numbers.
    pub async fn catch_up(&mut self, grant: &Granted<SealTrail>) -> Result<Option<usize>, Fault> {
        let (mut missing, mut sealed) = (Missing::look(&self.store), 0);
        loop {
            let marks = missing.next(BATCH).await?;
            if marks.is_empty() {
                return Ok(Some(sealed));
            }
            let entries = entries(&self.store, marks).await?;
            match self.append(&entries, None).await? {
                Some(appended) => sealed += appended,
                None => return Ok(None),
            }
            if !self.leads(grant).await? {
                return Ok(None);
            }
        }
    }

    /// Whether it still is this process's turn. The lease is renewed once half of it is over: whoever
    /// appends without it is refused anyway.
    async fn leads(&mut self, grant: &Granted<SealTrail>) -> Result<bool, Fault> {
        let now = grant.now();
        if now < self.renew_at {
            return Ok(true);
        }
        let held = self.store.lead(now, time::plus(now, LEASE_MS)).await?;
        self.renew_at = time::plus(now, LEASE_MS / 2);
        Ok(held == Some(self.term))
    }

    async fn append(
        &mut self,
        entries: &[RawDocumentBuf],
        position: Option<Document>,
    ) -> Result<Option<usize>, Fault> {
        if entries.is_empty() {
            return Ok(Some(0));
        }
        let mut tree = self.tree.clone();
        let mut leaves = Vec::with_capacity(entries.len());
        for some in entries.chunks(AT_A_STRETCH) {
            leaves.extend(leaves_of(&mut tree, some)?);
            tokio::task::yield_now().await;
        }
        if let Some(last) = leaves.last_mut() {
            last.position = position;
        }
        if !self.store.append(self.term, leaves).await? {
            return Ok(None);
        }
        self.tree = tree;
        Ok(Some(entries.len()))
    }

    async fn without_leaf(
        &self,
        grant: &Granted<SealTrail>,
        entries: Vec<RawDocumentBuf>,
    ) -> Result<Vec<RawDocumentBuf>, Fault> {
        let ids: Vec<_> = entries.iter().filter_map(|it| it.get_object_id("_id").ok()).collect();
        let sealed = Query::of(LEAVES, doc! { "entry_id": { "$in": ids } });
        let sealed = sealed.only(doc! { "entry_id": 1, "_id": 0 });
        let sealed: Vec<RawDocumentBuf> = self.store.list(&grant.pass(), sealed).await?;
        let of_leaf = |leaf: &RawDocumentBuf| leaf.get_object_id("entry_id").ok();
        let sealed: HashSet<_> = sealed.iter().filter_map(of_leaf).collect();
        let is_new = |entry: &RawDocumentBuf| {
            entry.get_object_id("_id").is_ok_and(|id| !sealed.contains(&id))
        };
        Ok(entries.into_iter().filter(is_new).collect())
    }

    /// Signs what the tree has come to, if it is time.
    pub async fn sign(
        &self,
        grant: &Granted<SealTrail>,
        checkpoints: &Checkpoints,
    ) -> Result<bool, Fault> {
        checkpoints.sign(grant, &self.store, &self.tree).await
    }
}

/// The leaves of entries, in their order.
pub fn leaves_of(tree: &mut Frontier, entries: &[RawDocumentBuf]) -> Result<Vec<Leaf>, Fault> {
    let leaf = |entry: &RawDocumentBuf| {
        let leaf_hash = leaf::hash(&leaf::canonical(entry).map_err(broken)?);
        let Mark { subject, seq } = Mark::of(entry)?;
        let number = number(tree.size());
        let nodes = tree.append(leaf_hash);
        Ok(Leaf {
            number,
            entry_id: entry.get_object_id("_id").map_err(broken)?,
            subject,
            seq,
            leaf_hash: hash(leaf_hash.0),
            nodes: nodes.into_iter().skip(1).map(|node| hash(node.0)).collect(),
            position: None,
        })
    };
    entries.iter().map(leaf).collect()
}

async fn newest(grant: &Granted<SealTrail>, store: &Store) -> Result<Option<Leaf>, Fault> {
    let query = Query::of(LEAVES, doc! {}).sort(doc! { "_id": -1 }).limit(1);
    Ok(store.list(&grant.pass(), query).await?.pop())
}

/// Entries by their marks, in the order asked for. Each subject's are one range of numbers; what stands
/// between them and was not asked for is left out.
async fn entries(store: &Store, marks: Vec<Mark>) -> Result<Vec<RawDocumentBuf>, Fault> {
    let mut ranges: Vec<Document> = Vec::new();
    for subject in marks.chunk_by(|one, next| one.subject == next.subject) {
        let [first, .., last] = subject else {
            ranges
                .extend(subject.iter().map(|one| doc! { "subject": &one.subject, "seq": one.seq }));
            continue;
        };
        let between = doc! { "$gte": first.seq, "$lte": last.seq };
        ranges.push(doc! { "subject": &first.subject, "seq": between });
    }
    let mut walk = store.walk::<RawDocumentBuf>(Path {
        collection: Entry::COLLECTION,
        filter: doc! { "$or": ranges },
        sort: doc! { "subject": 1, "seq": 1 },
        only: doc! {},
        batch: u32::try_from(BATCH).unwrap_or(1000),
    });
    let wanted: HashSet<Mark> = marks.into_iter().collect();
    let mut found = Vec::with_capacity(wanted.len());
    while let Some(batch) = walk.next().await? {
        for entry in batch {
            if wanted.contains(&Mark::of(&entry)?) {
                found.push(entry);
            }
        }
    }
    Ok(found)
}

fn broken(_: impl std::error::Error) -> Fault {
    Fault::internal("an entry of the trail cannot be read")
}
