//! From a request's head to a grant. The only place that issues passes and warrants.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Document, doc};

use super::action::{Action, Mutating};
use super::grant::{Caller, Granted, OnApp, OnItself, OnPlatform, OnUser};
use super::key;
use super::last_used::{LastUsed, Used};
use super::permission::Permission;
use super::principal::{Context, Head, Repeatable};
use super::rule;
use crate::audit::actor::Actor;
use crate::audit::warrant::{Pass, Proviso, Terms, Warrant};
use crate::config::audit::IpDetail;
use crate::crypto::keyring::Keyring;
use crate::crypto::token::{ApiKey, KeyKind};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{ConnectionId, Name, OperatorId, UserId};
use crate::store::{Query, Store};

#[derive(Clone)]
pub struct Gate {
    store: Store,
    keyring: Arc<Keyring>,
    ip_detail: IpDetail,
    last_used: Arc<LastUsed>,
}

pub(super) fn pass(context: &Context) -> Pass {
    Pass::issue(context.deadline)
}

pub(super) fn warrant<A: Mutating>(grant: &Granted<A>) -> Warrant {
    let Granted { caller, context, repeatable, .. } = grant;
    Warrant::issue(Terms {
        action: A::NAME,
        module: A::MODULE,
        actor: caller.actor.clone(),
        app_id: caller.app_id.clone(),
        connection_id: caller.connection_id,
        request_id: Some(context.request_id.clone()),
        ip_address: caller.ip_address.clone(),
        asserted_by: caller.asserted_by.clone(),
        now: context.now,
        deadline: context.deadline,
        provisos: caller.provisos.clone(),
        idempotency: repeatable.0.clone(),
    })
}

/// What an action's target is found by.
pub trait Resolve: Sized {
    fn resolve(
        gate: &Gate,
        head: &Head,
        needs: Permission,
    ) -> impl Future<Output = Result<(Self, Caller), Fault>> + Send;
}

impl Gate {
    pub fn new(store: Store, keyring: Arc<Keyring>, ip_detail: IpDetail) -> Self {
        Self { store, keyring, ip_detail, last_used: Arc::default() }
    }

    pub async fn admit<A: Action>(&self, head: &Head) -> Result<Granted<A>, Fault>
    where
        A::Target: Resolve,
    {
        let (target, mut caller) = A::Target::resolve(self, head, A::NEEDS).await?;
        self.place(head, &mut caller);
        let context = head.context.clone();
        Ok(Granted {
            target,
            caller,
            context,
            repeatable: Repeatable::default(),
            action: PhantomData,
        })
    }

    /// For Purser's own jobs and its command line, which have no caller.
    pub fn itself<A: Action<Target = OnItself>>(&self, job: Name, context: Context) -> Granted<A> {
        let caller = Caller {
            actor: Actor::system(job.as_str()),
            app_id: None,
            connection_id: None,
            ip_address: None,
            asserted_by: None,
            provisos: Vec::new(),
            scope: format!("system:{job}"),
        };
        let target = OnItself { job };
        Granted { target, caller, context, repeatable: Repeatable::default(), action: PhantomData }
    }

    pub fn last_used(&self) -> &LastUsed {
        &self.last_used
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(super) fn chance(&self) -> &crate::kernel::chance::Chance {
        self.store.chance()
    }

    /// The person's address where the app tells it, else the peer's; as much of it as is kept.
    fn place(&self, head: &Head, caller: &mut Caller) {
        let asserted = head.client.filter(|_| caller.app_id.is_some());
        caller.asserted_by = asserted.and(caller.app_id.clone());
        caller.ip_address = asserted.or(head.peer).and_then(|ip| kept(ip, self.ip_detail));
    }

    fn key(head: &Head) -> Result<ApiKey, Fault> {
        head.credential.as_deref().and_then(ApiKey::parse).ok_or_else(rule::unauthenticated)
    }

    fn proves(&self, key: &ApiKey, holder: &Document, field: &str) -> bool {
        key::proves(&self.keyring, key, holder.get_str(field).unwrap_or_default())
    }

    async fn one(
        &self,
        head: &Head,
        collection: &'static str,
        filter: Document,
    ) -> Result<Option<Document>, Fault> {
        let query = Query::of(collection, filter).limit(1);
        Ok(self.store.list(&pass(&head.context), query).await?.pop())
    }

    /// The app that an app key belongs to.
    async fn app_of_key(&self, head: &Head, key: &ApiKey) -> Result<(Document, Name), Fault> {
        let app = self.one(head, "apps", doc! { "keys.id": key.id() }).await?;
        let app = app.ok_or_else(rule::unauthenticated)?;
        let now = head.context.now;
        let stored = rule::app_key(&app, key.id(), now).ok_or_else(rule::unauthenticated)?;
        if !self.proves(key, stored, "mac") {
            return Err(rule::unauthenticated());
        }
        let id = name_of(&app)?;
        self.last_used.note(Used::AppKey { app: id.clone(), key_id: key.id().to_owned() }, now);
        rule::app(Some(&app))?;
        Ok((app, id))
    }

    async fn connection_of_key(&self, head: &Head, key: &ApiKey) -> Result<Document, Fault> {
        let connection = self.one(head, "user_apps", doc! { "key_id": key.id() }).await?;
        let connection = connection.ok_or_else(rule::unauthenticated)?;
        if !self.proves(key, &connection, "key_mac") {
            return Err(rule::unauthenticated());
        }
        let id = ConnectionId(object_id(&connection, "_id")?);
        self.last_used.note(Used::ConnectionKey(id), head.context.now);
        Ok(connection)
    }
}

impl Resolve for OnApp {
    async fn resolve(gate: &Gate, head: &Head, needs: Permission) -> Result<(Self, Caller), Fault> {
        let key = Gate::key(head)?;
        if key.kind() == KeyKind::App {
            let (_, app) = gate.app_of_key(head, &key).await?;
            let provisos = vec![app_proviso(&app, Some(&key), head)];
            let scope = format!("app:{app}");
            let caller = of_app(&app, None, provisos, scope);
            return Ok((Self { app }, caller));
        }
        gate.recognise(head, &key).await?;
        Err(rule::wrong_credential(needs))
    }
}

impl Gate {
    /// Whether a key of the wrong kind for an action is at least a valid one: only then may its
    /// holder learn more than "401".
    async fn recognise(&self, head: &Head, key: &ApiKey) -> Result<(), Fault> {
        match key.kind() {
            KeyKind::App => self.app_of_key(head, key).await.map(drop),
            KeyKind::Connection => self.connection_of_key(head, key).await.map(drop),
            KeyKind::Operator => self.operator_of_key(head, key).await.map(drop),
        }
    }

    async fn operator_of_key(&self, head: &Head, key: &ApiKey) -> Result<Document, Fault> {
        let operator = self.one(head, "operators", doc! { "key_id": key.id() }).await?;
        let operator = operator.filter(|operator| self.proves(key, operator, "key_mac"));
        let operator = operator.ok_or_else(rule::unauthenticated)?;
        rule::operator(Some(&operator), Permission::Audit, head.context.now)?;
        Ok(operator)
    }
}

impl Resolve for OnUser {
    async fn resolve(gate: &Gate, head: &Head, needs: Permission) -> Result<(Self, Caller), Fault> {
        let key = Gate::key(head)?;
        let asked = head.user.as_deref().unwrap_or_default();
        let (app, app_id, connection) = match key.kind() {
            KeyKind::App => {
                let (app, app_id) = gate.app_of_key(head, &key).await?;
                if asked == ME {
                    let detail =
                        "`me` needs a connection key; with an app key, send the user's id.";
                    return Err(Fault::new(Code::WrongCredential, detail));
                }
                let user: UserId = asked.parse().map_err(|_| Fault::of(Code::NotFound))?;
                let tie = doc! { "user_id": user.0, "app_id": app_id.as_str() };
                let connection = gate.one(head, "user_apps", tie).await?;
                (app, app_id, connection.ok_or_else(|| Fault::of(Code::NotFound))?)
            }
            KeyKind::Connection => {
                let connection = gate.connection_of_key(head, &key).await?;
                let id = connection.get_str("app_id").unwrap_or_default().to_owned();
                let app = gate.one(head, "apps", doc! { "_id": id }).await?;
                let app = app.ok_or_else(rule::unauthenticated)?;
                rule::app(Some(&app))?;
                let app_id = name_of(&app)?;
                (app, app_id, connection)
            }
            KeyKind::Operator => {
                gate.recognise(head, &key).await?;
                return Err(Fault::new(
                    Code::WrongCredential,
                    "This needs an app key or a connection key.",
                ));
            }
        };
        let target = Self {
            user: UserId(object_id(&connection, "user_id")?),
            connection: ConnectionId(object_id(&connection, "_id")?),
            app: app_id,
        };
        if asked != ME && asked.parse() != Ok(target.user) {
            return Err(Fault::of(Code::NotFound));
        }
        let key_id = (key.kind() == KeyKind::Connection).then_some(key.id());
        rule::connection(Some(&connection), key_id)?;
        let user = gate.one(head, "users", doc! { "_id": target.user.0 }).await?;
        rule::user(user.as_ref())?;
        rule::permission(needs, &connection, &app)?;
        let caller = caller_of_user(&target, &key, needs, head);
        Ok((target, caller))
    }
}

const ME: &str = "me";

fn caller_of_user(target: &OnUser, key: &ApiKey, needs: Permission, head: &Head) -> Caller {
    let by_connection = key.kind() == KeyKind::Connection;
    let key_id = by_connection.then(|| key.id().to_owned());
    let connection = Proviso {
        collection: "user_apps",
        id: target.connection.0.into(),
        holds: Arc::new(move |connection| {
            rule::connection(connection, key_id.as_deref())?;
            // The ceiling is checked with the app; here only what the connection holds.
            connection.map_or(Ok(()), |connection| rule::permission(needs, connection, connection))
        }),
    };
    let user =
        Proviso { collection: "users", id: target.user.0.into(), holds: Arc::new(rule::user) };
    let ceiling = Proviso {
        collection: "apps",
        id: target.app.as_str().into(),
        holds: Arc::new(move |app| app.map_or(Ok(()), |app| rule::permission(needs, app, app))),
    };
    let app = app_proviso(&target.app, (!by_connection).then_some(key), head);
    let scope = if by_connection {
        format!("connection:{}", target.connection)
    } else {
        format!("app:{}", target.app)
    };
    of_app(&target.app, Some(target.connection), vec![app, ceiling, connection, user], scope)
}

fn of_app(
    app: &Name,
    connection: Option<ConnectionId>,
    provisos: Vec<Proviso>,
    scope: String,
) -> Caller {
    Caller {
        actor: Actor::app(app),
        app_id: Some(app.clone()),
        connection_id: connection,
        ip_address: None,
        asserted_by: None,
        provisos,
        scope,
    }
}

/// The app is in use, and so is the app key, where one is used.
fn app_proviso(app: &Name, key: Option<&ApiKey>, head: &Head) -> Proviso {
    let key_id = key.map(|key| key.id().to_owned());
    let now = head.context.now;
    Proviso {
        collection: "apps",
        id: app.as_str().into(),
        holds: Arc::new(move |app| {
            rule::app(app)?;
            let usable = |id: &String| app.and_then(|app| rule::app_key(app, id, now)).is_some();
            if key_id.as_ref().is_none_or(usable) { Ok(()) } else { Err(rule::unauthenticated()) }
        }),
    }
}

impl Resolve for OnPlatform {
    async fn resolve(gate: &Gate, head: &Head, needs: Permission) -> Result<(Self, Caller), Fault> {
        let key = Gate::key(head)?;
        if key.kind() != KeyKind::Operator {
            gate.recognise(head, &key).await?;
            return Err(rule::wrong_credential(needs));
        }
        let operator = gate.operator_of_key(head, &key).await?;
        let now = head.context.now;
        rule::operator(Some(&operator), needs, now)?;
        let id = OperatorId(object_id(&operator, "_id")?);
        gate.last_used.note(Used::OperatorKey(id), now);
        let proviso = Proviso {
            collection: "operators",
            id: id.0.into(),
            holds: Arc::new(move |operator| rule::operator(operator, needs, now)),
        };
        let caller = Caller {
            actor: Actor::operator(id),
            app_id: None,
            connection_id: None,
            ip_address: None,
            asserted_by: None,
            provisos: vec![proviso],
            scope: format!("operator:{id}"),
        };
        let sees_personal_values = operator.get_bool("auditor_pii").unwrap_or(false);
        Ok((Self { operator: id, sees_personal_values }, caller))
    }
}

fn name_of(app: &Document) -> Result<Name, Fault> {
    let name = app.get_str("_id").ok().and_then(Name::parse);
    name.ok_or_else(|| Fault::internal("an app without a usable id"))
}

fn object_id(document: &Document, field: &str) -> Result<ObjectId, Fault> {
    document.get_object_id(field).map_err(|_| Fault::internal(format!("a record without {field}")))
}

fn kept(ip: IpAddr, detail: IpDetail) -> Option<String> {
    match (detail, ip.to_canonical()) {
        (IpDetail::None, _) => None,
        (IpDetail::Full, ip) => Some(ip.to_string()),
        (IpDetail::Prefix, IpAddr::V4(ip)) => {
            let [a, b, c, _] = ip.octets();
            Some(format!("{a}.{b}.{c}.0/24"))
        }
        (IpDetail::Prefix, IpAddr::V6(ip)) => {
            let [a, b, c, ..] = ip.segments();
            Some(format!("{a:x}:{b:x}:{c:x}::/48"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_is_kept_what_the_configuration_says() {
        let ip: IpAddr = "192.168.1.100".parse().expect("valid");
        assert_eq!(kept(ip, IpDetail::Full).as_deref(), Some("192.168.1.100"));
        assert_eq!(kept(ip, IpDetail::Prefix).as_deref(), Some("192.168.1.0/24"));
        assert_eq!(kept(ip, IpDetail::None), None);
        let ip: IpAddr = "2001:db8:1:2::3".parse().expect("valid");
        assert_eq!(kept(ip, IpDetail::Prefix).as_deref(), Some("2001:db8:1::/48"));
    }
}
