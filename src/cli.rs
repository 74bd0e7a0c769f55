//! Commands and flags.
//!
//! Reads the command line into a [`Command`], and carries out the two commands that need nothing
//! but the configuration: `roomd check` and `roomd init`. `daemon` does the others.

use core::net::SocketAddr;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, builder::PossibleValue,
};

use crate::{
    config::{self, Flags, Loaded, LogLevel, Problem, Purpose},
    scene::Layout,
};

/// roomd could not do what it was asked for, and another try may succeed.
pub const EXIT_FAILURE: u8 = 1;

/// The command line makes no sense. clap says so itself.
pub const EXIT_USAGE: u8 = 2;

/// Something inside roomd failed (`EX_SOFTWARE` of sysexits).
pub const EXIT_SOFTWARE: u8 = 70;

/// The configuration is wrong (`EX_CONFIG` of sysexits).
pub const EXIT_CONFIG: u8 = 78;

/// What `roomd volume` calls everybody.
const ALL: &str = "all";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Be a device.
    Run(Flags),
    /// Be a server alone.
    Serve(Flags),
    /// Look for problems without starting anything.
    Check(Check),
    /// Print the default configuration.
    Init,
    /// List cameras, microphones, speakers, screens and encoders.
    Devices {
        /// Which configuration and pipeline files to judge by.
        flags: Flags,
        /// For programs.
        json: bool,
        /// Forget first how encoders did here.
        forget: bool,
        /// Try encoders of which it is not known how they do here.
        trying: bool,
    },
    /// Try one encoder in this process, and print one line of JSON. roomd calls itself so.
    TryEncoder(TryEncoder),
    /// Say what a running roomd does.
    Status {
        /// Where that roomd is.
        flags: Flags,
        /// For programs.
        json: bool,
    },
    /// Switch the microphone or the camera of the roomd that runs here.
    Switch {
        /// Where that roomd is.
        flags: Flags,
        /// Which of the two.
        which: Switch,
        /// Open it, where it was closed.
        on: bool,
        /// For programs.
        json: bool,
    },
    /// Let in who waits at the door of the roomd that runs here.
    Admit {
        /// Where that roomd is.
        flags: Flags,
        /// For programs.
        json: bool,
    },
    /// Have nobody disturb the room of the roomd that runs here, or have everybody again.
    DoNotDisturb {
        /// Where that roomd is.
        flags: Flags,
        /// Nobody.
        on: bool,
        /// For programs.
        json: bool,
    },
    /// Have members played louder or fainter on the speaker of the roomd that runs here.
    Volume {
        /// Where that roomd is.
        flags: Flags,
        /// The name or the id of a member; none for all who are there.
        of: Option<String>,
        /// From 0 to 100, where 100 is as they arrive.
        percent: u8,
        /// For programs.
        json: bool,
    },
    /// Have the wall of the roomd that runs here show those in a call otherwise.
    Layout {
        /// Where that roomd is.
        flags: Flags,
        /// How; none leaves that as it is.
        layout: Option<Layout>,
        /// Whether the room's own picture is among them; none leaves that as it is.
        self_view: Option<bool>,
        /// For programs.
        json: bool,
    },
    /// Save what the wall of the roomd that runs here shows.
    Snapshot {
        /// Where that roomd is.
        flags: Flags,
        /// Where to; `-` for standard output.
        file: PathBuf,
        /// Replace what is there.
        force: bool,
    },
    /// Have the roomd that runs here record what its wall shows and its speaker plays, or end that.
    Record {
        /// Where that roomd is.
        flags: Flags,
        /// Where to begin; none ends it.
        file: Option<PathBuf>,
    },
    /// Have the roomd that runs here measure its echo.
    Calibrate(Calibrate),
    /// Show the room's PIN.
    Pin {
        /// Where it is kept.
        flags: Flags,
        /// Make another one first.
        new: bool,
    },
}

/// What of a device can be switched off, so that nothing of it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Its sound.
    Microphone,
    /// Its picture.
    Camera,
}

impl Switch {
    /// Its name on the control socket, and in sentences.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Camera => "camera",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let both = [Self::Microphone, Self::Camera];
        both.into_iter().find(|it| it.name() == name)
    }
}

/// `roomd check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The file and whatever else is said.
    pub flags: Flags,
    /// Print every value and where it comes from.
    pub effective: bool,
    /// For which command the configuration is meant.
    pub purpose: Purpose,
}

/// `roomd calibrate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calibrate {
    /// Where that roomd is.
    pub flags: Flags,
    /// Even while somebody is in the room.
    pub now: bool,
    /// Forget what was measured, and measure nothing.
    pub forget: bool,
    /// For programs.
    pub json: bool,
}

/// `roomd try-encoder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TryEncoder {
    /// The encoder's pipeline file.
    pub file: PathBuf,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Pictures a second.
    pub framerate: u32,
    /// kbit/s
    pub kbps: u32,
    /// Settings of the pipeline file.
    pub settings: BTreeMap<String, String>,
}

/// Reads the command line of this process. Where it makes no sense, or asks for help or for the
/// version, prints what there is to say and ends the process.
#[must_use]
pub fn parse() -> Command {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads a command line, of which the first word is the program's name.
pub fn parse_from<I, T>(words: I) -> Result<Command, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let line = Line::from_arg_matches(&Line::command().try_get_matches_from(words)?)?;
    Ok(match line.word {
        None => Command::Run(line.start.into()),
        Some(word) => command(word),
    })
}

/// What begins with a word of its own.
#[expect(clippy::too_many_lines, reason = "an arm for each command")]
fn command(word: Word) -> Command {
    match word {
        Word::Run { start } => Command::Run(start.into()),
        Word::Serve { start } => Command::Serve(start.into()),
        Word::Check {
            file,
            effective,
            serve,
            start,
        } => Command::Check(Check {
            flags: Flags {
                config: file.or_else(|| start.find.config.clone()),
                ..start.into()
            },
            effective,
            purpose: if serve {
                Purpose::Server
            } else {
                Purpose::Device
            },
        }),
        Word::Init => Command::Init,
        Word::Devices {
            find,
            json,
            forget,
            trying,
        } => Command::Devices {
            flags: find.into(),
            json,
            forget,
            trying,
        },
        Word::TryEncoder {
            file,
            width,
            height,
            framerate,
            kbps,
            settings,
        } => Command::TryEncoder(TryEncoder {
            file,
            width,
            height,
            framerate,
            kbps,
            settings: settings.into_iter().collect(),
        }),
        Word::Status { find, json } => Command::Status {
            flags: find.into(),
            json,
        },
        Word::Mute { find, json } => switch(find, Switch::Microphone, false, json),
        Word::Unmute { find, json } => switch(find, Switch::Microphone, true, json),
        Word::Camera { find, to, json } => switch(find, Switch::Camera, to == Position::On, json),
        Word::Admit { find, json } => Command::Admit {
            flags: find.into(),
            json,
        },
        Word::DoNotDisturb { find, to, json } => Command::DoNotDisturb {
            flags: find.into(),
            on: to == Position::On,
            json,
        },
        Word::Volume {
            of,
            percent,
            find,
            json,
        } => Command::Volume {
            flags: find.into(),
            of: (of != ALL).then_some(of),
            percent,
            json,
        },
        Word::Layout {
            layout,
            self_view,
            find,
            json,
        } => Command::Layout {
            flags: find.into(),
            layout,
            self_view: self_view.map(|it| it == Position::On),
            json,
        },
        Word::Snapshot { file, force, find } => Command::Snapshot {
            flags: find.into(),
            file,
            force,
        },
        Word::Record { what } => {
            let (file, find) = match what {
                Record::Start { file, find } => (Some(file), find),
                Record::Stop { find } => (None, find),
            };
            let flags = find.into();
            Command::Record { flags, file }
        }
        Word::Calibrate {
            find,
            now,
            forget,
            json,
        } => Command::Calibrate(Calibrate {
            flags: find.into(),
            now,
            forget,
            json,
        }),
        Word::Pin { find, new } => Command::Pin {
            flags: find.into(),
            new,
        },
    }
}

fn switch(find: Find, which: Switch, on: bool, json: bool) -> Command {
    Command::Switch {
        flags: find.into(),
        which,
        on,
        json,
    }
}

/// Looks for problems in file, pipeline files and devices, and prints all of them.
///
/// `devices` is asked only when the files are right; it says what is wrong with the machine.
pub fn check(check: &Check, devices: impl FnOnce(&Loaded) -> Vec<Problem>) -> ExitCode {
    let loaded = match config::load(&check.flags, check.purpose) {
        Ok(loaded) => loaded,
        Err(problems) => {
            config::print(&problems);
            let count = problems.iter().filter(|problem| problem.is_error()).count();
            eprintln!("{}", counted(count));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    config::print(&loaded.warnings);
    let found = match check.purpose {
        Purpose::Device => devices(&loaded),
        Purpose::Server => Vec::new(),
    };
    config::print(&found);
    let errors = found.iter().filter(|problem| problem.is_error()).count();
    if errors > 0 {
        eprintln!("{}", counted(errors));
        return ExitCode::from(EXIT_CONFIG);
    }
    if check.effective {
        return print(&config::effective(&loaded));
    }
    let what = match &loaded.file {
        Some(file) => format!("{} is right", file.display()),
        None => "all is right: there is no configuration file, so the built-in values are used"
            .to_owned(),
    };
    print(&format!("{what}\n"))
}

/// Prints the default configuration with comments.
#[must_use]
pub fn init() -> ExitCode {
    print(config::EXAMPLE)
}

fn counted(problems: usize) -> String {
    match problems {
        1 => "1 problem".to_owned(),
        _ => format!("{problems} problems"),
    }
}

/// Prints to a reader who may go away, as `head` does.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("cannot write: {error}");
            ExitCode::from(EXIT_FAILURE)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Turns a camera, a microphone and a screen into a meeting-room device.
///
/// Without a command, roomd runs: it serves its page, joins its room, and sends and receives.
#[derive(Debug, Parser)]
#[command(name = "roomd", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  roomd                        run with /etc/roomd/roomd.toml, or without any file
  roomd check my.toml          say what is wrong with a file
  roomd init > roomd.toml      begin a file with all default values
  roomd devices                list cameras, sound cards, encoders and screens
  roomd pin                    show what people type to join
  roomd mute                   close the microphone
  roomd volume Ann 60          play one member at 60 %")]
struct Line {
    #[command(subcommand)]
    word: Option<Word>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Be a meeting-room device (the default)
    #[command(after_help = "\
Examples:
  roomd run --listen 0.0.0.0:9443
  roomd run --config ./roomd.toml --log-level debug")]
    Run {
        #[command(flatten)]
        start: Start,
    },
    /// Be a server alone: the page and the signalling, without camera and screen
    #[command(after_help = "\
Example:
  roomd serve --listen [::]:443 --state-dir /var/lib/roomd")]
    Serve {
        #[command(flatten)]
        start: Start,
    },
    /// Say what is wrong with configuration, pipeline files and devices, and start nothing
    ///
    /// Ends with status 0 when all is right, and with 78 otherwise.
    #[command(after_help = "\
Examples:
  roomd check
  roomd check my.toml
  roomd check --effective")]
    Check {
        /// The file; without it the one that roomd would read
        #[arg(conflicts_with = "config")]
        file: Option<PathBuf>,
        /// Print every value and where it comes from, as a configuration file
        #[arg(long)]
        effective: bool,
        /// Check for `roomd serve`, which needs no pipeline files
        #[arg(long)]
        serve: bool,
        #[command(flatten)]
        start: Start,
    },
    /// Print the default configuration with comments
    #[command(after_help = "\
Example:
  roomd init > roomd.toml")]
    Init,
    /// List cameras, sound cards, encoders and screens, and what `auto` takes
    #[command(after_help = "\
Examples:
  roomd devices
  roomd devices --json
  roomd devices --try
  roomd devices --forget --try")]
    Devices {
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
        /// Forget how encoders did on this machine, so that they are tried again
        #[arg(long)]
        forget: bool,
        /// Try all encoders that have not been tried on this machine, the untested ones as well
        #[arg(long = "try")]
        trying: bool,
    },
    /// Try one encoder, and print how it does as one line of JSON
    ///
    /// roomd calls itself so, because an encoder that is broken takes its process with it. Ends
    /// when its standard input does.
    #[command(hide = true)]
    TryEncoder {
        /// The encoder's pipeline file
        file: PathBuf,
        /// Width of the pictures, in pixels
        #[arg(long, value_name = "PIXELS", default_value_t = 1280)]
        #[arg(value_parser = clap::value_parser!(u32).range(32..=8192))]
        width: u32,
        /// Height of the pictures, in pixels
        #[arg(long, value_name = "PIXELS", default_value_t = 720)]
        #[arg(value_parser = clap::value_parser!(u32).range(32..=8192))]
        height: u32,
        /// Pictures a second
        #[arg(long, value_name = "RATE", default_value_t = 30)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=120))]
        framerate: u32,
        /// How much the encoder yields, in kbit/s
        #[arg(long, value_name = "KBPS", default_value_t = 1500)]
        kbps: u32,
        /// A setting of the pipeline file; may be said several times
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,
    },
    /// Say what the roomd that runs here does
    #[command(after_help = "\
Examples:
  roomd status
  roomd status --json")]
    Status {
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Close the microphone; it stays closed, over a restart as well, until `roomd unmute`
    Mute {
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Open the microphone again
    Unmute {
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Close the camera, or open it again; it stays so over a restart as well
    #[command(after_help = "\
Examples:
  roomd camera off
  roomd camera on")]
    Camera {
        /// What it shall be
        #[arg(value_enum)]
        to: Position,
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Let in who waits: camera and microphone open, unless they are switched off
    Admit {
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Have no chime sound and nothing open unless somebody here lets them in, or end that
    ///
    /// It stays so over a restart. A meeting that runs goes on.
    #[command(after_help = "\
Examples:
  roomd do-not-disturb on
  roomd do-not-disturb off")]
    DoNotDisturb {
        /// What it shall be
        #[arg(value_enum)]
        to: Position,
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Have a member played louder or fainter, as long as it stays
    ///
    /// 100 is as it arrives, 50 is -18 dB, which is about a third as loud to the ear, and 0 is silence.
    /// Nobody but this room hears a difference.
    #[command(after_help = "\
Examples:
  roomd volume Ann 60
  roomd volume all 100")]
    Volume {
        /// The member's name, or its id, which `roomd status --json` shows; or `all` who are there
        #[arg(value_name = "NAME")]
        of: String,
        /// From 0 to 100
        #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: u8,
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Measure how long sound takes from the loudspeaker to the microphone, so that echo is cancelled
    ///
    /// Plays a signal five times, which takes twelve seconds, and remembers what it heard for this
    /// pair of devices.
    #[command(after_help = "\
Examples:
  roomd calibrate
  roomd calibrate --forget")]
    Calibrate {
        #[command(flatten)]
        find: Find,
        /// Even while somebody is in the room, who hears nothing of it meanwhile
        #[arg(long)]
        now: bool,
        /// Forget what was measured of this pair, and measure nothing
        #[arg(long, conflicts_with = "now")]
        forget: bool,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Show those in a call in a grid, or whoever spoke last large, until roomd starts again
    ///
    /// What it begins with is `layout` under `[wall]` in the configuration.
    #[command(after_help = "\
Examples:
  roomd layout speaker
  roomd layout grid
  roomd layout --self-view on")]
    Layout {
        /// How
        #[arg(
            value_enum,
            required_unless_present = "self_view",
            value_name = "grid|speaker"
        )]
        layout: Option<Layout>,
        /// Whether this room's own picture is shown beside the others'
        #[arg(long, value_enum, value_name = "POSITION")]
        self_view: Option<Position>,
        #[command(flatten)]
        find: Find,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Save what the screen shows as a PNG file
    #[command(after_help = "\
Examples:
  roomd snapshot wall.png
  roomd snapshot --force /tmp/wall.png
  roomd snapshot - > wall.png")]
    Snapshot {
        /// The file, which must not be there; `-` for standard output
        file: PathBuf,
        /// Put it in the place of a file that is there
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        find: Find,
    },
    /// Record what the screen shows and the speaker plays; everybody in the room is told so
    #[command(after_help = "\
Examples:
  roomd record start /var/lib/roomd/meeting.mkv
  roomd record stop")]
    Record {
        #[command(subcommand)]
        what: Record,
    },
    /// Show what people type to join, and the administrator's token
    #[command(after_help = "\
Examples:
  roomd pin
  roomd pin --new")]
    Pin {
        #[command(flatten)]
        find: Find,
        /// Make a new PIN first
        #[arg(long)]
        new: bool,
    },
}

/// What becomes of a recording.
#[derive(Debug, Subcommand)]
enum Record {
    /// Begin to record
    Start {
        /// The file, which must not be there: Matroska, written by roomd itself, as a service in its
        /// state directory alone
        file: PathBuf,
        #[command(flatten)]
        find: Find,
    },
    /// End the recording that runs
    Stop {
        #[command(flatten)]
        find: Find,
    },
}

impl ValueEnum for Layout {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.word()))
    }
}

/// What a camera can be, and do-not-disturb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Position {
    On,
    Off,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Where the configuration of this machine is.
#[derive(Debug, Clone, Default, Args)]
struct Find {
    /// Configuration file [default: /etc/roomd/roomd.toml if it exists]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_name = "DIR")]
    #[arg(
        help = "Directory of pipeline files, in place of those configured [env: ROOMD_PIPELINES]"
    )]
    pipelines: Option<PathBuf>,
    /// Directory for what roomd makes and keeps
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// What `run` and `serve` take.
#[derive(Debug, Clone, Default, Args)]
struct Start {
    #[command(flatten)]
    find: Find,
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[arg(help = "Address and port of the page, such as [::]:8443")]
    #[arg(value_parser = config::listen_flag)]
    listen: Option<SocketAddr>,
    /// What is logged
    #[arg(long, value_name = "LEVEL", value_enum)]
    log_level: Option<LogLevel>,
}

impl From<Start> for Flags {
    fn from(start: Start) -> Self {
        Self {
            listen: start.listen,
            log_level: start.log_level,
            ..start.find.into()
        }
    }
}

impl From<Find> for Flags {
    fn from(find: Find) -> Self {
        Self {
            config: find.config,
            pipelines: find.pipelines,
            state_dir: find.state_dir,
            ..Self::default()
        }
    }
}

impl ValueEnum for LogLevel {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}
