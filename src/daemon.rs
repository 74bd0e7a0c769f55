//! Starts every part, joins them by queues, stops them in order.

use std::process::ExitCode;

use crate::cli::{self, Command};

/// Does what the command line asks for.
#[must_use]
pub fn execute(command: Command) -> ExitCode {
    match command {
        Command::Check(check) => cli::check(&check, |_| Vec::new()),
        Command::Init => cli::init(),
        Command::Run(_)
        | Command::Serve(_)
        | Command::Devices { .. }
        | Command::Status { .. }
        | Command::Pin { .. } => {
            eprintln!("this build has no daemon");
            ExitCode::from(cli::EXIT_SOFTWARE)
        }
    }
}
