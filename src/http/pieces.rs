//! An answer of any length: whoever reads it sets the pace.

use std::io;
use std::time::Duration;

use actix_web::body::{BodyStream, BoxBody, MessageBody};
use actix_web::http::header;
use actix_web::rt::time::sleep;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Responder};
use futures_util::stream;
use tokio::sync::mpsc;

/// Before a connection is ended that has not come to the end of its body.
const LINGER: Duration = Duration::from_secs(2);

/// A file that is made while it is sent.
pub struct Pieces {
    pub content_type: &'static str,
    pub file_name: &'static str,
    pub pieces: mpsc::Receiver<Piece>,
}

/// `None` stands for the end. Where the channel is closed without one, whatever has happened, the
/// connection ends before the body does: nobody takes a part for the whole. Who makes them learns by the
/// closed channel that nobody reads any more.
pub type Piece = Option<Bytes>;

impl Responder for Pieces {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let Self { content_type, file_name, pieces } = self;
        let disposition = format!("attachment; filename=\"{file_name}\"");
        HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, content_type))
            .insert_header((header::CONTENT_DISPOSITION, disposition))
            .body(body(pieces))
    }
}

/// The body that these come to.
pub(super) fn body(pieces: mpsc::Receiver<Piece>) -> BoxBody {
    let body = stream::unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Some(bytes)) => Some((Ok(bytes), Some(pieces))),
            Some(None) => None,
            None => {
                // What was not sent yet is lost with the connection, and may say why.
                sleep(LINGER).await;
                Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), None))
            }
        }
    });
    BodyStream::new(Box::pin(body)).boxed()
}
