//! Reading and writing what one person has in a module.

use std::sync::Arc;

use bson::Document;
use serde_json::{Map, Value};

use super::Holder;
use super::actions::{ReadModule, SwitchModule, UpdateModule};
use super::view::etag;
use crate::access::grant::{Granted, OnUser};
use crate::http::call::Preconditions;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{Name, UserId};
use crate::modules::registry::{Catalogue, Custom, Open, Registered, current};
use crate::store::{Done, Hints, Store};
use crate::users::{BUILT_IN, User, UserStatus};

/// What the app sees of it. Where everybody starts with nothing, there may be nothing yet.
pub fn read(grant: &Granted<ReadModule>, open: &Open) -> Result<Value, Fault> {
    let user: User = grant.target().records.user.record()?;
    let data = user.modules.get_document(open.line().module_name.as_str()).ok();
    open.module().view(data).ok_or_else(|| {
        let detail =
            "This person has no data in this module yet: PATCH it with all required fields.";
        Fault::new(Code::NotFound, detail)
    })
}

/// The module that the gate has let the caller through to.
pub fn opened(target: &OnUser, catalogue: &Catalogue, name: &str) -> Result<Open, Fault> {
    let shelved = catalogue.of(&target.records.modules);
    shelved.named(name).cloned().ok_or_else(|| Fault::of(Code::NotFound))
}

pub async fn update(
    grant: &Granted<UpdateModule>,
    store: &Store,
    custom: Arc<Custom>,
    patch: Map<String, Value>,
    preconditions: Preconditions,
) -> Result<Done<Value>, Fault> {
    let (user, keyring) = (grant.target().user, store.keyring().clone());
    let hints = Hints::none().and(&Holder::by_id(user)).look(&Registered::by_id(custom.line.id));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        let custom = current(work, &custom)?;
        let name = custom.line.module_name.as_str();
        let before = work.get(&Holder::by_id(user))?;
        let stored = before.modules.get_document(name).ok();
        let seen = custom.read(stored);
        preconditions
            .check(|| etag(&seen.clone().map(Value::Object).unwrap_or_default(), &keyring))?;
        let data = custom.patched(stored, &patch)?;
        if seen.as_ref() != Some(&data) {
            let mut after = before.clone();
            after.modules.insert(name, custom.admitted(&data).map_err(Fault::invalid_fields)?);
            work.revise(&before, &after)?;
        }
        Ok(Value::Object(data))
    });
    unit.await
}

/// Enables or disables a module for one person; whether it is enabled now.
pub async fn switch(
    grant: &Granted<SwitchModule>,
    store: &Store,
    user: UserId,
    name: Name,
    enabled: bool,
) -> Result<Done<bool>, Fault> {
    let grant = grant.concerning(&name);
    let hints = Hints::none().and(&Holder::by_id(user)).look(&Registered::by_name(&name));
    let unit = store.unit(grant.warrant(), hints, move |work| {
        let line = Registered::existing(work.find(&Registered::by_name(&name))?)?;
        if !line.is_open() {
            let detail = "The module is not in use: set its status to `active` first.";
            return Err(Fault::new(Code::WrongState, detail).into());
        }
        let before = work.get(&Holder::by_id(user))?;
        if matches!(before.status, UserStatus::Merged | UserStatus::Erased) {
            return Err(Fault::of(Code::NotFound).into());
        }
        let stored = before.modules.get_document(name.as_str()).ok();
        let switched = if BUILT_IN.contains(&name.as_str()) {
            stored.map(|stored| {
                let mut switched = stored.clone();
                switched.insert("enabled", enabled);
                switched
            })
        } else {
            switched(line, stored, enabled)?
        };
        let Some(switched) = switched else {
            let detail = "This person has no data in this module yet, and its defaults make none: \
                          an app has to PATCH it first.";
            return Err(Fault::new(Code::WrongState, detail).into());
        };
        let mut after = before.clone();
        after.modules.insert(name.as_str(), switched);
        work.revise(&before, &after)?;
        Ok(enabled)
    });
    unit.await
}

fn switched(
    line: Registered,
    stored: Option<&Document>,
    enabled: bool,
) -> Result<Option<Document>, Fault> {
    let custom = Custom::of(line)?;
    let switched = custom.switched(stored, enabled);
    switched.map(|data| custom.admitted(&data).map_err(Fault::invalid_fields)).transpose()
}
