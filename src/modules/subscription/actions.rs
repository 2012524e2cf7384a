//! What can be done with plans and subscriptions.

use crate::access::grant::{OnApp, OnItself, OnPlatform, OnTie, OnUser};
use crate::access::permission::Permission::{Admin, App, Held, Itself};
use crate::actions;

/// What an app needs for a person's subscription.
pub const ACCESS: &str = "subscription_access";

actions! {
    in "subscription";
    ReadSubscription "subscription_read" Held(ACCESS) => OnUser, reads, "An app reads a person's subscription, or asks what it entitles to.";
    StartSubscription "subscription_started" Held(ACCESS) => OnTie, writes, "An app starts a subscription to one of the plans that it sells.";
    ChangeSubscription "subscription_changed" Held(ACCESS) => OnTie, writes, "An app changes the plan of a subscription, at once or at the end of its period.";
    CancelSubscription "subscription_canceled" Held(ACCESS) => OnTie, writes, "An app cancels a subscription at the end of its period.";
    ResumeSubscription "subscription_resumed" Held(ACCESS) => OnTie, writes, "An app takes a cancellation back.";
    ListPlans "plans_listed" App => OnApp, reads, "An app lists the plans that it sells.";
    ReadPlans "plans_read" Admin => OnPlatform, reads, "An admin reads plans.";
    CreatePlan "plan_created" Admin => OnPlatform, writes, "An admin puts a plan on sale.";
    ChangePlan "plan_changed" Admin => OnPlatform, writes, "An admin changes a plan; who has it keeps it as it was.";
    RenewSubscription "subscription_renewed" Itself => OnItself, writes, "Purser bills the next period of a subscription, notes that it could not be paid, or ends it.";
}
