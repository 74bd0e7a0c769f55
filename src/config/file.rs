//! What the file may say: every key with its own rule, and nothing about keys together.
//!
//! Everything is optional here. What is missing, and what fits together, is for `check`.

use core::net::SocketAddr;
use std::{
    collections::BTreeMap,
    ops::{Range, RangeInclusive},
};

use toml::de::{DeTable, DeValue};

use super::{
    EchoCancel, LogLevel, Offerer, Private, Problem, Wait,
    address::{self, IceUrl, Ports, SignallingUrl},
    table::{At, Cell, Findings, Given, Table, kind},
    tiers::{Tier, tier},
    value::{Misread, Unit, boolean},
};
use crate::{
    pipeline::{Codec, Size},
    privacy::{Admit, Hours, HoursError},
    protocol::{IdError, LONGEST_NAME, RoomName, Secret},
    scene::Layout,
};

/// Every table of the file with its keys, in the order in which they are documented.
pub const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "name",
            "state-dir",
            "pipelines-dirs",
            "room",
            "server",
            "signalling",
            "ice",
            "camera",
            "microphone",
            "speaker",
            "screen",
            "video",
            "wall",
            "privacy",
            "audio",
            "log",
        ],
    ),
    ("room", &["name", "pin", "pin-file", "max-members"]),
    (
        "server",
        &[
            "listen",
            "certificate",
            "key",
            "names",
            "offerer",
            "admin-token-file",
            "rooms",
        ],
    ),
    ("signalling", &["url", "token", "token-file", "ca"]),
    (
        "ice",
        &[
            "relay-only",
            "udp-ports",
            "ice-tcp",
            "credential-seconds",
            "servers",
        ],
    ),
    (
        "ice.servers",
        &[
            "urls",
            "username",
            "credential",
            "credential-file",
            "secret",
            "secret-file",
        ],
    ),
    ("camera", &["pipeline", "settings"]),
    ("microphone", &["pipeline", "settings"]),
    ("speaker", &["pipeline", "settings"]),
    ("screen", &["pipeline", "settings"]),
    (
        "video",
        &[
            "codecs",
            "encoders",
            "width",
            "height",
            "framerate",
            "tiers",
            "kbps",
            "uplink-kbps",
        ],
    ),
    ("video.tiers", &["size", "kbps"]),
    ("video.encoders", &["vp8", "h264"]),
    ("video.encoders.vp8", &["pipeline", "settings"]),
    ("video.encoders.h264", &["pipeline", "settings"]),
    (
        "wall",
        &[
            "width",
            "height",
            "layout",
            "self-view",
            "network",
            "dim-hours",
            "wait",
        ],
    ),
    ("privacy", &["admit", "quiet-hours"]),
    (
        "audio",
        &["kbps", "echo-cancel", "noise-suppression", "gain-control"],
    ),
    ("log", &["level"]),
];

/// The keys of one table.
pub(super) fn keys_of(table: &str) -> &'static [&'static str] {
    KEYS.iter()
        .find(|(name, _)| *name == table)
        .map_or(&[], |(_, keys)| keys)
}

/// In which tables a key of this name is known, as they are written in the file.
pub(super) fn tables_with(key: &str) -> Vec<String> {
    let known = KEYS.iter().filter(|(_, keys)| keys.contains(&key));
    known
        .map(|(table, _)| match *table {
            "" => "the top of the file".to_owned(),
            "ice.servers" | "video.tiers" => format!("[[{table}]]"),
            table => format!("[{table}]"),
        })
        .collect()
}

/// The whole file.
#[derive(Debug, Default)]
pub struct File {
    pub(super) name: Given<String>,
    pub(super) state_dir: Given<String>,
    pub(super) pipelines_dirs: Given<Vec<At<String>>>,
    pub(super) room: Room,
    pub(super) server: Server,
    pub(super) signalling: Signalling,
    pub(super) ice: Ice,
    pub(super) camera: Part,
    pub(super) microphone: Part,
    pub(super) speaker: Part,
    pub(super) screen: Part,
    pub(super) video: Video,
    pub(super) wall: Wall,
    pub(super) privacy: Privacy,
    pub(super) audio: Audio,
    pub(super) log: Log,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) name: Given<RoomName>,
    pub(super) pin: Given<Private>,
    pub(super) pin_file: Given<String>,
    pub(super) max_members: Given<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Server {
    /// Where the table begins, if the file has it.
    pub(super) place: Option<Range<usize>>,
    pub(super) listen: Given<SocketAddr>,
    pub(super) certificate: Given<String>,
    pub(super) key: Given<String>,
    pub(super) names: Given<Vec<At<String>>>,
    pub(super) offerer: Given<Offerer>,
    pub(super) admin_token_file: Given<String>,
    pub(super) rooms: Given<Vec<At<RoomName>>>,
}

#[derive(Debug, Default)]
pub(super) struct Signalling {
    /// Where the table begins, if the file has it.
    pub(super) place: Option<Range<usize>>,
    pub(super) url: Given<SignallingUrl>,
    pub(super) token: Given<Private>,
    pub(super) token_file: Given<String>,
    pub(super) ca: Given<String>,
}

#[derive(Debug, Default)]
pub(super) struct Ice {
    pub(super) relay_only: Given<bool>,
    pub(super) udp_ports: Given<Ports>,
    pub(super) tcp: Given<bool>,
    pub(super) credential_seconds: Given<u32>,
    pub(super) servers: Given<Vec<IceServer>>,
}

#[derive(Debug, Default)]
pub(super) struct IceServer {
    pub(super) place: Range<usize>,
    pub(super) urls: Given<Vec<At<IceUrl>>>,
    pub(super) username: Given<String>,
    pub(super) credential: Given<Private>,
    pub(super) credential_file: Given<String>,
    pub(super) secret: Given<Private>,
    pub(super) secret_file: Given<String>,
}

#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) pipeline: Given<String>,
    pub(super) settings: Given<Vec<(At<String>, At<String>)>>,
}

#[derive(Debug, Default)]
pub(super) struct Video {
    pub(super) codecs: Given<Vec<At<Codec>>>,
    pub(super) encoders: BTreeMap<Codec, Part>,
    pub(super) width: Given<u32>,
    pub(super) height: Given<u32>,
    pub(super) framerate: Given<u32>,
    pub(super) tiers: Given<Vec<At<Tier>>>,
    pub(super) kbps: Given<u32>,
    pub(super) uplink_kbps: Given<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Wall {
    pub(super) width: Given<u32>,
    pub(super) height: Given<u32>,
    pub(super) layout: Given<Layout>,
    pub(super) self_view: Given<bool>,
    pub(super) network: Given<String>,
    pub(super) dim_hours: Given<Hours>,
    pub(super) wait: Given<Wait>,
}

#[derive(Debug, Default)]
pub(super) struct Privacy {
    pub(super) admit: Given<Admit>,
    pub(super) quiet_hours: Given<Hours>,
}

#[derive(Debug, Default)]
pub(super) struct Audio {
    pub(super) kbps: Given<u32>,
    pub(super) echo_cancel: Given<EchoCancel>,
    pub(super) noise_suppression: Given<bool>,
    pub(super) gain_control: Given<bool>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) level: Given<LogLevel>,
}

impl File {
    /// Reads what a document says. What is wrong with single keys goes into `findings`.
    pub(super) fn read<'a>(document: &'a DeTable<'a>, findings: &mut Findings) -> Self {
        let mut top = Table::new("", Some(document), findings);
        Self {
            name: top.read("name", |cell| {
                let takes = "a name of at most 64 characters";
                cell.parsed(takes, "Meeting room 2", display_name)
            }),
            state_dir: top.read("state-dir", |cell| path(cell, "/var/lib/roomd")),
            pipelines_dirs: top.read("pipelines-dirs", |cell| {
                let example = "pipelines-dirs = [\"/usr/share/roomd/pipelines\"]";
                let dirs = cell.list("directories", example, |cell| {
                    path(cell, "/usr/share/roomd/pipelines")
                })?;
                not_empty(cell, dirs, example)
            }),
            room: Room::read(&mut top),
            server: Server::read(&mut top),
            signalling: Signalling::read(&mut top),
            ice: Ice::read(&mut top),
            camera: Part::of(&mut top, "camera"),
            microphone: Part::of(&mut top, "microphone"),
            speaker: Part::of(&mut top, "speaker"),
            screen: Part::of(&mut top, "screen"),
            video: Video::read(&mut top),
            wall: Wall::read(&mut top),
            privacy: Privacy::read(&mut top),
            audio: Audio::read(&mut top),
            log: Log::read(&mut top),
        }
    }
}

impl Room {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let Some(mut table) = sub_table(top, "room", "room", "name = \"room\"") else {
            return Self::default();
        };
        Self {
            name: table.read("name", |cell| room_name(cell, "name = ")),
            pin: table.read("pin", pin),
            pin_file: table.read("pin-file", |cell| path(cell, "/etc/roomd/pin")),
            max_members: table.read("max-members", |cell| {
                cell.number(Unit::Members, &(2..=16), 8)
            }),
        }
    }
}

impl Server {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let place = top.place("server");
        let Some(mut table) = sub_table(top, "server", "server", "listen = \"[::]:8443\"") else {
            return Self::default();
        };
        Self {
            place,
            listen: table.read("listen", |cell| match cell.value.get_ref() {
                DeValue::Integer(port) if port.as_str().parse::<u16>().is_ok() => {
                    let example = format!("listen = \"[::]:{}\"", port.as_str());
                    cell.unlike("an address and a port", &example)
                }
                _ => cell.parsed("an address and a port", "[::]:8443", address::listen),
            }),
            certificate: table.read("certificate", |cell| path(cell, "/etc/roomd/chain.pem")),
            key: table.read("key", |cell| path(cell, "/etc/roomd/key.pem")),
            names: table.read("names", |cell| {
                let example = "names = [\"meet.example.org\"]";
                cell.list("host names", example, |cell| {
                    cell.parsed("host names", "meet.example.org", address::host_name)
                })
            }),
            offerer: table.read("offerer", |cell| {
                let words = [
                    ("device", Offerer::Device),
                    ("browser", Offerer::Browser),
                    ("first", Offerer::First),
                ];
                cell.one_of("one of \"device\", \"browser\" and \"first\"", &words)
            }),
            admin_token_file: table.read("admin-token-file", |cell| {
                path(cell, "/etc/roomd/admin-token")
            }),
            rooms: table.read("rooms", |cell| {
                let example = "rooms = [\"hall\", \"kitchen\"]";
                let rooms = cell.list("room names", example, |cell| room_name(cell, ""))?;
                once(cell, rooms, "a room")
            }),
        }
    }
}

impl Signalling {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let place = top.place("signalling");
        let example = "url = \"wss://meet.example.org/ws\"";
        let Some(mut table) = sub_table(top, "signalling", "signalling", example) else {
            return Self::default();
        };
        Self {
            place,
            url: table.read("url", |cell| {
                let takes = "the wss:// URL of a signalling server";
                cell.parsed(takes, "wss://meet.example.org/ws", address::signalling)
            }),
            token: table.read("token", token),
            token_file: table.read("token-file", |cell| path(cell, "/etc/roomd/token")),
            ca: table.read("ca", |cell| path(cell, "/etc/roomd/site-ca.pem")),
        }
    }
}

impl Ice {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let Some(mut table) = sub_table(top, "ice", "ice", "relay-only = false") else {
            return Self::default();
        };
        Self {
            relay_only: table.read("relay-only", boolean),
            udp_ports: table.read("udp-ports", |cell| {
                let takes = "a range of UDP ports from 1024 to 65535";
                cell.parsed(takes, "40000-40099", address::ports)
            }),
            tcp: table.read("ice-tcp", boolean),
            credential_seconds: table.read("credential-seconds", |cell| {
                cell.number(Unit::Seconds, &(60..=604_800), 3600)
            }),
            servers: table.read("servers", ice_servers),
        }
    }
}

fn ice_servers(cell: &mut Cell<'_, '_>) -> Option<Vec<IceServer>> {
    let example = "write for example: [[ice.servers]] urls = [\"stun:stun.example.org:3478\"]";
    let what = "`ice.servers` takes tables";
    let servers = match cell.value.get_ref() {
        DeValue::Array(servers) => servers,
        DeValue::Table(_) => {
            let remedy = "write the heading with two brackets: [[ice.servers]]";
            return cell.wrong(
                "`ice.servers` takes any number of tables",
                "only one",
                remedy,
            );
        }
        other => {
            let found = format!("this is {}", kind(other));
            return cell.wrong(what, found, example);
        }
    };
    let servers: Vec<Option<IceServer>> = servers
        .iter()
        .map(|server| {
            let DeValue::Table(entries) = server.get_ref() else {
                let found = format!("this is {}", kind(server.get_ref()));
                return cell.within(server).wrong(what, found, example);
            };
            let table = Table::new("ice.servers", Some(entries), cell.findings);
            Some(IceServer::read(server.span(), table))
        })
        .collect();
    servers.into_iter().collect()
}

impl IceServer {
    fn read(place: Range<usize>, mut table: Table<'_, '_>) -> Self {
        let private = |cell: &mut Cell<'_, '_>| cell.text("a text", "…").map(Private::new);
        Self {
            place,
            urls: table.read("urls", |cell| {
                let example = "urls = [\"turn:turn.example.org:3478\"]";
                let urls = cell.list("stun: and turn: URLs", example, |cell| {
                    let takes = "stun: and turn: URLs";
                    cell.parsed(takes, "turn:turn.example.org:3478", address::ice)
                })?;
                not_empty(cell, urls, example)
            }),
            username: table.read("username", |cell| cell.text("a text", "roomd")),
            credential: table.read("credential", private),
            credential_file: table.read("credential-file", |cell| {
                path(cell, "/etc/roomd/turn-password")
            }),
            secret: table.read("secret", private),
            secret_file: table.read("secret-file", |cell| path(cell, "/etc/roomd/turn-secret")),
        }
    }
}

impl Part {
    fn of(top: &mut Table<'_, '_>, name: &'static str) -> Self {
        match sub_table(top, name, name, "pipeline = \"auto\"") {
            Some(mut table) => Self::read(&mut table),
            None => Self::default(),
        }
    }

    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            pipeline: table.read("pipeline", pipeline),
            settings: table.read("settings", settings),
        }
    }
}

fn pipeline(cell: &mut Cell<'_, '_>) -> Option<String> {
    cell.text("the name of a pipeline file, or \"auto\"", "auto")
}

/// Settings with their values as texts, from which any property can be set.
fn settings(cell: &mut Cell<'_, '_>) -> Option<Vec<(At<String>, At<String>)>> {
    let example = "settings = { device = \"/dev/video0\" }";
    let DeValue::Table(entries) = cell.value.get_ref() else {
        return cell.unlike("a table of settings", example);
    };
    let settings: Vec<Option<_>> = entries
        .iter()
        .map(|(key, value)| {
            let text = match value.get_ref() {
                DeValue::String(text) => text.clone().into_owned(),
                DeValue::Integer(number) => {
                    match i128::from_str_radix(number.as_str(), number.radix()) {
                        Ok(number) => number.to_string(),
                        Err(_) => number.to_string(),
                    }
                }
                DeValue::Float(number) => number.as_str().to_owned(),
                DeValue::Boolean(value) => value.to_string(),
                DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                    let takes = "texts, numbers, true and false";
                    return cell.within(value).unlike(takes, example);
                }
            };
            let key = At {
                value: key.get_ref().clone().into_owned(),
                span: key.span(),
            };
            let span = value.span();
            Some((key, At { value: text, span }))
        })
        .collect();
    settings.into_iter().collect()
}

impl Video {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let Some(mut table) = sub_table(top, "video", "video", "kbps = 1500") else {
            return Self::default();
        };
        Self {
            codecs: table.read("codecs", |cell| {
                let example = "codecs = [\"vp8\", \"h264\"]";
                let codecs = cell.list("video codecs", example, codec)?;
                let codecs = once(cell, codecs, "a codec")?;
                not_empty(cell, codecs, example)
            }),
            width: table.read("width", |cell| pixels(cell, &(16..=3840), 1280)),
            height: table.read("height", |cell| pixels(cell, &(16..=2160), 720)),
            framerate: table.read("framerate", |cell| {
                cell.number(Unit::FramesPerSecond, &(1..=60), 30)
            }),
            tiers: table.read("tiers", |cell| {
                let example = "tiers = [\"720p30\", \"360p30\", \"180p15\"]";
                let tiers = cell.list("sizes", example, tier)?;
                not_empty(cell, tiers, example)
            }),
            kbps: table.read("kbps", |cell| cell.number(Unit::Kbps, &(50..=20_000), 1500)),
            uplink_kbps: table.read("uplink-kbps", |cell| {
                cell.number(Unit::Kbps, &(100..=1_000_000), 10_000)
            }),
            encoders: encoders(&mut table),
        }
    }
}

/// For each codec the name of a pipeline, or a table like that of the camera.
fn encoders(video: &mut Table<'_, '_>) -> BTreeMap<Codec, Part> {
    let Some(mut table) = sub_table(video, "encoders", "video.encoders", "vp8 = \"auto\"") else {
        return BTreeMap::new();
    };
    let encoders = Codec::ALL.map(|codec| {
        let mut entries = None;
        let name = table.read(codec.word(), |cell| match cell.value.get_ref() {
            DeValue::Table(found) => {
                entries = Some(found);
                Some(String::new())
            }
            _ => pipeline(cell),
        });
        let part = match entries {
            Some(entries) => {
                let name = match codec {
                    Codec::Vp8 => "video.encoders.vp8",
                    Codec::H264 => "video.encoders.h264",
                };
                Part::read(&mut Table::new(name, Some(entries), table.findings))
            }
            None => Part {
                pipeline: name,
                settings: Given::Absent,
            },
        };
        (codec, part)
    });
    encoders.into()
}

fn codec(cell: &mut Cell<'_, '_>) -> Option<Codec> {
    let name = cell.name();
    let found = cell.text("the name of a video codec", "vp8")?;
    if let Ok(codec) = found.parse() {
        return Some(codec);
    }
    let what = format!("`{name}` takes video codecs, and `{found}` is none that roomd sends");
    let remedy = match found
        .to_lowercase()
        .replace(['.', '-', '_', ' '], "")
        .as_str()
    {
        "h264" | "avc" | "avc1" | "x264" | "openh264" => "did you mean \"h264\"?",
        "vp8" | "vp8enc" => "did you mean \"vp8\"?",
        "opus" => "sound is always Opus and is not named here; write \"vp8\" or \"h264\"",
        _ => "write \"vp8\" or \"h264\", which every browser understands",
    };
    cell.wrong(what, "not known", remedy)
}

fn pixels(cell: &mut Cell<'_, '_>, range: &RangeInclusive<u32>, usual: u32) -> Option<u32> {
    if let DeValue::String(text) = cell.value.get_ref()
        && let Some((width, height)) = text.split_once(['x', '×'])
        && let (Ok(width), Ok(height)) = (width.trim().parse::<u32>(), height.trim().parse::<u32>())
    {
        let what = format!("`{}` takes one number of pixels", cell.name());
        let remedy = format!("write two lines: width = {width} and height = {height}");
        return cell.wrong(what, "width and height together", remedy);
    }
    let number = cell.number(Unit::Pixels, range, usual)?;
    if number % 2 == 1 {
        let what = format!("`{}` is odd", cell.name());
        let remedy = format!(
            "a picture takes even numbers only; write: {} = {}",
            cell.key,
            number - 1
        );
        return cell.wrong(what, format!("{number} pixels"), remedy);
    }
    Some(number)
}

impl Wall {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let Some(mut table) = sub_table(top, "wall", "wall", "layout = \"grid\"") else {
            return Self::default();
        };
        Self {
            width: table.read("width", |cell| pixels(cell, &Size::SIDES, 1920)),
            height: table.read("height", |cell| pixels(cell, &Size::SIDES, 1080)),
            layout: table.read("layout", |cell| {
                let words = Layout::ALL.map(|layout| (layout.word(), layout));
                cell.one_of("one of \"grid\" and \"speaker\"", &words)
            }),
            self_view: table.read("self-view", boolean),
            network: table.read("network", |cell| {
                let takes = "a name of at most 64 characters";
                cell.parsed(takes, "Guests", display_name)
            }),
            dim_hours: table.read("dim-hours", |cell| {
                cell.parsed("two times of the day", "20:00-07:00", |text| {
                    hours(text, "dim-hours = \"20:00-07:00\"")
                })
            }),
            wait: table.read("wait", |cell| {
                let words = Wait::ALL.map(|wait| (wait.word(), wait));
                cell.one_of("one of \"long\" and \"short\"", &words)
            }),
        }
    }
}

impl Privacy {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let Some(mut table) = sub_table(top, "privacy", "privacy", "admit = \"chime\"") else {
            return Self::default();
        };
        Self {
            admit: table.read("admit", |cell| {
                let words = Admit::ALL.map(|admit| (admit.word(), admit));
                cell.one_of("one of \"chime\", \"ask\" and \"auto\"", &words)
            }),
            quiet_hours: table.read("quiet-hours", |cell| {
                cell.parsed("two times of the day", "22:00-07:00", |text| {
                    hours(text, "quiet-hours = \"22:00-07:00\"")
                })
            }),
        }
    }
}

fn hours(text: &str, example: &str) -> Result<Hours, Misread> {
    text.parse().map_err(|error: HoursError| {
        let remedy =
            format!("write from when to when, by the clock in the room, for example: {example}");
        Misread::new(error.to_string(), remedy)
    })
}

impl Audio {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let Some(mut table) = sub_table(top, "audio", "audio", "kbps = 32") else {
            return Self::default();
        };
        Self {
            kbps: table.read("kbps", |cell| cell.number(Unit::Kbps, &(6..=510), 32)),
            echo_cancel: table.read("echo-cancel", |cell| {
                let words = EchoCancel::ALL.map(|it| (it.word(), it));
                cell.one_of("one of \"auto\", \"on\" and \"off\"", &words)
            }),
            noise_suppression: table.read("noise-suppression", boolean),
            gain_control: table.read("gain-control", boolean),
        }
    }
}

impl Log {
    fn read(top: &mut Table<'_, '_>) -> Self {
        let Some(mut table) = sub_table(top, "log", "log", "level = \"info\"") else {
            return Self::default();
        };
        let words = LogLevel::ALL.map(|level| (level.name(), level));
        Self {
            level: table.read("level", |cell| cell.one_of("a log level", &words)),
        }
    }
}

/// The table `key` of `parent`, which is called `name` in full; empty if the file has none; None where something else stands there.
fn sub_table<'a, 's>(
    parent: &'s mut Table<'a, '_>,
    key: &'static str,
    name: &'static str,
    example: &str,
) -> Option<Table<'a, 's>> {
    let given = parent.read(key, |cell| match cell.value.get_ref() {
        DeValue::Table(entries) => Some(entries),
        other => {
            let found = format!("this is {}", kind(other));
            let remedy = match other {
                DeValue::Array(_) => format!("write the heading with one bracket: [{name}]"),
                _ => format!("write a heading [{name}], and below it for example: {example}"),
            };
            cell.wrong(format!("`{name}` is a table"), found, remedy)
        }
    });
    let entries = match given {
        Given::Absent => None,
        Given::Broken => return None,
        Given::Right(entries) => Some(entries.value),
    };
    Some(Table::new(name, entries, parent.findings))
}

fn not_empty<T>(cell: &mut Cell<'_, '_>, list: Vec<At<T>>, example: &str) -> Option<Vec<At<T>>> {
    if list.is_empty() {
        let what = format!("`{}` is empty", cell.name());
        let remedy = format!("write for example: {example}, or leave the line out");
        return cell.wrong(what, "nothing in it", remedy);
    }
    Some(list)
}

/// Reports the first value that occurs twice.
fn once<T: PartialEq>(cell: &mut Cell<'_, '_>, list: Vec<At<T>>, one: &str) -> Option<Vec<At<T>>> {
    let twice = list.iter().enumerate().find_map(|(index, item)| {
        let before = list[..index].iter();
        let first = before.into_iter().find(|other| other.value == item.value)?;
        Some((first.span.clone(), item.span.clone()))
    });
    let Some((first, second)) = twice else {
        return Some(list);
    };
    let what = format!("`{}` names {one} twice", cell.name());
    let problem = Problem::error(what, "leave the second one out")
        .at(&cell.findings.text, second, "the second time")
        .beside(first, "the first time");
    cell.findings.push(problem);
    None
}

fn path(cell: &mut Cell<'_, '_>, example: &str) -> Option<String> {
    let path = cell.text("a path", example)?;
    if path.starts_with('~') {
        let what = format!("`{}` begins with ~", cell.name());
        let remedy = "only a shell knows whose home that is; write the whole path, from / on";
        return cell.wrong(what, "not a path", remedy);
    }
    Some(path)
}

fn display_name(text: &str) -> Result<String, Misread> {
    let name = text.trim();
    let length = name.chars().count();
    if length > LONGEST_NAME {
        let what = format!("{length} characters");
        return Err(Misread::new(what, "write a shorter name"));
    }
    Ok(name.to_owned())
}

fn room_name(cell: &mut Cell<'_, '_>, line: &str) -> Option<RoomName> {
    let name = cell.name();
    let text = cell.text("the name of a room", "room")?;
    text.parse()
        .map_err(|error| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_~".contains(c);
            let words = text.split(|c| !allowed(c)).filter(|word| !word.is_empty());
            let better = words.collect::<Vec<_>>().join("-");
            let better = better.get(..64).unwrap_or(&better);
            let better = if better.is_empty() { "room" } else { better };
            let what = format!("`{name}` is not a room's name that fits into a link");
            let remedy = format!("{error}; write for example: {line}\"{better}\"");
            cell.wrong::<()>(what, "not usable", remedy);
        })
        .ok()
}

fn pin(cell: &mut Cell<'_, '_>) -> Option<Private> {
    let what = "`room.pin` takes 4 to 12 digits in quotes";
    let remedy = "write for example: pin = \"482911\", or leave the line out and roomd makes one";
    let DeValue::String(text) = cell.value.get_ref() else {
        let found = match cell.value.get_ref() {
            DeValue::Integer(_) => "quotes are missing",
            _ => "not a text",
        };
        return cell.wrong(what, found, remedy);
    };
    match judge_pin(text) {
        Ok(pin) => Some(pin),
        Err(found) => cell.wrong(what, found, remedy),
    }
}

/// A PIN, or what is wrong with it, without showing it.
pub(super) fn judge_pin(text: &str) -> Result<Private, String> {
    if !text.chars().all(|c| c.is_ascii_digit()) {
        return Err("something else than digits".to_owned());
    }
    match text.len() {
        0 => Err("no digits".to_owned()),
        4..=12 => Ok(Private::new(text)),
        1 => Err("1 digit".to_owned()),
        length => Err(format!("{length} digits")),
    }
}

fn token(cell: &mut Cell<'_, '_>) -> Option<Private> {
    let text = cell.text("the token that the server knows", "…")?;
    match judge_token(&text) {
        Ok(token) => Some(token),
        Err(found) => {
            let remedy = "copy it from the server whole, or use `token-file`";
            let takes = "16 to 128 letters, digits and . _ ~ -";
            cell.wrong(format!("`signalling.token` takes {takes}"), found, remedy)
        }
    }
}

/// A token, or what is wrong with it, without showing it.
pub(super) fn judge_token(text: &str) -> Result<Private, String> {
    match text.parse::<Secret>() {
        Ok(_) => Ok(Private::new(text)),
        Err(IdError::Length { found, .. }) => Err(format!("{found} characters")),
        Err(IdError::Character { .. }) => Err("a character that no token has".to_owned()),
    }
}

/// An administrator's token, or what is wrong with it, without showing it.
pub(super) fn judge_admin_token(text: &str) -> Result<Private, String> {
    if text.chars().count() < 32 {
        return Err(format!("{} characters", text.chars().count()));
    }
    judge_token(text)
}
