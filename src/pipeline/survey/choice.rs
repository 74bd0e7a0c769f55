//! What `auto` means.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Camera, Format, Kept, Kind, Mode, Outcome, Pipeline, Rate, Sound, Survey};
use crate::pipeline::Codec;

/// The size and rate that the camera is wanted at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Frames a second.
    pub framerate: u32,
}

impl Wanted {
    /// What an encoder has to do for it, in macroblocks a second.
    #[must_use]
    pub fn macroblocks(self) -> u64 {
        let across = |pixels: u32| u64::from(pixels.div_ceil(16));
        across(self.width) * across(self.height) * u64::from(self.framerate)
    }
}

/// A pipeline file, how to set it, and why this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Choice {
    /// The file's name.
    pub pipeline: String,
    /// The settings that name the device; a configuration's own go before these.
    pub settings: BTreeMap<String, String>,
    /// The reason in words.
    pub why: String,
}

/// Everything that `auto` chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Choices {
    /// Which camera.
    pub camera: Choice,
    /// Which microphone.
    pub microphone: Choice,
    /// Which loudspeaker.
    pub speaker: Choice,
    /// Which screen.
    pub screen: Choice,
    /// Which encoder for VP8; none where no file can do it.
    pub vp8: Option<Choice>,
    /// Which encoder for H.264; none where no file can do it.
    pub h264: Option<Choice>,
    /// What to remember for the next time. What was remembered stays, even while it is away.
    pub kept: Kept,
}

impl Choices {
    /// Each choice with the name of what it is for.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<&Choice>); 6] {
        [
            ("camera", Some(&self.camera)),
            ("microphone", Some(&self.microphone)),
            ("speaker", Some(&self.speaker)),
            ("screen", Some(&self.screen)),
            ("vp8", self.vp8.as_ref()),
            ("h264", self.h264.as_ref()),
        ]
    }
}

/// Chooses everything. `kept` is what was chosen before.
#[must_use]
pub fn choose(survey: &Survey, kept: &Kept, wanted: Wanted) -> Choices {
    let mut now = kept.clone();
    let camera = camera(survey, &mut now, wanted);
    let microphone = microphone(survey, &mut now);
    let speaker = speaker(survey, &mut now, &microphone);
    Choices {
        camera,
        microphone,
        speaker,
        screen: choose_screen(survey),
        vp8: encoders(survey, Codec::Vp8, wanted).into_iter().next(),
        h264: encoders(survey, Codec::H264, wanted).into_iter().next(),
        kept: now,
    }
}

fn choice(pipeline: &str, settings: &[(&str, String)], why: String) -> Choice {
    Choice {
        pipeline: pipeline.to_owned(),
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        why,
    }
}

/// A camera at a mode, with the pipeline that reads it.
struct Way<'a> {
    camera: &'a Camera,
    mode: &'a Mode,
    rate: Rate,
}

impl Way<'_> {
    fn pipeline(&self) -> &'static str {
        match self.mode.format {
            Format::Raw(_) => "v4l2",
            Format::Jpeg => "v4l2-mjpeg",
        }
    }

    fn caps(&self) -> String {
        let media = match &self.mode.format {
            Format::Raw(format) => format!("video/x-raw,format={format}"),
            Format::Jpeg => "image/jpeg".to_owned(),
        };
        let Rate(over, under) = self.rate;
        let (width, height) = (self.mode.width, self.mode.height);
        format!("{media},width={width},height={height},framerate={over}/{under}")
    }
}

fn camera(survey: &Survey, kept: &mut Kept, wanted: Wanted) -> Choice {
    let ways: Vec<Way<'_>> = survey
        .cameras
        .iter()
        .filter_map(|camera| best_way(survey, camera, wanted))
        .collect();
    let before = kept.camera.clone();
    let again = ways
        .iter()
        .find(|way| Some(&way.camera.stable) == before.as_ref());
    let Some(way) = again.or(ways.first()) else {
        let why = if survey.cameras.is_empty() {
            "no camera is connected".to_owned()
        } else {
            let names: Vec<_> = survey.cameras.iter().map(|it| it.name.as_str()).collect();
            format!("no pipeline file here can read {}", names.join(" or "))
        };
        return choice("no-camera", &[], why);
    };
    let name = &way.camera.name;
    let why = match (&before, again, ways.len()) {
        (Some(_), Some(_), 2..) => format!("{name} was chosen before"),
        (Some(_), Some(_), _) => format!("{name} was chosen before, and it is the only camera"),
        (Some(before), None, _) => {
            format!("the camera chosen before is away ({before}); {name} is here")
        }
        (None, _, 2..) => format!("{name} is the first of {} cameras", ways.len()),
        (None, _, _) => format!("{name} is the only camera"),
    };
    let (width, height, rate) = (way.mode.width, way.mode.height, way.rate);
    let format = match &way.mode.format {
        Format::Raw(format) => format.as_str(),
        Format::Jpeg => "Motion JPEG",
    };
    kept.camera.get_or_insert_with(|| way.camera.stable.clone());
    choice(
        way.pipeline(),
        &[("device", way.camera.stable.clone()), ("mode", way.caps())],
        format!("{why}; {format} at {width}x{height}, {rate} fps, comes nearest to what is wanted"),
    )
}

/// The mode of a camera that comes nearest to what is wanted: fluent first, then large enough,
/// then cheap to read.
fn best_way<'a>(survey: &Survey, camera: &'a Camera, wanted: Wanted) -> Option<Way<'a>> {
    let wanted_rate = u64::from(wanted.framerate) * 1000;
    camera
        .modes
        .iter()
        .flat_map(|mode| {
            mode.rates
                .iter()
                .map(move |&rate| Way { camera, mode, rate })
        })
        .filter(|way| survey.usable(Kind::Camera, way.pipeline()).is_some())
        .min_by_key(|way| {
            let rate = way.rate.millihertz();
            let area = u64::from(way.mode.width) * u64::from(way.mode.height);
            let covers = way.mode.width >= wanted.width && way.mode.height >= wanted.height;
            // 24 for a wanted 30 is fluent enough to take the larger picture.
            let fluent = rate * 10 >= wanted_rate * 8;
            (
                !fluent,
                if fluent { Reverse(0) } else { Reverse(rate) },
                !covers,
                if covers { area } else { u64::MAX - area },
                way.mode.format == Format::Jpeg,
                rate.abs_diff(wanted_rate),
            )
        })
}

fn microphone(survey: &Survey, kept: &mut Kept) -> Choice {
    let silence = |why: &str| choice("silence", &[], why.to_owned());
    if survey.usable(Kind::Microphone, "alsa").is_none() {
        return silence("the ALSA plugin of GStreamer is not installed");
    }
    if let Some(server) = &survey.sound_server {
        let why = format!("{server} runs; what it calls the default is used");
        return choice("alsa", &[("device", "default".to_owned())], why);
    }
    let all: Vec<_> = survey.sound.iter().filter(|it| it.captures).collect();
    let before = kept.microphone.as_deref();
    let Some((sound, why)) = pick(&all, before, |sound| (!sound.plays, !is_usb(sound))) else {
        return silence("no microphone is connected");
    };
    kept.microphone.get_or_insert_with(|| sound.device.clone());
    choice("alsa", &[("device", sound.device.clone())], why)
}

fn speaker(survey: &Survey, kept: &mut Kept, microphone: &Choice) -> Choice {
    let none = |why: &str| choice("none", &[], why.to_owned());
    if survey.usable(Kind::Speaker, "alsa").is_none() {
        return none("the ALSA plugin of GStreamer is not installed");
    }
    if let Some(server) = &survey.sound_server {
        let why = format!("{server} runs; what it calls the default is used");
        return choice("alsa", &[("device", "default".to_owned())], why);
    }
    let all: Vec<_> = survey.sound.iter().filter(|it| it.plays).collect();
    let with = microphone.settings.get("device");
    let before = kept.speaker.as_deref();
    // A speakerphone cancels its own echo, so microphone and speaker stay together. A screen
    // that takes sound may well have no loudspeaker.
    let Some((sound, why)) = pick(&all, before, |sound| {
        (
            Some(&sound.device) != with,
            !is_usb(sound),
            is_screen(sound),
        )
    }) else {
        return none("no loudspeaker is connected");
    };
    kept.speaker.get_or_insert_with(|| sound.device.clone());
    choice("alsa", &[("device", sound.device.clone())], why)
}

/// What was chosen before, or else the least by `key`; and why.
fn pick<'a, K: Ord>(
    all: &[&'a Sound],
    before: Option<&str>,
    key: impl Fn(&Sound) -> K,
) -> Option<(&'a Sound, String)> {
    if let Some(again) = all.iter().find(|it| Some(it.device.as_str()) == before) {
        return Some((again, format!("{} was chosen before", again.name)));
    }
    let first = all.iter().min_by_key(|it| key(it))?;
    let why = match (before, all.len()) {
        (Some(before), _) => format!("{before}, chosen before, is away; {} is here", first.name),
        (None, 1) => format!("{} is the only one", first.name),
        (None, _) if first.captures && first.plays && is_usb(first) => {
            format!("{} is a USB speakerphone", first.name)
        }
        (None, count) => format!("{} is the most likely of {count}", first.name),
    };
    Some((first, why))
}

fn is_usb(sound: &Sound) -> bool {
    sound.driver == "USB-Audio"
}

fn is_screen(sound: &Sound) -> bool {
    sound.name.to_ascii_lowercase().contains("hdmi")
}

/// Chooses the screen: one that the environment names, and else, for a service, one that is plugged
/// into the machine. Whether that one is free shows when it is opened.
#[must_use]
pub fn choose_screen(survey: &Survey) -> Choice {
    let none = |why: String| choice("none", &[], why);
    let displays = [
        ("wayland", "WAYLAND_DISPLAY", &survey.wayland),
        ("x11", "DISPLAY", &survey.display),
    ];
    let mut missing = None;
    for (pipeline, variable, display) in displays {
        let Some(display) = display else { continue };
        let why = format!("{variable} is {display}");
        if survey.usable(Kind::Screen, pipeline).is_some() {
            return choice(pipeline, &[], why);
        }
        let why = format!("{why}, but the elements of `{pipeline}` are not installed");
        missing.get_or_insert(why);
    }
    if let Some(why) = missing {
        return none(why);
    }
    let connected = survey.connectors.iter().find(|it| it.connected);
    match (connected, survey.is_service) {
        (None, true) => none("no screen is connected".to_owned()),
        (None, false) => none("neither WAYLAND_DISPLAY nor DISPLAY is set".to_owned()),
        (Some(screen), false) => none(format!(
            "neither WAYLAND_DISPLAY nor DISPLAY is set; the screen at {} is for a roomd that runs \
             as a service",
            screen.name
        )),
        (Some(screen), true) if survey.usable(Kind::Screen, "kms").is_some() => choice(
            "kms",
            &[],
            format!("a screen is connected to {}", screen.name),
        ),
        (Some(screen), true) => none(format!(
            "a screen is connected to {}, but `kms` cannot be used here",
            screen.name
        )),
    }
}

/// How much is known for an encoder, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Works here and keeps up with what is wanted, as far as is known.
    Works,
    /// Works here, and is too slow for what is wanted.
    WorksSlowly,
    /// Not tried here, but seen to work elsewhere.
    Tested,
    /// Not tried here, and nobody of us has seen it work.
    Untested,
    /// Failed here, and was seen to work elsewhere.
    Failed,
    /// Failed here and was never seen to work, or takes the process with it.
    Useless,
}

fn standing(encoder: &Pipeline, wanted: Wanted) -> Standing {
    let tested = !encoder.tested.is_empty();
    match encoder.verdict.as_ref().map(|verdict| &verdict.outcome) {
        Some(Outcome::Works { .. })
            if encoder.is_to_be_measured() || encoder.budget() >= Some(wanted.macroblocks()) =>
        {
            Standing::Works
        }
        Some(Outcome::Works { .. }) => Standing::WorksSlowly,
        None if tested => Standing::Tested,
        None => Standing::Untested,
        Some(Outcome::Fails { .. }) if tested => Standing::Failed,
        Some(Outcome::Fails { .. } | Outcome::Crashes { .. }) => Standing::Useless,
    }
}

/// The encoders of a codec that may be used here, in the order in which to use them: what works
/// here, then what was seen to work elsewhere, then what is untested; in each of these the more
/// preferred first. One that failed here is left out, unless there is no other.
#[must_use]
pub fn encoders(survey: &Survey, codec: Codec, wanted: Wanted) -> Vec<Choice> {
    let mut all = by_standing(survey, codec, wanted);
    all.retain(|(standing, _)| *standing != Standing::Useless);
    if all
        .first()
        .is_some_and(|(best, _)| *best < Standing::Failed)
    {
        all.retain(|(standing, _)| *standing < Standing::Failed);
    }
    let names: Vec<_> = all.iter().map(|(_, it)| it.name.clone()).collect();
    all.into_iter()
        .enumerate()
        .map(|(place, (standing, it))| {
            let said = match (standing, &it.verdict) {
                (Standing::WorksSlowly, Some(verdict)) => format!("{verdict}, which is slow"),
                (Standing::Failed, Some(verdict)) => {
                    format!("there is no other, though it {verdict}")
                }
                (_, Some(verdict)) => verdict.to_string(),
                (Standing::Tested, None) => "not tried here yet, seen to work elsewhere".to_owned(),
                (_, None) => "untested, and not tried here yet".to_owned(),
            };
            let why = match names.get(place + 1) {
                Some(next) => format!("{said}; before `{next}`"),
                None if place == 0 && standing != Standing::Failed => {
                    format!("{said}; the only one that this machine has")
                }
                None => said,
            };
            choice(&it.name, &[], why)
        })
        .collect()
}

/// The encoder of a codec that should be tried next, where there is one of which something has to
/// be found out: those that were seen to work elsewhere first, until one works here and keeps up.
///
/// An untested one is thus tried only where the others fail or are too slow. The best of those that
/// work is tried again while its speed is not known. `passed_by` are those that shall not be tried.
#[must_use]
pub fn next_to_try<'a>(
    survey: &'a Survey,
    codec: Codec,
    wanted: Wanted,
    passed_by: &BTreeSet<String>,
) -> Option<&'a str> {
    let mut all = by_standing(survey, codec, wanted);
    let next = match all.first() {
        Some((Standing::Works, best)) => Some(*best).filter(|best| best.is_to_be_measured()),
        _ => {
            all.retain(|(_, it)| it.verdict.is_none() && !passed_by.contains(&it.name));
            all.sort_by_key(|(_, it)| (it.tested.is_empty(), Reverse(it.preference)));
            all.first().map(|(_, it)| *it)
        }
    };
    let name = next?.name.as_str();
    (!passed_by.contains(name)).then_some(name)
}

/// All encoders of a codec, in the order in which to use them.
fn by_standing(survey: &Survey, codec: Codec, wanted: Wanted) -> Vec<(Standing, &Pipeline)> {
    let all = complete(survey, codec).map(|it| (standing(it, wanted), it));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(standing, it)| (*standing, Reverse(it.preference)));
    all
}

fn complete(survey: &Survey, codec: Codec) -> impl Iterator<Item = &Pipeline> {
    survey
        .pipelines
        .iter()
        .filter(move |it| it.codec == Some(codec) && it.is_complete())
}
