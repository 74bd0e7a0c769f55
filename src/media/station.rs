//! Camera, microphone, screen and speaker of this device, joined to the engine.
//!
//! The caller chooses pipeline files; this opens what they stand for and makes the engine's
//! [`Parts`] of them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gstreamer as gst;

use super::{
    MixError, MixNotice, Mixes, Network, Notice, OpenSource, Opened, Outlets, Parts, Recipe, Tell,
    Timebase,
    audio_mix::{self, AudioMix},
    notices::Notices,
    source::{self, Device, Shape, Source},
    video_mix::{self, VideoMix},
};

/// How long closing a device may take before it is left to itself.
const CLOSE: Duration = Duration::from_secs(3);

/// What decoding may add to the time that packets wait.
const DECODE: Duration = Duration::from_millis(60);

/// Which device to open, asked before each attempt; none where there is none at present.
pub type Choose = Arc<dyn Fn() -> Option<Device> + Send + Sync>;

/// A size and a rate of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Pictures a second.
    pub framerate: u32,
}

/// The devices and how they are used.
#[derive(Clone)]
pub struct Settings {
    /// The camera.
    pub camera: Choose,
    /// What is sent while there is no camera.
    pub camera_stand_in: Device,
    /// The microphone.
    pub microphone: Choose,
    /// What is sent while there is no microphone.
    pub microphone_stand_in: Device,
    /// The screen.
    pub screen: Choose,
    /// The speaker.
    pub speaker: Choose,
    /// What is sent.
    pub sent: Picture,
    /// What is shown.
    pub shown: Picture,
    /// How each codec is encoded. One that is missing is not sent.
    pub encoders: Vec<Recipe>,
    /// What every link has in common.
    pub network: Network,
    /// How long an encoder that nobody needs goes on.
    pub linger: Duration,
}

impl Settings {
    /// Opens the screen, and nothing else yet.
    pub(super) fn join(self, notices: &Notices) -> Result<Parts, MixError> {
        let timebase = Timebase::new();
        let mixes = Wall::start(&timebase, &self, notices)?;
        let shape = Shape::Video {
            width: self.sent.width,
            height: self.sent.height,
            framerate: self.sent.framerate,
        };
        let open = |what, shape, choose, stand_in| Opener {
            timebase: timebase.clone(),
            what,
            shape,
            choose,
            stand_in,
            notices: notices.clone(),
        };
        let camera = open(Notice::Camera, shape, self.camera, self.camera_stand_in);
        let microphone = open(
            Notice::Microphone,
            Shape::Audio,
            self.microphone,
            self.microphone_stand_in,
        );
        Ok(Parts {
            camera: Some(camera.into_open()),
            microphone: Some(microphone.into_open()),
            mixes: Arc::new(mixes),
            encoders: self.encoders,
            network: self.network,
            linger: self.linger,
            timebase,
        })
    }
}

struct Opener {
    timebase: Timebase,
    what: Notice,
    shape: Shape,
    choose: Choose,
    stand_in: Device,
    notices: Notices,
}

impl Opener {
    fn into_open(self) -> OpenSource {
        Arc::new(move || {
            let choose = self.choose.clone();
            let (notices, what) = (self.notices.clone(), self.what);
            let source = Source::open(
                &self.timebase,
                self.shape,
                Box::new(move || choose()),
                self.stand_in.clone(),
                move |notice| tell(&notices, what, notice),
            )
            .map_err(|error| error.to_string())?;
            Ok(Opened {
                sink: source.output().clone(),
                keep: Box::new(Keep(Some(source))),
            })
        })
    }
}

/// Waits until the device is closed, so that the next one to open it finds it free.
struct Keep(Option<Source>);

impl Drop for Keep {
    fn drop(&mut self) {
        if let Some(source) = self.0.take()
            && !source.close(CLOSE)
        {
            tracing::warn!("a device does not close");
        }
    }
}

/// Says how a device stands.
fn tell(notices: &Notices, what: Notice, notice: source::Notice) {
    let (text, good) = match notice {
        source::Notice::Running => (format!("the {} runs", name(what)), true),
        source::Notice::Lost(why) => (format!("the {} is gone: {why}", name(what)), false),
    };
    notices.tell(what, text, good);
}

fn name(what: Notice) -> &'static str {
    match what {
        Notice::Camera => "camera",
        Notice::Microphone => "microphone",
        Notice::Screen => "screen",
        Notice::Speaker => "speaker",
        Notice::Encoder => "encoder",
        Notice::NoRelay | Notice::IceServer => "ICE server",
    }
}

/// What is shown and heard here.
struct Wall {
    /// Only the engine's thread uses it, and at the end the one that closes it.
    pictures: Mutex<VideoMix>,
    sound: AudioMix,
}

impl Wall {
    fn start(
        timebase: &Timebase,
        settings: &Settings,
        notices: &Notices,
    ) -> Result<Self, MixError> {
        let late = settings.network.latency + DECODE;
        let upstream = gst::ClockTime::try_from(late).unwrap_or(gst::ClockTime::from_mseconds(260));
        let tell_of = |what| -> Tell {
            let notices = notices.clone();
            Arc::new(move |notice| {
                let text = match notice {
                    MixNotice::Device(notice) => return tell(&notices, what, notice),
                    MixNotice::Input { why, .. } => format!("one member cannot be mixed: {why}"),
                    MixNotice::Failed(why) => {
                        format!("the mix for the {} failed: {why}", name(what))
                    }
                };
                notices.tell(what, text, false);
            })
        };
        Ok(Self {
            pictures: Mutex::new(VideoMix::start(
                timebase,
                video_mix::Settings {
                    width: settings.shown.width,
                    height: settings.shown.height,
                    framerate: settings.shown.framerate,
                    upstream,
                    screen: settings.screen.clone(),
                    tell: tell_of(Notice::Screen),
                },
            )?),
            sound: AudioMix::new(
                timebase,
                audio_mix::Settings {
                    upstream,
                    speaker: settings.speaker.clone(),
                    tell: tell_of(Notice::Speaker),
                },
            ),
        })
    }
}

impl Wall {
    fn pictures(&self) -> MutexGuard<'_, VideoMix> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mixes for Wall {
    fn add(&self, key: u64, name: &str) -> Outlets {
        let pictures = self.pictures().add(key, name);
        let sound = self.sound.add(key);
        for error in [pictures.as_ref().err(), sound.as_ref().err()]
            .into_iter()
            .flatten()
        {
            tracing::warn!(%error, "a member is not shown or not heard");
        }
        Outlets {
            pictures: pictures.ok(),
            sound: sound.ok(),
        }
    }

    fn rename(&self, key: u64, name: &str) {
        self.pictures().label(key, name);
    }

    fn remove(&self, key: u64) {
        self.pictures().remove(key);
        self.sound.remove(key);
    }

    fn close(&self) {
        // The sound first: it would be heard without its picture.
        if !self.sound.close(CLOSE) | !self.pictures().close(CLOSE) {
            tracing::warn!("screen or speaker do not close");
        }
    }
}
