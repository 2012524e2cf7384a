//! Counting a person up: the smallest change that shows when it happened twice, or not at all. It
//! goes through the gate and the write path like a request, but its grant can be kept for later.

use purser::access::cursor::Repetition;
use purser::access::grant::Granted;
use purser::access::principal::{Head, Repeatable};
use purser::app::build;
use purser::connections::UpdateUser;
use purser::kernel::fault::Fault;
use purser::store::{Done, Hints};
use purser::users::User;

use super::{Principal, Purser};

#[derive(Clone)]
pub struct Counter {
    purser: build::Purser,
    key: String,
    user: String,
}

impl Purser {
    /// Counts this person up in the name of `app`.
    pub fn counter(&self, app: &Principal, user: &str) -> Counter {
        let (key, user) = (app.key().to_owned(), user.to_owned());
        Counter { purser: self.inner.clone(), key, user }
    }

    /// How far the person was counted, as it is stored.
    pub fn db_count(&self, user: &str) -> i64 {
        let user: bson::oid::ObjectId = user.parse().expect("an id");
        let found = self.db_find("users", bson::doc! { "_id": user });
        let audit = found[0].get_document("audit").expect("audit");
        audit.get_i64("login_count").expect("a count")
    }
}

impl Counter {
    /// What a request gets at the door now.
    pub async fn admitted(&self) -> Granted<UpdateUser> {
        let head = Head {
            credential: Some(self.key.clone()),
            user: Some(self.user.clone()),
            module: None,
            peer: None,
            client: None,
            seen: None,
            context: self.purser.context(),
        };
        self.purser.gate.admit(&head).await.expect("admitted")
    }

    pub async fn up(&self) -> Result<i64, Fault> {
        let grant = self.admitted().await;
        self.up_by(&grant).await.map(|done| done.answer)
    }

    /// The same under an Idempotency-Key.
    pub async fn up_once(&self, key: &str) -> Result<Done<i64>, Fault> {
        let grant = self.admitted().await;
        self.up_once_by(key, grant).await
    }

    pub async fn up_once_by(
        &self,
        key: &str,
        grant: Granted<UpdateUser>,
    ) -> Result<Done<i64>, Fault> {
        let repetition = Repetition {
            scope: "test",
            place: "counter",
            key,
            method: "POST",
            route: "/count",
            parameters: &self.user,
            body: b"",
        };
        let idempotency = self.purser.gate.idempotency(&repetition);
        self.up_by(&grant.repeatable(Repeatable(Some(idempotency)))).await
    }

    pub async fn up_by(&self, grant: &Granted<UpdateUser>) -> Result<Done<i64>, Fault> {
        let user = grant.target().user;
        let hints = Hints::none().and(&User::by_id(user));
        let counted = self.purser.store.unit(grant.warrant(), hints, move |work| {
            let before = work.get(&User::by_id(user))?;
            let mut after = before.clone();
            after.audit.login_count += 1;
            work.revise(&before, &after)?;
            Ok(after.audit.login_count)
        });
        counted.await
    }
}
