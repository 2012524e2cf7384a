//! What is seen of people, apps and operators without changing them, as entries of the trail: security
//! events, and what operators read of the trail itself.
//!
//! An [`Event`] has a kind and somebody to whom it happened: a failed sign-in to the person, the rest
//! to whoever holds the key. Unknown keys and people have nobody to tell it of. It stands in a history
//! of its own, `security:…` ([`Watched`]), so that whoever fails to sign in as somebody does not move
//! that person's revision.
//!
//! Whoever notes an event waits for nothing: [`Watch`] counts in memory, a worker writes. The first of
//! its kind, holder and minute is written at once, what follows in that minute as one more entry when
//! it is over. So a flood leaves two entries a minute for each kind and holder on each node. What is
//! counted and not yet written is lost with a `kill -9`, and written when Purser stops; where the
//! database did not say whether it took an entry, its count may stand there twice.
//!
//! A [`Read`] waits: what is read of the trail is answered only once that stands there, one entry for
//! each answer. `http/boundary` sees to it, for everything that needs an auditor.
//!
//! To add a kind: a variant of [`Event`], where it is noted, a sentence in `tests/it/security_events`.

mod door;
mod event;
mod notes;
mod reads;
mod record;
mod write;

pub(super) use event::Holder;
pub use event::{Event, MODULE, Recognised, Sighting, WRITING};
pub use notes::{Due, Watch};
pub use reads::Read;
pub use record::Watched;
