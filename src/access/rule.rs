//! The rules themselves, over documents as they are stored. Each is asked twice: at the door, and
//! inside the transaction (as a `Proviso`), where it sees what the write path has loaded.

use std::net::IpAddr;

use bson::RawDocument;

use super::address::Network;
use super::fields::Fields;
use super::permission::Permission;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::time::Timestamp;

pub fn user(user: Option<&RawDocument>) -> Result<(), Fault> {
    match user.and_then(|user| user.text("status")) {
        Some("active") => Ok(()),
        Some("suspended") => Err(Fault::of(Code::UserSuspended)),
        Some("inactive") => Err(Fault::of(Code::UserInactive)),
        _ => Err(Fault::of(Code::NotFound)),
    }
}

pub fn app(app: Option<&RawDocument>) -> Result<(), Fault> {
    match app.and_then(|app| app.text("status")) {
        Some("active") => Ok(()),
        Some("suspended") => Err(Fault::of(Code::AppSuspended)),
        _ => Err(unauthenticated()),
    }
}

/// A connection that is there, in use, and belongs to a key that is still its own.
pub fn connection(
    connection: Option<&RawDocument>,
    key_id: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(connection) = connection else { return Err(Fault::of(Code::NotFound)) };
    match connection.text("connection_status") {
        Some("active") => {}
        Some("inactive") => return Err(Fault::of(Code::ConnectionInactive)),
        Some("suspended") => return Err(Fault::of(Code::ConnectionSuspended)),
        Some("revoked") => return Err(Fault::of(Code::ConnectionRevoked)),
        _ => return Err(Fault::of(Code::NotFound)),
    }
    let usable = key_id.is_none_or(|id| connection_key(connection, id, now).is_some());
    if usable { Ok(()) } else { Err(unauthenticated()) }
}

/// The MAC of the connection key with this id, if it may be used now: the current one, or the one
/// before it while the two overlap.
pub fn connection_key<'a>(
    connection: &'a RawDocument,
    key_id: &str,
    now: Timestamp,
) -> Option<&'a str> {
    if connection.text("key_id") == Some(key_id) {
        let ended = connection.time("key_expires_at").is_some_and(|at| at <= now);
        return connection.text("key_mac").filter(|_| !ended);
    }
    let previous = connection.part("previous_key")?;
    let counts = previous.text("key_id") == Some(key_id) && !expired(previous, now);
    previous.text("key_mac").filter(|_| counts)
}

/// The permission must be held by the connection, and the app must be allowed to hold it.
pub fn permission(
    needs: Permission,
    connection: &RawDocument,
    app: &RawDocument,
) -> Result<(), Fault> {
    let Permission::Held(permission) = needs else { return Ok(()) };
    if holds(connection, permission) && holds(app, permission) {
        return Ok(());
    }
    Err(Fault::new(Code::PermissionDenied, format!("This needs the permission `{permission}`.")))
}

/// Of all that are registered.
pub fn module_named<'a>(modules: &'a RawDocument, name: &str) -> Option<&'a RawDocument> {
    let all = modules.get_array("modules").ok()?;
    let all = all.into_iter().filter_map(|module| module.ok()?.as_document());
    // To the end, wherever it stands: how long it takes says nothing.
    all.filter(|module| module.text("module_name") == Some(name)).last()
}

/// Whether an app can tell that there is a module of this name.
pub fn hears_of(app: &RawDocument, modules: &RawDocument, name: &str) -> bool {
    let named = module_named(modules, name).filter(|named| module(Some(*named)).is_ok());
    let permission = named.and_then(|named| named.text("permission"));
    permission.is_some_and(|permission| module_permission(app, permission).is_ok())
}

/// A module that apps can use now.
pub fn module(module: Option<&RawDocument>) -> Result<(), Fault> {
    match module.and_then(|module| module.text("status")) {
        Some("active" | "deprecated") => Ok(()),
        _ => Err(Fault::of(Code::NotFound)),
    }
}

/// Whoever may not use a module cannot tell that there is one.
pub fn module_permission(holder: &RawDocument, permission: &str) -> Result<(), Fault> {
    if holds(holder, permission) { Ok(()) } else { Err(Fault::of(Code::NotFound)) }
}

/// Whether the person is verified as far as a module wants them to be; nobody is, unless it is said.
pub fn verified(user: &RawDocument, level: i64) -> Result<(), Fault> {
    if user.number("kyc_level").unwrap_or(0) >= level {
        return Ok(());
    }
    Err(Fault::new(Code::KycLevelTooLow, format!("This module needs KYC level {level}.")))
}

pub fn holds(document: &RawDocument, permission: &str) -> bool {
    document.lists("permissions", permission)
}

/// The app key with this id, if it may be used now.
pub fn app_key<'a>(app: &'a RawDocument, key_id: &str, now: Timestamp) -> Option<&'a RawDocument> {
    let key = app.element("keys", key_id)?;
    let revoked = key.time("revoked_at").is_some();
    (!revoked && !expired(key, now)).then_some(key)
}

pub fn operator(
    operator: Option<&RawDocument>,
    needs: Permission,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(operator) = operator else { return Err(unauthenticated()) };
    if operator.text("status") != Some("active") || expired(operator, now) {
        return Err(unauthenticated());
    }
    match (needs, operator.text("role").unwrap_or_default()) {
        (Permission::Admin | Permission::Audit, "admin") | (Permission::Audit, "auditor") => Ok(()),
        _ => Err(wrong_credential(needs)),
    }
}

/// A key may be used from everywhere, unless its holder says from where.
pub fn address(holder: &RawDocument, peer: Option<IpAddr>) -> Result<(), Fault> {
    let allowed = holder.texts("allowed_ips");
    let holds =
        |peer| allowed.iter().filter_map(|text| Network::parse(text)).any(|n| n.holds(peer));
    if allowed.is_empty() || peer.is_some_and(holds) {
        return Ok(());
    }
    let from = peer.map_or("an unknown address".to_owned(), |peer| peer.to_canonical().to_string());
    let detail =
        format!("The request came from {from}, which is not in `allowed_ips` of this key.");
    Err(Fault::new(Code::AddressNotAllowed, detail))
}

/// Whether the keys of a connection count at all, by the app's epoch: an admin ends every one of
/// them with a single write, however many people the app has.
pub fn connection_key_in_force(app: &RawDocument, connection: &RawDocument) -> bool {
    connection.number("key_epoch").unwrap_or(0) == connection_key_epoch(app)
}

pub fn connection_key_epoch(app: &RawDocument) -> i64 {
    app.number("connection_key_epoch").unwrap_or(0)
}

fn expired(key: &RawDocument, now: Timestamp) -> bool {
    key.time("expires_at").is_some_and(|expires_at| expires_at <= now)
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
    use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn each_status_of_a_connection_has_its_own_code() {
        let code = |status: &str| {
            connection(Some(&rawdoc! { "connection_status": status }), None, at(0))
                .err()
                .map(|f| f.code())
        };
        assert_eq!(code("active"), None);
        assert_eq!(code("inactive"), Some(Code::ConnectionInactive));
        assert_eq!(code("suspended"), Some(Code::ConnectionSuspended));
        assert_eq!(code("revoked"), Some(Code::ConnectionRevoked));
        assert_eq!(code("new_fangled"), Some(Code::NotFound));
    }

    #[test]
    fn a_connection_key_that_was_replaced_is_refused() {
        let stored = rawdoc! { "connection_status": "active", "key_id": "new", "key_mac": "m" };
        assert!(connection(Some(&stored), Some("new"), at(0)).is_ok());
        assert!(connection(Some(&stored), Some("old"), at(0)).is_err());
    }

    #[test]
    fn the_key_before_counts_until_its_overlap_ends_and_the_key_until_it_expires() {
        let stored = rawdoc! {
            "key_id": "new", "key_mac": "m2", "key_expires_at": at(2000),
            "previous_key": { "key_id": "old", "key_mac": "m1", "expires_at": at(1000) },
        };
        for (id, now, mac) in [
            ("old", 999, Some("m1")),
            ("old", 1000, None),
            ("new", 1999, Some("m2")),
            ("new", 2000, None),
        ] {
            assert_eq!(connection_key(&stored, id, at(now)), mac, "{id} at {now}");
        }
    }

    #[test]
    fn a_key_may_be_used_from_its_addresses_only_and_from_everywhere_without_any() {
        let peer = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let holder = rawdoc! { "allowed_ips": ["192.0.2.0/24", "2001:db8::1"] };
        assert!(address(&holder, peer("::ffff:192.0.2.9")).is_ok());
        let refused = address(&holder, peer("198.51.100.1")).expect_err("elsewhere");
        assert!(refused.detail().contains("198.51.100.1"));
        assert!(address(&holder, None).is_err() && address(&rawdoc! {}, None).is_ok());
    }

    #[test]
    fn an_expired_or_revoked_app_key_is_not_there() {
        let now = at(1000);
        let app = rawdoc! { "keys": [
            { "id": "good" }, { "id": "gone", "revoked_at": now }, { "id": "late", "expires_at": now },
        ] };
        assert!(app_key(&app, "good", now).is_some());
        assert!(app_key(&app, "gone", now).is_none());
        assert!(app_key(&app, "late", now).is_none());
    }

    #[test]
    fn a_connection_key_counts_only_in_the_epoch_that_it_was_made_in() {
        let in_force = |app: RawDocumentBuf, connection: RawDocumentBuf| {
            connection_key_in_force(&app, &connection)
        };
        assert!(in_force(rawdoc! {}, rawdoc! {}));
        assert!(in_force(
            rawdoc! { "connection_key_epoch": 2_i64 },
            rawdoc! { "key_epoch": 2_i64 }
        ));
        assert!(!in_force(rawdoc! { "connection_key_epoch": 1_i64 }, rawdoc! {}));
        assert!(!in_force(
            rawdoc! { "connection_key_epoch": 2_i64 },
            rawdoc! { "key_epoch": 1_i64 }
        ));
        assert!(!in_force(rawdoc! {}, rawdoc! { "key_epoch": 1_i64 }));
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
                let of = |permissions: &[String]| {
                    let texts: RawArrayBuf = permissions.iter().map(String::as_str).collect();
                    rawdoc! { "permissions": texts }
                };
                permission(Permission::Held(needs), &of(held), &of(&ceiling)).is_ok()
            };
            let mut more = held.clone();
            more.push(added);
            for needs in ["read", "write", "wallet_access"] {
                prop_assert!(!allowed(&held, needs) || allowed(&more, needs));
            }
        }
    }
}
