//! Makes the media engine of what the configuration wants and the machine has.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    config::{self, Config, Loaded, Part, Problem},
    media::{
        self, Event, Media, Network, Notice, OpenSource, Opened, Recipe, Settings, Timebase,
        device,
        source::{self, Device, Shape, Source},
    },
    pipeline::{Catalogue, Choice, Choices, Kind, Survey, Wanted, choose},
    protocol::{Caps, Codec},
};

/// How long received packets wait for those before them. Wi-Fi delays some by a tenth of a second,
/// and every millisecond here is one of the conversation's.
const JITTER: Duration = Duration::from_millis(120);

/// How long an encoder goes on that nobody needs: people who leave by mistake come back at once.
const LINGER: Duration = Duration::from_secs(10);

/// How long a device may take to close before it is left to itself.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What there is on this machine, and what `auto` makes of it. Opens nothing.
pub(super) fn look(loaded: &Loaded) -> (Survey, Choices) {
    let survey = device::survey(&loaded.pipelines);
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

/// What is used of what there is.
pub(super) struct Plan {
    camera: Choice,
    microphone: Choice,
    speaker: Choice,
    screen: Choice,
    /// In the order of the configuration; none where no encoder for the codec exists.
    encoders: Vec<(Codec, Choice)>,
}

impl Plan {
    /// Looks at the machine and decides, and remembers what `auto` took.
    pub(super) fn make(loaded: &Loaded) -> Self {
        let config = &loaded.config;
        let (_, choices) = look(loaded);
        if let Err(error) = device::keep(&config.state_dir, &choices.kept) {
            warn!(%error, "what was chosen cannot be remembered, so it may be another next time");
        }
        let encoders = config.video.codecs.iter().filter_map(|codec| {
            let part = config
                .video
                .encoders
                .get(codec)
                .cloned()
                .unwrap_or_default();
            let auto = match codec {
                crate::pipeline::Codec::Vp8 => choices.vp8.clone(),
                crate::pipeline::Codec::H264 => choices.h264.clone(),
            };
            Some((wire(*codec), taken(&part, auto)?))
        });
        let encoders = encoders.collect();
        let Choices {
            camera,
            microphone,
            speaker,
            screen,
            ..
        } = choices;
        let part = |part, auto: Choice| taken(part, Some(auto.clone())).unwrap_or(auto);
        Self {
            camera: part(&config.camera, camera),
            microphone: part(&config.microphone, microphone),
            speaker: part(&config.speaker, speaker),
            screen: part(&config.screen, screen),
            encoders,
        }
    }

    /// What was found, and what stands in for what is missing: a word and a sentence each.
    pub(super) fn found(&self) -> Vec<(String, String)> {
        [
            ("Camera", &self.camera),
            ("Microphone", &self.microphone),
            ("Speaker", &self.speaker),
            ("Screen", &self.screen),
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

    /// What the device can encode and decode.
    pub(super) fn caps(&self) -> Caps {
        let audio = [Codec::Opus];
        let send = self.encoders.iter().map(|(codec, _)| *codec).chain(audio);
        let decoders = [Codec::Vp8, Codec::H264];
        // The order of what is received follows what is sent, so that both ends agree.
        let mut recv: Vec<Codec> = self.encoders.iter().map(|(codec, _)| *codec).collect();
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

    /// Starts the engine.
    pub(super) fn start(
        &self,
        loaded: &Loaded,
        events: mpsc::Sender<Event>,
    ) -> Result<Media, media::Error> {
        let config = &loaded.config;
        let pipelines = Arc::new(loaded.pipelines.clone());
        let timebase = Timebase::new();
        let video = Shape::Video {
            width: config.video.width,
            height: config.video.height,
            framerate: config.video.framerate,
        };
        let camera = Input {
            kind: Kind::Camera,
            part: config.camera.clone(),
            choice: self.camera.clone(),
            stand_in: "no-camera",
            shape: video,
            notice: Notice::Camera,
        };
        let microphone = Input {
            kind: Kind::Microphone,
            part: config.microphone.clone(),
            choice: self.microphone.clone(),
            stand_in: "silence",
            shape: Shape::Audio,
            notice: Notice::Microphone,
        };
        let open = |input: Input| input.opener(&timebase, &pipelines, wanted(config), &events);
        let settings = Settings {
            timebase: timebase.clone(),
            camera: open(camera),
            microphone: open(microphone),
            encoders: self.recipes(config, &pipelines),
            network: Network {
                latency: JITTER,
                udp_ports: config.ice.udp_ports.map(|ports| (ports.first, ports.last)),
                ice_tcp: true,
            },
            linger: LINGER,
            mixes: Arc::new(()),
        };
        Media::start(settings, events)
    }

    fn recipes(&self, config: &Config, pipelines: &Catalogue) -> Vec<Recipe> {
        let video = self.encoders.iter().filter_map(|(codec, choice)| {
            let file = pipelines.get(Kind::Encoder, &choice.pipeline)?.clone();
            Some(Recipe {
                codec: described(*codec)?,
                file: Some((file, choice.settings.clone())),
                kbps: config.video.kbps.0,
            })
        });
        let audio = Recipe {
            codec: crate::sdp::Codec::Opus,
            file: None,
            kbps: config.audio.kbps.0,
        };
        video.chain([audio]).collect()
    }
}

/// A camera or a microphone as it is wanted.
struct Input {
    kind: Kind,
    part: Part,
    choice: Choice,
    /// The pipeline file that stands in while there is none.
    stand_in: &'static str,
    shape: Shape,
    notice: Notice,
}

impl Input {
    /// What opens it, each time that somebody is in the room. None where even the stand-in is
    /// missing; then nothing is sent.
    fn opener(
        self,
        timebase: &Timebase,
        pipelines: &Arc<Catalogue>,
        wanted: Wanted,
        events: &mpsc::Sender<Event>,
    ) -> Option<OpenSource> {
        let Some(stand_in) = pipelines.get(self.kind, self.stand_in) else {
            warn!(
                "the pipeline file {}/{} is missing",
                self.kind, self.stand_in
            );
            return None;
        };
        let stand_in = Device::plain(stand_in.clone());
        let (timebase, pipelines, events) = (timebase.clone(), pipelines.clone(), events.clone());
        let input = Arc::new(self);
        Some(Arc::new(move || {
            let picked = (input.clone(), pipelines.clone());
            let told = (input.clone(), events.clone());
            let source = Source::open(
                &timebase,
                input.shape,
                Box::new(move || picked.0.pick(&picked.1, wanted)),
                stand_in.clone(),
                move |notice| told.0.tell(notice, &told.1),
            )
            .map_err(|error| error.to_string())?;
            Ok(Opened {
                sink: source.output().clone(),
                keep: Box::new(Open(Some(source))),
            })
        }))
    }

    /// Which device, at this moment: a camera that was plugged in elsewhere is found there.
    fn pick(&self, pipelines: &Catalogue, wanted: Wanted) -> Option<Device> {
        let choice = if self.part.pipeline == config::Choice::Auto {
            // What is remembered is the place that was chosen at the start.
            let survey = device::survey(pipelines);
            let kept = crate::pipeline::Kept::default();
            let choices = choose(&survey, &kept, wanted);
            let now = match self.kind {
                Kind::Camera => choices.camera,
                _ => choices.microphone,
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

    fn tell(&self, notice: source::Notice, events: &mpsc::Sender<Event>) {
        if let source::Notice::Lost(text) = notice {
            // Full means that the device has other troubles, and each is logged.
            let _ = events.try_send(Event::Notice {
                what: self.notice,
                text,
            });
        }
    }
}

/// Closes a source in order, and waits for that no longer than it may take.
struct Open(Option<Source>);

impl Drop for Open {
    fn drop(&mut self) {
        if self
            .0
            .take()
            .is_some_and(|source| !source.close(CLOSE_WITHIN))
        {
            warn!("a device does not close; it is left to itself");
        }
    }
}

/// What a part of the configuration comes to.
fn taken(part: &Part, auto: Option<Choice>) -> Option<Choice> {
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

fn wanted(config: &Config) -> Wanted {
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

/// The wire's codec as descriptions name it.
fn described(codec: Codec) -> Option<crate::sdp::Codec> {
    match codec {
        Codec::Vp8 => Some(crate::sdp::Codec::Vp8),
        Codec::H264 => Some(crate::sdp::Codec::H264),
        Codec::Opus => Some(crate::sdp::Codec::Opus),
        Codec::Unknown => None,
    }
}
