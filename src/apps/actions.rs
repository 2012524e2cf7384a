//! What can be done to apps.

use crate::access::grant::{OnApp, OnPlatform};
use crate::access::permission::Permission::{Admin, App};
use crate::actions;

actions! {
    RegisterApp "app_registered" Admin => OnPlatform, writes, "An admin registers an app, with its first key.";
    ChangeApp "app_updated" Admin => OnPlatform, writes, "An admin changes an app's settings.";
    IssueAppKey "app_key_issued" Admin => OnPlatform, writes, "An admin issues a further app key.";
    RevokeAppKey "app_key_revoked" Admin => OnPlatform, writes, "An admin revokes an app key.";
    ReadItself "app_read_itself" App => OnApp, reads, "An app reads its own settings and how much of it is in use.";
    ReadApps "apps_read" Admin => OnPlatform, reads, "An admin reads the apps.";
}
