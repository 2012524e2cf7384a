//! Changes as values that are already checked, and what they do. Pure.

use bson::{Bson, Document};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::json::Patch;
use crate::kernel::fault::Fault;
use crate::kernel::free::{self, Rules};
use crate::kernel::time::Timestamp;
use crate::users::{
    AppProfile, Connection, Notifications, Preferences, Privacy, Profile, SyncFrequency,
    SyncSettings, User,
};

/// A merge patch of the shared part.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    pub username: Patch<String>,
    pub profile: ProfileChange,
    pub preferences: PreferencesChange,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileChange {
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub first_name: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub last_name: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub phone: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub timezone: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub language: Patch<String>,
}

/// A cleared preference is back at its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PreferencesChange {
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub email: Patch<bool>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub sms: Patch<bool>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub push: Patch<bool>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub profile_visible: Patch<bool>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub activity_visible: Patch<bool>,
}

/// A merge patch of the app's own side of the tie.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionChange {
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub app_username: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub app_display_name: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub app_version: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub nickname: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub avatar_url: Patch<String>,
    /// Free-form; checked once it is merged, because only then is its size known.
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub preferences: Patch<Value>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub custom_fields: Patch<Value>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub sync_frequency: Patch<SyncFrequency>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub wallet_updates: Patch<bool>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub profile_updates: Patch<bool>,
    #[serde(skip_serializing_if = "Patch::is_kept")]
    pub transaction_history: Patch<bool>,
}

impl UserChange {
    /// The paths that the patch names, whether or not they come to differ.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        let Self { username, profile: p, preferences: n } = self;
        let named = [
            ("username", username.is_named()),
            ("profile.first_name", p.first_name.is_named()),
            ("profile.last_name", p.last_name.is_named()),
            ("profile.phone", p.phone.is_named()),
            ("profile.timezone", p.timezone.is_named()),
            ("profile.language", p.language.is_named()),
            ("preferences.notifications", [&n.email, &n.sms, &n.push].iter().any(|b| b.is_named())),
            ("preferences.privacy", n.profile_visible.is_named() || n.activity_visible.is_named()),
        ];
        named.into_iter().filter(|(_, named)| *named).map(|(path, _)| path)
    }

    pub fn applied_to(&self, before: &User, now: Timestamp) -> User {
        let mut after = before.clone();
        self.username.apply(&mut after.username);
        after.profile = self.profile.applied_to(&before.profile);
        after.preferences = self.preferences.applied_to(&before.preferences);
        if after.profile != before.profile {
            after.audit.profile_updated_at = Some(now);
        }
        if after != *before {
            after.updated_at = now;
        }
        after
    }
}

impl ProfileChange {
    pub fn applied_to(&self, before: &Profile) -> Profile {
        let mut after = before.clone();
        self.first_name.apply(&mut after.first_name);
        self.last_name.apply(&mut after.last_name);
        self.phone.apply(&mut after.phone);
        self.timezone.apply(&mut after.timezone);
        self.language.apply(&mut after.language);
        after
    }
}

impl PreferencesChange {
    pub fn applied_to(&self, before: &Preferences) -> Preferences {
        let (notifications, privacy) = (Notifications::default(), Privacy::default());
        let Preferences { notifications: n, privacy: p } = before;
        Preferences {
            notifications: Notifications {
                email: self.email.or(n.email, notifications.email),
                sms: self.sms.or(n.sms, notifications.sms),
                push: self.push.or(n.push, notifications.push),
            },
            privacy: Privacy {
                profile_visible: self
                    .profile_visible
                    .or(p.profile_visible, privacy.profile_visible),
                activity_visible: self
                    .activity_visible
                    .or(p.activity_visible, privacy.activity_visible),
            },
        }
    }
}

impl ConnectionChange {
    pub fn applied_to(&self, before: &Connection, place: &str) -> Result<Connection, Fault> {
        let mut after = before.clone();
        self.app_username.apply(&mut after.app_username);
        self.app_display_name.apply(&mut after.app_display_name);
        self.app_version.apply(&mut after.app_version);
        let AppProfile { nickname, avatar_url, preferences, custom_fields } =
            &mut after.app_profile;
        self.nickname.apply(nickname);
        self.avatar_url.apply(avatar_url);
        merge(&self.preferences, preferences, &format!("{place}/app_profile/preferences"))?;
        merge(&self.custom_fields, custom_fields, &format!("{place}/app_profile/custom_fields"))?;
        after.sync_frequency =
            self.sync_frequency.or(before.sync_frequency, SyncFrequency::default());
        let (settings, standard) = (before.sync_settings, SyncSettings::default());
        after.sync_settings = SyncSettings {
            wallet_updates: self
                .wallet_updates
                .or(settings.wallet_updates, standard.wallet_updates),
            profile_updates: self
                .profile_updates
                .or(settings.profile_updates, standard.profile_updates),
            transaction_history: self
                .transaction_history
                .or(settings.transaction_history, standard.transaction_history),
        };
        Ok(after)
    }
}

/// RFC 7396 on a free-form object, with the result inside its bounds.
fn merge(patch: &Patch<Value>, field: &mut Option<Document>, pointer: &str) -> Result<(), Fault> {
    let Patch::Set(patch) = patch else {
        if *patch == Patch::Clear {
            *field = None;
        }
        return Ok(());
    };
    let current =
        field.take().map_or(Value::Null, |document| free::to_json(&Bson::Document(document)));
    let merged = merged(current, patch);
    let stored = free::from_json(&merged, pointer, &Rules::CUSTOM_FIELDS);
    let stored = stored.map_err(Fault::invalid_fields)?;
    *field = stored.as_document().cloned();
    Ok(())
}

fn merged(current: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut fields = match current {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            let old = fields.remove(key).unwrap_or(Value::Null);
            fields.insert(key.clone(), merged(old, value));
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_does_what_the_rfc_says() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (current, patch, expected) in cases {
            assert_eq!(merged(current, &patch), expected);
        }
    }

    #[test]
    fn a_change_that_waited_says_what_it_said() {
        let change = ConnectionChange {
            app_username: Patch::Set("ada".to_owned()),
            nickname: Patch::Clear,
            custom_fields: Patch::Set(json!({ "level": 5, "gone": null })),
            sync_frequency: Patch::Set(SyncFrequency::Batch),
            wallet_updates: Patch::Set(false),
            ..ConnectionChange::default()
        };
        let text = serde_json::to_string(&change).expect("JSON");
        let again: ConnectionChange = serde_json::from_str(&text).expect("the same type");
        assert_eq!(format!("{again:?}"), format!("{change:?}"));
    }

    #[test]
    fn a_cleared_preference_is_back_at_its_default() {
        let before = Preferences {
            notifications: Notifications { email: false, sms: true, push: false },
            ..Preferences::default()
        };
        let change = PreferencesChange { sms: Patch::Clear, ..PreferencesChange::default() };
        let after = change.applied_to(&before);
        assert!(!after.notifications.sms && !after.notifications.email);
    }
}
