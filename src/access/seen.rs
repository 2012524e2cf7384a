//! `Purser-Seen`: what a caller has seen of a person, so that it is never shown anything older,
//! whichever node it asks. Sealed, because a bare revision would tell of other apps' work.

use super::action::Action;
use super::gate::Gate;
use super::grant::{Granted, OnUser};
use crate::audit::actor::Subject;
use crate::crypto::envelope::Context;
use crate::kernel::ids::UserId;
use crate::store::{Done, Written};

const PLACE: Context<'_> = Context { collection: "seen", id: "user", field: "revision" };
const ID_BYTES: usize = 12;

impl Gate {
    /// What whoever gets this answer has seen of the person: as the grant had found them, or as the
    /// unit has left them.
    pub fn seen_of<A: Action<Target = OnUser>>(
        &self,
        grant: &Granted<A>,
        written: &[Written],
    ) -> String {
        let user = grant.target().user;
        let found = grant.target().records.user.revision();
        self.seal_seen(user, newest(user, written).unwrap_or(found))
    }

    /// As `seen_of`, where no grant on the person was needed; nothing, where nothing was written. What
    /// an earlier answer was about may be newer than all copies: after it the database is read.
    pub fn seen_after<T>(&self, user: UserId, done: &Done<T>) -> Option<String> {
        let of_earlier = done.replayed.then_some(i64::MAX);
        let revision = of_earlier.or_else(|| newest(user, &done.written))?;
        Some(self.seal_seen(user, revision))
    }

    fn seal_seen(&self, user: UserId, revision: i64) -> String {
        let mut plain = user.0.bytes().to_vec();
        plain.extend(revision.to_be_bytes());
        self.keyring().seal(self.chance(), &PLACE, &plain)
    }

    /// The revision, where the token is about this user. One that is not, or is none, asks for
    /// nothing: it was made for somebody else, or under a key that is gone.
    pub(super) fn open_seen(&self, token: &str, user: UserId) -> Option<i64> {
        let plain = self.keyring().open(&PLACE, token).ok()?;
        let (id, revision) = plain.split_at_checked(ID_BYTES)?;
        (id == user.0.bytes()).then_some(())?;
        Some(i64::from_be_bytes(revision.try_into().ok()?))
    }
}

/// The revision that a unit has brought this user to.
fn newest(user: UserId, written: &[Written]) -> Option<i64> {
    written.iter().filter(|one| one.subject == Subject::User(user)).map(|one| one.seq).max()
}
