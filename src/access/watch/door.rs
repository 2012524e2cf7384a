//! What the gate tells whoever watches, while it finds out who asks.

use std::net::IpAddr;

use bson::RawDocument;

use super::event::{Event, Holder, Sighting};
use crate::access::action::Action;
use crate::access::gate::Gate;
use crate::access::grant::Granted;
use crate::access::principal::Head;
use crate::access::rule;
use crate::audit::actor::{Actor, Whose};
use crate::kernel::fault::Fault;
use crate::kernel::ids::UserId;

/// The actor where nobody has proven to be anybody.
const DOOR: &str = "door";

impl Gate {
    /// A known key that is not taken: whoever shows it is told what everybody is told.
    pub(in crate::access) fn refuse(
        &self,
        head: &Head,
        holder: Holder,
        why: &'static str,
    ) -> Fault {
        self.watch().note(Event::KeyRefused, self.sighting(head, holder, None), Some(why));
        rule::unauthenticated()
    }

    pub(in crate::access) fn denied(&self, head: &Head, why: &'static str) {
        if let Some(sighting) = head.context.recognised.sighting() {
            self.watch().note(Event::PermissionDenied, sighting, Some(why));
        }
    }

    /// The key is right; what becomes of the request is seen of its holder, if it comes from where it may.
    pub(in crate::access) fn recognises(
        &self,
        head: &Head,
        holder: Holder,
        actor: Actor,
        record: &RawDocument,
    ) -> Result<(), Fault> {
        if let Err(fault) = rule::address(record, head.peer) {
            self.refuse(head, holder, fault.code().name());
            return Err(fault);
        }
        head.context.recognised.is(self.sighting(head, holder, Some(actor)));
        Ok(())
    }

    pub(in crate::access) fn used(&self, head: &Head) {
        if let Some(sighting) = head.context.recognised.sighting() {
            self.watch().note(Event::OperatorUsed, sighting, None);
        }
    }

    /// What is seen of a key's holder. Only of an app that has proven to be one is believed where the
    /// person is.
    fn sighting(&self, head: &Head, holder: Holder, proven: Option<Actor>) -> Sighting {
        let Holder { whose, user_id, app_id, connection_id } = holder;
        let asserted = head.client.filter(|_| proven.is_some() && app_id.is_some());
        let address = asserted.or(head.peer);
        Sighting {
            whose,
            actor: proven.unwrap_or_else(|| Actor::system(DOOR)),
            user_id,
            asserted_by: asserted.and(app_id.clone()),
            app_id,
            connection_id,
            address,
            ip_address: self.kept(address),
            request_id: Some(head.context.request_id.clone()),
            at: head.context.now,
        }
    }
}

impl<A: Action> Granted<A> {
    /// Somebody whom the caller has named could not prove to be that person. `address` is where the
    /// caller says they are.
    pub fn seen_failing(&self, user: UserId, address: Option<IpAddr>) -> Sighting {
        let caller = &self.caller;
        Sighting {
            whose: Whose::User(user),
            actor: Actor::system(DOOR),
            user_id: Some(user),
            app_id: caller.app_id.clone(),
            connection_id: None,
            address: address.or(caller.peer),
            ip_address: caller.ip_address.clone(),
            asserted_by: caller.asserted_by.clone(),
            request_id: Some(self.context.request_id.clone()),
            at: self.context.now,
        }
    }
}
