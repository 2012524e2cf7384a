//! From what was counted to entries.

use futures_util::future::join_all;

use super::notes::{Due, Noted, Tally};
use super::record::{Lately, Watched};
use crate::access::gate::{Gate, witness};
use crate::access::principal::Context;
use crate::audit::actor::Subject;
use crate::kernel::fault::{Class, Fault};
use crate::store::Hints;

/// Entries under way at once: the lane is for callers.
const AT_ONCE: usize = 32;

impl Gate {
    /// Writes what is due, each with a context of its own. What the database does not take now waits
    /// for the next time, and so does everything behind it.
    pub async fn write_seen(
        &self,
        due: Due,
        context: impl Fn() -> Context + Sync,
    ) -> Result<(), Fault> {
        let mut noted = self.watch().take(due);
        let mut failed = None;
        while !noted.is_empty() {
            let later = noted.split_off(noted.len().min(AT_ONCE));
            let context = context();
            let written = join_all(noted.iter().map(|noted| self.write_one(noted, &context))).await;
            for (noted, written) in noted.into_iter().zip(written) {
                match written {
                    Ok(()) => {}
                    Err(fault) if fault.code().class() == Class::Unavailable => {
                        self.watch().give_back(noted);
                        failed = Some(fault);
                    }
                    Err(fault) => {
                        self.watch().give_up(&noted);
                        failed = Some(fault);
                    }
                }
            }
            noted = later;
            if failed.is_some() {
                noted.drain(..).for_each(|noted| self.watch().give_back(noted));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn write_one(&self, noted: &Noted, context: &Context) -> Result<(), Fault> {
        let Noted { event, tally, .. } = noted;
        let (event, warrant) = (*event, witness(*event, &tally.sighting, context));
        let (subject, latest) = (Subject::Security(tally.sighting.whose.clone()), lately(tally));
        let hints = Hints::none().and(&Watched::of(&subject));
        let unit = self.store().unit(warrant, hints, move |work| {
            Watched::add(work, &subject, event.name(), latest.clone())
        });
        unit.await.map(drop)
    }
}

fn lately(tally: &Tally) -> Lately {
    Lately {
        count: tally.count,
        addresses: i64::try_from(tally.addresses.len()).unwrap_or(i64::MAX),
        since: tally.since,
        until: tally.until,
        reason: tally.reason.map(str::to_owned),
    }
}
