//! Statements: everything that happened to a wallet in a period, with what it had before and after.
//! Both balances come from the entries themselves, so they agree with them, whatever is booked while
//! the statement is written.

use bson::doc;
use serde::Serialize;
use utoipa::ToSchema;

use super::actions::ReadWallet;
use super::entry::Entry;
use super::queries::{self, Filter, Position};
use super::view::{EntryView, ItemView, OthersEntryView};
use crate::access::grant::Granted;
use crate::kernel::credits::CREDITS_MAX;
use crate::kernel::fault::Fault;
use crate::kernel::text::cell;
use crate::kernel::time::{Timestamp, rfc3339};
use crate::store::Store;

/// Entries of one statement, and slices of lots in them.
pub const ENTRIES_MAX: usize = 10_000;
const SLICES_MAX: usize = 50_000;
const ROWS: usize = 1000;

pub struct Period {
    pub from: Timestamp,
    /// Not included.
    pub to: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StatementView {
    from: String,
    to: String,
    account_number: String,
    #[schema(example = "credits")]
    currency: String,
    #[schema(minimum = 0)]
    opening_balance: i64,
    #[schema(minimum = 0)]
    closing_balance: i64,
    /// What entries did that this app does not see: opening balance + all `balance_change` + this =
    /// closing balance.
    not_shown: i64,
    /// The oldest first.
    #[schema(max_items = 10_000)]
    items: Vec<ItemView>,
}

pub async fn statement(
    grant: &Granted<ReadWallet>,
    store: &Store,
    period: Period,
) -> Result<StatementView, Fault> {
    let target = grant.target();
    let entries = all(grant, store, &period).await?;
    let looker = queries::looker(target)?;
    let change = |entry: &Entry| i128::from(entry.balance_change);
    let changed: i128 = entries.iter().map(change).sum();
    let closing = match entries.last() {
        Some(last) => last.balance_after,
        None => before(grant, store, period.from).await?,
    };
    let hidden = entries.iter().filter(|entry| !looker.sees(entry));
    let not_shown = presentable(hidden.map(change).sum())?;
    let items = queries::shown(&grant.pass(), store, target.user, &looker, &entries).await?;
    let user = target.records.user.record::<super::record::Holder>()?;
    Ok(StatementView {
        from: rfc3339(period.from),
        to: rfc3339(period.to),
        account_number: user.account_number.as_str().to_owned(),
        currency: user.modules.wallet.currency,
        opening_balance: presentable(i128::from(closing) - changed)?,
        closing_balance: closing,
        not_shown,
        items,
    })
}

/// A sum that every reader of JSON takes for what it is.
fn presentable(sum: i128) -> Result<i64, Fault> {
    let sum = i64::try_from(sum).ok().filter(|sum| sum.abs() <= CREDITS_MAX);
    sum.ok_or_else(|| {
        let accepted = "a period in which less was moved by other apps: the sum of what is not shown \
            is beyond 9007199254740991";
        Fault::invalid("from", "out_of_range", accepted)
    })
}

/// Every entry of the period, the oldest first.
async fn all(
    grant: &Granted<ReadWallet>,
    store: &Store,
    period: &Period,
) -> Result<Vec<Entry>, Fault> {
    let filter = Filter { from: Some(period.from), to: Some(period.to), ..Filter::default() };
    let (mut entries, mut after): (Vec<Entry>, Option<Position>) = (Vec::new(), None);
    let mut slices = 0;
    loop {
        let condition = queries::condition(grant.target().user, &filter, after);
        let page = queries::newest(&grant.pass(), store, condition, ROWS).await?;
        let rows = page.len();
        slices += page.iter().map(|entry| entry.slices.len()).sum::<usize>();
        entries.extend(page);
        if entries.len() > ENTRIES_MAX || slices > SLICES_MAX {
            let accepted = "a period with at most 10,000 entries, and 50,000 slices in them";
            return Err(Fault::invalid("from", "too_many", accepted));
        }
        if rows < ROWS {
            break;
        }
        after = entries.last().map(Position::of);
    }
    entries.reverse();
    Ok(entries)
}

/// The balance when the period began.
async fn before(grant: &Granted<ReadWallet>, store: &Store, from: Timestamp) -> Result<i64, Fault> {
    let condition = doc! { "user_id": grant.target().user.0, "created_at": { "$lt": from } };
    let last = queries::newest(&grant.pass(), store, condition, 1).await?;
    Ok(last.first().map_or(0, |entry| entry.balance_after))
}

impl StatementView {
    /// For spreadsheets: a line for each entry between the two balances.
    pub fn csv(&self) -> Result<Vec<u8>, Fault> {
        let broken = |_| Fault::internal("a statement is no CSV");
        let mut lines = csv::Writer::from_writer(Vec::new());
        lines.write_record(COLUMNS).map_err(broken)?;
        lines
            .write_record(self.total("opening balance", &self.from, self.opening_balance))
            .map_err(broken)?;
        let mut balance = self.opening_balance;
        for item in &self.items {
            lines.write_record(row(item, &mut balance)).map_err(broken)?;
        }
        if self.not_shown != 0 {
            let mut line = self.total("not shown", &self.to, self.closing_balance);
            line[3] = self.not_shown.to_string();
            lines.write_record(line).map_err(broken)?;
        }
        lines
            .write_record(self.total("closing balance", &self.to, self.closing_balance))
            .map_err(broken)?;
        lines.into_inner().map_err(|_| Fault::internal("a statement is no CSV"))
    }

    fn total(&self, kind: &str, at: &str, balance: i64) -> [String; 8] {
        let account = self.account_number.clone();
        [
            at.to_owned(),
            kind.to_owned(),
            String::new(),
            String::new(),
            balance.to_string(),
            String::new(),
            String::new(),
            account,
        ]
    }
}

const COLUMNS: [&str; 8] = [
    "created_at",
    "kind",
    "amount",
    "balance_change",
    "balance",
    "reference",
    "description",
    "account_number",
];

/// `balance` is that of the lines shown so far.
fn row(item: &ItemView, balance: &mut i64) -> [String; 8] {
    let none = String::new;
    let (at, kind, amount, change, reference, description, account) = match item {
        ItemView::Own(own) => {
            let EntryView { created_at, kind, amount, balance_change, .. } = &**own;
            let text = |text: &Option<String>| {
                text.as_deref().map_or_else(none, |text| cell(text).into_owned())
            };
            let (reference, description) = (text(&own.reference), text(&own.description));
            let account = own.account_number.clone();
            (created_at, kind, amount, balance_change, reference, description, account)
        }
        ItemView::Others(OthersEntryView { created_at, kind, amount, balance_change }) => {
            (created_at, kind, amount, balance_change, none(), none(), none())
        }
    };
    *balance += change;
    [
        at.clone(),
        kind.as_str().to_owned(),
        amount.to_string(),
        change.to_string(),
        balance.to_string(),
        reference,
        description,
        account,
    ]
}
