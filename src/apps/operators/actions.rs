//! What can be done to operators: on the command line, and by admins.

use crate::access::grant::{OnItself, OnPlatform};
use crate::access::permission::Permission::{Admin, Itself};
use crate::actions;

actions! {
    CreateOperator "operator_created" Itself => OnItself, writes, "An operator is created on the command line.";
    RevokeOperator "operator_revoked" Itself => OnItself, writes, "An operator's key is revoked on the command line.";
    ListOperators "operators_listed" Itself => OnItself, reads, "The operators are listed on the command line.";
    AddOperator "operator_added" Admin => OnPlatform, writes, "An admin adds an operator.";
    ChangeOperator "operator_updated" Admin => OnPlatform, writes, "An admin changes an operator's name, role, addresses or end.";
    RemoveOperator "operator_removed" Admin => OnPlatform, writes, "An admin revokes an operator's key. The entry of an admin who remains says only so (`remained`).";
    ReadOperators "operators_read" Admin => OnPlatform, reads, "An admin reads the operators.";
}
