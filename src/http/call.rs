//! One request, read in the right order: who asks, may they, and only then what they send.

use std::borrow::Cow;
use std::pin::Pin;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::figures::CallerApp;
use super::json;
use super::peer::Proxies;
use super::problem::Problem;
use super::query::Parameters;
use crate::access::action::Action;
use crate::access::anonymous::Anonymous;
use crate::access::cursor::Repetition;
use crate::access::figures::Figures as Decisions;
use crate::access::gate::{Gate, Resolve};
use crate::access::grant::{Granted, Names};
use crate::access::principal::{Context, Head, ME, Receipts, Repeatable};
use crate::access::watch::{Read, Recognised};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::time::Clock;

/// What every handler's door needs; lives in the application's data.
#[derive(Clone)]
pub struct Door {
    pub gate: Gate,
    pub clock: Clock,
    pub request_timeout: Duration,
    pub proxies: Proxies,
    pub anonymous: Anonymous,
    pub decisions: Decisions,
}

/// The id that the boundary has given this request.
#[derive(Clone)]
pub struct RequestId(pub String);

/// A granted request. `B` is [`Json`] of its body, or [`Nothing`].
pub struct Call<A: Action, B = Nothing> {
    pub grant: Granted<A>,
    pub body: B,
    pub query: Parameters,
    pub preconditions: Preconditions,
    /// Whether an Idempotency-Key was sent: the grant then carries it.
    pub repeatable: Repeatable,
}

pub struct Json<T>(pub T);
/// As `Json`, for bodies that describe other bodies: a schema has two levels for each of its data.
pub struct Deep<T>(pub T);
pub struct Nothing;

/// How a body is read; `Value` is what a fingerprint is made of.
pub trait Body: Sized + 'static {
    fn read(value: Option<Value>) -> Result<Self, Fault>;
    const EXPECTED: bool;
    const DEPTH_MAX: usize = json::DEPTH_MAX;
}

impl Body for Nothing {
    fn read(value: Option<Value>) -> Result<Self, Fault> {
        match value {
            Some(value) if value.as_object().is_none_or(|fields| !fields.is_empty()) => {
                Err(Fault::invalid("", "not_accepted", "no body, or an empty object"))
            }
            _ => Ok(Self),
        }
    }
    const EXPECTED: bool = false;
}

impl<T: DeserializeOwned + 'static> Body for Json<T> {
    fn read(value: Option<Value>) -> Result<Self, Fault> {
        json::typed(value.unwrap_or(Value::Null)).map(Self)
    }
    const EXPECTED: bool = true;
}

impl<T: DeserializeOwned + 'static> Body for Deep<T> {
    fn read(value: Option<Value>) -> Result<Self, Fault> {
        json::typed(value.unwrap_or(Value::Null)).map(Self)
    }
    const EXPECTED: bool = true;
    const DEPTH_MAX: usize = 3 * json::DEPTH_MAX;
}

/// `If-Match` and `If-None-Match`: entity tags without their quotes.
#[derive(Debug, Clone, Default)]
pub struct Preconditions {
    pub if_match: Option<Vec<String>>,
    pub if_none_match: Option<Vec<String>>,
}

impl Preconditions {
    fn read(request: &HttpRequest) -> Self {
        let tags = |name| -> Option<Vec<String>> {
            let text = request.headers().get(name)?.to_str().ok()?;
            let tag = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
            Some(text.split(',').map(tag).collect())
        };
        Self { if_match: tags(header::IF_MATCH), if_none_match: tags(header::IF_NONE_MATCH) }
    }

    /// To be asked inside the pure function, of the record as it is there.
    /// The entity tag is made only where it is asked for.
    pub fn check(&self, etag: impl FnOnce() -> String) -> Result<(), Fault> {
        let Some(tags) = &self.if_match else { return Ok(()) };
        if tags.iter().any(|tag| tag == "*") || tags.contains(&etag()) {
            return Ok(());
        }
        Err(Fault::of(Code::RevisionMismatch))
    }

    /// For changes that nobody may make without having seen what is there.
    pub fn required(self) -> Result<Self, Fault> {
        if self.if_match.is_some() { Ok(self) } else { Err(Fault::of(Code::PreconditionRequired)) }
    }

    /// For operations that say what is to be done, not what it is to be done to.
    pub fn none(&self) -> Result<(), Fault> {
        let accepted = "no entity tag: its Idempotency-Key says that this is done once";
        let refused = |_| Fault::invalid("If-Match", "not_accepted", accepted);
        self.check(String::new).map_err(refused)
    }

    pub fn not_modified(&self, etag: &str) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| tags.iter().any(|t| t == etag || t == "*"))
    }
}

impl<A, B> FromRequest for Call<A, B>
where
    A: Action,
    A::Target: Resolve + Names,
    B: Body,
{
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { read(request, payload).await.map_err(Problem) })
    }
}

async fn read<A, B>(request: HttpRequest, mut payload: Payload) -> Result<Call<A, B>, Fault>
where
    A: Action,
    A::Target: Resolve + Names,
    B: Body,
{
    let door = door(&request)?;
    let query = Parameters::read(request.query_string())?;
    let head = head(&request, &door);
    request.extensions_mut().insert(head.context.receipts.clone());
    request.extensions_mut().insert(head.context.recognised.clone());
    let grant = door.gate.admit::<A>(&head).await?;
    if let Some(read) = Read::of(&grant, || format!("{}{}", request.path(), query.told())) {
        request.extensions_mut().insert(read);
    }
    if let Some(quota) = grant.quota() {
        request.extensions_mut().insert(quota.clone());
    }
    if let Some(app) = grant.app() {
        request.extensions_mut().insert(CallerApp(app.clone()));
    }
    check_client(&request, &head)?;
    let key = idempotency_key(&request)?;
    let value = if B::EXPECTED || request.method() == Method::POST {
        let left = head.context.deadline.saturating_duration_since(Instant::now());
        let reading = body::<B>(&request, &mut payload);
        let slow = |_| Fault::of(Code::RequestTimeout);
        actix_web::rt::time::timeout(left, reading).await.map_err(slow)??
    } else {
        None
    };
    let value = value.map(|value| same_context(value, grant.target())).transpose()?;
    let repeatable = key.map(|key| {
        let body = value.as_ref().map(json::canonical).unwrap_or_default();
        let route = request.match_pattern().unwrap_or_default();
        let user = grant.target().user();
        door.gate.idempotency(&Repetition {
            scope: grant.scope(),
            place: user.as_deref().unwrap_or(&route),
            key: &key,
            method: request.method().as_str(),
            route: &route,
            parameters: &parameters(&request, user.as_deref()),
            body: &body,
        })
    });
    let preconditions = Preconditions::read(&request);
    let repeatable = Repeatable(repeatable);
    Ok(Call { grant, body: B::read(value)?, query, preconditions, repeatable })
}

/// One where none is expected is looked at as well: whoever sends it means something by it.
async fn body<B: Body>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<Option<Value>, Fault> {
    if B::EXPECTED {
        return json::read(request, payload, B::DEPTH_MAX).await.map(Some);
    }
    json::read_if_sent(request, payload, B::DEPTH_MAX).await
}

/// Path and query. Whoever is called `me` once and by their id the next time is the same.
fn parameters<'a>(request: &'a HttpRequest, user: Option<&str>) -> Cow<'a, str> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    match (request.match_info().get("user"), user) {
        (Some(ME), Some(id)) => target.replacen("/users/me", &format!("/users/{id}"), 1).into(),
        _ => target.into(),
    }
}

pub fn door(request: &HttpRequest) -> Result<Door, Fault> {
    let door = request.app_data::<web::Data<Door>>();
    door.map(|door| Door::clone(door)).ok_or_else(|| Fault::internal("there is no door"))
}

fn head(request: &HttpRequest, door: &Door) -> Head {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    Head {
        credential: bearer.or_else(|| text("x-api-key")).map(str::to_owned),
        user: request.match_info().get("user").map(str::to_owned),
        module: request.match_info().get("module").map(str::to_owned),
        peer: door.proxies.peer(request),
        seen: text("purser-seen").map(str::to_owned),
        client: text(CLIENT).and_then(|text| text.trim().parse().ok()),
        context: Context {
            now: door.clock.now(),
            request_id: request_id.unwrap_or_default(),
            deadline: Instant::now() + door.request_timeout,
            receipts: Receipts::default(),
            recognised: Recognised::default(),
        },
    }
}

const CLIENT: &str = "purser-client-ip";

/// An address that is none is told to whoever has a key, not taken for absent.
fn check_client(request: &HttpRequest, head: &Head) -> Result<(), Fault> {
    if request.headers().contains_key(CLIENT) && head.client.is_none() {
        return Err(Fault::invalid("Purser-Client-IP", "not_accepted", "an IP address"));
    }
    Ok(())
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Fault> {
    if request.method() != Method::POST {
        return Ok(None);
    }
    let mut sent = request.headers().get_all("idempotency-key");
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(Fault::new(Code::InvalidIdempotencyKey, "There are two of them."));
    }
    let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
    if !visible || !(1..=255).contains(&value.len()) {
        return Err(Fault::of(Code::InvalidIdempotencyKey));
    }
    Ok(value.to_str().ok().map(str::to_owned))
}

/// User and app come from path and key; a body may repeat them, and must not contradict.
fn same_context(mut value: Value, target: &impl Names) -> Result<Value, Fault> {
    let Some(fields) = value.as_object_mut() else { return Ok(value) };
    let names = [(target.user(), ["user_id", "userId"]), (target.app(), ["app_id", "appId"])];
    for (name, fields_for_it) in names {
        let Some(name) = name else { continue };
        for field in fields_for_it {
            if fields.remove(field).is_some_and(|sent| sent.as_str() != Some(&name)) {
                return Err(Fault::of(Code::ContextMismatch));
            }
        }
    }
    Ok(value)
}
