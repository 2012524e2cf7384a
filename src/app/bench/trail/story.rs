//! What the bench writes: people with a history each, in the order of time. Records and entries are
//! what Purser writes, with real data keys and real seals, so that a verifier can replay them.

use bson::{Bson, Document, doc};

use crate::app::build::Purser;
use crate::audit::actor::{Actor, Subject};
use crate::audit::change::{Change, diff};
use crate::audit::entry::{Entry, Outcome};
use crate::audit::seal::{self, Classified, Sensitivity};
use crate::crypto::envelope::{Context, DataKey};
use crate::crypto::keyring::Keyring;
use crate::kernel::chance::Chance;
use crate::kernel::ids::{AppId, ConnectionId, EntryId, Name, UserId};
use crate::kernel::time::{DAY_MS, Timestamp, plus};
use crate::store::{Record, UserKey};
use crate::users::User;

use super::super::pick;

/// How long the story lasts.
const DAYS: i64 = 90;
/// Of so many entries one is that of the heavy user.
const HEAVY_USER_EVERY: usize = 20;
/// Of so many entries three are through the heavy app.
const HEAVY_APP_OF: usize = 10;
const LIGHT_APPS: usize = 9;
/// Of so many entries of a person one changes the profile; the others are debits.
const PROFILE_EVERY: i64 = 4;
const ENTRIES_EACH: usize = 60;
const BALANCE: i64 = 1_000_000_000;

pub const HEAVY_APP: &str = "bench_heavy";

pub struct Story {
    people: Vec<Person>,
    /// A user as Purser has written it.
    template: Document,
    apps: Vec<AppId>,
    begins: Timestamp,
    step_ms: f64,
    told: usize,
    chance: Chance,
}

struct Person {
    id: UserId,
    key: DataKey,
    /// The record of the key, as it is stored.
    kept: Document,
    connection: ConnectionId,
    /// As it stands after the entries so far.
    record: Document,
    seq: i64,
}

impl Story {
    /// `template` is a user that was registered in the usual way.
    pub fn new(purser: &Purser, template: Document, entries: usize) -> Self {
        let begins = plus(purser.clock.now(), -DAYS * DAY_MS);
        let (chance, count) = (purser.chance.clone(), (entries / ENTRIES_EACH).max(2));
        let person = |_| Person::new(purser.gate.keyring(), &chance, begins);
        let people = (0..count).map(person).collect();
        let light = (0..LIGHT_APPS).map(|number| format!("bench_app_{number}"));
        let names = std::iter::once(HEAVY_APP.to_owned()).chain(light);
        let apps = names.filter_map(|name| Name::parse(&name)).collect();
        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        let step_ms = (DAYS * DAY_MS) as f64 / entries as f64;
        Self { people, template, apps, begins, step_ms, told: 0, chance }
    }

    pub fn heavy_user(&self) -> String {
        self.people[0].id.to_string()
    }

    /// The middle of the story, and its end.
    pub fn range(&self) -> (Timestamp, Timestamp) {
        (plus(self.begins, DAYS / 2 * DAY_MS), plus(self.begins, DAYS * DAY_MS))
    }

    /// The next entries.
    pub fn go_on(&mut self, count: usize) -> Result<Vec<Document>, String> {
        (0..count).map(|_| self.entry()).collect()
    }

    fn entry(&mut self) -> Result<Document, String> {
        let number = self.told;
        self.told += 1;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "milliseconds of some months"
        )]
        let at = plus(self.begins, (number as f64 * self.step_ms) as i64);
        let whose = match number % HEAVY_USER_EVERY {
            0 => 0,
            _ => 1 + pick(number, self.people.len() - 1),
        };
        let app = match pick(number / 7, HEAVY_APP_OF) {
            0..3 => 0,
            _ => 1 + pick(number, LIGHT_APPS),
        };
        let id = EntryId(self.chance.object_id(at));
        let app = &self.apps[app];
        let (template, chance) = (&self.template, &self.chance);
        let entry = self.people[whose].changed(template, id, at, app, number, chance)?;
        bson::serialize_to_document(&entry).map_err(|_| "an entry is no BSON".to_owned())
    }

    /// The records that the entries come to: users, and their data keys.
    pub fn records(self) -> impl Iterator<Item = (Document, Document)> {
        let had_any = self.people.into_iter().filter(|person| person.seq > 0);
        had_any.map(|person| {
            let revised_at = person.record.get("updated_at").cloned().unwrap_or(Bson::Null);
            let mut record = person.record;
            record.remove("data_key");
            record.extend(doc! { "revision": person.seq, "revised_at": revised_at });
            (record, person.kept)
        })
    }
}

impl Person {
    fn new(keyring: &Keyring, chance: &Chance, now: Timestamp) -> Self {
        let id = UserId(chance.object_id(now));
        let (key, text) = (DataKey::generate(chance), id.to_string());
        let place = Context { collection: UserKey::KIND.collection, id: &text, field: "wrapped" };
        let wrapped = keyring.seal(chance, &place, key.expose());
        let kept = doc! { "_id": id.0, "wrapped": wrapped, "created_at": now };
        let connection = ConnectionId(chance.object_id(now));
        Self { id, key, kept, connection, record: Document::new(), seq: 0 }
    }

    fn changed(
        &mut self,
        template: &Document,
        id: EntryId,
        at: Timestamp,
        app: &AppId,
        number: usize,
        chance: &Chance,
    ) -> Result<Entry, String> {
        self.seq += 1;
        let (action, module, changes) = match self.seq {
            1 => ("user_registered", "core", self.registered(template, at)),
            seq if seq % PROFILE_EVERY == 0 => ("profile_updated", "core", self.renamed(at)),
            _ => ("wallet_debited", "wallet", self.debited(at)),
        };
        let paths = changes.iter().map(|change| change.path.clone()).collect();
        let classified: Vec<_> = changes.into_iter().map(classified).collect();
        Ok(Entry {
            id,
            user_id: Some(self.id),
            app_id: Some(app.clone()),
            action: action.to_owned(),
            module: module.to_owned(),
            changes: seal::seal(&classified, Some(&self.key), id, chance)?,
            timestamp: at,
            ip_address: Some(format!("203.0.113.{}", number % 250)),
            subject: Subject::User(self.id).to_string(),
            seq: self.seq,
            actor: Actor::app(app),
            connection_id: Some(self.connection),
            request_id: Some(format!("req_{number:020x}")),
            asserted_by: Some(app.clone()),
            paths,
            reference: (module == "wallet").then(|| format!("order-{number}")),
            outcome: Outcome::Done,
        })
    }

    fn registered(&mut self, template: &Document, at: Timestamp) -> Vec<Change> {
        let mut record = template.clone();
        for taken in ["email", "revision", "revised_at"] {
            record.remove(taken);
        }
        record.extend(doc! { "_id": self.id.0, "created_at": at, "updated_at": at });
        record.insert("username", format!("bench_{}", self.id));
        if let Ok(wallet) = wallet(&mut record) {
            wallet.extend(doc! { "balance": BALANCE, "seq": 0_i64, "last_updated": at });
        }
        let mut key = self.kept.clone();
        key.insert("wrapped", seal::SECRET_MARK);
        record.insert("data_key", key);
        self.record = record;
        diff(&Document::new(), &self.record)
    }

    fn renamed(&mut self, at: Timestamp) -> Vec<Change> {
        let before = self.record.clone();
        if let Ok(profile) = self.record.get_document_mut("profile") {
            profile.insert("first_name", format!("Ada the {}th", self.seq));
        }
        self.record.insert("updated_at", at);
        if let Ok(audit) = self.record.get_document_mut("audit") {
            audit.insert("profile_updated_at", at);
        }
        diff(&before, &self.record)
    }

    fn debited(&mut self, at: Timestamp) -> Vec<Change> {
        let Ok(wallet) = wallet(&mut self.record) else { return Vec::new() };
        let before = doc! { "modules": { "wallet": wallet.clone() } };
        let number = |name: &str| wallet.get_i64(name).unwrap_or(0);
        let (balance, seq) = (number("balance") - 1, number("seq") + 1);
        wallet.extend(doc! { "balance": balance, "seq": seq, "last_updated": at });
        let after = doc! { "modules": { "wallet": wallet.clone() } };
        diff(&before, &after)
    }
}

fn wallet(record: &mut Document) -> Result<&mut Document, bson::error::Error> {
    record.get_document_mut("modules")?.get_document_mut("wallet")
}

fn classified(change: Change) -> Classified {
    let sensitivity = match change.path.as_str() {
        "data_key.wrapped" => Sensitivity::Secret,
        path if path.starts_with("data_key") => Sensitivity::Plain,
        path => (User::KIND.sensitivity)(path),
    };
    Classified { change, sensitivity }
}
