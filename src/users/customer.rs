//! `customers` and `accounts`: the legal entity that a user acts for, and the numbered account it
//! owns. Registration makes a personal customer with one account.

use serde::{Deserialize, Serialize};

use crate::audit::actor::Subject;
use crate::audit::seal::Sensitivity;
use crate::kernel::ids::{AccountNumber, CustomerId};
use crate::kernel::time::Timestamp;
use crate::store::{Key, Kind, NO_VOLATILE, Record, Root};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    #[serde(rename = "_id")]
    pub id: CustomerId,
    pub kind: String,
    pub status: String,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    #[serde(rename = "_id")]
    pub number: AccountNumber,
    pub customer_id: CustomerId,
    pub status: String,
    pub created_at: Timestamp,
}

impl Customer {
    pub fn personal(id: CustomerId, now: Timestamp) -> Self {
        Self { id, kind: "personal".into(), status: "active".into(), created_at: now }
    }
}

impl Account {
    pub fn open(number: AccountNumber, customer_id: CustomerId, now: Timestamp) -> Self {
        Self { number, customer_id, status: "active".into(), created_at: now }
    }
}

impl Record for Customer {
    const KIND: &'static Kind = &Kind {
        collection: "customers",
        root: Root::Own,
        subject: |it| it.get_object_id("_id").ok().map(|id| Subject::Customer(CustomerId(id))),
        place: |_| Some(String::new()),
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.id.0)
    }
}

impl Record for Account {
    const KIND: &'static Kind = &Kind {
        collection: "accounts",
        root: Root::Of { collection: "customers", field: "customer_id" },
        subject: |it| {
            it.get_object_id("customer_id").ok().map(|id| Subject::Customer(CustomerId(id)))
        },
        place: |account| account.get_str("_id").ok().map(|number| format!("accounts.{number}")),
        sensitivity: |_| Sensitivity::Plain,
        volatile: NO_VOLATILE,
        alternates: &[],
    };

    fn key(&self) -> Key<Self> {
        Key::id(self.number.as_str())
    }
}
