//! Going through the trail by its leaves for one app. A leaf says whose entry it is, so entries are read
//! only of people whom the app is connected to, and those without their values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Document, doc};
use serde::Deserialize;

use super::model::{self, Head, Person, Shown};
use crate::apps::App;
use crate::audit::actor::Subject;
use crate::audit::entry::Entry;
use crate::audit::warrant::Pass;
use crate::connections::Desk;
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;
use crate::kernel::page::Limit;
use crate::store::{LEAVES, Query, Record, Store};
use crate::users::{Connection, Modules, User};

/// Leaves that one request looks at, at most.
const LEAVES_MAX: usize = 5000;
/// Leaves that are looked at together, behind those of a page's length.
const BLOCK: usize = 1000;
/// People who are read together.
const PEOPLE_MIN: usize = 100;
/// How long a request goes on looking where it finds nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// What of a leaf is read.
#[derive(Deserialize)]
struct Place {
    #[serde(rename = "_id")]
    number: i64,
    entry_id: ObjectId,
    subject: String,
}

pub struct Scan<'a> {
    pass: &'a Pass,
    store: &'a Store,
    app: &'a App,
    modules: Modules,
    limit: Limit,
    found: Vec<(Head, Shown)>,
    people: HashMap<UserId, Person>,
    /// Where each person was shown last.
    newest: BTreeMap<UserId, i64>,
}

/// The number of the first leaf that is not there yet.
pub async fn end(pass: &Pass, store: &Store) -> Result<i64, Fault> {
    let newest = leaves(doc! {}).sort(doc! { "_id": -1 }).limit(1);
    let newest: Vec<Place> = store.list(pass, newest).await?;
    Ok(newest.first().map_or(0, |leaf| leaf.number + 1))
}

/// Whose these leaves are.
pub async fn users_of(
    pass: &Pass,
    store: &Store,
    numbers: Vec<i64>,
) -> Result<Vec<ObjectId>, Fault> {
    let places: Vec<Place> = store.list(pass, leaves(doc! { "_id": { "$in": numbers } })).await?;
    Ok(places.iter().filter_map(Place::user).map(|user| user.0).collect())
}

fn leaves(filter: Document) -> Query {
    Query::of(LEAVES, filter).only(doc! { "entry_id": 1, "subject": 1 })
}

impl Place {
    fn user(&self) -> Option<UserId> {
        self.subject.strip_prefix("user:")?.parse().ok()
    }
}

impl<'a> Scan<'a> {
    pub async fn new(
        pass: &'a Pass,
        desk: &'a Desk,
        app: &'a App,
        limit: Limit,
    ) -> Result<Self, Fault> {
        let modules = desk.modules(pass).await?;
        let (found, people, newest) = (Vec::new(), HashMap::new(), BTreeMap::new());
        Ok(Self { pass, store: &desk.store, app, modules, limit, found, people, newest })
    }

    /// From one leaf to another, or until the page is full or enough was looked at: the leaf to go on
    /// with.
    pub async fn run(&mut self, from: i64, end: i64) -> Result<i64, Fault> {
        let (begun, mut next, mut looked_at) = (Instant::now(), from, 0);
        while next < end && self.room() > 0 && looked_at < LEAVES_MAX && begun.elapsed() < PATIENCE
        {
            let rows = if looked_at == 0 { self.limit.rows() } else { BLOCK };
            let query = leaves(doc! { "_id": { "$gte": next } }).sort(doc! { "_id": 1 });
            let block: Vec<Place> = self.store.list(self.pass, query.limit(rows)).await?;
            let Some(last) = block.last() else { break };
            looked_at += block.len();
            next = self.look_at(&block).await?.unwrap_or(last.number + 1);
        }
        Ok(next)
    }

    pub fn newest_of_each(&self) -> impl Iterator<Item = i64> {
        self.newest.values().copied()
    }

    /// What is told, and of whom: that somebody was looked at in vain is nobody's business.
    pub fn found(mut self) -> (Vec<(Head, Shown)>, HashMap<UserId, Person>) {
        self.people.retain(|user, _| self.newest.contains_key(user));
        (self.found, self.people)
    }

    fn room(&self) -> usize {
        self.limit.rows() - self.found.len()
    }

    /// The leaf that there was no room for, if there is one.
    async fn look_at(&mut self, block: &[Place]) -> Result<Option<i64>, Fault> {
        let itself = Subject::App(self.app.id.clone()).to_string();
        let ties = self.ties(block.iter().filter_map(Place::user)).await?;
        let concerned: Vec<&Place> = block
            .iter()
            .filter(|leaf| match leaf.user() {
                Some(user) => ties.contains_key(&user),
                None => leaf.subject == itself,
            })
            .collect();
        if concerned.is_empty() {
            return Ok(None);
        }
        let entries = self.entries(&concerned).await?;
        let wanted = concerned.into_iter().filter_map(|leaf| {
            let entry = entries.get(&leaf.entry_id)?;
            let tie = leaf.user().and_then(|user| ties.get(&user));
            let may = |tie| model::may_be_shown(entry, tie, self.app, &self.modules);
            tie.is_none_or(may).then_some((leaf, entry))
        });
        let wanted: Vec<(&Place, &Head)> = wanted.collect();
        // No more people than there is room for, if all of them are told of; and not one by one.
        for some in wanted.chunks(self.room().max(PEOPLE_MIN)) {
            // After the entries: what they have changed is in what is shown.
            self.meet(&ties, some).await?;
            if let Some(left) = self.take(some) {
                return Ok(Some(left));
            }
        }
        Ok(None)
    }

    /// As much as there is room for: the leaf that there was none for, if there is one.
    fn take(&mut self, wanted: &[(&Place, &Head)]) -> Option<i64> {
        for (leaf, entry) in wanted {
            if self.room() == 0 {
                return Some(leaf.number);
            }
            let shown = match leaf.user() {
                Some(user) => {
                    let person = self.people.get(&user);
                    person.and_then(|person| model::shown(entry, &self.app.id, person))
                }
                None => model::shown_of_app(entry),
            };
            let Some(shown) = shown else { continue };
            if let Some(user) = leaf.user() {
                self.newest.insert(user, leaf.number);
            }
            self.found.push(((*entry).clone(), shown));
        }
        None
    }

    /// The app's connections with these people.
    async fn ties(
        &self,
        users: impl Iterator<Item = UserId>,
    ) -> Result<HashMap<UserId, Connection>, Fault> {
        let users: HashSet<ObjectId> = users.map(|user| user.0).collect();
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let users: Vec<ObjectId> = users.into_iter().collect();
        let tied = doc! { "app_id": self.app.id.as_str(), "user_id": { "$in": users } };
        let query = Query::of(Connection::KIND.collection, tied);
        let ties: Vec<Connection> = self.store.list(self.pass, query).await?;
        Ok(ties.into_iter().map(|tie| (tie.user_id, tie)).collect())
    }

    async fn entries(&self, leaves: &[&Place]) -> Result<HashMap<ObjectId, Head>, Fault> {
        let ids: Vec<ObjectId> = leaves.iter().map(|leaf| leaf.entry_id).collect();
        let query = Query::of(Entry::COLLECTION, doc! { "_id": { "$in": ids } });
        let fields = doc! {
            "user_id": 1, "app_id": 1, "action": 1, "timestamp": 1, "seq": 1, "paths": 1,
        };
        let entries: Vec<Head> = self.store.list(self.pass, query.only(fields)).await?;
        Ok(entries.into_iter().map(|entry| (entry.id.0, entry)).collect())
    }

    /// The people of these leaves as they are now.
    async fn meet(
        &mut self,
        ties: &HashMap<UserId, Connection>,
        wanted: &[(&Place, &Head)],
    ) -> Result<(), Fault> {
        let ids: HashSet<ObjectId> =
            wanted.iter().filter_map(|(leaf, _)| leaf.user()).map(|user| user.0).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<ObjectId> = ids.into_iter().collect();
        let query = Query::of(User::KIND.collection, doc! { "_id": { "$in": ids } });
        let users: Vec<User> = self.store.list(self.pass, query).await?;
        for user in users {
            if let Some(tie) = ties.get(&user.id) {
                let person = Person::of(&user, tie, self.app, &self.modules);
                self.people.insert(user.id, person);
            }
        }
        Ok(())
    }
}
