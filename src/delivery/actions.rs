//! What apps can do here: read.

use crate::access::action::Action;
use crate::access::grant::OnApp;
use crate::access::permission::Permission::{self, App};

/// An app reads what has changed.
pub struct ReadChanges;

impl Action for ReadChanges {
    const NAME: &'static str = "changes_read";
    const NEEDS: Permission = App;
    type Target = OnApp;
}

/// An app reads all of its people, to follow their changes from then on.
pub struct ReadSnapshot;

impl Action for ReadSnapshot {
    const NAME: &'static str = "changes_snapshot_read";
    const NEEDS: Permission = App;
    type Target = OnApp;
}
