//! People: signing in, and what admins do for them.
//!
//! An app never learns here whether somebody exists: whoever cannot be signed in gets one answer,
//! at one pace. What an admin changes of a person is a change of the record like any other, with
//! an entry that names the admin.

mod admin;
mod sign_in;

use actix_web::web::ServiceConfig;

pub use admin::{Paper as AdminPaper, WRITING as ADMIN_WRITING, routes as admin_routes, whole};
pub use sign_in::{Paper as SignInPaper, WRITING as SIGN_IN_WRITING};

pub fn routes(config: &mut ServiceConfig) {
    sign_in::routes(config);
}
