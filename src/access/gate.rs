//! From a request's head to a grant. The only place that issues passes and warrants.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{RawDocumentBuf, doc};

use super::action::{Action, Mutating};
use super::anonymous::Anonymous;
use super::figures::{Figures, Limit};
use super::grant::{Caller, Granted, OnItself};
use super::last_used::LastUsed;
use super::limiter::{Limited, Limiter};
use super::permission::Permission;
use super::principal::{Context, Head, Receipts, Repeatable};
use super::standing::Standing;
use super::watch::{self, Event, Sighting, Watch};
use crate::audit::actor::Actor;
use crate::audit::entry::Outcome;
use crate::audit::warrant::{Pass, Terms, Warrant};
use crate::config::audit::IpDetail;
use crate::crypto::keyring::Keyring;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::Name;
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;
use crate::store::{Query, Store, Way};

#[derive(Clone)]
pub struct Gate {
    store: Store,
    keyring: Arc<Keyring>,
    ip_detail: IpDetail,
    last_used: Arc<LastUsed>,
    limiter: Limiter,
    anonymous: Anonymous,
    figures: Figures,
    watch: Arc<Watch>,
}

pub(super) fn pass(context: &Context) -> Pass {
    Pass::issue(context.deadline)
}

pub(super) fn warrant<A: Mutating>(grant: &Granted<A>) -> Warrant {
    let module = grant.concerns.as_ref().map(|name| Cow::Owned(name.to_string()));
    let module = module.unwrap_or(Cow::Borrowed(A::MODULE));
    let idempotency = grant.repeatable.0.clone();
    Warrant::issue(Terms { module, idempotency, ..terms(grant, A::NAME) })
}

/// Leave to say that something was read: the grant need not be one to write.
pub(super) fn reading<A: Action>(grant: &Granted<A>, action: &'static str) -> Warrant {
    Warrant::issue(Terms { receipts: Receipts::default(), ..terms(grant, action) })
}

fn terms<A: Action>(grant: &Granted<A>, action: &'static str) -> Terms {
    let Granted { caller, context, .. } = grant;
    Terms {
        action,
        module: Cow::Borrowed(watch::MODULE),
        actor: caller.actor.clone(),
        user_id: None,
        app_id: caller.app_id.clone(),
        connection_id: caller.connection_id,
        request_id: Some(context.request_id.clone()),
        ip_address: caller.ip_address.clone(),
        asserted_by: caller.asserted_by.clone(),
        outcome: Outcome::Done,
        now: context.now,
        deadline: context.deadline,
        provisos: caller.standing.provisos(context.now),
        idempotency: None,
        receipts: context.receipts.clone(),
    }
}

/// Leave to write down what was seen of somebody. There is no grant: most of them were refused one.
pub(super) fn witness(event: Event, seen: &Sighting, context: &Context) -> Warrant {
    Warrant::issue(Terms {
        action: event.name(),
        module: Cow::Borrowed(watch::MODULE),
        actor: seen.actor.clone(),
        user_id: seen.user_id,
        app_id: seen.app_id.clone(),
        connection_id: seen.connection_id,
        request_id: seen.request_id.clone(),
        ip_address: seen.ip_address.clone(),
        asserted_by: seen.asserted_by.clone(),
        outcome: event.outcome(),
        now: context.now,
        deadline: context.deadline,
        provisos: Vec::new(),
        idempotency: None,
        receipts: Receipts::default(),
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
    pub fn new(
        store: Store,
        keyring: Arc<Keyring>,
        ip_detail: IpDetail,
        anonymous: Anonymous,
        figures: Figures,
    ) -> Self {
        let limiter = Limiter::new(store.clone(), figures.clone());
        let last_used = Arc::default();
        let watch = Arc::new(Watch::new(figures.clone()));
        Self { store, keyring, ip_detail, last_used, limiter, anonymous, figures, watch }
    }

    pub async fn admit<A: Action>(&self, head: &Head) -> Result<Granted<A>, Fault>
    where
        A::Target: Resolve,
    {
        let resolved = A::Target::resolve(self, head, A::NEEDS).await;
        let (target, mut caller) = resolved.map_err(|fault| self.counted(head, fault))?;
        self.place(head, &mut caller);
        let context = head.context.clone();
        Ok(Granted {
            target,
            caller,
            context,
            repeatable: Repeatable::default(),
            concerns: match A::NEEDS {
                Permission::OfModule => head.module.as_deref().and_then(Name::parse),
                _ => None,
            },
            action: PhantomData,
        })
    }

    /// Leave to read on, for an answer that takes longer than a request may: while the caller may
    /// still do what it was granted.
    pub async fn leave_again<A: Action>(
        &self,
        grant: &Granted<A>,
        now: Timestamp,
        time: Duration,
    ) -> Result<Pass, Fault> {
        let pass = Pass::issue(Instant::now() + time);
        for proviso in grant.caller.standing.provisos(now) {
            let query = Query::of(proviso.collection, doc! { "_id": proviso.id }).limit(1);
            let record: Vec<RawDocumentBuf> = self.store.list(&pass, query).await?;
            (proviso.holds)(record.first().map(AsRef::as_ref))?;
        }
        Ok(pass)
    }

    /// For Purser's own jobs and its command line, which have no caller.
    pub fn itself<A: Action<Target = OnItself>>(&self, job: Name, context: Context) -> Granted<A> {
        let caller = Caller {
            actor: Actor::system(job.as_str()),
            app_id: None,
            connection_id: None,
            peer: None,
            ip_address: None,
            asserted_by: None,
            standing: Standing::Itself,
            quota: None,
            scope: format!("system:{job}"),
        };
        let target = OnItself { job };
        let (repeatable, concerns) = (Repeatable::default(), None);
        Granted { target, caller, context, repeatable, concerns, action: PhantomData }
    }

    pub fn last_used(&self) -> &LastUsed {
        &self.last_used
    }

    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn chance(&self) -> &crate::kernel::chance::Chance {
        self.store.chance()
    }

    pub(super) async fn spend(&self, limited: &[Limited], now: Timestamp) -> Result<Quota, Fault> {
        self.limiter.spend(limited, now).await
    }

    /// Whoever shows no key that is in use is counted by address.
    fn counted(&self, head: &Head, fault: Fault) -> Fault {
        if fault.code() != Code::Unauthenticated {
            return fault;
        }
        let spent = self.anonymous.spend(head.peer);
        spent.inspect_err(|_| self.figures.limited(Limit::Anonymous)).err().unwrap_or(fault)
    }

    /// A key that was never seen here may cost a read; not for an address that has shown too many
    /// that are none.
    pub(super) fn may_look_up(&self, head: &Head, way: &Way) -> Result<(), Fault> {
        match self.anonymous.is_spent(head.peer) {
            Some(seconds) if !self.store.knows(way) => {
                self.figures.limited(Limit::Anonymous);
                Err(Fault::of(Code::RateLimited).retry_after(seconds))
            }
            _ => Ok(()),
        }
    }

    /// The person's address where the app tells it, else the peer's; as much of it as is kept.
    fn place(&self, head: &Head, caller: &mut Caller) {
        caller.peer = head.peer;
        let asserted = head.client.filter(|_| caller.app_id.is_some());
        caller.asserted_by = asserted.and(caller.app_id.clone());
        caller.ip_address = self.kept(asserted.or(head.peer));
    }

    pub(super) fn kept(&self, address: Option<IpAddr>) -> Option<String> {
        address.and_then(|ip| kept(ip, self.ip_detail))
    }
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
