//! Around every request: its id, its errors as problems, its one line in the log.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpResponse};

use super::call::{self, RequestId};
use super::edge::Edge;
use super::figures::{Asked, CallerApp, outcome};
use super::incoming::{Incoming, Outgoing};
use super::problem::{self, Problem};
use crate::access::principal::Receipts;
use crate::access::watch::{Event, Read, Recognised};
use crate::kernel::chance::Chance;
use crate::kernel::fault::{Class, Code, Fault};
use crate::kernel::quota::Quota;
use crate::kernel::text::hex;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ENTRY: HeaderName = HeaderName::from_static("purser-entry");
const REQUEST_ID_CHARACTERS_MAX: usize = 64;

pub async fn boundary(
    edge: Data<Edge>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<Outgoing>, Error> {
    let started = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut payload = request.take_payload();
    let incoming = Incoming::take_place(&mut payload, edge.body_timeout);
    request.set_payload(payload);
    if incoming.is_some() {
        // actix answers before it looks at a body that came along, and closes the connection for it.
        actix_web::rt::task::yield_now().await;
    }
    let response = next.call(request).await?;
    let (response, code) = render(response.map_into_boxed_body(), &id);
    let (mut response, code) = witness(response, code, &id).await;
    let quota = response.request().extensions().get::<Quota>().cloned();
    let receipts = receipts(&response);
    let headers = response.headers_mut();
    if let Some(quota) = quota {
        super::quota::insert(headers, &quota);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(receipts) = receipts {
        headers.insert(ENTRY, receipts);
    }
    edge.dress(headers);
    report_answer(&edge, &response, code, &id, started);
    Ok(response.map_body(|_, body| Outgoing::new(body, incoming, edge.hold)))
}

/// What the trail must say of a request besides its changes: that it was refused, and, before anybody
/// is answered, that the trail was read. Here, so that no handler can forget it.
async fn witness(
    response: ServiceResponse,
    code: Option<Code>,
    id: &str,
) -> (ServiceResponse, Option<Code>) {
    let event = code.and_then(Event::behind);
    let status = response.status();
    let is_shown = !status.is_client_error() && !status.is_server_error();
    let read = response.request().extensions().get::<Read>().filter(|_| is_shown).cloned();
    // What has left an entry of its own has said what it did.
    let read = read.filter(|_| receipts(&response).is_none());
    if event.is_none() && read.is_none() {
        return (response, code);
    }
    let Ok(door) = call::door(response.request()) else { return (response, code) };
    if let Some(event) = event {
        let recognised = response.request().extensions().get::<Recognised>().cloned();
        if let Some(sighting) = recognised.and_then(|recognised| recognised.sighting()) {
            door.gate.watch().note(event, sighting, code.map(Code::name));
        }
    }
    let Some(read) = read else { return (response, code) };
    let Err(fault) = door.gate.leave(read).await else { return (response, code) };
    report(&fault, id);
    let refused = keep(&response, problem::response(&fault, id));
    let (request, _) = response.into_parts();
    (ServiceResponse::new(request, refused), Some(fault.code()))
}

/// The entries of the trail that it has left.
fn receipts(response: &ServiceResponse) -> Option<HeaderValue> {
    let extensions = response.request().extensions();
    let entries = extensions.get::<Receipts>()?.entries();
    let ids: Vec<_> = entries.iter().map(ToString::to_string).collect();
    (!ids.is_empty()).then(|| HeaderValue::from_str(&ids.join(", ")).ok()).flatten()
}

/// The client's own id where it is one, else a new one.
fn request_id(request: &ServiceRequest) -> String {
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let fits =
        |id: &&str| (1..=REQUEST_ID_CHARACTERS_MAX).contains(&id.len()) && id.chars().all(allowed);
    sent.filter(fits).map_or_else(|| new_id(request), str::to_owned)
}

fn new_id(request: &ServiceRequest) -> String {
    let chance = request.app_data::<Data<Chance>>();
    let word: [u8; 10] = chance.map(|chance| chance.bytes()).unwrap_or_default();
    format!("req_{}", hex(&word))
}

/// A fault as a problem; actix's own errors too, which have no body that a client could use.
fn render(response: ServiceResponse, id: &str) -> (ServiceResponse, Option<Code>) {
    let own = response.response().error().and_then(|error| error.as_error::<Problem>());
    let (rendered, code) = match own {
        Some(Problem(fault)) => {
            report(fault, id);
            (keep(&response, problem::response(fault, id)), fault.code())
        }
        None if is_problem(&response) => return (response, None),
        None => match problem::foreign(response.status()) {
            None => return (response, None),
            Some(fault) => (keep(&response, problem::response(&fault, id)), fault.code()),
        },
    };
    let (request, _) = response.into_parts();
    (ServiceResponse::new(request, rendered), Some(code))
}

fn is_problem(response: &ServiceResponse) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/problem+json"))
}

/// What was added for the browser, and which methods there are.
fn keep(from: &ServiceResponse, mut to: HttpResponse) -> HttpResponse {
    for (name, value) in from.headers() {
        let cors = name.as_str().starts_with("access-control-");
        if cors || *name == header::VARY || *name == header::ALLOW {
            to.headers_mut().append(name.clone(), value.clone());
        }
    }
    to
}

/// Only what is our own trouble is logged with its cause; a client's mistake is told to the client.
fn report(fault: &Fault, id: &str) {
    let code = fault.code();
    let cause = fault.cause().unwrap_or_default();
    match code.class() {
        Class::Broken => tracing::error!(request_id = id, code = code.name(), cause, "broken"),
        Class::Unavailable => {
            tracing::warn!(request_id = id, code = code.name(), cause, "unavailable");
        }
        _ => {}
    }
}

/// The route's pattern, never the path: a path holds ids, a query holds addresses.
fn report_answer(
    edge: &Edge,
    response: &ServiceResponse,
    code: Option<Code>,
    id: &str,
    started: Instant,
) {
    let (request, status) = (response.request(), response.status());
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
    let took = started.elapsed();
    let extensions = request.extensions();
    let asked =
        Asked { route: &route, method: request.method(), app: extensions.get::<CallerApp>() };
    edge.figures.count(&asked, outcome(status, code), took);
    tracing::info!(
        request_id = id,
        method = request.method().as_str(),
        route,
        status = status.as_u16(),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
}
