//! The one error that crosses rooms: a code from a closed table, a public message, a private cause.
//!
//! The cause never reaches a client, and a log shows only what the room that made it put there: a
//! driver's message quotes documents, so `store` maps it to a kind and a number first.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::quota::Quota;

/// What kind of failure a code is. `http` alone knows which status that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    Malformed,
    Unauthenticated,
    InsufficientFunds,
    Forbidden,
    NotFound,
    WrongMethod,
    TooSlow,
    Conflict,
    StalePrecondition,
    TooLarge,
    Gone,
    WrongMediaType,
    Invalid,
    MissingPrecondition,
    TooMany,
    Broken,
    Unavailable,
}

macro_rules! codes {
    ($($variant:ident $name:literal $class:ident $title:literal $remedy:literal;)*) => {
        /// Every failure a client can see. Names are stable: clients branch on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name),* }
            }

            pub fn class(self) -> Class {
                match self { $(Code::$variant => Class::$class),* }
            }

            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),* }
            }

            /// What the caller can do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Code::$variant => $remedy),* }
            }
        }
    };
}

codes! {
    MalformedRequest "malformed_request" Malformed "The request cannot be read" "Send what the operation's description in /openapi.json says; `errors` names the place.";
    KeyInQuery "key_in_query" Malformed "API key in the query string" "Send the key in `Authorization: Bearer` and replace this one: it may stand in a log already.";
    InvalidCursor "invalid_cursor" Malformed "The cursor does not fit this list" "Use `next_cursor` exactly as it was answered, with the same key and the same filters, or start again without a cursor.";
    InvalidIdempotencyKey "invalid_idempotency_key" Malformed "The Idempotency-Key is not usable" "Send 1 to 255 visible ASCII characters, a new value for every new operation.";
    IdempotencyKeyRequired "idempotency_key_required" Malformed "This needs an Idempotency-Key" "Send `Idempotency-Key`: 1 to 255 visible ASCII characters, a new value for every new operation and the same one when you repeat it, so that credits move once.";
    Unauthenticated "unauthenticated" Unauthenticated "No valid API key" "Send a key that is in use as `Authorization: Bearer prs_…`. Unknown, malformed, expired and revoked keys are not told apart.";
    SignInFailed "sign_in_failed" Unauthenticated "Not signed in" "Check identifier and password, or wait: unknown people, wrong passwords and too many attempts are not told apart.";
    InsufficientCredits "insufficient_credits" InsufficientFunds "Not enough credits" "`short_by` says how many are missing. Credit the wallet, then send a new operation under a new Idempotency-Key.";
    PermissionDenied "permission_denied" Forbidden "The connection lacks a permission" "`detail` names the permission; an admin can grant it within the app's ceiling.";
    WrongCredential "wrong_credential" Forbidden "This kind of key cannot do this" "Use the kind of key that `detail` names.";
    AddressNotAllowed "address_not_allowed" Forbidden "The key may not be used from this address" "Send the request from an address that `allowed_ips` names, or have an admin change that list; `detail` says which address it came from.";
    RevealNotAllowed "reveal_not_allowed" Forbidden "Keys of this app are not revealed" "Rotate the key instead, or have an admin set `reveal_keys` of the app.";
    NotConnected "not_connected" Forbidden "The person is not connected to this app" "Connect them with `POST /v1/users`.";
    AppSuspended "app_suspended" Forbidden "The app is suspended" "An admin of Purser can set its status back to `active`.";
    UserSuspended "user_suspended" Forbidden "The user is suspended" "An admin of Purser can reactivate the user.";
    UserInactive "user_inactive" Forbidden "The user is inactive" "An admin of Purser can reactivate the user.";
    ConnectionSuspended "connection_suspended" Forbidden "The connection is suspended" "An admin of Purser can reactivate the connection.";
    ConnectionInactive "connection_inactive" Forbidden "The app has let this connection go" "Register the person again with `POST /v1/users`: the data is kept for 30 days.";
    ConnectionRevoked "connection_revoked" Forbidden "This connection was cut" "It is not taken up again: only the person could, and people have no way to do so yet.";
    ContextMismatch "context_mismatch" Forbidden "The body names another user or app" "Leave `user_id` and `app_id` out of the body, or send those of the path and the key.";
    NotFirstParty "not_first_party" Forbidden "This needs a first-party app" "Only a first-party app signs people in and moves credits between them; an admin can change the app's `trust`.";
    IssuanceNotAllowed "issuance_not_allowed" Forbidden "This app may not issue these credits" "An admin can change the app's `may_issue`: its categories and its whole credits a day (UTC). `detail` says which of them stands in the way.";
    ModuleDisabled "module_disabled" Forbidden "The module is disabled for this person" "An admin of Purser can enable it.";
    ModuleBuiltIn "module_built_in" Forbidden "The module is built in" "Its state changes only through its own operations (`/v1/users/{user}/wallet/…` and so on), and its line of the registry with a new version of Purser.";
    KycLevelTooLow "kyc_level_too_low" Forbidden "The person is not verified enough" "The person must be verified to the level that `detail` names.";
    WalletFrozen "wallet_frozen" Forbidden "The wallet is frozen" "It takes credits, and gives none until an admin of Purser unfreezes it. The same Idempotency-Key can be sent again then.";
    NotFound "not_found" NotFound "Not found" "Check the id. What the key may not see is answered exactly like what does not exist.";
    MethodNotAllowed "method_not_allowed" WrongMethod "The method is not allowed here" "The `Allow` header lists what is.";
    RequestTimeout "request_timeout" TooSlow "The body did not arrive in time" "Send the whole body at once, on a new connection: this one is closed. Nothing was changed.";
    AlreadyExists "already_exists" Conflict "It exists already" "Choose another name, or change the existing one.";
    IdempotencyInProgress "idempotency_in_progress" Conflict "The same operation is still running" "Repeat after `Retry-After` with the same Idempotency-Key.";
    AlreadyResolved "already_resolved" Conflict "It was decided already" "Read it: `status` says how it was decided.";
    AlreadyReferred "already_referred" Conflict "A code was redeemed before" "Each person redeems one code, once.";
    NotEligible "not_eligible" Conflict "This code is not for this person" "`detail` says why: it is too late, or the code is their own, of the same customer, or of somebody who was registered later.";
    DuplicateReference "duplicate_reference" Conflict "The reference was used before" "It happened already: read the entry that `entry_id` names (absent where it is another person's). A new operation needs a reference of its own; unless one is sent, it is the Idempotency-Key.";
    HoldExpired "hold_expired" Conflict "The hold has run out" "Its credits are free again: place a new hold, or debit.";
    WalletFull "wallet_full" Conflict "The wallet holds no more of this" "At most 256 lots and 512 open holds, of 1,024 slices in all: spend lots, or capture or release holds, and send a new operation under a new Idempotency-Key.";
    ModuleInUse "module_in_use" Conflict "The module is in use" "Set its status to `inactive`, which hides it from every app. It can be deleted only while no person has data in it and no app or connection holds its permission; `detail` says what does.";
    BreakingChange "breaking_change" Conflict "The new version would break what is stored" "`errors` names each change; send a `migration` that makes old data fit and raise the major version, or change the schema less.";
    NotYetSealed "not_yet_sealed" Conflict "The entry is not sealed yet" "Repeat after `Retry-After`: it is in the trail, and gets its place in the tree and a checkpoint within seconds.";
    WrongState "wrong_state" Conflict "It is not in a state in which this can be done" "`detail` says in which state it is, and in which it can be done.";
    WalletNotEmpty "wallet_not_empty" Conflict "There are credits left" "`detail` says how many, and what can be done with them.";
    LastAdmin "last_admin" Conflict "This is the last admin" "Create another admin first: `POST /v1/admin/operators`, or `purser operators create` on the command line.";
    CursorExpired "cursor_expired" Gone "The cursor is too old" "The feed no longer goes on from there: read `GET /v1/changes/snapshot`, and go on with its `feed_cursor`.";
    RevisionMismatch "revision_mismatch" StalePrecondition "It has changed meanwhile" "Read it again and repeat with the new `ETag` in `If-Match`.";
    BodyTooLarge "body_too_large" TooLarge "The body is too large" "Send at most 65,536 bytes.";
    UnsupportedMediaType "unsupported_media_type" WrongMediaType "The body is not JSON" "Send `Content-Type: application/json`.";
    Invalid "invalid" Invalid "The request is not acceptable" "`errors` names what is wrong and what is accepted: the first place that has not the right shape, or all values that are not acceptable.";
    IdempotencyKeyReused "idempotency_key_reused" Invalid "This Idempotency-Key was used for something else" "Use a new key for a new operation; repeat the old one only with the same body.";
    ExceedsHold "exceeds_hold" Invalid "More than is held" "Capture at most the hold's amount, and debit the rest.";
    ExceedsRefundable "exceeds_refundable" Invalid "More than is left to refund" "All refunds of an entry together return at most its amount; `detail` says what is left.";
    NotRefundable "not_refundable" Invalid "This entry is not refunded" "Debits and captures are; for others there is an opposite operation.";
    PreconditionRequired "precondition_required" MissingPrecondition "If-Match is required" "Send the `ETag` of the last answer in `If-Match`, so that nobody's change is overwritten.";
    RateLimited "rate_limited" TooMany "Too many requests" "Repeat after `Retry-After`. `RateLimit-Policy` names the limits, `RateLimit` what is left of them.";
    Internal "internal" Broken "Something is broken on our side" "Nothing was changed. Repeat; if it stays, report the `request_id`.";
    Overloaded "overloaded" Unavailable "Too much is waiting" "Repeat after `Retry-After`.";
    StoreUnavailable "store_unavailable" Unavailable "The database does not answer" "Nothing was changed. Repeat after `Retry-After`.";
    OutcomeUnknown "outcome_unknown" Unavailable "It is not known whether this happened" "Repeat a POST with the same Idempotency-Key: the answer is the true one, and nothing happens twice. Before repeating a PATCH or DELETE, read: both come to the same if they happen twice.";
    ShuttingDown "shutting_down" Unavailable "This node is shutting down" "Repeat: another node, or this one after its restart, answers.";
}

impl Code {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom("unknown code"))
    }
}

/// What is wrong with one field: a JSON Pointer into the body (`/profile/phone`), or the name of a
/// header, path or query parameter without a slash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    pub pointer: String,
    pub code: Cow<'static, str>,
    pub detail: Cow<'static, str>,
}

impl FieldError {
    pub fn new(
        pointer: impl Into<String>,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { pointer: pointer.into(), code: Cow::Borrowed(code), detail: detail.into() }
    }
}

/// What a problem tells besides, for programs (RFC 9457 calls them extension members).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How many credits are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_by: Option<i64>,
    /// The entry that stands there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Fault {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    #[serde(default)]
    facts: Option<Box<Facts>>,
    retry_after_seconds: Option<u32>,
    #[serde(skip)]
    quota: Option<Box<Quota>>,
    #[serde(skip)]
    replayed: bool,
    #[serde(skip)]
    cause: Option<String>,
}

impl Fault {
    /// With the code's own remedy as the message.
    pub fn of(code: Code) -> Self {
        Self::new(code, code.remedy())
    }

    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            facts: None,
            retry_after_seconds: None,
            quota: None,
            replayed: false,
            cause: None,
        }
    }

    /// One field of the body, or one parameter, is not acceptable.
    pub fn invalid(
        pointer: impl Into<String>,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::invalid_fields(vec![FieldError::new(pointer, code, detail)])
    }

    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => format!("The body: {}", only.detail),
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} fields are not acceptable.", several.len()),
        };
        Self { errors, ..Self::new(Code::Invalid, detail) }
    }

    /// Something that cannot happen did; `cause` is for the log and holds no personal data.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::of(Code::Internal).because(cause)
    }

    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The limits that refuse it.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(Box::new(quota));
        self
    }

    /// The earlier refusal of the same operation under its Idempotency-Key.
    #[must_use]
    pub fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }

    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    #[must_use]
    pub fn with_facts(mut self, facts: Facts) -> Self {
        self.facts = Some(Box::new(facts));
        self
    }

    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after_seconds
    }

    pub fn quota_left(&self) -> Option<&Quota> {
        self.quota.as_deref()
    }

    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// For the log, never for a client.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.detail)?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_of_codes_are_unique_and_lead_back_to_the_code() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| Code::from_name(code.name()) == Some(*code)));
    }

    #[test]
    fn a_stored_fault_comes_back_without_its_cause() {
        let fault = Fault::invalid("/amount", "type", "an integer").because("private");
        let text = serde_json::to_string(&fault).expect("serialises");
        assert!(!text.contains("private"));
        let back: Fault = serde_json::from_str(&text).expect("reads back");
        assert_eq!((back.code(), back.errors()), (fault.code(), fault.errors()));
    }
}
