//! `operators`: admins and auditors of Purser. Made on the command line.

use bson::doc;
use serde::{Deserialize, Serialize};

use crate::access::grant::{Granted, OnItself};
use crate::access::key;
use crate::access::permission::Permission;
use crate::actions;
use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::crypto::token::{ApiKey, KeyKind};
use crate::kernel::fault::Fault;
use crate::kernel::ids::OperatorId;
use crate::kernel::secret::Secret;
use crate::kernel::time::{self, DAY_MS, Timestamp};
use crate::store::{Hints, Key, Kind, Query, Record, Root, Store};

actions! {
    CreateOperator "operator_created" Permission::Itself => OnItself, writes, "An operator is created on the command line.";
    RevokeOperator "operator_revoked" Permission::Itself => OnItself, writes, "An operator's key is revoked on the command line.";
    ListOperators "operators_listed" Permission::Itself => OnItself, reads, "The operators are listed on the command line.";
}

/// An operator key lives this long at most.
pub const DAYS_MAX: u16 = 90;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    #[serde(rename = "_id")]
    pub id: OperatorId,
    pub name: String,
    pub role: OperatorRole,
    /// Whether this operator may see personal values in the trail.
    pub auditor_pii: bool,
    pub status: OperatorStatus,
    pub key_id: String,
    pub key_mac: String,
    pub key_hint: String,
    pub key_created_at: Timestamp,
    #[serde(default)]
    pub key_last_used_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    /// Addresses and networks that the key may be used from; everywhere, where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_ips: Vec<String>,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    Admin,
    Auditor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorStatus {
    Active,
    Revoked,
}

impl Record for Operator {
    const KIND: &'static Kind = &Kind {
        collection: "operators",
        root: Root::Own,
        subject: |it| it.get_object_id("_id").ok().map(|id| Subject::Operator(OperatorId(id))),
        place: |_| Some(String::new()),
        sensitivity: |path| match path {
            "key_mac" => Sensitivity::Secret,
            _ => Sensitivity::Plain,
        },
        volatile: |path| path == "key_last_used_at",
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.0)
    }
}

pub struct NewOperator {
    pub name: String,
    pub role: OperatorRole,
    pub auditor_pii: bool,
    /// How many days the key lives: 1 to 90.
    pub days: u16,
    pub allowed_ips: Vec<String>,
}

/// Creates the operator; its key is shown this once.
pub async fn create(
    grant: &Granted<CreateOperator>,
    store: &Store,
    new: NewOperator,
) -> Result<(OperatorId, Secret<String>), Fault> {
    let key = ApiKey::generate(KeyKind::Operator, store.chance());
    let now = grant.now();
    let operator = Operator {
        id: OperatorId::new(store.chance(), now),
        name: new.name,
        role: new.role,
        auditor_pii: new.auditor_pii,
        status: OperatorStatus::Active,
        key_id: key.id().to_owned(),
        key_mac: key::mac(store.keyring(), &key),
        key_hint: key.hint(),
        key_created_at: now,
        key_last_used_at: None,
        expires_at: time::plus(now, i64::from(new.days.clamp(1, DAYS_MAX)) * DAY_MS),
        allowed_ips: new.allowed_ips,
        created_at: now,
    };
    let id = operator.id;
    let done = store.unit(grant.warrant(), Hints::none(), move |work| {
        work.create(&operator)?;
        Ok(())
    });
    done.await?;
    Ok((id, key.text()))
}

/// All operators, the newest first: at most a thousand.
pub async fn list(grant: &Granted<ListOperators>, store: &Store) -> Result<Vec<Operator>, Fault> {
    let query = Query::of(Operator::KIND.collection, doc! {}).sort(doc! { "_id": -1 });
    store.list(&grant.pass(), query).await
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, name, role, status, key_hint, expires_at, .. } = self;
        let pii = if self.auditor_pii { "sees personal values" } else { "" };
        let until = time::rfc3339(*expires_at);
        write!(f, "{id}  {role:?}  {status:?}  {key_hint}  until {until}  {name}  {pii}")
    }
}

/// The key is refused from now on.
pub async fn revoke(
    grant: &Granted<RevokeOperator>,
    store: &Store,
    id: OperatorId,
) -> Result<(), Fault> {
    let done =
        store.unit(grant.warrant(), Hints::none().and(&Key::<Operator>::id(id.0)), move |work| {
            let operator = work.get(&Key::<Operator>::id(id.0))?;
            let revoked = Operator { status: OperatorStatus::Revoked, ..operator.clone() };
            work.revise(&operator, &revoked)
        });
    done.await.map(drop)
}
