//! What can be done with the registry.

use crate::access::grant::{OnItself, OnPlatform};
use crate::access::permission::Permission::{Admin, Itself};
use crate::actions;

actions! {
    RegisterBuiltIn "built_in_module_registered" Itself => OnItself, writes, "A built-in module is put into the registry, or a newer version of it.";
    LoadModule "module_loaded" Itself => OnItself, writes, "The command line registers a module from a file, publishes its next version, or gives it to everybody.";
    ReadModules "modules_read" Admin => OnPlatform, reads, "An admin reads the registry.";
    RegisterModule "module_registered" Admin => OnPlatform, writes, "An admin registers a module.";
    ChangeModule "module_changed" Admin => OnPlatform, writes, "An admin changes the texts or the status of a module.";
    PublishVersion "module_version_published" Admin => OnPlatform, writes, "An admin publishes a new version of a module's schema.";
    ActivateVersion "module_version_activated" Admin => OnPlatform, writes, "An admin makes a version that of new data.";
    DeleteModule "module_deleted" Admin => OnPlatform, writes, "An admin deletes a module that nothing uses.";
}
