//! `/v1/audit/export`: the handler, and for whom it reads.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, ServiceConfig};
use utoipa::OpenApi;

use super::sending::sent;
use super::{Export, Exports, Leave, Reader, Wanted};
use crate::access::gate::Gate;
use crate::access::grant::Granted;
use crate::http::call::{Call, Door};
use crate::http::openapi::needs;
use crate::http::pieces::Pieces;
use crate::http::problem::Problem;
use crate::kernel::time::Clock;
use crate::store::Store;
use crate::trail::actions::ReadTrail;
use crate::trail::http::{EntryView, OutcomeView};

pub fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/audit/export").route(web::get().to(export)));
}

#[derive(OpenApi)]
#[openapi(paths(export))]
pub struct Paper;

/// Export entries, however many: as NDJSON or CSV, the newest first, or as a bundle with proofs.
///
/// The last line says how many entries there were (`{"end":{"entries":n}}`, in CSV `end,n`, in a bundle
/// `{"entries":n}`); what has no such line has broken off. One export at a time for each operator.
#[utoipa::path(get, path = "/v1/audit/export", operation_id = "export_entries", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    params(("format" = Option<String>, Query, pattern = "^(ndjson|csv|bundle)$", example = "ndjson", description = "`ndjson`, unless sent; `bundle`: `docs/trail.md`"),
        ("since" = Option<u64>, Query, minimum = 0, description = "Of a bundle: from this leaf on"),
        ("user_id" = Option<String>, Query), ("app_id" = Option<String>, Query),
        ("subject" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}:[A-Za-z0-9_.-]{1,128}$", description = "`user:<id>`, `app:<id>`, `module:<name>`, …"),
        ("actor" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$", description = "Id of the app, user or operator"),
        ("action" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$"), ("module" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$"),
        ("path" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,128}$", description = "This path or one below it"),
        ("ip" = Option<String>, Query, pattern = "^[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?$", description = "An address, or a prefix as it is stored"), ("outcome" = Option<OutcomeView>, Query),
        ("reference" = Option<String>, Query, min_length = 1, max_length = 255, description = "What the caller called the operation"),
        ("request_id" = Option<String>, Query, pattern = "^[A-Za-z0-9_.-]{1,64}$", description = "`X-Request-Id` of its request"),
        ("from" = Option<String>, Query, format = DateTime, description = "RFC 3339, included"),
        ("to" = Option<String>, Query, format = DateTime, description = "RFC 3339, not included")),
    responses((status = 200, description = "Line by line", content(
        (EntryView = "application/x-ndjson"), (String = "text/csv", example = json!("id,timestamp,action,module,outcome,user_id,app_id,subject,seq,actor_kind,actor_id,on_behalf_of,connection_id,request_id,reference,ip_address,asserted_by,changes"))))))]
async fn export(
    call: Call<ReadTrail>,
    store: Data<Store>,
    door: Data<Door>,
    exports: Data<Exports>,
) -> Result<Pieces, Problem> {
    let wanted = Wanted::read(&call.query)?;
    let slot = exports.enter(call.grant.target().operator)?;
    let format = wanted.format;
    let export = Export::begin(reader(call.grant, &store, &door), wanted).await?;
    Ok(sent(&store, export, slot, format))
}

/// An export outlives its request: whether the operator may still read is asked for each piece.
fn reader(grant: Granted<ReadTrail>, store: &Store, door: &Door) -> Reader {
    let sees_personal_values = grant.target().sees_personal_values;
    let asked = Arc::new((grant, door.gate.clone(), door.clock.clone(), door.request_timeout));
    let leave: Leave = Box::new(move || {
        let asked: Arc<(Granted<ReadTrail>, Gate, Clock, Duration)> = Arc::clone(&asked);
        Box::pin(async move {
            let (grant, gate, clock, time) = &*asked;
            gate.leave_again(grant, clock.now(), *time).await
        })
    });
    Reader { store: store.clone(), leave, sees_personal_values }
}
