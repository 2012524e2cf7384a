//! An export on its way to whoever reads it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::slots::Slot;
use super::{Export, Format, Piece};
use crate::http::pieces::{self, Pieces};
use crate::store::Store;

/// Pieces that are ready before somebody takes them.
const PIECES: usize = 2;
/// Whoever takes nothing for so long gets no more.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// Beside the request that has asked for it, which is over before it is.
pub fn sent(store: &Store, export: Export, slot: Slot, format: Format) -> Pieces {
    let (taken, pieces) = mpsc::channel(PIECES);
    store.on_runtime(async move { write(export, slot, &taken).await });
    let (content_type, file_name) = kind(format);
    Pieces { content_type, file_name, pieces }
}

fn kind(format: Format) -> (&'static str, &'static str) {
    match format {
        Format::Ndjson => ("application/x-ndjson", "trail.ndjson"),
        Format::Csv => ("text/csv; charset=utf-8", "trail.csv"),
        Format::Bundle => ("application/x-ndjson", "trail.bundle.ndjson"),
    }
}

/// Until it is over, or nobody reads it any more.
async fn write(mut export: Export, slot: Slot, pieces: &mpsc::Sender<pieces::Piece>) {
    let mut slot = Some(slot);
    loop {
        let (piece, is_last) = match export.next().await {
            Ok(Some(Piece { bytes, .. })) => (Some(bytes.into()), false),
            Ok(None) => (None, true),
            Err(fault) => {
                let (code, cause) = (fault.code().name(), fault.cause());
                tracing::warn!(code, cause, "an export broke off");
                (Some(export.broken(&fault).into()), true)
            }
        };
        if is_last {
            // Before whoever reads learns that it was the last: the next one may begin.
            slot.take();
        }
        let taken = timeout(STALLED_AFTER, pieces.send(piece)).await;
        if is_last || !matches!(taken, Ok(Ok(()))) {
            return;
        }
    }
}
