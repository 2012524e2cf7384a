//! What can be done with what people have in modules.

use crate::access::grant::{OnPlatform, OnUser};
use crate::access::permission::Permission::{Admin, Connected, OfModule};
use crate::actions;

actions! {
    ListModules "user_modules_read" Connected => OnUser, reads, "An app asks which modules of a person it can use.";
    ReadModule "user_module_read" OfModule => OnUser, reads, "An app reads what a person has in a module.";
    UpdateModule "module_data_updated" OfModule => OnUser, writes, "An app changes what a person has in a registered module.";
    SwitchModule "module_switched" Admin => OnPlatform, writes, "An admin enables or disables a module for one person.";
}
