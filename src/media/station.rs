//! Camera, microphone, screen and speaker of this device, joined to the engine.
//!
//! The caller chooses pipeline files; this opens what they stand for and makes the engine's
//! [`Parts`] of them.

use std::{sync::Arc, time::Duration};

use crate::ladder;

use super::{
    Board, MixError, MixNotice, Network, Notice, OpenSource, Opened, Parts, Recipe, Timebase,
    audio_mix::{self, AudioMix},
    echo::Cancelling,
    notices::Notices,
    source::{Device, Shape, Source},
    video_mix::{self, VideoMix},
    wall::{self, Make, Wall},
};

/// How long closing a device may take before it is left to itself.
const CLOSE: Duration = Duration::from_secs(3);

/// Which device to open, asked before each attempt; where there is none at present, why, in words.
pub type Choose = Arc<dyn Fn() -> Result<Device, String> + Send + Sync>;

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
    /// The screen. None where there will never be one: then nothing is composed.
    pub screen: Option<Choose>,
    /// What the screen shows while nobody is there.
    pub board: Board,
    /// The speaker. None where there will never be one: then nothing is mixed.
    pub speaker: Option<Choose>,
    /// How the speaker is taken out of what the microphone hears.
    pub cancelling: Option<Cancelling>,
    /// What is sent.
    pub sent: Picture,
    /// What is shown, as long as nobody says on the board that it shall have another size.
    pub shown: Picture,
    /// How each codec is encoded, of each the best first. One that is missing is not sent.
    pub encoders: Vec<Recipe>,
    /// The tiers of what is sent and what may be spent on them.
    pub ladder: ladder::Settings,
    /// How much sound is encoded to, in kbit/s.
    pub audio_kbps: u32,
    /// What every link has in common.
    pub network: Network,
    /// How long an encoder that nobody needs goes on.
    pub linger: Duration,
}

impl Settings {
    /// Opens the screen, and nothing else yet.
    pub(super) fn join(self, notices: &Notices) -> Result<Parts, MixError> {
        let timebase = Timebase::new();
        let mixes = self.wall(&timebase, notices)?;
        // Nothing comes back of what is not played.
        let cancelling = self.cancelling.filter(|_| self.speaker.is_some());
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
            cancelling: None,
            notices: notices.clone(),
        };
        let camera = open(Notice::Camera, shape, self.camera, self.camera_stand_in);
        let microphone = Opener {
            cancelling,
            ..open(
                Notice::Microphone,
                Shape::Audio,
                self.microphone,
                self.microphone_stand_in,
            )
        };
        Ok(Parts {
            camera: Some(camera.into_open()),
            microphone: Some(microphone.into_open()),
            mixes: Arc::new(mixes),
            encoders: self.encoders,
            sent: self.sent,
            ladder: self.ladder,
            audio_kbps: self.audio_kbps,
            network: self.network,
            linger: self.linger,
            timebase,
        })
    }

    fn wall(&self, timebase: &Timebase, notices: &Notices) -> Result<Wall, MixError> {
        let wait = self.network.wait;
        let (shown, common) = (self.shown, timebase.clone());
        let board = self.board.clone();
        let pictures = self.screen.clone().map(|screen| -> Make<VideoMix> {
            Box::new(move |tell| {
                let (width, height) = board.size().unwrap_or((shown.width, shown.height));
                let (screen, outgrown, sizes) = (screen.clone(), tell.clone(), board.clone());
                let settings = video_mix::Settings {
                    width,
                    height,
                    framerate: shown.framerate,
                    wait,
                    screen: Arc::new(move || {
                        let device = screen();
                        if sizes.size().is_some_and(|size| size != (width, height)) {
                            outgrown(MixNotice::Outgrown);
                        }
                        device
                    }),
                    board: board.clone(),
                    tell,
                };
                VideoMix::start(&common, settings)
            })
        });
        let common = timebase.clone();
        let path = self.cancelling.as_ref().map(|it| it.path.clone());
        let tap = self.board.heard().clone();
        let sound = self.speaker.clone().map(|speaker| -> Make<AudioMix> {
            Box::new(move |tell| {
                let settings = audio_mix::Settings {
                    wait,
                    path: path.clone(),
                    speaker: speaker.clone(),
                    tell,
                };
                Ok(AudioMix::tapped(&common, settings, tap.clone()))
            })
        });
        let (shown, heard) = (self.board.shown().clone(), self.board.heard().clone());
        let wall = Wall::start(pictures, sound, notices)?;
        Ok(wall.timed(shown, heard, wait.until_played()))
    }
}

struct Opener {
    timebase: Timebase,
    what: Notice,
    shape: Shape,
    choose: Choose,
    stand_in: Device,
    cancelling: Option<Cancelling>,
    notices: Notices,
}

impl Opener {
    fn into_open(self) -> OpenSource {
        Arc::new(move || {
            let choose = self.choose.clone();
            let (notices, what) = (self.notices.clone(), self.what);
            let source = Source::open_cancelling(
                &self.timebase,
                self.shape,
                Box::new(move || choose()),
                self.stand_in.clone(),
                self.cancelling.clone(),
                move |notice| wall::tell_device(&notices, what, notice),
            )
            .map_err(|error| error.to_string())?;
            Ok(Opened {
                sink: source.output().clone(),
                passthrough: Some(source.passthrough().clone()),
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
