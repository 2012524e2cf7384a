//! Requests that need no key: limited by the address that they come from.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::call::door;
use super::problem::Problem;
use crate::access::figures::Limit;

/// A handler without a caller takes this first. What load balancers ask all the time does not.
pub struct Anybody;

impl FromRequest for Anybody {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admitted = door(request).and_then(|door| {
            let address = door.proxies.peer(request);
            let spent = door.anonymous.spend(address).map(|()| Self);
            spent.inspect_err(|_| door.decisions.limited(Limit::Anonymous))
        });
        ready(admitted.map_err(Problem))
    }
}
