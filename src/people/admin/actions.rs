//! What admins can do to people.

use crate::access::grant::OnPlatform;
use crate::access::permission::Permission::Admin;
use crate::actions;

actions! {
    ReadPeople "people_read" Admin => OnPlatform, reads, "An admin looks people up.";
    SuspendUser "user_suspended" Admin => OnPlatform, writes, "An admin suspends a person: at every app, no key works for them any more.";
    ReactivateUser "user_reactivated" Admin => OnPlatform, writes, "An admin makes a suspended or inactive person active again.";
    ChangeEmail "email_changed" Admin => OnPlatform, writes, "An admin sets, replaces or removes the e-mail address that identifies a person.";
    SetPassword "password_set" Admin => OnPlatform, writes, "An admin sets a password, which the person must change at the next sign-in.";
}
