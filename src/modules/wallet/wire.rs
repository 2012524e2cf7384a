//! What is accepted about wallets: bodies and their checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use super::admin::Adjustment;
use super::commands::{Issue, Payee, Refunding};
use super::entry::Note;
use super::model::{Direction, Expired, PRIORITY};
use super::plan::{Purpose, Terms};
use super::record::Category;
use crate::http::checks::Checks;
use crate::kernel::credits::{CREDITS_MAX, Credits};
use crate::kernel::fault::{Code, Fault};
use crate::kernel::ids::{AccountNumber, LedgerId};
use crate::kernel::text;
use crate::kernel::time::{self, Timestamp, parse_rfc3339};

pub use crate::modules::asked::purpose;

/// A body with what every operation may say besides its own.
macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$attribute])* $field: $type,)*
            /// Used once for ever by your app for each kind of entry; the Idempotency-Key, unless
            /// sent. Stored as it is: name nobody in it.
            #[schema(min_length = 1, max_length = 255, example = "order-991")]
            #[serde(default)]
            reference: Option<String>,
            /// Sealed at rest.
            #[schema(min_length = 1, max_length = 500)]
            #[serde(default)]
            description: Option<String>,
            /// At most 16 texts by name; sealed at rest.
            #[schema(schema_with = metadata, required = false)]
            #[serde(default)]
            metadata: BTreeMap<String, String>,
        }

        impl $name {
            fn terms(&self, checks: &mut Checks, purpose: Purpose) -> Terms {
                checks.terms(self.reference.as_deref(), self.description.as_deref(), &self.metadata, purpose)
            }
        }
    )*};
}

bodies! {
    /// Credits to be issued.
    CreditBody {
        #[schema(schema_with = amount)]
        amount: Value,
        /// One that the app may issue; `promo`, unless sent.
        #[serde(default)]
        category: Option<Category>,
        /// Lower is spent earlier; 100, unless sent.
        #[schema(minimum = 1, maximum = 1000)]
        #[serde(default)]
        priority: Option<i64>,
        /// From when on they can be spent; at once, unless sent.
        #[schema(example = "2099-01-01T00:00:00Z")]
        #[serde(default)]
        effective_at: Option<String>,
        /// A time to come, from which on they cannot be spent; never, unless sent.
        #[schema(example = "2099-12-31T00:00:00Z")]
        #[serde(default)]
        expires_at: Option<String>,
    }
    /// Credits to be taken.
    DebitBody {
        #[schema(schema_with = amount)]
        amount: Value,
    }
    /// Credits to be moved to somebody else.
    TransferBody {
        #[schema(schema_with = amount)]
        amount: Value,
        to: PayeeBody,
    }
    /// Credits to be set aside.
    HoldBody {
        #[schema(schema_with = amount)]
        amount: Value,
        /// How long they are; 900, unless sent.
        #[schema(minimum = 1, maximum = 2_592_000)]
        #[serde(default)]
        ttl_seconds: Option<i64>,
    }
    /// A hold to be captured.
    CaptureBody {
        /// All of it, unless sent; the rest is released.
        #[schema(schema_with = part, required = false)]
        #[serde(default)]
        amount: Option<Value>,
    }
    /// A hold to be released.
    ReleaseBody {}
    /// What is to be put back.
    RefundBody {
        /// All that is left, unless sent.
        #[schema(schema_with = part, required = false)]
        #[serde(default)]
        amount: Option<Value>,
        /// What becomes of credits whose lot has expired since; `restore`, unless sent.
        #[serde(default)]
        expired: Option<ExpiredBody>,
        /// With `extend`: for how long they come back.
        #[schema(minimum = 1, maximum = 315_360_000)]
        #[serde(default)]
        extend_seconds: Option<i64>,
    }
    /// A correction.
    AdjustBody {
        #[schema(schema_with = amount)]
        amount: Value,
        direction: Direction,
        /// Sealed at rest.
        #[schema(min_length = 1, max_length = 500, example = "Counted twice by the old system")]
        reason: String,
    }
}

/// One of the two.
#[derive(Deserialize, ToSchema)]
#[schema(min_properties = 1, max_properties = 1, example = json!({"account_number": "12345678901244"}))]
#[serde(deny_unknown_fields)]
pub struct PayeeBody {
    /// A person connected to the same app.
    #[schema(required = false, nullable = false)]
    #[serde(default, deserialize_with = "never_null")]
    user_id: Option<String>,
    /// Whoever it is: ask `GET /v1/accounts/{account_number}` for the name first.
    #[schema(required = false, nullable = false)]
    #[serde(default, deserialize_with = "never_null")]
    account_number: Option<String>,
}

/// There or not: there is no third.
fn never_null<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    String::deserialize(value).map(Some)
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpiredBody {
    /// They come back with as much time as they had left when they were spent.
    Restore,
    /// They do not come back; they count as refunded.
    Forfeit,
    /// They come back for `extend_seconds`.
    Extend,
}

/// Why an admin does it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhyBody {
    #[schema(min_length = 1, max_length = 500, example = "Reported as stolen")]
    reason: String,
}

fn amount() -> Object {
    credits(Type::Integer, "Whole credits: 100, not 100.0")
}

/// An amount that may be left out.
fn part() -> Object {
    let integer_or_null = SchemaType::from_iter([Type::Integer, Type::Null]);
    credits(integer_or_null, "Whole credits: 100, not 100.0; all that there is, unless sent")
}

fn credits(schema_type: impl Into<SchemaType>, description: &str) -> Object {
    let amount = ObjectBuilder::new().schema_type(schema_type);
    let most = usize::try_from(CREDITS_MAX).unwrap_or(usize::MAX);
    amount
        .minimum(Some(1))
        .maximum(Some(most))
        .description(Some(description))
        .examples([25])
        .build()
}

fn metadata() -> Object {
    let text = |most| ObjectBuilder::new().schema_type(Type::String).max_length(Some(most));
    let name = text(METADATA_NAME_CHARACTERS_MAX).min_length(Some(1)).build();
    let metadata = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(name))
        .additional_properties(Some(text(TEXT_CHARACTERS_MAX)));
    metadata.max_properties(Some(METADATA_MAX)).examples([json!({ "order": "991" })]).build()
}

pub const REFERENCE_CHARACTERS_MAX: usize = 255;
const TEXT_CHARACTERS_MAX: usize = 500;
const METADATA_MAX: usize = 16;
const METADATA_NAME_CHARACTERS_MAX: usize = 40;
const PRIORITY_MAX: i64 = 1000;
const TTL_SECONDS: i64 = 900;
const TTL_SECONDS_MAX: i64 = 30 * 24 * 3600;
/// Ten years.
const EXTEND_SECONDS_MAX: i64 = 3650 * 24 * 3600;

/// Whether its times are still to come is asked in the unit: a request that is repeated later has been
/// answered, and gets that answer.
pub fn issue(body: &CreditBody, purpose: Purpose) -> Result<(Issue, Terms), Fault> {
    let mut checks = Checks::default();
    let issue = Issue {
        amount: checks.credits("/amount", &body.amount),
        category: body.category.unwrap_or(Category::Promo),
        priority: checks.within("/priority", body.priority, PRIORITY, PRIORITY_MAX),
        effective_at: checks.moment("/effective_at", body.effective_at.as_deref()),
        expires_at: checks.moment("/expires_at", body.expires_at.as_deref()),
    };
    let terms = body.terms(&mut checks, purpose);
    checks.or((issue, terms))
}

pub fn debit(body: &DebitBody, purpose: Purpose) -> Result<(Credits, Terms), Fault> {
    let mut checks = Checks::default();
    let amount = checks.credits("/amount", &body.amount);
    let terms = body.terms(&mut checks, purpose);
    checks.or((amount, terms))
}

pub fn transfer(body: &TransferBody, purpose: Purpose) -> Result<(Credits, Payee, Terms), Fault> {
    let mut checks = Checks::default();
    let amount = checks.credits("/amount", &body.amount);
    let payee = checks.payee(&body.to);
    let terms = body.terms(&mut checks, purpose);
    let payee = checks.or(payee)?;
    let payee = payee.ok_or_else(|| Fault::invalid("/to", "required", ONE_PAYEE))?;
    Ok((amount, payee, terms))
}

const ONE_PAYEE: &str = "either user_id or account_number";

pub fn hold(body: &HoldBody, purpose: Purpose) -> Result<(Credits, i64, Terms), Fault> {
    let mut checks = Checks::default();
    let amount = checks.credits("/amount", &body.amount);
    let ttl = checks.within("/ttl_seconds", body.ttl_seconds, TTL_SECONDS, TTL_SECONDS_MAX);
    let terms = body.terms(&mut checks, purpose);
    checks.or((amount, ttl, terms))
}

pub fn capture(body: &CaptureBody, purpose: Purpose) -> Result<(Option<Credits>, Terms), Fault> {
    let mut checks = Checks::default();
    let amount = body.amount.as_ref().map(|amount| checks.credits("/amount", amount));
    let terms = body.terms(&mut checks, purpose);
    checks.or((amount, terms))
}

pub fn release(body: &ReleaseBody, purpose: Purpose) -> Result<Terms, Fault> {
    let mut checks = Checks::default();
    let terms = body.terms(&mut checks, purpose);
    checks.or(terms)
}

pub fn refund(
    body: &RefundBody,
    entry: LedgerId,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(Refunding, Terms), Fault> {
    let mut checks = Checks::default();
    let amount = body.amount.as_ref().map(|amount| checks.credits("/amount", amount));
    let expired = match (body.expired.unwrap_or(ExpiredBody::Restore), body.extend_seconds) {
        (ExpiredBody::Extend, None) => {
            checks.add("/extend_seconds", "required", "for how long they come back");
            Expired::Forfeit
        }
        (ExpiredBody::Extend, seconds) => {
            let seconds = checks.within("/extend_seconds", seconds, 1, EXTEND_SECONDS_MAX);
            Expired::Extend(time::plus(now, seconds.saturating_mul(time::SECOND_MS)))
        }
        (_, Some(_)) => {
            checks.add("/extend_seconds", "not_accepted", "only with `expired: extend`");
            Expired::Forfeit
        }
        (ExpiredBody::Restore, None) => Expired::Restore,
        (ExpiredBody::Forfeit, None) => Expired::Forfeit,
    };
    let terms = body.terms(&mut checks, purpose);
    checks.or((Refunding { entry, amount, expired }, terms))
}

pub fn adjustment(body: &AdjustBody, purpose: Purpose) -> Result<(Adjustment, Terms), Fault> {
    let mut checks = Checks::default();
    let amount = checks.credits("/amount", &body.amount);
    let mut terms = body.terms(&mut checks, purpose);
    terms.note.reason = Some(checks.why(&body.reason));
    checks.or((Adjustment { amount, direction: body.direction }, terms))
}

pub fn why(body: &WhyBody) -> Result<String, Fault> {
    let mut checks = Checks::default();
    let reason = checks.why(&body.reason);
    checks.or(reason)
}

/// An id that can be none is answered like one that does not exist.
pub fn ledger_id(text: &str) -> Result<LedgerId, Fault> {
    text.parse().map_err(|_| Fault::of(Code::NotFound))
}

impl Checks {
    fn moment(&mut self, pointer: &str, text: Option<&str>) -> Option<Timestamp> {
        let at = parse_rfc3339(text?);
        if at.is_none() {
            self.add(pointer, "not_accepted", "an RFC 3339 time, such as 2026-11-22T00:00:00Z");
        }
        at
    }

    fn within(&mut self, pointer: &str, value: Option<i64>, standard: i64, most: i64) -> i64 {
        let value = value.unwrap_or(standard);
        if !(1..=most).contains(&value) {
            self.add(pointer, "out_of_range", format!("an integer from 1 to {most}"));
        }
        value
    }

    fn why(&mut self, reason: &str) -> String {
        self.parsed("/reason", reason, |reason| text::multiline(reason, TEXT_CHARACTERS_MAX))
    }

    fn payee(&mut self, to: &PayeeBody) -> Option<Payee> {
        match (&to.user_id, &to.account_number) {
            (Some(id), None) => {
                let id = id.parse().ok();
                if id.is_none() {
                    self.add("/to/user_id", "not_accepted", "24 hexadecimal digits");
                }
                id.map(Payee::User)
            }
            (None, Some(number)) => {
                let number = AccountNumber::parse(number);
                if number.is_none() {
                    let accepted = "14 digits of which the last two check the others";
                    self.add("/to/account_number", "not_accepted", accepted);
                }
                number.map(Payee::Account)
            }
            _ => {
                self.add("/to", "not_accepted", ONE_PAYEE);
                None
            }
        }
    }

    fn terms(
        &mut self,
        reference: Option<&str>,
        description: Option<&str>,
        metadata: &BTreeMap<String, String>,
        purpose: Purpose,
    ) -> Terms {
        let mut line = |pointer: &str, value: Option<&str>, most| {
            let value = value?;
            if value.trim().chars().count() > most {
                self.add(pointer, "too_long", format!("at most {most} characters"));
                return None;
            }
            Some(self.parsed(pointer, value, |value| text::line(value, most)))
        };
        let reference = line("/reference", reference, REFERENCE_CHARACTERS_MAX);
        let description = line("/description", description, TEXT_CHARACTERS_MAX);
        if metadata.len() > METADATA_MAX {
            self.add("/metadata", "too_many", format!("at most {METADATA_MAX} texts"));
        }
        for (name, value) in metadata {
            let name_fits =
                text::line(name, METADATA_NAME_CHARACTERS_MAX).is_ok_and(|n| n == *name);
            if !name_fits {
                let sent: String = name.chars().take(METADATA_NAME_CHARACTERS_MAX).collect();
                let accepted = format!(
                    "names of 1 to 40 characters, without control characters: not {sent:?}"
                );
                self.add("/metadata", "invalid_key", accepted);
                continue;
            }
            let pointer = || format!("/metadata/{}", name.replace('~', "~0").replace('/', "~1"));
            if value.chars().count() > TEXT_CHARACTERS_MAX {
                self.add(&pointer(), "too_long", "at most 500 characters");
            } else if value.contains('\0') {
                self.add(&pointer(), "not_accepted", "a text without NUL");
            }
        }
        let note = Note { description, metadata: metadata.clone(), reason: None };
        Terms { reference, note, purpose }
    }
}
