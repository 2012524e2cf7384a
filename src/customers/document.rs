//! Everything that is kept of a person, as one JSON document that is written while it is sent: a
//! ledger of 100,000 lines takes no more memory than one of ten.
//!
//! What belongs to others is left out: of people who came by the person's code, and of whose code they
//! came by, there are ids; of a request that names two people, what is the person's; of entries that an
//! operator has left, not where the operator was. So are secrets, and what addresses and devices are
//! recognised by.

use bson::{Bson, Document as Fields, doc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::export::Whole;
use crate::access::watch;
use crate::audit::actor::Subject;
use crate::audit::entry::Entry;
use crate::connections;
use crate::http::streamed::Writer;
use crate::kernel::fault::Fault;
use crate::kernel::time::rfc3339;
use crate::modules::{referrals, subscription, wallet};
use crate::store::{Path, Record, Store, Walk};
use crate::trail;
use crate::users::Connection;

/// Everything that is kept of one person, as it was while it was read.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
pub struct ExportView {
    #[schema(pattern = "^[0-9a-f]{24}$", example = "65f1a2b3c4d5e6f7a8b9c0d1")]
    user_id: String,
    #[schema(format = DateTime)]
    exported_at: String,
    /// The shared record with profile, preferences, modules and identities, as admins see it.
    #[schema(value_type = Object)]
    person: Value,
    /// The legal entity, and the accounts that it owns.
    #[schema(value_type = Object)]
    customer: Value,
    /// Each with what its app keeps of the person.
    #[schema(value_type = Vec<Object>)]
    connections: Vec<Value>,
    /// Every line of the ledger, the oldest first.
    #[schema(value_type = Vec<Object>)]
    wallet_entries: Vec<Value>,
    /// As it stands; `null` where there never was one.
    #[schema(value_type = Option<Object>, required = true)]
    subscription: Value,
    /// What was taken and granted for it: lines of the ledger, once more.
    #[schema(value_type = Vec<Object>)]
    bills: Vec<Value>,
    /// Codes, the referral that the person came by, refusals, and the ids of those who came by them.
    #[schema(value_type = Object)]
    referrals: Value,
    /// Requests of apps that name the person, as far as they can be found.
    #[schema(value_type = Vec<Object>)]
    registrations: Vec<Value>,
    /// What has changed and who has done it, the oldest first.
    #[schema(value_type = Vec<Object>)]
    trail: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    customer_trail: Vec<Value>,
    /// What was seen of the person without a change: failed sign-ins, refused keys.
    #[schema(value_type = Vec<Object>)]
    security_trail: Vec<Value>,
}

const BATCH: u32 = 200;

/// Writes the document to its end.
pub async fn write(whole: Whole, store: Store, writer: Writer) -> Result<Writer, Fault> {
    let mut page = Page { writer, next: "{" };
    let (id, key) = (whole.user.id, whole.key.as_ref());
    let theirs = || doc! { "user_id": id.0 };
    page.field("user_id", &id.to_string()).await?;
    page.field("exported_at", &rfc3339(whole.now)).await?;
    page.field("person", &whole.person).await?;
    page.field("customer", &customer(&whole)).await?;
    let kept = |it: &Connection| Ok(connections::kept(it));
    page.list("connections", walk(&store, theirs(), doc! { "_id": 1 }), kept).await?;
    let (by_time, line) = (doc! { "created_at": 1, "seq": 1 }, |it: &_| wallet::whole(it, key));
    page.list("wallet_entries", walk(&store, theirs(), by_time.clone()), line).await?;
    page.field("subscription", &whole.subscription).await?;
    let billed = doc! { "user_id": id.0, "scope": subscription::SCOPE };
    page.list("bills", walk(&store, billed, by_time), line).await?;
    page.open("referrals").await?;
    let code = |it: &referrals::CodeOf| Ok(referrals::code_view(it));
    page.list("codes", walk(&store, theirs(), doc! { "_id": 1 }), code).await?;
    let own = |it: &referrals::Case| json(&referrals::case_view(it));
    page.list("own", walk(&store, theirs(), doc! { "_id": 1 }), own).await?;
    let (came, brought) = (doc! { "referrer_id": id.0 }, |it: &_| Ok(referrals::brought(it)));
    page.list("brought", walk(&store, came, doc! { "_id": 1 }), brought).await?;
    page.close().await?;
    page.field("registrations", &whole.registrations).await?;
    for (name, subject) in whole.subjects() {
        let (told_of, by_number) = (doc! { "subject": subject }, doc! { "seq": 1 });
        let trail = walk::<Entry>(&store, told_of, by_number);
        page.list(name, trail, |it| told(it, &whole)).await?;
    }
    let seen = doc! { "user_id": id.0, "module": watch::MODULE };
    let seen = walk::<Entry>(&store, seen, doc! { "timestamp": 1, "_id": 1 });
    page.list("security_trail", seen, |it| told(it, &whole)).await?;
    page.close().await?;
    Ok(page.writer)
}

fn customer(whole: &Whole) -> Value {
    let account = |it: &crate::users::Account| {
        json!({ "account_number": it.number.as_str(), "status": it.status,
            "created_at": rfc3339(it.created_at) })
    };
    let accounts: Vec<_> = whole.accounts.iter().map(account).collect();
    let Some(customer) = &whole.customer else { return json!({ "accounts": accounts }) };
    json!({
        "id": customer.id.to_string(), "kind": customer.kind, "status": customer.status,
        "created_at": rfc3339(customer.created_at), "accounts": accounts,
    })
}

impl Whole {
    fn subjects(&self) -> [(&'static str, String); 2] {
        let customer = Subject::Customer(self.user.customer_id);
        let person = Subject::User(self.user.id);
        [("trail", person.to_string()), ("customer_trail", customer.to_string())]
    }
}

fn told(entry: &Entry, whole: &Whole) -> Result<Value, Fault> {
    let mut entry = entry.clone();
    for (path, sides) in entry.changes.iter_mut() {
        if path.starts_with(referrals::RECOGNISED) {
            *sides = Bson::from(trail::MASK);
        }
    }
    json(&trail::whole(entry, whole.key.as_ref()))
}

fn walk<T: Kept>(store: &Store, filter: Fields, sort: Fields) -> Walk<T> {
    let only = Fields::new();
    store.walk(Path { collection: T::COLLECTION, filter, sort, only, batch: BATCH })
}

trait Kept: DeserializeOwned + Send + Sync + Unpin + 'static {
    const COLLECTION: &'static str;
}

impl Kept for Entry {
    const COLLECTION: &'static str = Entry::COLLECTION;
}

impl<R: Record + DeserializeOwned + Send + Sync + Unpin + 'static> Kept for R {
    const COLLECTION: &'static str = R::KIND.collection;
}

fn json(value: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|_| Fault::internal("an export is no JSON"))
}

/// One object after the other, field by field.
struct Page {
    writer: Writer,
    /// What stands before the next field.
    next: &'static str,
}

impl Page {
    async fn name(&mut self, name: &str) -> Result<(), Fault> {
        self.writer.text(std::mem::replace(&mut self.next, ",")).await?;
        self.writer.json(&name).await?;
        self.writer.text(":").await
    }

    async fn field(&mut self, name: &str, value: &impl Serialize) -> Result<(), Fault> {
        self.name(name).await?;
        self.writer.json(value).await
    }

    async fn open(&mut self, name: &str) -> Result<(), Fault> {
        self.name(name).await?;
        self.next = "{";
        Ok(())
    }

    async fn close(&mut self) -> Result<(), Fault> {
        self.next = ",";
        self.writer.text("}").await
    }

    async fn list<T>(
        &mut self,
        name: &str,
        mut walk: Walk<T>,
        shown: impl Fn(&T) -> Result<Value, Fault>,
    ) -> Result<(), Fault> {
        self.name(name).await?;
        let mut before = "[";
        while let Some(batch) = walk.next().await? {
            for item in &batch {
                self.writer.text(std::mem::replace(&mut before, ",")).await?;
                self.writer.json(&shown(item)?).await?;
            }
        }
        self.writer.text(if before == "[" { "[]" } else { "]" }).await
    }
}
