//! What apps can do to people.

use crate::access::grant::{OnApp, OnUser};
use crate::access::permission::Permission::{App, ByApp, Connected, Held};
use crate::access::permission::{READ, WRITE};
use crate::actions;

actions! {
    RegisterUser "user_registered" App => OnApp, writes, "An app registers a person: a new record, or a connection to a known one.";
    FindUsers "users_found" App => OnApp, reads, "An app looks up people among its own connections.";
    ReadUser "user_read" Held(READ) => OnUser, reads, "An app reads its view of a person.";
    UpdateUser "profile_updated" Held(WRITE) => OnUser, writes, "An app changes the shared username, profile or preferences.";
    ReadConnection "connection_read" Connected => OnUser, reads, "An app reads its own side of the tie.";
    UpdateConnection "connection_updated" Held(WRITE) => OnUser, writes, "An app changes its own data about a person.";
    RotateKey "connection_key_rotated" ByApp => OnUser, writes, "An app replaces a connection key.";
    RevealKey "connection_key_revealed" ByApp => OnUser, writes, "An app has a connection key shown again.";
    ReadRoles "roles_read" Connected => OnUser, reads, "An app reads what a person is inside it.";
    AssignRoles "roles_assigned" ByApp => OnUser, writes, "An app says what a person is inside it.";
    CheckAccess "access_checked" Connected => OnUser, reads, "An app asks whether a person's roles give a permission.";
    LetGo "connection_let_go" Connected => OnUser, writes, "An app lets a person go; its data is kept for 30 days.";
}
