//! Starts every part, joins them by queues, stops them in order.
//!
//! The only place where the parts that touch the world meet each other and the parts that decide.

mod announce;
mod clock;
#[cfg(feature = "media")]
mod device;
#[cfg(feature = "media")]
mod engine;
#[cfg(feature = "media")]
mod line;
mod server;
mod settings;
mod site;
mod standing;
mod start;
mod status;

use std::process::ExitCode;

use crate::{
    cli::{self, Command},
    config::{self, Flags, Purpose},
    net,
};

/// Does what the command line asks for.
#[must_use]
pub fn execute(command: Command) -> ExitCode {
    match command {
        Command::Run(flags) => start::start(&flags, Purpose::Device),
        Command::Serve(flags) => start::start(&flags, Purpose::Server),
        Command::Check(check) => cli::check(&check, |_| Vec::new()),
        Command::Init => cli::init(),
        Command::Devices { .. } => ExitCode::from(cli::EXIT_SOFTWARE),
        Command::Status { flags, json } => status(&flags, json),
        Command::Pin { flags, new } => pin(&flags, new),
    }
}

/// `roomd pin`.
fn pin(flags: &Flags, _new: bool) -> ExitCode {
    let loaded = match config::load(flags, Purpose::Server) {
        Ok(loaded) => loaded,
        Err(problems) => {
            config::print(&problems);
            return ExitCode::from(cli::EXIT_CONFIG);
        }
    };
    if let Some(pin) = &loaded.config.room.pin {
        println!("{}", pin.expose());
        return ExitCode::SUCCESS;
    }
    match net::secrets::Secrets::read(&loaded.config.state_dir) {
        Ok(secrets) => {
            println!("{}", secrets.pin.reveal());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(cli::EXIT_FAILURE)
        }
    }
}

/// `roomd status`.
fn status(flags: &Flags, json: bool) -> ExitCode {
    let loaded = match config::load(flags, Purpose::Server) {
        Ok(loaded) => loaded,
        Err(problems) => {
            config::print(&problems);
            return ExitCode::from(cli::EXIT_CONFIG);
        }
    };
    match status::ask(&status::socket(&loaded.config)) {
        Ok(answer) if json => println!("{answer:#}"),
        Ok(answer) => print!("{}", status::text(&answer)),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(cli::EXIT_FAILURE);
        }
    }
    ExitCode::SUCCESS
}
