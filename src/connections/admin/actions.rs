//! What admins can do to connections.

use crate::access::grant::OnPlatform;
use crate::access::permission::Permission::Admin;
use crate::actions;

actions! {
    ReadConnections "connections_read" Admin => OnPlatform, reads, "An admin reads connections, without what apps keep in them.";
    ChangeConnection "connection_changed" Admin => OnPlatform, writes, "An admin changes a connection's permissions, roles, limits, addresses or status.";
}
