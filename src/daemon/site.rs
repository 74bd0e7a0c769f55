//! The server of this process: hub, certificate, listener, and what they need.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tracing::{debug, warn};

use super::{
    announce,
    server::{Exchange, FROM_SOCKETS, Switchboard},
    settings::{self, Doors},
    start::StartError,
};
use crate::{
    config::{self, Config},
    hub,
    net::{self, About, Certificate, Health, Limits, Source, Surroundings, secrets::Secrets},
};

/// Plain HTTP's own port, from which people who type a bare name come.
const HTTP: u16 = 80;

/// HTTPS's own port.
const HTTPS: u16 = 443;

/// A server that runs.
pub(super) struct Site {
    address: SocketAddr,
    doors: Doors,
    /// What the hub goes by, to change a part of it.
    settings: hub::Settings,
    certificate: Certificate,
    exchange: Exchange,
    health: watch::Sender<Health>,
    meeting_over: Arc<Notify>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Site {
    /// Binds, makes what is missing, and serves. Until [`Self::ready`] is told, `/health` says
    /// that nobody can join yet.
    pub(super) async fn open(
        config: &Config,
        server: &config::Server,
        rooms: hub::Rooms,
    ) -> Result<Self, StartError> {
        let secrets = Secrets::open(&config.state_dir)?;
        let doors = Doors {
            pin: config
                .room
                .pin
                .as_ref()
                .map_or(secrets.pin.reveal(), |pin| pin.expose())
                .to_owned(),
            token: server
                .admin_token
                .as_ref()
                .map_or(secrets.token.reveal(), |token| token.expose())
                .to_owned(),
        };
        let certificate = Certificate::open(source(config, server), &Surroundings::look())?;
        let listener = bind(server.listen).await?;
        let address = listener.local_addr()?;

        let (sockets, from_sockets) = mpsc::channel(FROM_SOCKETS);
        let (health, _) = watch::channel(Health::default());
        let about = About {
            name: config.name.clone(),
            room: match &rooms {
                hub::Rooms::Only(room) => Some(room.to_string()),
                // The page asks for one.
                hub::Rooms::These(_) | hub::Rooms::Any => None,
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            needs_pin: true,
        };
        let (about, told) = watch::channel(about);
        let site = net::Site {
            about: told,
            health: health.subscribe(),
            certificate: certificate.clone(),
            sockets,
        };
        let settings = settings::hub(config, server, &doors, rooms);
        let meeting_over = Arc::new(Notify::new());
        let (switchboard, exchange) = Switchboard::new(
            settings.clone(),
            from_sockets,
            health.clone(),
            meeting_over.clone(),
        );

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(switchboard.run());
        tasks.spawn(certificate.clone().follow());
        if address.port() == HTTPS {
            if let Ok(listener) = bind(SocketAddr::new(address.ip(), HTTP)).await {
                let ended = net::redirect(
                    listener,
                    HTTPS,
                    Limits::default(),
                    told_to_stop(stopped.clone()),
                );
                tasks.spawn(async move {
                    if let Err(error) = ended.await {
                        warn!(%error, "no longer redirecting from port {HTTP}");
                    }
                });
            } else {
                debug!("port {HTTP} is taken, so nothing is redirected from there");
            }
        }
        tasks.spawn(async move {
            // The sender lives as long as the server that shows it.
            let _about = about;
            if let Err(error) =
                net::serve(listener, site, Limits::default(), told_to_stop(stopped)).await
            {
                warn!(%error, "the server ended");
            }
        });
        Ok(Self {
            address,
            doors,
            settings,
            certificate,
            exchange,
            health,
            meeting_over,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What people type.
    pub(super) fn pin(&self) -> &str {
        &self.doors.pin
    }

    /// Is notified whenever a meeting has ended.
    pub(super) fn meeting_over(&self) -> Arc<Notify> {
        self.meeting_over.clone()
    }

    /// Takes another PIN. Those who are in stay in.
    pub(super) async fn change_pin(&mut self, pin: &str) {
        pin.clone_into(&mut self.doors.pin);
        self.settings.pin = Some(self.doors.pin.clone());
        self.exchange.set(self.settings.clone()).await;
    }

    /// The way to the hub.
    #[cfg(feature = "media")]
    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The certificate in use.
    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// What `roomd status` tells of it. No secrets.
    pub(super) fn status(&self, name: Option<&str>) -> Value {
        let authority = self.certificate.authority();
        let reachable = net::addresses::reachable().unwrap_or_default();
        json!({
            "addresses": announce::addresses(self.address, name, &reachable),
            "address": announce::local_url(self.address),
            "certificate_until": self.certificate.until(),
            "authority": authority.map(|authority| json!({
                "name": authority.name,
                "sha256": authority.fingerprint(),
            })),
            "left_out": self.certificate.left_out(),
            "members": self.health.borrow().members,
        })
    }

    /// Says whether people can join.
    pub(super) fn ready(&self, ready: bool) {
        self.health.send_modify(|health| health.ready = ready);
    }

    /// Says goodbye to everybody and ends.
    pub(super) async fn close(mut self) {
        self.exchange.stop().await;
        let _ = self.stop.send(true);
        // The certificate's task has no end of its own.
        let serving = async {
            while self.tasks.len() > 1 {
                self.tasks.join_next().await;
            }
        };
        if tokio::time::timeout(Limits::default().goodbye * 2, serving)
            .await
            .is_err()
        {
            warn!("some connections did not end in time");
        }
    }
}

async fn told_to_stop(mut stopped: watch::Receiver<bool>) {
    // An error says that whoever could tell is gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn source(config: &Config, server: &config::Server) -> Source {
    match &server.certificate {
        config::Certificate::Own => Source::Own {
            state_dir: config.state_dir.clone(),
            names: server.names.clone(),
        },
        config::Certificate::Files { certificate, key } => Source::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        },
    }
}

/// Binds; where a machine has no IPv6 at all, "every interface" means those of IPv4.
async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let first = TcpListener::bind(address).await;
    let bound = match first {
        Err(error)
            if address.is_ipv6()
                && address.ip().is_unspecified()
                && error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32) =>
        {
            TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port())).await
        }
        other => other,
    };
    bound.map_err(|source| StartError::Listen { address, source })
}
