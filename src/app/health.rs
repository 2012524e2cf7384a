//! What a load balancer and a curious client ask without a key.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use serde::Serialize;

use super::papers;
use crate::http::answer::Answer;
use crate::http::problem::Problem;
use crate::store::Store;

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

const PING: Duration = Duration::from_millis(1000);

/// The process lives.
pub async fn healthz() -> Result<Answer, Problem> {
    Ok(Answer::ok(&Status { status: "ok" })?)
}

/// The process can serve: the database answers.
pub async fn readyz(store: Data<Store>) -> Result<Answer, Problem> {
    store.ping(PING).await?;
    Ok(Answer::ok(&Status { status: "ready" })?)
}

pub async fn openapi() -> HttpResponse {
    let document = papers::openapi();
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(document)
}
