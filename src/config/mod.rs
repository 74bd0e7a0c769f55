//! What the configuration file says, checked.
//!
//! A file goes through three forms: `file` knows what each key may say and where it says it,
//! `check` knows what fits together, and [`Config`] is what the rest of roomd uses.
//! Every problem is collected; none hides another.
//!
//! Invariant: a [`Config`] cannot be wrong. Whoever holds one need not check it again.

mod address;
mod check;
mod effective;
mod file;
mod private;
mod problem;
mod read;
mod syntax;
mod table;
mod tiers;
mod value;

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::{
    collections::BTreeMap,
    fmt,
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

pub use address::{IceScheme, IceTransport, IceUrl, PORT, Ports, SignallingUrl};
pub use effective::{Origin, Origins, changed, effective};
pub use file::KEYS;
pub use private::Private;
pub use problem::{Problem, Text};

use crate::{
    ladder::Tier,
    pipeline::{Catalogue, Codec},
    privacy::{self, Hours},
    protocol::{RoomName, Secret},
    scene::Layout,
};

/// Where the configuration file is when the command line names none.
pub const PATH: &str = "/etc/roomd/roomd.toml";

/// Where the server listens when nothing else is said.
pub const EVERY_INTERFACE: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT);

/// Where pipeline files are when nothing else is said; a later directory replaces an earlier one.
pub const PIPELINES: [&str; 2] = ["/usr/share/roomd/pipelines", "/etc/roomd/pipelines"];

/// The default configuration with comments, as it is shipped and as `roomd init` prints it.
pub const EXAMPLE: &str = include_str!("../../systemd/roomd.toml");

/// All that an operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The name that others see: 1 to 64 characters. By default the host's name.
    pub name: String,
    /// Where roomd keeps what it makes: PIN, tokens, its own certificate. It may not exist yet.
    pub state_dir: PathBuf,
    /// Where the control socket is. It may not exist yet. Not from the file.
    pub runtime_dir: PathBuf,
    /// Where pipeline files are; a file of a later directory replaces one of the same name.
    pub pipelines_dirs: Vec<PathBuf>,
    /// The room that the device is in.
    pub room: Room,
    /// Whether this machine is the server or a client of one.
    pub signalling: Signalling,
    /// How media find their way.
    pub ice: Ice,
    /// Where the picture comes from.
    pub camera: Part,
    /// Where the sound comes from.
    pub microphone: Part,
    /// Where the sound goes.
    pub speaker: Part,
    /// Where the picture goes.
    pub screen: Part,
    /// How the picture is sent.
    pub video: Video,
    /// How those in a call are shown.
    pub wall: Wall,
    /// Who may look in.
    pub privacy: privacy::Settings,
    /// How the sound is sent.
    pub audio: Audio,
    /// What is logged.
    pub log: LogLevel,
}

/// The room that the device is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its name.
    pub name: RoomName,
    /// What one types to join: 4 to 12 digits. As the server: what is asked; None, and roomd makes
    /// one in the state directory. As a client: what is answered; None, and none is said.
    pub pin: Option<Private>,
    /// Most members, the device included: 2 to 16.
    pub max_members: usize,
}

/// Whether this machine is the server or a client of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signalling {
    /// The device has a server of its own, or this is `roomd serve`.
    Own(Server),
    /// The device is a client of this server.
    Remote(Remote),
}

/// The HTTPS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it listens. Port 0 stands for any free port.
    pub listen: SocketAddr,
    /// Where its certificate comes from.
    pub certificate: Certificate,
    /// Further names and addresses under which people reach it: into roomd's own certificate,
    /// and first among the addresses that are shown.
    pub names: Vec<String>,
    /// Who offers in a pair of a device and a browser.
    pub offerer: Offerer,
    /// What opens the server for programs; None, and roomd makes one in the state directory.
    pub admin_token: Option<Private>,
    /// The rooms that there are. Empty: under `roomd serve` any, otherwise the device's own.
    /// Never empty without the device's own among them.
    pub rooms: Vec<RoomName>,
}

/// Where the server's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// From an authority that roomd makes in its state directory.
    Own,
    /// From PEM files, which could be read when the configuration was.
    Files {
        /// The certificate, then those up to the authority.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// Who offers in a pair of a device and a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Offerer {
    /// The device.
    #[default]
    Device,
    /// The browser.
    Browser,
    /// Whoever was there first.
    First,
}

impl Offerer {
    /// The word for it in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Browser => "browser",
            Self::First => "first",
        }
    }
}

/// Somebody else's signalling server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is.
    pub url: SignallingUrl,
    /// What stands for the PIN there.
    pub token: Option<Secret>,
    /// PEM file of the authority that signs its certificate, in place of those of the system.
    pub ca: Option<PathBuf>,
}

/// How media find their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ice {
    /// STUN and TURN servers that the server hands out. Empty for a client of another server,
    /// which gets them from there.
    pub servers: Vec<IceSource>,
    /// Use relays only.
    pub relay_only: bool,
    /// The UDP ports of media; None stands for any. At least two for each member.
    pub udp_ports: Option<Ports>,
    /// Media over TCP as well, on the same ports.
    pub tcp: bool,
    /// For how long credentials made from a shared secret are good.
    pub credential_lifetime: Duration,
}

/// One or more STUN or TURN servers that take the same credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceSource {
    /// Where they are, at least one.
    pub urls: Vec<IceUrl>,
    /// What they ask for.
    pub auth: IceAuth,
}

/// What a TURN server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IceAuth {
    /// Nothing: all of them are STUN servers.
    None,
    /// Always the same.
    Fixed {
        /// The user name.
        username: String,
        /// The password.
        credential: Private,
    },
    /// Credentials that end, made from a secret that both servers know.
    Shared {
        /// The secret.
        secret: Private,
    },
}

/// A camera, a microphone, a speaker, a screen or an encoder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Which pipeline file.
    pub pipeline: Choice,
    /// Its settings as texts, by name. The file knows every one of them; under [`Choice::Auto`]
    /// at least one file does, and only such files may be chosen.
    pub settings: BTreeMap<String, String>,
}

/// Which pipeline file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// Whichever fits this machine best.
    #[default]
    Auto,
    /// The one of this name, which exists.
    Named(String),
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// How those in a call are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// Width of what the screen shows, in pixels: 320 to 3840 and even.
    pub width: u32,
    /// Its height, likewise.
    pub height: u32,
    /// Who is large.
    pub layout: Layout,
    /// Whether the room's own picture is among them.
    pub self_view: bool,
    /// The network that visitors are to be on, where it is said.
    pub network: Option<String>,
    /// When the picture of an empty room is dark.
    pub dim: Option<Hours>,
    /// How long pictures and sound wait for what is late.
    pub wait: Wait,
}

/// How long pictures and sound wait for what is late of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wait {
    /// Each member as long as its network needs.
    #[default]
    Auto,
    /// So that a network may lose packets and a machine may be busy.
    Long,
    /// So that people hear each other soon.
    Short,
}

impl Wait {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Long, Self::Short];

    /// Its name in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Long => "long",
            Self::Short => "short",
        }
    }
}

/// How the picture is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// Codecs in order of preference, at least one.
    pub codecs: Vec<Codec>,
    /// Which encoder for each of `codecs`, and its settings.
    pub encoders: BTreeMap<Codec, Part>,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Frames per second.
    pub framerate: u32,
    /// In which sizes it is sent: one to four, from large to small, none larger than the picture,
    /// and with no more than `kbps` for each.
    pub tiers: Vec<Tier>,
    /// How much any encoder yields at most. `tiers` have it in them; None: they alone say it.
    pub kbps: Option<Kbps>,
    /// How much of sound and pictures of this device the line carries to all members together.
    /// None: as much as each of them takes.
    pub uplink_kbps: Option<Kbps>,
}

/// How the sound is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// How much the encoder yields.
    pub kbps: Kbps,
    /// Whether the loudspeaker is taken out of what the microphone hears.
    pub echo_cancel: EchoCancel,
    /// Whether steady noise is made fainter. Never without cancelling.
    pub noise_suppression: bool,
    /// Whether who speaks softly is made louder. Never without cancelling.
    pub gain_control: bool,
}

/// Whether the loudspeaker is taken out of what the microphone hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EchoCancel {
    /// Where the device does not do it itself.
    #[default]
    Auto,
    /// Whatever the device does.
    On,
    /// Never.
    Off,
}

impl EchoCancel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::On, Self::Off];

    /// The word for it in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// A bitrate in kbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kbps(pub u32);

/// What is logged: this and whatever is graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Bugs in roomd.
    Error,
    /// What an operator may want to see.
    Warn,
    /// Who joined and left, what was lost and found.
    #[default]
    Info,
    /// A line for each decision.
    Debug,
    /// A line for each packet or frame.
    Trace,
}

impl LogLevel {
    /// From the quietest on.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// The word for it in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What the command line says about the configuration. It counts for more than the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// `--config`: the file, which then must exist.
    pub config: Option<PathBuf>,
    /// `--pipelines`: the only directory of pipeline files.
    pub pipelines: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--log-level`.
    pub log_level: Option<LogLevel>,
}

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// `roomd run`: a device, which needs pipeline files.
    #[default]
    Device,
    /// `roomd serve`: a server alone.
    Server,
}

/// What a machine says about itself, so far as it decides default values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// The host's name.
    pub host_name: String,
    /// Whether we are root.
    pub superuser: bool,
    /// The program that runs.
    pub program: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this machine and this process.
    #[must_use]
    pub fn here() -> Self {
        let host_name = nix::unistd::gethostname().unwrap_or_default();
        Self {
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            host_name: host_name.to_string_lossy().into_owned(),
            superuser: nix::unistd::geteuid().is_root(),
            program: std::env::current_exe().ok(),
        }
    }

    /// A variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<&str> {
        let value = self.environment.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The source tree in whose `target` directory this program was built and still is: there,
    /// nothing needs to be installed.
    fn checkout(&self) -> Option<&Path> {
        let [_profile, target, checkout] = {
            let mut around = self.program.as_deref()?.ancestors().skip(1);
            [around.next()?, around.next()?, around.next()?]
        };
        let is_one = target.ends_with("target")
            && checkout.join("Cargo.toml").is_file()
            && checkout.join("pipelines").is_dir();
        is_one.then_some(checkout)
    }

    /// Where a roomd that is started like this has its control socket, whatever its file says;
    /// None: in its state directory.
    #[must_use]
    pub fn runtime_dir(&self, flags: &Flags) -> Option<PathBuf> {
        if let Some(dir) = self.directory("RUNTIME_DIRECTORY") {
            return Some(dir);
        }
        // Whoever names a place for the state means another roomd than the usual one.
        if let Some(dir) = &flags.state_dir {
            return Some(check::absolute(dir));
        }
        if self.superuser {
            return Some(PathBuf::from("/run/roomd"));
        }
        let dir = self.variable("XDG_RUNTIME_DIR")?;
        Some(Path::new(dir).join("roomd"))
    }

    /// The directories that systemd keeps for this service; none where it has started none.
    #[must_use]
    pub fn state_directories(&self) -> Vec<PathBuf> {
        let named = self.variable("STATE_DIRECTORY").unwrap_or_default();
        let named = named.split(':').filter(|dir| !dir.is_empty());
        named.map(PathBuf::from).collect()
    }

    /// The first directory that systemd names in a variable.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        let first = self.variable(name)?.split(':').next()?;
        (!first.is_empty()).then(|| PathBuf::from(first))
    }
}

/// A configuration, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What to do.
    pub config: Config,
    /// Where each value comes from.
    pub origins: Origins,
    /// The file that was read; None when the values are the built-in ones.
    pub file: Option<PathBuf>,
    /// All pipeline files. Empty for a server alone.
    pub pipelines: Catalogue,
    /// With what roomd starts all the same.
    pub warnings: Vec<Problem>,
}

/// Reads and checks the configuration of this machine: the file that the flags name, else
/// [`PATH`], else the built-in values. Tells every problem at once.
pub fn load(flags: &Flags, purpose: Purpose) -> Result<Loaded, Vec<Problem>> {
    load_in(&Surroundings::here(), Path::new(PATH), flags, purpose)
}

/// The same for a machine of which everything is told, but for the files themselves.
pub fn load_in(
    surroundings: &Surroundings,
    usual: &Path,
    flags: &Flags,
    purpose: Purpose,
) -> Result<Loaded, Vec<Problem>> {
    let source = read::configuration(flags.config.as_deref(), usual)?;
    check::check(source.as_ref(), surroundings, flags, purpose)
}

/// Reads `--listen`.
///
/// # Errors
///
/// What is wrong and what to write instead.
pub fn listen_flag(text: &str) -> Result<std::net::SocketAddr, String> {
    address::listen(text).map_err(|misread| {
        let remedy = misread.remedy.replace("listen = ", "--listen ");
        format!("{}; {remedy}", misread.what)
    })
}

/// Writes problems to standard error, in colour where a person reads it.
pub fn print(problems: &[Problem]) {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for problem in problems {
        eprintln!("{}\n", problem.draw(colours));
    }
}
