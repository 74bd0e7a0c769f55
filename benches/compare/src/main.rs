//! Measures roomd beside webrtcsink and beside one encoder per peer: `make bench`.
//!
//! `run` starts a [`sender`] and [`receivers`] (or Chromium) as processes of their own for each
//! figure, carries their descriptions, and reads what the kernel knows of the sender.

#![cfg_attr(
    not(feature = "webrtcsink"),
    allow(dead_code, reason = "some is there for webrtcsink alone")
)]

mod call;
mod clip;
mod encoders;
mod figures;
mod marks;
mod mode;
mod net;
mod per_peer;
mod plot;
mod proc;
mod receivers;
mod report;
mod roomd_side;
mod run;
mod sender;
mod source;
mod stages;
mod stamp;
#[cfg(feature = "webrtcsink")]
mod webrtcsink_side;
mod wire;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures roomd beside webrtcsink and beside one encoder per peer")]
enum What {
    /// Sends, and is what is measured. Speaks JSON lines.
    Sender(sender::Options),
    /// Receives. Speaks JSON lines.
    Receivers(receivers::Options),
    /// Measures, and writes `target/bench/*.json` and the tables and plots of docs/benchmarks.md.
    Run(run::Options),
    /// Writes the tables and plots again, of what is in `target/bench`.
    Report {
        /// Where the figures are.
        #[arg(long)]
        out: Option<std::path::PathBuf>,
    },
}

fn main() -> std::process::ExitCode {
    let what = What::parse();
    let speaks = matches!(what, What::Sender(_) | What::Receivers(_));
    let done = match what {
        What::Sender(options) => sender::run(&options),
        What::Receivers(options) => receivers::run(&options),
        What::Run(options) => run::run(&options),
        What::Report { out } => report::write(&run::folder(out.as_ref())),
    };
    let Err(error) = done else {
        return std::process::ExitCode::SUCCESS;
    };
    eprintln!("roomd-compare: {error}");
    if speaks {
        wire::fail(error);
    }
    std::process::ExitCode::FAILURE
}
