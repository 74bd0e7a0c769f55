//! Calls the command line and turns its result into an exit status.

use std::process::ExitCode;

use roomd::{cli, daemon};

fn main() -> ExitCode {
    daemon::execute(cli::parse())
}
