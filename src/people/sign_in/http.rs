//! `/v1/auth/login`: the handler.

use actix_web::web::{self, Data, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::actions::SignIn;
use super::command::{self, Credentials, SignedIn};
use crate::access::attempts::Attempts;
use crate::access::gate::Gate;
use crate::connections::{Desk, View, etag};
use crate::http::answer::Answer;
use crate::http::call::{Call, Json};
use crate::http::client::Client;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::kernel::secret::Secret;

pub fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/auth/login").route(web::post().to(login)));
}

#[derive(OpenApi)]
#[openapi(paths(login))]
pub struct Paper;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    /// An e-mail address or an international phone number.
    #[schema(example = "john.doe@example.com")]
    identifier: String,
    #[schema(format = "password", example = "correct horse battery staple")]
    password: String,
}

/// A person has signed in.
#[derive(Serialize, ToSchema)]
struct SignedInView {
    user_id: String,
    user: View,
    /// An admin has set the password: let the person choose another one now.
    password_change_required: bool,
    /// Shown this once, where a waiting registration has become a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_key: Option<String>,
}

/// Sign a person in with their password (first-party apps).
#[utoipa::path(post, path = "/v1/auth/login", operation_id = "sign_in", tag = "apps",
    extensions(("x-needs" = json!(needs::<SignIn>()))), request_body = LoginBody,
    params(("Purser-Client-IP" = Option<String>, Header, description = "The person's address: attempts are counted by it")),
    responses((status = 200, body = SignedInView)))]
async fn login(
    call: Call<SignIn, Json<LoginBody>>,
    client: Client,
    desk: Data<Desk>,
    attempts: Data<Attempts>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    let LoginBody { identifier, password } = call.body.0;
    let password = Secret::new(password);
    let credentials = Credentials { identifier, password, address: client.0 };
    let done = command::sign_in(&call.grant, &desk, &attempts, gate.watch(), credentials).await?;
    let tag = etag(&done.answer.view, desk.store.keyring());
    let seen = gate.seen_after(done.answer.user_id, &done);
    Ok(Answer::ok(&SignedInView::from(done.answer))?.etag(tag).seen(seen))
}

impl From<SignedIn> for SignedInView {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            user_id: signed_in.user_id.to_string(),
            user: signed_in.view,
            password_change_required: signed_in.password_must_change,
            connection_key: signed_in.key,
        }
    }
}
