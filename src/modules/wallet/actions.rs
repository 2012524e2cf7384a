//! What can be done with wallets.

use crate::access::grant::{OnApp, OnItself, OnPlatform, OnTie, OnUser};
use crate::access::permission::Permission::{Admin, App, Held, Itself};
use crate::actions;

/// What an app needs for a person's wallet.
pub const ACCESS: &str = "wallet_access";

actions! {
    in "wallet";
    ReadWallet "wallet_read" Held(ACCESS) => OnUser, reads, "An app reads a person's wallet, its entries, or a statement.";
    Credit "wallet_credited" Held(ACCESS) => OnTie, writes, "An app issues credits to a person.";
    Debit "wallet_debited" Held(ACCESS) => OnTie, writes, "An app takes credits from a person.";
    Transfer "wallet_transferred" Held(ACCESS) => OnTie, writes, "A first-party app moves credits from one person to another; both have an entry.";
    PlaceHold "wallet_hold_placed" Held(ACCESS) => OnTie, writes, "An app sets credits of a person aside.";
    CaptureHold "wallet_hold_captured" Held(ACCESS) => OnTie, writes, "An app takes what it had set aside, or a part of it; the rest is released.";
    ReleaseHold "wallet_hold_released" Held(ACCESS) => OnTie, writes, "An app releases what it had set aside.";
    Refund "wallet_refunded" Held(ACCESS) => OnTie, writes, "An app puts back what it had taken, or a part of it.";
    CheckName "account_checked" App => OnApp, reads, "A first-party app asks whose account a number is.";
    ReadWallets "wallets_read" Admin => OnPlatform, reads, "An admin reads a person's wallet or its entries.";
    AdjustWallet "wallet_adjusted" Admin => OnPlatform, writes, "An admin corrects a balance, with a reason.";
    FreezeWallet "wallet_frozen" Admin => OnPlatform, writes, "An admin freezes a wallet: it takes credits and refuses the rest.";
    UnfreezeWallet "wallet_unfrozen" Admin => OnPlatform, writes, "An admin unfreezes a wallet.";
    CaptureAnyHold "wallet_hold_captured_by_admin" Admin => OnPlatform, writes, "An admin captures a hold of whichever app.";
    ReleaseAnyHold "wallet_hold_released_by_admin" Admin => OnPlatform, writes, "An admin releases a hold of whichever app.";
    ExpireCredits "wallet_expired" Itself => OnItself, writes, "Purser books holds and lots whose time was over. An operation that comes first books them with its own entry; the ledger has a line for each.";
}
