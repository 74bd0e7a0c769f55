//! One branch: an encoder of one codec for one tier, running for as long as somebody needs it.
//!
//! Its pipeline takes raw buffers, which all branches share, makes them as large and as frequent
//! as its tier is, and ends in a [`Fanout`]. It knows nothing of who consumes.

mod control;
mod driver;

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::{
    LaunchError, Picture, Timebase, bus,
    fanout::{Content, Counts, Fanout, Gate, Subscription},
    launch, sound,
};
use crate::{
    pipeline::{self, File},
    sdp::Codec,
};

pub use control::{Change, Control, ControlError};
use driver::Driver;

/// How a codec is encoded.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Opus, or what the pipeline file yields.
    pub codec: Codec,
    /// The encoder's file and the configuration's settings for it. None for Opus, which has one.
    pub file: Option<(pipeline::File, BTreeMap<String, String>)>,
}

impl Recipe {
    /// What people call it: the name of its file.
    #[must_use]
    pub fn name(&self) -> &str {
        let file = self.file.as_ref().map(|(file, _)| file.name.as_str());
        file.unwrap_or(self.codec.encoding_name())
    }
}

/// Which branch: a codec, and the place of its tier, of which the best is 0. There is one of Opus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BranchId {
    /// What it is encoded as.
    pub codec: Codec,
    /// Which tier.
    pub tier: usize,
}

impl BranchId {
    /// The one branch of sound.
    pub const SOUND: Self = Self {
        codec: Codec::Opus,
        tier: 0,
    };

    /// Whether it makes sound, and no pictures.
    #[must_use]
    pub fn is_sound(self) -> bool {
        self.codec == Codec::Opus
    }
}

/// What a branch makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Make {
    /// The size and the highest rate of its pictures. None for sound.
    pub picture: Option<Picture>,
    /// How much of it.
    pub rate: Rate,
}

/// How much an encoder yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In kbit/s.
    pub kbps: u32,
    /// Pictures a second, at most. Of no meaning for sound.
    pub framerate: u32,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s, {} frames/s", self.kbps, self.framerate)
    }
}

/// An encoder that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// Its pipeline file cannot be used.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The file says how it is driven, and it cannot be driven so.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The file is that of something else.
    #[error("`{0}` is no encoder")]
    Kind(String),
    /// GStreamer refuses.
    #[error("{0}")]
    Pipeline(#[from] glib::BoolError),
    /// It does not start.
    #[error("it does not start")]
    Start(#[from] gst::StateChangeError),
}

/// A running encoder.
pub struct Branch {
    pipeline: gst::Pipeline,
    output: Fanout,
    // Dropped first of all, so that nothing is pushed into a pipeline that is being stopped.
    input: Option<Subscription>,
    /// What changes the bitrate and asks for keyframes. None for Opus, which needs neither.
    driver: Option<Driver>,
    /// Where frames are left out.
    frequency: Option<gst::Element>,
    /// What it is set to.
    kbps: AtomicU32,
}

impl Branch {
    /// Builds the encoder and starts it. It takes what `raw` makes from here on.
    ///
    /// `want_keyframe` is told which consumer needs one; `failed` that the encoder is no good any
    /// more. Both are called from streaming threads.
    pub fn start(
        recipe: &Recipe,
        make: Make,
        timebase: &Timebase,
        raw: &Fanout,
        want_keyframe: impl Fn(u64) + Send + Sync + 'static,
        failed: impl Fn(bus::Fault) + Send + Sync + 'static,
    ) -> Result<Self, EncoderError> {
        let pipeline = gst::Pipeline::with_name(recipe.codec.encoding_name());
        timebase.rule(&pipeline);
        let input = AppSrc::builder()
            .name("raw")
            .format(gst::Format::Time)
            .is_live(true)
            .build();
        let (encoder, control) = encoder(recipe, make.rate.kbps)?;
        let output = AppSink::builder().name("encoded").build();
        output.set_caps(Some(&encoded_caps(recipe.codec)));
        let shape = make.picture.map(shape).transpose()?;
        let elements: Vec<&gst::Element> = [input.upcast_ref()]
            .into_iter()
            .chain(shape.as_ref().map(Cast::upcast_ref))
            .chain([encoder.upcast_ref(), output.upcast_ref()])
            .collect();
        pipeline.add_many(&elements)?;
        gst::Element::link_many(&elements)?;

        let content = match recipe.codec {
            Codec::Opus => Content::EncodedAudio,
            Codec::Vp8 | Codec::H264 => Content::EncodedVideo,
        };
        let fanout = Fanout::new(content, want_keyframe);
        fanout.feed_from(&output, &Gate::opened());
        bus::watch(&pipeline, failed);
        if let Err(error) = pipeline.set_state(gst::State::Playing) {
            bus::stop(&pipeline);
            return Err(error.into());
        }
        let gate = Gate::default();
        gate.open();
        Ok(Self {
            input: Some(raw.subscribe(0, &input, &gate)),
            pipeline,
            output: fanout,
            driver: control.map(Driver::new),
            frequency: shape.and_then(|bin| bin.by_name("frequency")),
            kbps: AtomicU32::new(make.rate.kbps),
        })
    }

    /// Makes it yield more or less from here on, without waiting for it. False where the encoder can
    /// only be started with another bitrate.
    pub fn set_rate(&self, rate: Rate) -> bool {
        if let Some(frequency) = &self.frequency {
            set_frequency(frequency, rate.framerate);
        }
        if self.kbps() == rate.kbps {
            return true;
        }
        if let Some(driver) = &self.driver {
            if !driver.is_live() {
                return false;
            }
            driver.set_kbps(&self.pipeline, rate.kbps);
        }
        self.kbps.store(rate.kbps, Relaxed);
        true
    }

    /// The bitrate that it is set to, in kbit/s.
    #[must_use]
    pub fn kbps(&self) -> u32 {
        self.kbps.load(Relaxed)
    }

    /// What it makes.
    #[must_use]
    pub fn output(&self) -> &Fanout {
        &self.output
    }

    /// Makes the next frame a keyframe. Sound has none.
    pub fn force_keyframe(&self) {
        if let Some(driver) = &self.driver {
            driver.force_keyframe(&self.pipeline);
        }
    }

    /// What it took in.
    #[must_use]
    pub fn taken(&self) -> Counts {
        self.input
            .as_ref()
            .map(Subscription::counts)
            .unwrap_or_default()
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        self.input = None;
        bus::stop(&self.pipeline);
    }
}

/// Makes pictures as large and as frequent as they shall be. Where they are so already, they pass.
fn shape(picture: Picture) -> Result<gst::Bin, EncoderError> {
    let Picture {
        width,
        height,
        framerate,
    } = picture;
    let bin = gst::parse::bin_from_description(
        &format!(
            "videorate name=frequency drop-only=true skip-to-first=true ! videoscale ! \
             capsfilter caps=video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1"
        ),
        true,
    )
    .map_err(|error| glib::bool_error!("videoscale: {error}"))?;
    if let Some(frequency) = bin.by_name("frequency") {
        set_frequency(&frequency, framerate);
    }
    Ok(bin)
}

fn set_frequency(videorate: &gst::Element, framerate: u32) {
    let framerate = i32::try_from(framerate).unwrap_or(i32::MAX);
    if videorate.property::<i32>("max-rate") != framerate {
        videorate.set_property("max-rate", framerate);
    }
}

fn encoder(recipe: &Recipe, kbps: u32) -> Result<(gst::Bin, Option<Control>), EncoderError> {
    let Some((file, settings)) = &recipe.file else {
        return Ok((opus(kbps)?, None));
    };
    let (bin, control) = launch_encoder(file, settings, kbps)?;
    Ok((bin, Some(control)))
}

/// Makes a bin of an encoder's file, which begins at this many kbit/s, and what drives it.
pub fn launch_encoder(
    file: &File,
    settings: &BTreeMap<String, String>,
    kbps: u32,
) -> Result<(gst::Bin, Control), EncoderError> {
    let traits = file.encoder.as_ref();
    let traits = traits.ok_or_else(|| EncoderError::Kind(file.name.clone()))?;
    let bin = launch(file, settings)?;
    let control = Control::new(&bin, traits, kbps)?;
    Ok((bin, control))
}

/// Opus needs no file: there is one encoder, and it runs anywhere.
///
/// 20 ms frames with forward error correction for some loss; a perfect stream of timestamps, which
/// Chromium's decoder expects; and nothing for silence, see [`leave_out_silence`].
fn opus(kbps: u32) -> Result<gst::Bin, EncoderError> {
    let bin = gst::parse::bin_from_description(
        "audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=1 ! \
         opusenc name=encoder audio-type=voice frame-size=20 bitrate-type=constrained-vbr \
             inband-fec=true packet-loss-percentage=5 dtx=true perfect-timestamp=true",
        true,
    )
    .map_err(|error| glib::bool_error!("opusenc: {error}"))?;
    let rate = i32::try_from(kbps.saturating_mul(1000)).unwrap_or(i32::MAX);
    if let Some(encoder) = bin.by_name("encoder") {
        encoder.set_property("bitrate", rate.clamp(6_000, 510_000));
        leave_out_silence(&encoder);
    }
    Ok(bin)
}

/// Lets the first of the packets pass that say that there is nothing to be heard, and none of those
/// that say it again: discontinuous transmission. Each 400 ms the encoder makes one that says how the
/// silence sounds.
///
/// GStreamer's payloader leaves out the first one too, and who receives that does not know a pause from
/// a loss.
fn leave_out_silence(encoder: &gst::Element) {
    let Some(pad) = encoder.static_pad("src") else {
        return;
    };
    let told = AtomicBool::new(false);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let is_empty = info.buffer().is_some_and(|it| it.size() <= sound::EMPTY);
        if told.swap(is_empty, Relaxed) && is_empty {
            gst::PadProbeReturn::Drop
        } else {
            gst::PadProbeReturn::Ok
        }
    });
}

/// What every encoder of a codec must end in, which is what payloaders are promised.
pub(super) fn encoded_caps(codec: Codec) -> gst::Caps {
    match codec {
        Codec::Vp8 => gst::Caps::new_empty_simple("video/x-vp8"),
        // What `Line::encoded_caps` promises to the payloaders.
        Codec::H264 => gst::Caps::builder("video/x-h264")
            .field("stream-format", "byte-stream")
            .field("alignment", "au")
            .build(),
        Codec::Opus => gst::Caps::new_empty_simple("audio/x-opus"),
    }
}
