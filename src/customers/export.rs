//! Exporting: who was given what is noted first, and then everything is written.

use bson::doc;
use serde_json::Value;

use super::actions::ExportUser;
use crate::access::grant::Granted;
use crate::connections;
use crate::crypto::envelope::DataKey;
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::UserId;
use crate::kernel::time::{self, Timestamp};
use crate::modules::subscription;
use crate::people;
use crate::store::{Hints, Query, Record, Store};
use crate::users::{Account, Customer, Identity, User, UserStatus};

/// What is read before the answer begins, so that whatever fails here is told as a problem.
pub struct Whole {
    pub user: User,
    pub now: Timestamp,
    pub person: Value,
    pub customer: Option<Customer>,
    pub accounts: Vec<Account>,
    pub subscription: Value,
    pub registrations: Vec<Value>,
    /// Opens what is the person's own; gone, once they are erased.
    pub key: Option<DataKey>,
}

/// Leaves an entry each time, as the noted moment always moves on; see `connections/keys.rs`. An
/// erased person is never changed again, and nothing personal is left that somebody could be given.
pub async fn export(
    grant: &Granted<ExportUser>,
    store: &Store,
    user: UserId,
    reason: Option<String>,
) -> Result<Whole, Fault> {
    let hints = Hints::none().and(&User::by_id(user));
    let noted = store.unit(grant.warrant(), hints, move |work| {
        let before = work.get(&User::by_id(user))?;
        match before.status {
            UserStatus::Erased => return Ok(()),
            UserStatus::Merged => return Err(Fault::of(Code::NotFound).into()),
            _ => {}
        }
        if let Some(reason) = &reason {
            work.refer_to(reason);
        }
        let next = before.exported_at.map(|at| time::plus(at, 1));
        let exported_at = Some(next.map_or(work.now(), |next| next.max(work.now())));
        work.revise(&before, &User { exported_at, ..before.clone() })
    });
    noted.await?;
    whole(grant, store, user).await
}

async fn whole(grant: &Granted<ExportUser>, store: &Store, id: UserId) -> Result<Whole, Fault> {
    let (pass, now) = (grant.pass(), grant.now());
    let user = store.find(&pass, &User::by_id(id)).await?;
    let user = user.ok_or_else(|| Fault::of(Code::NotFound))?;
    let theirs = Query::of(Identity::KIND.collection, doc! { "user_id": id.0 });
    let identities: Vec<Identity> = store.list(&pass, theirs.sort(doc! { "_id": 1 })).await?;
    let customer = doc! { "_id": user.customer_id.0 };
    let customer = Query::of(Customer::KIND.collection, customer).limit(1);
    let owned = doc! { "customer_id": user.customer_id.0 };
    let owned = Query::of(Account::KIND.collection, owned).sort(doc! { "_id": 1 });
    Ok(Whole {
        person: people::whole(&user, &identities)?,
        customer: store.list(&pass, customer).await?.pop(),
        accounts: store.list(&pass, owned).await?,
        subscription: subscription::of_person(&pass, store, id, now).await?,
        registrations: connections::waiting_of(&pass, store, id, &identities, now).await?,
        key: store.data_keys(&pass, &[id]).await?.remove(&id),
        now,
        user,
    })
}
