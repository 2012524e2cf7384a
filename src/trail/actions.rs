//! What can be done with the trail.

use crate::access::action::Action;
use crate::access::grant::{OnApp, OnItself, OnPlatform};
use crate::access::permission::Permission::{self, App, Audit, Itself};

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

/// Purser gives entries their leaves and signs checkpoints.
pub struct SealTrail;

impl Action for SealTrail {
    const NAME: &'static str = "trail_sealed";
    const NEEDS: Permission = Itself;
    type Target = OnItself;
}
