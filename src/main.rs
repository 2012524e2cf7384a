//! The `purser` command.

use std::process::ExitCode;

/// Half of the write path's own time is small allocations (documents have many keys); this
/// allocator makes them a good deal cheaper than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    purser::app::run()
}
