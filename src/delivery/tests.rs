//! What an app is told, whatever it may, wants and sees: against a naive reading of the rules that knows
//! nothing of views.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Document, doc};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::model::{Head, Person, Shown, may_be_shown, narrowed, shown, shown_of_app};
use crate::access::limits::RateLimits;
use crate::apps::App;
use crate::connections::view;
use crate::kernel::ids::{AccountNumber, AppId, ConnectionId, CustomerId, EntryId, Name, UserId};
use crate::kernel::time::Timestamp;
use crate::users::{
    AppProfile, Audit, Connection, ConnectionStatus, Module, Modules, Preferences, Profile,
    SyncFrequency, SyncSettings, User, UserStatus,
};

/// A module that shows what of its data does not begin with `_`, as those of the house do.
struct Stub(&'static str, &'static str);

impl Module for Stub {
    fn name(&self) -> &str {
        self.0
    }

    fn permission(&self) -> &str {
        self.1
    }

    fn defaults(&self, _: Timestamp) -> Option<Document> {
        None
    }

    fn view(&self, data: Option<&Document>) -> Option<Value> {
        data.map(|_| json!({ "enabled": true, "balance": 5, "points": 1 }))
    }
}

fn modules() -> Modules {
    let stub = |name, permission| Arc::new(Stub(name, permission)) as Arc<dyn Module>;
    Modules::new(vec![stub("wallet", "wallet_access"), stub("loyalty", "loyalty_access")])
}

const PERMISSIONS: &[&str] = &["read", "write", "wallet_access", "loyalty_access"];
const VISIBLE: &[&str] =
    &["username", "profile.first_name", "profile", "preferences", "updated_at"];
const PATHS: &[&str] = &[
    "username",
    "email",
    "password",
    "status",
    "status_reason",
    "updated_at",
    "kyc_level",
    "audit.login_count",
    "profile.first_name",
    "profile.phone",
    "preferences.notifications.sms",
    "preferences.privacy.activity_visible",
    "modules.wallet.balance",
    "modules.wallet.lots.65f1a2b3c4d5e6f7a8b9c0d1.remaining",
    "modules.wallet",
    "modules.loyalty.points",
    "modules.loyalty._v",
    "modules.hidden.points",
    "apps.shop.app_profile.nickname",
    "apps.shop.permissions",
    "apps.shop.connection_status",
    "apps.shop.key_mac",
    "apps.shop.api_key",
    "apps.shop_two.permissions",
    "apps.club.app_profile.nickname",
    "apps.club.connection_status",
    "identities.65f1a2b3c4d5e6f7a8b9c0d1.value",
    "data_key.sealed",
];
const CONNECTED_AT: i64 = 1000;

/// One entry, and everything that what is told of it depends on.
#[derive(Debug, Clone)]
struct Case {
    held: Vec<&'static str>,
    ceiling: Vec<&'static str>,
    /// `None`: all of the shared part, as a first party's app; else a third party's.
    visible: Option<Vec<&'static str>>,
    settings: SyncSettings,
    activity_visible: bool,
    tie: ConnectionStatus,
    status: UserStatus,
    by: Option<&'static str>,
    at: i64,
    paths: Vec<&'static str>,
}

fn cases() -> impl Strategy<Value = Case> {
    let permissions = || prop_oneof![2 => Just(PERMISSIONS.to_vec()), 1 => subsequence(PERMISSIONS.to_vec(), 0..=4)];
    let visible = proptest::option::of(subsequence(VISIBLE.to_vec(), 0..=5));
    let settings =
        (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(wallet, profile, all)| {
            SyncSettings {
                wallet_updates: wallet,
                profile_updates: profile,
                transaction_history: all,
            }
        });
    let tie = prop_oneof![
        6 => Just(ConnectionStatus::Active),
        1 => select(vec![
            ConnectionStatus::Inactive, ConnectionStatus::Suspended, ConnectionStatus::Revoked,
        ]),
    ];
    let status = prop_oneof![
        6 => Just(UserStatus::Active),
        1 => select(vec![UserStatus::Inactive, UserStatus::Suspended, UserStatus::Erased]),
    ];
    let by = select(vec![None, Some("shop"), Some("club")]);
    let at = select(vec![CONNECTED_AT - 1, CONNECTED_AT, CONNECTED_AT + 1, CONNECTED_AT + 1]);
    let paths = subsequence(PATHS.to_vec(), 1..=6);
    let who = (permissions(), permissions(), visible, settings, any::<bool>());
    (who, tie, status, by, at, paths).prop_map(|(who, tie, status, by, at, paths)| {
        let (held, ceiling, visible, settings, activity_visible) = who;
        Case { held, ceiling, visible, settings, activity_visible, tie, status, by, at, paths }
    })
}

impl Case {
    fn told(&self) -> Option<Shown> {
        let person = Person::of(&self.user(), &self.connection(), &self.app(), &modules());
        shown(&self.head(), &shop(), &person)
    }

    fn kinds(&self) -> BTreeSet<String> {
        self.told().map(|told| told.kinds).unwrap_or_default()
    }

    fn head(&self) -> Head {
        Head {
            id: EntryId(id(1)),
            user_id: Some(UserId(id(2))),
            app_id: self.by.and_then(Name::parse),
            action: "something_done".to_owned(),
            timestamp: Timestamp::from_millis(self.at),
            seq: 7,
            paths: self.paths.iter().map(|path| (*path).to_owned()).collect(),
        }
    }

    fn app(&self) -> App {
        let limits = doc! { "requests_per_minute": 100_i64, "requests_per_hour": 1000_i64 };
        let epoch = Timestamp::from_millis(0);
        let record = doc! {
            "_id": "shop", "name": "The shop", "description": "", "status": "active",
            "trust": if self.visible.is_some() { "third_party" } else { "first_party" },
            "permissions": self.ceiling.clone(), "default_permissions": [],
            "visible_fields": self.visible.clone(), "may_issue": { "categories": [], "per_day": 0_i64 },
            "roles": [], "rate_limits": limits, "keys": [], "created_at": epoch, "updated_at": epoch,
        };
        bson::deserialize_from_document(record).expect("an app")
    }

    fn user(&self) -> User {
        let mut preferences = Preferences::default();
        preferences.privacy.activity_visible = self.activity_visible;
        let epoch = Timestamp::from_millis(0);
        User {
            id: UserId(id(2)),
            email: Some("ada@example.com".to_owned()),
            username: Some("ada".to_owned()),
            password: None,
            password_must_change: false,
            status: self.status,
            status_reason: None,
            created_at: epoch,
            updated_at: epoch,
            exported_at: None,
            profile: Profile::default(),
            preferences,
            modules: doc! { "wallet": {}, "loyalty": {}, "hidden": {} },
            audit: Audit {
                last_login: None,
                login_count: 0,
                password_changed_at: None,
                profile_updated_at: None,
            },
            kyc_level: 0,
            customer_id: CustomerId(id(3)),
            account_number: AccountNumber::random(&crate::kernel::chance::Chance::from_seed(1)),
            revision: 1,
        }
    }

    fn connection(&self) -> Connection {
        Connection {
            id: ConnectionId(id(4)),
            user_id: UserId(id(2)),
            app_id: shop(),
            app_name: "The shop".to_owned(),
            app_version: None,
            app_username: None,
            app_display_name: None,
            app_profile: AppProfile::default(),
            connection_status: self.tie,
            permissions: self.held.iter().map(|one| (*one).to_owned()).collect(),
            roles: Vec::new(),
            api_key: None,
            key_id: None,
            key_mac: None,
            key_hint: None,
            key_created_at: None,
            key_last_used_at: None,
            key_expires_at: None,
            key_revealed_at: None,
            key_epoch: None,
            previous_key: None,
            allowed_ips: Vec::new(),
            sync_frequency: SyncFrequency::default(),
            connected_at: Timestamp::from_millis(CONNECTED_AT),
            last_sync: None,
            sync_settings: self.settings,
            rate_limits: RateLimits::default(),
            inactive_at: None,
        }
    }

    /// The naive reading: the rules as they are told to people.
    fn expected(&self) -> BTreeSet<String> {
        let ended = self.tie != ConnectionStatus::Active;
        let refused = ended || self.status != UserStatus::Active;
        if self.at < CONNECTED_AT {
            return BTreeSet::new();
        }
        let expected = self.paths.iter().filter_map(|path| match *path {
            "apps.shop.connection_status" => Some("connection"),
            _ if ended => None,
            "status" => Some("person"),
            _ if refused => None,
            "apps.shop.app_profile.nickname" | "apps.shop.permissions" => Some("connection"),
            "username" => self.shared("username").then_some("profile"),
            "email" => self.shared("email").then_some("profile"),
            "profile.first_name" | "profile.phone" => self.shared(path).then_some("profile"),
            "preferences.notifications.sms" => {
                self.shared("preferences.notifications").then_some("preferences")
            }
            "preferences.privacy.activity_visible" => {
                self.shared("preferences.privacy").then_some("preferences")
            }
            path if path.starts_with("modules.wallet") => self.wallet().then_some("wallet"),
            path if path.starts_with("modules.loyalty") => {
                self.holds("loyalty_access").then_some("module:loyalty")
            }
            _ => None,
        });
        expected.map(str::to_owned).collect()
    }

    fn holds(&self, permission: &str) -> bool {
        self.held.contains(&permission) && self.ceiling.contains(&permission)
    }

    fn shared(&self, field: &str) -> bool {
        let covers = |seen: &&str| field == *seen || field.starts_with(&format!("{seen}."));
        let visible = self.visible.as_ref().is_none_or(|fields| fields.iter().any(covers));
        self.holds("read") && visible && self.settings.profile_updates
    }

    fn wallet(&self) -> bool {
        let hidden = self.by == Some("club") && !self.activity_visible;
        self.holds("wallet_access") && self.settings.wallet_updates && !hidden
    }
}

fn shop() -> AppId {
    Name::parse("shop").expect("a name")
}

fn id(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 12])
}

/// Whether a view has something at this path.
fn has(view: &Value, path: &str) -> bool {
    path.split('.').try_fold(view, |here, step| here.get(step)).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn without_wallet_access_or_wallet_updates_no_event_of_the_wallet_is_told(case in cases()) {
        let may = case.holds("wallet_access") && case.settings.wallet_updates;
        let told = case.told();
        let kinds = told.as_ref().is_some_and(|told| told.kinds.contains("wallet"));
        let paths = told.iter().flat_map(|told| &told.paths).any(|path| path.contains("wallet"));
        prop_assert!(may || !(kinds || paths));
        // What is shown beside the items does not tell either.
        let view = view(&case.user(), &case.connection(), &case.app(), &modules());
        let beside = narrowed(view, case.settings).shared["modules"]["wallet"].clone();
        prop_assert_eq!(beside.is_null(), !may);
    }

    #[test]
    fn what_is_told_is_what_the_rules_say(case in cases()) {
        prop_assert_eq!(case.kinds(), case.expected());
    }

    #[test]
    fn whoever_is_not_read_would_have_been_told_nothing(case in cases()) {
        let may = may_be_shown(&case.head(), &case.connection(), &case.app(), &modules());
        prop_assert!(may || case.told().is_none());
    }

    #[test]
    fn every_path_that_is_told_stands_in_the_view_that_the_app_has(case in cases()) {
        let view = view(&case.user(), &case.connection(), &case.app(), &modules());
        let view = json!({ "shared": view.shared, "app_specific": view.app_specific });
        for path in case.told().iter().flat_map(|told| &told.paths) {
            prop_assert!(has(&view, path), "{path} is not in {view}");
        }
    }

    #[test]
    fn settings_only_take_away(case in cases()) {
        let all = Case { settings: SyncSettings::default(), ..case.clone() };
        prop_assert!(case.kinds().is_subset(&all.kinds()));
        let paths = |case: &Case| case.told().map(|told| told.paths).unwrap_or_default();
        prop_assert!(paths(&case).is_subset(&paths(&all)));
    }

    #[test]
    fn one_permission_more_takes_nothing_away(case in cases(), more in select(PERMISSIONS.to_vec())) {
        let mut other = case.clone();
        other.held.push(more);
        prop_assert!(case.kinds().is_subset(&other.kinds()));
    }

    #[test]
    fn what_others_did_is_not_named_unless_it_was_done_to_this_apps_connection(case in cases()) {
        let Some(told) = case.told() else { return Ok(()) };
        prop_assert_eq!(told.by_this_app, case.by == Some("shop"));
        let ours = told.kinds.contains("connection") || told.kinds.contains("person");
        prop_assert_eq!(told.action.is_some(), told.by_this_app || ours);
    }
}

#[test]
fn of_the_app_itself_it_is_told_what_changes_its_view_of_everybody() {
    let case = Case {
        held: Vec::new(),
        ceiling: Vec::new(),
        visible: None,
        settings: SyncSettings::default(),
        activity_visible: true,
        tie: ConnectionStatus::Active,
        status: UserStatus::Active,
        by: None,
        at: 0,
        paths: vec!["permissions", "name", "keys.abc.mac"],
    };
    let told = shown_of_app(&case.head()).expect("something");
    assert_eq!(told.paths, BTreeSet::from(["permissions".to_owned()]));
    let other = Case { paths: vec!["name", "keys.abc.mac"], ..case };
    assert_eq!(shown_of_app(&other.head()), None);
}
