//! Exporting the trail: any size of it, piece by piece, in constant memory.
//!
//! `rows` are entries as `GET /v1/audit/logs` shows them, the newest first, as NDJSON or CSV; `bundle`
//! is the format of `docs/trail.md`: entries as they are stored with their proofs, by leaf. Each piece
//! is a query of its own behind the last one, so no cursor of the database has to live as long as a
//! slow reader needs.
//!
//! Invariant: an export that did not come to its end does not look like one that did. Every format has
//! a last line that says how many entries there were; what breaks off has none.
//!
//! To add a format: a variant of `Format`, its pieces, what its end looks like in `docs/trail.md`.

mod bundle;
mod http;
mod rows;
mod sending;
mod slots;

use std::pin::Pin;

use bundle::Bundle;
pub use http::{Paper, routes};
use rows::Rows;
pub use slots::Exports;

use super::http::filter;
use super::queries::Filter;
use crate::audit::warrant::Pass;
use crate::http::query::Parameters;
use crate::kernel::fault::Fault;
use crate::store::Store;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Csv,
    Bundle,
}

impl Format {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ndjson" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "bundle" => Some(Self::Bundle),
            _ => None,
        }
    }
}

/// What is to be exported.
pub struct Wanted {
    pub format: Format,
    pub filter: Filter,
    /// Of a bundle: from this leaf on.
    pub since: u64,
}

impl Wanted {
    pub fn everything(format: Format) -> Self {
        Self { format, filter: Filter::default(), since: 0 }
    }

    /// `format`, `since`, and the filters of `GET /v1/audit/logs`, as in its query string.
    pub fn read(query: &Parameters) -> Result<Self, Fault> {
        let filter = filter(query, ["format", "since"])?;
        let format = query.parsed("format", FORMATS, Format::parse)?.unwrap_or(Format::Ndjson);
        let since = query.parsed("since", "the number of a leaf", |text| text.parse().ok())?;
        if since.is_some() && format != Format::Bundle {
            return Err(Fault::invalid("since", "not_accepted", "only with `format=bundle`"));
        }
        Ok(Self { format, filter, since: since.unwrap_or(0) })
    }
}

const FORMATS: &str = "`ndjson`, `csv` or `bundle`";

/// Leave to read, asked for anew for each piece: it ends when the caller may not read any more.
pub type Leave = Box<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Pass, Fault>> + Send>> + Send + Sync + 'static,
>;

/// For whom it is.
pub struct Reader {
    pub store: Store,
    pub leave: Leave,
    pub sees_personal_values: bool,
}

/// Whole lines, and how many entries are in them.
pub struct Piece {
    pub bytes: Vec<u8>,
    pub entries: u64,
}

pub struct Export(Pieces);

enum Pieces {
    Rows(Rows),
    Bundle(Bundle),
}

impl Export {
    /// What cannot be exported is refused here, before anything was written.
    pub async fn begin(reader: Reader, wanted: Wanted) -> Result<Self, Fault> {
        let Wanted { format, filter, since } = wanted;
        Ok(Self(match format {
            Format::Bundle => Pieces::Bundle(Bundle::begin(reader, &filter, since).await?),
            Format::Ndjson | Format::Csv => Pieces::Rows(Rows::begin(reader, filter, format)),
        }))
    }

    /// `None` behind the last one.
    pub async fn next(&mut self) -> Result<Option<Piece>, Fault> {
        match &mut self.0 {
            Pieces::Rows(rows) => rows.next().await,
            Pieces::Bundle(bundle) => bundle.next().await,
        }
    }

    /// What the reader is told instead of the end, where the format has room for it.
    pub fn broken(&self, fault: &Fault) -> Vec<u8> {
        match &self.0 {
            Pieces::Rows(rows) => rows.broken(fault),
            Pieces::Bundle(_) => Vec::new(),
        }
    }
}
