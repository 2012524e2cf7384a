//! From an operation to records, inside a unit: the reference is looked for, the rules decide, the
//! wallet is revised and each line of it goes into the ledger.

use super::entry::{Entry, Note};
use super::model::{self, Line, LineKind, Operation, Outcome, Refusal};
use super::record::{Holder, Wallet};
use crate::audit::actor::{Actor, ActorKind};
use crate::audit::warrant::Warrant;
use crate::kernel::chance::Series;
use crate::kernel::credits::CREDITS_MAX;
use crate::kernel::fault::{Code, Facts, Fault};
use crate::kernel::ids::{AccountNumber, AppId, ConnectionId, LedgerId, UserId};
use crate::kernel::time::Timestamp;
use crate::store::{Hints, Stop, Work};

/// Who books, as an entry says it.
#[derive(Debug, Clone)]
pub struct Author {
    pub actor: Actor,
    pub app_id: Option<AppId>,
    pub connection_id: Option<ConnectionId>,
    pub request_id: Option<String>,
    /// In which a reference is used once.
    pub scope: String,
}

impl Author {
    pub fn of(warrant: &Warrant) -> Self {
        let scope = match (&warrant.app_id, warrant.actor.kind) {
            (Some(app), _) => format!("app:{app}"),
            (None, ActorKind::System) => SYSTEM.to_owned(),
            (None, _) => format!("operator:{}", warrant.actor.id),
        };
        Self {
            actor: warrant.actor.clone(),
            app_id: warrant.app_id.clone(),
            connection_id: warrant.connection_id,
            request_id: warrant.request_id.clone(),
            scope,
        }
    }

    /// What ends by time is nobody's doing, whoever came by; it is theirs whose hold or lot it was.
    fn time(theirs: Theirs, request_id: Option<String>) -> Self {
        let (actor, scope) = (Actor::system("expiry"), SYSTEM.to_owned());
        let Theirs { app_id, connection_id } = theirs;
        Self { actor, app_id, connection_id, request_id, scope }
    }
}

/// Whose a line is, where somebody else wrote it.
struct Theirs {
    app_id: Option<AppId>,
    connection_id: Option<ConnectionId>,
}

impl Theirs {
    /// Who placed the hold that a line ends.
    fn of_hold(wallet: &Wallet, line: &Line) -> Option<Self> {
        let hold = wallet.holds.iter().find(|hold| line.hold == Some(hold.id))?;
        Some(Self { app_id: Some(hold.app_id.clone()), connection_id: hold.connection_id })
    }

    /// Who brought the lot of which a line ends what was left.
    fn of_lot(wallet: &Wallet, line: &Line) -> Option<Self> {
        let ended = line.slices.first()?.lot;
        let lot = wallet.lots.iter().find(|lot| lot.id == ended)?;
        Some(Self { app_id: lot.app_id.clone(), connection_id: None })
    }
}

const SYSTEM: &str = "system";

/// What an entry says besides what the rules say.
#[derive(Debug, Clone)]
pub struct Slip {
    pub author: Author,
    /// None in a rehearsal that names none.
    pub reference: Option<String>,
    pub note: Note,
    pub parent: Option<LedgerId>,
    pub counterpart: Option<AccountNumber>,
    pub ids: Series,
}

impl Slip {
    /// Where its reference may stand already.
    pub fn hints(&self, kinds: &[LineKind]) -> Hints {
        let mut hints = Hints::none();
        for (kind, reference) in kinds.iter().zip(self.reference.iter().cycle()) {
            hints = hints.create(&Entry::by_reference(&self.author.scope, *kind, reference));
        }
        hints
    }
}

/// What was booked: the operation's own entry, and the wallet after it.
#[derive(Debug, Clone)]
pub struct Booked {
    pub entry: Entry,
    /// As it will be sealed.
    pub note: Note,
    pub wallet: Wallet,
}

/// Does the operation to the wallet of `user`. Nothing is changed where it is refused.
pub fn book(
    work: &mut Work,
    user: UserId,
    slip: &Slip,
    operation: &Operation,
) -> Result<Booked, Stop> {
    let holder = work.get(&Holder::by_id(user))?;
    if let Some(reference) = &slip.reference {
        never_used(work, user, slip, operation.kind(), reference)?;
    }
    let at = holder.moment(work.now());
    let mut outcome = model::operate(holder.wallet(), at, operation, &slip.ids)
        .map_err(|refusal| fault(&refusal, operation))?;
    let main = LedgerId(outcome.main().id);
    for lot in outcome.wallet.lots.iter_mut().filter(|lot| lot.source == main) {
        lot.app_id.clone_from(&slip.author.app_id);
    }
    let entry = write(work, &holder, at, slip, &outcome, operation)?;
    if let Some(reference) = &slip.reference {
        work.refer_to(reference);
    }
    Ok(Booked { entry, note: slip.note.clone(), wallet: outcome.wallet })
}

/// Books only what has ended by time; whether there was anything.
pub fn book_expired(work: &mut Work, user: UserId, slip: &Slip) -> Result<bool, Stop> {
    let Some(holder) = work.find(&Holder::by_id(user))? else { return Ok(false) };
    let at = holder.moment(work.now());
    let (wallet, lines) = model::expire(holder.wallet(), at, &slip.ids);
    work.revise(&holder, &holder.with(wallet))?;
    for line in &lines {
        work.create(&by_time(&holder, at, slip, line))?;
    }
    Ok(!lines.is_empty())
}

fn never_used(
    work: &mut Work,
    user: UserId,
    slip: &Slip,
    kind: LineKind,
    reference: &str,
) -> Result<(), Stop> {
    let known = work.find(&Entry::by_reference(&slip.author.scope, kind, reference))?;
    let Some(known) = known else { return Ok(()) };
    // Whose it is otherwise is nobody's business.
    let entry_id = (known.user_id == user).then(|| known.id.to_string());
    let facts = Facts { entry_id, ..Facts::default() };
    Err(Fault::of(Code::DuplicateReference).with_facts(facts).into())
}

fn write(
    work: &mut Work,
    holder: &Holder,
    at: Timestamp,
    slip: &Slip,
    outcome: &Outcome,
    operation: &Operation,
) -> Result<Entry, Stop> {
    work.revise(holder, &holder.with(outcome.wallet.clone()))?;
    let mut own = None;
    for line in &outcome.lines {
        if line.id != outcome.main().id {
            work.create(&by_time(holder, at, slip, line))?;
            continue;
        }
        let entry = of_operation(holder, at, slip, line, operation);
        match entry.seal(&slip.note) {
            Some(sealed) => work.create_with(&entry, sealed)?,
            None => work.create(&entry)?,
        }
        own = Some(entry);
    }
    own.ok_or_else(|| Fault::internal("an operation without a line").into())
}

fn of_operation(
    holder: &Holder,
    at: Timestamp,
    slip: &Slip,
    line: &Line,
    operation: &Operation,
) -> Entry {
    let reference = slip.reference.clone().unwrap_or_default();
    let expires_at = match operation {
        Operation::Hold { expires_at, .. } => Some(*expires_at),
        _ => None,
    };
    let mut entry = Entry {
        parent: slip.parent.or(line.hold),
        counterpart: slip.counterpart.clone(),
        expires_at,
        ..entry(holder, at, &slip.author, line, reference)
    };
    if entry.app_id.is_none()
        && let Some(Theirs { app_id, connection_id }) = Theirs::of_hold(holder.wallet(), line)
    {
        (entry.app_id, entry.connection_id) = (app_id, connection_id);
    }
    entry
}

fn by_time(holder: &Holder, at: Timestamp, slip: &Slip, line: &Line) -> Entry {
    let ended = match (line.hold, line.slices.first()) {
        (Some(hold), _) => expired_hold(hold),
        // A lot may end in pieces: what holds let go of it later.
        (None, Some(slice)) => format!("exp:{}:{}", slice.lot, line.seq),
        (None, None) => format!("exp:{}", line.seq),
    };
    let wallet = holder.wallet();
    let theirs = Theirs::of_hold(wallet, line).or_else(|| Theirs::of_lot(wallet, line));
    // Credits whose end came between payer and payee arrive and end in one step: they are the sender's.
    let sent_by = || Theirs { app_id: slip.author.app_id.clone(), connection_id: None };
    let theirs = theirs.unwrap_or_else(sent_by);
    let author = Author::time(theirs, slip.author.request_id.clone());
    Entry { parent: line.hold, ..entry(holder, at, &author, line, ended) }
}

/// The reference of the entry that ends a hold by time.
fn expired_hold(hold: LedgerId) -> String {
    format!("exp:{hold}")
}

fn entry(holder: &Holder, at: Timestamp, author: &Author, line: &Line, reference: String) -> Entry {
    Entry {
        id: LedgerId(line.id),
        user_id: holder.id,
        account_number: holder.account_number.clone(),
        seq: line.seq,
        trail_seq: holder.revision + 1,
        kind: line.kind,
        amount: line.amount,
        balance_change: line.balance_change,
        held_change: line.held_change,
        balance_after: line.balance_after,
        held_after: line.held_after,
        available_after: line.available_after,
        slices: line.slices.clone(),
        app_id: author.app_id.clone(),
        connection_id: author.connection_id,
        actor: author.actor.clone(),
        parent: None,
        held_since: line.held_since,
        expires_at: None,
        counterpart: None,
        scope: author.scope.clone(),
        reference,
        request_id: author.request_id.clone(),
        created_at: at,
        note: None,
    }
}

/// Why a hold that is not open cannot be resolved, as far as this caller may know of it.
pub fn why_not_open(
    work: &mut Work,
    user: UserId,
    hold: LedgerId,
    app: Option<&AppId>,
) -> Result<Fault, Stop> {
    let placed = work.find(&Entry::by_id(hold))?.filter(|entry| {
        let theirs = app.is_none_or(|app| entry.app_id.as_ref() == Some(app));
        entry.kind == LineKind::Hold && entry.user_id == user && theirs
    });
    if placed.is_none() {
        return Ok(Fault::of(Code::NotFound));
    }
    let ended = Entry::by_reference(SYSTEM, LineKind::Release, &expired_hold(hold));
    if work.find(&ended)?.is_some() {
        return Ok(Fault::of(Code::HoldExpired));
    }
    let detail =
        "The hold was captured or released before: the entry whose `parent` it is says how.";
    Ok(Fault::new(Code::AlreadyResolved, detail))
}

fn fault(refusal: &Refusal, operation: &Operation) -> Fault {
    match refusal {
        Refusal::Disabled if matches!(operation, Operation::Receive { .. }) => {
            Fault::new(Code::ModuleDisabled, "The payee's wallet is disabled.")
        }
        Refusal::Disabled => Fault::of(Code::ModuleDisabled),
        Refusal::Frozen => Fault::of(Code::WalletFrozen),
        Refusal::Insufficient { short_by } => {
            let detail = format!(
                "{short_by} credits are missing: they are not there, or held, or not yet effective."
            );
            let facts = Facts { short_by: Some(*short_by), ..Facts::default() };
            Fault::new(Code::InsufficientCredits, detail).with_facts(facts)
        }
        Refusal::TooMuch => {
            let detail = format!("the balance would grow beyond {CREDITS_MAX}");
            Fault::invalid("/amount", "out_of_range", detail)
        }
        Refusal::Full if matches!(operation, Operation::Receive { .. }) => {
            let detail = "The payee's wallet has no room for more lots.";
            Fault::new(Code::WalletFull, detail)
        }
        Refusal::Full => Fault::of(Code::WalletFull),
        Refusal::NoSuchHold => Fault::of(Code::NotFound),
        Refusal::HoldExpired => Fault::of(Code::HoldExpired),
        Refusal::ExceedsHold { held } => {
            Fault::new(Code::ExceedsHold, format!("The hold has {held} credits, and no more."))
        }
        Refusal::ExceedsRefundable { left } => {
            let detail = format!("{left} credits of this entry are left to refund.");
            Fault::new(Code::ExceedsRefundable, detail)
        }
    }
}
