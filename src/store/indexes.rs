//! Every index, by collection. The first lists are those of the source document; two changes keep
//! their purpose: an audit index is compound with time and id (a page at any depth then costs the
//! same), and a unique index on a field that may be absent is partial by `$exists` (a `$type`
//! filter is not used by an equality query).

use bson::{Bson, Document, doc};

pub(super) struct Index {
    pub keys: Document,
    pub unique: bool,
    /// Only records that have this field are in the index.
    pub where_exists: Option<&'static str>,
    /// Records vanish at the time that the indexed field holds.
    pub ttl: bool,
}

impl Index {
    fn on(keys: Document) -> Self {
        Self { keys, unique: false, where_exists: None, ttl: false }
    }

    fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    fn where_exists(self, field: &'static str) -> Self {
        Self { where_exists: Some(field), ..self }
    }

    fn expiring(field: &str) -> Self {
        Self { ttl: true, ..Self::on(doc! { field: 1 }) }
    }

    /// MongoDB's own convention: `user_id_1_app_id_1`.
    pub fn name(&self) -> String {
        let parts: Vec<_> = self.keys.iter().map(|(key, order)| format!("{key}_{order}")).collect();
        parts.join("_")
    }

    pub fn specification(&self) -> Document {
        let mut index = doc! { "key": self.keys.clone(), "name": self.name() };
        if self.unique {
            index.insert("unique", true);
        }
        if let Some(field) = self.where_exists {
            index.insert("partialFilterExpression", doc! { field: { "$exists": true } });
        }
        if self.ttl {
            index.insert("expireAfterSeconds", 0);
        }
        index
    }

    /// Whether this is what the database has under its name.
    pub fn is(&self, found: &Document) -> bool {
        let wanted = self.specification();
        let same = |field| match (wanted.get(field), found.get(field)) {
            (None, None) => true,
            (Some(wanted), Some(found)) => equal(wanted, found),
            _ => false,
        };
        ["key", "unique", "partialFilterExpression", "expireAfterSeconds"].into_iter().all(same)
    }
}

/// Numbers by value: what was made in a shell is a double.
fn equal(wanted: &Bson, found: &Bson) -> bool {
    match (wanted, found) {
        (Bson::Document(wanted), Bson::Document(found)) => {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(w, f)| w.0 == f.0 && equal(w.1, f.1))
        }
        _ => match (number(wanted), number(found)) {
            (Some(wanted), Some(found)) => wanted.total_cmp(&found).is_eq(),
            _ => wanted == found,
        },
    }
}

fn number(value: &Bson) -> Option<f64> {
    let integer = value.as_i32().or_else(|| i32::try_from(value.as_i64()?).ok());
    integer.map(f64::from).or_else(|| value.as_f64())
}

fn one(field: &str) -> Index {
    Index::on(doc! { field: 1 })
}

/// Newest first below one value of `field`.
fn trail(field: &str) -> Index {
    Index::on(doc! { field: 1, "timestamp": -1, "_id": -1 })
}

pub(super) fn of(collection: &str) -> Vec<Index> {
    match collection {
        "users" => vec![
            one("email").unique().where_exists("email"),
            one("username"),
            one("status"),
            one("created_at"),
            one("updated_at"),
            // An admin's look-up, and a payer's.
            one("account_number"),
            // What the expiry worker looks for.
            one("modules.wallet.due_at").where_exists("modules.wallet.due_at"),
            // What the renewal worker looks for: who owes.
            one("modules.subscription.owes").where_exists("modules.subscription.owes"),
        ],
        "user_apps" => vec![
            one("user_id"),
            one("app_id"),
            Index::on(doc! { "user_id": 1, "app_id": 1 }).unique(),
            one("connection_status"),
            one("connected_at"),
            one("last_sync"),
            one("key_id").unique().where_exists("key_id"),
            one("previous_key.key_id").unique().where_exists("previous_key.key_id"),
            // The app's own list, page by page, and its look-up by name.
            Index::on(doc! { "app_id": 1, "_id": 1 }),
            Index::on(doc! { "app_id": 1, "app_username": 1, "_id": 1 }),
            // Counted from the index alone.
            Index::on(doc! { "app_id": 1, "connection_status": 1, "_id": 1 }),
        ],
        "user_modules" => vec![one("module_name").unique(), one("status"), one("created_at")],
        "user_audit_logs" => vec![
            trail("user_id"),
            trail("action"),
            Index::on(doc! { "timestamp": -1, "_id": -1 }),
            trail("module"),
            trail("app_id"),
            Index::on(doc! { "subject": 1, "seq": 1 }).unique(),
            // What a caller asks by: their own word for it, or the request.
            one("reference").where_exists("reference"),
            one("request_id").where_exists("request_id"),
        ],
        // Each entry has one place, and what has none is found by subject and number.
        "trail_leaves" => {
            vec![one("entry_id").unique(), Index::on(doc! { "subject": 1, "seq": 1 }).unique()]
        }
        // The nearest one before a moment; of one time, the last.
        "trail_snapshots" => vec![Index::on(doc! { "subject": 1, "timestamp": -1, "seq": -1 })],
        "apps" => vec![one("keys.id").unique().where_exists("keys.id"), one("status")],
        "operators" => vec![one("key_id").unique().where_exists("key_id")],
        "identities" | "referral_codes" => vec![one("user_id")],
        "accounts" => vec![one("customer_id")],
        "registrations" => vec![
            Index::expiring("expires_at"),
            Index::on(doc! { "app_id": 1, "fingerprint": 1 }).unique(),
            // What admins list, page by page.
            Index::on(doc! { "status": 1, "_id": 1 }),
            Index::on(doc! { "app_id": 1, "_id": 1 }),
            // Those of one person, for the export.
            one("user_ids"),
            one("user_id").where_exists("user_id"),
        ],
        "wallet_entries" => vec![
            // What an operation is called, once for ever.
            Index::on(doc! { "reference": 1, "scope": 1, "kind": 1 }).unique(),
            // A wallet's entries, page by page; time and number run alike.
            Index::on(doc! { "user_id": 1, "created_at": -1, "seq": -1 }),
            // Those of one app.
            Index::on(doc! { "user_id": 1, "app_id": 1, "created_at": -1, "seq": -1 }),
        ],
        "referrals" => vec![
            // What the worker looks for, the one that was looked at the longest ago first.
            Index::on(doc! { "status": 1, "look_at": 1 }),
            // What admins list, page by page.
            Index::on(doc! { "status": 1, "_id": 1 }),
            one("user_id"),
            // Whom somebody has brought, for the export of a person.
            one("referrer_id"),
        ],
        "plans" => vec![Index::on(doc! { "apps": 1, "status": 1, "_id": 1 })],
        // And whose period is over.
        "dues" => {
            vec![Index::on(doc! { "subscription": 1, "_id": 1 }).where_exists("subscription")]
        }
        "jobs" => vec![one("status"), Index::on(doc! { "module_name": 1, "_id": -1 })],
        "rate_leases" | "idempotency" | "wallet_tallies" => vec![Index::expiring("expires_at")],
        _ => Vec::new(),
    }
}

/// Those that earlier versions have made, and nobody needs any more: collection and name.
pub(super) const GONE: &[(&str, &str)] = &[("users", "modules.subscription.due_at_1")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_follow_the_convention_of_the_database() {
        let names: Vec<_> = of("user_apps").iter().map(Index::name).collect();
        assert_eq!(names[2], "user_id_1_app_id_1");
        assert_eq!(of("user_audit_logs")[2].name(), "timestamp_-1__id_-1");
    }

    #[test]
    fn an_index_is_recognised_by_what_it_does_and_not_by_its_name() {
        let email = one("email").unique().where_exists("email");
        let mut found = email.specification();
        found.extend(doc! { "v": 2, "key": { "email": 1.0 } });
        assert!(email.is(&found));
        assert!(!one("email").is(&found));
        assert!(!email.is(&doc! { "key": { "email": 1 }, "name": "email_1" }));
        assert!(!email.is(&doc! { "key": { "email": 1 }, "name": "email_1", "unique": true }));
        assert!(!trail("app_id").is(&one("app_id").specification()));
        assert!(!trail("a").is(&doc! { "key": { "a": 1, "_id": -1, "timestamp": -1 } }));
    }
}
