//! The body of a request on its way in: in time, or not at all.
//!
//! It stays in the boundary's hands until the answer has left. actix drains a chunked body that
//! nobody holds any more, however long it is, to keep the connection for the next request; of one
//! that is held it closes the connection instead.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::rt::time::{Sleep, sleep};
use actix_web::web::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};

pub struct Incoming(Rc<RefCell<Body>>);

struct Body {
    payload: Payload,
    timeout: Duration,
    /// From the first read on.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// Puts itself in the place of a body; `None` where there is none.
    pub fn take_place(payload: &mut Payload, timeout: Duration) -> Option<Self> {
        if matches!(payload, Payload::None) {
            return None;
        }
        let body = Body { payload: payload.take(), timeout, timer: None };
        let held = Rc::new(RefCell::new(body));
        *payload = Payload::Stream { payload: Box::pin(Self(Rc::clone(&held))) };
        Some(Self(held))
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.borrow_mut();
        let Body { payload, timeout, timer } = &mut *body;
        let timer = timer.get_or_insert_with(|| Box::pin(sleep(*timeout)));
        if timer.poll_unpin(context).is_ready() {
            return Poll::Ready(Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))));
        }
        let part = ready!(payload.poll_next_unpin(context));
        Poll::Ready(part)
    }
}

/// Whether a body was not read because it did not come.
pub fn is_late(error: &PayloadError) -> bool {
    matches!(error, PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// An answer that holds the request's body until it has been sent itself.
pub struct Outgoing {
    pub body: BoxBody,
    pub _incoming: Option<Incoming>,
}

impl MessageBody for Outgoing {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
