//! The papers that are made from the code, so that they cannot disagree with it.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::access::action::Described;
use crate::{apps, connections, http, modules, trail};

/// `/openapi.json`.
pub fn openapi() -> String {
    let mut document = utoipa::openapi::OpenApiBuilder::new().build();
    document.info.title = "Purser".to_owned();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(
        "One record per person for all the apps of a company. Send the key as \
         `Authorization: Bearer prs_…` or `X-Api-Key`. Errors are `application/problem+json`."
            .to_owned(),
    );
    document.merge(connections::Paper::openapi());
    document.merge(apps::Paper::openapi());
    document.merge(trail::Paper::openapi());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("key", SecurityScheme::Http(bearer));
    let requirement =
        utoipa::openapi::security::SecurityRequirement::new("key", Vec::<String>::new());
    document.security = Some(vec![requirement]);
    document.to_pretty_json().expect("an OpenAPI document is JSON")
}

/// Every action that writes, and so can stand in the trail.
pub fn actions() -> Vec<Described> {
    let mut actions: Vec<_> =
        [connections::WRITING, apps::WRITING, apps::OPERATOR_WRITING, modules::registry::WRITING]
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
        text += &format!("| `{name}` | {module} | {} | {what} |\n", needs.describe());
    }
    text
}

/// `docs/errors.md`.
pub fn errors_paper() -> String {
    http::problem::paper()
}
