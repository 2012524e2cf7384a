//! That somebody reads the trail stands in the trail.

use super::event::AUDIT_READ;
use super::record::{Lately, Watched};
use crate::access::action::Action;
use crate::access::gate::{self, Gate};
use crate::access::grant::Granted;
use crate::access::permission::Permission;
use crate::access::standing::Standing;
use crate::audit::actor::Subject;
use crate::audit::warrant::Warrant;
use crate::kernel::fault::{Code, Fault};
use crate::store::Hints;

const ASKED_CHARACTERS_MAX: usize = 255;

/// An answer that may be given only once it stands in the trail that it was.
#[derive(Clone)]
pub struct Read {
    warrant: Warrant,
    subject: Subject,
    asked: String,
}

impl Read {
    /// `asked` is the path and the filter. Nothing, where no auditor is needed.
    pub fn of<A: Action>(grant: &Granted<A>, asked: impl FnOnce() -> String) -> Option<Self> {
        let Standing::Operator { id, needs: Permission::Audit } = grant.caller.standing else {
            return None;
        };
        let (warrant, subject) = (gate::reading(grant, AUDIT_READ), Subject::Reads(id));
        let asked = asked().chars().take(ASKED_CHARACTERS_MAX).collect();
        Some(Self { warrant, subject, asked })
    }
}

impl Gate {
    pub async fn leave(&self, read: Read) -> Result<(), Fault> {
        let Read { warrant, subject, asked } = read;
        let hints = Hints::none().and(&Watched::of(&subject));
        let unit = self.store().unit(warrant, hints, move |work| {
            work.refer_to(&asked);
            let (since, until) = (work.now(), work.now());
            let once = Lately { count: 1, addresses: 1, since, until, reason: None };
            Watched::add(work, &subject, AUDIT_READ, once)
        });
        let left = unit.await.map(drop);
        left.map_err(|fault| match fault.code() {
            // Whether it stands there is not known, and nothing was shown: whoever asks again is safe.
            Code::OutcomeUnknown => {
                Fault::of(Code::StoreUnavailable).retry_after(2).because("whether it was written")
            }
            _ => fault,
        })
    }
}
