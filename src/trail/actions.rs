//! What can be done with the trail.

use crate::access::action::Action;
use crate::access::grant::{OnApp, OnPlatform};
use crate::access::permission::Permission::{self, App, Audit};

/// An auditor reads entries.
pub struct ReadTrail;

impl Action for ReadTrail {
    const NAME: &'static str = "trail_read";
    const NEEDS: Permission = Audit;
    type Target = OnPlatform;
}

/// An app reads what it has done itself.
pub struct ReadOwnTrail;

impl Action for ReadOwnTrail {
    const NAME: &'static str = "own_trail_read";
    const NEEDS: Permission = App;
    type Target = OnApp;
}
