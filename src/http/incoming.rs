//! The body of a request on its way in: in time, or not at all.
//!
//! What is left of a body when it has been answered is neither read nor drained, however long it is:
//! the connection is closed. Closing it at once could destroy the answer on its way, so it is held a
//! little, unread, until the client has had time to see why its body was not taken.

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

/// Of what nobody has read, so much is passed over to keep a connection for the next request.
const PASSED_OVER_BYTES_MAX: usize = 64 * 1024;

pub struct Incoming(Rc<RefCell<Body>>);

struct Body {
    payload: Payload,
    passed_over: usize,
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
        let body = Body { payload: payload.take(), passed_over: 0, timeout, timer: None };
        let held = Rc::new(RefCell::new(body));
        *payload = Payload::Stream { payload: Box::pin(Self(Rc::clone(&held))) };
        Some(Self(held))
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.borrow_mut();
        let Body { payload, timeout, timer, .. } = &mut *body;
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

impl Incoming {
    /// Ready when nothing of the body is left that somebody could send.
    fn poll_left(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut body = self.0.borrow_mut();
        while body.passed_over < PASSED_OVER_BYTES_MAX {
            match ready!(body.payload.poll_next_unpin(context)) {
                Some(Ok(part)) => body.passed_over += part.len(),
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

/// An answer, and the rest of the body that it is the answer to.
pub struct Outgoing {
    body: BoxBody,
    incoming: Option<Incoming>,
    hold: Duration,
    held: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    pub fn new(body: BoxBody, incoming: Option<Incoming>, hold: Duration) -> Self {
        Self { body, incoming, hold, held: None }
    }
}

impl MessageBody for Outgoing {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    /// The end of an answer, and with it of the connection, waits for the end of the body.
    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        if this.held.is_none()
            && let Some(part) = ready!(Pin::new(&mut this.body).poll_next(context))
        {
            return Poll::Ready(Some(part));
        }
        let Some(incoming) = &this.incoming else { return Poll::Ready(None) };
        let hold = this.hold;
        let held = this.held.get_or_insert_with(|| Box::pin(sleep(hold)));
        if incoming.poll_left(context).is_pending() {
            ready!(held.poll_unpin(context));
        }
        Poll::Ready(None)
    }
}
