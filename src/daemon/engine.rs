//! Makes the media engine of what the configuration wants and the machine has.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{
    calibration::{self, Calibrations},
    encoders::{self, Encoders},
    own::There,
    screens::Screens,
    start::StartError,
};
use crate::{
    config::{self, Config, EchoCancel, Loaded, Part, Problem},
    echo::speakerphone,
    ladder,
    media::{
        self, Board, Choose, Event, Media, Network, Notice, Picture, Recipe, Settings, Wait,
        device,
        echo::{Cancelling, EchoPath, Processing},
        source::{Device, NOTHING},
    },
    pipeline::{Catalogue, Choice, Choices, Kept, Kind, Size, Survey, Wanted, choose},
    privacy::Admit,
    protocol::{Caps, Codec},
};

/// The pipeline file of what is sent without a camera.
const NO_CAMERA: &str = "no-camera";

/// Likewise without a microphone.
const NO_MICROPHONE: &str = "silence";

/// How long an encoder goes on that nobody needs: people who leave by mistake come back at once.
const LINGER: Duration = Duration::from_secs(10);

/// Pictures a second on the screen.
const SHOWN_FRAMERATE: u32 = 30;

/// What there is on this machine, and what `auto` makes of it. Opens nothing.
pub(super) fn look(loaded: &Loaded) -> (Survey, Choices) {
    let mut survey = device::survey(&loaded.pipelines);
    encoders::judge(&mut survey, loaded);
    let kept = device::kept(&loaded.config.state_dir);
    let choices = choose(&survey, &kept, wanted(&loaded.config));
    (survey, choices)
}

/// What the configuration names and this machine does not have.
pub(super) fn missing(loaded: &Loaded) -> Vec<Problem> {
    let config = &loaded.config;
    let devices = [
        (Kind::Camera, &config.camera),
        (Kind::Microphone, &config.microphone),
        (Kind::Speaker, &config.speaker),
        (Kind::Screen, &config.screen),
    ];
    let encoders = config
        .video
        .encoders
        .values()
        .map(|part| (Kind::Encoder, part));
    let named = devices
        .into_iter()
        .chain(encoders)
        .filter_map(|(kind, part)| {
            let config::Choice::Named(name) = &part.pipeline else {
                return None;
            };
            Some((kind, part, loaded.pipelines.get(kind, name)?))
        });
    let mut problems = Vec::new();
    for (kind, part, file) in named {
        for element in media::missing_elements(file) {
            let remedy = media::debian_package(&element).map_or_else(
                || format!("install the GStreamer plugin that has it, or choose another {kind}"),
                |package| format!("install it with: apt-get install {package}"),
            );
            problems.push(Problem::error(
                format!("the {kind} pipeline `{}` needs the element `{element}`, which is not installed", file.name),
                remedy,
            ));
        }
        let device = part
            .settings
            .get("device")
            .filter(|path| path.starts_with('/'));
        if let Some(path) = device.filter(|path| !Path::new(path).exists()) {
            problems.push(Problem::error(
                format!("the {kind} `{path}` is not there"),
                "plug it in, or see what there is with: roomd devices",
            ));
        }
    }
    problems
}

/// The way of the sound through the room, and what was measured of it.
#[derive(Clone)]
pub(super) struct Echo {
    /// Where it is told.
    pub path: EchoPath,
    /// What is known of it.
    pub calibrations: Arc<Calibrations>,
}

/// What is used of what there is.
pub(super) struct Plan {
    camera: Choice,
    microphone: Choice,
    speaker: Choice,
    screens: Arc<Screens>,
    encoders: Arc<Encoders>,
    there: BTreeMap<Notice, There>,
}

impl Plan {
    /// Looks at the machine and decides, and remembers what `auto` took.
    pub(super) fn make(loaded: &Loaded) -> Self {
        let config = &loaded.config;
        let (survey, choices) = look(loaded);
        if let Err(error) = device::keep(&config.state_dir, &choices.kept) {
            warn!(%error, "what was chosen cannot be remembered, so it may be another next time");
        }
        let Choices {
            camera,
            microphone,
            speaker,
            ..
        } = choices;
        let part = |part, auto: Choice| taken(part, Some(auto.clone())).unwrap_or(auto);
        Self {
            there: BTreeMap::from([
                (Notice::Camera, there(&config.camera, &camera, NO_CAMERA)),
                (
                    Notice::Microphone,
                    there(&config.microphone, &microphone, NO_MICROPHONE),
                ),
                (Notice::Speaker, there(&config.speaker, &speaker, "none")),
            ]),
            camera: part(&config.camera, camera),
            microphone: part(&config.microphone, microphone),
            speaker: part(&config.speaker, speaker),
            screens: Arc::new(Screens::new(&loaded.pipelines, config)),
            encoders: Arc::new(Encoders::of(loaded, survey)),
        }
    }

    /// The encoders, which are told here how trials went.
    pub(super) fn encoders(&self) -> Arc<Encoders> {
        self.encoders.clone()
    }

    /// What was found, and what stands in for what is missing: a word and a sentence each.
    pub(super) fn found(&self) -> Vec<(String, String)> {
        [
            ("Camera", &self.camera),
            ("Microphone", &self.microphone),
            ("Speaker", &self.speaker),
            ("Screen", &self.screens.choice()),
        ]
        .into_iter()
        .map(|(what, choice)| {
            (
                what.to_owned(),
                format!("{}: {}", choice.pipeline, choice.why),
            )
        })
        .collect()
    }

    /// Whether there is a camera, a microphone and a speaker, as far as is known before they are
    /// opened.
    pub(super) fn there(&self) -> &BTreeMap<Notice, There> {
        &self.there
    }

    /// The screen, whichever it is at present.
    pub(super) fn screens(&self) -> Arc<Screens> {
        self.screens.clone()
    }

    /// What the device can encode and decode.
    pub(super) fn caps(&self) -> Caps {
        let audio = [Codec::Opus];
        let video: Vec<Codec> = self.encoders.codecs().into_iter().map(wire).collect();
        let send = video.iter().copied().chain(audio);
        let decoders = [Codec::Vp8, Codec::H264];
        // The order of what is received follows what is sent, so that both ends agree.
        let mut recv = video.clone();
        recv.extend(
            decoders
                .into_iter()
                .filter(|codec| !recv.contains(codec))
                .collect::<Vec<_>>(),
        );
        Caps {
            send: send.collect(),
            recv: recv.into_iter().chain(audio).collect(),
        }
    }

    /// Starts the engine, whose wall shows what is on the board.
    pub(super) fn start(
        &self,
        loaded: &Loaded,
        board: Board,
        echo: &Echo,
        events: mpsc::Sender<Event>,
    ) -> Result<Media, StartError> {
        let config = &loaded.config;
        let pipelines = Arc::new(loaded.pipelines.clone());
        let input = |kind, part: &Part, choice: &Choice, stand_in| -> Result<_, StartError> {
            let input = Input {
                kind,
                part: part.clone(),
                choice: choice.clone(),
                stand_in,
            };
            Ok((
                input.chooser(&pipelines, wanted(config)),
                stand_in_of(&pipelines, kind, stand_in)?,
            ))
        };
        let (camera, camera_stand_in) =
            input(Kind::Camera, &config.camera, &self.camera, NO_CAMERA)?;
        let (microphone, microphone_stand_in) = input(
            Kind::Microphone,
            &config.microphone,
            &self.microphone,
            NO_MICROPHONE,
        )?;
        let speaker = || -> Option<Choose> {
            let file = pipelines.get(Kind::Speaker, &self.speaker.pipeline)?;
            let device = Device {
                file: file.clone(),
                settings: self.speaker.settings.clone(),
            };
            (!file.leads_nowhere()).then(|| Arc::new(move || Ok(device.clone())) as Choose)
        };
        let (screens, wall) = (self.screens.clone(), board.clone());
        let screen = Arc::new(move || {
            let device = screens.choose();
            let Size { width, height } = screens.size();
            wall.resize(width, height);
            device
        }) as Choose;
        let Size { width, height } = self.screens.size();
        let (screen, speaker) = (self.screens.may_be().then_some(screen), speaker());
        if screen.is_none() && speaker.is_none() && config.privacy.admit == Admit::Chime {
            warn!(
                "there is neither a screen nor a speaker to announce anybody with, and camera and \
                 microphone open all the same; `admit = \"ask\"` under [privacy] keeps them closed"
            );
        }
        let settings = Settings {
            camera,
            camera_stand_in,
            microphone,
            microphone_stand_in,
            screen,
            board,
            speaker,
            cancelling: Some(self.cancelling(config, echo)),
            sent: Picture {
                width: config.video.width,
                height: config.video.height,
                framerate: config.video.framerate,
            },
            shown: Picture {
                width,
                height,
                framerate: SHOWN_FRAMERATE,
            },
            encoders: self.recipes(),
            ladder: ladder(config),
            audio_kbps: config.audio.kbps.0,
            network: Network {
                wait: match config.wall.wait {
                    config::Wait::Auto => Wait::FOLLOWING,
                    config::Wait::Long => Wait::LONG,
                    config::Wait::Short => Wait::SHORT,
                },
                udp_ports: config.ice.udp_ports.map(|ports| (ports.first, ports.last)),
                ice_tcp: config.ice.tcp,
            },
            linger: LINGER,
        };
        Ok(Media::start(settings, events)?)
    }

    /// What was measured of the loudspeaker that is used.
    pub(super) fn calibrations(&self, config: &Config) -> Arc<Calibrations> {
        let choice = &self.speaker;
        let speaker = calibration::name(&choice.pipeline, &choice.settings);
        Arc::new(Calibrations::load(&config.state_dir, speaker))
    }

    /// How the loudspeaker is taken out of what a microphone hears, given what it is.
    fn cancelling(&self, config: &Config, echo: &Echo) -> Cancelling {
        let audio = config.audio.clone();
        let speaker = self.speaker.settings.get("device").cloned();
        let (known, measured) = (echo.calibrations.clone(), echo.calibrations.clone());
        Cancelling {
            path: echo.path.clone(),
            wanted: Arc::new(move |microphone| {
                let wanted = match audio.echo_cancel {
                    EchoCancel::Off => false,
                    EchoCancel::On => true,
                    EchoCancel::Auto => !needs_no_canceller(microphone, speaker.as_deref()),
                };
                wanted.then(|| Processing {
                    noise_suppression: audio.noise_suppression,
                    // Where the delay is another than is assumed, echo is not cancelled, and would
                    // be made louder than it is.
                    gain_control: audio.gain_control && known.knows(microphone),
                })
            }),
            measured: Arc::new(move |microphone| measured.opened(microphone)),
        }
    }

    /// For each codec every encoder that may be used, the one to begin with first.
    fn recipes(&self) -> Vec<Recipe> {
        let audio = Recipe {
            codec: crate::sdp::Codec::Opus,
            file: None,
        };
        let video = self.encoders.all_recipes().into_iter();
        video.chain([audio]).collect()
    }
}

/// Whether no echo is to be expected of what a microphone gives.
fn needs_no_canceller(microphone: &Device, speaker: Option<&str>) -> bool {
    if microphone.file.hears_nothing() {
        return true;
    }
    let card = |device: Option<&str>| device.and_then(device::card);
    let from = card(microphone.settings.get("device").map(String::as_str));
    let (Some(from), Some(to)) = (from, card(speaker)) else {
        return false;
    };
    let Some(phone) = speakerphone::cancels_between(&from, &to) else {
        return false;
    };
    info!(
        card = from.name,
        family = phone.family,
        "the speakerphone cancels its own echo, so that roomd does not; see audio.echo-cancel"
    );
    true
}

/// Whether a part of the configuration comes to a device, or to what stands in for it.
fn there(part: &Part, auto: &Choice, stand_in: &str) -> There {
    match &part.pipeline {
        config::Choice::Named(name) if name == stand_in => There::Never,
        config::Choice::Auto if auto.pipeline == stand_in => There::No,
        _ => There::Yes,
    }
}

fn stand_in_of(
    pipelines: &Catalogue,
    kind: Kind,
    name: &'static str,
) -> Result<Device, StartError> {
    let file = pipelines
        .get(kind, name)
        .ok_or(StartError::StandIn { kind, name })?;
    Ok(Device::plain(file.clone()))
}

/// A camera or a microphone as it is wanted.
struct Input {
    kind: Kind,
    part: Part,
    choice: Choice,
    /// The pipeline file that stands in while there is none.
    stand_in: &'static str,
}

impl Input {
    /// Which device to open, asked at each attempt: a camera that was plugged in elsewhere is
    /// found there.
    fn chooser(self, pipelines: &Arc<Catalogue>, wanted: Wanted) -> Choose {
        let pipelines = pipelines.clone();
        Arc::new(move || {
            let found = self.choose(&pipelines, wanted);
            found.ok_or_else(|| NOTHING.to_owned())
        })
    }

    fn choose(&self, pipelines: &Catalogue, wanted: Wanted) -> Option<Device> {
        let choice = if self.part.pipeline == config::Choice::Auto {
            let survey = device::survey(pipelines);
            let now = choose(&survey, &self.kept(), wanted);
            let now = match self.kind {
                Kind::Camera => now.camera,
                _ => now.microphone,
            };
            if now.pipeline == self.stand_in {
                return None;
            }
            taken(&self.part, Some(now))?
        } else {
            self.choice.clone()
        };
        let file = pipelines.get(self.kind, &choice.pipeline)?.clone();
        Some(Device {
            file,
            settings: choice.settings,
        })
    }

    /// The device that was chosen at the start goes before all others.
    fn kept(&self) -> Kept {
        let device = self.choice.settings.get("device").cloned();
        match self.kind {
            Kind::Camera => Kept {
                camera: device,
                ..Kept::default()
            },
            _ => Kept {
                microphone: device,
                ..Kept::default()
            },
        }
    }
}

/// What a part of the configuration comes to.
pub(super) fn taken(part: &Part, auto: Option<Choice>) -> Option<Choice> {
    match &part.pipeline {
        config::Choice::Named(name) => Some(Choice {
            pipeline: name.clone(),
            settings: part.settings.clone(),
            why: "the configuration names it".into(),
        }),
        config::Choice::Auto => auto.map(|mut auto| {
            auto.settings.extend(part.settings.clone());
            auto
        }),
    }
}

pub(super) fn wanted(config: &Config) -> Wanted {
    Wanted {
        width: config.video.width,
        height: config.video.height,
        framerate: config.video.framerate,
    }
}

/// A pipeline file's codec as the wire names it.
fn wire(codec: crate::pipeline::Codec) -> Codec {
    match codec {
        crate::pipeline::Codec::Vp8 => Codec::Vp8,
        crate::pipeline::Codec::H264 => Codec::H264,
    }
}

/// The tiers, and what sound costs: what Opus yields, the headers of fifty packets a second (58
/// bytes each: IPv4, UDP, RTP, the transport-wide sequence number and SRTP's tag), and the reports
/// and the congestion feedback that we send.
fn ladder(config: &Config) -> ladder::Settings {
    const HEADERS: u32 = 24;
    const REPORTS: u32 = 12;
    ladder::Settings {
        tiers: config.video.tiers.clone(),
        aspect: (config.video.width, config.video.height),
        uplink_kbps: config.video.uplink_kbps.map(|kbps| kbps.0),
        audio_kbps: config.audio.kbps.0 + HEADERS + REPORTS,
    }
}
