//! What can go wrong in a transaction, as far as the write path must tell it apart, and the only
//! place where a driver's error is looked at. Its text stays here: it quotes documents.

use bson::Document;
use mongodb::error::{
    Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};

use crate::kernel::fault::{Code, Fault};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Somebody else holds or has changed one of the records; it is not said which.
    Conflict,
    /// As `Conflict`, and this is the record: known where the updates are sent one by one.
    Held(String),
    /// A unique value exists already: mostly another node was faster, and a retry sees it.
    Duplicate,
    /// The server refuses a document (a validator, a size): repeating will not help.
    Rejected(String),
    /// The server went away or stepped down: the same again may work.
    Transient(String),
    /// The commit was sent and its result is not known.
    InDoubt,
    Broken(String),
}

const WRITE_CONFLICT: i32 = 112;
const DUPLICATE_KEY: i32 = 11000;
const NO_SUCH_TRANSACTION: i32 = 251;
/// A server that steps down, shuts down or is none that could answer: those that the drivers'
/// specification retries. The driver itself does so once.
const AWAY: &[i32] = &[6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436];

pub(super) fn of(error: &Error) -> Trouble {
    let code = code_of(error);
    match code {
        Some(WRITE_CONFLICT) => return Trouble::Conflict,
        Some(DUPLICATE_KEY) => return Trouble::Duplicate,
        _ => {}
    }
    let gone = |code| code == NO_SUCH_TRANSACTION || AWAY.contains(&code);
    if error.contains_label(TRANSIENT_TRANSACTION_ERROR) || code.is_some_and(gone) {
        return Trouble::Transient(describe(error));
    }
    match *error.kind {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. } => Trouble::Transient(describe(error)),
        _ => Trouble::Broken(describe(error)),
    }
}

/// A write concern that failed comes with a commit that was carried out: it may still reach a
/// majority, whatever the reason, so it must not be taken for a transaction that did not happen.
pub(super) fn of_commit(error: &Error) -> Trouble {
    let unknown = error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
    let carried_out = matches!(*error.kind, ErrorKind::Write(WriteFailure::WriteConcernError(_)));
    if unknown || carried_out { Trouble::InDoubt } else { of(error) }
}

/// A command that the server carried out answers ok:1 even where single statements failed; the
/// transaction is gone then, and must not be committed.
pub(super) fn of_write_errors(collection: &str, reply: &Document) -> Option<Trouble> {
    let errors = reply.get_array("writeErrors").ok()?;
    let codes: Vec<i32> =
        errors.iter().filter_map(|error| error.as_document()?.get_i32("code").ok()).collect();
    Some(match codes.first() {
        Some(&WRITE_CONFLICT) => Trouble::Conflict,
        Some(&DUPLICATE_KEY) => Trouble::Duplicate,
        code => Trouble::Rejected(format!("{collection} refused a document, code {code:?}")),
    })
}

fn code_of(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        _ => None,
    }
}

/// Kind and number, never the message.
pub(super) fn describe(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::Command(command) => {
            format!("command error {} {}", command.code, command.code_name)
        }
        ErrorKind::Io(io) => format!("network error {:?}", io.kind()),
        ErrorKind::ServerSelection { .. } => "no server could be selected".to_owned(),
        ErrorKind::ConnectionPoolCleared { .. } => "the connection pool was cleared".to_owned(),
        ErrorKind::Authentication { .. } => "authentication failed".to_owned(),
        ErrorKind::BsonDeserialization(_) => "an answer could not be decoded".to_owned(),
        ErrorKind::InvalidArgument { .. } => "the driver refused an argument".to_owned(),
        _ => format!("driver error, code {:?}", code_of(error)),
    }
}

/// For reads, and for whatever does not go through the lane.
pub(super) fn fault(error: &Error) -> Fault {
    match of(error) {
        Trouble::Broken(cause) | Trouble::Rejected(cause) => Fault::internal(cause),
        Trouble::Duplicate => Fault::of(Code::AlreadyExists),
        Trouble::Transient(cause) => unavailable().because(cause),
        Trouble::Conflict | Trouble::Held(_) | Trouble::InDoubt => unavailable(),
    }
}

pub(super) fn unavailable() -> Fault {
    Fault::of(Code::StoreUnavailable).retry_after(2)
}
