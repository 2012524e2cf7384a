//! The person's address, as the calling app tells it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

/// `Purser-Client-IP`. What is no address is refused by `call`, for everybody with a key.
pub struct Client(pub Option<IpAddr>);

impl FromRequest for Client {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.headers().get("purser-client-ip").and_then(|value| value.to_str().ok());
        ready(Ok(Self(text.and_then(|text| text.trim().parse().ok()))))
    }
}
