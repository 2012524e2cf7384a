//! The rules themselves, over documents as they are stored. Each is asked twice: at the door, and
//! inside the transaction (as a `Proviso`), where it sees what the write path has loaded.

use bson::{Bson, Document};

use super::permission::Permission;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::time::Timestamp;

pub fn user(user: Option<&Document>) -> Result<(), Fault> {
    match status(user, "status") {
        Some("active") => Ok(()),
        Some("suspended") => Err(Fault::of(Code::UserSuspended)),
        Some("inactive") => Err(Fault::of(Code::UserInactive)),
        _ => Err(Fault::of(Code::NotFound)),
    }
}

pub fn app(app: Option<&Document>) -> Result<(), Fault> {
    match status(app, "status") {
        Some("active") => Ok(()),
        Some("suspended") => Err(Fault::of(Code::AppSuspended)),
        _ => Err(unauthenticated()),
    }
}

/// A connection that is there, in use, and belongs to a key that is still its own.
pub fn connection(connection: Option<&Document>, key_id: Option<&str>) -> Result<(), Fault> {
    match status(connection, "connection_status") {
        Some("active") => {}
        Some("inactive") => return Err(Fault::of(Code::ConnectionInactive)),
        Some("suspended") => return Err(Fault::of(Code::ConnectionSuspended)),
        Some("revoked") => return Err(Fault::of(Code::ConnectionRevoked)),
        _ => return Err(Fault::of(Code::NotFound)),
    }
    let current = connection.and_then(|connection| connection.get_str("key_id").ok());
    if key_id.is_some() && key_id != current { Err(unauthenticated()) } else { Ok(()) }
}

/// The permission must be held by the connection, and the app must be allowed to hold it.
pub fn permission(needs: Permission, connection: &Document, app: &Document) -> Result<(), Fault> {
    let Permission::Held(permission) = needs else { return Ok(()) };
    if holds(connection, permission) && holds(app, permission) {
        return Ok(());
    }
    Err(Fault::new(Code::PermissionDenied, format!("This needs the permission `{permission}`.")))
}

pub fn holds(document: &Document, permission: &str) -> bool {
    document
        .get_array("permissions")
        .is_ok_and(|held| held.iter().any(|one| one.as_str() == Some(permission)))
}

/// The app key with this id, if it may be used now.
pub fn app_key<'a>(app: &'a Document, key_id: &str, now: Timestamp) -> Option<&'a Document> {
    let keys = app.get_array("keys").ok()?;
    let key =
        keys.iter().filter_map(Bson::as_document).find(|k| k.get_str("id").ok() == Some(key_id))?;
    let revoked = key.contains_key("revoked_at");
    (!revoked && !expired(key, now)).then_some(key)
}

pub fn operator(
    operator: Option<&Document>,
    needs: Permission,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(operator) = operator else { return Err(unauthenticated()) };
    if operator.get_str("status").ok() != Some("active") || expired(operator, now) {
        return Err(unauthenticated());
    }
    match (needs, operator.get_str("role").unwrap_or_default()) {
        (Permission::Admin | Permission::Audit, "admin") | (Permission::Audit, "auditor") => Ok(()),
        _ => Err(wrong_credential(needs)),
    }
}

fn expired(key: &Document, now: Timestamp) -> bool {
    key.get_datetime("expires_at").is_ok_and(|expires_at| *expires_at <= now)
}

fn status<'a>(document: Option<&'a Document>, field: &str) -> Option<&'a str> {
    document?.get_str(field).ok()
}

pub fn unauthenticated() -> Fault {
    Fault::of(Code::Unauthenticated)
}

pub fn wrong_credential(needs: Permission) -> Fault {
    Fault::new(Code::WrongCredential, format!("This needs {}.", needs.describe()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;
    use proptest::prelude::*;

    #[test]
    fn each_status_of_a_connection_has_its_own_code() {
        let code = |status: &str| {
            connection(Some(&doc! { "connection_status": status }), None).err().map(|f| f.code())
        };
        assert_eq!(code("active"), None);
        assert_eq!(code("inactive"), Some(Code::ConnectionInactive));
        assert_eq!(code("suspended"), Some(Code::ConnectionSuspended));
        assert_eq!(code("revoked"), Some(Code::ConnectionRevoked));
        assert_eq!(code("new_fangled"), Some(Code::NotFound));
    }

    #[test]
    fn a_connection_key_that_was_replaced_is_refused() {
        let stored = doc! { "connection_status": "active", "key_id": "new" };
        assert!(connection(Some(&stored), Some("new")).is_ok());
        assert!(connection(Some(&stored), Some("old")).is_err());
    }

    #[test]
    fn an_expired_or_revoked_app_key_is_not_there() {
        let now = Timestamp::from_millis(1000);
        let app = doc! { "keys": [
            { "id": "good" }, { "id": "gone", "revoked_at": now }, { "id": "late", "expires_at": now },
        ] };
        assert!(app_key(&app, "good", now).is_some());
        assert!(app_key(&app, "gone", now).is_none());
        assert!(app_key(&app, "late", now).is_none());
    }

    fn permissions() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(prop::sample::select(vec!["read", "write", "wallet_access"]), 0..3)
            .prop_map(|held| held.into_iter().map(str::to_owned).collect())
    }

    proptest! {
        #[test]
        fn adding_a_permission_never_removes_an_ability(
            held in permissions(), ceiling in permissions(), added in "read|write|wallet_access",
        ) {
            let allowed = |held: &[String], needs| {
                let connection = doc! { "permissions": held };
                permission(Permission::Held(needs), &connection, &doc! { "permissions": &ceiling }).is_ok()
            };
            let mut more = held.clone();
            more.push(added);
            for needs in ["read", "write", "wallet_access"] {
                prop_assert!(!allowed(&held, needs) || allowed(&more, needs));
            }
        }
    }
}
