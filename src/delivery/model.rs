//! What of an entry one app may be told: a pure function of the entry's paths and of the view that the
//! app has of the person now. A path is told where it stands in that view, so whatever the view does not
//! show (a permission that is not held, a field that is not visible, another app's data, a secret)
//! cannot be told either, and nobody has to think of it here.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::access::permission::READ;
use crate::apps::App;
use crate::connections::{View, view};
use crate::kernel::ids::{AppId, EntryId, UserId};
use crate::kernel::time::Timestamp;
use crate::users::{
    BUILT_IN, Connection, ConnectionStatus, Modules, SyncSettings, User, UserStatus,
};

/// An entry without its values.
#[derive(Debug, Clone, Deserialize)]
pub struct Head {
    #[serde(rename = "_id")]
    pub id: EntryId,
    pub user_id: Option<UserId>,
    /// The app through which.
    pub app_id: Option<AppId>,
    pub action: String,
    pub timestamp: Timestamp,
    /// Its number among those of its person.
    pub seq: i64,
    pub paths: Vec<String>,
}

/// A person as the app is told of them.
pub struct Person {
    pub connection_status: ConnectionStatus,
    connected_at: Timestamp,
    /// Of a person whose connection has ended nothing is told.
    pub user_status: Option<UserStatus>,
    /// Nothing where the app would be refused the view, too.
    pub view: Option<View>,
    /// Whether what others do to the wallet is told.
    pub sees_others: bool,
    /// Whether lines of the ledger come with it.
    pub wants_lines: bool,
}

/// What of an entry is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub kinds: BTreeSet<String>,
    /// As they stand in the view.
    pub paths: BTreeSet<String>,
    /// What was done, where this app did it or it was done to its connection: else it could tell what
    /// others do.
    pub action: Option<String>,
    pub by_this_app: bool,
}

pub const WALLET: &str = "wallet";
const CONNECTION: &str = "connection";
const PERSON: &str = "person";
const APP: &str = "app";
/// Moves with other fields, and would tell of those that are not visible.
const BOOKKEEPING: &str = "updated_at";
/// What of the shared part `profile_updates` is about.
const OF_PROFILE: &[&str] = &["username", "email", "profile", "preferences"];
/// What of an app's own record changes what it sees of everybody.
const OF_APP: &[&str] = &["permissions", "visible_fields"];

impl Person {
    pub fn of(user: &User, connection: &Connection, app: &App, modules: &Modules) -> Self {
        let settings = connection.sync_settings;
        let is_tied = connection.connection_status == ConnectionStatus::Active;
        let is_open = is_tied && user.status == UserStatus::Active;
        Self {
            connection_status: connection.connection_status,
            connected_at: connection.connected_at,
            user_status: is_tied.then_some(user.status),
            view: is_open.then(|| narrowed(view(user, connection, app, modules), settings)),
            sees_others: user.preferences.privacy.activity_visible,
            wants_lines: settings.transaction_history,
        }
    }
}

/// The view without what the connection does not want to be told of.
pub fn narrowed(mut view: View, settings: SyncSettings) -> View {
    let Some(shared) = view.shared.as_object_mut() else { return view };
    if !settings.profile_updates {
        for field in OF_PROFILE {
            shared.remove(*field);
        }
    }
    let modules = shared.get_mut("modules").and_then(Value::as_object_mut);
    if let Some(modules) = modules.filter(|_| !settings.wallet_updates) {
        modules.remove(WALLET);
    }
    view
}

/// Whether anything of an entry can be told at all, as far as the connection says it: else nobody needs
/// to read the person. It may say yes too often, and never no where `shown` says something.
pub fn may_be_shown(entry: &Head, connection: &Connection, app: &App, modules: &Modules) -> bool {
    let is_tied = connection.connection_status == ConnectionStatus::Active;
    let settings = connection.sync_settings;
    let holds = |permission: &str| {
        let held = |list: &[String]| list.iter().any(|one| one == permission);
        held(&connection.permissions) && held(&app.permissions)
    };
    let is_wanted = |path: &String| {
        let mut steps = path.split('.');
        match (steps.next().unwrap_or_default(), steps.next().unwrap_or_default()) {
            ("apps", of) => of == app.id.as_str(),
            _ if !is_tied => false,
            ("modules", WALLET) if !settings.wallet_updates => false,
            ("modules", name) => {
                modules.iter().any(|module| module.name() == name && holds(module.permission()))
            }
            ("status", _) => true,
            (BOOKKEEPING, _) => false,
            _ => settings.profile_updates && holds(READ) && app.sees(path),
        }
    };
    entry.timestamp >= connection.connected_at && entry.paths.iter().any(is_wanted)
}

/// What of an entry of this person's trail the app is told; nothing, where it can see nothing of it.
pub fn shown(entry: &Head, app: &AppId, person: &Person) -> Option<Shown> {
    // What was before the connection is none of the app's business.
    if entry.timestamp < person.connected_at {
        return None;
    }
    let by_this_app = entry.app_id.as_ref() == Some(app);
    let hides_wallet = !by_this_app && entry.app_id.is_some() && !person.sees_others;
    let (mut kinds, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for path in &entry.paths {
        match Place::of(path, app, person) {
            Some(place) if !(hides_wallet && place.kind == WALLET) => {
                kinds.insert(place.kind);
                paths.extend(place.path);
            }
            _ => {}
        }
    }
    let is_ours = by_this_app || kinds.contains(CONNECTION) || kinds.contains(PERSON);
    let action = is_ours.then(|| entry.action.clone());
    (!kinds.is_empty()).then_some(Shown { kinds, paths, action, by_this_app })
}

/// What of an entry of the app's own trail it is told: what changes its view of everybody.
pub fn shown_of_app(entry: &Head) -> Option<Shown> {
    let told = entry.paths.iter().filter(|path| OF_APP.contains(&path.as_str()));
    let paths: BTreeSet<String> = told.cloned().collect();
    (!paths.is_empty()).then(|| Shown {
        kinds: BTreeSet::from([APP.to_owned()]),
        paths,
        action: Some(entry.action.clone()),
        by_this_app: false,
    })
}

/// Where a path of the trail stands in a view.
struct Place {
    kind: String,
    path: Option<String>,
}

impl Place {
    fn of(path: &str, app: &AppId, person: &Person) -> Option<Self> {
        let steps: Vec<&str> = path.split('.').collect();
        let place = |kind: &str, path| Some(Self { kind: kind.to_owned(), path });
        match steps.as_slice() {
            ["apps", of, rest @ ..] => {
                let rest = if *of == app.as_str() { rest } else { return None };
                match &person.view {
                    Some(view) => {
                        place(CONNECTION, Some(found("app_specific", &view.app_specific, rest, 1)?))
                    }
                    None if rest == ["connection_status"] => place(CONNECTION, None),
                    None => None,
                }
            }
            // Whoever may use the person at all is told by the door, too.
            ["status"] => {
                person.user_status?;
                let view = person.view.as_ref();
                place(PERSON, view.and_then(|view| found("shared", &view.shared, &steps, 1)))
            }
            [BOOKKEEPING] => None,
            ["modules", name, ..] => {
                let kind = if BUILT_IN.contains(name) {
                    (*name).to_owned()
                } else {
                    format!("module:{name}")
                };
                place(&kind, Some(found("shared", &person.view.as_ref()?.shared, &steps, 2)?))
            }
            [group @ ("profile" | "preferences"), ..] => {
                place(group, Some(found("shared", &person.view.as_ref()?.shared, &steps, 2)?))
            }
            _ => place("profile", Some(found("shared", &person.view.as_ref()?.shared, &steps, 1)?)),
        }
    }
}

/// The path as far as it stands in this part of the view; nothing, where that is not far enough to say
/// that the field itself is visible.
fn found(part: &str, view: &Value, steps: &[&str], at_least: usize) -> Option<String> {
    let (mut path, mut here, mut depth) = (part.to_owned(), view, 0);
    for step in steps {
        let Some(below) = here.as_object().and_then(|fields| fields.get(*step)) else { break };
        path = format!("{path}.{step}");
        (here, depth) = (below, depth + 1);
    }
    (depth >= at_least).then_some(path)
}
