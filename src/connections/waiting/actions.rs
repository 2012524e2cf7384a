//! What can be done to a registration that waits.

use crate::access::grant::{OnApp, OnPlatform};
use crate::access::permission::Permission::{Admin, App};
use crate::actions;

actions! {
    ReadRegistration "registration_key_shown" App => OnApp, writes, "An app reads a registration and is shown the key of its connection, once.";
    ReadRegistrations "registrations_read" Admin => OnPlatform, reads, "An admin reads the registrations.";
    ApproveRegistration "registration_approved" Admin => OnPlatform, writes, "An admin vouches for what a registration claims: the person is connected.";
    DeclineRegistration "registration_declined" Admin => OnPlatform, writes, "An admin declines a registration.";
}
