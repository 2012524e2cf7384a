//! Registrations that wait: for their person, who signs in, or for an admin.
//!
//! What an app only *claims* becomes a `Registration`: the checked request, sealed. The answer is
//! the same whether or not the person exists, because nobody is looked up for it. The app *reads*
//! how it stands; a connection that came of it shows its key at the first such read. An admin
//! *approves* (and so vouches for what was claimed) or *declines*. A person who signs in at the
//! app *activates* the one that claims the identifier they signed in with.
//!
//! Invariants: the same request is one case with one id; it is decided once; a key is shown once;
//! after 30 days it is over, and the same request begins anew.

mod actions;
mod decisions;
mod held;
mod http;
mod queries;
mod record;
mod view;

pub use actions::WRITING;
pub use decisions::activate;
pub use held::of_person;
pub use http::{Paper, routes};
pub use record::{Reason, Registration, Status};
