//! The view as the OpenAPI document describes it.
//!
//! An answer is made as a JSON object, field by field, because visible fields and permissions leave
//! out what an app may not see: so of the shared part nothing but `id` and `modules` is certain.
//! These types are never made; a test compares their fields with those of a whole answer.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::keys::PreviousKeyView;

/// What all apps share of the person. What this app may not see is not there.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
pub struct SharedView {
    id: String,
    #[schema(required = false)]
    account_number: String,
    /// `null` until an address is proven or vouched for.
    email: Option<String>,
    username: Option<String>,
    #[schema(required = false)]
    status: UserStatusView,
    #[schema(required = false)]
    created_at: String,
    /// Moves with the shared part only.
    #[schema(required = false)]
    updated_at: String,
    #[schema(required = false)]
    profile: ProfileView,
    #[schema(required = false)]
    preferences: PreferencesView,
    /// By name, those that the connection may see: `wallet`, `subscription`, `referrals` and
    /// whatever else is registered.
    modules: ModulesView,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum UserStatusView {
    Active,
    Inactive,
    Suspended,
    Merged,
    Erased,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct ProfileView {
    first_name: Option<String>,
    last_name: Option<String>,
    /// E.164.
    phone: Option<String>,
    timezone: Option<String>,
    language: Option<String>,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct PreferencesView {
    #[schema(required = false)]
    notifications: NotificationsView,
    #[schema(required = false)]
    privacy: PrivacyView,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct NotificationsView {
    email: bool,
    sms: bool,
    push: bool,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct PrivacyView {
    profile_visible: bool,
    activity_visible: bool,
}

/// The built-in modules are described; an admin can register others.
struct ModulesView;

impl PartialSchema for ModulesView {
    fn schema() -> RefOr<Schema> {
        let module = |name: std::borrow::Cow<'static, str>| Ref::from_schema_name(name);
        ObjectBuilder::new()
            .property("wallet", module(WalletView::name()))
            .property("subscription", module(SubscriptionView::name()))
            .property("referrals", module(ReferralsView::name()))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for ModulesView {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((WalletView::name().into_owned(), WalletView::schema()));
        schemas.push((SubscriptionView::name().into_owned(), SubscriptionView::schema()));
        schemas.push((ReferralsView::name().into_owned(), ReferralsView::schema()));
    }
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct WalletView {
    enabled: bool,
    /// Whole credits.
    #[schema(minimum = 0)]
    balance: i64,
    #[schema(example = "credits")]
    currency: String,
    last_updated: String,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct SubscriptionView {
    enabled: bool,
    #[schema(required = true, example = "pro")]
    plan: Option<String>,
    #[schema(required = true)]
    expires_at: Option<String>,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct ReferralsView {
    enabled: bool,
    #[schema(required = true, example = "JOHN1234")]
    referral_code: Option<String>,
    #[schema(minimum = 0)]
    referrals_count: i64,
}

/// What this app keeps of the person, and how the two are tied. No other app sees it.
#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
pub struct AppSpecificView {
    user_id: String,
    app_id: String,
    app_name: String,
    #[schema(required = true)]
    app_version: Option<String>,
    #[schema(required = true)]
    app_username: Option<String>,
    #[schema(required = true)]
    app_display_name: Option<String>,
    app_profile: AppProfileView,
    connection_id: String,
    connection_status: ConnectionStatusView,
    permissions: Vec<String>,
    roles: Vec<String>,
    /// The beginning of the connection key, to recognise it by.
    #[schema(required = true)]
    key_hint: Option<String>,
    #[schema(required = true)]
    key_created_at: Option<String>,
    #[schema(required = true)]
    key_expires_at: Option<String>,
    /// The key before this one, while it still counts.
    #[schema(required = true)]
    previous_key: Option<PreviousKeyView>,
    /// Where the key may be used from; everywhere, where it is empty.
    allowed_ips: Vec<String>,
    sync_frequency: SyncFrequencyView,
    sync_settings: SyncSettingsView,
    connected_at: String,
    #[schema(required = true)]
    last_sync: Option<String>,
    rate_limits: RateLimitsView,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct AppProfileView {
    #[schema(required = true)]
    nickname: Option<String>,
    #[schema(required = true)]
    avatar_url: Option<String>,
    /// Free-form.
    #[schema(required = true, value_type = Option<BTreeMap<String, Value>>, example = json!({"theme": "dark"}))]
    preferences: Option<BTreeMap<String, Value>>,
    /// Free-form.
    #[schema(required = true, value_type = Option<BTreeMap<String, Value>>, example = json!({"tier": "gold"}))]
    custom_fields: Option<BTreeMap<String, Value>>,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ConnectionStatusView {
    Active,
    Inactive,
    Suspended,
    Revoked,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum SyncFrequencyView {
    Realtime,
    Batch,
    Manual,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct SyncSettingsView {
    wallet_updates: bool,
    profile_updates: bool,
    transaction_history: bool,
}

#[expect(dead_code, reason = "only described")]
#[derive(ToSchema)]
struct RateLimitsView {
    #[schema(minimum = 1, example = 100)]
    requests_per_minute: i64,
    #[schema(minimum = 1, example = 1000)]
    requests_per_hour: i64,
}
