//! What an app can do for a person who is there.

use crate::access::grant::OnApp;
use crate::access::permission::Permission::App;
use crate::actions;

actions! {
    SignIn "signed_in" App => OnApp, writes, "A person signs in at a first-party app with their password.";
}
