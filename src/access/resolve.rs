//! Whose key it is, and what it reaches. In this order: the key's shape, its record, its secret, where
//! it comes from, how often it asks; only then whether it may do what it asks for. Keys that are not
//! in use are not told apart.

use std::sync::Arc;

use bson::RawDocument;
use bson::oid::ObjectId;

use super::fields::Fields;
use super::gate::{Gate, Resolve, pass};
use super::grant::{Caller, OnApp, OnPlatform, OnTie, OnUser};
use super::key;
use super::last_used::Used;
use super::limiter::Limited;
use super::limits::RateLimits;
use super::permission::Permission;
use super::principal::{Head, ME};
use super::rule;
use super::standing::{Presented, Sought, Standing};
use super::watch::Holder;
use crate::audit::actor::Actor;
use crate::crypto::token::{ApiKey, KeyKind};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{ConnectionId, Name, OperatorId, UserId};
use crate::kernel::quota::Quota;
use crate::store::{RecordId, Snapshot, Way};

const NOT_IN_USE: &str = "not_in_use";

/// An app that was recognised by a key.
struct KnownApp {
    record: Snapshot,
    id: Name,
}

/// A connection, by whichever key.
struct Tie {
    app: KnownApp,
    connection: Snapshot,
    key: Presented,
}

impl Resolve for OnApp {
    async fn resolve(gate: &Gate, head: &Head, needs: Permission) -> Result<(Self, Caller), Fault> {
        let key = Gate::key(head)?;
        if key.kind() != KeyKind::App {
            gate.recognise(head, &key).await?;
            return Err(rule::wrong_credential(needs));
        }
        let app = gate.app_of_key(head, &key).await?;
        let quota = gate.spend(&[limit_of_app(&app)], head.context.now).await?;
        let standing = Standing::App { app: app.id.clone(), key_id: key.id().to_owned() };
        let caller = of_app(&app.id, None, standing, quota);
        Ok((Self { app: app.id, record: app.record }, caller))
    }
}

impl Resolve for OnUser {
    async fn resolve(gate: &Gate, head: &Head, needs: Permission) -> Result<(Self, Caller), Fault> {
        let (key, tie) = gate.tied(head).await?;
        let id = UserId(object_id(tie.connection.raw(), "user_id")?);
        let (user, tie) = gate.up_to_date(head, id, tie).await?;
        let whose = user.as_ref().map(Snapshot::raw);
        let modules = gate.store().modules(&pass(&head.context)).await?;
        let sought = match needs {
            Permission::OfModule => Some(sought(&modules, head)),
            _ => None,
        };
        let may = || {
            rule::user(whose)?;
            let Some(sought) = sought else { return Ok(None) };
            let used = tie.may_use(sought?, whose);
            // They are told that there is no such module; whoever watches is told the truth.
            if used.as_ref().is_err_and(|fault| fault.code() == Code::NotFound) {
                gate.denied(head, "module_not_granted");
            }
            used.map(Some)
        };
        let (tied, caller) = gate.reached(head, &key, &tie, needs, may).await?;
        let user = user.ok_or_else(|| Fault::of(Code::NotFound))?;
        let (connection, app) = (tie.connection, tie.app.record);
        let records = super::grant::Records { user, connection, app, modules };
        let OnTie { user, connection, app } = tied;
        Ok((Self { user, connection, app, records }, caller))
    }
}

impl Resolve for OnTie {
    async fn resolve(gate: &Gate, head: &Head, needs: Permission) -> Result<(Self, Caller), Fault> {
        let (key, tie) = gate.tied(head).await?;
        gate.reached(head, &key, &tie, needs, || Ok(None)).await
    }
}

impl Resolve for OnPlatform {
    async fn resolve(gate: &Gate, head: &Head, needs: Permission) -> Result<(Self, Caller), Fault> {
        let key = Gate::key(head)?;
        if key.kind() != KeyKind::Operator {
            gate.recognise(head, &key).await?;
            return Err(rule::wrong_credential(needs));
        }
        let (operator, quota) = gate.operator_of_key(head, &key).await?;
        let operator = operator.raw();
        rule::operator(Some(operator), needs, head.context.now)?;
        let id = OperatorId(object_id(operator, "_id")?);
        let caller = Caller {
            actor: Actor::operator(id),
            app_id: None,
            connection_id: None,
            peer: None,
            ip_address: None,
            asserted_by: None,
            standing: Standing::Operator { id, needs },
            quota: Some(quota),
            scope: format!("operator:{id}"),
        };
        Ok((Self { operator: id, sees_personal_values: operator.flag("auditor_pii") }, caller))
    }
}

impl Gate {
    /// The connection that the key is for, or that its app has with the user who is asked for.
    async fn tied(&self, head: &Head) -> Result<(ApiKey, Tie), Fault> {
        let key = Self::key(head)?;
        let asked = head.user.as_deref().unwrap_or_default();
        let tie = match key.kind() {
            KeyKind::App => self.tie_of_app(head, &key, asked).await?,
            KeyKind::Connection => self.tie_of_key(head, &key).await?,
            KeyKind::Operator => {
                self.recognise(head, &key).await?;
                let detail = "This needs an app key or a connection key.";
                return Err(Fault::new(Code::WrongCredential, detail));
            }
        };
        Ok((key, tie))
    }

    /// The tie and its caller, if that may do what it asks for. `may` is what the person's record and
    /// the module say, where they are asked.
    async fn reached(
        &self,
        head: &Head,
        key: &ApiKey,
        tie: &Tie,
        needs: Permission,
        may: impl FnOnce() -> Result<Option<Sought>, Fault>,
    ) -> Result<(OnTie, Caller), Fault> {
        let id = UserId(object_id(tie.connection.raw(), "user_id")?);
        let quota = self.spend(&limits_of(tie)?, head.context.now).await?;
        if needs == Permission::ByApp && key.kind() != KeyKind::App {
            return Err(rule::wrong_credential(needs));
        }
        let asked = head.user.as_deref().unwrap_or_default();
        if asked != ME && asked.parse() != Ok(id) {
            return Err(Fault::of(Code::NotFound));
        }
        let connection_key = (key.kind() == KeyKind::Connection).then_some(key.id());
        rule::connection(Some(tie.connection.raw()), connection_key, head.context.now)?;
        let module = may()?;
        rule::permission(needs, tie.connection.raw(), tie.app.record.raw())?;
        let connection = ConnectionId(object_id(tie.connection.raw(), "_id")?);
        let app = tie.app.id.clone();
        let standing = Standing::OnUser {
            app: app.clone(),
            key: tie.key.clone(),
            connection,
            user: id,
            needs,
            module,
        };
        let caller = of_app(&app, Some(connection), standing, quota);
        Ok((OnTie { user: id, connection, app }, caller))
    }

    fn key(head: &Head) -> Result<ApiKey, Fault> {
        head.credential.as_deref().and_then(ApiKey::parse).ok_or_else(rule::unauthenticated)
    }

    async fn found(&self, head: &Head, way: Way) -> Result<Snapshot, Fault> {
        self.may_look_up(head, &way)?;
        let found = self.store().snapshot_by(&pass(&head.context), way).await?;
        found.ok_or_else(rule::unauthenticated)
    }

    /// Whether the key is the stored one, if that may be used; else why not.
    fn takes(
        &self,
        key: &ApiKey,
        stored_mac: Result<Option<&str>, &'static str>,
    ) -> Result<(), &'static str> {
        let proven = stored_mac?.is_some_and(|mac| key::proves(self.keyring(), key, mac));
        if proven { Ok(()) } else { Err("wrong_secret") }
    }

    /// The app that an app key belongs to.
    async fn app_of_key(&self, head: &Head, key: &ApiKey) -> Result<KnownApp, Fault> {
        let record = self.found(head, Way::AppKey(key.id().into())).await?;
        let (app, now) = (record.raw(), head.context.now);
        let id = name_of(app)?;
        let stored = rule::app_key(app, key.id(), now);
        if let Err(why) = self.takes(key, stored.map(|key| key.text("mac")).ok_or(NOT_IN_USE)) {
            return Err(self.refuse(head, Holder::app(&id), why));
        }
        self.last_used().note(Used::AppKey { app: id.clone(), key_id: key.id().to_owned() }, now);
        self.recognises(head, Holder::app(&id), Actor::app(&id), app)?;
        rule::app(Some(app))?;
        Ok(KnownApp { record, id })
    }

    /// The connection between the app of an app key and the user who is asked for.
    async fn tie_of_app(&self, head: &Head, key: &ApiKey, asked: &str) -> Result<Tie, Fault> {
        let app = self.app_of_key(head, key).await?;
        let found = match asked.parse::<UserId>() {
            Ok(user) => {
                let way = Way::Tie(user.0, app.id.as_str().into());
                self.store().snapshot_by(&pass(&head.context), way).await?
            }
            Err(_) => None,
        };
        let Some(connection) = found else {
            self.spend(&[limit_of_app(&app)], head.context.now).await?;
            let me = "`me` needs a connection key; with an app key, send the user's id.";
            return Err(match asked {
                ME => Fault::new(Code::WrongCredential, me),
                _ => Fault::of(Code::NotFound),
            });
        };
        let raw = connection.raw();
        let (user, tie) = (object_id(raw, "user_id")?, object_id(raw, "_id")?);
        head.context.recognised.asks_about(UserId(user), ConnectionId(tie));
        Ok(Tie { app, connection, key: Presented::OfApp(key.id().to_owned()) })
    }

    async fn tie_of_key(&self, head: &Head, key: &ApiKey) -> Result<Tie, Fault> {
        let connection = self.found(head, Way::ConnectionKey(key.id().into())).await?;
        let (tie, now) = (connection.raw(), head.context.now);
        let id = ConnectionId(object_id(tie, "_id")?);
        let app_id = tie.text("app_id").and_then(Name::parse);
        let app_id = app_id.ok_or_else(|| Fault::internal("a connection without a usable app"))?;
        let user = UserId(object_id(tie, "user_id")?);
        let holder = || Holder::connection(id, user, &app_id);
        let stored = rule::connection_key(tie, key.id(), now).map(Some).ok_or(NOT_IN_USE);
        if let Err(why) = self.takes(key, stored) {
            return Err(self.refuse(head, holder(), why));
        }
        // Of the key before it, it is not told when it was used.
        if tie.text("key_id") == Some(key.id()) {
            self.last_used().note(Used::ConnectionKey(id), now);
        }
        self.recognises(head, holder(), Actor::app(&app_id), tie)?;
        let app = RecordId::Text(app_id.as_str().into());
        let app = self.store().snapshot(&pass(&head.context), "apps", app).await?;
        let record = app.ok_or_else(rule::unauthenticated)?;
        if !rule::connection_key_in_force(record.raw(), connection.raw()) {
            return Err(self.refuse(head, holder(), NOT_IN_USE));
        }
        rule::app(Some(record.raw()))?;
        let epoch = rule::connection_key_epoch(record.raw());
        let app = KnownApp { id: name_of(record.raw())?, record };
        Ok(Tie { app, connection, key: Presented::OfConnection(key.id().to_owned(), epoch) })
    }

    async fn operator_of_key(&self, head: &Head, key: &ApiKey) -> Result<(Snapshot, Quota), Fault> {
        let record = self.found(head, Way::OperatorKey(key.id().into())).await?;
        let (operator, now) = (record.raw(), head.context.now);
        let id = OperatorId(object_id(operator, "_id")?);
        let usable = rule::operator(Some(operator), Permission::Audit, now);
        let stored = usable.map(|()| operator.text("key_mac")).map_err(|_| NOT_IN_USE);
        if let Err(why) = self.takes(key, stored) {
            return Err(self.refuse(head, Holder::operator(id), why));
        }
        self.last_used().note(Used::OperatorKey(id), now);
        self.recognises(head, Holder::operator(id), Actor::operator(id), operator)?;
        let limited =
            Limited { whose: format!("opr:{id}").into(), limits: RateLimits::of_an_operator() };
        let quota = self.spend(&[limited], now).await?;
        self.used(head);
        Ok((record, quota))
    }

    /// Whether a key of the wrong kind for an action is at least a valid one: only then may its
    /// holder learn more than "401". It is counted like any other request.
    async fn recognise(&self, head: &Head, key: &ApiKey) -> Result<(), Fault> {
        match key.kind() {
            KeyKind::App => {
                let app = self.app_of_key(head, key).await?;
                self.spend(&[limit_of_app(&app)], head.context.now).await.map(drop)
            }
            KeyKind::Connection => {
                let tie = self.tie_of_key(head, key).await?;
                self.spend(&limits_of(&tie)?, head.context.now).await.map(drop)
            }
            KeyKind::Operator => self.operator_of_key(head, key).await.map(drop),
        }
    }

    /// The user and the tie, not older than what the caller says it has seen.
    async fn up_to_date(
        &self,
        head: &Head,
        user: UserId,
        tie: Tie,
    ) -> Result<(Option<Snapshot>, Tie), Fault> {
        let pass = pass(&head.context);
        let seen = head.seen.as_deref().and_then(|token| self.open_seen(token, user));
        let Some(revision) = seen else {
            let user = self.store().snapshot(&pass, "users", RecordId::Object(user.0)).await?;
            return Ok((user, tie));
        };
        let Tie { app, connection, key } = tie;
        let (user, connection) = self.store().at_least(&pass, user, connection, revision).await?;
        let connection = connection.ok_or_else(|| Fault::of(Code::NotFound))?;
        Ok((user, Tie { app, connection, key }))
    }
}

impl Tie {
    fn may_use(&self, module: Sought, user: Option<&RawDocument>) -> Result<Sought, Fault> {
        rule::module_permission(self.connection.raw(), &module.permission)?;
        rule::module_permission(self.app.record.raw(), &module.permission)?;
        user.map_or(Ok(()), |user| rule::verified(user, module.kyc_level))?;
        Ok(module)
    }
}

/// The module that the path names, if it is one that apps can use.
fn sought(modules: &Snapshot, head: &Head) -> Result<Sought, Fault> {
    let named = head.module.as_deref().and_then(|name| rule::module_named(modules.raw(), name));
    rule::module(named)?;
    let module = named.ok_or_else(|| Fault::of(Code::NotFound))?;
    Ok(Sought {
        id: object_id(module, "_id")?,
        permission: module.text("permission").unwrap_or_default().into(),
        kyc_level: module.number("required_kyc_level").unwrap_or(0),
    })
}

fn limit_of_app(app: &KnownApp) -> Limited {
    let limits = rates(app.record.raw(), "total_rate_limits", RateLimits::of_an_app());
    Limited { whose: format!("app:{}", app.id).into(), limits }
}

/// Of the connection first: it is what the caller is told.
fn limits_of(tie: &Tie) -> Result<[Limited; 2], Fault> {
    let connection = tie.connection.raw();
    let whose: Arc<str> = format!("con:{}", object_id(connection, "_id")?).into();
    let limits = rates(connection, "rate_limits", RateLimits::default());
    Ok([Limited { whose, limits }, limit_of_app(&tie.app)])
}

fn rates(record: &RawDocument, field: &str, otherwise: RateLimits) -> RateLimits {
    let Some(limits) = record.part(field) else { return otherwise };
    let rate = |name, otherwise| limits.number(name).unwrap_or(otherwise);
    RateLimits {
        requests_per_minute: rate("requests_per_minute", otherwise.requests_per_minute),
        requests_per_hour: rate("requests_per_hour", otherwise.requests_per_hour),
    }
}

fn of_app(
    app: &Name,
    connection: Option<ConnectionId>,
    standing: Standing,
    quota: Quota,
) -> Caller {
    Caller {
        actor: Actor::app(app),
        app_id: Some(app.clone()),
        connection_id: connection,
        peer: None,
        ip_address: None,
        asserted_by: None,
        standing,
        quota: Some(quota),
        // Whichever of its keys is shown: the same request is the same operation.
        scope: format!("app:{app}"),
    }
}

fn name_of(app: &RawDocument) -> Result<Name, Fault> {
    let name = app.text("_id").and_then(Name::parse);
    name.ok_or_else(|| Fault::internal("an app without a usable id"))
}

fn object_id(record: &RawDocument, field: &str) -> Result<ObjectId, Fault> {
    record.get_object_id(field).map_err(|_| Fault::internal(format!("a record without {field}")))
}
