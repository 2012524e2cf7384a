//! The `purser` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    purser::app::run()
}
