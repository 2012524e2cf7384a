//! What can be done with the trail.

use crate::access::action::Action;
use crate::access::grant::OnPlatform;
use crate::access::permission::Permission::Audit;

/// An auditor reads entries.
pub struct ReadTrail;

impl Action for ReadTrail {
    const NAME: &'static str = "trail_read";
    const NEEDS: crate::access::permission::Permission = Audit;
    type Target = OnPlatform;
}
