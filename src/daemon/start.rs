//! `roomd run` and `roomd serve`, from the configuration to the last goodbye.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, timeout},
};
use tracing::{error, info, warn};

use super::{
    announce::{self, Announcement},
    settings,
    site::Site,
    standing::{Ask, Calibrating, Standing},
};
use crate::{
    cli,
    config::{self, Config, Flags, Loaded, LogLevel, Purpose, Signalling},
    control, net,
    privacy::Shown,
    system::{
        log::{Level, Log},
        service,
        signals::{Signal, Signals},
    },
};

/// Questions over the control socket that may wait. Each is answered within two seconds.
const QUESTIONS: usize = 16;

/// How often it is looked whether the wall still tells the truth: addresses come and go unasked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// After this long without an answer, the room's task does not work any more.
const ALIVE_WITHIN: Duration = Duration::from_secs(3);

/// Encoders are tried after this long although the room cannot be joined: its server may be away
/// for hours. Where somebody is in the room by then, they are measured later.
#[cfg(feature = "media")]
const TRY_WITHIN: Duration = Duration::from_secs(10);

const NOBODY_COMES_TO_A_SERVER: &str =
    "this roomd is a server alone, without a room that anybody could look into";

const NO_SCREEN_OF_A_SERVER: &str = "this roomd is a server alone, without a screen";
#[cfg(feature = "media")]
const NO_SCREEN: &str = "this device has no screen; see [screen] in its configuration";

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
    /// No control socket.
    #[error(transparent)]
    Control(#[from] control::BindError),
    /// The remote server cannot be dialled at all.
    #[cfg(feature = "media")]
    #[error(transparent)]
    Client(#[from] net::client::ClientError),
    /// Its URL is none.
    #[cfg(feature = "media")]
    #[error(transparent)]
    Url(#[from] net::client::UrlError),
    /// GStreamer does not start.
    #[cfg(feature = "media")]
    #[error(transparent)]
    Media(#[from] crate::media::Error),
    /// What is sent without a camera or a microphone is missing.
    #[cfg(feature = "media")]
    #[error("the pipeline file {kind}/{name}.toml is missing; see pipelines-dirs and --pipelines")]
    StandIn {
        /// What kind.
        kind: crate::pipeline::Kind,
        /// Its name.
        name: &'static str,
    },
    /// Something that the system should give is missing.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// This program was built to be a server only.
    #[cfg(not(feature = "media"))]
    #[error("this roomd was built without media, so it can serve but not run; see roomd serve")]
    NoMedia,
    /// A server that is told to be a client.
    #[error("[signalling] makes this machine a client of another server; roomd serve is one")]
    ClientCannotServe,
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
    let log = Log::start(level(loaded.config.log));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let (log, runtime) = match (log, runtime) {
        (Ok(log), Ok(runtime)) => (log, runtime),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("roomd: {error}");
            return ExitCode::from(cli::EXIT_SOFTWARE);
        }
    };
    match runtime.block_on(run(loaded, flags, purpose, &log)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::from(match error {
                StartError::Certificate(_) | StartError::Secret(_) => cli::EXIT_CONFIG,
                _ => cli::EXIT_FAILURE,
            })
        }
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
        LogLevel::Trace => Level::Trace,
    }
}

/// Everything that runs.
struct Running {
    site: Option<Site>,
    device: Option<Device>,
}

/// The device's task, and the ways to it.
struct Device {
    asks: mpsc::Sender<Ask>,
    standing: watch::Receiver<Standing>,
    found: Vec<(String, String)>,
    #[cfg(feature = "media")]
    wall: super::wall::Wall,
    /// Where its pictures are had, where there is a screen.
    #[cfg(feature = "media")]
    shown: Option<crate::media::Board>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn run(loaded: Loaded, flags: &Flags, purpose: Purpose, log: &Log) -> Result<(), StartError> {
    let config = &loaded.config;
    // From here on the process says goodbye before it ends.
    let mut signals = Signals::listen()?;
    std::fs::create_dir_all(&config.state_dir)?;
    std::fs::create_dir_all(&config.runtime_dir)?;
    let control = control::bind(&super::status::socket(&config.runtime_dir))?;
    let site = match &config.signalling {
        Signalling::Own(server) => {
            let own = (purpose == Purpose::Device).then_some(&config.room.name);
            Some(Site::open(config, server, settings::rooms(server, own)).await?)
        }
        Signalling::Remote(_) if purpose == Purpose::Server => {
            return Err(StartError::ClientCannotServe);
        }
        Signalling::Remote(_) => None,
    };
    let device = match purpose {
        Purpose::Device => Some(device(&loaded, site.as_ref())?),
        Purpose::Server => None,
    };
    let mut running = Running { site, device };
    running.announce(config);
    running.tell();

    let (questions, mut asked) = mpsc::channel(QUESTIONS);
    let (stop_control, control_stopped) = oneshot::channel::<()>();
    let control = tokio::spawn(control::serve(
        control,
        questions,
        control::Patience::default(),
        async move {
            let _ = control_stopped.await;
        },
    ));
    let over = running.meeting_over();
    let mut watchdog = Watchdog::new();
    let mut look = interval(LOOK_EVERY);
    let mut known = loaded.config.clone();
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop => break,
                Signal::Reload => {
                    service::reloading();
                    reload(&mut known, flags, purpose, log, running.site.as_ref());
                    running.tell();
                }
            },
            Some(request) = asked.recv() => running.answer(config, request).await,
            stands_otherwise = running.changed() => {
                if stands_otherwise {
                    running.tell();
                }
                running.show(config);
            }
            () = over.notified() => running.end_meeting(config).await,
            () = watchdog.due() => running.prove_life(),
            _ = look.tick() => running.show(config),
        }
    }
    info!("saying goodbye");
    service::stopping("saying goodbye");
    drop(stop_control);
    running.stop().await;
    let _ = control.await;
    let _ = std::fs::remove_file(super::status::socket(&config.runtime_dir));
    Ok(())
}

/// Starts the device's half: media, and the room in a task of its own.
#[cfg(feature = "media")]
fn device(loaded: &Loaded, site: Option<&Site>) -> Result<Device, StartError> {
    use super::{calibrate, clock, device, engine, identity, own::Own, record::Recorder, wall};
    use crate::{
        media::Board,
        protocol::Kind,
        room::{self, Room},
    };

    let config = &loaded.config;
    let (server, token) = signalling(config, site)?;
    crate::media::init()?;
    let (events, from_media) = mpsc::channel(device::FROM_MEDIA);
    let plan = engine::Plan::make(loaded);
    let board = Board::default();
    let echo = engine::Echo {
        path: crate::media::echo::EchoPath::default(),
        calibrations: plan.calibrations(config),
    };
    let media = std::sync::Arc::new(plan.start(loaded, board.clone(), &echo, events)?);
    // Known before anybody is there who could see and hear.
    let own = Own::load(&config.state_dir, plan.there());
    let screens = plan.screens();
    let privacy = privacy(config, own.is_do_not_disturb(), screens.may_be());
    let chance = clock::random();
    let room = Room::new(
        room::Settings {
            node: identity::node(&config.state_dir),
            name: config.name.clone(),
            kind: Kind::Device,
            caps: plan.caps(),
            room: Some(config.room.name.clone()),
            pin: config.room.pin.as_ref().map(|pin| pin.expose().to_owned()),
            token,
            media: own.told(),
            recording: false,
        },
        chance[..8]
            .iter()
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte)),
    );
    let (told, standing) = watch::channel(Standing::default());
    let encoders = plan.encoders();
    let mut ready = standing.clone();
    let engine = media.clone();
    tokio::spawn(async move {
        // The start has the machine for itself; whoever joins meanwhile gets what is known.
        let _ = timeout(TRY_WITHIN, ready.wait_for(|standing| standing.joined)).await;
        encoders.find_out(
            move || ready.borrow().alone,
            move |recipes| {
                engine.command(crate::media::Command::Encoders(recipes));
            },
        );
    });
    let speakers = media.speakers();
    let (asks, asked) = mpsc::channel(QUESTIONS);
    let (stop, stopped) = oneshot::channel::<()>();
    let (heard, news) = watch::channel(wall::News::new());
    if let Err(error) = crate::media::echo::follow(&echo.path) {
        warn!(%error, "no thread to follow the echo with; its delay stays what it is");
    }
    let listening = calibrate::Calibrate::new(echo, media.clone());
    let shown = screens.may_be().then(|| board.clone());
    let engine = media.clone();
    let device = device::Device::new(
        device::Parts {
            room,
            server,
            media,
            events: from_media,
            own,
            privacy,
            recorder: Recorder::new(
                shown.clone(),
                config::Surroundings::here().state_directories(),
            ),
        },
        told,
        (heard, board.clone(), screens),
        listening,
    );
    let task = tokio::spawn(device.run(asked, async move {
        let _ = stopped.await;
    }));
    Ok(Device {
        asks,
        standing,
        found: plan.found(),
        shown,
        wall: wall::Wall::new(
            (board, engine),
            (config.wall.layout, config.wall.self_view),
            plan.there().clone(),
            news,
            speakers,
        ),
        stop,
        task,
    })
}

/// Who may look in. Without a screen there is no code for those in the room: what nobody can read
/// proves nothing.
#[cfg(feature = "media")]
fn privacy(config: &Config, do_not_disturb: bool, has_screen: bool) -> crate::privacy::Privacy {
    let seed = has_screen.then(|| -> crate::privacy::Seed { Box::new(super::clock::random) });
    crate::privacy::Privacy::new(config.privacy.clone(), do_not_disturb, seed)
}

/// Where the device signals, and what stands for the PIN there.
#[cfg(feature = "media")]
fn signalling(
    config: &Config,
    site: Option<&Site>,
) -> Result<(super::line::Server, Option<crate::protocol::Secret>), StartError> {
    use super::line::Server;

    match (&config.signalling, site) {
        (Signalling::Own(_), Some(site)) => Ok((Server::Own(site.exchange().clone()), None)),
        (Signalling::Own(_), None) => Err(StartError::ClientCannotServe),
        (Signalling::Remote(remote), _) => {
            let url = remote.url.to_string().parse()?;
            let client = net::client::Client::new(url, remote.ca.as_deref())?;
            Ok((Server::Remote(client), remote.token.clone()))
        }
    }
}

#[cfg(not(feature = "media"))]
fn device(_: &Loaded, _: Option<&Site>) -> Result<Device, StartError> {
    Err(StartError::NoMedia)
}

impl Running {
    /// Says on the terminal where to go. Under a service manager stdout is a log, and a PIN has no
    /// place in there.
    fn announce(&self, config: &Config) {
        let (Some(site), Signalling::Own(server)) = (&self.site, &config.signalling) else {
            return;
        };
        println!(
            "listening on {}",
            announce::local_url(site.address()).trim_end_matches('/')
        );
        let by_hand = by_hand();
        let announcement = Announcement {
            listening: site.address(),
            name: server.names.first().map(String::as_str),
            reachable: &net::addresses::reachable().unwrap_or_default(),
            pin: Some(site.pin()).filter(|_| by_hand),
            found: self.device.as_ref().map_or(&[], |device| &device.found),
        };
        print!("{}", announcement.text(by_hand));
        let _ = io::stdout().flush();
    }

    /// Has the wall show how to come in and how the device is, where that has changed.
    #[cfg(feature = "media")]
    fn show(&mut self, config: &Config) {
        let standing = self.standing();
        if let Some(device) = &mut self.device {
            device.wall.follow(&standing);
            device.wall.show(config, self.site.as_ref(), &standing);
        }
    }

    #[cfg(not(feature = "media"))]
    #[expect(
        clippy::unused_self,
        reason = "without media there is no wall to show anything on"
    )]
    fn show(&mut self, _: &Config) {}

    /// Completes when there is something else to show: with true when the membership stands
    /// otherwise. A server alone has none.
    async fn changed(&mut self) -> bool {
        let Some(device) = &mut self.device else {
            return std::future::pending().await;
        };
        #[cfg(feature = "media")]
        let stirred = device.wall.stirred();
        #[cfg(not(feature = "media"))]
        let stirred = std::future::pending();
        tokio::select! {
            Ok(()) = device.standing.changed() => true,
            () = stirred => false,
        }
    }

    /// Is notified whenever a meeting has ended in the device's own room. A server alone has no
    /// screen that would show another PIN, so there it stays.
    fn meeting_over(&self) -> Arc<Notify> {
        match (&self.site, &self.device) {
            (Some(site), Some(_)) => site.meeting_over(),
            _ => Arc::default(),
        }
    }

    /// Who was in the meeting knows the PIN, and the next one is not theirs.
    async fn end_meeting(&mut self, config: &Config) {
        if config.room.pin.is_some() {
            return;
        }
        info!("the meeting is over");
        if let Err(error) = self.new_pin(config).await {
            warn!(error, "the PIN stays as it is");
        }
    }

    /// Tells systemd and `/health` how things stand.
    ///
    /// A client of another server is ready without it: it will join as soon as that one is there,
    /// and systemd shall not restart it meanwhile.
    fn tell(&self) {
        let standing = self.standing();
        if let Some(site) = &self.site {
            site.ready(standing.joined);
        }
        if standing.joined || self.site.is_none() {
            service::ready(&standing.words);
        } else {
            service::status(&standing.words);
        }
    }

    fn standing(&self) -> Standing {
        self.device.as_ref().map_or_else(
            || Standing {
                joined: true,
                alone: true,
                off: Vec::new(),
                words: "serving".to_owned(),
                recording: false,
                guests: Vec::new(),
                do_not_disturb: false,
                layout: None,
                shown: Shown::Alone,
            },
            |device| device.standing.borrow().clone(),
        )
    }

    /// Feeds systemd's watchdog when the device's task and the media engine both answer.
    fn prove_life(&self) {
        let Some(device) = &self.device else {
            service::watchdog();
            return;
        };
        let (ask, answer) = oneshot::channel();
        if device.asks.try_send(Ask::Status(ask)).is_ok() {
            tokio::spawn(async move {
                match timeout(ALIVE_WITHIN, answer).await {
                    Ok(Ok(answer)) if !answer["media"].is_null() => service::watchdog(),
                    _ => warn!("the room or the media engine does not answer"),
                }
            });
        }
    }

    /// Answers a question of the control socket, without waiting for the device here.
    async fn answer(&mut self, config: &Config, request: control::Request) {
        let control::Request { ask, answer } = request;
        match ask["do"].as_str() {
            Some("status") => self.status(config, answer),
            Some("switch") => self.switch(&ask, answer),
            Some("volume") => self.volume(&ask, answer),
            Some("layout") => self.arrange(config, &ask, answer),
            Some("admit") => self.admit(answer),
            Some("do-not-disturb") => self.do_not_disturb(&ask, answer),
            Some("snapshot") => self.snapshot(answer),
            Some("record") => self.record(&ask, answer),
            Some("calibrate") => self.calibrate(&ask, answer),
            // Whoever may talk to the socket may read the files that it is kept in.
            Some("pin") => {
                let told = super::pin_and_token(config);
                let told = told.unwrap_or_else(|error| json!({ "error": error }));
                let _ = answer.send(told);
            }
            Some("new-pin") => {
                let done = match self.new_pin(config).await {
                    Ok(()) => json!({}),
                    Err(error) => json!({ "error": error }),
                };
                let _ = answer.send(done);
            }
            _ => {
                let _ = answer.send(json!({ "error": "this roomd knows no such request" }));
            }
        }
    }

    /// The device answers by itself. Dropping the answer says that it is stopping.
    fn switch(&self, ask: &Value, answer: oneshot::Sender<Value>) {
        let Some(device) = &self.device else {
            let error = "this roomd is a server alone, without microphone and camera";
            let _ = answer.send(json!({ "error": error }));
            return;
        };
        let which = ask["what"].as_str().and_then(cli::Switch::named);
        let (Some(which), Some(on)) = (which, ask["on"].as_bool()) else {
            let error = "`what` is microphone or camera, and `on` true or false";
            let _ = answer.send(json!({ "error": error }));
            return;
        };
        let _ = device.asks.try_send(Ask::Switch { which, on, answer });
    }

    /// Likewise.
    fn admit(&self, answer: oneshot::Sender<Value>) {
        let Some(device) = &self.device else {
            let _ = answer.send(json!({ "error": NOBODY_COMES_TO_A_SERVER }));
            return;
        };
        let _ = device.asks.try_send(Ask::Admit(answer));
    }

    /// Likewise.
    fn do_not_disturb(&self, ask: &Value, answer: oneshot::Sender<Value>) {
        let Some(device) = &self.device else {
            let _ = answer.send(json!({ "error": NOBODY_COMES_TO_A_SERVER }));
            return;
        };
        let Some(on) = ask["on"].as_bool() else {
            let _ = answer.send(json!({ "error": "`on` is true or false" }));
            return;
        };
        let _ = device.asks.try_send(Ask::DoNotDisturb { on, answer });
    }

    /// Likewise.
    fn volume(&self, ask: &Value, answer: oneshot::Sender<Value>) {
        let Some(device) = &self.device else {
            let error = "this roomd is a server alone, without a speaker";
            let _ = answer.send(json!({ "error": error }));
            return;
        };
        let percent = ask["percent"].as_u64();
        let percent = percent.and_then(|percent| u8::try_from(percent).ok());
        let of = match &ask["of"] {
            Value::Null => Some(None),
            Value::String(name) => Some(Some(name.clone())),
            _ => None,
        };
        let (Some(of), Some(percent)) = (of, percent.filter(|percent| *percent <= 100)) else {
            let error = "`of` is a member's name or id, or missing, and `percent` is from 0 to 100";
            let _ = answer.send(json!({ "error": error }));
            return;
        };
        let _ = device.asks.try_send(Ask::Volume {
            of,
            percent,
            answer,
        });
    }

    /// The device answers by itself. Dropping the answer says that it is stopping.
    fn record(&self, ask: &Value, answer: oneshot::Sender<Value>) {
        let Some(device) = &self.device else {
            let _ = answer.send(json!({ "error": NO_SCREEN_OF_A_SERVER }));
            return;
        };
        let file = ask["file"].as_str().map(Into::into);
        if ask["on"].as_bool() != Some(file.is_some()) {
            let error = "`on` is true, and `file` a path; or it is false";
            let _ = answer.send(json!({ "error": error }));
            return;
        }
        let _ = device.asks.try_send(Ask::Record { file, answer });
    }

    /// Shows those in a call otherwise.
    #[cfg(feature = "media")]
    fn arrange(&mut self, config: &Config, ask: &Value, answer: oneshot::Sender<Value>) {
        let Some(device) = &mut self.device else {
            let _ = answer.send(json!({ "error": NO_SCREEN_OF_A_SERVER }));
            return;
        };
        if device.shown.is_none() {
            let _ = answer.send(json!({ "error": NO_SCREEN }));
            return;
        }
        let layout = match &ask["layout"] {
            Value::Null => Some(None),
            given => given
                .as_str()
                .and_then(crate::scene::Layout::named)
                .map(Some),
        };
        let self_view = match &ask["self_view"] {
            Value::Null => Some(None),
            given => given.as_bool().map(Some),
        };
        let (Some(layout), Some(self_view)) = (layout, self_view) else {
            let error =
                "`layout` is grid or speaker, `self_view` true or false; both may be missing";
            let _ = answer.send(json!({ "error": error }));
            return;
        };
        let (layout, self_view) = device.wall.arrange(layout, self_view);
        self.show(config);
        let _ = answer.send(json!({ "layout": layout.word(), "self_view": self_view }));
    }

    #[cfg(not(feature = "media"))]
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "without media there is no screen"
    )]
    fn arrange(&mut self, _: &Config, _: &Value, answer: oneshot::Sender<Value>) {
        let _ = answer.send(json!({ "error": NO_SCREEN_OF_A_SERVER }));
    }

    /// What the wall shows, which takes some tenths of a second.
    #[cfg(feature = "media")]
    fn snapshot(&self, answer: oneshot::Sender<Value>) {
        let Some(device) = &self.device else {
            let _ = answer.send(json!({ "error": NO_SCREEN_OF_A_SERVER }));
            return;
        };
        let Some(board) = device.shown.clone() else {
            let _ = answer.send(json!({ "error": NO_SCREEN }));
            return;
        };
        tokio::task::spawn_blocking(move || {
            let taken = crate::media::snapshot(&board);
            let _ = answer.send(match taken {
                Ok(png) => super::snapshot::answer(&png),
                Err(error) => json!({ "error": error.to_string() }),
            });
        });
    }

    #[cfg(not(feature = "media"))]
    #[expect(clippy::unused_self, reason = "without media there is no screen")]
    fn snapshot(&self, answer: oneshot::Sender<Value>) {
        let _ = answer.send(json!({ "error": NO_SCREEN_OF_A_SERVER }));
    }

    /// The device answers by itself, likewise.
    fn calibrate(&self, ask: &Value, answer: oneshot::Sender<Value>) {
        let Some(device) = &self.device else {
            let error = "this roomd is a server alone, without microphone and loudspeaker";
            let _ = answer.send(json!({ "error": error }));
            return;
        };
        let what = match ask["what"].as_str() {
            Some("begin") => Calibrating::Begin {
                now: ask["now"] == true,
            },
            Some("progress") => Calibrating::Progress,
            Some("forget") => Calibrating::Forget,
            _ => {
                let error = "`what` is begin, progress or forget";
                let _ = answer.send(json!({ "error": error }));
                return;
            }
        };
        let _ = device.asks.try_send(Ask::Calibrate { what, answer });
    }

    async fn new_pin(&mut self, config: &Config) -> Result<(), String> {
        let Some(site) = &mut self.site else {
            return Err("the PIN is that of the other server; make a new one there".into());
        };
        if config.room.pin.is_some() {
            return Err("the configuration fixes the PIN; change it there".into());
        }
        let secrets = net::secrets::Secrets::renew_pin(&config.state_dir)
            .map_err(|error| error.to_string())?;
        site.change_pin(secrets.pin.reveal()).await;
        info!("there is a new PIN");
        if by_hand() {
            // Under a service manager it has no place in the log.
            println!("the PIN is now {}", announce::in_threes(site.pin()));
        }
        self.show(config);
        Ok(())
    }

    fn status(&self, config: &Config, answer: oneshot::Sender<Value>) {
        let name = match &config.signalling {
            Signalling::Own(server) => server.names.first().map(String::as_str),
            Signalling::Remote(_) => None,
        };
        let mut status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "server": self.site.as_ref().map(|site| site.status(name)),
        });
        let asked = self.device.as_ref().map(|device| {
            let (ask, told) = oneshot::channel();
            (device.asks.try_send(Ask::Status(ask)).is_ok(), told)
        });
        tokio::spawn(async move {
            if let Some((true, told)) = asked
                && let Ok(Ok(Value::Object(device))) = timeout(ALIVE_WITHIN, told).await
                && let Some(status) = status.as_object_mut()
            {
                status.extend(device);
            }
            let _ = answer.send(status);
        });
    }

    async fn stop(self) {
        // Side by side: systemd and people wait for the slower of the two, not for both.
        let device = async {
            if let Some(device) = self.device {
                let _ = device.stop.send(());
                let _ = device.task.await;
            }
        };
        let site = async {
            if let Some(site) = self.site {
                site.close().await;
            }
        };
        tokio::join!(device, site);
    }
}

/// Whether somebody reads what is printed, and no service manager keeps it.
fn by_hand() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_none()
}

/// SIGHUP: looks at the certificate and the file again, takes the level of the log, and says what
/// else would need a restart.
fn reload(known: &mut Config, flags: &Flags, purpose: Purpose, log: &Log, site: Option<&Site>) {
    if let Some(site) = site {
        site.certificate().check(&net::Surroundings::look()).log();
    }
    match config::load(flags, purpose) {
        Ok(loaded) => {
            log.set_level(level(loaded.config.log));
            if known.log != loaded.config.log {
                known.log = loaded.config.log;
                info!(
                    level = known.log.name(),
                    "the level of the log is another now"
                );
            }
            let changed = config::changed(known, &loaded.config);
            if changed.is_empty() {
                info!("the configuration is as it was");
            } else {
                warn!(
                    changed = changed.join(", "),
                    "a restart is needed for what has changed"
                );
            }
        }
        Err(problems) => {
            config::print(&problems);
            warn!(
                problems = problems.len(),
                "the configuration is wrong; what runs goes on"
            );
        }
    }
}

/// Ticks that do not hurry after a pause.
fn interval(pace: Duration) -> Interval {
    let mut interval = tokio::time::interval(pace);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// When systemd wants to be told that the work goes on.
struct Watchdog(Option<Interval>);

impl Watchdog {
    fn new() -> Self {
        Self(service::watchdog_pace().map(interval))
    }

    async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
