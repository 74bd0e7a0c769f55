//! Every value that is in force, and where it comes from.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Certificate, Choice, Config, IceAuth, IceSource, Kbps, Loaded, Part, Remote, Server, Signalling,
};
use crate::{ladder::Tier, pipeline::Codec};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// Nobody said anything.
    #[default]
    Default,
    /// The configuration file.
    File {
        /// Counted from 1.
        line: usize,
    },
    /// A file that the configuration file names.
    SecretFile {
        /// That file.
        path: PathBuf,
        /// Where the configuration file names it, counted from 1.
        line: usize,
    },
    /// Where the program was built.
    Checkout,
    /// An environment variable.
    Environment(&'static str),
    /// A flag on the command line.
    Flag(&'static str),
}

/// Where each value comes from, by key: `video.kbps`, `ice.servers[0].urls`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the value of a key comes from.
    #[must_use]
    pub fn of(&self, key: &str) -> &Origin {
        const DEFAULT: &Origin = &Origin::Default;
        self.0.get(key).unwrap_or(DEFAULT)
    }

    pub(super) fn set(&mut self, key: &str, origin: Origin) {
        self.0.insert(key.to_owned(), origin);
    }
}

/// The keys whose values differ, in the order of the file.
///
/// A list of tables is one key: another password of a TURN server is another `ice.servers`.
#[must_use]
pub fn changed(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (lines(old), lines(new));
    let mut keys: Vec<String> = Vec::new();
    for (one, other) in [(&old, &new), (&new, &old)] {
        for line in one {
            let same = other
                .iter()
                .any(|other| other.key == line.key && other.value == line.value);
            let key = line.key.split('[').next().unwrap_or_default();
            if !same && !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
    }
    keys
}

/// The configuration as a file that says everything, with the origin of each value beside it.
///
/// What is private is left out; with that exception the text is the same configuration again.
#[must_use]
pub fn effective(loaded: &Loaded) -> String {
    let mut text = match &loaded.file {
        Some(file) => format!("# {}, and what it leaves open.\n", one_line(file)),
        None => "# The built-in values; there is no configuration file.\n".to_owned(),
    };
    let runtime = one_line(&loaded.config.runtime_dir);
    let _ = writeln!(text, "# The control socket is in {runtime}.");
    let lines = lines(&loaded.config);
    let mut heading = "";
    let mut covered = false;
    for line in &lines {
        let new_entry = line.key.ends_with("].urls");
        if line.heading != heading || new_entry {
            heading = line.heading;
            // Without its secret, a TURN server would not be a valid one.
            covered = hides_secret(&lines, line, loaded);
            let mark = if covered { "# " } else { "" };
            let _ = writeln!(text, "\n{mark}{heading}");
        }
        // Neither may relays alone be used when the only relay is left out.
        let needs_covered = line.key == "ice.relay-only"
            && loaded.config.ice.relay_only
            && lines
                .iter()
                .any(|other| hides_secret(&lines, other, loaded));
        let mark = if covered || needs_covered { "# " } else { "" };
        let _ = writeln!(text, "{mark}{}", line.show(loaded));
    }
    text
}

/// Whether a TURN server begins with this line whose secret stands in the file itself.
fn hides_secret(lines: &[Line], first: &Line, loaded: &Loaded) -> bool {
    let Some(entry) = first.key.strip_suffix("].urls") else {
        return false;
    };
    lines.iter().any(|line| {
        let file = matches!(loaded.origins.of(&line.key), Origin::SecretFile { .. });
        line.key.starts_with(entry) && matches!(line.value, Value::Private(_)) && !file
    })
}

/// One line of the file.
struct Line {
    /// `[video]`; empty at the top.
    heading: &'static str,
    /// The key with its tables: `video.kbps`.
    key: String,
    value: Value,
}

#[derive(PartialEq)]
enum Value {
    /// As TOML writes it.
    Shown(String),
    Private(String),
    /// None, and what happens then.
    Absent(&'static str),
}

impl Line {
    fn show(&self, loaded: &Loaded) -> String {
        let name = self.key.rsplit('.').next().unwrap_or_default();
        let origin = loaded.origins.of(&self.key);
        let file = loaded.file.as_deref().unwrap_or(Path::new(""));
        let origin_text = match origin {
            Origin::Default => "default".to_owned(),
            Origin::File { line } | Origin::SecretFile { line, .. } => {
                format!("{}:{line}", one_line(file))
            }
            Origin::Environment(name) => format!("${name}"),
            Origin::Checkout => "beside the program".to_owned(),
            Origin::Flag(name) => (*name).to_owned(),
        };
        match (&self.value, origin) {
            (Value::Shown(value), _) => format!("{name} = {value} # {origin_text}"),
            (Value::Private(_), Origin::SecretFile { path, .. }) => {
                let path = text(&path.to_string_lossy());
                format!("{name}-file = {path} # {origin_text}; holds [private]")
            }
            (Value::Private(_), _) => format!("# {name} = [private] # {origin_text}"),
            (Value::Absent(then), _) => format!("# {name}: {then}"),
        }
    }
}

fn lines(config: &Config) -> Vec<Line> {
    let mut lines = Lines(Vec::new());
    lines.shown("", "name", text(&config.name));
    lines.shown("", "state-dir", path(&config.state_dir));
    let dirs = config.pipelines_dirs.iter().map(|dir| path(dir));
    lines.shown("", "pipelines-dirs", list(dirs));

    let is_server = matches!(config.signalling, Signalling::Own(_));
    lines.shown("[room]", "room.name", text(config.room.name.as_str()));
    let pin = config.room.pin.as_ref().map(super::Private::expose);
    let without = if is_server {
        "none here; roomd makes one and keeps it in state-dir"
    } else {
        "none"
    };
    lines.private("[room]", "room.pin", pin, without);
    if is_server {
        let members = config.room.max_members.to_string();
        lines.shown("[room]", "room.max-members", members);
    }
    match &config.signalling {
        Signalling::Own(server) => lines.server(server),
        Signalling::Remote(remote) => lines.remote(remote),
    }
    lines.shown("[ice]", "ice.relay-only", config.ice.relay_only.to_string());
    match &config.ice.udp_ports {
        Some(ports) => lines.shown("[ice]", "ice.udp-ports", text(&ports.to_string())),
        None => lines.absent("[ice]", "ice.udp-ports", "any that the system gives"),
    }
    lines.shown("[ice]", "ice.ice-tcp", config.ice.tcp.to_string());
    if is_server {
        let seconds = config.ice.credential_lifetime.as_secs().to_string();
        lines.shown("[ice]", "ice.credential-seconds", seconds);
    }
    for (index, server) in config.ice.servers.iter().enumerate() {
        lines.ice_server(index, server);
    }
    for (heading, table, part) in [
        ("[camera]", "camera", &config.camera),
        ("[microphone]", "microphone", &config.microphone),
        ("[speaker]", "speaker", &config.speaker),
        ("[screen]", "screen", &config.screen),
    ] {
        lines.part(heading, table, part);
    }
    let video = &config.video;
    let codecs = video.codecs.iter().map(|codec| text(codec.word()));
    lines.shown("[video]", "video.codecs", list(codecs));
    lines.shown("[video]", "video.width", video.width.to_string());
    lines.shown("[video]", "video.height", video.height.to_string());
    lines.shown("[video]", "video.framerate", video.framerate.to_string());
    let tiers = video.tiers.iter().map(|one| tier(one, video.kbps));
    lines.shown("[video]", "video.tiers", list(tiers));
    for (key, kbps, without) in [
        ("video.kbps", video.kbps, "what each of the tiers says"),
        ("video.uplink-kbps", video.uplink_kbps, "no limit"),
    ] {
        match kbps {
            Some(Kbps(kbps)) => lines.shown("[video]", key, kbps.to_string()),
            None => lines.absent("[video]", key, without),
        }
    }
    for (codec, encoder) in &video.encoders {
        let heading = match codec {
            Codec::Vp8 => "[video.encoders.vp8]",
            Codec::H264 => "[video.encoders.h264]",
        };
        lines.part(heading, &format!("video.encoders.{codec}"), encoder);
    }
    let wall = &config.wall;
    lines.shown("[wall]", "wall.width", wall.width.to_string());
    lines.shown("[wall]", "wall.height", wall.height.to_string());
    lines.shown("[wall]", "wall.layout", text(wall.layout.word()));
    lines.shown("[wall]", "wall.self-view", wall.self_view.to_string());
    match &wall.network {
        Some(network) => lines.shown("[wall]", "wall.network", text(network)),
        None => lines.absent("[wall]", "wall.network", "none"),
    }
    match &wall.dim {
        Some(hours) => lines.shown("[wall]", "wall.dim-hours", text(&hours.to_string())),
        None => lines.absent("[wall]", "wall.dim-hours", "none"),
    }
    lines.shown("[wall]", "wall.wait", text(wall.wait.word()));
    let privacy = &config.privacy;
    lines.shown("[privacy]", "privacy.admit", text(privacy.admit.word()));
    match &privacy.quiet {
        Some(hours) => {
            lines.shown("[privacy]", "privacy.quiet-hours", text(&hours.to_string()));
        }
        None => lines.absent("[privacy]", "privacy.quiet-hours", "none"),
    }
    let audio = &config.audio;
    lines.shown("[audio]", "audio.kbps", audio.kbps.0.to_string());
    let cancel = text(audio.echo_cancel.word());
    lines.shown("[audio]", "audio.echo-cancel", cancel);
    let (noise, gain) = (audio.noise_suppression, audio.gain_control);
    lines.shown("[audio]", "audio.noise-suppression", noise.to_string());
    lines.shown("[audio]", "audio.gain-control", gain.to_string());
    lines.shown("[log]", "log.level", text(config.log.name()));
    lines.0
}

struct Lines(Vec<Line>);

impl Lines {
    fn shown(&mut self, heading: &'static str, key: impl Into<String>, value: String) {
        let key = key.into();
        let value = Value::Shown(value);
        self.0.push(Line {
            heading,
            key,
            value,
        });
    }

    fn absent(&mut self, heading: &'static str, key: impl Into<String>, then: &'static str) {
        self.0.push(Line {
            heading,
            key: key.into(),
            value: Value::Absent(then),
        });
    }

    fn private(
        &mut self,
        heading: &'static str,
        key: impl Into<String>,
        value: Option<&str>,
        without: &'static str,
    ) {
        match value {
            Some(value) => self.0.push(Line {
                heading,
                key: key.into(),
                value: Value::Private(value.to_owned()),
            }),
            None => self.absent(heading, key, without),
        }
    }

    fn server(&mut self, server: &Server) {
        const HEADING: &str = "[server]";
        self.shown(HEADING, "server.listen", text(&server.listen.to_string()));
        match &server.certificate {
            Certificate::Own => {
                let then = "from an authority that roomd makes and keeps in state-dir";
                self.absent(HEADING, "server.certificate", then);
            }
            Certificate::Files { certificate, key } => {
                self.shown(HEADING, "server.certificate", path(certificate));
                self.shown(HEADING, "server.key", path(key));
            }
        }
        let names = server.names.iter().map(|name| text(name));
        self.shown(HEADING, "server.names", list(names));
        self.shown(HEADING, "server.offerer", text(server.offerer.word()));
        let token = server.admin_token.as_ref().map(super::Private::expose);
        let without = "none here; roomd makes one and keeps it in state-dir";
        self.private(HEADING, "server.admin-token", token, without);
        let rooms = server.rooms.iter().map(|room| text(room.as_str()));
        self.shown(HEADING, "server.rooms", list(rooms));
    }

    fn remote(&mut self, remote: &Remote) {
        const HEADING: &str = "[signalling]";
        self.shown(HEADING, "signalling.url", text(&remote.url.to_string()));
        let token = remote.token.as_ref().map(crate::protocol::Secret::as_str);
        self.private(HEADING, "signalling.token", token, "none");
        match &remote.ca {
            Some(ca) => self.shown(HEADING, "signalling.ca", path(ca)),
            None => self.absent(HEADING, "signalling.ca", "the authorities of the system"),
        }
    }

    fn ice_server(&mut self, index: usize, server: &IceSource) {
        const HEADING: &str = "[[ice.servers]]";
        let key = |name: &str| format!("ice.servers[{index}].{name}");
        let urls = server.urls.iter().map(|url| text(&url.to_string()));
        self.shown(HEADING, key("urls"), list(urls));
        match &server.auth {
            IceAuth::None => {}
            IceAuth::Fixed {
                username,
                credential,
            } => {
                self.shown(HEADING, key("username"), text(username));
                self.private(HEADING, key("credential"), Some(credential.expose()), "");
            }
            IceAuth::Shared { secret } => {
                self.private(HEADING, key("secret"), Some(secret.expose()), "");
            }
        }
    }

    fn part(&mut self, heading: &'static str, table: &str, part: &Part) {
        let pipeline = match &part.pipeline {
            Choice::Auto => "auto",
            Choice::Named(name) => name,
        };
        self.shown(heading, format!("{table}.pipeline"), text(pipeline));
        let settings = part.settings.iter();
        let settings: Vec<String> = settings
            .map(|(name, value)| {
                let bare = crate::pipeline::is_name(name);
                let name = if bare { name.clone() } else { text(name) };
                format!("{name} = {}", text(value))
            })
            .collect();
        let settings = match settings.as_slice() {
            [] => "{}".to_owned(),
            _ => format!("{{ {} }}", settings.join(", ")),
        };
        self.shown(heading, format!("{table}.settings"), settings);
    }
}

fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// By its size alone if that says all.
fn tier(tier: &Tier, cap: Option<Kbps>) -> String {
    let of_its_size = Tier::new(tier.height, tier.framerate);
    let of_its_size = match cap {
        Some(Kbps(cap)) => of_its_size.at_most(cap),
        None => of_its_size,
    };
    let size = text(&tier.to_string());
    if *tier == of_its_size {
        return size;
    }
    let (least, most) = (tier.least_kbps, tier.most_kbps);
    format!("{{ size = {size}, kbps = [{least}, {most}] }}")
}

fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A path in a comment, which ends with its line.
fn one_line(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "line {line}"),
            Self::SecretFile { path, line } => write!(f, "{} (line {line})", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Checkout => f.write_str("beside the program"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}
