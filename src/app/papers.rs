//! The papers that are made from the code, so that they cannot disagree with it.

use std::fmt::Write as _;

use utoipa::OpenApi;
use utoipa::openapi::OpenApiBuilder;
use utoipa::openapi::info::{InfoBuilder, License};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;

use super::health;
use crate::access::action::Described;
use crate::{apps, connections, customers, delivery, http, modules, people, trail};

const DESCRIPTION: &str = "One record per person for all the apps of a company. Send the key as \
    `Authorization: Bearer prs_…` or `X-Api-Key`. Errors are `application/problem+json`.";

/// Who an operation is for: its tag.
const AUDIENCES: &[(&str, &str)] = &[
    ("apps", "For apps: with an app key, or with the connection key of one person."),
    ("admins", "For admins: with an operator key with the role `admin`."),
    ("auditors", "For auditors: with an operator key with the role `auditor` or `admin`."),
    ("anybody", "Without a key."),
];

/// `/openapi.json`.
pub fn openapi() -> String {
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    let info = InfoBuilder::new()
        .title("Purser")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license));
    let mut document = OpenApiBuilder::new().info(info.build()).build();
    document.merge(connections::Paper::openapi());
    document.merge(connections::WaitingPaper::openapi());
    document.merge(people::SignInPaper::openapi());
    document.merge(modules::wallet::Paper::openapi());
    document.merge(modules::subscription::Paper::openapi());
    document.merge(modules::referrals::Paper::openapi());
    document.merge(modules::custom::Paper::openapi());
    document.merge(delivery::Paper::openapi());
    document.merge(apps::Paper::openapi());
    document.merge(apps::OperatorPaper::openapi());
    document.merge(connections::AdminPaper::openapi());
    document.merge(people::AdminPaper::openapi());
    document.merge(customers::Paper::openapi());
    document.merge(modules::wallet::AdminPaper::openapi());
    document.merge(modules::subscription::AdminPaper::openapi());
    document.merge(modules::referrals::AdminPaper::openapi());
    document.merge(modules::registry::Paper::openapi());
    document.merge(modules::registry::jobs::Paper::openapi());
    document.merge(trail::Paper::openapi());
    document.merge(trail::ProofPaper::openapi());
    document.merge(health::Paper::openapi());
    let tag = |(name, text): &(&str, &str)| {
        TagBuilder::new().name(*name).description(Some(*text)).build()
    };
    document.tags = Some(AUDIENCES.iter().map(tag).collect());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("key", SecurityScheme::Http(bearer));
    let header = ApiKey::Header(ApiKeyValue::new("X-Api-Key"));
    components.add_security_scheme("key_in_header", SecurityScheme::ApiKey(header));
    let either = ["key", "key_in_header"];
    let requirement = |name| SecurityRequirement::new(name, Vec::<String>::new());
    document.security = Some(either.map(requirement).to_vec());
    let document = http::openapi::complete(&document);
    serde_json::to_string_pretty(&document).expect("a JSON value is JSON")
}

/// Every action that writes, and so can stand in the trail.
pub fn actions() -> Vec<Described> {
    let mut actions: Vec<_> = [
        connections::WRITING,
        connections::ADMIN_WRITING,
        people::ADMIN_WRITING,
        customers::WRITING,
        connections::WAITING_WRITING,
        people::SIGN_IN_WRITING,
        apps::WRITING,
        apps::OPERATOR_WRITING,
        modules::registry::WRITING,
        modules::registry::jobs::WRITING,
        modules::custom::WRITING,
        modules::wallet::WRITING,
        modules::subscription::WRITING,
        modules::referrals::WRITING,
    ]
    .concat();
    actions.sort_by_key(|action| action.name);
    actions
}

/// `docs/actions.md`.
pub fn actions_paper() -> String {
    let mut text = String::from(
        "# Actions\n\nWhat `action` can be in an entry of the trail (`user_audit_logs`, \
         `GET /v1/audit/logs`).\n\n| action | module | needs | what happened |\n|---|---|---|---|\n",
    );
    for Described { name, module, needs, what } in actions() {
        writeln!(text, "| `{name}` | {module} | {} | {what} |", needs.describe())
            .expect("writing to a String cannot fail");
    }
    text
}

/// `docs/errors.md`.
pub fn errors_paper() -> String {
    http::problem::paper()
}
