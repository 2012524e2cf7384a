//! The `purser` command.

use std::process::ExitCode;

/// Half of the write path's own time is small allocations (documents have many keys); this
/// allocator makes them a good deal cheaper than the system's. Its huge pages are off (`no_thp`):
/// the buffers of an idle connection are mostly untouched, and would be resident in full.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    purser::app::run()
}
