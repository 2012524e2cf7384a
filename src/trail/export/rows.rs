//! Entries as lines, the newest first: NDJSON, or CSV for spreadsheets.

use serde_json::{Value, json};

use super::{Format, Piece, Reader};
use crate::audit::actor::{Actor, ActorKind};
use crate::audit::entry::{Entry, Outcome};
use crate::kernel::fault::Fault;
use crate::kernel::free;
use crate::kernel::ids::Name;
use crate::kernel::text::cell;
use crate::kernel::time::rfc3339;
use crate::trail::http::view;
use crate::trail::queries::{Filter, Position, newest, shown};

/// Entries of a piece.
const ROWS: usize = 500;

pub struct Rows {
    reader: Reader,
    filter: Filter,
    format: Format,
    at: At,
    entries: u64,
}

enum At {
    Start,
    Behind(Position),
    /// Only the last line is missing.
    End,
    Over,
}

const COLUMNS: [&str; 18] = [
    "id",
    "timestamp",
    "action",
    "module",
    "outcome",
    "user_id",
    "app_id",
    "subject",
    "seq",
    "actor_kind",
    "actor_id",
    "on_behalf_of",
    "connection_id",
    "request_id",
    "reference",
    "ip_address",
    "asserted_by",
    "changes",
];

impl Rows {
    pub fn begin(reader: Reader, filter: Filter, format: Format) -> Self {
        Self { reader, filter, format, at: At::Start, entries: 0 }
    }

    pub async fn next(&mut self) -> Result<Option<Piece>, Fault> {
        let mut bytes = Vec::new();
        let after = match self.at {
            At::Over => return Ok(None),
            At::End => {
                self.at = At::Over;
                return Ok(Some(Piece { bytes: end(self.format, self.entries)?, entries: 0 }));
            }
            At::Start => {
                self.head(&mut bytes)?;
                None
            }
            At::Behind(position) => Some(position),
        };
        let Reader { store, leave, sees_personal_values } = &self.reader;
        let pass = leave().await?;
        let found = newest(&pass, store, &self.filter, ROWS, after).await?;
        self.at = match found.last() {
            Some(last) if found.len() == ROWS => At::Behind(Position::of(last)),
            _ => At::End,
        };
        let found = shown(&pass, store, *sees_personal_values, found).await?;
        self.write(&found, &mut bytes)?;
        let entries = u64::try_from(found.len()).unwrap_or(0);
        self.entries += entries;
        Ok(Some(Piece { bytes, entries }))
    }

    /// Why there is no end.
    pub fn broken(&self, fault: &Fault) -> Vec<u8> {
        let code = fault.code().name();
        let line = json!({ "error": { "code": code, "detail": fault.detail() } });
        last(self.format, &line, ["error", code]).unwrap_or_default()
    }

    fn head(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.format == Format::Csv { records([COLUMNS.map(str::to_owned)], out) } else { Ok(()) }
    }

    fn write(&self, entries: &[Entry], out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.format == Format::Csv {
            return records(entries.iter().map(row), out);
        }
        for entry in entries {
            line(&view(entry), out)?;
        }
        Ok(())
    }
}

fn end(format: Format, entries: u64) -> Result<Vec<u8>, Fault> {
    last(format, &json!({ "end": { "entries": entries } }), ["end", &entries.to_string()])
}

/// A last line, whichever it is.
fn last(format: Format, json: &Value, cells: [&str; 2]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    if format != Format::Csv {
        line(json, &mut out)?;
        return Ok(out);
    }
    let mut row = COLUMNS.map(|_| String::new());
    let [what, of_it] = cells;
    (row[0], row[1]) = (what.to_owned(), of_it.to_owned());
    records([row], &mut out)?;
    Ok(out)
}

fn line(value: &impl serde::Serialize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let written = serde_json::to_writer(&mut *out, value);
    written.map_err(|_| Fault::internal("an entry is no JSON"))?;
    out.push(b'\n');
    Ok(())
}

fn records(
    rows: impl IntoIterator<Item = [String; COLUMNS.len()]>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut lines = csv::Writer::from_writer(out);
    for row in rows {
        let cells = row.iter().map(|text| cell(text).into_owned());
        lines.write_record(cells).map_err(|_| Fault::internal("an entry is no CSV"))?;
    }
    lines.flush().map_err(|_| Fault::internal("an entry is no CSV"))
}

/// In the order of the columns.
fn row(entry: &Entry) -> [String; COLUMNS.len()] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let name = |name: &Option<Name>| name.as_ref().map(Name::to_string).unwrap_or_default();
    let Actor { kind, id, on_behalf_of } = &entry.actor;
    let kind = match kind {
        ActorKind::App => "app",
        ActorKind::User => "user",
        ActorKind::Operator => "operator",
        ActorKind::System => "system",
    };
    let outcome = match entry.outcome {
        Outcome::Done => "done",
        Outcome::Refused => "refused",
    };
    let changes = entry.changes.iter().map(|(path, sides)| (path.clone(), free::to_json(sides)));
    [
        entry.id.to_string(),
        rfc3339(entry.timestamp),
        entry.action.clone(),
        entry.module.clone(),
        outcome.to_owned(),
        entry.user_id.map(|id| id.to_string()).unwrap_or_default(),
        name(&entry.app_id),
        entry.subject.clone(),
        entry.seq.to_string(),
        kind.to_owned(),
        id.clone(),
        text(on_behalf_of),
        entry.connection_id.map(|id| id.to_string()).unwrap_or_default(),
        text(&entry.request_id),
        text(&entry.reference),
        text(&entry.ip_address),
        name(&entry.asserted_by),
        Value::Object(changes.collect()).to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_how_many_there_were_or_what_went_wrong() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let empty = ",".repeat(COLUMNS.len() - 2);

        let ndjson = end(Format::Ndjson, 3).map(text).expect("written");
        assert_eq!(ndjson, "{\"end\":{\"entries\":3}}\n");
        let csv = end(Format::Csv, 3).map(text).expect("written");
        assert_eq!(csv, format!("end,3{empty}\n"));
        let why = json!({ "error": { "code": "overloaded" } });
        let broken = last(Format::Ndjson, &why, ["error", "overloaded"]).map(text);
        assert_eq!(broken.expect("written"), "{\"error\":{\"code\":\"overloaded\"}}\n");
        let broken = last(Format::Csv, &why, ["error", "overloaded"]).map(text);
        assert_eq!(broken.expect("written"), format!("error,overloaded{empty}\n"));
    }
}
