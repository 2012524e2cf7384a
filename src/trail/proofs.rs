//! `/v1/audit/checkpoints`, proofs and consistency: handlers for auditors.

use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::actions::ReadTrail;
use super::seal::{Inclusion, Stored, consistency, inclusion};
use crate::access::cursor::List;
use crate::access::gate::Gate;
use crate::audit::tree::Hash;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::openapi::needs;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::EntryId;
use crate::kernel::time::rfc3339;
use crate::store::Store;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/audit/logs/{entry}/proof").route(web::get().to(proof)))
        .service(web::resource("/v1/audit/checkpoints").route(web::get().to(list)))
        .service(web::resource("/v1/audit/checkpoints/latest").route(web::get().to(latest)))
        .service(web::resource("/v1/audit/consistency").route(web::get().to(consistent)));
}

#[derive(OpenApi)]
#[openapi(paths(proof, list, latest, consistent))]
pub struct Paper;

/// What the trail had come to, signed.
#[derive(Serialize, ToSchema)]
struct CheckpointView {
    /// So many entries.
    #[schema(minimum = 1)]
    size: u64,
    /// The root of the tree over them, in base64.
    root: String,
    /// The signed note (C2SP tlog-checkpoint), to be kept elsewhere.
    note: String,
    created_at: String,
}

#[derive(Serialize, ToSchema)]
struct CheckpointPage {
    #[schema(max_items = 200)]
    items: Vec<CheckpointView>,
    /// `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// That an entry is in the trail that a checkpoint has signed (RFC 6962).
#[derive(Serialize, ToSchema)]
struct ProofView {
    entry_id: String,
    /// Its number in the tree, from 0.
    #[schema(minimum = 0)]
    leaf: u64,
    /// The hash of the entry as it is stored, in base64: `docs/trail.md` says how it is made.
    leaf_hash: String,
    /// From the leaf up, in base64.
    #[schema(max_items = 64)]
    proof: Vec<String>,
    /// The signed note that it leads to.
    checkpoint: String,
}

/// That the trail of one size is the beginning of that of another (RFC 6962).
#[derive(Serialize, ToSchema)]
struct ConsistencyView {
    /// The checkpoint of each size, as it was signed: what `docs/trail.md` calls a proof of consistency.
    from: String,
    to: String,
    #[schema(max_items = 64)]
    proof: Vec<String>,
}

/// Prove that an entry is in the trail.
#[utoipa::path(get, path = "/v1/audit/logs/{entry}/proof", operation_id = "prove_entry", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))), params(("entry" = String, Path)),
    responses((status = 200, body = ProofView)))]
async fn proof(
    call: Call<ReadTrail>,
    store: Data<Store>,
    path: Path<String>,
) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let id: EntryId = path.parse().map_err(|_| Fault::of(Code::NotFound))?;
    let Inclusion { leaf, leaf_hash, path, checkpoint } =
        inclusion(&call.grant.pass(), &store, id).await?;
    Ok(Answer::ok(&ProofView {
        entry_id: id.to_string(),
        leaf,
        leaf_hash: leaf_hash.to_string(),
        proof: texts(&path),
        checkpoint: checkpoint.text().to_owned(),
    })?)
}

/// List checkpoints, the newest first.
#[utoipa::path(get, path = "/v1/audit/checkpoints", operation_id = "list_checkpoints", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = CheckpointPage)))]
async fn list(
    call: Call<ReadTrail>,
    store: Data<Store>,
    gate: Data<Gate>,
) -> Result<Answer, Problem> {
    call.query.only(&["limit", "cursor"])?;
    let filter = call.query.filter();
    let list = List { scope: call.grant.scope(), route: "/v1/audit/checkpoints", filter };
    let after = call.query.cursor().map(|cursor| gate.open_cursor(&list, cursor)).transpose()?;
    let page = Stored::list(&call.grant.pass(), &store, call.query.limit()?, after).await?;
    let next_cursor = page.next.map(|next| gate.seal_cursor(&list, &next)).transpose()?;
    Ok(Answer::ok(&CheckpointPage { items: page.items.iter().map(view).collect(), next_cursor })?)
}

/// Read the newest checkpoint.
#[utoipa::path(get, path = "/v1/audit/checkpoints/latest", operation_id = "read_latest_checkpoint", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    responses((status = 200, body = CheckpointView)))]
async fn latest(call: Call<ReadTrail>, store: Data<Store>) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let newest = Stored::newest(&call.grant.pass(), &store).await?;
    Ok(Answer::ok(&view(&newest.ok_or_else(|| Fault::of(Code::NotFound))?))?)
}

/// Prove that the trail of one size is the beginning of that of another.
#[utoipa::path(get, path = "/v1/audit/consistency", operation_id = "prove_consistency", tag = "auditors",
    extensions(("x-needs" = json!(needs::<ReadTrail>()))),
    params(("from" = u64, Query, minimum = 1, description = "The size of a checkpoint"),
        ("to" = u64, Query, minimum = 1, description = "The size of a checkpoint, not a smaller one")),
    responses((status = 200, body = ConsistencyView)))]
async fn consistent(call: Call<ReadTrail>, store: Data<Store>) -> Result<Answer, Problem> {
    call.query.only(&["from", "to"])?;
    let (from, to, pass) =
        (size(&call.query, "from")?, size(&call.query, "to")?, call.grant.pass());
    if from > to {
        return Err(Fault::invalid("from", "not_accepted", "not above `to`").into());
    }
    let checkpoint = async |name, size| {
        let found = Stored::of_size(&pass, &store, size).await?;
        found.ok_or_else(|| Fault::invalid(name, "not_accepted", UNKNOWN_SIZE))
    };
    let (older, newer) = (checkpoint("from", from).await?, checkpoint("to", to).await?);
    let proof = texts(&consistency(&pass, &store, from, to).await?);
    let (from, to) = (older.text().to_owned(), newer.text().to_owned());
    Ok(Answer::ok(&ConsistencyView { from, to, proof })?)
}

const SIZE: &str = "the size of a checkpoint";
const UNKNOWN_SIZE: &str =
    "the size of a checkpoint: none has this one, `GET /v1/audit/checkpoints` lists them";

fn size(query: &Parameters, name: &'static str) -> Result<u64, Fault> {
    let size = query.parsed(name, SIZE, |text| text.parse().ok().filter(|size| *size > 0))?;
    size.ok_or_else(|| Fault::invalid(name, "required", SIZE))
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_string).collect()
}

fn view(stored: &Stored) -> CheckpointView {
    CheckpointView {
        size: stored.size(),
        root: stored.root().map(|root| root.to_string()).unwrap_or_default(),
        note: stored.text().to_owned(),
        created_at: rfc3339(stored.created_at()),
    }
}
