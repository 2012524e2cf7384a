//! Wire types of people and connections, and how they become checked values.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::change::{ConnectionChange, PreferencesChange, ProfileChange, UserChange};
use super::request::{self, Person, Request};
use crate::access::permission::is_permission;
use crate::crypto::password;
use crate::http::checks::Checks;
use crate::http::json::Patch;
use crate::kernel::fault::Fault;
use crate::kernel::free::{self, Rules};
use crate::kernel::ids::{NAME_RULE, Name};
use crate::kernel::phone::Phone;
use crate::kernel::text;
use crate::users::SyncFrequency;

/// A person to be registered.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterBody {
    #[schema(example = "john.doe@example.com")]
    pub email: Option<String>,
    /// Which identifiers a first-party app vouches for: `email`, and `phone` for `profile.phone`.
    /// Each that is listed must be there. Without it the registration waits for the person or an
    /// admin.
    #[schema(example = json!(["email"]))]
    #[serde(default)]
    pub verified: Vec<Verified>,
    /// Not unique; no e-mail address and no phone number.
    #[schema(min_length = 1, max_length = 100)]
    pub username: Option<String>,
    /// 8 to 128 characters, from a first-party app. Ignored for a person who is known.
    #[schema(
        format = "password",
        min_length = 8,
        max_length = 128,
        example = "correct horse battery staple"
    )]
    pub password: Option<String>,
    #[serde(default)]
    pub profile: ProfileBody,
    #[serde(default)]
    pub preferences: PreferencesBody,
    #[serde(default)]
    pub connection: NewConnectionBody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    Email,
    Phone,
}

/// A merge patch of the shared part.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    username: Patch<String>,
    #[serde(default)]
    profile: ProfileBody,
    #[serde(default)]
    preferences: PreferencesBody,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileBody {
    /// At most 100 characters.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    first_name: Patch<String>,
    /// At most 100 characters.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    last_name: Patch<String>,
    /// International, as `+12345678901`; stored as E.164.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    phone: Patch<String>,
    /// IANA, as `America/New_York`.
    #[schema(value_type = Option<String>, min_length = 1)]
    #[serde(default)]
    timezone: Patch<String>,
    /// BCP 47, as `en` or `pt-BR`.
    #[schema(value_type = Option<String>, max_length = 35)]
    #[serde(default)]
    language: Patch<String>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferencesBody {
    #[serde(default)]
    notifications: NotificationsBody,
    #[serde(default)]
    privacy: PrivacyBody,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NotificationsBody {
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    email: Patch<bool>,
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    sms: Patch<bool>,
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    push: Patch<bool>,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PrivacyBody {
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    profile_visible: Patch<bool>,
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    activity_visible: Patch<bool>,
}

/// The app's own side of a new tie.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnectionBody {
    /// Within the app's ceiling; the app's defaults, unless sent.
    permissions: Option<Vec<String>>,
    /// Roles of the app; its default roles, unless sent.
    roles: Option<Vec<String>>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    app_username: Patch<String>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    app_display_name: Patch<String>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    app_version: Patch<String>,
    #[serde(default)]
    app_profile: AppProfileBody,
    #[schema(value_type = Option<FrequencyBody>)]
    #[serde(default)]
    sync_frequency: Patch<FrequencyBody>,
    #[serde(default)]
    sync_settings: SyncSettingsBody,
}

/// A merge patch of the app's own side of a tie.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionPatch {
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    app_username: Patch<String>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    app_display_name: Patch<String>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    app_version: Patch<String>,
    #[serde(default)]
    app_profile: AppProfileBody,
    #[schema(value_type = Option<FrequencyBody>)]
    #[serde(default)]
    sync_frequency: Patch<FrequencyBody>,
    #[serde(default)]
    sync_settings: SyncSettingsBody,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AppProfileBody {
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    #[serde(default)]
    nickname: Patch<String>,
    /// `http` or `https`.
    #[schema(value_type = Option<String>, pattern = r"^\s*[Hh][Tt][Tt][Pp][Ss]?:", max_length = 2048)]
    #[serde(default)]
    avatar_url: Patch<String>,
    /// Free-form: at most 16 KiB, 5 levels, 256 values.
    #[schema(value_type = Option<BTreeMap<String, Value>>, example = json!({"theme": "dark"}))]
    #[serde(default)]
    preferences: Patch<Value>,
    /// Free-form: at most 16 KiB, 5 levels, 256 values.
    #[schema(value_type = Option<BTreeMap<String, Value>>, example = json!({"tier": "gold"}))]
    #[serde(default)]
    custom_fields: Patch<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FrequencyBody {
    Realtime,
    Batch,
    Manual,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SyncSettingsBody {
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    wallet_updates: Patch<bool>,
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    profile_updates: Patch<bool>,
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    transaction_history: Patch<bool>,
}

const NAME_CHARACTERS_MAX: usize = 100;

pub fn person(body: RegisterBody) -> Result<Person, Fault> {
    let mut checks = Checks::default();
    let profile = checks.profile(body.profile);
    let email = body.email.as_deref();
    let (identifiers, standing) =
        request::identifiers(&mut checks, email, &profile.phone, &body.verified);
    let connection = body.connection;
    let password = body.password.and_then(|text| checks.password(&text));
    let request = Request {
        identifiers,
        username: body.username.map(|name| checks.username("/username", &name)),
        password: None,
        profile,
        preferences: body.preferences.into(),
        permissions: connection.permissions.inspect(|held| {
            let accepted = "`read`, `write` or `<module>_access`";
            checks.each("/connection/permissions", held, is_permission, accepted);
        }),
        roles: connection.roles.map(|roles| {
            let fits = |role: &str| Name::parse(role).is_some();
            checks.each("/connection/roles", &roles, fits, NAME_RULE);
            roles.iter().filter_map(|role| Name::parse(role)).collect()
        }),
        connection: checks.connection(
            "/connection",
            ConnectionPatch {
                app_username: connection.app_username,
                app_display_name: connection.app_display_name,
                app_version: connection.app_version,
                app_profile: connection.app_profile,
                sync_frequency: connection.sync_frequency,
                sync_settings: connection.sync_settings,
            },
        ),
    };
    checks.or(Person { request, password, standing })
}

pub fn user_change(body: UserPatch) -> Result<UserChange, Fault> {
    let mut checks = Checks::default();
    let change = UserChange {
        username: body.username.map(|name| checks.username("/username", &name)),
        profile: checks.profile(body.profile),
        preferences: body.preferences.into(),
    };
    checks.or(change)
}

pub fn connection_change(body: ConnectionPatch) -> Result<ConnectionChange, Fault> {
    let mut checks = Checks::default();
    let change = checks.connection("", body);
    checks.or(change)
}

impl Checks {
    fn name(&mut self, pointer: &str, value: Patch<String>) -> Patch<String> {
        value.map(|value| self.parsed(pointer, &value, |v| text::line(v, NAME_CHARACTERS_MAX)))
    }

    /// A name that looks like an address would pass for somebody else's identifier.
    fn username(&mut self, pointer: &str, value: &str) -> String {
        if text::looks_like_address(value) {
            let accepted =
                "a name that looks neither like an e-mail address nor like a phone number";
            self.add(pointer, "looks_like_address", accepted);
        }
        self.parsed(pointer, value, |value| text::line(value, NAME_CHARACTERS_MAX))
    }

    fn password(&mut self, value: &str) -> Option<crate::kernel::secret::Secret<String>> {
        let checked = password::check_policy(value);
        checked.map_err(|accepted| self.add("/password", "not_accepted", accepted)).ok()
    }

    fn profile(&mut self, body: ProfileBody) -> ProfileChange {
        let e164 = |value: &str| Phone::parse(value).map(|phone| phone.as_str().to_owned());
        ProfileChange {
            first_name: self.name("/profile/first_name", body.first_name),
            last_name: self.name("/profile/last_name", body.last_name),
            phone: body.phone.map(|phone| self.parsed("/profile/phone", &phone, e164)),
            timezone: body
                .timezone
                .map(|zone| self.parsed("/profile/timezone", &zone, text::time_zone)),
            language: body
                .language
                .map(|tag| self.parsed("/profile/language", &tag, text::language)),
        }
    }

    fn connection(&mut self, place: &str, body: ConnectionPatch) -> ConnectionChange {
        let profile = body.app_profile;
        let avatar_url = format!("{place}/app_profile/avatar_url");
        let settings = body.sync_settings;
        ConnectionChange {
            app_username: self.name(&format!("{place}/app_username"), body.app_username),
            app_display_name: self
                .name(&format!("{place}/app_display_name"), body.app_display_name),
            app_version: self.name(&format!("{place}/app_version"), body.app_version),
            nickname: self.name(&format!("{place}/app_profile/nickname"), profile.nickname),
            avatar_url: profile.avatar_url.map(|url| self.parsed(&avatar_url, &url, text::web_url)),
            preferences: self
                .object(&format!("{place}/app_profile/preferences"), profile.preferences),
            custom_fields: self
                .object(&format!("{place}/app_profile/custom_fields"), profile.custom_fields),
            sync_frequency: body.sync_frequency.map(|frequency| match frequency {
                FrequencyBody::Realtime => SyncFrequency::Realtime,
                FrequencyBody::Batch => SyncFrequency::Batch,
                FrequencyBody::Manual => SyncFrequency::Manual,
            }),
            wallet_updates: settings.wallet_updates,
            profile_updates: settings.profile_updates,
            transaction_history: settings.transaction_history,
        }
    }

    /// Free-form, but an object, with keys that can be stored.
    fn object(&mut self, pointer: &str, value: Patch<Value>) -> Patch<Value> {
        if let Patch::Set(value) = &value {
            if !value.is_object() {
                self.add(pointer, "wrong_type", "expected an object");
            } else if let Err(errors) = free::from_json(value, pointer, &Rules::CUSTOM_FIELDS) {
                self.extend(errors);
            }
        }
        value
    }
}

impl From<PreferencesBody> for PreferencesChange {
    fn from(body: PreferencesBody) -> Self {
        let PreferencesBody { notifications, privacy } = body;
        Self {
            email: notifications.email,
            sms: notifications.sms,
            push: notifications.push,
            profile_visible: privacy.profile_visible,
            activity_visible: privacy.activity_visible,
        }
    }
}
