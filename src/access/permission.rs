//! What an app may do with a user's record.

use bson::RawDocument;

use super::fields::Fields;

/// What an action needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// An active connection, whatever it permits: the app's own side of the tie.
    Connected,
    /// A permission that the connection must hold within the app's ceiling.
    Held(&'static str),
    /// The permission of the registered module that the path names, of which it knows.
    OfModule,
    /// The app itself, by its app key.
    App,
    /// An active connection, by the app key: the connection's own key may not.
    ByApp,
    /// An operator with the role `admin`.
    Admin,
    /// An operator with the role `auditor` or `admin`.
    Audit,
    /// Purser itself, by its command line or one of its jobs.
    Itself,
}

pub const READ: &str = "read";
pub const WRITE: &str = "write";

impl Permission {
    pub fn describe(self) -> &'static str {
        match self {
            Self::Connected => "an active connection",
            Self::Held(permission) => permission,
            Self::OfModule => "the module's permission",
            Self::App | Self::ByApp => "an app key",
            Self::Admin => "an operator key with the role admin",
            Self::Audit => "an operator key with the role auditor or admin",
            Self::Itself => "Purser itself",
        }
    }
}

/// Whether `text` can be a permission: `read`, `write`, or `<module>_access`.
pub fn is_permission(text: &str) -> bool {
    let module = text.strip_suffix("_access");
    matches!(text, READ | WRITE)
        || module.is_some_and(|name| crate::kernel::ids::Name::parse(name).is_some())
}

/// The first of `permissions` that nothing is behind, by its place: neither `read` nor `write`, nor
/// that of a registered module.
pub fn unknown(permissions: &[String], modules: &RawDocument) -> Option<usize> {
    let lines = modules.get_array("modules").into_iter().flatten();
    let lines = lines.filter_map(|line| line.ok()?.as_document());
    let known: Vec<_> = lines
        .filter(|line| line.text("status") != Some("deleted"))
        .filter_map(|line| line.text("permission"))
        .chain([READ, WRITE])
        .collect();
    permissions.iter().position(|permission| !known.contains(&permission.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_read_write_and_access_to_a_named_module() {
        assert!(["read", "write", "wallet_access"].into_iter().all(is_permission));
        assert!(["admin", "_access", "Wallet_access", "", "*"].iter().all(|p| !is_permission(p)));
    }
}
