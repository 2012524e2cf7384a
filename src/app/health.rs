//! What a load balancer and a curious client ask without a key.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::docs::Docs;
use crate::http::answer::Answer;
use crate::http::anybody::Anybody;
use crate::http::problem::Problem;
use crate::store::Store;

#[derive(OpenApi)]
#[openapi(paths(healthz, readyz, openapi))]
pub struct Paper;

#[derive(Serialize, ToSchema)]
struct Status {
    #[schema(example = "ok")]
    status: &'static str,
}

const PING: Duration = Duration::from_secs(1);

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "anybody", security(()),
    responses((status = 200, body = Status)))]
pub async fn healthz() -> Result<Answer, Problem> {
    Ok(Answer::ok(&Status { status: "ok" })?)
}

/// The process can serve: the database answers.
#[utoipa::path(get, path = "/readyz", tag = "anybody", security(()),
    responses((status = 200, body = Status)))]
pub async fn readyz(store: Data<Store>) -> Result<Answer, Problem> {
    store.ping(PING).await?;
    Ok(Answer::ok(&Status { status: "ready" })?)
}

/// This document; `/docs` shows it as a page.
#[utoipa::path(get, path = "/openapi.json", tag = "anybody", security(()),
    responses((status = 200, body = Object)))]
pub async fn openapi(_: Anybody, docs: Data<Docs>) -> HttpResponse {
    docs.document()
}
