//! `roomd run` and `roomd serve`, from the configuration to the last goodbye.

use std::{io, process::ExitCode};

use tracing::{error, info};

use super::{
    announce::{self, Announcement},
    settings,
    site::Site,
};
use crate::{
    cli,
    config::{self, Flags, Loaded, Purpose, Signalling},
    net,
};

/// Why roomd does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// Another program has the port, or we may not have it.
    #[error("cannot listen on {address}: {source}{}", remedy(source))]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is no usable certificate.
    #[error(transparent)]
    Certificate(#[from] net::CertificateError),
    /// PIN or token cannot be used.
    #[error(transparent)]
    Secret(#[from] net::secrets::SecretError),
    /// Something that the system should give is missing.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; is another roomd running? Choose another with --listen or server.listen"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are for root and for services, so choose another with --listen"
        }
        _ => "",
    }
}

/// Runs until the process is told to end.
pub(super) fn start(flags: &Flags, purpose: Purpose) -> ExitCode {
    let loaded = match config::load(flags, purpose) {
        Ok(loaded) => loaded,
        Err(problems) => {
            config::print(&problems);
            return ExitCode::from(cli::EXIT_CONFIG);
        }
    };
    config::print(&loaded.warnings);
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no runtime");
            return ExitCode::from(cli::EXIT_SOFTWARE);
        }
    };
    match runtime.block_on(run(&loaded, purpose)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roomd: {error}");
            ExitCode::from(cli::EXIT_FAILURE)
        }
    }
}

async fn run(loaded: &Loaded, purpose: Purpose) -> Result<(), StartError> {
    let config = &loaded.config;
    let Signalling::Own(server) = &config.signalling else {
        return Ok(());
    };
    let own = (purpose == Purpose::Device).then_some(&config.room.name);
    let site = Site::open(config, server, settings::rooms(server, own)).await?;
    let reachable = net::addresses::reachable().unwrap_or_default();
    println!(
        "listening on {}",
        announce::local_url(site.address()).trim_end_matches('/')
    );
    print!(
        "{}",
        Announcement {
            listening: site.address(),
            name: server.names.first().map(String::as_str),
            reachable: &reachable,
            pin: Some(site.pin()),
            found: &[],
        }
        .text(true)
    );
    site.ready(true);
    info!("ready");
    let _ = tokio::signal::ctrl_c().await;
    site.close().await;
    Ok(())
}
