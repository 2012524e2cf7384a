//! What can be done with referrals and their programmes.

use crate::access::grant::{OnItself, OnPlatform, OnTie, OnUser};
use crate::access::permission::Permission::{Admin, Held, Itself};
use crate::actions;

/// What an app needs for a person's referrals.
pub const ACCESS: &str = "referrals_access";

actions! {
    in "referrals";
    ReadReferrals "referrals_read" Held(ACCESS) => OnUser, reads, "An app reads a person's referrals.";
    MakeCode "referral_code_made" Held(ACCESS) => OnTie, writes, "An app asks for a person's code, or chooses one.";
    RedeemCode "referral_redeemed" Held(ACCESS) => OnTie, writes, "An app redeems somebody's code for a person; also what was refused, once for each reason.";
    ReviewReferrals "referrals_reviewed" Admin => OnPlatform, reads, "An admin lists referrals: what waits, is flagged, was refused.";
    ApproveReferral "referral_approved" Admin => OnPlatform, writes, "An admin approves a flagged referral.";
    VoidReferral "referral_voided" Admin => OnPlatform, writes, "An admin voids a referral that was not rewarded yet.";
    ReadProgrammes "programmes_read" Admin => OnPlatform, reads, "An admin reads programmes.";
    CreateProgramme "programme_created" Admin => OnPlatform, writes, "An admin starts a programme.";
    ChangeProgramme "programme_changed" Admin => OnPlatform, writes, "An admin changes a programme; what was redeemed before keeps it as it was.";
    RewardReferral "referral_rewarded" Itself => OnItself, writes, "Purser rewards both sides of a referral, or closes one that can have no reward.";
}
