//! What is plugged in: looked at, not opened.
//!
//! Cameras come from GStreamer's own list of V4L2 devices, asked directly: a device monitor would
//! hide them behind PipeWire where that is installed. Sound cards come from the kernel's, because
//! ALSA has no other lasting names. No camera's light goes on for this.

mod alsa;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::launch::{debian_package, missing_elements};
use crate::{
    echo::speakerphone::Card,
    pipeline::{
        Camera, Catalogue, Connector, Display, File, Format, Kept, Kind, Missing, Mode, NoDisplay,
        Pipeline, Rate, Size, Sound, Survey, WantedDisplay, display,
    },
    system::state::{self, Readers},
};

/// The file in the state directory that remembers what `auto` chose.
const KEPT_FILE: &str = "devices.json";

/// `V4L2_CAP_VIDEO_CAPTURE` and its multi-planar form.
const CAPTURES: u32 = 0x0000_0001 | 0x0000_1000;

/// Where the kernel tells of graphics cards.
const DRM: &str = "/sys/class/drm";

/// Memory to memory in both forms, output in both forms: codecs, scalers, loopback inputs.
const NOT_A_CAMERA: u32 = 0x0000_8000 | 0x0000_4000 | 0x0000_0002 | 0x0000_2000;

/// Drivers whose capture nodes are parts of a board and not cameras. The sensors behind some of
/// them need libcamera.
const PARTS: &[&str] = &[
    "bcm2835-codec",
    "bcm2835-isp",
    "pispbe",
    "rp1-cfe",
    "unicam",
    "rpivid",
    "hantro-vpu",
    "rkvdec",
    "rkisp1",
];

/// Sizes that are asked of a camera which names none but a range.
const USUAL_SIZES: &[(u32, u32)] = &[(1920, 1080), (1280, 720), (640, 480), (640, 360)];

/// Looks at everything that `auto` can choose from. Takes some milliseconds.
#[must_use]
pub fn survey(catalogue: &Catalogue) -> Survey {
    Survey {
        cameras: cameras(),
        sound: sound(Path::new("/proc/asound")),
        sound_server: sound_server(),
        wayland: named("WAYLAND_DISPLAY"),
        display: named("DISPLAY"),
        connectors: connectors(Path::new(DRM)),
        is_service: is_service(),
        pipelines: catalogue.all().map(pipeline).collect(),
    }
}

/// Looks at what a screen can be chosen from. It is looked at again and again, so it is cheap.
#[must_use]
pub fn survey_screens(catalogue: &Catalogue) -> Survey {
    Survey {
        wayland: named("WAYLAND_DISPLAY"),
        display: named("DISPLAY"),
        connectors: connectors(Path::new(DRM)),
        is_service: is_service(),
        pipelines: catalogue.of(Kind::Screen).map(pipeline).collect(),
        ..Survey::default()
    }
}

/// The sockets for screens; nothing where there is no graphics card.
fn connectors(dir: &Path) -> Vec<Connector> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            Connector::read(entry.file_name().to_str()?, read)
        })
        .collect();
    found.sort_by(|a, b| (&a.card, &a.name).cmp(&(&b.card, &b.name)));
    found
}

/// Which connector to drive for settings that may name the card, by any of its names, the connector
/// and the mode. `wall` is the size where they name no mode.
pub fn find_display(
    survey: &Survey,
    settings: &BTreeMap<String, String>,
    wall: Size,
) -> Result<Display, NoDisplay> {
    let card = settings.get("device").map(|named| {
        let node = fs::canonicalize(named);
        node.map_or_else(|_| named.clone(), |node| node.display().to_string())
    });
    let wanted = WantedDisplay {
        card: card.as_deref(),
        connector: settings.get("connector").map(String::as_str),
        mode: mode_named(settings),
        wall,
    };
    display(&survey.connectors, wanted)
}

/// The mode that settings name for a screen that roomd drives itself.
#[must_use]
pub fn mode_named(settings: &BTreeMap<String, String>) -> Option<Size> {
    settings.get("mode")?.parse().ok()
}

/// Whether systemd has started us and waits for a word: then nobody sits in front of us.
fn is_service() -> bool {
    named("NOTIFY_SOCKET").is_some()
}

/// What the environment says, where it says anything.
fn named(variable: &str) -> Option<String> {
    let said = std::env::var(variable).ok()?;
    (!said.is_empty()).then_some(said)
}

/// What `auto` chose before; nothing where it cannot be read.
#[must_use]
pub fn kept(state_dir: &Path) -> Kept {
    fs::read(state_dir.join(KEPT_FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Remembers what `auto` chose.
pub fn keep(state_dir: &Path, kept: &Kept) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(kept)?;
    state::write(&state_dir.join(KEPT_FILE), &text, Readers::Usual)
}

/// The device nodes that a pattern names: a path below `/dev`, where `*` in the last part stands
/// for anything.
pub(super) fn nodes(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|it| it.to_str()))
    else {
        return Vec::new();
    };
    if !name.contains('*') {
        return path.exists().then(|| path.to_owned()).into_iter().collect();
    }
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|it| fits(it, name)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Whether a name is what a pattern means.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| fits(&rest[at..], tail))
        }),
    }
}

/// The device nodes of which a file needs one, where there is none.
#[must_use]
pub fn absent_devices(file: &File) -> Vec<String> {
    if file
        .devices
        .iter()
        .any(|pattern| !nodes(pattern).is_empty())
    {
        return Vec::new();
    }
    file.devices.clone()
}

fn pipeline(file: &File) -> Pipeline {
    let traits = file.encoder.as_ref();
    Pipeline {
        kind: file.kind,
        name: file.name.clone(),
        summary: file.summary.clone(),
        codec: traits.map(|traits| traits.codec),
        preference: traits.map(|traits| traits.preference),
        tested: traits.map_or_else(Vec::new, |traits| traits.tested.clone()),
        budget: traits.and_then(|traits| traits.budget),
        missing: missing_elements(file)
            .into_iter()
            .map(|element| Missing {
                package: debian_package(&element).map(str::to_owned),
                element,
            })
            .collect(),
        absent: absent_devices(file),
        verdict: None,
    }
}

fn cameras() -> Vec<Camera> {
    let Some(provider) = gst::DeviceProviderFactory::by_name("v4l2deviceprovider") else {
        return Vec::new();
    };
    let links = lasting_names(Path::new("/dev/v4l"));
    let mut cameras: Vec<_> = provider.devices().iter().filter_map(camera).collect();
    let names: Vec<_> = cameras.iter().map(|it| it.name.clone()).collect();
    for camera in &mut cameras {
        let twins = names.iter().filter(|name| **name == camera.name).count() > 1;
        camera.stable = stable_name(&camera.node, &links, twins);
    }
    // USB cameras first, by a name that is the same after the next start.
    cameras.sort_by_key(|it| (!it.stable.contains("usb"), it.stable.clone()));
    cameras
}

fn camera(device: &gst::Device) -> Option<Camera> {
    let about = device.properties()?;
    let node: String = about
        .get("device.path")
        .or_else(|_| about.get("api.v4l2.path"))
        .ok()?;
    let driver: String = about.get("v4l2.device.driver").unwrap_or_default();
    let caps: u32 = about.get("v4l2.device.device_caps").unwrap_or(CAPTURES);
    let modes = device.caps().map(|caps| modes(&caps)).unwrap_or_default();
    (is_camera(caps, &driver) && !modes.is_empty()).then(|| Camera {
        name: device.display_name().to_string(),
        stable: node.clone(),
        node,
        modes,
    })
}

fn is_camera(device_caps: u32, driver: &str) -> bool {
    device_caps & CAPTURES != 0 && device_caps & NOT_A_CAMERA == 0 && !PARTS.contains(&driver)
}

/// The links of udev to each device file.
fn lasting_names(dir: &Path) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut links: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for folder in ["by-id", "by-path"] {
        for entry in fs::read_dir(dir.join(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            if let Ok(node) = fs::canonicalize(entry.path()) {
                links.entry(node).or_default().push(entry.path());
            }
        }
    }
    for names in links.values_mut() {
        names.sort();
    }
    links
}

/// Twins without a serial number fight for one name in `by-id`; where they are plugged in tells
/// them apart.
fn stable_name(node: &str, links: &BTreeMap<PathBuf, Vec<PathBuf>>, twins: bool) -> String {
    let names = links.get(Path::new(node)).map_or(&[][..], Vec::as_slice);
    let of = |folder: &str| {
        names
            .iter()
            .find(|name| name.parent().is_some_and(|parent| parent.ends_with(folder)))
    };
    let (first, second) = if twins {
        (of("by-path"), of("by-id"))
    } else {
        (of("by-id"), of("by-path"))
    };
    first
        .or(second)
        .and_then(|name| name.to_str())
        .unwrap_or(node)
        .to_owned()
}

/// The modes among a camera's caps that our pipelines can read.
fn modes(caps: &gst::Caps) -> Vec<Mode> {
    let mut modes: BTreeMap<(Format, u32, u32), Vec<Rate>> = BTreeMap::new();
    for (structure, features) in caps.iter_with_features() {
        if features.is_any() || !features.contains(gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY) {
            continue;
        }
        let format = match structure.name().as_str() {
            "video/x-raw" => match structure.get::<String>("format") {
                Ok(format) => Format::Raw(format),
                Err(_) => continue,
            },
            "image/jpeg" => Format::Jpeg,
            _ => continue,
        };
        let rates = rates(structure);
        for (width, height) in sizes(structure) {
            modes
                .entry((format.clone(), width, height))
                .or_default()
                .extend(&rates);
        }
    }
    modes
        .into_iter()
        .map(|((format, width, height), mut rates)| {
            rates.sort_by(|a, b| {
                let product = |over: u32, under: u32| u64::from(over) * u64::from(under);
                product(b.0, a.1).cmp(&product(a.0, b.1))
            });
            rates.dedup();
            Mode {
                format,
                width,
                height,
                rates,
            }
        })
        .filter(|mode| !mode.rates.is_empty())
        .collect()
}

fn sizes(structure: &gst::StructureRef) -> Vec<(u32, u32)> {
    let span = |field: &str| -> Option<(u32, u32)> {
        if let Ok(fixed) = structure.get::<i32>(field) {
            let fixed = u32::try_from(fixed).ok()?;
            return Some((fixed, fixed));
        }
        let range = structure.get::<gst::IntRange<i32>>(field).ok()?;
        Some((
            u32::try_from(range.min()).ok()?,
            u32::try_from(range.max()).ok()?,
        ))
    };
    let (Some(width), Some(height)) = (span("width"), span("height")) else {
        return Vec::new();
    };
    if width.0 == width.1 && height.0 == height.1 {
        return vec![(width.0, height.0)];
    }
    let fits = |&&(w, h): &&(u32, u32)| {
        (width.0..=width.1).contains(&w) && (height.0..=height.1).contains(&h)
    };
    USUAL_SIZES.iter().filter(fits).copied().collect()
}

fn rates(structure: &gst::StructureRef) -> Vec<Rate> {
    let rate = |fraction: gst::Fraction| {
        let over = u32::try_from(fraction.numer()).ok()?;
        let under = u32::try_from(fraction.denom()).ok()?;
        (over > 0 && under > 0).then_some(Rate(over, under))
    };
    if let Ok(fixed) = structure.get::<gst::Fraction>("framerate") {
        return rate(fixed).into_iter().collect();
    }
    if let Ok(list) = structure.get::<gst::List>("framerate") {
        return list
            .iter()
            .filter_map(|value| rate(value.get::<gst::Fraction>().ok()?))
            .collect();
    }
    if let Ok(range) = structure.get::<gst::FractionRange>("framerate") {
        let usual = [60, 50, 30, 25, 15, 10, 5].map(|each| gst::Fraction::new(each, 1));
        return usual
            .into_iter()
            .filter(|each| (range.min()..=range.max()).contains(each))
            .filter_map(rate)
            .collect();
    }
    Vec::new()
}

/// What `/proc/asound` tells; nothing where there is none.
fn sound(dir: &Path) -> Vec<Sound> {
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    alsa::sound(&read("cards"), &read("pcm"))
}

/// The sound card that an ALSA device names; none where its name leaves it open, or it is not there.
#[must_use]
pub fn card(device: &str) -> Option<Card> {
    card_in(Path::new("/proc/asound"), device)
}

fn card_in(dir: &Path, device: &str) -> Option<Card> {
    let id = alsa::card_id(device)?;
    let read = |file: &Path| fs::read_to_string(dir.join(file)).unwrap_or_default();
    // The directory of a card has its name, and that of its number leads there.
    let folder = match id.parse::<u32>() {
        Ok(number) => format!("card{number}"),
        Err(_) => id.to_owned(),
    };
    let usb = read(&Path::new(&folder).join("usbid"));
    alsa::card(&read(Path::new("cards")), id, &usb)
}

/// The sound server of the user we run as. It has the cards open, so ALSA's default, which leads
/// to it, is all that can be used.
fn sound_server() -> Option<String> {
    let runtime = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    let servers = [("pulse/native", "PulseAudio"), ("pipewire-0", "PipeWire")];
    servers
        .into_iter()
        .rev()
        .find(|(socket, _)| runtime.join(socket).exists())
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests;
