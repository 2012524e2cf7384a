//! A body that is written while it is sent: in constant memory, and no faster than it is taken.

use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::rt;
use actix_web::web::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::pieces::{self, Piece};
use crate::kernel::fault::{Code, Fault};

/// What is sent at a time, and how many of them wait.
const PART_BYTES: usize = 32 * 1024;
const PARTS: usize = 2;
/// Whoever takes nothing for so long gets no more.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Takes JSON piece by piece.
pub struct Writer {
    part: Vec<u8>,
    parts: mpsc::Sender<Piece>,
}

/// The body that `write` writes. If it fails half-way the connection is closed before the end of the
/// body, so that nobody takes a part for the whole.
pub fn streamed<Fut>(write: impl FnOnce(Writer) -> Fut) -> BoxBody
where
    Fut: Future<Output = Result<Writer, Fault>> + 'static,
{
    let (parts, taken) = mpsc::channel(PARTS);
    let written = write(Writer { part: Vec::new(), parts });
    rt::spawn(async move {
        let ended = match written.await {
            Ok(writer) => writer.end().await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = ended {
            let cause = fault.cause().unwrap_or_default();
            tracing::warn!(code = fault.code().name(), cause, "a body was not sent to its end");
        }
    });
    pieces::body(taken)
}

impl Writer {
    /// As it is: punctuation between values.
    pub async fn text(&mut self, text: &str) -> Result<(), Fault> {
        self.part.extend_from_slice(text.as_bytes());
        self.send_if(PART_BYTES).await
    }

    pub async fn json(&mut self, value: &impl Serialize) -> Result<(), Fault> {
        serde_json::to_writer(&mut self.part, value)
            .map_err(|_| Fault::internal("an answer is no JSON"))?;
        self.send_if(PART_BYTES).await
    }

    async fn end(mut self) -> Result<(), Fault> {
        self.send_if(1).await?;
        self.send(None).await
    }

    async fn send_if(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.part.len() < bytes {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.part));
        self.send(Some(piece)).await
    }

    async fn send(&self, part: Piece) -> Result<(), Fault> {
        match rt::time::timeout(STALLED_AFTER, self.parts.send(part)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(gone("the client went away")),
            Err(_) => Err(gone("the client takes nothing")),
        }
    }
}

fn gone(cause: &str) -> Fault {
    Fault::of(Code::RequestTimeout).because(cause)
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    #[actix_web::test]
    async fn what_is_written_arrives_in_its_order_however_long_it_is() {
        let body = streamed(|mut writer| async move {
            for number in 0_u32..20_000 {
                writer.json(&number).await?;
                writer.text(",").await?;
            }
            Ok(writer)
        });
        let expected: String = (0..20_000).map(|number: u32| number.to_string() + ",").collect();
        assert_eq!(to_bytes(body).await.expect("whole"), expected.as_bytes());
    }

    #[actix_web::test]
    async fn a_body_that_is_not_written_to_its_end_is_none() {
        let body = streamed(|mut writer| async move {
            writer.text("{}").await?;
            Err(Fault::internal("broken half-way"))
        });
        assert!(to_bytes(body).await.is_err());
    }
}
