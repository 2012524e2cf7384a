//! Bringing the units of one transaction to their answers.
//!
//! An attempt that fails as a whole is repeated once, with the updates one by one, so that a record
//! that somebody holds is named; what changes it is set aside, and the others go on. What fails
//! without a name is halved until the culprit stands alone.

use std::time::{Duration, Instant};

use std::sync::Arc;

use mongodb::ClientSession;

use super::aside::Aside;
use super::client::Inner;
use super::lane::Queued;
use super::trouble::{Trouble, unavailable};
use super::unit::Operation;
use super::write::{self, Absence, Manner, People, Updates};
use crate::kernel::fault::{Code, Fault};

/// How often a unique value may turn up as taken before that is the answer.
pub(super) const DUPLICATE_TRIES: u32 = 4;
const BACKOFF_FIRST: Duration = Duration::from_millis(4);
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// Brings every unit to an answer, or aside.
pub(super) async fn settle(
    store: &Arc<Inner>,
    aside: &Arc<Aside>,
    session: &mut ClientSession,
    units: Vec<Queued>,
) {
    let (presumes, recalls) = (store.presumption.holds(), store.memory.trust.holds());
    let mut groups = vec![(units, Attempts::first(presumes, recalls))];
    while let Some((units, attempts)) = groups.pop() {
        let mut units = without_the_late(units);
        let Some(deadline) = units.iter().map(|unit| unit.warrant().deadline).max() else {
            continue;
        };
        let tried = write::attempt(store, session, &mut units, deadline, attempts.manner());
        let Err(trouble) = tried.await else {
            store.figures.batch.observe(f64::from(u32::try_from(units.len()).unwrap_or(u32::MAX)));
            units.into_iter().for_each(Operation::finish);
            continue;
        };
        store.figures.failed.inc();
        if trouble == Trouble::Duplicate && attempts.presumes {
            store.presumption.failed();
        }
        if trouble == Trouble::Conflict && attempts.recalls {
            store.memory.trust.failed();
        }
        tracing::debug!(?trouble, units = units.len(), "an attempt failed");
        if let Trouble::Held(record) = &trouble {
            let (held, free): (Vec<_>, Vec<_>) =
                units.into_iter().partition(|unit| unit.names().contains(record));
            if !held.is_empty() {
                for unit in held {
                    Aside::take(aside, store, unit);
                }
                groups.push((free, attempts));
                continue;
            }
            units = free;
        }
        match attempts.next(&trouble, units.len()) {
            Next::Again { pause, attempts } => {
                tokio::time::sleep(pause).await;
                groups.push((units, attempts));
            }
            Next::Halve => {
                store.figures.halved.inc();
                let second = units.split_off(units.len() / 2);
                groups.push((second, Attempts::halved()));
                groups.push((units, Attempts::halved()));
            }
            Next::SetAside => units.into_iter().for_each(|unit| Aside::take(aside, store, unit)),
            Next::GiveUp(code) => give_up(units, code, &trouble),
        }
    }
}

/// How often a group of units was tried, and what comes next.
#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    /// Whether what is going to be created is taken for absent: only until something went wrong.
    presumes: bool,
    /// Whether people are taken as they were left: the same.
    recalls: bool,
    conflicts: u32,
    transients: u32,
}

enum Next {
    Again { pause: Duration, attempts: Attempts },
    Halve,
    SetAside,
    GiveUp(Code),
}

impl Attempts {
    fn first(presumes: bool, recalls: bool) -> Self {
        Self { presumes, recalls, ..Self::default() }
    }

    /// Once there was a conflict, it is worth knowing where.
    fn manner(self) -> Manner {
        let updates = if self.conflicts == 0 { Updates::Together } else { Updates::OneByOne };
        let absence = if self.presumes { Absence::Presumed } else { Absence::LookedFor };
        let people = if self.recalls { People::Recalled } else { People::Read };
        Manner { updates, absence, people }
    }

    /// A half of a group that has failed twice is halved at its first failure.
    fn halved() -> Self {
        Self { conflicts: 1, ..Self::default() }
    }

    fn next(self, trouble: &Trouble, units: usize) -> Next {
        let taken = self.presumes && *trouble == Trouble::Duplicate;
        if taken || self.recalls && *trouble == Trouble::Conflict {
            return Next::Again { pause: Duration::ZERO, attempts: Self::default() };
        }
        let wary = Self { presumes: false, recalls: false, ..self };
        match trouble {
            Trouble::InDoubt => Next::GiveUp(Code::OutcomeUnknown),
            Trouble::Transient(_) => Next::Again {
                pause: backoff(self.transients),
                attempts: Self { transients: self.transients + 1, ..wary },
            },
            // Once more as it is: mostly another node has just changed a record.
            Trouble::Conflict | Trouble::Duplicate if self.conflicts == 0 => {
                Next::Again { pause: Duration::ZERO, attempts: Self { conflicts: 1, ..wary } }
            }
            _ if units > 1 => Next::Halve,
            Trouble::Conflict | Trouble::Held(_) => Next::SetAside,
            Trouble::Duplicate if self.conflicts < DUPLICATE_TRIES => Next::Again {
                pause: BACKOFF_FIRST,
                attempts: Self { conflicts: self.conflicts + 1, ..wary },
            },
            Trouble::Duplicate => Next::GiveUp(Code::AlreadyExists),
            Trouble::Rejected(_) | Trouble::Broken(_) => Next::GiveUp(Code::Internal),
        }
    }
}

/// Units whose deadline has passed before anything of them was committed are answered so.
pub(super) fn without_the_late(units: Vec<Queued>) -> Vec<Queued> {
    let now = Instant::now();
    let (late, live): (Vec<_>, Vec<_>) =
        units.into_iter().partition(|unit| unit.warrant().deadline <= now || unit.abandoned());
    for mut unit in late {
        unit.deny(unavailable().because("the deadline passed before the unit could be committed"));
        unit.finish();
    }
    live
}

pub(super) fn give_up(units: Vec<Queued>, code: Code, trouble: &Trouble) {
    for mut unit in units {
        let fault = Fault::of(code).because(format!("{trouble:?}"));
        unit.deny(if code == Code::OutcomeUnknown { fault.retry_after(1) } else { fault });
        unit.finish();
    }
}

pub(super) fn backoff(tries: u32) -> Duration {
    (BACKOFF_FIRST * 2_u32.saturating_pow(tries.min(8))).min(BACKOFF_MAX)
}

pub(super) fn jittered(pause: Duration, store: &Inner) -> Duration {
    let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(micros / 2 + store.chance.below(micros / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a group, trouble by trouble.
    fn steps(trouble: &Trouble, units: usize, count: usize) -> Vec<String> {
        let mut attempts = Attempts::default();
        let mut steps = Vec::new();
        for _ in 0..count {
            let step = match attempts.next(trouble, units) {
                Next::Again { attempts: next, .. } => {
                    attempts = next;
                    steps.push("again".to_owned());
                    continue;
                }
                Next::Halve => "halve".to_owned(),
                Next::SetAside => "aside".to_owned(),
                Next::GiveUp(code) => code.name().to_owned(),
            };
            steps.push(step);
            break;
        }
        steps
    }

    #[test]
    fn a_conflict_is_tried_once_more_then_halved_and_the_culprit_goes_aside() {
        assert_eq!(steps(&Trouble::Conflict, 64, 9), ["again", "halve"]);
        assert_eq!(steps(&Trouble::Conflict, 1, 9), ["again", "aside"]);
        assert!(matches!(Attempts::halved().next(&Trouble::Conflict, 32), Next::Halve));
        assert!(matches!(Attempts::halved().next(&Trouble::Conflict, 1), Next::SetAside));
    }

    #[test]
    fn what_was_presumed_wrongly_is_looked_for_before_it_counts() {
        let first = Attempts::first(true, true);
        let manner = first.manner();
        assert_eq!((manner.absence, manner.people), (Absence::Presumed, People::Recalled));
        for trouble in [Trouble::Duplicate, Trouble::Conflict] {
            let Next::Again { attempts, pause } = first.next(&trouble, 8) else { panic!("again") };
            assert_eq!((attempts.manner(), pause), (Manner::WARY, Duration::ZERO));
        }
        let away = Trouble::Transient(String::new());
        let Next::Again { attempts, .. } = first.next(&away, 8) else { panic!("again") };
        assert_eq!(attempts.manner(), Manner::WARY);
    }

    #[test]
    fn a_value_that_stays_taken_is_the_answer_in_the_end() {
        assert_eq!(steps(&Trouble::Duplicate, 8, 9), ["again", "halve"]);
        let alone = steps(&Trouble::Duplicate, 1, 99);
        assert_eq!(alone.len(), 1 + usize::try_from(DUPLICATE_TRIES).expect("few"));
        assert_eq!(alone.last().map(String::as_str), Some("already_exists"));
    }

    #[test]
    fn what_the_database_refuses_is_never_tried_again_as_it_is() {
        for trouble in [Trouble::Rejected(String::new()), Trouble::Broken(String::new())] {
            assert_eq!(steps(&trouble, 2, 9), ["halve"]);
            assert_eq!(steps(&trouble, 1, 9), ["internal"]);
        }
    }

    #[test]
    fn a_commit_in_doubt_is_never_tried_again_whatever_its_size() {
        for units in [1, 2, 64] {
            assert_eq!(steps(&Trouble::InDoubt, units, 9), ["outcome_unknown"]);
        }
    }

    #[test]
    fn a_server_that_is_away_is_waited_for_with_pauses_that_grow_to_a_bound() {
        let away = Trouble::Transient(String::new());
        assert_eq!(steps(&away, 64, 20), ["again"; 20]);
        let pauses: Vec<_> = (0..20).map(backoff).collect();
        assert!(pauses.is_sorted() && pauses[0] == BACKOFF_FIRST && pauses[19] == BACKOFF_MAX);
    }
}
