//! What admins can do to a person as a whole.

use crate::access::grant::OnPlatform;
use crate::access::permission::Permission::Admin;
use crate::actions;

actions! {
    EraseUser "user_erased" Admin => OnPlatform, writes, "An admin erases a person for good; the reason stands in the entry's `reference`.";
    ExportUser "user_exported" Admin => OnPlatform, writes, "An admin is given everything that is kept of a person; why stands in the entry's `reference`.";
}
